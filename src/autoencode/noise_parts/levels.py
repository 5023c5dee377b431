"""How strong normal noise is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.noise_parts.description import Array
from autoencode.noise_parts.others import Others
from autoencode.preprocess.filling import Moments

__all__ = [
    "FEWEST_ROWS",
    "LEAST_LEVEL",
    "LevelCurve",
    "apparent_levels",
    "floor_apart",
    "is_normal",
    "noise_floor",
    "variances_apart",
]

_LEVELS = np.geomspace(0.01, 8.0, 121)
_MOST_KURTOSIS = 3.4
_SURELY = 4.0
_CURVE = (0.0, *np.geomspace(0.02, 4.0, 24).tolist())
_WIDER = 1.5
_PLAINLY, _ALONE = 2.0, 3.0
"""Standard errors by which rows seem noisier than those without noise: all, and one among many."""
FEWEST_ROWS = 20
"""Rows from which the kind of their noise can be told; for fewer it is taken to be normal."""
LEAST_LEVEL = 0.015
"""Deviation, in units of the preprocessed data, below which there is no noise to speak of."""


def noise_floor(moments: Moments, n_rows: int) -> tuple[float, float, float]:
    """Estimate independent normal noise from the smallest variances along principal axes.

    Noise adds its variance to all of them, so that those of the rows alone which are near
    zero are all alike, but for chance (Marchenko and Pastur, 1967).

    Parameters
    ----------
    moments : Moments
        Of the noisy rows.
    n_rows : int
        How many they were measured on.

    Returns
    -------
    deviation : float
        Of the noise.
    error : float
        Its standard error.
    share : float
        Share of the axes on which there is nothing but noise.
    """
    variances = np.linalg.eigvalsh(moments.covariance)
    some = variances > 1e-9 * max(float(variances[-1]), 1e-300)
    if not some.all() and n_rows > len(variances):
        # Noise would be along every axis.
        return 0.0, 0.0, 0.0
    variances = variances[some]
    count = len(variances)
    means = np.cumsum(variances) / np.arange(1, count + 1)
    widest = np.square(1 + np.sqrt(np.arange(1, count + 1) / max(n_rows, 1)))
    alike = np.flatnonzero(variances <= widest * means)
    flat = int(alike[-1]) + 1 if len(alike) else 1
    # Of axes in a row from the smallest on: the last of the first run.
    breaks = np.flatnonzero(np.diff(alike) > 1)
    if len(breaks):
        flat = int(alike[breaks[0]]) + 1
    variance = float(means[flat - 1])
    error = math.sqrt(variance) / math.sqrt(2.0 * flat * max(n_rows, 1))
    return math.sqrt(max(variance, 0.0)), error, flat / max(count, 1)


def floor_apart(others: Others, values: Array, principal: Array) -> tuple[float, float, float]:
    """Return the same where rows are few for their columns.

    Axes that rows have made themselves have too little variance in them where it is least:
    here those of other rows are taken. The columns themselves are axes, too: where some hold
    nothing but noise, they say more than axes that few rows have made.

    Parameters
    ----------
    others : Others
        What predicts each part of the rows by the others.
    values : ndarray of shape (rows, n_values)
        Complete.
    principal : ndarray of shape (n_values,)
        What `variances_apart` says of both.
    """
    n_rows, count = values.shape
    columns = np.zeros(count)
    for rows, moments in others.parts:
        squares = np.square(values[rows] - moments.mean).sum(0)
        columns += squares[np.argsort(np.diag(moments.covariance))] / n_rows
    found = [_alike(part, n_rows) for part in (principal, columns)]
    # The smaller one for sure: a single axis may have little by chance.
    variance, flat = min(
        found, key=lambda one: one[0] * (1 + _SURELY * math.sqrt(2 / one[1] / n_rows))
    )
    return math.sqrt(variance), math.sqrt(variance / (2.0 * flat * n_rows)), flat / count


def variances_apart(others: Others, values: Array) -> Array:
    """Return variances along principal axes that other rows have made, the least first."""
    squares = np.zeros(values.shape[1])
    for rows, moments in others.parts:
        _, axes = np.linalg.eigh(moments.covariance)
        squares += np.square((values[rows] - moments.mean) @ axes).sum(0)
    variances: Array = squares / len(values)
    return variances


def variances_left(
    moments: Moments, level: float, seen: Array | None = None
) -> tuple[Array, Array, Array]:
    """Return the variances along principal axes, what is left without normal noise, and the axes.

    Parameters
    ----------
    moments : Moments
        Of noisy rows.
    level : float
        Deviation of the noise.
    seen : ndarray of shape (n_values,), optional
        What other rows have along these axes; see `variances_apart`.
    """
    variances, axes = np.linalg.eigh(moments.covariance)
    found = variances if seen is None else seen
    return variances, np.clip(found - level**2, 0.0, np.maximum(variances, 0.0)), axes


def _alike(variances: Array, n_rows: int) -> tuple[float, int]:
    """Return the mean of the first variances that are alike but for chance, and how many."""
    count = len(variances)
    means = np.cumsum(variances) / np.arange(1, count + 1)
    beyond = np.flatnonzero(variances > means * (1 + _SURELY * math.sqrt(2.0 / n_rows)))
    flat = int(beyond[0]) if len(beyond) else count
    return float(means[flat - 1]), flat


def is_normal(moments: Moments, values: Array) -> bool:
    """Say whether rows look normal along the axes of least variance, as noise does.

    Of rows without noise a few are far out along any of them: the fourth moments are large.

    Parameters
    ----------
    moments : Moments
        Of the rows.
    values : ndarray of shape (rows, n_values)
        Complete.
    """
    variances, axes = np.linalg.eigh(moments.covariance)
    used = variances > 1e-6 * variances[-1]
    least = axes[:, used][:, : max(1, int(used.sum()) // 2)]
    scores = (values - moments.mean) @ least
    kurtosis = np.mean(scores**4, axis=0) / np.square(np.mean(scores**2, axis=0))
    return bool(np.median(kurtosis) < _MOST_KURTOSIS)


def apparent_levels(moments: Moments, values: Array) -> Array:
    """Return how strong noise seems in each row, if rows without it were normal.

    By likelihood along the principal axes. Rows without noise that are far out seem noisy
    as well: `LevelCurve` allows for that.

    Parameters
    ----------
    moments : Moments
        Of rows without noise.
    values : ndarray of shape (rows, n_values)
        Complete.

    Returns
    -------
    ndarray of shape (rows,)
        Deviations.
    """
    return _seeming(_principal(moments), values)


def _principal(moments: Moments) -> tuple[Array, Array, Array]:
    """Return mean, variances along the principal axes, and the axes as columns."""
    variances, axes = np.linalg.eigh(moments.covariance)
    return moments.mean, np.maximum(variances, 1e-6), axes


def _seeming(principal: tuple[Array, Array, Array], values: Array) -> Array:
    mean, variances, axes = principal
    squares = np.square((values - mean) @ axes)
    total = variances[None, :] + np.square(_LEVELS)[:, None]
    likelihood = -0.5 * (squares @ (1.0 / total).T + np.log(total).sum(1))
    chance = np.exp(likelihood - likelihood.max(1, keepdims=True))
    levels: Array = np.exp(chance @ np.log(_LEVELS) / chance.sum(1))
    return levels


@dataclass(frozen=True)
class LevelCurve:
    """How strong noise of a known strength seems in rows that had none before.

    Attributes
    ----------
    levels : tuple of float
        Deviations of noise, from 0 on.
    quantiles : tuple of tuple of float
        For each, quantiles (0.1, 0.5 and 0.9) of what it seems to be.
    """

    levels: tuple[float, ...]
    quantiles: tuple[tuple[float, ...], ...]

    @classmethod
    def measure(cls, parts: Sequence[tuple[Moments, Array]]) -> LevelCurve:
        """Add noise to rows without it, and see.

        Parameters
        ----------
        parts : sequence of (Moments, ndarray of shape (rows, n_values))
            Complete rows, and what they are judged by: moments that these rows themselves
            have made from few others make noise in them seem weaker than in rows to come.
        """
        generator = np.random.default_rng(0)
        known = [(_principal(moments), values) for moments, values in parts]
        found = []
        for level in _CURVE:
            seems = np.concatenate(
                [
                    _seeming(principal, v + level * generator.standard_normal(v.shape))
                    for principal, v in known
                ]
            )
            found.append(tuple(np.quantile(seems, [0.1, 0.5, 0.9]).tolist()))
        return cls(_CURVE, tuple(found))

    def levels_of(self, seems: Array) -> tuple[Array, float, float]:
        """Return the strength of the noise in rows.

        Rows of which the strength seems to differ no more than by chance are taken to
        have the same.

        Parameters
        ----------
        seems : ndarray of shape (rows,)
            As from `apparent_levels`.

        Returns
        -------
        levels : ndarray of shape (rows,)
            Deviations; 0 where there is no noise.
        level, error : float
            That of the middle row, and its standard error.
        """
        lowest, middle, highest = np.maximum.accumulate(np.array(self.quantiles)).T
        level = float(np.interp(np.median(seems), middle, self.levels))
        bounds = [np.interp(level, self.levels, part) for part in (lowest, highest)]
        width = math.log(bounds[1] / bounds[0])
        # Of the middle one of so many, as a factor; and what that makes of the strength.
        step = math.exp(1.25 * width / (2.56 * math.sqrt(len(seems))))
        ends = [
            np.interp(np.median(seems) * factor, middle, self.levels)
            for factor in (step**-_PLAINLY, 1 / step, step)
        ]
        error = float(ends[2] - ends[1]) / 2
        each: Array = np.interp(seems, middle, self.levels)
        if not ends[0]:
            # Rows without noise seem as noisy by chance; a few may have some all the same.
            least = seems * math.exp(-_ALONE * width / 2.56)
            return np.where(np.interp(least, middle, self.levels) > 0, each, 0.0), 0.0, error
        found = np.quantile(seems, [0.1, 0.9])
        if len(seems) >= FEWEST_ROWS and math.log(found[1] / found[0]) < _WIDER * width + 0.05:
            return np.full(len(seems), level), level, error
        return each, level, error
