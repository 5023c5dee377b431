"""Columns of integers -> coded bytes: each column given those before it and earlier rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import Channel, LevelTables
from autoencode.compression.contexts import LARGEST_SURPRISE, Contexts
from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import MaskedNetwork
from autoencode.compression.masked_walk import MaskedWalk
from autoencode.compression.plans import ColumnPlan, Source
from autoencode.compression.residual_coding import ResidualCoder
from autoencode.compression.weighted_sums import WeightedSum

__all__ = ["Layout", "TableWalk", "recent", "surprise"]

# Tables of levels learn from group to group: each is half of what is known before it.
_FIRST_ROWS, _MOST_ROWS, _SHARE = 16, 8192, 2


@dataclass(frozen=True)
class Layout:
    """In which order rows are coded.

    Attributes
    ----------
    n_rows : int
        Their number.
    lags : int
        Rows before each that are known when it is coded.
    length : int
        With lags: rows that follow each other in one lane; all lanes go on at once.
    """

    n_rows: int
    lags: int = 0
    length: int = 0

    def steps(self) -> Iterator[list[slice]]:
        """Yield what is coded together with lags: the same row of all lanes.

        Each is a list: these rows, those before them, and so on while there are any.
        """
        starts: list[int] = []
        start = 0
        for step in range(min(self.length, self.n_rows)):
            count = -(-(self.n_rows - step) // self.length)
            starts.append(start)
            yield [slice(at, at + count) for at in starts[: -2 - self.lags : -1]]
            start += count

    def ordered(self, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Put the rows of columns, shape (n_columns, n_rows), in the order of coding."""
        return columns[:, self._order()] if self.lags else columns

    def restored(self, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Put rows that are in the order of coding in their own."""
        if not self.lags:
            return columns
        found = np.empty_like(columns)
        found[:, self._order()] = columns
        return found

    def _order(self) -> IntArray:
        n_lanes = -(-self.n_rows // self.length)
        rows = np.arange(n_lanes * self.length).reshape(n_lanes, self.length).T.ravel()
        return rows[rows < self.n_rows]


def _groups(n_rows: int, mode: str) -> Iterator[slice]:
    """Yield the rows of a column that are coded together without lags."""
    start, size = 0, _FIRST_ROWS if mode == "levels" else _MOST_ROWS
    while start < n_rows:
        stop = min(n_rows, start + size)
        yield slice(start, stop)
        size = min(_MOST_ROWS, max(size, stop // _SHARE))
        start = stop


def surprise(values: IntArray, predictions: IntArray | None, plan: ColumnPlan) -> IntArray:
    """Return how far off predictions were: 8 is about what is usual, 255 the most."""
    off = values - (plan.centre if predictions is None else (predictions + 8) >> 4)
    np.abs(off, out=off)
    # Eight times that, divided by 2 ** exponent; all is far below 2**60.
    if plan.exponent < 3:
        off <<= 3 - plan.exponent
    else:
        off >>= plan.exponent - 3
    return np.minimum(off, LARGEST_SURPRISE, out=off)


class TableWalk:
    """Goes through a table in the order of its coding.

    Parameters
    ----------
    plans : sequence of ColumnPlan
        One for each column.
    layout : Layout
        The order of rows.
    given : mapping of int to ndarray
        Columns known beforehand.
    network : MaskedNetwork, optional
        What adds to predictions and scales.
    counts : mapping of int to ndarray, optional
        What tables of levels counted before.
    """

    def __init__(
        self,
        plans: Sequence[ColumnPlan],
        layout: Layout,
        given: Mapping[int, IntArray],
        network: MaskedNetwork | None = None,
        counts: Mapping[int, IntArray] | None = None,
    ) -> None:
        self.plans, self.layout = plans, layout
        shape = (len(plans), layout.n_rows)
        # In the order of coding, so that what is coded together lies side by side.
        self.values = np.zeros(shape, np.int64)
        self._regressors = {at % len(plans) for plan in plans for at in plan.regressors}
        self._floats = np.zeros(shape if self._regressors else (0, 0), np.float64)
        self._surprising = _surprising(plans)
        self._surprises = np.zeros(shape, np.uint8)
        for place, values in given.items():
            self.values[place] = layout.ordered(values[None])[0]
            self._note(place, slice(0, layout.n_rows), self.values[place])
        self._sums = [WeightedSum(plan, plans) for plan in plans]
        self._contexts = [
            Contexts(plan.sources, list(map(self._largest, plan.sources)), layout.n_rows)
            for plan in plans
        ]
        self._tables = {
            place: LevelTables(plan.n_contexts, plan.size, (counts or {}).get(place))
            for place, plan in enumerate(plans)
            if plan.mode == "levels"
        }
        self._residuals = {
            place: ResidualCoder(plan)
            for place, plan in enumerate(plans)
            if plan.mode == "residual"
        }
        self._learned = None if network is None else MaskedWalk(network, plans, self.values)

    @property
    def counts(self) -> dict[int, IntArray]:
        """What tables of levels have counted by now, by column."""
        return {place: tables.counts for place, tables in self._tables.items()}

    def _largest(self, source: Source) -> int | None:
        """Return the largest value that a source looks at, if the smallest is 0."""
        if source.kind in ("prediction", "spread"):
            return None
        if source.kind == "value":
            return self.plans[source.place % len(self.plans)].size - 1
        return LARGEST_SURPRISE * (4 if source.kind == "surprises" else 1)

    def run(
        self, channel: Channel, known: npt.NDArray[np.int64] | None, stop: int | None = None
    ) -> IntArray:
        """Code all cells.

        Parameters
        ----------
        channel : Channel
            Where they go to or come from.
        known : ndarray of int64, shape (n_columns, n_rows), or None
            The values, when writing; those of cells that a mask leaves out do not matter.
        stop : int, optional
            With no lags, how many of the first columns are asked for: the others stay 0.

        Returns
        -------
        ndarray of int64, shape (n_columns, n_rows)
            The values as they are read.
        """
        ordered = None if known is None else self.layout.ordered(known)
        if self.layout.lags:
            for before in self.layout.steps():
                if self._learned is not None:
                    self._learned.begin(before)
                for place in range(len(self.plans)):
                    self._code(place, before, channel, ordered)
        else:
            if self._learned is not None:
                self._learned.begin([slice(0, self.layout.n_rows)])
            for place, plan in enumerate(self.plans[:stop]):
                for rows in _groups(self.layout.n_rows, plan.mode):
                    self._code(place, [rows], channel, ordered)
        return self.layout.restored(self.values)

    def _code(
        self,
        place: int,
        before: Sequence[slice],
        channel: Channel,
        known: npt.NDArray[np.int64] | None,
    ) -> None:
        """Code a column's cells in the first of these rows; the others come before them."""
        rows = before[0]
        plan, own = self.plans[place], self.values[place, rows]
        kept = self._kept(plan, rows)
        if kept is not None and not len(kept):
            if plan.mode != "given":
                own[:] = plan.centre
            self._note(place, rows, own)
            self._heard(place, rows, kept, None)
            return
        linear = predictions = self._sums[place].predict(self._floats, before, kept)
        spreads: IntArray | None = None
        if self._learned is not None:
            predictions, spreads = self._learned.said(place, rows, kept, predictions)
        if plan.mode != "given":
            wanted = None if known is None else _chosen(known[place, rows], kept)
            count = rows.stop - rows.start if kept is None else len(kept)
            said = (predictions, spreads)
            contexts = self._contexts[place].numbers(
                lambda source: self._seen(source, place, before, kept, said), count
            )
            if plan.mode == "levels":
                contexts = np.zeros(count, np.int64) if contexts is None else contexts
                values = self._tables[place].code(contexts, wanted, channel)
            else:
                if predictions is None:
                    predictions = np.full(count, 16 * plan.centre)
                coder = self._residuals[place]
                values = coder.code(contexts, predictions, spreads, wanted, channel)
            if kept is None:
                own[:] = values
            else:
                own[:] = plan.centre
                own[kept] = values
        self._note(place, rows, own)
        self._heard(place, rows, kept, linear)
        if place in self._surprising:
            found = surprise(_chosen(own, kept), predictions, plan)
            self._surprises[place, rows][slice(None) if kept is None else kept] = found

    def _kept(self, plan: ColumnPlan, rows: slice) -> IntArray | None:
        """Return which of these rows are stored; None if all are."""
        if plan.mask < 0:
            return None
        return np.flatnonzero(self.values[plan.mask, rows] == 0)

    def _note(self, place: int, rows: slice, values: IntArray) -> None:
        if place in self._regressors:
            self._floats[place, rows] = values

    def _heard(
        self, place: int, rows: slice, kept: IntArray | None, linear: IntArray | None
    ) -> None:
        if self._learned is not None and self.plans[place].mode != "given":
            self._learned.heard(place, rows, kept, linear)

    def _seen(
        self,
        source: Source,
        place: int,
        before: Sequence[slice],
        kept: IntArray | None,
        said: tuple[IntArray | None, IntArray | None],
    ) -> IntArray | int:
        """Return what a part of the context looks at."""
        if source.kind == "prediction":
            return 16 * self.plans[place].centre if said[0] is None else said[0]
        if source.kind == "spread":
            return 0 if said[1] is None else said[1]
        if source.kind == "surprises":
            return _chosen(recent(self._surprises, place - 1, before[0]), kept)
        lag, column = divmod(source.place, len(self.plans))
        if lag >= len(before):
            return self.plans[column].centre if source.kind == "value" else 0
        table: npt.NDArray[Any] = self.values if source.kind == "value" else self._surprises
        return _chosen(table[column, before[lag]], kept)


def _chosen(values: IntArray, kept: IntArray | None) -> IntArray:
    return values if kept is None else values[kept]


def _surprising(plans: Sequence[ColumnPlan]) -> set[int]:
    """Return the columns whose surprise some context looks at."""
    found = set()
    for place, plan in enumerate(plans):
        for source in plan.sources:
            if source.kind == "surprise":
                found.add(source.place % len(plans))
            elif source.kind == "surprises":
                found.update(range(max(0, place - 4), place))
    return found


def recent(surprises: npt.NDArray[np.uint8], place: int, rows: slice | IntArray) -> IntArray:
    """Return the sum of the surprises of up to four columns, ``place`` the last of them."""
    first = max(0, place - 3)
    found: IntArray = surprises[first : place + 1, rows].sum(axis=0, dtype=np.int64)
    return found
