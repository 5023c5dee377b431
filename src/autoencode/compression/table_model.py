"""Columns of integers -> coded bytes: each column given those before it and earlier rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import Channel, LevelTables, code_residuals
from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import MaskedNetwork, NetworkStep
from autoencode.compression.plans import LARGEST_SCALE, ColumnPlan, Source

__all__ = [
    "Layout",
    "LearnedWalk",
    "TableWalk",
    "moved_scales",
    "predicted",
    "recent",
    "row_steps",
    "surprise",
]

# Tables learn from group to group: each is a fourth of what is known before it.
_FIRST_ROWS, _MOST_ROWS, _SHARE = 16, 8192, 4
_LARGEST_SURPRISE = 255
# Predictions are clipped here, in sixteenths.
_FARTHEST = 1 << 56


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

    def steps(self) -> Iterator[IntArray]:
        """Yield the rows coded together, each once."""
        if not self.lags:
            yield from row_steps(self.n_rows)
            return
        lanes = np.arange(0, self.n_rows, self.length)
        for step in range(min(self.length, self.n_rows)):
            rows = lanes + step
            yield rows[rows < self.n_rows]


def row_steps(n_rows: int) -> Iterator[IntArray]:
    """Yield rows in pieces: of 16, then of a fourth of those before, at most of 8192."""
    start, size = 0, _FIRST_ROWS
    while start < n_rows:
        stop = min(n_rows, start + size)
        yield np.arange(start, stop)
        size = min(_MOST_ROWS, max(_FIRST_ROWS, stop // _SHARE))
        start = stop


def predicted(plan: ColumnPlan, regressors: Sequence[IntArray]) -> IntArray | None:
    """Return what centred values predict, in sixteenths; None if it is the centre.

    Sums are of whole numbers below 2**53 held in float64: exact in any order.
    """
    if not regressors:
        return None
    total = np.zeros(len(regressors[0]), np.float64)
    for weight, values in zip(plan.weights, regressors, strict=True):
        total += float(weight) * values
    scaled = np.floor(np.ldexp(total, -plan.shift))
    return np.clip(scaled, -_FARTHEST, _FARTHEST).astype(np.int64) + 16 * plan.centre


def surprise(values: IntArray, predictions: IntArray | None, plan: ColumnPlan) -> IntArray:
    """Return how far off predictions were: 8 is about what is usual, 255 the most."""
    base = plan.centre if predictions is None else (predictions + 8) >> 4
    off = np.minimum(np.abs(values - base), 1 << 58)
    found: IntArray = np.minimum((off << 3) >> plan.exponent, _LARGEST_SURPRISE)
    return found


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
        What adds to the predictions.
    """

    def __init__(
        self,
        plans: Sequence[ColumnPlan],
        layout: Layout,
        given: Mapping[int, IntArray],
        network: MaskedNetwork | None = None,
    ) -> None:
        self.plans, self.layout = plans, layout
        self._learned = None if network is None else LearnedWalk(network, self)
        shape = (len(plans), layout.n_rows)
        self.values = np.zeros(shape, np.int64)
        self.surprises = np.zeros(shape, np.int16)
        self.tables = {
            place: LevelTables(plan.n_contexts, plan.size)
            for place, plan in enumerate(plans)
            if plan.mode == "levels"
        }
        for place, values in given.items():
            self.values[place] = values

    def run(self, channel: Channel, known: npt.NDArray[np.int64] | None) -> IntArray:
        """Code all cells.

        Parameters
        ----------
        channel : Channel
            Where they go to or come from.
        known : ndarray of int64, shape (n_columns, n_rows), or None
            The values, when writing; those of cells that a mask leaves out do not matter.

        Returns
        -------
        ndarray of int64, shape (n_columns, n_rows)
            The values as they are read.
        """
        for rows in self.layout.steps():
            if self._learned is not None:
                self._learned.begin(rows)
            for place, plan in enumerate(self.plans):
                self._code(place, plan, rows, channel, known)
        return self.values

    def _code(
        self,
        place: int,
        plan: ColumnPlan,
        rows: IntArray,
        channel: Channel,
        known: npt.NDArray[np.int64] | None,
    ) -> None:
        if plan.mask >= 0:
            stored = self.values[plan.mask, rows] == 0
            if plan.mode != "given":
                self.values[place, rows[~stored]] = plan.centre
            rows = rows[stored]
        if not len(rows):
            return
        linear = predictions = predicted(
            plan, [self.centred(at, rows) for at in plan.regressors]
        )
        spreads = None
        if self._learned is not None:
            predictions, spreads = self._learned.said(place, rows, predictions)
        if plan.mode != "given":
            wanted = None if known is None else known[place, rows]
            contexts = self._contexts(place, rows, predictions, spreads)
            if plan.mode == "levels":
                values = self.tables[place].code(contexts, wanted, channel)
            else:
                if predictions is None:
                    predictions = np.full(len(rows), 16 * plan.centre)
                scales = moved_scales(np.array(plan.scales, np.int64)[contexts], spreads)
                values = code_residuals(plan, predictions, scales, wanted, channel)
            self.values[place, rows] = values
        self.surprises[place, rows] = surprise(self.values[place, rows], predictions, plan)
        if self._learned is not None:
            self._learned.heard(place, rows, linear)

    def _contexts(
        self,
        place: int,
        rows: IntArray,
        predictions: IntArray | None,
        spreads: IntArray | None,
    ) -> IntArray:
        contexts = np.zeros(len(rows), np.int64)
        for source in self.plans[place].sources:
            if source.kind == "spread":
                seen = np.zeros(len(rows), np.int64) if spreads is None else spreads
            else:
                seen = self._seen(source, place, rows, predictions)
            contexts *= len(source.edges) + 1
            contexts += np.searchsorted(source.edges, seen, side="right")
        return contexts

    def _seen(
        self, source: Source, place: int, rows: IntArray, predictions: IntArray | None
    ) -> IntArray:
        """Return what a part of the context looks at."""
        if source.kind == "prediction":
            if predictions is None:
                return np.full(len(rows), 16 * self.plans[place].centre)
            return predictions
        if source.kind == "surprises":
            return recent(self.surprises, place - 1, rows)
        lag, column = divmod(source.place, len(self.plans))
        at, first = self._earlier(rows, lag)
        if source.kind == "value":
            found = self.values[column, at]
            return np.where(first, self.plans[column].centre, found) if lag else found
        found = self.surprises[column, at].astype(np.int64)
        return np.where(first, 0, found) if lag else found

    def centred(self, place: int, rows: IntArray) -> IntArray:
        """Return values less their centre; a place beyond the columns is one of earlier rows."""
        lag, column = divmod(place, len(self.plans))
        at, first = self._earlier(rows, lag)
        found = self.values[column, at] - self.plans[column].centre
        return np.where(first, 0, found) if lag else found

    def _earlier(self, rows: IntArray, lag: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the rows so many before these, and where a lane does not reach so far."""
        if not lag:
            return rows, np.zeros(0, np.bool_)
        first = rows % self.layout.length < lag
        return np.maximum(rows - lag, 0), first


class LearnedWalk:
    """What a network has to say on the way.

    Parameters
    ----------
    network : MaskedNetwork
        The network.
    walk : TableWalk
        Whose values it is told.
    """

    def __init__(self, network: MaskedNetwork, walk: TableWalk) -> None:
        network.check(walk.plans)
        self._network, self._walk = network, walk

    def begin(self, rows: IntArray) -> None:
        """Go on to other rows: tell what is known of them from the start."""
        walk, self._rows = self._walk, rows
        self._step = NetworkStep(self._network, len(rows))
        for place in self._step.places:
            column = place % len(walk.plans)
            plan = walk.plans[column]
            if place >= len(walk.plans) or plan.mode == "given":
                self._step.tell(place, walk.centred(place, rows), plan.centre, None)

    def said(
        self, place: int, rows: IntArray, linear: IntArray | None
    ) -> tuple[IntArray | None, IntArray | None]:
        """Return predictions in sixteenths, and what to add to scales."""
        found = self._step.say(place)
        if found is None:
            return linear, None
        location, spreads = found
        if len(rows) < len(self._rows):
            kept = np.isin(self._rows, rows, assume_unique=True)
            location, spreads = location[kept], spreads[kept]
        start = 16 * self._walk.plans[place].centre if linear is None else linear
        return np.clip(location + start, -_FARTHEST, _FARTHEST), spreads

    def heard(self, place: int, rows: IntArray, linear: IntArray | None) -> None:
        """Tell the network a column's values."""
        walk, plan = self._walk, self._walk.plans[place]
        if plan.mode == "given":
            return
        innovation = None
        if linear is not None:
            innovation = np.zeros(len(self._rows), np.int64)
            kept = np.isin(self._rows, rows, assume_unique=True)
            innovation[kept] = 16 * walk.values[place, rows] - linear
        self._step.tell(place, walk.centred(place, self._rows), plan.centre, innovation)


def moved_scales(scales: IntArray, spreads: IntArray | None) -> IntArray:
    """Return scales of residuals, moved by what a network says."""
    return scales if spreads is None else np.clip(scales + spreads, 0, LARGEST_SCALE)


def recent(surprises: npt.NDArray[np.int16], place: int, rows: IntArray) -> IntArray:
    """Return the sum of the surprises of up to four columns, ``place`` the last of them."""
    first = max(0, place - 3)
    found: IntArray = surprises[first : place + 1][:, rows].sum(axis=0, dtype=np.int64)
    return found
