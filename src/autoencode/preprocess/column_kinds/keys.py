"""Arrow columns -> keys: one plain Arrow type for each family of types, and back.

Keys are what columns are counted, looked up and stored by: int64 (uint64 for uint64),
float64, bool or text. NaN counts as missing. Columns reach NumPy through their buffers
(see ``data.tables``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.tables import column_array
from autoencode.errors import DataError

__all__ = [
    "EXACT",
    "family",
    "first_true",
    "floats",
    "from_floats",
    "from_keys",
    "integers",
    "key_type",
    "keys",
    "keys_from_list",
    "masked_array",
    "nulled",
    "value_type",
]

# Integers below are exact in float64; this one stands for its neighbour, too.
EXACT = 2**53

_FAMILIES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("null", (pa.types.is_null,)),
    ("bool", (pa.types.is_boolean,)),
    ("integer", (pa.types.is_integer,)),
    ("float", (pa.types.is_floating,)),
    ("decimal", (pa.types.is_decimal,)),
    ("text", (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)),
    ("date", (pa.types.is_date, pa.types.is_timestamp)),
    ("time", (pa.types.is_time,)),
    ("duration", (pa.types.is_duration,)),
)


def value_type(arrow_type: pa.DataType) -> pa.DataType:
    """Return what a column's cells are, seen through a dictionary."""
    return arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type


def family(arrow_type: pa.DataType) -> str:
    """Return null, bool, integer, float, decimal, text, date, time, duration or nested.

    Dates include timestamps; what is none of these (lists, bytes, intervals and the
    like) counts as nested.
    """
    plain = value_type(arrow_type)
    for name, tests in _FAMILIES:
        if any(test(plain) for test in tests):
            return name
    return "nested"


def key_type(arrow_type: pa.DataType) -> pa.DataType | None:
    """Return the type of a column's keys; None for nested types."""
    plain = value_type(arrow_type)
    return {
        "null": pa.null(),
        "bool": pa.bool_(),
        "integer": pa.uint64() if pa.types.is_uint64(plain) else pa.int64(),
        "float": pa.float64(),
        "decimal": pa.large_string(),
        "text": pa.large_string(),
        "date": pa.int64(),
        "time": pa.int64(),
        "duration": pa.int64(),
    }.get(family(plain))


