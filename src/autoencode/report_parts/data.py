"""What a report shows, and the errors measured from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoencode.errors import DataError

__all__ = ["Errors", "ReportData", "check", "measure"]

_BLOCK_VALUES = 4_000_000
_CURVE_KEYS = (
    "size",
    "explained_variance",
    "pca_explained_variance",
    "error",
    "pca_error",
    "network",
)


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows, as plain values.

    Parameters
    ----------
    title : str
        The page's heading, such as the name of the data file.
    sentence : str
        What was fitted and how good it is.
    facts : mapping of str to str
        The table at the end of the page; ``"seconds"`` (time of the fit) also makes a
        key figure.
    curve : mapping of str to array of shape (m,)
        ``size`` (whole numbers, ascending), ``explained_variance`` and
        ``pca_explained_variance`` (held-out shares, at most 1), ``error`` and ``pca_error``
        (mean squared error per value), ``network`` (whether the gate is open there).
    chosen_size : int
        The fitted model's number of components; one of ``curve["size"]``.
    level : float or None
        The share of variance that was asked for, if one was.
    rows, reconstructions : array of shape (r, d)
        Held-out rows and their reconstructions, in the data's units.
    codes : array of shape (r, k)
        The codes of those rows.
    row_numbers : array of shape (r,)
        Where those rows stand in the data that was given.
    column_scale : array of shape (d,)
        The unit in which errors of different columns are compared: standard deviations,
        or one common scale. Entries that are zero or not finite count as 1.
    names : tuple of str or None
        The columns' names.
    sample_shape : tuple of int
        ``(height, width)`` or ``(height, width, 3)`` when rows are pictures, else ``(d,)``.
    history : mapping of str to sequence
        One entry per epoch: ``phase``, ``epoch``, ``seconds``, ``learning_rate``,
        ``held_out`` and each loss term as ``train_<term>``. Empty when nothing was trained.
    loading : str
        Python that loads the model.
    """

    title: str
    sentence: str
    facts: Mapping[str, str]
    curve: Mapping[str, np.ndarray]
    chosen_size: int
    level: float | None
    rows: np.ndarray
    reconstructions: np.ndarray
    codes: np.ndarray
    row_numbers: np.ndarray
    column_scale: np.ndarray
    names: tuple[str, ...] | None
    sample_shape: tuple[int, ...]
    history: Mapping[str, Sequence[Any]]
    loading: str

    @property
    def n_columns(self) -> int:
        """The number of columns of the data."""
        return int(self.rows.shape[1])

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels (1 or 3) when rows are pictures, else ``None``."""
        shape = tuple(self.sample_shape)
        if len(shape) == 2:
            shape = (*shape, 1)
        if len(shape) != 3 or shape[2] not in (1, 3) or min(shape[:2]) < 2:
            return None
        return shape[0], shape[1], shape[2]

    @property
    def unit(self) -> np.ndarray:
        """The column scale with 1 where it is zero or not finite, shape (d,), float64."""
        scale = np.asarray(self.column_scale, dtype=np.float64)
        usable = np.isfinite(scale) & (scale > 0)
        return np.where(usable, scale, 1.0)

    @property
    def has_common_unit(self) -> bool:
        """Whether all columns are compared in one and the same unit."""
        unit = self.unit
        return bool(np.all(unit == unit[0]))

    def column_name(self, column: int) -> str:
        """Name a column: its own name, or ``column 7`` when columns have none."""
        return f"column {column}" if self.names is None else str(self.names[column])

    def curve_at(self, size: int) -> dict[str, float]:
        """Give the curve's values at one size.

        Parameters
        ----------
        size : int
            One of ``curve["size"]``.

        Returns
        -------
        dict of str to float
            Every entry of the curve at that size, and ``ratio`` (error over PCA's).
        """
        place = int(np.flatnonzero(np.asarray(self.curve["size"]) == size)[0])
        values = {key: float(self.curve[key][place]) for key in _CURVE_KEYS}
        values["ratio"] = float(self.ratio[place])
        return values

    @property
    def ratio(self) -> np.ndarray:
        """Error over PCA's at each size, shape (m,): 1 where both are 0, NaN where PCA's is."""
        error = np.asarray(self.curve["error"], dtype=np.float64)
        pca_error = np.asarray(self.curve["pca_error"], dtype=np.float64)
        ratio = np.where((error == 0) & (pca_error == 0), 1.0, np.nan)
        np.divide(error, pca_error, out=ratio, where=pca_error > 0)
        return ratio


@dataclass(frozen=True)
class Errors:
    """Reconstruction errors of the held-out rows, in units of the column scale.

    Parameters
    ----------
    by_row : array of shape (r,)
        Root mean squared error of each row over its columns.
    by_column : array of shape (d,)
        Root mean squared error of each column over the rows.
    spread : array of shape (d,)
        Standard deviation of each column over the rows: the error of its mean.
    mean : array of shape (d,)
        Mean of each column, in the data's units.
    """

    by_row: np.ndarray
    by_column: np.ndarray
    spread: np.ndarray
    mean: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Rows from the best to the worst; one whose error is not a number is worst."""
        return np.argsort(np.nan_to_num(self.by_row, nan=np.inf), kind="stable")

    @property
    def explained(self) -> np.ndarray:
        """Share of each column's variance explained; not a number for constant columns."""
        share = np.full(self.spread.shape, np.nan)
        np.divide(self.by_column**2, self.spread**2, out=share, where=self.spread > 0)
        return 1.0 - share


def measure(data: ReportData) -> Errors:
    """Measure the errors of the held-out rows, a block of rows at a time.

    Parameters
    ----------
    data : ReportData
        With at least one row.

    Returns
    -------
    Errors
        By row and by column, in units of the column scale.
    """
    count, width = data.rows.shape
    unit = data.unit
    block = max(1, _BLOCK_VALUES // width)
    by_row = np.zeros(count)
    squares, sums, spread = np.zeros(width), np.zeros(width), np.zeros(width)
    for start in range(0, count, block):
        rows = data.rows[start : start + block].astype(np.float64)
        error = (data.reconstructions[start : start + block] - rows) / unit
        by_row[start : start + block] = np.sqrt(np.mean(error**2, axis=1))
        squares += np.sum(error**2, axis=0)
        sums += rows.sum(axis=0)
    mean = sums / count
    for start in range(0, count, block):
        rows = data.rows[start : start + block].astype(np.float64)
        spread += np.sum(((rows - mean) / unit) ** 2, axis=0)
    return Errors(by_row, np.sqrt(squares / count), np.sqrt(spread / count), mean)


def check(data: ReportData) -> None:
    """Check that the parts of a report fit together.

    Parameters
    ----------
    data : ReportData
        What the report shows.

    Raises
    ------
    DataError
        If a shape disagrees with another, a part of the curve is missing, or the
        chosen size is not on the curve.
    """
    missing = [key for key in _CURVE_KEYS if key not in data.curve]
    if missing:
        raise DataError(f"the report's curve has no {missing[0]!r}; it needs {_CURVE_KEYS}")
    if data.chosen_size not in np.asarray(data.curve["size"]):
        raise DataError(f"the report's chosen size {data.chosen_size} is not on its curve")
    if data.rows.ndim != 2 or 0 in data.rows.shape:
        raise DataError(f"a report needs rows of shape (r, d), both > 0: got {data.rows.shape}")
    count, width = data.rows.shape
    if data.codes.ndim != 2 or data.codes.shape[1] == 0:
        raise DataError(f"a report needs codes of shape (r, k), k > 0: got {data.codes.shape}")
    lengths = {
        "reconstructions": (data.reconstructions.shape, (count, width)),
        "codes": (data.codes.shape[:1], (count,)),
        "row_numbers": (np.shape(data.row_numbers), (count,)),
        "column_scale": (np.shape(data.column_scale), (width,)),
        "names": ((width,) if data.names is None else (len(data.names),), (width,)),
        "sample_shape": ((math.prod(data.sample_shape),), (width,)),
    }
    for name, (given, wanted) in lengths.items():
        if given != wanted:
            raise DataError(f"the report's {name} has shape {given}, its rows ask for {wanted}")
