"""Columns of a text file: cells in, block by block, columns of numbers or text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.dialect import MISSING, is_decimal_comma
from autoencode.data.matrix import numpy_column
from autoencode.data.tables import number_pattern

__all__ = ["TextColumn"]

State: TypeAlias = Literal["whole numbers", "numbers", "text"]

# Whole numbers that would not come back as they are written: codes such as "01234", and
# identifiers beyond 64 bits.
code_pattern = r"^[-+]?(?:0[0-9]+|[0-9]{19,})$"


def _text_array(texts: Sequence[str]) -> pa.Array:
    # ``pa.array`` imports pandas if that is installed.
    packed = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, packed)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(packed))]
    return pa.Array.from_buffers(pa.string(), len(texts), buffers)


SPELLED_MISSING = _text_array(sorted(MISSING))


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
        while not self.lost:
            piece = self._converted(cells)
            if piece is not None:
                self._pieces.append(piece)
                return
            self._loosen(cells)

    def finished(self) -> pa.ChunkedArray:
        """Give the whole column; of type null if every cell is missing."""
        if all(piece.null_count == len(piece) for piece in self._pieces):
            return pa.chunked_array([pa.nulls(sum(map(len, self._pieces)))])
        return pa.chunked_array(self._pieces)

    def _converted(self, cells: pa.Array) -> pa.Array | None:
        """Convert cells to what the column holds; None if they are something else."""
        if self._state == "text":
            return pc.fill_null(cells, "") if self._verbatim else _without_missing(cells)
        convert = self._whole_numbers if self._state == "whole numbers" else self._numbers
        piece = None if self._untidy else convert(cells)
        if piece is None:
            piece = convert(_tidied(cells))
            # Cells that are untidy once are so again: the first attempt is saved.
            self._untidy = piece is not None
        return piece

    def _whole_numbers(self, cells: pa.Array) -> pa.Array | None:
        try:
            numbers = cells.cast(pa.int64())
        except pa.ArrowInvalid:
            return None
        length = pc.sum(pc.binary_length(cells)).as_py() or 0
        return numbers if _written_length(numbers) == length else None

    def _numbers(self, cells: pa.Array) -> pa.Array | None:
        if self._decimal_point == ",":
            if pc.any(pc.match_substring(cells, ".")).as_py():
                return None
            cells = pc.replace_substring(cells, ",", ".")
        try:
            numbers = cells.cast(pa.float64())
        except pa.ArrowInvalid:
            return None
        total = pc.sum(numbers).as_py()
        if total is not None and total != total:
            numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
        return numbers

    def _loosen(self, cells: pa.Array) -> None:
        """Let the column hold more, because these cells do not fit."""
        tidy = _tidied(cells)
        if self._state == "whole numbers" and self._numbers(tidy) is not None:
            coded = pc.any(pc.match_substring_regex(tidy, code_pattern)).as_py()
            self._state = "text" if coded else "numbers"
        else:
            self.has_decimal_comma = _first_bad_is_decimal_comma(tidy)
            self.lost = self._state == "numbers"
            self._state = "text"
        arrow_type = pa.float64() if self._state == "numbers" else pa.string()
        self._pieces = [] if self.lost else [piece.cast(arrow_type) for piece in self._pieces]


def _without_missing(cells: pa.Array) -> pa.Array:
    """Make cells null that are blank or spell a missing value."""
    missing = pc.or_(pc.is_in(cells, value_set=SPELLED_MISSING), pc.utf8_is_space(cells))
    if not pc.any(missing).as_py():
        return cells
    return pc.if_else(missing, pa.scalar(None, pa.string()), cells)


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
