"""What a report shows of a fit to a table with columns of any kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autoencode.errors import DataError
from autoencode.report_parts.data import FittedData, require_lengths
from autoencode.report_parts.groups import Grouping

__all__ = ["ColumnFacts", "TableReportData", "check_table"]


@dataclass(frozen=True, kw_only=True)
class ColumnFacts:
    """What a column is, and how well it is reconstructed.

    Parameters
    ----------
    name : str
        Its name.
    kind : str
        Its kind, such as ``numeric``.
    detail : str
        The kind and what there is to say of it: ``categorical, 6 levels``.
    missing_share : float
        The share of its cells that were missing in the data.
    measure : {"explained_variance", "accuracy"} or None
        What its quality is; None for a column that is constant or left out.
    quality, baseline : float or None
        On held-out rows, the model's and that of always answering the mean or the
        commonest level; None if there were no such rows.
    error_share : float
        Its share of the error of all columns.
    """

    name: str
    kind: str
    detail: str
    missing_share: float
    measure: str | None = None
    quality: float | None = None
    baseline: float | None = None
    error_share: float = 0.0

    @property
    def skill(self) -> float:
        """How much of what the baseline gets wrong the model gets right; NaN if unknown.

        1 is perfect, 0 no better than the baseline.
        """
        if self.quality is None or self.baseline is None:
            return math.nan
        left = 1.0 - self.baseline
        if left > 0:
            return (self.quality - self.baseline) / left
        return 1.0 if self.quality >= 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class TableReportData(FittedData):
    """What a report shows of a fit to a table.

    Parameters
    ----------
    columns : tuple of ColumnFacts
        All d columns in order.
    original, rebuilt : pyarrow.Table
        The r held-out rows and what the model makes of them, with these columns; where a
        cell is missing, ``rebuilt`` has what the model would put there.
    errors : array of shape (r, d)
        Of numbers, counts and dates the difference in standard deviations of the column,
        positive if too high; of levels 0 if right and 1 if wrong. NaN where missing or
        left out.
    groupings : tuple of Grouping
        Columns by which the codes can be coloured.
    """

    columns: tuple[ColumnFacts, ...]
    original: pa.Table
    rebuilt: pa.Table
    errors: np.ndarray
    groupings: tuple[Grouping, ...] = ()

    @property
    def n_columns(self) -> int:
        """The number of columns of the data."""
        return len(self.columns)

    @property
    def has_missing_rows(self) -> bool:
        """Whether a row that is shown lacks a cell that the model could restore."""
        return bool(np.isnan(self.errors[:, self.learned]).any())

    @property
    def learned(self) -> np.ndarray:
        """Which columns the model learned from: not those that are constant or left out."""
        return np.array([column.measure is not None for column in self.columns])

    def error_by_row(self) -> np.ndarray:
        """Return the root mean square over each row's observed cells, (r,); NaN if none."""
        errors = self.errors[:, self.learned].astype(np.float64)
        known = ~np.isnan(errors)
        mean = np.full(len(errors), np.nan)
        total = np.square(np.where(known, errors, 0.0)).sum(axis=1)
        np.divide(total, known.sum(axis=1), out=mean, where=known.any(axis=1))
        found: np.ndarray = np.sqrt(mean)
        return found


def check_table(data: TableReportData) -> None:
    """Check that the parts of a table's report fit together.

    Parameters
    ----------
    data : TableReportData
        What the report shows.

    Raises
    ------
    DataError
        If a part has another number of rows or columns than the rest.
    """
    count, width = len(data.codes), data.n_columns
    if not count or not data.learned.any():
        raise DataError("a report needs at least one row and one column that was learned")
    wanted = {
        "errors": (np.shape(data.errors), (count, width)),
        "original": (data.original.shape, (count, width)),
        "rebuilt": (data.rebuilt.shape, (count, width)),
        "row_numbers": (np.shape(data.row_numbers), (count,)),
    }
    wanted |= {
        f"grouping {grouping.name!r}": (np.shape(grouping.places), (count,))
        for grouping in data.groupings
    }
    require_lengths(wanted)
