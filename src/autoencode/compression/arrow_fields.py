"""Arrow columns of any type -> columns of integers and buffers, and back, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.compression.frequencies import IntArray
from autoencode.compression.number_columns import (
    MISSING,
    Parts,
    integers_of,
    read_numbers,
    read_values,
    store_values,
    write_numbers,
)
from autoencode.compression.numbers import Numbers, Values
from autoencode.compression.packing import LARGEST_PACKED, pack, unpack
from autoencode.compression.plans import require
from autoencode.compression.quantising import quantise
from autoencode.errors import DataError

__all__ = [
    "arrow_numbers",
    "characters",
    "digest_parts",
    "integers_of_field",
    "is_text",
    "nulls",
    "number_type",
    "plain_numbers",
    "read_field",
    "text_of",
    "write_field",
]

_NUMBER, _LEVELS, _TEXT, _OTHER, _EMPTY = "number", "levels", "text", "other", "empty"
_LEVELS_SHARE = 2


def number_type(arrow_type: pa.DataType) -> np.dtype[Any] | None:
    """Return the NumPy type that holds a column's numbers; None if they are none."""
    types = pa.types
    if types.is_boolean(arrow_type):
        return np.dtype(np.bool_)
    if types.is_integer(arrow_type) or types.is_floating(arrow_type):
        found: np.dtype[Any] = np.dtype(arrow_type.to_pandas_dtype())
        return found
    if types.is_date32(arrow_type) or types.is_time32(arrow_type):
        return np.dtype(np.int32)
    if types.is_timestamp(arrow_type) or types.is_duration(arrow_type):
        return np.dtype(np.int64)
    if types.is_date64(arrow_type) or types.is_time64(arrow_type):
        return np.dtype(np.int64)
    return None


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether a column's cells are texts or bytes."""
    types = pa.types
    return bool(
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_binary(arrow_type)
        or types.is_large_binary(arrow_type)
    )


def write_field(array: pa.Array, error: float, parts: Parts) -> list[Any]:
    """Add an Arrow column to a block.

    Parameters
    ----------
    array : pyarrow.Array
        One chunk.
    error : float
        The bound, for numbers.
    parts : Parts
        Added to.

    Returns
    -------
    list
        What the header says about it: the form, then what that needs.
    """
    if pa.types.is_null(array.type) or not len(array):
        return [_EMPTY]
    missing = None if not array.null_count else nulls(array)
    dtype = number_type(array.type)
    if dtype is not None:
        values = plain_numbers(array, dtype)
        return [_NUMBER, *_write_numbers(values, missing, error, parts)]
    if pa.types.is_dictionary(array.type):
        kept = plain_numbers(array.indices, np.dtype(array.type.index_type.to_pandas_dtype()))
        head = _write_numbers(kept, missing, 0.0, parts)
        parts.buffers.append(pack(_ipc(array.dictionary), fast=parts.fast))
        return [_LEVELS, *head]
    if is_text(array.type):
        return [_TEXT, *_write_text(array, missing, parts)]
    parts.buffers.append(pack(_ipc(array), fast=parts.fast))
    return [_OTHER]


def read_field(
    described: Any,
    arrow_type: pa.DataType,
    columns: Iterator[IntArray],
    buffers: Iterator[bytes],
    n_rows: int,
    error: float,
) -> pa.Array:
    """Return an Arrow column.

    Parameters
    ----------
    described : object
        What `write_field` returned.
    arrow_type : DataType
        The column's type.
    columns, buffers : iterator
        Of the block, in order.
    n_rows : int
        The number of rows.
    error : float
        The column's bound, as the header has it.

    Raises
    ------
    DataError
        If these do not go together.
    """
    require(isinstance(described, list) and bool(described), "a column is not understood")
    form, rest = described[0], described[1:]
    try:
        found = _read(form, rest, arrow_type, columns, buffers, n_rows, error)
    except (pa.ArrowException, StopIteration) as error:
        message = " ".join(str(error).split())
        raise DataError(f"the file is damaged: a column cannot be read: {message}") from error
    require(found.type == arrow_type and len(found) == n_rows, "a column is not what it should be")
    return found


