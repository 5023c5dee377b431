"""What makes a row likely or not, cell by cell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.data.rows import FloatArray, Rows
from autoencode.data.tables import column_array, text_array
from autoencode.preprocess.table_rows import TableRows

__all__ = ["explained_anomalies", "explained_cells", "reason_texts"]

Array = npt.NDArray[np.float64]

_NUMBERS = ("numeric", "count")
_MOST_DIGITS = 9
_REASONS = 3
_LEAST_NATS = 2.0
"""Nats from which a further column is worth telling: two deviations."""


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
    row, column = _known_cells(nats)
    return pa.table(
        {
            "row": column_array(row),
            "column": text_array([names[place] for place in column]),
            "nats": column_array(nats[row, column]),
            "observed": text_array([observed[c][r] for r, c in zip(row, column, strict=True)]),
            "expected": text_array([expected[c][r] for r, c in zip(row, column, strict=True)]),
        }
    )


def explained_anomalies(rows: Rows, values: Array, deviation: Array, nats: Array) -> pa.Table:
    """List cells with how odd they are, what was observed and what was expected there.

    Parameters
    ----------
    rows : Rows
        What was scored.
    values : ndarray of shape (n_rows, n_values)
        What is expected of each value given the others.
    deviation : ndarray of shape (n_values,)
        By how much it is off in normal rows.
    nats : ndarray of shape (n_rows, n_columns)
        How odd each cell is; NaN where that is not known.

    Returns
    -------
    pyarrow.Table
        Columns ``row``, ``column``, ``nats``, ``observed``, ``expected`` ("80 ± 35").
    """
    found = explained_cells(rows, values, -nats)
    names = list(rows.names or [str(place) for place in range(rows.n_columns)])
    spread = _spreads(rows, values, deviation)
    places = {name: place for place, name in enumerate(names)}
    texts = [
        _with_spread(text, spread[place][row]) if (place := places[name]) in spread else text
        for row, name, text in zip(
            found["row"].to_pylist(),
            found["column"].to_pylist(),
            found["expected"].to_pylist(),
            strict=True,
        )
    ]
    odd = column_array(-found["nats"].to_numpy())
    found = found.set_column(2, "nats", odd)
    return found.set_column(4, "expected", text_array(texts))


def reason_texts(explained: pa.Table, n_rows: int) -> list[str]:
    """Return a line for each row: the oddest column, and up to two more that are odd.

    Parameters
    ----------
    explained : pyarrow.Table
        As from `explained_anomalies`.
    n_rows : int
        How many rows were explained.
    """
    lines: list[list[str]] = [[] for _ in range(n_rows)]
    for cell in explained.to_pylist():
        line = lines[cell["row"]]
        if len(line) < _REASONS and (not line or cell["nats"] >= _LEAST_NATS):
            observed = cell["observed"] or "(new)"
            line.append(f"{cell['column']} {observed}; expected {cell['expected']}")
    return [" | ".join(line) for line in lines]


def _known_cells(nats: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of the cells that are not missing, the lowest of a row first."""
    order = np.argsort(nats, axis=1, kind="stable")  # missing cells come last
    row = np.repeat(np.arange(len(nats)), nats.shape[1])
    column = order.ravel()
    known = ~np.isnan(nats[row, column])
    return row[known], column[known]


def _spreads(rows: Rows, values: Array, deviation: Array) -> dict[int, Array]:
    """Return by how much what is expected of each number is off, row by row, by column."""
    if not isinstance(rows, TableRows):
        return {place: np.full(len(values), off) for place, off in enumerate(deviation)}
    schema = rows.schema
    low = schema.gather(values - deviation, clip=False)
    high = schema.gather(values + deviation, clip=False)
    found = {}
    for place, span in enumerate(schema.spans):
        number = pa.types.is_integer(span.block.type) or pa.types.is_floating(span.block.type)
        if number and span.block.n_values == 1 and span.block.kind in _NUMBERS:
            cell = span.cells.start
            found[place] = 0.5 * np.abs(high[:, cell] - low[:, cell])
    return found


def _with_spread(text: str, spread: float) -> str:
    """Return "80 ± 35": two digits of the spread, and no more of what is expected."""
    try:
        expected = float(text)
    except ValueError:
        return text
    if not (math.isfinite(spread) and math.isfinite(expected)):
        return text
    if spread <= 0:
        return text
    digits = 1 - math.floor(math.log10(spread))
    if not -_MOST_DIGITS < digits < _MOST_DIGITS:
        return f"{expected:.6g} ± {spread:.2g}"
    shown = [f"{round(number, digits):,.{max(digits, 0)}f}" for number in (expected, spread)]
    return " ± ".join(shown)


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
