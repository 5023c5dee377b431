"""What rows were before normal noise was added: a mixture of normal distributions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.code_mixture import grouped

__all__ = ["Part", "RowMixture", "Weighed", "fit_mixture", "likeliest_mixture"]

Array = npt.NDArray[np.float64]

_MOST_AXES = 128
_PARTS = (1, 4, 14)
_FEWEST_ROWS_PER_PART = 40
_STRENGTH = 15.0
"""How many rows of each part the shape of all rows counts for."""
_TRIED, _ROUNDS = 15, 30
_HELD_OUT = 5
_LEAST = 1e-6


@dataclass(frozen=True)
class Part:
    """What one part of a mixture makes of noisy rows.

    Attributes
    ----------
    nats : ndarray of shape (n,)
        Logarithm of the part's share of the rows' density, noise included.
    means, variances : ndarray of shape (n, d)
        Of each value before the noise, given the row and the part.
    """

    nats: Array
    means: Array
    variances: Array


@dataclass(frozen=True)
class Weighed:
    """What all parts of a mixture make of noisy rows.

    Attributes
    ----------
    parts : list of Part
        One for each.
    chances : ndarray of shape (n, parts)
        Of each row to be from each part.
    """

    parts: list[Part]
    chances: Array

    def mean(self) -> Array:
        """Return the expected rows before the noise, ``(n, d)``."""
        result = np.zeros_like(self.parts[0].means)
        for place, part in enumerate(self.parts):
            result += self.chances[:, [place]] * part.means
        return result


@dataclass(frozen=True)
class RowMixture:
    """Normal distributions along the leading principal axes of rows, and one along the rest.

    Attributes
    ----------
    mean : ndarray of shape (d,)
        Of all rows.
    axes : ndarray of shape (d, d)
        Principal ones, as columns; the variance of the rows is the largest along the first.
    rest : ndarray of shape (d - q,)
        Variances along the axes that follow the first q.
    shares : ndarray of shape (parts,)
        Positive; their sum is 1.
    centers : ndarray of shape (parts, q)
        Along the leading axes.
    turns : ndarray of shape (parts, q, q)
        Each part's own axes, as columns.
    spreads : ndarray of shape (parts, q)
        Variances along them.
    """

    mean: Array
    axes: Array
    rest: Array
    shares: Array
    centers: Array
    turns: Array
    spreads: Array

    def parts(self, values: Array, levels: Array) -> Iterator[Part]:
        """Yield what each part makes of rows.

        Parameters
        ----------
        values : ndarray of shape (n, d)
            With noise.
        levels : ndarray of shape (n,)
            Deviation of the noise in each row.
        """
        leading = self.centers.shape[1]
        scores = (values - self.mean) @ self.axes
        noise = np.square(levels)[:, None]
        gains = self.rest / (self.rest + noise)
        others = self.axes[:, leading:]
        rest_means = self.mean + (scores[:, leading:] * gains) @ others.T
        rest_variances = (gains * noise) @ np.square(others).T
        own_axes = self.axes[:, :leading]
        for share, center, turn, spread in self.each():
            turned = (scores[:, :leading] - center) @ turn
            total = spread + noise
            nats = math.log(share) - 0.5 * (np.square(turned) / total + np.log(total)).sum(1)
            axes, gains = own_axes @ turn, spread / total
            means = rest_means + own_axes @ center + (turned * gains) @ axes.T
            yield Part(nats, means, rest_variances + (gains * noise) @ np.square(axes).T)

    def each(self) -> Iterator[tuple[Any, Array, Array, Array]]:
        """Yield share, centre, axes and variances of every part."""
        yield from zip(self.shares, self.centers, self.turns, self.spreads, strict=True)

    def restored(self, values: Array, levels: Array) -> Array:
        """Return the expected rows before the noise, given noisy ones, ``(n, d)``."""
        return self.weighed(values, levels).mean()

    def weighed(self, values: Array, levels: Array) -> Weighed:
        """Return what all parts make of rows, and how likely each is; see `parts`."""
        parts = list(self.parts(values, levels))
        return Weighed(parts, _chances_of(np.stack([part.nats for part in parts], axis=1)))

    def column_density(self, column: int, places: Array, width: float) -> Array:
        """Return the density of one column's values before the noise, at some places.

        Parameters
        ----------
        column : int
            Which.
        places : ndarray of shape (m,)
            Values.
        width : float
            Deviation by which the density is smoothed.
        """
        leading = self.centers.shape[1]
        row = self.axes[column]
        rest = float(np.square(row[leading:]) @ self.rest) + width**2
        means = self.mean[column] + self.centers @ row[:leading]
        turned = np.einsum("q,kqr->kr", row[:leading], self.turns)
        deviations = np.sqrt((np.square(turned) * self.spreads).sum(1) + rest)
        steps = (places[:, None] - means) / deviations
        density: Array = (self.shares / deviations * np.exp(-0.5 * np.square(steps))).sum(1)
        return density / math.sqrt(2 * math.pi)

    def tensors(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return all arrays by name, to be saved."""
        return {part.name: getattr(self, part.name) for part in fields(self)}


def _chances_of(nats: Array) -> Array:
    """Return each part's chance, ``(n, parts)``, from the logarithms of its share."""
    chances = np.exp(nats - nats.max(1, keepdims=True))
    result: Array = chances / chances.sum(1, keepdims=True)
    return result


