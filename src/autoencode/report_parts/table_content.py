"""From a table's rows and what a model makes of them to what a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.data.rows import Rows
from autoencode.data.tables import TableData, column_array
from autoencode.preprocess.column_kinds.binary import Binary
from autoencode.preprocess.column_kinds.categorical import Categorical
from autoencode.preprocess.column_kinds.keys import floats
from autoencode.preprocess.column_kinds.ordered import Ordered
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.table_rows import TableRows
from autoencode.quality import column_quality
from autoencode.report_parts.groups import Grouping
from autoencode.report_parts.table_data import ColumnFacts

__all__ = [
    "cell_errors",
    "column_facts",
    "deviations",
    "grouping_candidates",
    "measured_quality",
    "missing_cells",
    "rebuilt_cells",
    "take_rows",
]

FloatArray = npt.NDArray[np.float64]

_MOST_LEVELS = 12


def take_rows(rows: Rows, numbers: npt.NDArray[np.int64]) -> TableRows:
    """Return some rows of a table, as an Arrow table with the schema's order of columns."""
    assert isinstance(rows, TableRows)
    table = rows.table.select(list(rows.schema.names)).take(column_array(numbers))
    return TableRows(rows.schema, TableData(table, "arrow"))


def missing_cells(rows: TableRows, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which cells of some rows are missing, ``(n, n_columns)``, identifiers included."""
    schema = rows.schema
    found = schema.missing(rows.cells[numbers])
    for column, block in enumerate(schema.blocks):
        if not block.n_cells:
            chosen = rows.table.column(block.name).take(column_array(numbers))
            found[:, column] = floats(chosen.is_null()) == 1
    return found


def rebuilt_cells(shown: TableRows, reconstructed: pa.Table, completed: pa.Table) -> FloatArray:
    """Return the reconstruction's cells; where one is missing, what would be put there.

    Parameters
    ----------
    shown : TableRows
        The rows.
    reconstructed, completed : pyarrow.Table
        What is left of them after coding, and they themselves with missing cells restored.

    Returns
    -------
    ndarray of shape (n_rows, schema.n_cells)
        NaN where a model has nothing to put.
    """
    schema = shown.schema
    found, restored = schema.cells(reconstructed), schema.cells(completed)
    return np.where(np.isnan(shown.cells) & ~np.isnan(restored), restored, found)


def column_facts(schema: Schema, quality: Sequence[Mapping[str, Any]]) -> tuple[ColumnFacts, ...]:
    """Join what columns are and how well they are reconstructed.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    quality : sequence of mapping
        As from `autoencode.quality.column_quality`.

    Returns
    -------
    tuple of ColumnFacts
        One for each column, in order.
    """
    return tuple(
        ColumnFacts(
            name=is_["name"],
            kind=is_["kind"],
            detail=is_["detail"],
            missing_share=is_["missing_share"],
            measure=found["measure"],
            quality=found.get("quality"),
            baseline=found.get("baseline"),
            error_share=found.get("error_share", 0.0),
        )
        for is_, found in zip(schema.describe(), quality, strict=True)
    )


def measured_quality(
    schema: Schema, truth: FloatArray, rebuilt: FloatArray, scale: FloatArray
) -> list[dict[str, Any]]:
    """Measure the quality of columns on the rows that are shown.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    truth, rebuilt : ndarray of shape (n, n_cells)
        Cells.
    scale : ndarray of shape (n_values,)
        What errors are divided by.

    Returns
    -------
    list of dict
        As from `autoencode.quality.column_quality`.
    """
    values, guess = schema.spread(truth), schema.spread(rebuilt)
    counted = ~np.isnan(values) & ~np.isnan(guess)
    squares = np.where(counted, np.square((guess - values) / scale), 0.0).sum(axis=0)
    errors = squares / np.maximum(counted.sum(axis=0), 1)
    return column_quality(schema, values, guess, counted, errors)


def deviations(schema: Schema, cells: FloatArray) -> FloatArray:
    """Return the standard deviation of each column's first value, ``(n_columns,)``.

    1 where a column has no values or does not vary.
    """
    values = schema.spread(cells)
    found = np.ones(schema.n_columns)
    for column, span in enumerate(schema.spans):
        if span.block.n_values:
            first = values[:, span.values.start]
            known = first[~np.isnan(first)]
            deviation = float(known.std()) if len(known) else 0.0
            found[column] = deviation if deviation > 0 else 1.0
    return found


def cell_errors(
    schema: Schema,
    measures: Sequence[str | None],
    truth: FloatArray,
    rebuilt: FloatArray,
    deviation: FloatArray,
) -> FloatArray:
    """Return the error of each cell, ``(n, n_columns)``; see `TableReportData.errors`.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    measures : sequence of (str or None)
        How the quality of each is measured.
    truth, rebuilt : ndarray of shape (n, n_cells)
        Cells.
    deviation : ndarray of shape (n_columns,)
        As from `deviations`.
    """
    distance = schema.spread(rebuilt) - schema.spread(truth)
    errors = np.full((len(truth), schema.n_columns), np.nan)
    for column, (span, measure) in enumerate(zip(schema.spans, measures, strict=True)):
        if not span.block.n_cells:
            continue
        if measure == "explained_variance":
            errors[:, column] = distance[:, span.values.start] / deviation[column]
        else:
            errors[:, column] = (truth[:, span.cells] != rebuilt[:, span.cells]).any(axis=1)
    errors[schema.missing(truth)] = np.nan
    return errors


def grouping_candidates(schema: Schema, truth: FloatArray) -> list[Grouping]:
    """Return the columns of at most 12 levels, by which the codes can be coloured.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    truth : ndarray of shape (n, n_cells)
        Cells.
    """
    found = []
    for span in schema.spans:
        block = span.block
        if isinstance(block, Binary | Categorical | Ordered) and len(block.levels) <= _MOST_LEVELS:
            levels = tuple(block.levels.text(place) for place in range(len(block.levels)))
            places = np.nan_to_num(truth[:, span.cells.start], nan=-1.0).astype(np.int64)
            found.append(Grouping(block.name, levels, places))
    return found
