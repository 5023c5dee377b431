"""Arrow tables -> one row-major matrix of numbers.

Columns reach NumPy through their buffers: ``pyarrow``'s own conversions to and from
NumPy import pandas whenever it is installed, which costs half a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.columns import select_columns
from autoencode.data.finite import drop_options, quoted_list, require_finite
from autoencode.data.rows import FloatArray, Kind, Rows, row_dtype
from autoencode.errors import DataError

__all__ = [
    "TableSource",
    "column_array",
    "first_bad_cell",
    "number_pattern",
    "open_table",
    "shortened",
]

# One tile of the matrix is filled at a time: 1024 rows x 32 columns of float64 are
# 256 kB, which stay in a second-level cache while its columns are written one by one.
TILE_ROWS = 1024
TILE_COLUMNS = 32

number_pattern = re.compile(
    r"\s*[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|inf(?:inity)?|nan)\s*", re.IGNORECASE
)


@dataclass(frozen=True)
class TableSource:
    """A table whose columns are read when they are asked for.

    Attributes
    ----------
    names : tuple of str
        All column names; for an unnamed table the column numbers, counted from 0.
    read : callable
        Reads the named columns, in the order given, as a ``pyarrow.Table``.
    kind : str
        As in ``Rows.kind``.
    named : bool
        False for tables without names (a CSV file without a header).
    index : pandas.Index or None
        As in ``Rows.index``.
    """

    names: tuple[str, ...]
    read: Callable[[Sequence[str]], pa.Table]
    kind: Kind = "arrow"
    named: bool = True
    index: Any = None


def open_table(
    source: TableSource,
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    expected_names: Sequence[str] | None = None,
) -> Rows:
    """Read the numeric columns of a table into one matrix.

    Parameters
    ----------
    source : TableSource
        The table.
    drop, keep, expected_names
        As in ``select_columns``; the expected names are ignored if the table has none.

    Returns
    -------
    Rows
        In memory, finite; float32 if every column is exact in it, else float64.

    Raises
    ------
    DataError
        If a chosen column is not made of numbers or has missing or infinite values, or
        if there is no row.
    """
    expected = expected_names if source.named else None
    chosen = select_columns(source.names, drop=drop, keep=keep, expected_names=expected)
    carried = list(dict.fromkeys(keep))
    table = source.read(list(dict.fromkeys([*chosen, *carried])))
    if table.num_rows == 0:
        shape = (0, len(chosen))
        raise DataError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required: "
            "the table has columns but no rows"
        )
    numbers = table.select(chosen)
    _require_numbers(numbers, named=source.named)
    rows = Rows(
        _matrix(numbers),
        kind=source.kind,
        names=chosen if source.named else None,
        index=source.index,
        kept=table.select(carried).replace_schema_metadata() if carried else None,
    )
    require_finite(rows)
    return rows


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


def shortened(text: str, limit: int = 30) -> str:
    """Quote text for a one-line message, cut to at most ``limit`` characters."""
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def _value_type(arrow_type: pa.DataType) -> pa.DataType:
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def _is_number(arrow_type: pa.DataType) -> bool:
    value_type = _value_type(arrow_type)
    types = pa.types
    return bool(
        types.is_integer(value_type)
        or types.is_floating(value_type)
        or types.is_boolean(value_type)
        or types.is_decimal(value_type)
        or types.is_null(value_type)
    )


def _require_numbers(table: pa.Table, *, named: bool) -> None:
    """Refuse columns of text, dates and the like, naming the first one's first bad cell."""
    bad = [field.name for field in table.schema if not _is_number(field.type)]
    if not bad:
        return
    column = table.column(bad[0])
    what = "text" if _is_text(column.type) else str(_value_type(column.type))
    row, cell = first_bad_cell(column)
    counted = "" if named else " (counted from 0)"
    also = f" (neither are {quoted_list(bad[1:])})" if len(bad) > 1 else ""
    raise DataError(
        f"column {bad[0]!r}{counted} is not numeric but {what}: {shortened(cell)} in row "
        f"{row + 1}{also}; leave {'them' if also else 'it'} out with {drop_options(bad)}, "
        "or carry along with --keep"
    )


def _is_text(arrow_type: pa.DataType) -> bool:
    value_type = _value_type(arrow_type)
    types = pa.types
    return bool(
        types.is_string(value_type)
        or types.is_large_string(value_type)
        or types.is_string_view(value_type)
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


def _matrix(table: pa.Table) -> FloatArray:
    """Copy numeric columns into one C-contiguous matrix; missing values become NaN."""
    dtypes = {_numpy_dtype(field.type) for field in table.schema}
    single = all(row_dtype(dtype) == np.float32 for dtype in dtypes)
    matrix = np.empty(table.shape, dtype=np.float32 if single else np.float64)
    start = 0
    for batch in table.to_batches():
        if batch.num_rows == 0:
            continue
        arrays = batch.columns
        # Columns are taken in groups, so that conversions of a wide table stay small.
        for left in range(0, len(arrays), TILE_COLUMNS):
            columns = [_numpy_column(array) for array in arrays[left : left + TILE_COLUMNS]]
            for top in range(0, batch.num_rows, TILE_ROWS):
                bottom = min(batch.num_rows, top + TILE_ROWS)
                for offset, column in enumerate(columns):
                    matrix[start + top : start + bottom, left + offset] = column[top:bottom]
        start += batch.num_rows
    return matrix


def _numpy_dtype(arrow_type: pa.DataType) -> np.dtype[Any]:
    value_type = _value_type(arrow_type)
    if pa.types.is_null(value_type) or pa.types.is_decimal(value_type):
        return np.dtype(np.float64)
    dtype: np.dtype[Any] = np.dtype(value_type.to_pandas_dtype())
    return dtype


def _numpy_column(column: pa.Array) -> npt.NDArray[Any]:
    """View an Arrow array as NumPy, or copy it where it has missing or packed values."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    missing = pc.is_null(column) if column.null_count else None
    if pa.types.is_null(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    values = _plain_values(column)
    if missing is None:
        return values
    floats = values.astype(row_dtype(values.dtype))
    floats[_plain_values(missing)] = np.nan
    return floats


def _plain_values(column: pa.Array) -> npt.NDArray[Any]:
    """View the values of an Arrow array of numbers; what stands in missing cells is arbitrary."""
    if pa.types.is_boolean(column.type):
        return _plain_values(column.cast(pa.uint8())).view(np.bool_)
    dtype = np.dtype(column.type.to_pandas_dtype())
    values: npt.NDArray[Any] = np.frombuffer(
        column.buffers()[1], dtype=dtype, count=len(column) + column.offset
    )
    return values[column.offset :]