def keys(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Turn a column into its keys.

    Parameters
    ----------
    name : str
        The column's name, for messages.
    column : pyarrow.ChunkedArray
        Of any type that is not nested, dictionaries included.

    Returns
    -------
    pyarrow.ChunkedArray
        Of type `key_type`, without NaN; decimals as text, dates and times as integers in
        the unit of their type.

    Raises
    ------
    DataError
        If there are infinite values.
    """
    plain, wanted = value_type(column.type), key_type(column.type)
    chunks = [_chunk_keys(chunk, plain, wanted) for chunk in column.chunks]
    found = pa.chunked_array(chunks, type=wanted)
    if pa.types.is_float64(wanted):
        _require_finite(name, found)
        if pc.any(pc.is_nan(found)).as_py():
            found = nulled(found, pc.is_nan(found))
    return found


def _chunk_keys(chunk: pa.Array, plain: pa.DataType, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(chunk.type):
        # Not decoded first: keys can be taken of every type, views and narrow decimals not.
        return _chunk_keys(chunk.dictionary, plain, wanted).take(chunk.indices)
    kind = family(plain)
    if kind in ("date", "time", "duration"):
        chunk = chunk.view(pa.int32() if plain.bit_width == 32 else pa.int64())
    return chunk if chunk.type == wanted else chunk.cast(wanted)


def _require_finite(name: str, column: pa.ChunkedArray) -> None:
    infinite = pc.is_inf(column)
    count = pc.sum(infinite).as_py() or 0
    if count:
        row = first_true(infinite) + 1
        raise DataError(
            f"column {name!r} has {count} infinite value{'' if count == 1 else 's'} "
            f"({'first ' if count > 1 else ''}in row {row}); replace them or pass them as missing"
        )


def floats(found: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Return keys as numbers, NaN where missing.

    Integers beyond 2^53 are rounded to what float64 has.
    """
    numbers = found.cast(pa.float64(), safe=False)
    if numbers.null_count:
        numbers = pc.fill_null(numbers, _scalar(np.nan, pa.float64()))
    return _joined(numbers, np.float64)


def integers(found: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return integer keys exactly, 0 where missing, and which are missing."""
    missing = floats(found.is_null()) == 1
    whole = found.cast(pa.int64())
    return _joined(pc.fill_null(whole, _scalar(0, pa.int64())), np.int64), missing


def first_true(column: pa.ChunkedArray) -> int:
    """Return the first row, counted from 0, in which a column of booleans is true."""
    return int(pc.index(column, _scalar(True, pa.bool_())).as_py())


def nulled(column: Any, where: Any) -> Any:
    """Return a column with nulls where a column of booleans is true."""
    return pc.if_else(where, pa.nulls(1, column.type)[0], column)


def _scalar(value: Any, arrow_type: pa.DataType) -> pa.Scalar:
    # ``pyarrow.scalar`` imports pandas whenever it is installed.
    return keys_from_list([value], arrow_type)[0]


def _joined(column: pa.ChunkedArray, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return a column without missing values as one array, a view if it is one chunk."""
    pieces = [
        np.frombuffer(chunk.buffers()[1], dtype=dtype, count=len(chunk) + chunk.offset)[
            chunk.offset :
        ]
        for chunk in column.chunks
        if len(chunk)
    ]
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=dtype)


def keys_from_list(values: Sequence[Any], wanted: pa.DataType) -> pa.Array:
    """Build an array of keys from plain Python values, none of them missing.

    (``pyarrow.array`` of a list imports pandas whenever it is installed.)
    """
    if pa.types.is_null(wanted):
        return pa.nulls(len(values))
    if not pa.types.is_large_string(wanted):
        dtype = np.bool_ if pa.types.is_boolean(wanted) else np.dtype(wanted.to_pandas_dtype())
        return column_array(np.array(values, dtype=dtype))
    encoded = [value.encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(wanted, len(encoded), buffers)


def from_keys(found: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Turn keys back into a column of a type that is not a dictionary."""
    kind = family(arrow_type)
    if kind in ("date", "time", "duration"):
        narrow = found.cast(pa.int32()) if arrow_type.bit_width == 32 else found
        return narrow.view(arrow_type)
    return found if found.type == arrow_type else found.cast(arrow_type)


def masked_array(
    values: npt.NDArray[Any], missing: npt.NDArray[np.bool_], arrow_type: pa.DataType
) -> pa.Array:
    """Wrap numbers in the layout of a type of fixed width, null where missing."""
    bits = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(arrow_type, len(missing), [bits, data])


def from_floats(cells: npt.NDArray[np.float64], arrow_type: pa.DataType) -> pa.Array:
    """Turn numbers into a column of numbers, durations or times of day.

    Parameters
    ----------
    cells : ndarray of shape (n,)
        NaN becomes null; the rest is rounded to what the type has, and cut to its range.
    arrow_type : pyarrow.DataType
        Integer, float, decimal, duration or time.

    Returns
    -------
    pyarrow.Array
        Of that type.
    """
    missing = np.isnan(cells)
    numbers = np.where(missing, 0.0, cells)
    kind = family(arrow_type)
    if kind == "float":
        dtype = np.dtype(arrow_type.to_pandas_dtype())
        largest = float(np.finfo(dtype).max)
        return masked_array(np.clip(numbers, -largest, largest).astype(dtype), missing, arrow_type)
    if kind == "decimal":
        return _decimals(numbers, missing, arrow_type)
    low, high = _integer_range(arrow_type)
    narrow = np.dtype(
        f"{'u' if low == 0 and kind == 'integer' else 'i'}{arrow_type.bit_width // 8}"
    )
    whole = np.clip(np.rint(numbers), max(low, 1 - EXACT), min(high, EXACT - 1))
    return masked_array(whole.astype(narrow), missing, arrow_type)


def _integer_range(arrow_type: pa.DataType) -> tuple[int, int]:
    if pa.types.is_time(arrow_type):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[arrow_type.unit]
        return 0, 86_400 * per_second - 1
    bits = arrow_type.bit_width
    if pa.types.is_unsigned_integer(arrow_type):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _decimals(
    numbers: npt.NDArray[np.float64], missing: npt.NDArray[np.bool_], arrow_type: pa.DataType
) -> pa.Array:
    largest = min(10**arrow_type.precision, EXACT) - 1
    units = np.clip(np.rint(numbers * 10.0**arrow_type.scale), -largest, largest)
    pairs = np.empty((len(units), 2), dtype=np.int64)
    pairs[:, 0] = units
    pairs[:, 1] = pairs[:, 0] >> 63
    wide = pa.decimal128(min(arrow_type.precision, 38), arrow_type.scale)
    found = masked_array(pairs, missing, wide)
    return found if wide == arrow_type else found.cast(arrow_type)
