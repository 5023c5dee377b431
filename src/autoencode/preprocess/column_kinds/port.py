"""How a column enters and leaves a graph that runs without Python, Arrow and dates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import pyarrow as pa
import torch
from torch import Tensor

from autoencode.errors import DataError
from autoencode.preprocess.column_kinds.date_texts import DAY_NANOSECONDS
from autoencode.preprocess.column_kinds.keys import family, value_type
from autoencode.preprocess.column_kinds.levels import Levels

__all__ = [
    "MISSING_INTEGER",
    "Port",
    "days_from_integers",
    "floats_from_integers",
    "integers_from_days",
    "integers_from_floats",
]

MISSING_INTEGER = -(2**63)
"""The int64 that stands for a missing cell."""

_TIME_UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

_TYPES = {
    "bool": "int64",
    "integer": "int64",
    "float": "double",
    "decimal": "double",
    "text": "string",
    "date": "int64",
    "time": "int64",
    "duration": "int64",
}


@dataclass(frozen=True)
class Port:
    """The tensor ``(batch,)`` that a column is in a graph.

    Attributes
    ----------
    type : str
        string, int64 or double.
    missing : str, int or float
        What stands for a missing cell: NaN, -2^63, or the empty text. Where that is a
        level, ``"<missing>"`` does, in as many angle brackets as it takes.
    unit : str or None
        What integers count, if they are not plain ones: ``"days since 1970-01-01"``.
    levels : tuple or None
        Looked up: a level comes in as its place, and its place goes out as the level.
    """

    type: str
    missing: str | int | float
    unit: str | None = None
    levels: tuple[str | int | float, ...] | None = None

    @classmethod
    def of(
        cls, name: str, arrow_type: pa.DataType, levels: Levels | None = None, zone: str = ""
    ) -> Self:
        """Return the port of a column.

        Parameters
        ----------
        name : str
            The column's name, for messages.
        arrow_type : pyarrow.DataType
            Its type: booleans become integers, decimals doubles.
        levels : Levels, optional
            Its levels, if it is looked up.
        zone : str
            The time zone of dates whose type has none.

        Raises
        ------
        DataError
            If there is no such port, or it could not tell two levels apart.
        """
        kind = family(arrow_type)
        if kind not in _TYPES or (kind == "text" and levels is None):
            raise _refusal(name, f"it is {arrow_type}")
        missing = _MISSING[_TYPES[kind]]
        if levels is None:
            return cls(_TYPES[kind], missing, _unit(arrow_type, zone))
        known = tuple(_CASTS[_TYPES[kind]](level) for level in levels.to_json())
        if len(set(known)) < len(known):
            raise _refusal(name, "as doubles, some of its levels are equal")
        for level in known:
            if isinstance(level, int) and not MISSING_INTEGER < level < 2**63:
                raise _refusal(name, f"its level {level} is not between -2^63 and 2^63")
        if missing in known:
            missing = "<missing>"
        while missing in known:
            missing = f"<{missing}>"
        return cls(_TYPES[kind], missing, _unit(arrow_type, zone), known)


_MISSING: dict[str, str | int | float] = {
    "string": "",
    "int64": MISSING_INTEGER,
    "double": math.nan,
}
_CASTS: dict[str, type[str] | type[int] | type[float]] = {
    "string": str,
    "int64": int,
    "double": float,
}


def floats_from_integers(whole: Tensor) -> Tensor:
    """Return int64 as float64, NaN where missing."""
    return torch.where(whole == MISSING_INTEGER, torch.nan, whole.to(torch.float64))


def integers_from_floats(numbers: Tensor) -> Tensor:
    """Return float64 rounded to int64, missing where NaN."""
    whole = torch.round(torch.nan_to_num(numbers)).to(torch.int64)
    return torch.where(torch.isnan(numbers), MISSING_INTEGER, whole)


def days_from_integers(whole: Tensor, step: int) -> Tensor:
    """Return days and nanoseconds of the day, ``(n, 2)``, of time in steps.

    Parameters
    ----------
    whole : Tensor of shape (n,)
        int64.
    step : int
        Nanoseconds, of which a day has a whole number.
    """
    per_day, known = DAY_NANOSECONDS // step, floats_from_integers(whole)
    rest = torch.remainder(whole, per_day).to(torch.float64)
    # A graph divides integers as float32. In float64, rounding makes up for what is lost.
    days = torch.round((known - rest) / torch.tensor(float(per_day), dtype=torch.float64))
    nanoseconds = rest * torch.tensor(float(step), dtype=torch.float64)
    return torch.stack([days, torch.where(torch.isnan(known), torch.nan, nanoseconds)], 1)


def integers_from_days(cells: Tensor, step: int) -> Tensor:
    """Return time in steps, int64; the opposite of `days_from_integers`."""
    days, nanoseconds = torch.nan_to_num(cells).unbind(1)
    steps = torch.round(nanoseconds / torch.tensor(float(step), dtype=torch.float64))
    per_day = DAY_NANOSECONDS // step
    whole = torch.round(days).to(torch.int64) * per_day + steps.to(torch.int64)
    return torch.where(torch.isnan(cells[:, 0]), MISSING_INTEGER, whole)


def _unit(arrow_type: pa.DataType, zone: str) -> str | None:
    """Return what the integers of a type count."""
    plain, kind = value_type(arrow_type), family(arrow_type)
    if kind == "bool":
        return "0 is false, 1 is true"
    if kind not in ("date", "time", "duration"):
        return None
    if pa.types.is_date32(plain):
        return "days since 1970-01-01"
    unit = _TIME_UNITS[getattr(plain, "unit", "ms")]
    if kind == "duration":
        return unit
    if kind == "time":
        return f"{unit} since midnight"
    zone = "Z" if getattr(plain, "tz", None) is not None else zone
    return f"{unit} since 1970-01-01T00:00:00{zone}"


def _refusal(name: str, reason: str) -> DataError:
    return DataError(f"column {name!r} cannot be exported: {reason}; fit with it as 'identifier'")
