"""How a CSV file is written: encoding, delimiter, header and decimal point."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice

import pyarrow.csv as pacsv

from autoencode.data.tables import number_pattern
from autoencode.errors import DataError

__all__ = ["MISSING", "Dialect", "is_decimal_comma", "sniff"]

# In order of preference where two of them explain the lines equally well.
DELIMITERS = ("\t", ";", "|", ",", " ")
# Enough to judge by; more would be felt beside the fast reading that follows.
SAMPLE_LINES = 100
SAMPLE_CELLS = 2000

# What spells a missing value.
MISSING = frozenset(pacsv.ConvertOptions().null_values)
decimal_comma_pattern = re.compile(r"\s*[-+]?(?:\d+,\d*|,\d+)(?:[eE][-+]?\d+)?\s*")
thousands_pattern = re.compile(r"\s*[-+]?[1-9]\d{0,2}(?:[.,]\d{3})+\s*")
date_pattern = re.compile(r"\s*(?:\d{4}-\d\d?-\d\d?|\d\d?[-./]\d\d?[-./]\d{2,4})(?:[T ]\d.*)?\s*")

Lines = list[list[str]]


@dataclass(frozen=True)
class Dialect:
    """What has to be known to read a CSV file.

    Attributes
    ----------
    encoding : str
        A Python codec that reads the sample.
    delimiter : str
        One character.
    decimal_point : {".", ","}
        What stands before decimals.
    decimals_seen : bool
        Whether the sample shows that; False if it has no decimals.
    names : tuple of str
        Column names; the column numbers, counted from 0, if there is no header.
    trailing : bool
        Whether the last name only stands for the emptiness after a delimiter that ends
        every line.
    header_lines : int
        Physical lines up to the end of the header; 0 if there is none.
    newlines_in_values : bool
        Whether quoted fields span lines.
    longest_line : int
        Bytes of the longest line of the sample.
    """

    encoding: str
    delimiter: str
    decimal_point: str
    decimals_seen: bool
    names: tuple[str, ...]
    trailing: bool
    header_lines: int
    newlines_in_values: bool
    longest_line: int


def sniff(sample: bytes, *, complete: bool) -> Dialect:
    """Find out from its beginning how a CSV file is written.

    The delimiter is the one under which most lines have the same number of fields and
    most fields are numbers. There is a header unless the first line is all numbers, or
    is like the lines below it wherever those have numbers.

    Parameters
    ----------
    sample : bytes
        The beginning of the file, after decompression.
    complete : bool
        Whether that is the whole file, so that its last line is a whole one.

    Returns
    -------
    Dialect
        How to read it.

    Raises
    ------
    DataError
        If the file is empty, has no rows or is not text.
    """
    encoding, text = _decoded(sample, complete=complete)
    if not text.strip():
        raise DataError("the file is empty")
    if "\0" in text:
        raise DataError("the file is not text (UTF-16 needs its byte order mark)")
    delimiter, lines, header_end = _split(text, complete)
    decimal_point = _decimal_point(lines, delimiter)
    header = _has_header(lines, decimal_point or ".")
    if header and complete and len(lines) == 1:
        raise DataError("the file has a header but no rows")
    names, trailing = _names(lines, header)
    return Dialect(
        encoding=encoding,
        delimiter=delimiter,
        decimal_point=decimal_point or ".",
        decimals_seen=decimal_point is not None,
        names=names,
        trailing=trailing,
        header_lines=header_end if header else 0,
        newlines_in_values=any("\n" in cell or "\r" in cell for cell in chain(*lines)),
        longest_line=max(map(len, sample.splitlines())),
    )


def is_decimal_comma(cell: str) -> bool:
    """Tell whether the text of a cell is a number with a decimal comma."""
    return decimal_comma_pattern.fullmatch(cell) is not None


def _decoded(sample: bytes, *, complete: bool) -> tuple[str, str]:
    """Give the encoding of the sample and its text, up to its last whole character."""
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return "utf-16", codecs.getincrementaldecoder("utf-16")().decode(sample, complete)
        except UnicodeDecodeError as error:
            raise DataError(f"the file is not whole UTF-16 text: {error}") from error
    for encoding in ("utf-8-sig", "cp1252"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            text = decoder.decode(sample, final=complete)
        except UnicodeDecodeError:
            continue
        return ("utf-8" if encoding == "utf-8-sig" else encoding), text
    return "latin-1", sample.decode("latin-1")


def _split(text: str, complete: bool) -> tuple[str, Lines, int]:
    """Find the delimiter; give it, the first lines and the physical lines of the first."""
    parsed = {delimiter: _parsed(text, delimiter, complete) for delimiter in DELIMITERS}
    scores = {delimiter: _score(parsed[delimiter][0], delimiter) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])
    delimiter = best if scores[best] > 0 else ","
    lines, header_end = parsed[delimiter]
    if not lines:
        raise DataError("the file holds no line that can be read as a row of a table")
    return delimiter, lines, header_end


def _parsed(text: str, delimiter: str, complete: bool) -> tuple[Lines, int]:
    """Split the first lines into cells; also count the physical lines of the first one."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines: Lines = []
    header_end = 0
    try:
        for cells in islice(reader, 2 * SAMPLE_LINES):
            if cells and len(lines) <= SAMPLE_LINES:
                header_end = header_end or reader.line_num
                lines.append(cells)
    except csv.Error:
        # A quote that is never closed: what stands before it can still be judged by.
        return lines, header_end
    if not complete and 1 < len(lines) <= SAMPLE_LINES:
        del lines[-1]
    return lines, header_end


