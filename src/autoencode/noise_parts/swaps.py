"""Noise that puts another row's value in place of some."""

from __future__ import annotations

import math

import numpy as np

from autoencode.noise_parts.description import Array, Noise

__all__ = ["copies", "gain_of", "nats_without", "swapped", "swaps"]

_DENSE = 0.3
_LARGE = 3.0


def copies(raw: Array) -> float:
    """Return the share of cells whose value stands in its column before; NaN is missing."""
    columns = [column[~np.isnan(column)] for column in raw.T]
    alone = sum(len(np.unique(column)) for column in columns)
    return 1.0 - alone / max(sum(map(len, columns)), 1)


def swaps(residual: Array, values: Array) -> Noise:
    """Measure how many cells do not belong to their rows, by expectation maximisation.

    Errors of those that do are normal, some of them three times as wide; of the others as
    wide as the column itself.
    """
    spread = np.maximum(values.std(0), 1e-9)
    centre = np.median(values, axis=0)
    # A column that hardly varies but for a few cells has odd cells of its own.
    dense = 1.4826 * np.median(np.abs(values - centre), axis=0) > _DENSE * spread
    if not dense.any():
        return Noise("swap", spreads=tuple(spread.tolist()))
    residual, values = residual[:, dense], values[:, dense]
    least = 1e-3 * spread[dense]
    scale = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), least)
    weights = np.array([0.85, 0.1, 0.05])
    for _ in range(30):
        joint = _memberships(residual, values, scale, spread[dense], weights)
        weights = joint.mean((1, 2))
        own = joint[0] + joint[1] / _LARGE**2
        scale = np.sqrt((own * np.square(residual)).sum(0) / np.maximum(joint[:2].sum((0, 1)), 1.0))
        scale = np.maximum(scale, least)
    scales = np.full(len(spread), np.nan)
    scales[dense] = scale
    level = float(weights[2])
    error = math.sqrt(max(level, 1e-12) / values.size)
    widths = {"scales": scales, "spreads": spread, "weights": weights}
    listed = {name: tuple(array.tolist()) for name, array in widths.items()}
    return Noise("swap", level, error, **listed)


def gain_of(noise: Noise, residual: Array, values: Array) -> float:
    """Return what is gained by the assumption that values were exchanged, in nats per cell.

    Beside errors that are as wide as they have to be without it.
    """
    scale, spread, weights = (np.array(p) for p in (noise.scales, noise.spreads, noise.weights))
    used = ~np.isnan(scale)
    parts = residual[:, used], values[:, used], scale[used], spread[used]
    return _nats(*parts, weights) - nats_without(residual[:, used])


def nats_without(residual: Array) -> float:
    """Return the log-likelihood of errors that are as wide as they have to be, per cell."""
    spread = np.maximum(residual.std(0), 1e-9)
    scale, shares = spread, np.array([0.9, 0.1, 0.0])
    for _ in range(30):
        joint = _memberships(residual, residual, scale, spread, shares)
        shares = joint.mean((1, 2))
        own = joint[0] + joint[1] / _LARGE**2
        scale = np.sqrt((own * np.square(residual)).sum(0) / len(residual))
        scale = np.maximum(scale, 1e-3 * spread)
    return _nats(residual, residual, scale, spread, shares)


def _nats(residual: Array, values: Array, scale: Array, spread: Array, shares: Array) -> float:
    joint = _densities(residual, values, scale, spread, shares).sum(0)
    return float(np.log(np.maximum(joint, 1e-300)).mean())


def swapped(noise: Noise, residual: Array, values: Array) -> Array:
    """Return the chance that a cell's value is another row's; 0 if no column was measured."""
    if not noise.scales:
        return np.zeros_like(values)
    scale, spread, weights = (np.array(p) for p in (noise.scales, noise.spreads, noise.weights))
    chance: Array = _memberships(residual, values, scale, spread, weights)[2]
    return np.nan_to_num(chance)


def _memberships(
    residual: Array, values: Array, scale: Array, spread: Array, weights: Array
) -> Array:
    joint = _densities(residual, values, scale, spread, weights)
    result: Array = joint / np.maximum(joint.sum(0), 1e-300)
    return result


def _densities(
    residual: Array, values: Array, scale: Array, spread: Array, weights: Array
) -> Array:
    near = np.exp(-0.5 * np.square(residual / scale)) / scale
    wide = np.exp(-0.5 * np.square(residual / (_LARGE * scale))) / (_LARGE * scale)
    elsewhere = np.exp(-0.5 * np.square(values / spread)) / spread
    joint: Array = np.stack([weights[0] * near, weights[1] * wide, weights[2] * elsewhere])
    return joint
