"""Centre and scale, in float64, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.errors import SpecError

__all__ = ["SCALINGS", "Scaling", "choose_scaling", "fit_scaling"]

SCALINGS = ("auto", "common", "standard")


@dataclass(frozen=True)
class Scaling:
    """The map from the data's units to the network's.

    Attributes
    ----------
    center, scale : ndarray of shape (n_features,), float64
        Values are ``(x - center) / scale``; scale is positive.
    """

    center: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @property
    def unit(self) -> float:
        """The common scale, in which codes are given in the data's units; 1 if there is none."""
        first = float(self.scale[0])
        return first if bool((self.scale == first).all()) else 1.0

    def forward(self, block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return scaled values in float64."""
        result = block - self.center
        result /= self.scale
        return result

    def backward(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return values in the data's units, in float64."""
        result = values * self.scale
        result += self.center
        return result


def choose_scaling(scaling: str, *, named: bool) -> str:
    """Return ``"standard"`` or ``"common"``.

    Parameters
    ----------
    scaling : str
        One of `SCALINGS`; "auto" standardises named tables and keeps the units of
        bare arrays, as PCA does.
    named : bool
        Whether the columns have names.

    Raises
    ------
    SpecError
        If ``scaling`` is something else.
    """
    if scaling not in SCALINGS:
        raise SpecError(f"scaling={scaling!r} is not known; choose from {', '.join(SCALINGS)}")
    if scaling == "auto":
        return "standard" if named else "common"
    return scaling


def fit_scaling(blocks: Iterable[npt.NDArray[Any]], kind: str) -> Scaling:
    """Measure means and deviations in one pass, with pairwise updates in float64.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (rows, n_features)
        The rows, piece by piece.
    kind : {"common", "standard"}
        One scale for all columns (the root of the mean variance) or one for each.
        Constant columns, whose deviation is no more than rounding, get the scale 1.

    Returns
    -------
    Scaling
        See Chan, Golub and LeVeque (1983), eq. 1.5, for the update.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for block in blocks:
        piece = np.asarray(block, dtype=np.float64)
        piece_mean = piece.mean(0)
        piece_squares = np.square(piece - piece_mean).sum(0)
        if count == 0:
            count, mean, squares = len(piece), piece_mean, piece_squares
            continue
        both = count + len(piece)
        step = piece_mean - mean
        mean = mean + step * (len(piece) / both)
        squares = squares + piece_squares + np.square(step) * (count * len(piece) / both)
        count = both
    variance = squares / count
    constant = variance <= np.square(1e-12 * np.abs(mean)) + np.finfo(np.float64).tiny
    variance[constant] = 0.0
    if kind == "common":
        variance = np.full_like(variance, variance.mean())
    scale = np.sqrt(variance)
    scale[scale == 0] = 1.0
    return Scaling(mean, scale)
