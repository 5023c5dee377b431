"""Centre and scale, in float64, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.errors import SpecError
from autoencode.interfaces import Layout

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


def fit_scaling(
    blocks: Iterable[npt.NDArray[Any]], kind: str, layout: Layout | None = None
) -> Scaling:
    """Measure means and deviations in one pass, with pairwise updates in float64.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (rows, n_values)
        The rows, piece by piece; NaN where a value is missing.
    kind : {"common", "standard"}
        One scale for all columns (the root of the mean variance) or one for each.
        Constant columns, whose deviation is no more than rounding, get the scale 1.
    layout : Layout, optional
        Which values belong together: those of one segment have one scale, and the
        variances of all values of a column add up to 1, so that columns count alike.

    Returns
    -------
    Scaling
        See Chan, Golub and LeVeque (1983), eq. 1.5, for the update.
    """
    count: Any = 0
    mean, squares = np.zeros(0), np.zeros(0)
    for block in blocks:
        piece = np.asarray(block, dtype=np.float64)
        piece_count, piece_mean, piece_squares = _moments(piece)
        if not len(mean):
            count, mean, squares = piece_count, piece_mean, piece_squares
            continue
        both = np.maximum(count + piece_count, 1)
        step = piece_mean - mean
        mean = mean + step * (piece_count / both)
        squares = squares + piece_squares + np.square(step) * (count * piece_count / both)
        count = count + piece_count
    variance = squares / np.maximum(count, 1)
    constant = variance <= np.square(1e-12 * np.abs(mean)) + np.finfo(np.float64).tiny
    variance[constant] = 0.0
    if kind == "common":
        variance = np.full_like(variance, variance.mean())
    elif layout is not None and layout.segments:
        variance = _joint(variance, layout)
    scale = np.sqrt(variance)
    scale[scale == 0] = 1.0
    return Scaling(mean, scale)


def _moments(piece: npt.NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Return how many values each column has, their mean and sum of squared deviations."""
    missing = np.isnan(piece)
    if not missing.any():
        mean = piece.mean(0)
        return len(piece), mean, np.square(piece - mean).sum(0)
    count = len(piece) - missing.sum(0)
    mean = np.where(missing, 0.0, piece).sum(0) / np.maximum(count, 1)
    return count, mean, np.where(missing, 0.0, np.square(piece - mean)).sum(0)


def _joint(variance: npt.NDArray[np.float64], layout: Layout) -> npt.NDArray[np.float64]:
    """Return the variance by which each value is divided: its segment's, times its column's."""
    varying = [(part, float(variance[part.start : part.stop].sum())) for part in layout.segments]
    shares = Counter(part.column for part, total in varying if total > 0)
    joint = np.zeros_like(variance)
    for part, total in varying:
        joint[part.start : part.stop] = total * shares[part.column]
    return joint
