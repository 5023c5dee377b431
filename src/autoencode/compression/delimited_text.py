"""Files of delimited text -> a table of numbers and text that gives back every byte."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from autoencode.compression.plans import require
from autoencode.errors import DataError

__all__ = ["joined_text", "split_text"]

_DELIMITERS = (b",", b";", b"\t", b"|", b" ")
_SAMPLE = 1 << 16
# A cell that is a number and comes back from a whole number and a count of decimals.
_NUMBER = (
    r"^(0|-?[1-9][0-9]{0,16}|-?[1-9][0-9]{0,8}\.[0-9]{1,9}|-?[1-9]\.[0-9]{10,16}"
    r"|-?0\.[0-9]{0,15}[1-9][0-9]{0,15}|0\.0{1,8})$"
)
_MOST_DECIMALS = 17
_LARGEST = 9e18
# Share of numbers from which a column counts as one of numbers.
_MOSTLY = 0.7


def split_text(raw: bytes) -> tuple[pa.Table, dict[str, Any]] | None:
    """Take text apart.

    Parameters
    ----------
    raw : bytes
        The file.

    Returns
    -------
    tuple of Table and dict, or None
        Columns of whole numbers, counts of decimals and text, and the recipe, plain JSON, by
        which `joined_text` puts them together again; None if that would not give the same
        bytes.
    """
    newline = b"\r\n" if raw[:_SAMPLE].count(b"\r\n") else b"\n"
    end = raw.find(newline)
    if end < 0 or b"\0" in raw[:_SAMPLE]:
        return None
    header, body = raw[:end], raw[end + len(newline) :]
    ended = body.endswith(newline)
    sample = body[:_SAMPLE].split(newline)[:200]
    counts = {one: {line.count(one) for line in sample[:-1]} for one in _DELIMITERS}
    likely = [one for one in _DELIMITERS if len(counts[one]) == 1 and max(counts[one]) > 0]
    # A single column has no delimiter: one that occurs nowhere stands for it.
    delimiter = max(likely, key=lambda one: max(counts[one])) if likely else b"\x1f"
    n_columns = sample[0].count(delimiter) + 1 if sample else 1
    if not body or (delimiter == b"\x1f" and b"\x1f" in raw):
        return None
    cells = _cells(body, delimiter, n_columns)
    if cells is None:
        return None
    recipe: dict[str, Any] = {
        "columns": [],
        "delimiter": delimiter.decode("latin-1"),
        "ended": ended,
        "header": header.decode("latin-1"),
        "newline": newline.decode("latin-1"),
    }
    columns: dict[str, pa.Array] = {}
    for place in range(n_columns):
        described = _split_column(cells.column(place).combine_chunks(), place, columns)
        recipe["columns"].append(described)
    table = pa.table(columns)
    if b"".join(joined_text([table], recipe)) != raw:
        return None
    return table, recipe


def _cells(body: bytes, delimiter: bytes, n_columns: int) -> pa.Table | None:
    """Cut lines at every delimiter, quoted or not; None if they are not all alike."""
    names = [str(place) for place in range(n_columns)]
    try:
        return pacsv.read_csv(
            pa.BufferReader(body),
            read_options=pacsv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter.decode("latin-1"), quote_char=False, ignore_empty_lines=False
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_binary()),
                null_values=[],
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowException:
        return None


def _split_column(cells: Any, place: int, columns: dict[str, pa.Array]) -> list[Any]:
    """Add a column's parts to the table; return how they go together."""
    if isinstance(cells, pa.ChunkedArray):
        cells = pa.concat_arrays(cells.chunks) if cells.num_chunks else cells.type
    text = cells.cast(pa.large_binary())
    numeric = _is_number(text)
    share = pc.mean(numeric.cast(pa.float64())).as_py() if len(text) else 0.0
    if not share or share < _MOSTLY:
        columns[f"{place}t"] = text
        return ["text"]
    shown = pc.if_else(numeric, text, pa.scalar(b"0", pa.large_binary())).cast(pa.large_string())
    point = pc.find_substring(shown, ".")
    length = pc.binary_length(shown).cast(pa.int32())
    decimals = np.asarray(
        pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(length, point), 1)), np.int64
    )
    most = int(decimals.max(initial=0))
    largest = float(np.abs(np.asarray(shown.cast(pa.float64()))).max(initial=0.0))
    if most > _MOST_DECIMALS or largest * 10.0**most > _LARGEST:
        columns[f"{place}t"] = text
        return ["text"]
    whole = pc.replace_substring(shown, ".", "").cast(pa.int64())
    numbers = np.asarray(whole, np.int64) * 10 ** (most - decimals)
    is_number = np.asarray(numeric.to_numpy(zero_copy_only=False), np.bool_)
    columns[f"{place}n"] = pa.array(numbers, mask=~is_number)
    if not is_number.all():
        columns[f"{place}t"] = _text_of(text, numeric)
    for rule in ("all", "shortest", "shortest but one"):
        if (_decimals_by_rule(numbers, most, rule) == decimals)[is_number].all():
            return ["number", most, rule]
    columns[f"{place}d"] = pa.array(decimals.astype(np.uint8), mask=~is_number)
    return ["number", most, "stored"]


