"""Tables of columns of any type, and those of numbers as one row-major matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.data.columns import select_columns
from autoencode.data.finite import drop_options, quoted_list, require_no_infinity
from autoencode.data.matrix import is_number, table_matrix, value_type
from autoencode.data.rows import Kind, Rows
from autoencode.errors import DataError

__all__ = [
    "Reader",
    "TableData",
    "TableSource",
    "column_array",
    "first_bad_cell",
    "number_pattern",
    "open_columns",
    "shortened",
    "text_array",
    "to_rows",
]

number_pattern = re.compile(
    r"\s*[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|inf(?:inity)?|nan)\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class TableData:
    """A table as it was given: columns of any Arrow type, missing values included.

    Attributes
    ----------
    table : pyarrow.Table
        The chosen columns in order, at least one row of them. NaN in a column of real
        numbers stands for a missing value, as null does in every column.
    kind : {"pandas", "polars", "arrow"}
        What the caller's data was, so that a table can be given back in kind.
    index : pandas.Index or None
        The index of a pandas frame.
    kept : pyarrow.Table or None
        Columns carried along, one row for each row of the table.
    dtypes : mapping of str to mapping, or None
        What ``frames.to_frame`` needs beside the Arrow types to give the caller's types
        back, by column; plain JSON. None if nothing.
    """

    table: pa.Table
    kind: Kind
    index: Any = None
    kept: pa.Table | None = None
    dtypes: Mapping[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.table.column_names)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.table.num_rows)

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return int(self.table.num_columns)

    def __len__(self) -> int:
        return self.n_rows


# Reads the named columns of a table, in the order given. Those in the set are carried
# along unseen: text in them that spells a missing value stays text.
Reader: TypeAlias = Callable[[Sequence[str], Set[str]], pa.Table]


@dataclass(frozen=True)
class TableSource:
    """A table whose columns are read when they are asked for.

    Attributes
    ----------
    names : tuple of str
        All column names; for an unnamed table the column numbers, counted from 0.
    read : Reader
        Reads the named columns, in the order given, as a ``pyarrow.Table``.
    kind : str
        As in ``TableData.kind``.
    named : bool
        False for tables without names (a CSV file without a header).
    index : pandas.Index or None
        As in ``TableData.index``.
    describe : callable or None
        Makes ``TableData.dtypes`` for the named columns.
    """

    names: tuple[str, ...]
    read: Reader
    kind: Kind = "arrow"
    named: bool = True
    index: Any = None
    describe: Callable[[Sequence[str]], Mapping[str, Any]] | None = None


def open_columns(
    source: TableSource,
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    expected_names: Sequence[str] | None = None,
) -> Rows | TableData:
    """Read the chosen columns of a table.

    Parameters
    ----------
    source : TableSource
        The table.
    drop, keep, expected_names
        As in ``select_columns``. A table without names passes if it has as many columns
        as are expected; unless it is all numbers, it takes their names.

    Returns
    -------
    TableData or Rows
        Rows if the table is without names and all numbers: then it is like an array, and
        no value is infinite.

    Raises
    ------
    DataError
        If a column is unknown, missing or unexpected, or if there is no row.
    """
    expected = expected_names if source.named else None
    chosen = select_columns(source.names, drop=drop, keep=keep, expected_names=expected)
    carried = list(dict.fromkeys(keep))
    together = list(dict.fromkeys([*chosen, *carried]))
    table = source.read(together, frozenset(carried) - frozenset(chosen))
    if table.num_rows == 0:
        shape = (0, len(chosen))
        raise DataError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required: "
            "the table has columns but no rows"
        )
    # What the file or frame says about the whole table need not hold for a part of it.
    table = _unified(table.replace_schema_metadata())
    data = TableData(
        table.select(chosen),
        source.kind,
        index=source.index,
        kept=table.select(carried) if carried else None,
        dtypes=(source.describe and source.describe(chosen)) or None,
    )
    if source.named:
        return data
    if all(is_number(field.type) for field in data.table.schema):
        return to_rows(data, named=False)
    return data if expected_names is None else _renamed(data, expected_names)


def to_rows(data: TableData, *, named: bool = True) -> Rows:
    """Copy a table of nothing but numbers into one matrix.

    Parameters
    ----------
    data : TableData
        The table.
    named : bool
        Whether the rows are to have names. False for columns that go by number.

    Returns
    -------
    Rows
        In memory; float32 if every column is exact in it, else float64. Missing values
        are NaN, none is infinite.

    Raises
    ------
    DataError
        If a column is not made of numbers or has infinite values.
    """
    _require_numbers(data.table, named=named)
    rows = Rows(
        table_matrix(data.table),
        kind=data.kind,
        names=data.names if named else None,
        index=data.index,
        kept=data.kept,
    )
    require_no_infinity(rows)
    return rows


def _unified(table: pa.Table) -> pa.Table:
    """Give each dictionary-encoded column one dictionary for all its chunks."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and not pa.types.is_null(field.type.value_type):
            table = table.set_column(place, field, table.column(place).unify_dictionaries())
    return table


