"""Rows of a table: kept as compact cells, spread into values when they are read."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import FloatArray, Rows
from autoencode.data.tables import TableData
from autoencode.preprocess.columns import Schema

__all__ = ["TableRows"]


class TableRows(Rows):
    """The rows of a table as numbers, under a schema.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    data : TableData
        The table; its columns are those of the schema.

    Attributes
    ----------
    table : pyarrow.Table
        The table itself.
    cells : ndarray of shape (n_rows, schema.n_cells)
        The table, without loss; NaN where a cell is missing.
    n_features : int
        The number of values in a row; a column may have none, one or many.
    n_columns : int
        The number of columns.
    """

    def __init__(self, schema: Schema, data: TableData) -> None:
        self.schema = schema
        self.table = data.table
        self.cells = schema.cells(data.table)
        self._counted_missing: bool | None = None
        super().__init__(
            self.cells, kind=data.kind, names=data.names, index=data.index, kept=data.kept
        )
        self.dtypes = data.dtypes
        self.sample_shape = (schema.n_values,)
        self.n_features = schema.n_values
        self.dtype = np.dtype(np.float64)
        self.in_memory = True

    def with_schema(self, schema: Schema) -> TableRows:
        """Return the same rows under a schema that differs only in how cells become numbers."""
        other = copy.copy(self)
        other.schema = schema
        return other

    def with_cells(self, cells: npt.NDArray[np.float64]) -> TableRows:
        """Return the same rows with other cells; the table behind them stays as it is."""
        other = copy.copy(self)
        other.__dict__.pop("non_finite", None)
        other.cells = other._source = cells
        other._counted_missing = None
        return other

    @property
    def n_columns(self) -> int:
        """The number of columns, those without values included."""
        return self.schema.n_columns

    @property
    def has_missing(self) -> bool:
        """Whether any value is missing."""
        if self._counted_missing is None:
            self._counted_missing = bool(self.missing().any())
        return self._counted_missing

    def missing(self) -> npt.NDArray[np.bool_]:
        """Return which cells are missing, ``(n_rows, n_columns)``."""
        return self.schema.missing(self.cells)

    def value_name(self, place: int) -> str:
        """Give the name of the column that a value comes from; a column may have many."""
        return next(
            span.block.name
            for span in self.schema.spans
            if span.values.start <= place < span.values.stop
        )

    def _finished(self, piece: Any) -> FloatArray:
        values: FloatArray = self.schema.spread(np.ascontiguousarray(piece))
        return values
