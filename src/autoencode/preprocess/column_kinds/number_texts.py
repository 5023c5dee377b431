"""Text that was meant to be numbers: decimal commas, and the cell that is no number."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.tables import number_pattern
from autoencode.preprocess.column_kinds.keys import first_true

__all__ = ["count_numbers", "misspelling", "with_points"]

# Text of which more than this share are numbers was meant to be numbers.
MOSTLY_NUMBERS = 0.9
SAMPLE = 100

_NUMBER = f"(?i)^(?:{number_pattern.pattern})$"
_NUMBER_WITH_POINT = r"^\s*[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?\s*$"
# "1,500" may be one and a half, or a thousand and a half thousand.
_GROUPED = r"^\s*[-+]?[1-9]\d{0,2}(?:,\d{3})+\s*$"


def with_points(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text with points in place of decimal commas.

    Unchanged if a number has a point already, or if every comma may as well set off
    thousands.

    Parameters
    ----------
    texts : pyarrow.ChunkedArray of large_string
        Cells, missing ones null.
    """
    comma = pc.match_substring(texts, ",")
    if not _any(comma) or _any(pc.match_substring_regex(texts, _NUMBER_WITH_POINT)):
        return texts
    if not _any(pc.and_not(comma, pc.match_substring_regex(texts, _GROUPED))):
        return texts
    return pc.replace_substring(texts, ",", ".")


def count_numbers(texts: pa.ChunkedArray) -> tuple[int, int | None]:
    """Count the cells that are numbers, with decimal points or commas.

    Parameters
    ----------
    texts : pyarrow.ChunkedArray of large_string
        Cells, missing ones null.

    Returns
    -------
    count : int
        How many are numbers.
    row : int or None
        The first that is none, counted from 0; missing ones are passed over.
    """
    is_number = pc.match_substring_regex(with_points(texts), _NUMBER)
    count = pc.sum(is_number).as_py() or 0
    if count + texts.null_count == len(texts):
        return count, None
    return count, first_true(pc.invert(is_number))


def misspelling(texts: pa.ChunkedArray) -> tuple[int, int] | None:
    """Find the cell because of which numbers are text, if that is what the text seems to be.

    Parameters
    ----------
    texts : pyarrow.ChunkedArray of large_string
        Cells, missing ones null.

    Returns
    -------
    (int, int) or None
        As `count_numbers`, if nearly all cells are numbers, but not all.
    """
    # Most text is told by its first cells.
    if not count_numbers(texts.drop_null().slice(0, SAMPLE))[0]:
        return None
    count, row = count_numbers(texts)
    if row is None or count <= MOSTLY_NUMBERS * (len(texts) - texts.null_count):
        return None
    return count, row


def _any(column: pa.ChunkedArray) -> bool:
    return bool(pc.any(column).as_py())
