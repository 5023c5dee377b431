"""How strong normal noise is."""

from __future__ import annotations

import math

import numpy as np

from autoencode.noise_parts.description import Array
from autoencode.preprocess.filling import Moments

__all__ = ["LEAST_LEVEL", "level_of_rows", "noise_floor"]

_LEVELS = np.geomspace(0.01, 8.0, 121)
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
    variances = variances[variances > 1e-9 * max(float(variances[-1]), 1e-300)]
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


def level_of_rows(moments: Moments, values: Array) -> tuple[Array, float, float]:
    """Estimate how strong normal noise is in each row, given what rows without noise are.

    By likelihood along the principal axes; how the strengths are spread over rows is
    estimated with them (Robbins, 1956), so that rows alike are treated alike.

    Parameters
    ----------
    moments : Moments
        Of rows without noise.
    values : ndarray of shape (rows, n_values)
        Centred.

    Returns
    -------
    levels : ndarray of shape (rows,)
        Deviations of the noise.
    level, error : float
        Root mean square over rows, and its standard error.
    """
    variances, axes = np.linalg.eigh(moments.covariance)
    variances = np.maximum(variances, 1e-6)
    squares = np.square(values @ axes)
    total = variances[None, :] + np.square(_LEVELS)[:, None]
    likelihood = -0.5 * (squares @ (1.0 / total).T + np.log(total).sum(1))
    likelihood -= likelihood.max(1, keepdims=True)
    chance = np.exp(likelihood)
    weights = np.full(len(_LEVELS), 1.0 / len(_LEVELS))
    for _ in range(50):
        joint = chance * weights
        share = joint / joint.sum(1, keepdims=True)
        weights = share.mean(0)
    levels = np.exp(share @ np.log(_LEVELS))
    level = float(np.sqrt(np.mean(np.square(levels))))
    information = 0.5 * np.square(2 * level / (variances + level**2)).sum() * len(values)
    return levels, level, 1.0 / math.sqrt(max(float(information), 1e-12))
