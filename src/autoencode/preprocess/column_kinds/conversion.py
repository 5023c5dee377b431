"""Columns that arrive with another type than they were fitted with."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.tables import shortened
from autoencode.errors import DataError
from autoencode.preprocess.column_kinds.keys import family, first_true, keys, nulled, value_type
from autoencode.preprocess.column_kinds.number_texts import with_points

__all__ = ["cell_text", "is_blank", "keys_as", "require_zones"]

_NUMBERS = ("bool", "integer", "float", "decimal")
# Which families become which: only where nobody would expect anything else.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "bool": (*_NUMBERS, "text"),
    "integer": (*_NUMBERS, "text"),
    "float": (*_NUMBERS, "text"),
    "decimal": (*_NUMBERS, "text"),
    "text": (*_NUMBERS, "date", "time"),
    "date": ("date", "text"),
    "time": ("time",),
    "duration": ("duration",),
}
_NAMES = {
    "bool": "true or false",
    "integer": "whole numbers",
    "float": "numbers",
    "decimal": "decimal numbers",
    "text": "text",
    "date": "dates",
    "time": "times of day",
    "duration": "durations",
    "null": "always missing",
    "nested": "nested values",
}


def keys_as(name: str, column: pa.ChunkedArray, fitted: pa.DataType) -> pa.ChunkedArray:
    """Return a column's keys as a column of the fitted type has them.

    Parameters
    ----------
    name : str
        The column's name, for messages.
    column : pyarrow.ChunkedArray
        Of any type.
    fitted : pyarrow.DataType
        The type that the column had when it was fitted.

    Returns
    -------
    pyarrow.ChunkedArray
        See `keys.keys`.

    Raises
    ------
    DataError
        If a cell has no equal of the fitted type; blank text counts as missing where
        numbers were fitted, and numbers may have decimal commas (see `with_points`).
    """
    wanted, given = value_type(fitted), value_type(column.type)
    if given == wanted or (family(given), family(wanted)) in (("text", "text"), ("float", "float")):
        return keys(name, column)
    source, target = family(given), family(wanted)
    if source == "text":
        column = _trimmed(keys(name, column))
    elif source == "float":
        # NaN becomes missing, which other types have, too.
        column = keys(name, column)
    if column.null_count == len(column):
        return keys(name, pa.chunked_array([pa.nulls(len(column), wanted)]))
    if source not in _ALLOWED.get(target, ()):
        raise _refusal(name, column, given, wanted)
    if pa.types.is_dictionary(column.type):
        column = column.cast(given)
    if target == "text":
        return keys(name, _as_text(name, column, source))
    if source == "date":
        require_zones(name, given, wanted)
    if source in ("bool", "integer") and target == "decimal":
        # Straight, Arrow asks for room for the largest integer.
        column = (column.cast(pa.int8()) if source == "bool" else column).cast(pa.large_string())
    shown = column
    if source == "text" and target in ("integer", "float", "decimal"):
        column = with_points(column)
    if source in ("text", "decimal") and target == "integer":
        column = _as_integers(name, column, wanted, shown)
    # Floats need not be narrow enough for the column: cells are float64 anyway.
    plain = pa.float64() if target == "float" else wanted
    return keys(name, _cast(name, column, plain, wanted, shown))


def cell_text(column: pa.ChunkedArray, row: int) -> str:
    """Return what stands in a row, counted from 0, quoted and shortened."""
    cell = column.slice(row, 1)
    try:
        return shortened(str(cell.cast(pa.large_string())[0].as_py()))
    except pa.ArrowException:
        return shortened(str(cell[0]))


def _refusal(
    name: str, column: pa.ChunkedArray, given: pa.DataType, wanted: pa.DataType
) -> DataError:
    row = first_true(column.is_valid())
    return DataError(
        f"column {name!r} held {_NAMES[family(wanted)]} ({wanted}) when the model was fitted but "
        f"is {given} now: {cell_text(column, row)} in row {row + 1}; convert it to {wanted}"
    )


def require_zones(name: str, given: pa.DataType, fitted: pa.DataType) -> None:
    """Refuse timestamps with a time zone where none was fitted, and the reverse.

    Raises
    ------
    DataError
        If one type has a time zone and the other, a timestamp too, has none.
    """
    if not (pa.types.is_timestamp(given) and pa.types.is_timestamp(fitted)):
        return
    if (given.tz is None) != (fitted.tz is None):
        had = "no time zone" if fitted.tz is None else f"the time zone {fitted.tz}"
        has = "none" if given.tz is None else given.tz
        raise DataError(
            f"column {name!r} had {had} when the model was fitted but has {has} now; "
            f"convert it to {fitted}"
        )


def _trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    plain = pc.utf8_trim_whitespace(column)
    return nulled(plain, is_blank(plain))


def is_blank(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return which texts are empty or white space only."""
    return pc.invert(pc.binary_length(pc.utf8_trim_whitespace(texts)).cast(pa.bool_()))


def _as_text(name: str, column: pa.ChunkedArray, source: str) -> pa.ChunkedArray:
    """Spell cells: whole numbers without a point, as missing cells make them floats."""
    if source == "float":
        whole = pc.all(pc.equal(column, pc.round(column))).as_py()
        if whole and (pc.max(pc.abs(column)).as_py() or 0) < 2**53:
            column = column.cast(pa.int64())
    return _cast(name, column, pa.large_string())


def _as_integers(
    name: str, column: pa.ChunkedArray, wanted: pa.DataType, shown: pa.ChunkedArray
) -> pa.ChunkedArray:
    """Read text or decimals as integers, exactly if they are spelled without a point."""
    try:
        return column.cast(wanted)
    except pa.ArrowException:
        return _cast(name, column, pa.float64(), wanted, shown)


def _cast(
    name: str,
    column: pa.ChunkedArray,
    arrow_type: pa.DataType,
    fitted: pa.DataType | None = None,
    shown: pa.ChunkedArray | None = None,
) -> pa.ChunkedArray:
    """Cast a column; messages name the fitted type, and the cell as it was given."""
    try:
        return column.cast(arrow_type)
    except pa.ArrowNotImplementedError as error:
        raise _refusal(name, column, column.type, fitted or arrow_type) from error
    except (pa.ArrowException, ValueError) as error:
        row = _first_refused(column, arrow_type)
        wanted = fitted or arrow_type
        raise DataError(
            f"column {name!r} held {_NAMES[family(wanted)]} ({wanted}) when the model was "
            f"fitted, but {cell_text(column if shown is None else shown, row)} in row {row + 1} "
            "is not one of these; correct the cell or leave it empty"
        ) from error


def _first_refused(column: pa.ChunkedArray, arrow_type: Any) -> int:
    """Find the first row that cannot be cast, by halving."""
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column.slice(low, middle - low).cast(arrow_type)
        except (pa.ArrowException, ValueError):
            high = middle
        else:
            low = middle
    return low
