"""Arrow columns of numbers -> NumPy.

Columns reach NumPy through their buffers: ``pyarrow``'s own conversions to and from
NumPy import pandas whenever it is installed, which costs half a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.rows import FloatArray, row_dtype

__all__ = ["column_values", "is_number", "numpy_column", "table_matrix", "value_type"]

# One tile of the matrix is filled at a time: 1024 rows x 32 columns of float64 are
# 256 kB, which stay in a second-level cache while its columns are written one by one.
TILE_ROWS = 1024
TILE_COLUMNS = 32


def value_type(arrow_type: pa.DataType) -> pa.DataType:
    """Give the type of the values of a column, dictionary-encoded or not."""
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def is_number(arrow_type: pa.DataType) -> bool:
    """Tell whether a column of this type is made of numbers, or of nothing."""
    plain = value_type(arrow_type)
    types = pa.types
    return bool(
        types.is_integer(plain)
        or types.is_floating(plain)
        or types.is_boolean(plain)
        or types.is_decimal(plain)
        or types.is_null(plain)
    )


def table_matrix(table: pa.Table) -> FloatArray:
    """Copy columns of numbers into one matrix.

    Parameters
    ----------
    table : pyarrow.Table
        Columns as for `numpy_column`.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        C-contiguous; float32 if every column is exact in it, else float64. Missing
        values are NaN.
    """
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
            columns = [numpy_column(array) for array in arrays[left : left + TILE_COLUMNS]]
            for top in range(0, batch.num_rows, TILE_ROWS):
                bottom = min(batch.num_rows, top + TILE_ROWS)
                for offset, column in enumerate(columns):
                    matrix[start + top : start + bottom, left + offset] = column[top:bottom]
        start += batch.num_rows
    return matrix


def _numpy_dtype(arrow_type: pa.DataType) -> np.dtype[Any]:
    plain = value_type(arrow_type)
    if pa.types.is_null(plain) or pa.types.is_decimal(plain):
        return np.dtype(np.float64)
    dtype: np.dtype[Any] = np.dtype(plain.to_pandas_dtype())
    return dtype


def numpy_column(column: pa.Array) -> npt.NDArray[Any]:
    """View an Arrow array of numbers as NumPy, or copy it where it must be converted.

    Parameters
    ----------
    column : pyarrow.Array
        Integers, floats, booleans, decimals or nothing, dictionary-encoded or not.

    Returns
    -------
    ndarray of shape (n,)
        Of the same type; a floating one, with NaN, if values are missing.
    """
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


def column_values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Copy a column of numbers, in one piece.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        As for `numpy_column`.

    Returns
    -------
    ndarray of shape (n,)
        Of the column's type; a floating one, with NaN, if values are missing.
    """
    pieces = [numpy_column(chunk) for chunk in column.chunks]
    return np.concatenate(pieces) if pieces else np.empty(0, _numpy_dtype(column.type))


def _plain_values(column: pa.Array) -> npt.NDArray[Any]:
    """View the values of an Arrow array of numbers; what stands in missing cells is arbitrary."""
    if pa.types.is_boolean(column.type):
        return _plain_values(column.cast(pa.uint8())).view(np.bool_)
    dtype = np.dtype(column.type.to_pandas_dtype())
    values: npt.NDArray[Any] = np.frombuffer(
        column.buffers()[1], dtype=dtype, count=len(column) + column.offset
    )
    return values[column.offset :]
