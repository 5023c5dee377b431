"""A density over codes: one normal distribution, or many small ones, chosen on held-out codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from autoencode.numerics import choose_threads, threads

__all__ = ["Chosen", "Mixture", "choose_mixture", "grouped", "held_out", "standard_normal"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_ROWS_PER_PART = (12, 25, 50, 100, 400)
"""Fewer rows would be told by their part: new ones would be copies of them."""
_STRENGTHS = (1.0, 3.0)
"""How many rows of each part the common shape counts for."""
_HELD_OUT = 5
_MOST_PARTS = 400
_MOST_NUMBERS = 300_000
_FEWEST_ROWS = 20
_ROUNDS = 10
_FLOOR = 1e-9


@dataclass(frozen=True)
class Mixture:
    """Normal distributions with shares: the density of codes from which new ones are drawn.

    Attributes
    ----------
    shares : ndarray of shape (parts,)
        Positive; their sum is 1.
    means : ndarray of shape (parts, d)
        In the codes' coordinates; see `autoencode.code_prior.CodePrior`.
    factors : ndarray of shape (parts, d, d)
        Lower triangles whose squares are the covariances.
    """

    shares: Array
    means: Array
    factors: Array

    def log_density(self, codes: Array) -> Array:
        """Return the logarithm of the density, in nats, ``(n,)``."""
        found = np.full(len(codes), -np.inf)
        with threads(choose_threads(float(codes.size * codes.shape[1]), "auto")):
            for part in range(len(self.shares)):
                found = np.logaddexp(found, self.log_part(part, codes))
        return found

    def log_part(self, part: int, codes: Array) -> Array:
        """Return the logarithm of one part's share of the density, in nats, ``(n,)``."""
        factor, d = self.factors[part], codes.shape[1]
        off = torch.from_numpy(codes - self.means[part])
        steps = torch.linalg.solve_triangular(torch.from_numpy(factor), off.T, upper=False)
        volume = float(np.log(np.diagonal(factor)).sum()) + 0.5 * d * math.log(2 * math.pi)
        nats: Array = -0.5 * steps.square().sum(0).numpy() - volume + math.log(self.shares[part])
        return nats

    def draw(self, parts: Places, generator: np.random.Generator) -> Array:
        """Return one code from each of these parts, ``(n, d)``."""
        steps = generator.standard_normal((len(parts), self.means.shape[1]))
        result = np.empty_like(steps)
        for part in np.unique(parts):
            chosen = parts == part
            result[chosen] = self.means[part] + steps[chosen] @ self.factors[part].T
        return result


def standard_normal(d: int) -> Mixture:
    """Return N(0, I) as a mixture of one part."""
    return Mixture(np.ones(1), np.zeros((1, d)), np.eye(d)[None])


@dataclass(frozen=True)
class Shape:
    """How finely codes are divided, and how alike the parts are made."""

    rows_per_part: int
    strength: float


class Chosen(NamedTuple):
    """What codes are drawn from.

    Attributes
    ----------
    mixture : Mixture
        Fitted to all codes.
    labels : ndarray of int of shape (n,)
        The part of each code.
    candidates : list of dict
        What was tried: ``kind`` ("normal" or "mixture"), ``rows_per_part`` (None for the
        bottleneck's own N(0, I)), ``strength``, ``parts`` and ``held_out``, the mean
        log-density of held-out codes in nats; and which is ``chosen``. Empty with fewer than
        20 codes, or constant ones: then there is one part.
    nats : ndarray of shape (m,)
        Log-densities of the held-out codes under what was chosen.
    """

    mixture: Mixture
    labels: Places
    candidates: list[dict[str, Any]]
    nats: Array


