"""What pictures were before normal noise was added, window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.column_densities import ColumnDensities
from autoencode.row_mixture import RowMixture, likeliest_mixture

__all__ = ["PatchPrior", "has_windows", "joined_groups", "parted_groups"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_SIDE = 5
_STRIDE = 2
"""Pixels from one window to the next: each pixel lies in six; with all 25 little is gained."""
_MOST_WINDOWS = 10_000
_PIECE = 4096


def has_windows(shape: tuple[int, ...]) -> bool:
    """Say whether a row is a picture of at least one window, ``(height, width[, channels])``."""
    return len(shape) in (2, 3) and min(shape[:2]) >= _SIDE


@dataclass(frozen=True)
class PatchPrior:
    """How windows of pictures were before the noise, wherever they lie.

    A few pictures have many windows: they tell more of these than of whole pictures. What
    comes of a pixel is the mean over the windows that it lies in (Zoran and Weiss, 2011, whose
    mixture is of clean windows).

    Attributes
    ----------
    mixture : RowMixture
        Of windows of 5 x 5 pixels with all their channels, each a row.
    densities : ColumnDensities
        Of the pixels of windows: how common each brightness is.
    shape : ndarray of int
        ``(height, width)`` or ``(height, width, channels)``.
    offset : ndarray of shape (n_values,)
        By how much values are less than brightnesses, which are alike at all places.
    """

    mixture: RowMixture
    densities: ColumnDensities
    shape: Places
    offset: Array

    @classmethod
    def fitting(
        cls,
        values: Array,
        level: float,
        shape: tuple[int, ...],
        offset: Array,
        generator: np.random.Generator,
    ) -> PatchPrior:
        """Fit to windows of noisy pictures, or of clean ones.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Complete.
        level : float
            Deviation of the normal noise in them, positive.
        shape, offset
            As above.
        generator : numpy.random.Generator
            Draws windows, and where parts of the mixture begin.
        """
        windows = _windows((values + offset).reshape(len(values), *shape))
        count = math.prod(windows.shape[:3])
        drawn = generator.choice(count, min(count, _MOST_WINDOWS), replace=False)
        chosen = windows[np.unravel_index(np.sort(drawn), windows.shape[:3])]
        flat = chosen.reshape(len(chosen), -1)
        mixture = likeliest_mixture(flat, level, generator)
        densities = ColumnDensities.fitting(mixture, flat, level, generator)
        return cls(mixture, densities, np.array(shape, dtype=np.intp), offset)

    def restored(self, values: Array, levels: Array) -> Array:
        """Return the expected pictures before the noise, ``(n, n_values)``.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            With normal noise.
        levels : ndarray of shape (n,)
            Its deviation in each picture.
        """
        result = np.empty_like(values)
        down, across = (_places(int(side)) for side in self.shape[:2])
        at_once = max(1, _PIECE // (len(down) * len(across)))
        for start in range(0, len(values), at_once):
            rows = slice(start, start + at_once)
            pictures = (values[rows] + self.offset).reshape(-1, *self.shape)
            windows = _windows(pictures)[:, down][:, :, across]
            flat = windows.reshape(math.prod(windows.shape[:3]), -1)
            each = np.repeat(levels[rows], len(flat) // len(pictures))
            found = self.densities.restored(self.mixture.weighed(flat, each), each)
            joined = _joined(found.reshape(windows.shape), down, across)
            result[rows] = joined.reshape(len(pictures), -1)
        return result - self.offset

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name, to be saved."""
        return joined_groups(
            {
                "pictures": {"shape": self.shape, "offset": self.offset},
                "mixture": self.mixture.tensors(),
                "densities": self.densities.tensors(),
            }
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[Any]]) -> PatchPrior:
        """Return what `tensors` described."""
        parts = parted_groups(tensors)
        shape, offset = parts["pictures"]["shape"], parts["pictures"]["offset"]
        mixture, densities = RowMixture(**parts["mixture"]), ColumnDensities(**parts["densities"])
        return cls(mixture, densities, shape.astype(np.intp), offset)


def joined_groups(groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the arrays of several groups by the names "group.name"."""
    return {
        f"{group}.{name}": part for group, parts in groups.items() for name, part in parts.items()
    }


def parted_groups(tensors: dict[str, npt.NDArray[Any]]) -> dict[str, dict[str, Array]]:
    """Return what `joined_groups` joined, as float64."""
    groups: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = np.asarray(array, dtype=np.float64)
    return groups


def _windows(pictures: Array) -> Array:
    """Return all windows that lie in pictures, ``(n, down, across, side, side, channels)``."""
    whole = pictures.reshape(*pictures.shape[:3], -1)
    found = np.lib.stride_tricks.sliding_window_view(whole, (_SIDE, _SIDE), axis=(1, 2))
    return np.moveaxis(found, 3, -1)


def _places(side: int) -> Places:
    """Return where windows begin, the last one among them."""
    last = side - _SIDE
    return np.array([*range(0, last, _STRIDE), last], dtype=np.intp)


def _joined(windows: Array, down: Places, across: Places) -> Array:
    """Return pictures each pixel of which is the mean over the windows that it lies in."""
    size = int(down[-1]) + _SIDE, int(across[-1]) + _SIDE
    total, times = np.zeros((len(windows), *size, windows.shape[-1])), np.zeros(size)
    for i in range(_SIDE):
        for j in range(_SIDE):
            rows, columns = np.ix_(down + i, across + j)
            total[:, rows, columns] += windows[:, :, :, i, j]
            times[rows, columns] += 1
    return total / times[:, :, None]
