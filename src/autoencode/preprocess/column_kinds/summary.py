"""What is known about a column before its kind is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.tables import column_array
from autoencode.preprocess.column_kinds import keys as key_columns
from autoencode.preprocess.column_kinds.date_texts import DateFormat, find_format
from autoencode.preprocess.column_kinds.keys import EXACT, family, floats, key_type

__all__ = ["ColumnSummary", "summarise"]


@dataclass(frozen=True)
class ColumnSummary:
    """A column's keys and, counted when first asked for, its distinct values.

    Attributes
    ----------
    name : str
        The column's name.
    type : pyarrow.DataType
        Its type.
    n_rows : int
        All rows.
    n_missing : int
        Rows without a value; NaN counts.
    keys : pyarrow.ChunkedArray or None
        See `keys.keys`; None for nested types.
    dictionary : pyarrow.Array or None
        For dictionary types: the keys of their levels, in order, used or not.
    """

    name: str
    type: pa.DataType
    n_rows: int
    n_missing: int
    keys: pa.ChunkedArray | None
    dictionary: pa.Array | None = None

    @property
    def family(self) -> str:
        """See `keys.family`."""
        return family(self.type)

    @property
    def n_observed(self) -> int:
        """Rows with a value."""
        return self.n_rows - self.n_missing

    @cached_property
    def n_distinct(self) -> int:
        """How many different values there are, missing ones not counted."""
        return len(self._counted[0])

    @cached_property
    def _counted(self) -> tuple[pa.Array, npt.NDArray[np.int64]]:
        if self.keys is None or self.n_observed == 0:
            return pa.nulls(0, key_type(self.type) or pa.null()), np.zeros(0, dtype=np.int64)
        counted = self.keys.drop_null().value_counts()
        counts = counted.field("counts")
        numbers = np.frombuffer(counts.buffers()[1], dtype=np.int64, count=len(counts))
        return counted.field("values"), numbers

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        values = self._counted[0]
        if self.family == "decimal" and len(values):
            # Their keys are text, whose order is another one.
            values = values.cast(pa.decimal256(76, max(0, self.value_scale)))
        order = pc.sort_indices(values)
        return np.frombuffer(order.buffers()[1], dtype=np.uint64, count=len(order)).astype(np.int64)

    @property
    def value_scale(self) -> int:
        """Digits after the point of a decimal type; 0 for others."""
        plain = key_columns.value_type(self.type)
        return int(plain.scale) if self.family == "decimal" else 0

    @cached_property
    def distinct(self) -> pa.Array:
        """The different values, as keys, ascending."""
        return self._counted[0].take(column_array(self._order))

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many rows have each of the ``distinct`` values."""
        return self._counted[1][self._order]

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """The ``distinct`` values as numbers; of number-like families only."""
        return floats(pa.chunked_array([self.distinct]))

    @cached_property
    def is_exact(self) -> bool:
        """Whether float64 holds every value exactly."""
        if self.family in ("float", "bool"):
            return True
        if self.family not in ("integer", "decimal", "duration", "time"):
            return False
        if not self.n_distinct:
            return True
        if self.family == "decimal":
            units = np.abs(self.numbers) * 10.0**self.value_scale
            # Dividing by and multiplying with a power of ten each round once.
            return bool(units.max() <= EXACT / 8)
        return bool(np.abs(self.numbers).max() < EXACT)

    @cached_property
    def date_format(self) -> DateFormat | None:
        """How text is written of which every cell is a date; None if it is not."""
        is_text = self.family == "text" and self.n_observed > 0
        return find_format(self.distinct) if is_text else None

    @cached_property
    def is_whole(self) -> bool:
        """Whether all values are numbers without a fraction."""
        if self.family == "integer":
            return True
        if self.family != "float":
            return False
        return bool((self.numbers == np.rint(self.numbers)).all())


def summarise(name: str, column: pa.ChunkedArray) -> ColumnSummary:
    """Look at a column.

    Raises
    ------
    DataError
        If it has infinite values.
    """
    if key_type(column.type) is None:
        return ColumnSummary(name, column.type, len(column), column.null_count, None)
    found = key_columns.keys(name, column)
    levels = None
    if pa.types.is_dictionary(column.type):
        unified = column.unify_dictionaries()
        if unified.num_chunks:
            dictionary = pa.chunked_array([unified.chunk(0).dictionary])
            levels = key_columns.keys(name, dictionary).drop_null().unique()
        else:
            levels = pa.nulls(0, found.type)
    return ColumnSummary(name, column.type, len(column), found.null_count, found, levels)