def _text_of(text: pa.Array, numeric: pa.Array) -> pa.Array:
    return pc.if_else(numeric, pa.scalar(None, pa.large_binary()), text)


def _is_number(text: pa.Array) -> pa.Array:
    return pc.match_substring_regex(text, _NUMBER)


def _decimals_by_rule(
    numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]], most: int, rule: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return how many decimals are written: all, or as few as a number needs."""
    found = np.full(len(numbers), most, np.int64)
    if rule == "all":
        return found
    least = 0 if rule == "shortest" else min(1, most)
    for decimals in range(most - 1, least - 1, -1):
        found[numbers % 10 ** (most - decimals) == 0] = decimals
    return found


def joined_text(tables: Any, recipe: dict[str, Any]) -> Iterator[bytes]:
    """Yield the bytes of a text again, a piece for each table.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Rows in order.
    recipe : dict
        As `split_text` returned it.

    Raises
    ------
    DataError
        If the recipe is not understood.
    """
    try:
        newline = recipe["newline"].encode("latin-1")
        delimiter = recipe["delimiter"].encode("latin-1")
        described, ended = recipe["columns"], recipe["ended"]
        yield recipe["header"].encode("latin-1") + newline
        before = b""
        for table in tables:
            texts = [_column_text(table, place, rule) for place, rule in enumerate(described)]
            mark = pa.scalar(delimiter, pa.large_binary())
            lines = pc.binary_join_element_wise(*texts, mark)
            yield before + newline.join(lines.to_pylist())
            before = newline
    except (KeyError, TypeError, AttributeError, pa.ArrowException, UnicodeError) as error:
        raise DataError(f"the file is damaged: its text cannot be put together: {error}") from error
    if ended:
        yield newline


def _column_text(table: pa.Table, place: int, rule: list[Any]) -> Any:
    if rule[0] == "text":
        return _whole_column(table, f"{place}t")
    require(rule[0] == "number" and len(rule) == 3, "a column of text is not understood")
    most = rule[1]
    require(type(most) is int and 0 <= most <= _MOST_DECIMALS, "a count of decimals is wrong")
    column = _whole_column(table, f"{place}n")
    missing = column.is_null()
    numbers = np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    if rule[2] == "stored":
        stored = _whole_column(table, f"{place}d").fill_null(0)
        decimals = np.asarray(stored.to_numpy(zero_copy_only=False), np.int64)
        require(int(decimals.max(initial=0)) <= most, "a count of decimals is wrong")
    else:
        decimals = _decimals_by_rule(numbers, most, rule[2])
    text = _number_text(numbers, decimals, most)
    if f"{place}t" in table.column_names:
        return pc.if_else(missing, _whole_column(table, f"{place}t"), text)
    return text


def _whole_column(table: pa.Table, name: str) -> Any:
    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def _number_text(
    numbers: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    decimals: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    most: int,
) -> pa.Array:
    """Write whole numbers of ``most`` decimals with as many as each is to have."""
    large = pa.large_binary()
    text: Any = None
    size = np.abs(numbers) // 10 ** (most - decimals)
    sign = pa.array(np.where(numbers < 0, b"-", b"")).cast(large)
    for count in np.unique(decimals).tolist():
        whole = pa.array(size // 10**count).cast(pa.large_string())
        if count:
            rest = pa.array(size % 10**count).cast(pa.large_string())
            rest = pc.utf8_lpad(rest, count, "0")
            whole = pc.binary_join_element_wise(whole, rest, pa.scalar(".", pa.large_string()))
        here = pc.binary_join_element_wise(sign, whole.cast(large), pa.scalar(b"", large))
        text = here if text is None else pc.if_else(pa.array(decimals == count), here, text)
    return text