def integers_of_field(described: Any) -> int:
    """Return of how many columns of integers `read_field` will take."""
    if not isinstance(described, list) or not described:
        return 0
    return integers_of(described[2:] if described[0] == _TEXT else described[1:])


def _read(
    form: Any,
    rest: list[Any],
    arrow_type: pa.DataType,
    columns: Iterator[IntArray],
    buffers: Iterator[bytes],
    n_rows: int,
    error: float,
) -> pa.Array:
    if form == _EMPTY:
        require(pa.types.is_null(arrow_type) or not n_rows, "a column is missing")
        return pa.nulls(n_rows, arrow_type)
    dtype = number_type(arrow_type)
    if form == _NUMBER and dtype is not None:
        values, special = read_numbers(rest, columns, buffers, dtype, n_rows, error)
        return arrow_numbers(values, special, arrow_type)
    if form == _LEVELS and pa.types.is_dictionary(arrow_type):
        index = np.dtype(arrow_type.index_type.to_pandas_dtype())
        values, special = read_numbers(rest, columns, buffers, index, n_rows, 0.0)
        levels = _from_ipc(unpack(next(buffers)), arrow_type.value_type)
        indices = arrow_numbers(values, special, arrow_type.index_type)
        return pa.DictionaryArray.from_arrays(
            indices, levels, ordered=arrow_type.ordered, safe=True
        )
    if form == _TEXT and is_text(arrow_type):
        return _read_text(rest, arrow_type, columns, buffers, n_rows)
    require(form == _OTHER, "a column has another form than its type")
    return _from_ipc(unpack(next(buffers)), arrow_type)