def _renamed(data: TableData, names: Sequence[str]) -> TableData:
    """Name the columns of a table without names by their places."""
    if data.n_columns != len(names):
        raise DataError(
            f"the table has {data.n_columns} columns without names, but the model was fitted "
            f"with {len(names)}: {quoted_list(names)}"
        )
    dtypes = data.dtypes and {
        new: data.dtypes[old]
        for old, new in zip(data.names, names, strict=True)
        if old in data.dtypes
    }
    return replace(data, table=data.table.rename_columns(list(names)), dtypes=dtypes)


def column_array(values: npt.NDArray[Any]) -> pa.Array:
    """Wrap a NumPy column of numbers as an Arrow array, without a copy if contiguous.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Integers or floats; booleans become one bit each.

    Returns
    -------
    pyarrow.Array
        Of the same type, without missing values: NaN stays NaN.
    """
    if values.dtype.kind == "b":
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    arrow_type = pa.from_numpy_dtype(native.dtype)
    return pa.Array.from_buffers(arrow_type, len(native), [None, pa.py_buffer(native)])


def text_array(texts: Sequence[str]) -> pa.Array:
    """Copy texts to an Arrow array: ``pa.array`` imports pandas if that is installed."""
    packed = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, packed)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(packed))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


def shortened(text: str, limit: int = 30) -> str:
    """Quote text for a one-line message, cut to at most ``limit`` characters."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def _require_numbers(table: pa.Table, *, named: bool) -> None:
    """Refuse columns of text, dates and the like, naming the first one's first bad cell."""
    bad = [field.name for field in table.schema if not is_number(field.type)]
    if not bad:
        return
    column = table.column(bad[0])
    what = "text" if _is_text(column.type) else str(value_type(column.type))
    row, cell = first_bad_cell(column)
    counted = "" if named else " (counted from 0)"
    also = f" (neither are {quoted_list(bad[1:])})" if len(bad) > 1 else ""
    raise DataError(
        f"column {bad[0]!r}{counted} is not numeric but {what}: {shortened(cell)} in row "
        f"{row + 1}{also}; leave {'them' if also else 'it'} out with {drop_options(bad)}, "
        "or carry along with --keep"
    )


def _is_text(arrow_type: pa.DataType) -> bool:
    plain = value_type(arrow_type)
    types = pa.types
    return bool(
        types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    )


def first_bad_cell(column: pa.ChunkedArray) -> tuple[int, str]:
    """Find the first cell of a column that is not a number.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of any type.

    Returns
    -------
    row : int
        Counted from 0.
    cell : str
        What stands there; the first cell that is not missing if all are numerals.
    """
    first: tuple[int, str] | None = None
    is_text = _is_text(column.type)
    row = 0
    for chunk in column.chunks:
        for value in chunk:
            if value.is_valid:
                cell = str(value.as_py()) if is_text else str(value)
                if first is None:
                    first = row, cell
                if not (is_text and (not cell.strip() or number_pattern.fullmatch(cell))):
                    return row, cell
            row += 1
    return first or (0, "")
