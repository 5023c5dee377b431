"""Cells of a table as people write them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autoencode.preprocess.column_kinds.keys import family, value_type
from autoencode.report_parts.markup import value_text

__all__ = ["CellStyle", "cell_text", "column_style", "tidy_times"]

_LOOKED_AT = 200
_MOST_DECIMALS = 4
_DIGITS = 5
_MIDNIGHT = re.compile(r" 00:00:00$")
_FRACTION = re.compile(r"(:\d\d)\.(\d+)")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class CellStyle:
    """How the cells of one column are written.

    Parameters
    ----------
    decimals : int or None
        Digits after the point of all real numbers; None for five significant digits. Of
        times, those of the seconds; None for as many as there are.
    is_day : bool
        Whether points in time are written as days, since all of them are midnights.
    """

    decimals: int | None = None
    is_day: bool = False


def column_style(column: pa.ChunkedArray) -> CellStyle:
    """Look at some cells of a column to see how they should be written.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of any type.

    Returns
    -------
    CellStyle
        As few decimals as all of them need, if these are at most 4.
    """
    kind = family(column.type)
    if kind not in ("float", "date", "time"):
        return CellStyle()
    cells = [_plain(cell) for cell in column.slice(0, _LOOKED_AT)]
    known = [cell for cell in cells if not _is_missing(cell)]
    if kind in ("date", "time"):
        texts = [tidy_times(_arrow_text(cell)) for cell in known]
        if not texts:
            return CellStyle()
        fractions = [_FRACTION.search(written) for written in texts]
        return CellStyle(
            decimals=max(len(found[2]) if found else 0 for found in fractions),
            is_day=kind == "date" and all(map(_MIDNIGHT.search, texts)),
        )
    needed = max((_decimals(cell) for cell in known), default=_MOST_DECIMALS + 1)
    return CellStyle(decimals=needed if needed <= _MOST_DECIMALS else None)


def cell_text(cell: pa.Scalar, style: CellStyle) -> str | None:
    """Write one cell.

    Parameters
    ----------
    cell : pyarrow.Scalar
        Of any type.
    style : CellStyle
        Of its column.

    Returns
    -------
    str or None
        None if the cell is missing; NaN counts.
    """
    cell = _plain(cell)
    if _is_missing(cell):
        return None
    kind = family(cell.type)
    if kind == "integer":
        return _grouped(cell.as_py(), 0)
    if kind == "float":
        number = float(cell.as_py())
        if style.decimals is None or not abs(number) < 1e15:
            return value_text(number, _DIGITS)
        return _grouped(number, style.decimals)
    if kind == "text":
        return bytes(cell.as_buffer()).decode("utf-8", "replace")
    if kind == "duration":
        return _duration(cell)
    if kind in ("date", "time"):
        written = tidy_times(_arrow_text(cell), style.decimals)
        return _MIDNIGHT.sub("", written) if style.is_day else written
    if kind == "decimal":
        return format(cell.as_py(), "f").replace("-", "−")
    return str(cell).lower() if kind == "bool" else str(cell)


def tidy_times(written: str, decimals: int | None = None) -> str:
    """Cut the fractions of seconds in a text: zeros at their ends, and digits beyond some.

    Parameters
    ----------
    written : str
        With times such as ``05:00:00.250000``.
    decimals : int, optional
        The most digits to keep.

    Returns
    -------
    str
        ``05:00:00.25``, and without a point where no digit is left.
    """

    def cut(found: re.Match[str]) -> str:
        kept = found[2][:decimals].rstrip("0")
        return f"{found[1]}.{kept}" if kept else found[1]

    return _FRACTION.sub(cut, written)


def _plain(cell: pa.Scalar) -> pa.Scalar:
    """Look through a dictionary, whose cells may be missing inside, too."""
    if not isinstance(cell, pa.DictionaryScalar):
        return cell
    return cell.value if cell.is_valid else pa.nulls(1, value_type(cell.type))[0]


def _is_missing(cell: pa.Scalar) -> bool:
    return not cell.is_valid or (pa.types.is_floating(cell.type) and cell.as_py() != cell.as_py())


def _arrow_text(cell: pa.Scalar) -> str:
    return str(cell.cast(pa.large_string()).as_py())


def _decimals(cell: pa.Scalar) -> int:
    """Count the digits after the point of the shortest spelling of a real number."""
    written = str(np.dtype(f"f{cell.type.bit_width // 8}").type(cell.as_py()))
    if not re.fullmatch(r"-?\d+\.\d+", written):
        return _MOST_DECIMALS + 1
    return len(written.partition(".")[2].rstrip("0"))


def _grouped(number: float, decimals: int) -> str:
    separator = "," if abs(number) >= 1e4 else ""
    written = f"{number:{separator}.{decimals}f}" if decimals else f"{round(number):{separator}}"
    # What is rounded to zero has no sign.
    return written.replace("-", "−") if re.search("[1-9]", written) else written.lstrip("-")


def _duration(cell: pa.Scalar) -> str:
    """Write days, hours, minutes and seconds; very long ones in their unit."""
    count, unit = cell.cast(pa.int64()).as_py(), cell.type.unit
    try:
        microseconds = count * 10**6 // _PER_SECOND[unit]
        return str(datetime.timedelta(microseconds=microseconds)).replace("-", "−")
    except OverflowError:
        return f"{count:,} {unit}".replace("-", "−")
