"""What can be true of restored values: noise is only so large, and columns have a range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import Rows
from autoencode.preprocess.scaling import Scaling

__all__ = ["ranges_of", "within_noise", "within_ranges"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_MOST_DEVIATIONS = 4.0
"""Of normal noise in a single value: one of 16,000 is beyond."""
_MOST_SPREAD = 3.0
"""How many standard deviations above its mean the sum of a row's squares may be."""


def within_noise(values: Array, restored: Array, levels: Array) -> Array:
    """Return restored rows that differ from the noisy ones by no more than the noise can.

    Rows far from all that was learned from are guessed badly. The more a step is longer than
    noise can be, for a value or for its row, the shorter is what is left of it.

    Parameters
    ----------
    values, restored : ndarray of shape (rows, n_values)
        With normal noise, and what a model makes of them.
    levels : ndarray of shape (rows,)
        Deviation of the noise in each row.
    """
    count = values.shape[1]
    longest = levels * np.sqrt(count + _MOST_SPREAD * np.sqrt(2.0 * count))
    step = restored - values
    length = np.sqrt(np.square(step).sum(1))
    step *= _bounded(length, longest)[:, None]
    step *= _bounded(np.abs(step), _MOST_DEVIATIONS * levels[:, None])
    result: Array = values + step
    return result


def _bounded(lengths: Array, longest: Array) -> Array:
    """Return by how much steps are shortened: twice too long a one to half of the longest."""
    shares: Array = np.square(np.minimum(1.0, longest / np.maximum(lengths, 1e-300)))
    return shares


def ranges_of(scaling: Scaling, rows: Rows, real: Places) -> dict[str, Any]:
    """Return the least and the greatest value of each column of numbers, scaled; plain lists."""
    low = np.full(len(real), np.inf)
    high = -low
    for _, block in rows.blocks():
        values = scaling.forward(block.astype(np.float64, copy=False))[:, real]
        low = np.fmin(low, np.fmin.reduce(values, axis=0))
        high = np.fmax(high, np.fmax.reduce(values, axis=0))
    known = np.isfinite(low) & np.isfinite(high)
    return {
        "low": [float(v) if k else None for v, k in zip(low, known, strict=True)],
        "high": [float(v) if k else None for v, k in zip(high, known, strict=True)],
    }


def within_ranges(values: Array, restored: Array, ranges: dict[str, Any] | None) -> Array:
    """Return restored values that no column's range is exceeded by; given ones stay.

    Parameters
    ----------
    values, restored : ndarray of shape (rows, n_values)
        As they were given, and what a model makes of them.
    ranges : dict or None
        What `ranges_of` returned; None: not known.
    """
    if ranges is None:
        return restored
    low, high = (np.array(ranges[side], dtype=np.float64) for side in ("low", "high"))
    bounded = np.fmax(np.fmin(restored, high), low)
    result: Array = np.where(restored == values, restored, bounded)
    return result
