"""Dates written as text: which format a column has, and reading and writing it exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.tables import column_array
from autoencode.preprocess.column_kinds.keys import floats, integers, keys_from_list

__all__ = ["DAY_NANOSECONDS", "DateFormat", "find_format", "first_odd"]

IntArray = npt.NDArray[np.int64]

DAY_NANOSECONDS = 86_400_000_000_000
# What the letters of a pattern stand for, as regular expressions.
_FIELDS = {
    "YYYY": r"(?P<year>\d{4})",
    "YY": r"(?P<year>\d{2})",
    "MM": r"(?P<month>\d{2})",
    "M": r"(?P<month>[1-9]|1[0-2])",
    "DD": r"(?P<day>\d{2})",
    "D": r"(?P<day>[1-9]|[12]\d|3[01])",
    "hh": r"(?P<hour>\d{2})",
    "h": r"(?P<hour>\d|1\d|2[0-3])",
    "mm": r"(?P<minute>\d{2})",
    "ss": r"(?P<second>\d{2})",
}
_PLACES = {"Y": 0, "YY": 1, "M": 2, "D": 3, "h": 4, "m": 5, "s": 6, "f": 7}
_LETTERS = re.compile(r"YYYY|YY|MM|M|DD|D|hh|h|mm|ss|f+")
# Two-digit years from 69 on are in the last century, as POSIX has it.
PIVOT = 69
_SHAPE = re.compile(
    r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})"
    r"(?:([T ])(\d{1,2}):\d\d(:\d\d(?:\.(\d{1,9}))?)?( ?(?:Z|UTC|[-+]\d\d:?\d\d))?)?"
)
SAMPLE = 100
_MOSTLY = 0.8
"""Share of dates among texts from which the others are taken to be wrong."""


@dataclass(frozen=True)
class DateFormat:
    """A way to write dates, such as ``YYYY-MM-DDThh:mm:ssZ`` or ``D.M.YY``.

    Attributes
    ----------
    pattern : str
        Doubled letters stand for digits with leading zeros, single ones for digits
        without; ``f`` for each digit of the fraction of a second; the rest for itself.
    """

    pattern: str

    @cached_property
    def _regex(self) -> str:
        pieces, end = [], 0
        for match in _LETTERS.finditer(self._letters):
            pieces.append(re.escape(self.pattern[end : match.start()]))
            letters = match.group()
            is_fraction = letters[0] == "f"
            pieces.append(
                rf"(?P<fraction>\d{{{len(letters)}}})" if is_fraction else _FIELDS[letters]
            )
            end = match.end()
        return "^" + "".join(pieces) + re.escape(self.pattern[end:]) + "$"

    @property
    def _letters(self) -> str:
        """The pattern with the zone's letters blanked out."""
        return self.pattern.replace("UTC", "   ").replace("T", " ").replace("Z", " ")

    @property
    def years(self) -> tuple[int, int]:
        """The first and the last year that can be written."""
        return (1, 9999) if "YYYY" in self.pattern else (1900 + PIVOT, 1999 + PIVOT)

    @property
    def type(self) -> pa.DataType:
        """The coarsest type that holds these dates: date32, or a timestamp."""
        if "mm" not in self.pattern:
            return pa.date32()
        return pa.timestamp(("s", "ms", "us", "ns")[-(-self.pattern.count("f") // 3)])

    @property
    def zone(self) -> str:
        """The time zone as it is written: ``Z``, ``UTC``, ``+02:00`` or nothing."""
        found = re.search(r"Z$|UTC$|[-+]\d\d:?\d\d$", self.pattern)
        return found.group() if found else ""

    def read(self, texts: pa.ChunkedArray) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Read dates.

        Parameters
        ----------
        texts : pyarrow.ChunkedArray of large_string
            Missing ones are not read.

        Returns
        -------
        days, nanoseconds : ndarray of shape (n,)
            Since 1970-01-01, and since midnight; arbitrary where not ``read``.
        read : ndarray of shape (n,)
            Whether the text is a date in exactly this format.
        """
        found = pc.extract_regex(texts, pattern=self._regex)
        fits = floats(found.is_valid()) == 1
        parts = {name: self._part(found, name) for name in self._names}
        year = parts["year"]
        if "YYYY" not in self.pattern:
            year = year + np.where(year < PIVOT, 2000, 1900)
        month, day = parts["month"], parts["day"]
        fits &= (month >= 1) & (month <= 12) & (year >= 1)
        starts = (12 * (year - 1970) + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
        days = starts.astype("datetime64[D]").astype(np.int64) + day - 1
        lengths = (starts + 1).astype("datetime64[D]") - starts.astype("datetime64[D]")
        fits &= (day >= 1) & (day <= lengths.astype(np.int64))
        zero = np.zeros_like(days)
        clock = [parts.get(name, zero) for name in ("hour", "minute", "second")]
        fits &= (clock[0] < 24) & (clock[1] < 60) & (clock[2] < 60)
        seconds = 3600 * clock[0] + 60 * clock[1] + clock[2]
        fraction = parts.get("fraction", zero) * 10 ** (9 - self.pattern.count("f"))
        return days, seconds * 10**9 + fraction, fits

    @cached_property
    def _names(self) -> list[str]:
        return re.findall(r"\?P<(\w+)>", self._regex)

    def _part(self, found: pa.ChunkedArray, name: str) -> IntArray:
        part = pc.struct_field(found, [self._names.index(name)])
        return integers(part.cast(pa.int64()))[0]

    def write(self, days: IntArray, nanoseconds: IntArray) -> pa.Array:
        """Write dates as text of type large_string.

        Parameters
        ----------
        days, nanoseconds : ndarray of shape (n,)
            As `read` returns them, in the range of `years`.
        """
        pairs = np.stack([days, nanoseconds], 1)
        distinct, places = np.unique(pairs, axis=0, return_inverse=True)
        months = distinct[:, 0].astype("datetime64[D]").astype("datetime64[M]")
        years = months.astype("datetime64[Y]").astype(np.int64) + 1970
        month = months.astype(np.int64) % 12 + 1
        day = distinct[:, 0] - months.astype("datetime64[D]").astype(np.int64) + 1
        seconds, rest = np.divmod(distinct[:, 1], 10**9)
        columns = [years, years % 100, month, day, seconds // 3600, seconds // 60 % 60]
        columns += [seconds % 60, rest // 10 ** (9 - self.pattern.count("f"))]
        rows = zip(*(column.tolist() for column in columns), strict=True)
        texts = keys_from_list([self._template.format(*row) for row in rows], pa.large_string())
        return texts.take(column_array(places.reshape(-1).astype(np.int64)))

    @cached_property
    def _template(self) -> str:
        """The pattern for ``str.format``, with the parts of a date by number."""
        pieces, end = [], 0
        for match in _LETTERS.finditer(self._letters):
            pieces.append(self.pattern[end : match.start()])
            letters = match.group()
            width = 1 if letters in ("M", "D", "h") else len(letters)
            pieces.append(f"{{{_PLACES[letters[0] if letters != 'YY' else letters]}:0{width}d}}")
            end = match.end()
        return "".join(pieces) + self.pattern[end:]


def find_format(texts: pa.Array) -> DateFormat | None:
    """Find the format in which all texts are dates, so that writing gives the same again.

    Of day and month, the day is taken to come first if both are possible, but after
    slashes the month.

    Parameters
    ----------
    texts : pyarrow.Array of large_string
        The different texts, none of them missing.
    """
    column = pa.chunked_array([texts])
    for pattern in _candidates(texts[0].as_py()):
        candidate = DateFormat(pattern)
        if all(candidate.read(part)[2].all() for part in (column.slice(0, SAMPLE), column)):
            return candidate
    return None


def first_odd(texts: pa.Array) -> str | None:
    """Return the first text that is no date where most of the others are; None if they are not."""
    some, column = texts.slice(0, SAMPLE), pa.chunked_array([texts])
    try:
        patterns = {pattern: None for text in some.to_pylist() for pattern in _candidates(text)}
    except UnicodeDecodeError:  # refused elsewhere, for what it is
        return None
    reads = [DateFormat(pattern).read(column)[2] for pattern in patterns]
    if not reads:
        return None
    best = max(reads, key=np.count_nonzero)
    if best.all() or best.mean() < _MOSTLY:
        return None
    return str(texts[int(np.flatnonzero(~best)[0])].as_py())


def _candidates(text: str) -> Iterator[str]:
    """Yield the patterns that a text may have, likelier ones first."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return
    first, separator, _, last, between, hour, seconds, fraction, zone = match.groups()
    if len(first) == 4 and len(last) <= 2:
        orders = ["{year}{0}{month}{0}{day}"]
    elif len(first) <= 2 and len(last) in (2, 4):
        orders = ["{day}{0}{month}{0}{year}", "{month}{0}{day}{0}{year}"]
        orders = orders[::-1] if separator == "/" else orders
    else:
        return
    year = "YYYY" if 4 in (len(first), len(last)) else "YY"
    for order in orders:
        for month, day in (("MM", "DD"), ("M", "D")):
            date = order.format(separator, year=year, month=month, day=day)
            if hour is None:
                yield date
                continue
            rest = (":ss" if seconds else "") + ("." + "f" * len(fraction) if fraction else "")
            yield f"{date}{between}hh:mm{rest}{zone or ''}"
            yield f"{date}{between}h:mm{rest}{zone or ''}"
