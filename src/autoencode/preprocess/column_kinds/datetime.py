"""Dates and times: what has elapsed, and where in the year, the week and the day it is."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from autoencode.data.tables import column_array
from autoencode.errors import DataError
from autoencode.preprocess.column_kinds.angles import angle
from autoencode.preprocess.column_kinds.block import (
    Block,
    FloatArray,
    gaussian_nats,
    number,
    quantile,
    refuse_unless,
    uniform,
)
from autoencode.preprocess.column_kinds.conversion import (
    cell_text,
    is_blank,
    keys_as,
    require_zones,
)
from autoencode.preprocess.column_kinds.date_texts import DAY_NANOSECONDS, DateFormat, first_odd
from autoencode.preprocess.column_kinds.keys import (
    family,
    integers,
    keys,
    masked_array,
    nulled,
    value_type,
)
from autoencode.preprocess.column_kinds.port import Port, days_from_integers, integers_from_days
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Datetime"]

IntArray = npt.NDArray[np.int64]

# In days, from coarse to fine; the year is the calendar's mean one.
PERIODS = {"year": 365.2425, "week": 7.0, "day": 1.0}
# Days that a column must span for a cycle to mean anything.
SHORTEST = {"year": 350, "week": 14, "day": 0}
# Dates that all lie in one part of a cycle, whose mean vector is this long, have none.
LONGEST_MEAN = 0.95
# A cycle's vector that is shorter than this does not know where it points.
SHORTEST_VECTOR = 0.5
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Datetime(Block):
    """A date or a point in time; the cells are days since 1970 and nanoseconds since midnight.

    The first value counts the days, with their fraction, from the middle of the column.
    A sine and a cosine follow for each cycle that the column shows.

    Attributes
    ----------
    pattern : str or None
        How text is written (see `DateFormat`); None for Arrow's own types.
    middle : int
        The day that elapsed time is counted from.
    cycles : tuple of str
        Those of year, week and day that are among the values.
    low, high : tuple of (int, int)
        The first and the last cells.
    grid_days, grid_nanoseconds : int
        What all differences are multiples of: whole days, or a part of one.
    """

    kind: ClassVar[str] = "datetime"
    n_cells: ClassVar[int] = 2

    pattern: str | None
    middle: int
    cycles: tuple[str, ...]
    low: tuple[int, int]
    high: tuple[int, int]
    grid_days: int
    grid_nanoseconds: int

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse what is neither a date type nor text of which every cell is a date."""
        if pa.types.is_dictionary(summary.type):
            return f"it is {summary.type}; decode the dictionary first"
        if summary.family not in ("date", "text"):
            return f"it is {summary.type}"
        if not summary.n_observed:
            return "it has no values"
        if summary.family == "text" and summary.date_format is None:
            if (odd := first_odd(summary.distinct)) is not None:
                return f"its text is made of dates but for {odd!r}; correct that, or leave it empty"
            return f"its text, such as {summary.distinct[0].as_py()!r}, is not made of dates"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit dates and timestamps, also as text."""
        return None if cls.refusal(summary) else "dates"

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Find the range, the grid and the cycles."""
        refuse_unless(cls, summary)
        found = summary.date_format
        distinct = pa.chunked_array([summary.distinct])
        if found is None:
            days, rest = _split(integers(distinct)[0], summary.type)
        else:
            days, rest, _ = found.read(distinct)
        order = np.lexsort((rest, days))
        days, rest = days[order], rest[order]
        grid_days, grid_nanoseconds = _grid(days, rest)
        middle = (int(days[0]) + int(days[-1])) // 2
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            pattern=None if found is None else found.pattern,
            middle=middle,
            cycles=_cycles(days, rest, middle, grid_nanoseconds),
            low=(int(days[0]), int(rest[0])),
            high=(int(days[-1]), int(rest[-1])),
            grid_days=grid_days,
            grid_nanoseconds=grid_nanoseconds,
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """Elapsed days, and a pair for each cycle."""
        return (("gaussian", 1), *(("gaussian", 2) for _ in self.cycles))

    @property
    def n_draws(self) -> int:
        """One for each value."""
        return self.n_values

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return days since 1970-01-01 and nanoseconds since midnight."""
        if family(column.type) == "date":
            given = value_type(column.type)
            if self.pattern is None:
                require_zones(self.name, given, self.type)
            found, missing = integers(keys(self.name, column))
            days, rest = _split(found, given)
        elif self.pattern is None:
            found, missing = integers(keys_as(self.name, column, self.type))
            days, rest = _split(found, self.type)
        else:
            days, rest, missing = self._read(column, DateFormat(self.pattern))
        self._require_possible(column, days, rest, missing)
        cells = np.stack([days, rest], 1).astype(np.float64)
        cells[missing] = np.nan
        return cells

    def column(self, cells: FloatArray) -> pa.Array:
        """Return dates in the column's type, or as text in its format."""
        missing = np.isnan(cells[:, 0]) | np.isnan(cells[:, 1])
        days, rest = np.rint(np.where(missing[:, None], 0, cells)).astype(np.int64).T
        if self.pattern is not None:
            texts = DateFormat(self.pattern).write(days, rest)
            return nulled(texts, column_array(missing)).cast(self.type)
        if pa.types.is_date32(self.type):
            return masked_array(days.astype(np.int32), missing, self.type)
        per_second = _PER_SECOND[getattr(self.type, "unit", "ms")]
        # Days beyond the range come back into it with the rest that is added.
        whole = days * (86_400 * per_second) + rest // (10**9 // per_second)
        return masked_array(whole, missing, self.type)

    def spread(self, cells: Tensor) -> Tensor:
        """Return elapsed days, and sine and cosine of each cycle's phase."""
        days, part = cells[:, :1], cells[:, 1:] / number(DAY_NANOSECONDS, cells)
        values = [days - number(self.middle, cells) + part]
        for cycle in self.cycles:
            turns = part if cycle == "day" else (days + part) / number(PERIODS[cycle], cells)
            angle = number(2 * math.pi, cells) * (turns - torch.floor(turns))
            values += [torch.sin(angle), torch.cos(angle)]
        return torch.cat(values, 1)

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the date nearest to the elapsed days that has the phase of each cycle.

        Cycles are taken from the year to the day, those whose vector is long enough.
        The result lies on the column's grid.
        """
        whole = number(DAY_NANOSECONDS, values)
        time = values[:, 0] + number(self.middle, values)
        day = torch.floor(time)
        rest = (time - day) * whole
        for place, cycle in enumerate(self.cycles):
            sine, cosine = values[:, 1 + 2 * place], values[:, 2 + 2 * place]
            phase = angle(sine, cosine) / number(2 * math.pi, values)
            known = sine * sine + cosine * cosine > SHORTEST_VECTOR**2
            if cycle == "day":
                # Kept apart from the day, nanoseconds are exact.
                part = torch.where(phase < 0, phase + 1, phase)
                day = torch.where(known, torch.round(time - part), day)
                rest = torch.where(known, part * whole, rest)
            else:
                period = number(PERIODS[cycle], values)
                nearest = (torch.round(time / period - phase) + phase) * period
                time = torch.where(known, nearest, time)
                day = torch.floor(time)
                rest = (time - day) * whole
        return self._within(*self._rounded(day, rest), clip=clip)

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the normal density of the elapsed time, per day."""
        elapsed = cells[:, 0] - self.middle + cells[:, 1] / DAY_NANOSECONDS
        return gaussian_nats(elapsed - values[:, 0], deviation[0])

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Add residuals, drawn by their quantiles, to the elapsed days and to each cycle."""
        levels = uniform(normals).expand(len(values), self.n_draws)
        drawn = [quantile(residuals[i], levels[:, i]) for i in range(self.n_values)]
        return self.gather(values + torch.stack(drawn, 1))

    def describe(self) -> str:
        """Name the range, the format and the cycles."""
        ends = self.column(np.array([self.low, self.high], dtype=np.float64))
        first, last = ends.cast(pa.large_string()).to_pylist()
        cycles = f", cycles: {', '.join(self.cycles)}" if self.cycles else ""
        return f"datetime, {first} to {last}{cycles}"

    @property
    def port(self) -> Port:
        """Integers, also where dates are text, in the unit of what can be written."""
        zone = "" if self.pattern is None else DateFormat(self.pattern).zone
        return Port.of(self.name, self._port_type, zone=zone)

    def cells_from_port(self, given: Tensor) -> Tensor:
        """Split integers into days and the rest of the day."""
        return days_from_integers(given, _step(self._port_type))

    def port_from_cells(self, cells: Tensor) -> Tensor:
        """Join days and the rest of the day."""
        return integers_from_days(cells, _step(self._port_type))

    def _read(
        self, column: pa.ChunkedArray, written: DateFormat
    ) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Read text, each different one once."""
        texts = keys_as(self.name, column, self.type)
        texts = nulled(texts, is_blank(texts))
        distinct = texts.drop_null().unique()
        places, missing = integers(pc.index_in(texts, value_set=distinct))
        days, rest, fits = written.read(pa.chunked_array([distinct]))
        bad = ~missing & ~np.append(fits, True)[places]
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"column {self.name!r} holds dates written as {written.pattern}, but has "
                f"{cell_text(column, row)} in row {row + 1}; correct the cell or leave it empty"
            )
        return np.append(days, 0)[places], np.append(rest, 0)[places], missing

    def _require_possible(
        self,
        column: pa.ChunkedArray,
        days: IntArray,
        rest: IntArray,
        missing: npt.NDArray[np.bool_],
    ) -> None:
        """Refuse dates that the column's type, or its way of writing, does not have."""
        low, high = self._limits
        beyond = (days < low[0]) | (days == low[0]) & (rest < low[1])
        beyond |= (days > high[0]) | (days == high[0]) & (rest > high[1])
        finer = rest % self._unit != 0
        bad = ~missing & (beyond | finer)
        if bad.any():
            row = int(bad.argmax())
            what = "out of the range of" if beyond[row] else "finer than"
            raise DataError(
                f"column {self.name!r} has {cell_text(column, row)} in row {row + 1}, which is "
                f"{what} {self.pattern or self.type}, as the model was fitted with; correct the "
                "cell or leave it empty"
            )

    @property
    def _unit(self) -> int:
        """Nanoseconds of the smallest step that can be written."""
        if self.pattern is not None:
            if "mm" not in self.pattern:
                return DAY_NANOSECONDS
            digits = self.pattern.count("f")
            return 10 ** (9 - digits) if "ss" in self.pattern else 60 * 10**9
        return _step(self.type)

    @property
    def _port_type(self) -> pa.DataType:
        return self.type if self.pattern is None else DateFormat(self.pattern).type

    @property
    def _limits(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The first and the last cells that can be written."""
        latest = DAY_NANOSECONDS - self._unit
        if self.pattern is not None:
            years = DateFormat(self.pattern).years
            starts = np.array([years[0] - 1970, years[1] - 1969]).astype("datetime64[Y]")
            first, end = starts.astype("datetime64[D]").astype(np.int64).tolist()
            return (first, 0), (end - 1, latest)
        if pa.types.is_date32(self.type):
            return (-(2**31), 0), (2**31 - 1, 0)
        per_day = DAY_NANOSECONDS // self._unit
        low, high = divmod(-(2**63), per_day), divmod(2**63 - 1, per_day)
        return (low[0], low[1] * self._unit), (high[0], high[1] * self._unit)

    def _rounded(self, day: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        whole = number(DAY_NANOSECONDS, day)
        if self.grid_days:
            first, offset, step = (number(x, day) for x in (*self.low, self.grid_days))
            steps = torch.round((day - first + (rest - offset) / whole) / step)
            return first + step * steps, torch.zeros_like(rest) + offset
        offset = number(self.low[1] % self.grid_nanoseconds, day)
        step = number(self.grid_nanoseconds, day)
        rest = offset + step * torch.round((rest - offset) / step)
        carry = torch.floor(rest / whole)
        return day + carry, rest - carry * whole

    def _within(self, day: Tensor, rest: Tensor, *, clip: bool) -> Tensor:
        low, high = (self.low, self.high) if clip else self._limits
        first, earliest, last, latest = (number(x, day) for x in (*low, *high))
        below = (day < first) | (day == first) & (rest < earliest)
        above = (day > last) | (day == last) & (rest > latest)
        day = torch.where(below, first, torch.where(above, last, day))
        rest = torch.where(below, earliest, torch.where(above, latest, rest))
        return torch.stack([day, rest], 1)


def _step(arrow_type: pa.DataType) -> int:
    """Return the nanoseconds that a date type counts in."""
    if pa.types.is_date32(arrow_type):
        return DAY_NANOSECONDS
    return int(10**9 // _PER_SECOND[getattr(arrow_type, "unit", "ms")])


def _split(whole: IntArray, arrow_type: pa.DataType) -> tuple[IntArray, IntArray]:
    """Split a date type's integers into days and nanoseconds of the day."""
    if pa.types.is_date32(arrow_type):
        return whole, np.zeros_like(whole)
    per_second = _PER_SECOND[getattr(arrow_type, "unit", "ms")]
    days, rest = np.divmod(whole, 86_400 * per_second)
    return days, rest * (10**9 // per_second)


def _grid(days: IntArray, rest: IntArray) -> tuple[int, int]:
    """Return what all differences are multiples of: days, or else nanoseconds in a day."""
    if (rest == rest[0]).all():
        return max(1, int(np.gcd.reduce(np.diff(days), initial=0))), 0
    return 0, int(np.gcd.reduce(rest - rest[0], initial=DAY_NANOSECONDS))


def _cycles(days: IntArray, rest: IntArray, middle: int, grid_nanoseconds: int) -> tuple[str, ...]:
    """Return the cycles that ascending dates show.

    The time of day is also needed where elapsed days are too coarse to tell it exactly.
    """
    part = rest / DAY_NANOSECONDS
    found = []
    for cycle, period in PERIODS.items():
        angle = 2 * np.pi * (((days + part) / period) % 1.0)
        spread_out = np.hypot(np.cos(angle).mean(), np.sin(angle).mean()) < LONGEST_MEAN
        needed = False
        if cycle == "day" and grid_nanoseconds:
            largest = max(abs(int(days[0]) - middle), abs(int(days[-1]) - middle)) + 1
            needed = largest * 2.0**-49 * DAY_NANOSECONDS > grid_nanoseconds
        constant = cycle == "day" and not grid_nanoseconds
        if needed or (spread_out and days[-1] - days[0] >= SHORTEST[cycle] and not constant):
            found.append(cycle)
    return tuple(found)
