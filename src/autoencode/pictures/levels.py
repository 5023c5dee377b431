"""How strong normal noise is in one picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["noise_level"]

_SIDE = 7
_MOST_PATCHES = 50_000


def noise_level(picture: npt.NDArray[Any]) -> float:
    """Estimate the deviation of normal noise that is as strong in all pixels.

    Small parts of a picture are much alike, so that most of the variances along their principal
    axes are those of the noise alone. The largest are left out until mean and median of
    the others agree (Chen et al., 2015, algorithm 1).

    Parameters
    ----------
    picture : ndarray of shape (height, width) or (height, width, n_colours)
        In any units.

    Returns
    -------
    float
        In the same units. Fine texture counts as noise where there is little of it.
    """
    values = np.asarray(picture, dtype=np.float64)
    if values.ndim == 2:
        values = values[..., None]
    side = min(_SIDE, *values.shape[:2])
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), axis=(0, 1))
    count = math.prod(windows.shape[:3])
    every = max(1, round(math.sqrt(count / _MOST_PATCHES)))
    patches = windows[::every, ::every].reshape(-1, side * side)
    if len(patches) < 2:
        return 0.0
    variances = np.maximum(np.linalg.eigvalsh(np.cov(patches.T)), 0.0)
    means = np.cumsum(variances) / np.arange(1, len(variances) + 1)
    for count in range(len(variances), 0, -1):
        if means[count - 1] <= np.median(variances[:count]):
            return float(np.sqrt(means[count - 1]))
    return float(np.sqrt(variances[0]))