def _score(lines: Lines, delimiter: str) -> float:
    """Rate a delimiter: share of lines of the usual width, times the share of numbers."""
    if not lines:
        return 0.0
    width, count = Counter(len(cells) for cells in lines).most_common(1)[0]
    if width < 2 or 2 * count <= len(lines):
        return 0.0
    body = lines[1:] or lines
    cells = [cell for cell in islice(chain(*body), SAMPLE_CELLS) if cell.strip() not in MISSING]
    numbers = sum(_is_number(cell, delimiter) for cell in cells) / max(1, len(cells))
    if numbers < 0.5 and (delimiter == " " or len(lines[0]) < 2):
        return 0.0  # parts of a text
    return count / len(lines) * (0.1 + numbers)


def _is_number(cell: str, delimiter: str) -> bool:
    if number_pattern.fullmatch(cell):
        return True
    return delimiter != "," and is_decimal_comma(cell)


def _decimal_point(lines: Lines, delimiter: str) -> str | None:
    """Tell what stands before decimals; None if there are none."""
    if delimiter == ",":
        return "."  # a quoted "1,234" may as well be a thousand
    cells = list(islice(chain(*lines), SAMPLE_CELLS))
    points = [cell for cell in cells if "." in cell and number_pattern.fullmatch(cell)]
    commas = [cell for cell in cells if is_decimal_comma(cell)]
    if not points:
        return "," if commas else None
    # Beside 0,94 the point of 99.337 sets off thousands: a file has decimals of one kind.
    whole, others = (all(map(thousands_pattern.fullmatch, found)) for found in (points, commas))
    return "," if whole and not others else "."


def _has_header(lines: Lines, decimal_point: str) -> bool:
    delimiter = "," if decimal_point == "." else ";"
    first, body = lines[0], lines[1:]
    kinds = [_kind(cell, delimiter) for cell in first]
    if set(kinds) <= {"missing", "number"}:
        return "number" not in kinds
    same = 0
    for position, kind in enumerate(kinds):
        below = {_kind(cells[position], delimiter) for cells in body if position < len(cells)}
        below.discard("missing")
        if len(below) != 1 or "text" in below:
            continue
        if {kind} == below:
            same += 1
        elif kind != "missing":
            return True
    return same == 0


def _kind(cell: str, delimiter: str) -> str:
    if cell.strip() in MISSING:
        return "missing"
    if _is_number(cell, delimiter):
        return "number"
    return "date" if date_pattern.fullmatch(cell) else "text"


def _names(lines: Lines, header: bool) -> tuple[tuple[str, ...], bool]:
    """Name the columns; also tell whether the last one is only a trailing delimiter."""
    if header:
        stripped = [cell.strip() for cell in lines[0]]
        names = [name or f"unnamed_{place}" for place, name in enumerate(stripped, start=1)]
    else:
        width = Counter(len(cells) for cells in lines).most_common(1)[0][0]
        names = [str(position) for position in range(width)]
    trailing = len(names) > 1 and _ends_empty(lines, len(names))
    return tuple(names), trailing


def _ends_empty(lines: Sequence[Sequence[str]], width: int) -> bool:
    return all(not cells[width - 1].strip() for cells in lines if len(cells) == width)
