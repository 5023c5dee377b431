"""The reconstruction errors of an array's held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoencode.report_parts.data import ReportData

__all__ = ["Errors", "from_best_to_worst", "measure"]

_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class Errors:
    """Reconstruction errors of the held-out rows, in units of the column scale.

    Values that are missing do not count; of what has none, an error is not a number.

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
        """Rows from the best to the worst."""
        return from_best_to_worst(self.by_row)

    @property
    def explained(self) -> np.ndarray:
        """Share of each column's variance explained; not a number for constant columns."""
        share = np.full(self.spread.shape, np.nan)
        np.divide(self.by_column**2, self.spread**2, out=share, where=self.spread > 0)
        return 1.0 - share


def from_best_to_worst(by_row: np.ndarray) -> np.ndarray:
    """Order rows by their error, ascending; one whose error is not a number is worst."""
    return np.argsort(np.nan_to_num(by_row, nan=np.inf), kind="stable")


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
    known = np.zeros(width)
    squares, sums, spread = np.zeros(width), np.zeros(width), np.zeros(width)
    for start in range(0, count, block):
        rows = data.rows[start : start + block].astype(np.float64)
        observed = ~np.isnan(rows)
        error = np.where(observed, (data.reconstructions[start : start + block] - rows) / unit, 0.0)
        by_row[start : start + block] = np.sqrt(np.sum(error**2, axis=1) / observed.sum(axis=1))
        known += observed.sum(axis=0)
        squares += np.sum(error**2, axis=0)
        sums += np.where(observed, rows, 0.0).sum(axis=0)
    mean = sums / known
    for start in range(0, count, block):
        rows = data.rows[start : start + block].astype(np.float64)
        off = np.where(np.isnan(rows), 0.0, (rows - mean) / unit)
        spread += np.sum(off**2, axis=0)
    return Errors(by_row, np.sqrt(squares / known), np.sqrt(spread / known), mean)