def nulls(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return where cells are missing."""
    found: npt.NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return found


def plain_numbers(array: pa.Array, dtype: np.dtype[Any]) -> Values:
    """Return the numbers; anything where cells are missing."""
    if dtype.kind == "b":
        filled = array.fill_null(False) if array.null_count else array
        return np.asarray(filled.to_numpy(zero_copy_only=False), np.bool_)
    data = array.buffers()[1]
    return np.frombuffer(data, dtype, len(array), array.offset * dtype.itemsize)


def arrow_numbers(values: Values, special: IntArray | None, arrow_type: pa.DataType) -> pa.Array:
    """Return an Arrow column of numbers; cells are missing where special ones are 2."""
    missing = None if special is None else special == MISSING
    if missing is not None and not missing.any():
        missing = None
    if values.dtype.kind == "b":
        return pa.array(values, arrow_type, mask=missing)
    data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    bits = None
    if missing is not None:
        bits = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    return pa.Array.from_buffers(arrow_type, len(values), [bits, data])


def _write_numbers(
    values: Values, missing: npt.NDArray[np.bool_] | None, error: float, parts: Parts
) -> list[Any]:
    if missing is None:
        return write_numbers(quantise(values, error), parts, values, error)
    kept = ~missing
    found = quantise(values[kept], error)
    integers = np.zeros(len(values), np.int64)
    integers[kept] = found.integers
    special = np.full(len(values), MISSING, np.int64)
    special[kept] = 0 if found.special is None else found.special
    spread = Numbers(found.transform, integers, found.size, special, found.verbatim)
    return write_numbers(spread, parts, values, error)


def _write_text(array: pa.Array, missing: npt.NDArray[np.bool_] | None, parts: Parts) -> list[Any]:
    """Write text as places in a list of it, if that is short; else the text itself."""
    coded = array.dictionary_encode()
    levels = coded.dictionary
    if len(levels) * _LEVELS_SHARE <= len(array):
        order = pc.sort_indices(levels).to_numpy()
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        codes = np.asarray(coded.indices.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
        ranks = rank[codes] if len(rank) else codes
        head = _write_numbers(ranks, missing, 0.0, parts)
        _write_strings(levels.take(pa.array(order)), parts)
        return [len(levels), *head]
    lengths = pc.binary_length(array).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    head = _write_numbers(np.asarray(lengths, np.int64), missing, 0.0, parts)
    filled = array.drop_null() if missing is not None else array
    parts.buffers.append(pack(characters(filled), fast=parts.fast))
    return [-1, *head]


def _write_strings(levels: pa.Array, parts: Parts) -> None:
    lengths = np.asarray(pc.binary_length(levels).cast(pa.int64()).to_numpy(), np.int64)
    parts.buffers.append(store_values(lengths, fast=parts.fast))
    parts.buffers.append(pack(characters(levels), fast=parts.fast))


def characters(array: pa.Array) -> bytes:
    """Return all bytes of a text column without missing cells."""
    whole = pa.concat_arrays([array])
    offsets, data = whole.buffers()[1:3]
    if data is None or not len(whole):
        return b""
    large = pa.types.is_large_string(whole.type) or pa.types.is_large_binary(whole.type)
    kind: Any = np.int64 if large else np.int32
    edges = np.frombuffer(offsets, kind, len(whole) + 1, whole.offset * np.dtype(kind).itemsize)
    return bytes(memoryview(data)[int(edges[0]) : int(edges[-1])])


def text_of(
    data: bytes, lengths: IntArray, missing: npt.NDArray[np.bool_] | None, arrow_type: pa.DataType
) -> pa.Array:
    """Return a column of text from all its bytes and the length of each cell.

    Raises
    ------
    DataError
        If they do not go together.
    """
    require(not len(lengths) or int(lengths.min()) >= 0, "a text has a negative length")
    edges = np.concatenate([[0], np.cumsum(lengths)])
    require(int(edges[-1]) == len(data), "a text is cut off")
    large = pa.types.is_large_string(arrow_type) or pa.types.is_large_binary(arrow_type)
    require(large or len(data) < 1 << 31, "a text is too long")
    offsets = edges.astype(np.int64 if large else np.int32)
    bits = None
    if missing is not None and missing.any():
        bits = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes())
    buffers = [bits, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    found = pa.Array.from_buffers(arrow_type, len(lengths), buffers)
    found.validate(full=True)
    return found


def _read_text(
    rest: list[Any],
    arrow_type: pa.DataType,
    columns: Iterator[IntArray],
    buffers: Iterator[bytes],
    n_rows: int,
) -> pa.Array:
    require(bool(rest) and type(rest[0]) is int, "a column of text is not understood")
    n_levels = rest[0]
    values, special = read_numbers(rest[1:], columns, buffers, np.dtype(np.int64), n_rows, 0.0)
    missing = None if special is None else special == MISSING
    if missing is not None:
        values[missing] = 0
    if n_levels < 0:
        return text_of(unpack(next(buffers)), values, missing, arrow_type)
    require(n_levels <= n_rows, "a column of text has too many levels")
    lengths = read_values(next(buffers), n_levels, np.dtype(np.int64))
    levels = text_of(unpack(next(buffers)), lengths, None, arrow_type)
    indices = pa.array(values, mask=missing)
    return levels.take(indices)


def _ipc(array: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([array], names=["x"])
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _from_ipc(data: bytes, arrow_type: pa.DataType) -> pa.Array:
    require(len(data) <= LARGEST_PACKED, "a column is too large")
    table = pa.ipc.open_stream(data).read_all()
    require(table.num_columns == 1, "a column is not understood")
    column = table.column(0).combine_chunks()
    column.validate(full=True)
    require(column.type == arrow_type, "a column has another type")
    return column


def digest_parts(array: pa.Array) -> Iterator[bytes]:
    """Yield bytes that are the same for the same column, whatever its layout in memory."""
    if array.null_count:
        missing = nulls(array)
        yield np.packbits(missing, bitorder="little").tobytes()
    dtype = number_type(array.type)
    if dtype is not None:
        values = np.array(plain_numbers(array, dtype))
        if array.null_count:
            values[missing] = 0
        yield values.tobytes()
    elif pa.types.is_dictionary(array.type):
        yield from digest_parts(array.indices)
        yield from digest_parts(array.dictionary)
    elif is_text(array.type):
        lengths = pc.binary_length(array).cast(pa.int64()).fill_null(0)
        yield np.asarray(lengths.to_numpy(zero_copy_only=False), np.int64).tobytes()
        yield characters(array.drop_null() if array.null_count else array)
    elif not pa.types.is_null(array.type):
        yield repr(array.to_pylist()).encode()
