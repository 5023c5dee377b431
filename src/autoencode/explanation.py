"""What makes a row likely or not, cell by cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.data.rows import FloatArray, Rows
from autoencode.data.tables import column_array, text_array
from autoencode.preprocess.table_rows import TableRows

__all__ = ["explained_cells"]

Array = npt.NDArray[np.float64]


def explained_cells(rows: Rows, values: FloatArray, nats: Array) -> pa.Table:
    """List cells with their log-likelihood, and what was observed and expected there.

    Parameters
    ----------
    rows : Rows
        What was scored.
    values : ndarray of shape (n_rows, n_values)
        Their reconstruction, before it is turned into cells.
    nats : ndarray of shape (n_rows, n_columns)
        Log-likelihood of each cell; NaN where it is missing.

    Returns
    -------
    pyarrow.Table
        Columns ``row``, ``column``, ``nats``, ``observed``, ``expected``.
    """
    names = rows.names or [str(place) for place in range(rows.n_columns)]
    observed, expected = _texts(rows, values)
    order = np.argsort(nats, axis=1, kind="stable")  # missing cells come last
    row = np.repeat(np.arange(rows.n_rows), rows.n_columns)
    column = order.ravel()
    known = ~np.isnan(nats[row, column])
    row, column = row[known], column[known]
    return pa.table(
        {
            "row": column_array(row),
            "column": text_array([names[place] for place in column]),
            "nats": column_array(nats[row, column]),
            "observed": text_array([observed[c][r] for r, c in zip(row, column, strict=True)]),
            "expected": text_array([expected[c][r] for r, c in zip(row, column, strict=True)]),
        }
    )


def _texts(rows: Rows, values: FloatArray) -> tuple[list[list[str]], list[list[str]]]:
    """Return what stands in each column, and what was expected, as text."""
    if not isinstance(rows, TableRows):
        pair = rows.dense().T, values.T
        return tuple([[f"{cell:.6g}" for cell in part] for part in side] for side in pair)  # type: ignore[return-value]
    schema = rows.schema
    table = schema.table(schema.gather(values.astype(np.float64, copy=False)))
    return _columns(rows.table), _columns(table)


def _columns(table: pa.Table) -> list[list[str]]:
    return [[_text(cell) for cell in column.to_pylist()] for column in table.columns]


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
