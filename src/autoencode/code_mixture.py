"""A density over codes: one normal distribution, or many small ones, chosen on held-out codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Mixture", "choose_mixture", "grouped", "standard_normal"]

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
        d = codes.shape[1]
        given = torch.from_numpy(np.ascontiguousarray(codes))
        for share, mean, factor in zip(self.shares, self.means, self.factors, strict=True):
            lower = torch.from_numpy(factor)
            steps = torch.linalg.solve_triangular(
                lower, (given - torch.from_numpy(mean)).T, upper=False
            )
            volume = float(np.log(np.diagonal(factor)).sum()) + 0.5 * d * math.log(2 * math.pi)
            nats = -0.5 * steps.square().sum(0).numpy() - volume + math.log(share)
            found = np.logaddexp(found, nats)
        return found

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


def choose_mixture(
    codes: Array, near: Array, groups: Places, generator: np.random.Generator
) -> tuple[Mixture, Places, list[dict[str, Any]]]:
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

    Returns
    -------
    mixture : Mixture
        Fitted to all codes.
    labels : ndarray of int of shape (n,)
        The part of each code.
    candidates : list of dict
        What was tried: ``rows_per_part`` (None for N(0, I)), ``strength``, ``parts`` and
        ``held_out``, the mean log-density of held-out codes in nats; and which is ``chosen``.
        Empty with fewer than 20 codes, or constant ones: then there is one part.
    """
    if len(codes) < _FEWEST_ROWS or not codes.shape[1]:
        labels = _divided(near, groups, len(codes), generator)
        return _fitted(codes, labels, 1.0), labels, []
    order = generator.permutation(len(codes))
    held, kept = (
        np.sort(order[: len(codes) // _HELD_OUT]),
        np.sort(order[len(codes) // _HELD_OUT :]),
    )
    tried: list[tuple[float, float, Shape | None, dict[str, Any]]] = []
    normal = standard_normal(codes.shape[1]).log_density(codes[held])
    tried.append(_noted(normal, None, 1))
    seed = int(generator.integers(2**31))
    for shape_rows in _possible(len(kept), codes.shape[1]):
        labels = _divided(near[kept], groups[kept], shape_rows, np.random.default_rng(seed))
        for strength in _STRENGTHS:
            shape = Shape(shape_rows, strength)
            mixture = _fitted(codes[kept], labels, strength)
            tried.append(_noted(mixture.log_density(codes[held]), shape, len(mixture.shares)))
    best = max(tried, key=lambda entry: entry[0])
    # Of those that are as good, the one that follows the rows most closely: a normal part
    # knows nothing of gaps, edges and steps within it.
    alike = [entry for entry in tried if entry[0] >= best[0] - best[1]]
    chosen = max(alike, key=lambda entry: (entry[3]["parts"], -(entry[3]["strength"] or 0)))[2]
    candidates = [entry[3] | {"chosen": entry[2] == chosen} for entry in tried]
    if chosen is None and len(np.unique(groups)) == 1:
        return standard_normal(codes.shape[1]), np.zeros(len(codes), np.intp), candidates
    shape = Shape(len(codes), _STRENGTHS[0]) if chosen is None else chosen
    labels = _divided(near, groups, shape.rows_per_part, np.random.default_rng(seed))
    return _fitted(codes, labels, shape.strength), labels, candidates


def _noted(
    nats: Array, shape: Shape | None, parts: int
) -> tuple[float, float, Shape | None, dict[str, Any]]:
    mean, error = float(nats.mean()), float(nats.std() / math.sqrt(max(len(nats), 1)))
    note = {
        "rows_per_part": None if shape is None else shape.rows_per_part,
        "strength": None if shape is None else shape.strength,
        "parts": parts,
        "held_out": mean,
    }
    return mean, error, shape, note


def _possible(n: int, d: int) -> Sequence[int]:
    """Return the numbers of rows per part that are worth a trial; the last is one part."""
    most = min(_MOST_PARTS, max(1, _MOST_NUMBERS // (d * d)))
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
