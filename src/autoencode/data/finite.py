"""Finding missing and infinite values, block by block, and saying where they are."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import FloatArray, Rows
from autoencode.errors import DataError

__all__ = ["drop_options", "quoted_list", "require_finite", "require_no_infinity"]

SHOWN_NAMES = 5


def require_finite(rows: Rows) -> None:
    """Refuse rows that hold missing (NaN) or infinite values.

    One streaming pass unless ``rows.non_finite`` is known; a second one, which counts by
    column, only if something is found.

    Parameters
    ----------
    rows : Rows
        The rows to check.

    Raises
    ------
    DataError
        Naming the first bad column, how many such values it has and the first of them.
    """
    if rows.has_missing:
        raise DataError(_missing_message(rows, _counted(rows, np.isnan)))
    require_no_infinity(rows)


def require_no_infinity(rows: Rows) -> None:
    """Refuse rows that hold infinite values; missing ones (NaN) pass.

    One streaming pass unless ``rows.non_finite`` is known; a second one, which counts by
    column, only if something is found.

    Parameters
    ----------
    rows : Rows
        The rows to check.

    Raises
    ------
    DataError
        Naming the first bad column, how many such values it has and the first of them.
    """
    if rows.has_infinite:
        raise DataError(_infinite_message(rows, _counted(rows, np.isinf)))


def quoted_list(names: Sequence[str]) -> str:
    """Join names for a message: quoted, with commas, at most a few of them."""
    shown = ", ".join(repr(name) for name in names[:SHOWN_NAMES])
    hidden = len(names) - SHOWN_NAMES
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def drop_options(names: Sequence[str]) -> str:
    """Spell the ``--drop`` options for these columns as one would type them in a shell."""
    shown = " ".join(f"--drop {shlex.quote(name)}" for name in names[:SHOWN_NAMES])
    return f"{shown} ..." if len(names) > SHOWN_NAMES else shown


@dataclass
class _Count:
    """How many bad values each column has, and the row of its first one."""

    n_features: int

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.n_features, dtype=np.int64)
        self.first_rows = np.full(self.n_features, -1, dtype=np.int64)

    def add(self, start: int, bad: npt.NDArray[np.bool_]) -> None:
        fresh = (self.counts == 0) & bad.any(axis=0)
        self.first_rows[fresh] = start + bad[:, fresh].argmax(axis=0)
        self.counts += bad.sum(axis=0)

    @property
    def columns(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.counts)


def _counted(rows: Rows, is_bad: Callable[[FloatArray], npt.NDArray[np.bool_]]) -> _Count:
    """Count the bad values of each column in a streaming pass."""
    count = _Count(rows.n_features)
    for start, block in rows.blocks():
        count.add(start, is_bad(block))
    return count


def _names(rows: Rows, places: npt.NDArray[np.intp]) -> list[str]:
    """Name the columns that values come from, each once."""
    found = (rows.value_name(int(place)) for place in places)
    return list(dict.fromkeys(name for name in found if name is not None))


def _values(count: int, word: str) -> str:
    return f"{count} {word} value{'' if count == 1 else 's'}"


def _missing_message(rows: Rows, missing: _Count) -> str:
    columns = missing.columns
    first = int(columns[0])
    count, row = int(missing.counts[first]), int(missing.first_rows[first])
    if rows.names is None:
        return (
            f"Input X contains NaN: {_place(rows, first)} has {_values(count, 'missing')}, "
            f"the first in row {row} (both counted from 0){_others(len(columns))}; "
            "no value may be missing here"
        )
    names = _names(rows, columns)
    also = f" (so have {quoted_list(names[1:])})" if len(names) > 1 else ""
    if count == rows.n_rows:
        what = f"has no values at all ({count} missing)"
    else:
        what = f"has {_values(count, 'missing')} (first in row {row + 1})"
    return (
        f"column {names[0]!r} {what}{also}; drop {'them' if also else 'it'} with "
        f"{drop_options(names)} (no value may be missing here)"
    )


def _infinite_message(rows: Rows, infinite: _Count) -> str:
    columns = infinite.columns
    first = int(columns[0])
    count, row = int(infinite.counts[first]), int(infinite.first_rows[first])
    if rows.names is None:
        return (
            f"Input X contains infinity: {_place(rows, first)} has {_values(count, 'infinite')}, "
            f"the first in row {row} (both counted from 0){_others(len(columns))}; "
            "replace them or leave the column out"
        )
    names = _names(rows, columns)
    also = f" (so have {quoted_list(names[1:])})" if len(names) > 1 else ""
    return (
        f"column {names[0]!r} has {_values(count, 'infinite')} (first in row {row + 1}){also}; "
        f"replace them or drop the column{'s' if also else ''} with {drop_options(names)}"
    )


def _others(n_columns: int) -> str:
    if n_columns == 1:
        return ""
    return f", and {n_columns - 1} more column{'' if n_columns == 2 else 's'} likewise"


def _place(rows: Rows, column: int) -> str:
    """Name a column of a bare array: by number, or as a pixel if rows are pictures."""
    if len(rows.sample_shape) == 1:
        return f"column {column}"
    position = ", ".join(str(int(part)) for part in np.unravel_index(column, rows.sample_shape))
    return f"pixel ({position})"