def held_out(n: int, generator: np.random.Generator) -> tuple[Places, Places]:
    """Return which of n codes judge, and which are fitted to; none judge if there are few."""
    if n < _FEWEST_ROWS:
        return np.zeros(0, np.intp), np.arange(n)
    order = generator.permutation(n)
    return np.sort(order[: n // _HELD_OUT]), np.sort(order[n // _HELD_OUT :])


def choose_mixture(
    codes: Array,
    near: Array,
    groups: Places,
    generator: np.random.Generator,
    *,
    split: tuple[Places, Places] | None = None,
    normal: Mixture | None = None,
    finest: int | None = None,
) -> Chosen:
    """Fit mixtures of ever more parts, and keep the one under which held-out codes are likeliest.

    Every part's rows lie close together. Its covariance is that of its rows, moved towards a
    shape that all parts have in common, as far as held-out codes say.

    Parameters
    ----------
    codes : ndarray of shape (n, d)
        What is drawn later.
    near : ndarray of shape (n, m)
        Coordinates in which rows are close or not.
    groups : ndarray of int of shape (n,)
        Classes, from 0; a part has rows of one class only.
    generator : numpy.random.Generator
        Of the split and of where parts begin.
    split : pair of ndarray of int, optional
        Which codes judge and which are fitted to; else as `held_out` draws it.
    normal : Mixture, optional
        The bottleneck's own prior, if it has one: tried too, where there is one class.
    finest : int, optional
        How many parts there may be at most, but for one of each class.
    """
    held, kept = split or held_out(len(codes), generator)
    if not len(held) or not codes.shape[1]:
        labels = _divided(near, groups, len(codes), generator)
        return Chosen(_fitted(codes, labels, 1.0), labels, [], np.zeros(0))
    tried: list[tuple[Array, Shape | None, dict[str, Any]]] = []
    if normal is not None and len(np.unique(groups)) == 1:
        tried.append(_noted(normal.log_density(codes[held]), None, 1, 1))
    seed, n_classes = int(generator.integers(2**31)), len(np.unique(groups))
    most = _MOST_PARTS if finest is None else finest
    for shape_rows in _possible(len(kept), codes.shape[1], most):
        labels = _divided(near[kept], groups[kept], shape_rows, np.random.default_rng(seed))
        for strength in _STRENGTHS:
            shape = Shape(shape_rows, strength)
            mixture = _fitted(codes[kept], labels, strength)
            parts = len(mixture.shares)
            tried.append(_noted(mixture.log_density(codes[held]), shape, parts, n_classes))
    nats, chosen, _ = _finest_of_the_best(tried)
    candidates = [entry[2] | {"chosen": entry[1] == chosen} for entry in tried]
    if chosen is None and normal is not None:
        return Chosen(normal, np.zeros(len(codes), np.intp), candidates, nats)
    shape = Shape(len(codes), _STRENGTHS[0]) if chosen is None else chosen
    labels = _divided(near, groups, shape.rows_per_part, np.random.default_rng(seed))
    return Chosen(_fitted(codes, labels, shape.strength), labels, candidates, nats)


def _finest_of_the_best(
    tried: Sequence[tuple[Array, Shape | None, dict[str, Any]]],
) -> tuple[Array, Shape | None, dict[str, Any]]:
    """Return the likeliest; of those that are as good, the one with most parts.

    It follows the rows most closely: a normal part knows nothing of gaps, edges and steps
    within it.
    """
    best = max(tried, key=lambda entry: entry[2]["held_out"])
    doubt = float(best[0].std() / math.sqrt(len(best[0])))
    alike = [entry for entry in tried if entry[2]["held_out"] >= best[2]["held_out"] - doubt]
    return max(alike, key=lambda entry: (entry[2]["parts"], -(entry[2]["strength"] or 0)))


def _noted(
    nats: Array, shape: Shape | None, parts: int, n_classes: int
) -> tuple[Array, Shape | None, dict[str, Any]]:
    note = {
        "kind": "normal" if parts == n_classes else "mixture",
        "rows_per_part": None if shape is None else shape.rows_per_part,
        "strength": None if shape is None else shape.strength,
        "parts": parts,
        "held_out": float(nats.mean()),
    }
    return nats, shape, note


def _possible(n: int, d: int, finest: int) -> Sequence[int]:
    """Return the numbers of rows per part that are worth a trial; the last is one part."""
    most = min(finest, max(1, _MOST_NUMBERS // (d * d)))
    return [*(rows for rows in _ROWS_PER_PART if 1 < n // rows <= most), n]


def _divided(
    near: Array, groups: Places, rows_per_part: int, generator: np.random.Generator
) -> Places:
    """Return each row's part: rows of one class that lie close together."""
    labels = np.zeros(len(near), np.intp)
    start = 0
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        count = max(1, len(members) // rows_per_part)
        found = grouped(near[members], count, generator)
        labels[members] = start + found
        start += int(found.max()) + 1
    return labels


def grouped(points: Array, count: int, generator: np.random.Generator) -> Places:
    """Divide points into groups that lie close together (k-means; Lloyd, 1982, from k-means++).

    Parameters
    ----------
    points : ndarray of shape (n, m)
        At least one.
    count : int
        Of groups, at most; empty ones are left out.
    generator : numpy.random.Generator
        Of where groups begin.

    Returns
    -------
    ndarray of int of shape (n,)
        From 0, every number in use.
    """
    count = min(count, len(points))
    squares = np.square(points).sum(1)
    centers = _first_centers(points, squares, count, generator)
    labels = np.zeros(len(points), np.intp)
    for _ in range(_ROUNDS):
        distances = np.square(centers).sum(1) - 2 * points @ centers.T
        new = distances.argmin(1)
        if (new == labels).all() and _ > 0:
            break
        labels = new
        sizes = np.bincount(labels, minlength=count)
        sums = np.zeros_like(centers)
        np.add.at(sums, labels, points)
        used = sizes > 0
        centers[used] = sums[used] / sizes[used, None]
    result: Places = np.unique(labels, return_inverse=True)[1]
    return result


def _first_centers(
    points: Array, squares: Array, count: int, generator: np.random.Generator
) -> Array:
    """Draw points, each with a chance that grows with the distance from those before."""
    centers = np.empty((count, points.shape[1]))
    centers[0] = points[generator.integers(len(points))]
    left = np.full(len(points), np.inf)
    for place in range(1, count):
        last = centers[place - 1]
        distances = squares - 2 * points @ last + last @ last
        left = np.minimum(left, np.maximum(distances, 0.0))
        total = left.sum()
        share = generator.random() * total
        chosen = int(np.searchsorted(np.cumsum(left), share)) if total > 0 else place
        centers[place] = points[min(chosen, len(points) - 1)]
    return centers


def _fitted(codes: Array, labels: Places, strength: float) -> Mixture:
    """Fit one normal distribution to each part, of a shape near what they have in common."""
    n, d = codes.shape
    sizes = np.bincount(labels)
    means = np.zeros((len(sizes), d))
    np.add.at(means, labels, codes)
    means /= sizes[:, None]
    off = codes - means[labels]
    floor = _FLOOR + 1e-6 * codes.var(0)
    common = off.T @ off / n + np.diag(floor)
    inverse = np.linalg.inv(common)
    weight = strength
    # The size of each part's scatter beside the common one, with one row's worth of the latter.
    lengths = np.bincount(labels, np.einsum("nd,de,ne->n", off, inverse, off))
    widths = (lengths / max(d, 1) + 1.0) / (sizes + 1.0)
    factors = np.empty((len(sizes), d, d))
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(sizes)
    for part, (stop, size) in enumerate(zip(ends, sizes, strict=True)):
        own = off[order[stop - size : stop]]
        scatter = own.T @ own + weight * widths[part] * common
        factors[part] = np.linalg.cholesky(scatter / (size + weight) + np.diag(floor))
    return Mixture(sizes / n, means, factors)
