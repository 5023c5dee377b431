"""What a report shows: of any fit, and of one to an array."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.drawn import Drawn, check_drawn
from autoencode.report_parts.explored import Explored, check_explored
from autoencode.report_parts.filters import Filters
from autoencode.report_parts.missing import Missingness
from autoencode.report_parts.units import Units, check_units

__all__ = ["FittedData", "PageData", "ReportData", "check", "picture_shape_of", "require_lengths"]

_CURVE_KEYS = (
    "size",
    "explained_variance",
    "pca_explained_variance",
    "error",
    "pca_error",
    "network",
)


@dataclass(frozen=True, kw_only=True)
class PageData:
    """What every report shows, as plain values.

    Parameters
    ----------
    title : str
        The page's heading, such as the name of the data file.
    sentence : str
        What was fitted and how good it is.
    facts : mapping of str to str
        The table at the end of the page; ``"seconds"`` (time of the fit) also makes a
        key figure.
    history : mapping of str to sequence
        One entry per epoch: ``phase``, ``epoch``, ``seconds``, ``learning_rate``,
        ``held_out`` and each loss term as ``train_<term>``. Empty when nothing was trained.
    loading : str
        Python that loads the model; empty if it was not kept.
    missing : Missingness or None
        Which cells are missing; None if none is.
    """

    title: str
    sentence: str
    facts: Mapping[str, str]
    history: Mapping[str, Sequence[Any]]
    loading: str
    missing: Missingness | None = None


@dataclass(frozen=True, kw_only=True)
class FittedData(PageData, ABC):
    """What a report shows of a fit that chose the length of a code; also see `PageData`.

    Parameters
    ----------
    curve : mapping of str to array of shape (m,)
        ``size`` (whole numbers, ascending), ``explained_variance`` and
        ``pca_explained_variance`` (held-out shares, at most 1), ``error`` and ``pca_error``
        (mean squared error per value), ``network`` (whether the gate is open there).
    chosen_size : int
        The fitted model's number of components; one of ``curve["size"]``.
    level : float or None
        The share of variance that was asked for, if one was.
    codes : array of shape (r, k)
        The codes of r held-out rows.
    row_numbers : array of shape (r,)
        Where those rows stand in the data that was given.
    units : Units or None
        The parts of a sparse model; None for others.
    bounds : mapping or None
        How likely a variational model makes rows, as `autoencode.bounds_summary.known_bounds`;
        None for others.
    drawn : Drawn or None
        New rows beside real ones; None if the model cannot draw.
    explored : Explored or None
        What codes mean; None if the model does not know how they vary.
    """

    curve: Mapping[str, np.ndarray]
    chosen_size: int
    level: float | None
    codes: np.ndarray
    row_numbers: np.ndarray
    units: Units | None = None
    bounds: Mapping[str, Any] | None = None
    drawn: Drawn | None = None
    explored: Explored | None = None

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """The number of columns of the data."""

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels when rows are pictures, else ``None``."""
        return None

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


@dataclass(frozen=True, kw_only=True)
class ReportData(FittedData):
    """What a report shows of a fit to an array: numbers, or the pixels of pictures.

    Parameters
    ----------
    rows, reconstructions : array of shape (r, d)
        Held-out rows and their reconstructions, in the data's units; NaN in rows where a
        value is missing.
    column_scale : array of shape (d,)
        The unit in which errors of different columns are compared: standard deviations,
        or one common scale. Entries that are zero or not finite count as 1.
    names : tuple of str or None
        The columns' names.
    sample_shape : tuple of int
        ``(height, width)`` or ``(height, width, channels)`` when rows are pictures, else
        ``(d,)``.
    row_names : tuple of str or None
        What the rows are called, such as the files of pictures; None: by their numbers.
    filters : Filters or None
        What the first layer looks for in pictures; None for others.
    """

    rows: np.ndarray
    reconstructions: np.ndarray
    column_scale: np.ndarray
    names: tuple[str, ...] | None
    sample_shape: tuple[int, ...]
    row_names: tuple[str, ...] | None = None
    filters: Filters | None = None

    @property
    def n_columns(self) -> int:
        """The number of columns of the data."""
        return int(self.rows.shape[1])

    @property
    def picture_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels when rows are pictures, else ``None``."""
        return picture_shape_of(self.sample_shape)

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

    def row_name(self, row: int) -> str:
        """Name a row: as its file is called, or ``row 7``, where it stands in the data."""
        if self.row_names is None:
            return f"row {int(self.row_numbers[row])}"
        return self.row_names[row]


def picture_shape_of(sample_shape: Sequence[int]) -> tuple[int, int, int] | None:
    """Return height, width and channels of rows that are pictures; None of others.

    Parameters
    ----------
    sample_shape : sequence of int
        Of one row: ``(height, width)`` or ``(height, width, channels)`` for pictures.
    """
    whole = (*sample_shape, 1) if len(sample_shape) == 2 else tuple(sample_shape)
    if len(whole) != 3 or min(whole[:2]) < 2:
        return None
    return whole[0], whole[1], whole[2]


def check(data: FittedData) -> None:
    """Check that the parts of a report that all fits have fit together.

    Parameters
    ----------
    data : FittedData
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
    if data.codes.ndim != 2 or data.codes.shape[1] == 0:
        raise DataError(f"a report needs codes of shape (r, k), k > 0: got {data.codes.shape}")
    if data.units is not None:
        check_units(data.units)
    if data.drawn is not None:
        check_drawn(data.drawn)
    if data.explored is not None:
        check_explored(data.explored)
    if isinstance(data, ReportData):
        _check_array(data)


def _check_array(data: ReportData) -> None:
    if data.rows.ndim != 2 or 0 in data.rows.shape:
        raise DataError(f"a report needs rows of shape (r, d), both > 0: got {data.rows.shape}")
    count, width = data.rows.shape
    require_lengths(
        {
            "reconstructions": (data.reconstructions.shape, (count, width)),
            "codes": (data.codes.shape[:1], (count,)),
            "row_numbers": (np.shape(data.row_numbers), (count,)),
            "column_scale": (np.shape(data.column_scale), (width,)),
            "row_names": ((count if data.row_names is None else len(data.row_names),), (count,)),
            "names": ((width,) if data.names is None else (len(data.names),), (width,)),
            "sample_shape": ((math.prod(data.sample_shape),), (width,)),
        }
    )


def require_lengths(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """Refuse parts of a report whose shape is not what its rows ask for.

    Parameters
    ----------
    shapes : mapping of str to pair of tuple of int
        The shape of each part, and what it should be.

    Raises
    ------
    DataError
        Naming the first that differs.
    """
    for name, (given, wanted) in shapes.items():
        if given != wanted:
            raise DataError(f"the report's {name} has shape {given}, its rows ask for {wanted}")
