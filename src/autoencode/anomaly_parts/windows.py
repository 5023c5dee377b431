"""Series cut into windows: each step is judged together with those before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.anomaly_parts.scaled_values import WIDEST
from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.preprocess.table_rows import TableRows

__all__ = ["Windows", "window_wish"]

Array = npt.NDArray[np.float64]

_NUMBERS = ("numeric", "count")
_SHORTEST, _USUAL = 4, 16
_LEAST_CORRELATION = 0.1
_PER_WIDTH = 8
"""Windows of the fit that begin within the width of one."""
_MOST_WINDOWS = 20_000
_PIECE = 5_000


def window_wish(given: Any) -> Any:
    """Return None, "auto" or a number of steps, or raise `SpecError`."""
    whole = isinstance(given, int | np.integer) and not isinstance(given, bool)
    if given is None or (isinstance(given, str) and given == "auto") or (whole and given >= 2):
        return given
    raise SpecError(f"window={given!r} should be None, 'auto', or a number of steps from 2 up")


@dataclass(frozen=True)
class Windows:
    """How a series becomes rows.

    Attributes
    ----------
    width : int
        Steps in a window.
    stride : int
        Steps between the beginnings of two windows of the fit.
    columns : list of int
        The data's columns that are used.
    names : list of str
        Theirs.
    """

    width: int
    stride: int
    columns: list[int]
    names: list[str]

    @classmethod
    def fit(cls, rows: Rows, wish: Any) -> Windows:
        """Choose the width.

        Parameters
        ----------
        rows : Rows
            Steps in the order of time.
        wish : "auto" or int
            "auto": the strongest period of the columns' differences, or 16 steps if there
            is none.

        Raises
        ------
        DataError
            If there are too few steps, or columns of numbers, or they are not in order.
        """
        columns = _number_columns(rows)
        names = [rows.names[place] if rows.names else str(place) for place in columns]
        most = min(WIDEST // len(columns), rows.n_rows // 4)
        if most < _SHORTEST:
            raise DataError(
                f"a series of {rows.n_rows} steps of {len(columns)} columns has no windows of "
                f"{_SHORTEST} steps: at least {4 * _SHORTEST} steps, and at most "
                f"{WIDEST // _SHORTEST} columns, are needed"
            )
        series = _series(rows, columns)
        width = min(_period(series, most), most) if wish == "auto" else int(wish)
        if width > most:
            raise DataError(
                f"window={width} is too wide for {rows.n_rows} steps of {len(columns)} columns: "
                f"at most {most} (a quarter of the steps, and {WIDEST} values)"
            )
        n_windows = rows.n_rows - width + 1
        stride = max(1, width // _PER_WIDTH, -(-n_windows // _MOST_WINDOWS))
        return cls(width, stride, columns, names)

    @property
    def gap(self) -> int:
        """How many windows of the fit share steps with one before them."""
        return -(-self.width // self.stride)

    def of_fit(self, rows: Rows) -> Rows:
        """Return windows as rows, one in every ``stride``."""
        return self._rows(_cut(_series(rows, self.columns), self.width)[:: self.stride])

    def pieces(self, rows: Rows) -> Iterator[Rows]:
        """Yield all windows as rows, a few at a time.

        Raises
        ------
        DataError
            If there are fewer steps than in a window.
        """
        if rows.n_rows < self.width:
            raise DataError(
                f"{rows.n_rows} steps were given, but a step is judged with the {self.width - 1} "
                "before it: give more"
            )
        windows = _cut(_series(rows, self.columns), self.width)
        for start in range(0, len(windows), _PIECE):
            yield self._rows(windows[start : start + _PIECE])

    def by_step(self, scores: Array) -> Array:
        """Return each step's score: its window ends there; the first steps have the first's."""
        return np.concatenate([np.repeat(scores[:1], self.width - 1), scores])

    def header(self) -> dict[str, Any]:
        """Return what is stored."""
        return asdict(self)

    def _rows(self, windows: Array) -> Rows:
        ago = range(self.width - 1, -1, -1)
        names = [
            f"{name} ({steps} before)" if steps else name for steps in ago for name in self.names
        ]
        values = np.ascontiguousarray(windows).reshape(len(windows), -1)
        return Rows(values, kind="numpy", names=names)


def _number_columns(rows: Rows) -> list[int]:
    """Return the columns of numbers; check that those of time ascend."""
    if not isinstance(rows, TableRows):
        if len(rows.sample_shape) != 1:
            raise DataError("window is for series: rows of numbers, one for each step")
        return list(range(rows.n_columns))
    found = []
    for place, span in enumerate(rows.schema.spans):
        if span.block.kind in _NUMBERS:
            found.append(place)
        elif span.block.kind == "datetime":
            times = rows.cells[:, span.cells.start]
            if (np.diff(times[~np.isnan(times)]) < 0).any():
                raise DataError(
                    f"steps are not in the order of column {span.block.name!r}: sort them by it"
                )
    if not found:
        raise DataError("window needs columns of numbers, and there are none")
    return found


def _series(rows: Rows, columns: list[int]) -> Array:
    """Return the numbers of each step, ``(n_steps, n_columns)``; NaN where missing."""
    if isinstance(rows, TableRows):
        starts = [rows.schema.spans[place].cells.start for place in columns]
        return np.asarray(rows.cells[:, starts], dtype=np.float64)
    return np.asarray(rows.dense(), dtype=np.float64)[:, columns]


def _cut(series: Array, width: int) -> Array:
    """Return a view of all windows, ``(n_windows, width, n_columns)``."""
    windows = np.lib.stride_tricks.sliding_window_view(series, width, axis=0)
    return windows.transpose(0, 2, 1)


def _period(series: Array, most: int) -> int:
    """Return the lag at which the columns' differences are most like themselves.

    The highest autocorrelation beyond the first lag where it is negative, the mean over
    columns; divided by the number of steps, so that the first of many periods is highest.
    """
    changes = np.nan_to_num(np.diff(series, axis=0), nan=0.0)
    changes = changes - changes.mean(0)
    size = 1 << int(2 * len(changes) - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(changes, size, axis=0)))
    products = np.fft.irfft(power, size, axis=0)[: most + 1]
    kept = products[0] > 0
    if not kept.any():
        return _USUAL
    correlation = (products[:, kept] / products[0, kept]).mean(1)
    negative = np.flatnonzero(correlation < 0)
    first = max(_SHORTEST, int(negative[0]) if len(negative) else most)
    if first >= most:
        return _USUAL
    best = first + int(correlation[first:].argmax())
    enough = max(_LEAST_CORRELATION, 4.0 / np.sqrt(len(changes)))
    return best if correlation[best] >= enough else _USUAL
