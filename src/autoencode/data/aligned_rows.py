"""Pictures moved by whole pixels to a place of their own, whatever their place was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import FloatArray, Rows
from autoencode.errors import DataError

__all__ = ["AlignedRows", "moved_pictures", "own_places"]

Places = npt.NDArray[np.int64]

_STEPS_OF_WEIGHT = 1 << 16
"""Weights are whole numbers, so that their sums are exact wherever a picture lies."""


class AlignedRows(Rows):
    """Pictures as rows, each moved so that it lies where it would wherever it was.

    Parameters
    ----------
    rows : Rows
        Pictures.
    places : ndarray of shape (n_rows, 2), optional
        Where they are, as from `own_places`; not given: found.

    Attributes
    ----------
    places : ndarray of shape (n_rows, 2)
        How many pixels down and to the right of its aligned form each picture lies.

    Raises
    ------
    DataError
        If a pixel is missing.
    """

    def __init__(self, rows: Rows, places: Places | None = None) -> None:
        super().__init__(
            rows._source, kind=rows.kind, names=rows.names, index=rows.index, kept=rows.kept
        )
        self.pictures = getattr(rows, "pictures", None)
        if rows.has_missing:
            raise DataError(
                "a picture has missing pixels, and aligned=True needs all of them to find its "
                "place: fill them in first, or fit without aligned"
            )
        self.places = np.empty((self.n_rows, 2), np.int64) if places is None else places
        if places is None:
            for start, block in rows.blocks():
                found = own_places(block, self.sample_shape)
                self.places[start : start + len(block)] = found

    def block(self, start: int, stop: int) -> FloatArray:
        """Read rows by number, moved; as in `Rows`."""
        return moved_pictures(
            super().block(start, stop), self.sample_shape, -self.places[start:stop]
        )

    def take(self, indices: npt.ArrayLike) -> FloatArray:
        """Read rows at indices, moved; as in `Rows`."""
        return moved_pictures(
            super().take(indices), self.sample_shape, -self.places[np.asarray(indices)]
        )

    def dense(self) -> FloatArray:
        """Return all rows, moved, as one matrix."""
        return self.block(0, self.n_rows)


def own_places(values: FloatArray, shape: Sequence[int]) -> Places:
    """Return how far down and to the right of their aligned forms pictures lie.

    A picture is aligned by whole pixels, height and width each for itself: so that the
    centre of its intensity, as a difference from the background, lies in the middle; where it
    touches both ends, so that its edge is repeated as often at the one as at the other. The
    background is the median of its outermost pixels. It is moved only so far that lines are lost
    that are the same as those beside them: moved back, the picture is the same.

    So a picture and the same one somewhere else have one aligned form, exactly, as long as
    a line of background is left around it.

    Parameters
    ----------
    values : ndarray of shape (n, n_values)
        None is missing.
    shape : sequence of int
        ``(height, width)``, ``(height, width, colours)``, or ``(n_values,)`` for lines of pixels.

    Returns
    -------
    ndarray of shape (n, 2)
        Whole pixels.
    """
    pictures = values.reshape(len(values), *_sides(shape))
    ends = (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1])
    background = np.median(np.concatenate(ends, 1), axis=1)[:, None, None]
    apart = np.abs(pictures - background).sum(3, dtype=np.float64)
    most = np.maximum(apart.max((1, 2), keepdims=True), np.finfo(np.float64).tiny)
    weights = np.rint(apart / most * _STEPS_OF_WEIGHT).astype(np.int64)
    down = _steps(pictures, apart > 0, weights)
    right = _steps(pictures.swapaxes(1, 2), (apart > 0).swapaxes(1, 2), weights.swapaxes(1, 2))
    return -np.stack([down, right], 1)


def _steps(pictures: npt.NDArray[Any], differs: npt.NDArray[np.bool_], weights: Places) -> Places:
    """Return by how many lines pictures are to be moved down, ``(n,)``."""
    height = pictures.shape[1]
    same = (pictures[:, 1:] == pictures[:, :-1]).all((2, 3))
    above, below = (np.cumprod(part, 1).sum(1) for part in (same, same[:, ::-1]))
    lines = weights.sum(2)
    total, moment = lines.sum(1), (lines * np.arange(height)).sum(1)
    centred = (height * total - 2 * moment) // np.maximum(2 * total, 1)
    touches = differs[:, 0].any(1) & differs[:, -1].any(1)
    found: Places = np.where(touches, below - above, np.clip(centred, -above, below))
    return np.where(total > 0, found, 0)


def moved_pictures(values: FloatArray, shape: Sequence[int], steps: Places) -> FloatArray:
    """Return pictures moved down and to the right; what enters is the edge.

    Parameters
    ----------
    values : ndarray of shape (n, n_values)
        Pictures.
    shape : sequence of int
        As for `own_places`.
    steps : ndarray of shape (n, 2)
        Pixels, of each picture.
    """
    if not steps.any():
        return values
    height, width, colours = _sides(shape)
    lines, columns = (
        np.clip(np.arange(side) - step[:, None], 0, side - 1)
        for side, step in zip((height, width), steps.T, strict=True)
    )
    pictures = values.reshape(len(values), height, width, colours)
    numbers = np.arange(len(values))[:, None, None]
    moved: FloatArray = pictures[numbers, lines[:, :, None], columns[:, None, :]]
    return moved.reshape(values.shape)


def _sides(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return height, width and colours; a line of pixels is one high."""
    height, width = (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])
    return height, width, math.prod(shape[2:])