def likeliest_mixture(values: Array, level: float, generator: np.random.Generator) -> RowMixture:
    """Fit mixtures of more and more parts, and keep the number that held-out rows prefer.

    Parameters
    ----------
    values : ndarray of shape (n, d)
        Noisy rows, complete.
    level : float
        Deviation of the normal noise in them, positive.
    generator : numpy.random.Generator
        Of the split, and of where parts begin.
    """
    order = generator.permutation(len(values))
    held, kept = np.split(order, [len(values) // _HELD_OUT])
    seed = int(generator.integers(2**31))
    best, found = -math.inf, 1
    for count in _PARTS:
        if count > 1 and len(kept) < count * _FEWEST_ROWS_PER_PART:
            break
        labels = first_parts(values[kept], level, count, np.random.default_rng(seed))
        mixture = fit_mixture(values[kept], level, labels, _TRIED)
        nats = float(_row_nats(mixture, values[held], level).mean())
        if nats > best:
            best, found = nats, count
    labels = first_parts(values, level, found, np.random.default_rng(seed))
    return fit_mixture(values, level, labels, _ROUNDS)


def _row_nats(mixture: RowMixture, values: Array, level: float) -> Array:
    """Return the log-density of each noisy row, in nats, but for a constant, ``(n,)``."""
    levels = np.full(len(values), level)
    nats = np.stack([part.nats for part in mixture.parts(values, levels)], axis=1)
    highest = nats.max(1)
    scores = (values - mixture.mean) @ mixture.axes[:, mixture.centers.shape[1] :]
    total = mixture.rest + level**2
    rest = -0.5 * (np.square(scores) / total + np.log(total)).sum(1)
    result: Array = highest + np.log(np.exp(nats - highest[:, None]).sum(1)) + rest
    return result


def first_parts(
    values: Array, level: float, count: int, generator: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Return a part for each row: rows that lie close together once the noise is shrunk, (n,)."""
    mean, clean, axes = _principal(values, level)
    gains = clean[:_MOST_AXES] / (clean[:_MOST_AXES] + level**2)
    return grouped((values - mean) @ axes[:, :_MOST_AXES] * gains, count, generator)


def fit_mixture(
    values: Array, level: float, labels: npt.NDArray[np.intp], rounds: int
) -> RowMixture:
    """Fit a mixture to what rows were before the noise, by expectation maximisation.

    Bovy, Hogg and Roweis (2011), "Extreme deconvolution", equations 16 and 17, for noise
    alike in all directions; each part's covariance is moved towards that of all rows.

    Parameters
    ----------
    values : ndarray of shape (n, d)
        Noisy rows, complete.
    level : float
        Deviation of the normal noise in them, positive.
    labels : ndarray of int of shape (n,)
        The part that each row is in at first; see `first_parts`.
    rounds : int
        How often parts are fitted anew.
    """
    mean, clean, axes = _principal(values, level)
    common = clean[:_MOST_AXES]
    leading, count = len(common), int(labels.max()) + 1
    scores = (values - mean) @ axes[:, :leading]
    sizes = np.bincount(labels)
    centers = np.zeros((count, leading))
    np.add.at(centers, labels, scores * (common / (common + level**2)))
    centers /= sizes[:, None]
    turns = np.repeat(np.eye(leading)[None], count, axis=0)
    spreads = np.repeat(common[None] / (2.0 if count > 1 else 1.0), count, axis=0)
    mixture = RowMixture(mean, axes, clean[leading:], sizes / len(labels), centers, turns, spreads)
    for _ in range(rounds if count > 1 else 0):
        mixture = _fitted_anew(mixture, scores, level, common)
    return mixture


def _principal(values: Array, level: float) -> tuple[Array, Array, Array]:
    """Return the mean, variances without the noise, largest first, and principal axes."""
    variances, axes = np.linalg.eigh(np.cov(values.T).reshape(values.shape[1], -1))
    clean = np.maximum(variances[::-1] - level**2, _LEAST)
    return values.mean(0), clean, np.ascontiguousarray(axes[:, ::-1])


def _fitted_anew(before: RowMixture, scores: Array, level: float, common: Array) -> RowMixture:
    """Return the parts that make scores more likely than those before."""
    noise = level**2
    expected, nats = [], []
    for share, center, turn, spread in before.each():
        turned = (scores - center) @ turn
        total = spread + noise
        nats.append(math.log(share) - 0.5 * (np.square(turned) @ (1 / total) + np.log(total).sum()))
        expected.append(center + (turned * (spread / total)) @ turn.T)
    chances = _chances_of(np.stack(nats, axis=1))
    counts = np.maximum(chances.sum(0), _LEAST)
    found = (before.centers, before.turns, before.spreads)
    centers, turns, spreads = (np.empty_like(part) for part in found)
    for place, (rows, count) in enumerate(zip(expected, counts, strict=True)):
        weights = chances[:, place]
        centers[place] = weights @ rows / count
        off = (rows - centers[place]) * np.sqrt(weights)[:, None]
        turn, spread = before.turns[place], before.spreads[place]
        left = (turn * (noise * spread / (spread + noise))) @ turn.T
        scatter = off.T @ off + count * left + _STRENGTH * np.diag(common)
        variances, turns[place] = np.linalg.eigh(scatter / (count + _STRENGTH))
        spreads[place] = np.maximum(variances, _LEAST)
    return RowMixture(
        before.mean, before.axes, before.rest, counts / counts.sum(), centers, turns, spreads
    )
