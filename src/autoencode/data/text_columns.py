"""Columns of a text file: cells in, block by block, columns of numbers or text out."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.dialect import MISSING, is_decimal_comma
from autoencode.data.matrix import numpy_column
from autoencode.data.tables import number_pattern, text_array

__all__ = ["TextColumn"]

State: TypeAlias = Literal["whole numbers", "numbers", "text"]

# Whole numbers that would not come back as they are written: codes such as "01234", and
# identifiers beyond 64 bits.
code_pattern = r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"
SPELLED_MISSING = text_array(sorted(MISSING))
# ``pa.scalar`` imports pandas if that is installed.
NO_TEXT, NO_NUMBER = (pa.nulls(1, kind)[0] for kind in (pa.string(), pa.float64()))
EMPTY_TEXT = text_array([""])[0]


class TextColumn:
    """One column, as narrow as what its cells have in common.

    It holds whole numbers (int64) as long as every cell is one that would be written the
    same way again, then real numbers (float64), then text. Dates and truth values stay
    text, so that they are written as they were read.

    Parameters
    ----------
    decimal_point : {".", ","}
        What stands before decimals.
    verbatim : bool
        Whether text that spells a missing value stays text.
    is_text : bool
        Whether to have text from the beginning.

    Attributes
    ----------
    lost : bool
        Whether the column turned out to be text after real numbers were read, whose text
        is gone: it has to be read again, as text.
    has_decimal_comma : bool
        Whether it turned into text for a cell that is a number with a decimal comma.
    """

    def __init__(
        self, *, decimal_point: str = ".", verbatim: bool = False, is_text: bool = False
    ) -> None:
        self._decimal_point = decimal_point
        self._verbatim = verbatim
        self._state: State = "text" if is_text else "whole numbers"
        self._untidy = False
        self._pieces: list[pa.Array] = []
        self.lost = False
        self.has_decimal_comma = False

    def add(self, cells: pa.Array) -> None:
        """Append the next cells.

        Parameters
        ----------
        cells : pyarrow.Array
            Strings; null where a cell is empty.
        """
        if self._state != "text":
            numbers = self._numbers(cells)
            if numbers is not None:
                self._pieces.append(numbers)
                return
            self._turn_into_text(cells)
        if not self.lost:
            self._pieces.append(self._text(cells))

    def finished(self) -> pa.ChunkedArray:
        """Give the whole column; of type null if every cell is missing."""
        if all(piece.null_count == len(piece) for piece in self._pieces):
            return pa.chunked_array([pa.nulls(sum(map(len, self._pieces)))])
        return pa.chunked_array(self._pieces)

    def _numbers(self, cells: pa.Array) -> pa.Array | None:
        """Convert cells to numbers, whole ones as long as all are; None if they are text."""
        # Cells that are untidy once are so again: the first attempt is saved.
        attempts = (True,) if self._untidy else (False,) if self._verbatim else (False, True)
        for tidy in attempts:
            given = _tidied(cells) if tidy else cells
            piece = _whole_numbers(given) if self._state == "whole numbers" else None
            if piece is None:
                piece = _real_numbers(given, self._decimal_point)
                if piece is None or not self._may_be_real(given, piece):
                    continue
            self._untidy = tidy
            return piece
        return None

    def _may_be_real(self, cells: pa.Array, numbers: pa.Array) -> bool:
        """Let the column hold real numbers, unless the cells are codes or spell NaN."""
        if self._state == "numbers":
            return True
        if numbers.null_count > cells.null_count:
            return False  # the others may be whole numbers
        if pc.any(pc.match_substring_regex(cells, code_pattern)).as_py():
            return False
        self._state = "numbers"
        self._pieces = [piece.cast(pa.float64()) for piece in self._pieces]
        return True

    def _turn_into_text(self, cells: pa.Array) -> None:
        self.has_decimal_comma = _first_bad_is_decimal_comma(_tidied(cells))
        self.lost = self._state == "numbers"
        self._state = "text"
        self._pieces = [] if self.lost else [self._text(p.cast(pa.string())) for p in self._pieces]

    def _text(self, cells: pa.Array) -> pa.Array:
        return pc.fill_null(cells, EMPTY_TEXT) if self._verbatim else _without_missing(cells)


def _whole_numbers(cells: pa.Array) -> pa.Array | None:
    """Convert cells to whole numbers, if they would be written the same way again."""
    try:
        numbers = cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    length = pc.sum(pc.binary_length(cells)).as_py() or 0
    return numbers if _written_length(numbers) == length else None


def _real_numbers(cells: pa.Array, decimal_point: str) -> pa.Array | None:
    """Convert cells to real numbers; NaN becomes null."""
    if decimal_point == ",":
        if pc.any(pc.match_substring(cells, ".")).as_py():
            return None
        cells = pc.replace_substring(cells, ",", ".")
    try:
        numbers = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    total = pc.sum(numbers).as_py()
    if total is not None and total != total:
        numbers = pc.if_else(pc.is_nan(numbers), NO_NUMBER, numbers)
    return numbers


def _without_missing(cells: pa.Array) -> pa.Array:
    """Make cells null that are blank or spell a missing value."""
    missing = pc.or_(pc.is_in(cells, value_set=SPELLED_MISSING), pc.utf8_is_space(cells))
    if not pc.any(missing).as_py():
        return cells
    return pc.if_else(missing, NO_TEXT, cells)


def _tidied(cells: pa.Array) -> pa.Array:
    return _without_missing(pc.utf8_trim_whitespace(cells))


def _written_length(numbers: pa.Array) -> int:
    """Count the characters of whole numbers when they are written.

    No number is spelled shorter: if the cells are as long, they are written like that.
    """
    values = numpy_column(numbers.drop_null())
    if not len(values):
        return 0
    lowest, highest = int(values.min()), int(values.max())
    length = len(values) + (int(np.count_nonzero(values < 0)) if lowest < 0 else 0)
    for digits in range(1, 19):
        if highest >= 10**digits:
            length += int(np.count_nonzero(values >= 10**digits))
        if lowest <= -(10**digits):
            length += int(np.count_nonzero(values <= -(10**digits)))
    return length


def _first_bad_is_decimal_comma(cells: pa.Array) -> bool:
    for cell in cells:
        text = cell.as_py()
        if text is not None and not number_pattern.fullmatch(text):
            return is_decimal_comma(text)
    return False
