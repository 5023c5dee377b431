"""Pictures, fields and series of integers: each value given its neighbours before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import Channel, LevelTables
from autoencode.compression.contexts import LARGEST_SURPRISE, Contexts
from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import ColumnPlan, Source
from autoencode.compression.residual_coding import ResidualCoder
from autoencode.compression.table_model import surprise
from autoencode.compression.weighted_sums import FloatArray, sixteenths

__all__ = ["FieldShape", "FieldWalk", "around", "field_shape"]

_AROUND = 4
# Slices of a stack are taken as following each other up to so many; more are side by side.
_MOST_SLICES = 128
_SERIES_LENGTH = 512


@dataclass(frozen=True)
class FieldShape:
    """How values lie: slices of rows of values.

    Attributes
    ----------
    slices, rows, width : int
        Their numbers.
    stacked : bool
        Whether a slice is given the one before it.
    reach : int
        How far to the right neighbours of the row above go.
    """

    slices: int
    rows: int
    width: int
    stacked: bool
    reach: int = 1

    @property
    def n_values(self) -> int:
        """The number of values."""
        return self.slices * self.rows * self.width

    @cached_property
    def neighbours(self) -> list[tuple[int, int, int]]:
        """Steps to neighbours that come before: in slices, rows and places."""
        found = [(0, 0, -step) for step in range(_AROUND * (2 if self.rows == 1 else 1), 0, -1)]
        if self.rows > 1:
            found += [(0, -1, step) for step in range(-_AROUND + 1, self.reach + 1)]
            found += [(0, -2, step) for step in range(-1, 2)]
        if self.stacked:
            around = range(-1, 2)
            found += [(-1, row, step) for row in around for step in around]
        return found

    @cached_property
    def padded(self) -> tuple[int, int, int]:
        """The shape with a margin on all sides into which no neighbour falls unseen."""
        margin = 2 * _AROUND
        return self.slices + 1, self.rows + 3, self.width + 2 * margin

    @cached_property
    def offsets(self) -> IntArray:
        """Steps to neighbours in the padded values, laid flat."""
        _, rows, width = self.padded
        return np.array([(ds * rows + dh) * width + dw for ds, dh, dw in self.neighbours], np.int64)

    @cached_property
    def places(self) -> IntArray:
        """Where each value is in the padded ones."""
        _, rows, width = self.padded
        s, h, w = np.indices((self.slices, self.rows, self.width))
        flat = ((s + 1) * rows + h + 2) * width + w + 2 * _AROUND
        found: IntArray = flat.ravel().astype(np.int64)
        return found

    def steps(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the values coded together, all whose neighbours are known, and their places."""
        slope = self.reach + 1
        if self.stacked:
            s, h, w = np.indices((self.slices, self.rows, self.width))
            turn = (w + slope * (h + 2 * s)).ravel()
            order = np.argsort(turn, kind="stable")
            for group in np.split(order, np.flatnonzero(np.diff(turn[order])) + 1):
                yield group, self.places[group]
            return
        _, rows, width = self.padded
        each = np.arange(self.slices)[:, None]
        firsts = each * (self.rows * self.width), (each + 1) * (rows * width) + 2 * width
        for turn in range(self.width + slope * (self.rows - 1)):
            first = max(0, -(-(turn - self.width + 1) // slope))
            h = np.arange(first, min(self.rows - 1, turn // slope) + 1)
            w = turn - slope * h
            flat = firsts[0] + (h * self.width + w), firsts[1] + (h * width + w + 2 * _AROUND)
            yield flat[0].ravel(), flat[1].ravel()

    def inner(self, padded: npt.NDArray[np.int64]) -> IntArray:
        """Return values without the margin, in C order."""
        lines, margin = slice(2, 2 + self.rows), 2 * _AROUND
        return padded.reshape(self.padded)[1:, lines, margin : margin + self.width].ravel()


def field_shape(shape: Sequence[int]) -> FieldShape | None:
    """Return how an array's values lie; None if neighbours say nothing about them."""
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        lanes = -(-shape[0] // _SERIES_LENGTH)
        return FieldShape(max(1, lanes), 1, min(shape[0], _SERIES_LENGTH), False)
    if len(shape) < 2 or min(shape) == 0:
        return None
    reach, rows, width = 1, shape[-2], shape[-1]
    slices = int(np.prod(shape[:-2]))
    if width <= 4 and len(shape) > 2:
        # The last axis holds the channels of one pixel.
        reach, width, rows = 3, width * rows, shape[-3]
        slices = int(np.prod(shape[:-3]))
    return FieldShape(slices, rows, width, 1 < slices <= _MOST_SLICES, reach)


class FieldWalk:
    """Goes through a field in the order of its coding.

    Parameters
    ----------
    plan : ColumnPlan
        Of the field: neighbours take the places of columns.
    shape : FieldShape
        How values lie.
    stored : ndarray of bool or None
        Which values are stored; None: all.
    """

    def __init__(
        self, plan: ColumnPlan, shape: FieldShape, stored: npt.NDArray[np.bool_] | None
    ) -> None:
        self.plan, self.shape, self.stored = plan, shape, stored
        size = int(np.prod(shape.padded))
        self.values = np.full(size, plan.centre, np.int64)
        # Less the centre, for sums: whole numbers that are exact in any order.
        self._centred = np.zeros(size, np.float64)
        self._surprises = np.zeros(size, np.float64)
        self._regressors = shape.offsets[plan.regressors][:, None]
        self._weights = np.array(plan.weights, np.float64)
        self._around, self._shares = around(shape)
        largest = list(map(self._largest, plan.sources))
        self._contexts = Contexts(plan.sources, largest, shape.n_values)
        self._residuals = self._tables = None
        if plan.mode == "levels":
            self._tables = LevelTables(plan.n_contexts, plan.size)
        else:
            self._residuals = ResidualCoder(plan)

    def _largest(self, source: Source) -> int | None:
        """Return the largest value that a source looks at, if the smallest is 0."""
        if source.kind == "prediction":
            return None
        if source.kind == "value":
            return self.plan.size - 1
        return LARGEST_SURPRISE * (int(self._shares.sum()) if source.kind == "surprises" else 1)

    def run(self, channel: Channel, known: IntArray | None) -> IntArray:
        """Code all values; return them, the centre where none is stored."""
        for group, places in self.shape.steps():
            if self.stored is not None:
                kept = self.stored[group]
                group, places = group[kept], places[kept]
            if len(group):
                self._code(places, channel, None if known is None else known[group])
        return self.shape.inner(self.values)

    def _code(self, places: IntArray, channel: Channel, known: IntArray | None) -> None:
        plan = self.plan
        predictions = None
        if plan.regressors:
            around = self._centred.take(self._regressors + places)
            predictions = sixteenths(self._weights @ around, plan)
        contexts = self._contexts.numbers(
            lambda source: self._seen(source, places, predictions), len(places)
        )
        if self._tables is not None:
            contexts = np.zeros(len(places), np.int64) if contexts is None else contexts
            values = self._tables.code(contexts, known, channel)
        else:
            assert self._residuals is not None
            if predictions is None:
                predictions = np.full(len(places), 16 * plan.centre)
            values = self._residuals.code(contexts, predictions, None, known, channel)
        self.values[places] = values
        self._centred[places] = values - plan.centre
        if plan.sources:
            self._surprises[places] = surprise(values, predictions, plan)

    def _seen(self, source: Source, places: IntArray, predictions: IntArray | None) -> IntArray:
        if source.kind == "prediction":
            if predictions is None:
                return np.full(len(places), 16 * self.plan.centre)
            return predictions
        if source.kind == "surprises":
            return (self._shares @ self._surprises.take(self._around + places)).astype(np.int64)
        at = places + self.shape.offsets[source.place]
        seen = self.values if source.kind == "value" else self._surprises
        found: IntArray = seen[at].astype(np.int64)
        return found


def around(shape: FieldShape) -> tuple[IntArray, FloatArray]:
    """Return steps to the nearest neighbours, in a column, and how often each one counts."""
    offsets, shares = [], []
    for step, offset in zip(shape.neighbours, shape.offsets.tolist(), strict=True):
        near = step[0] == 0 and step[1] >= -1 and abs(step[2]) <= 1
        above = step == (-1, 0, 0)
        if near or above or (shape.rows == 1 and step[2] >= -3):
            offsets.append(offset)
            shares.append(2.0 if step == (0, 0, -1) else 1.0)
    return np.array(offsets, np.int64)[:, None], np.array(shares)
