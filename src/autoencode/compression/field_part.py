"""Fields of integers -> bytes and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import ReadingChannel, WritingChannel
from autoencode.compression.context_choice import (
    Candidate,
    choose_levels_context,
    choose_residual_context,
)
from autoencode.compression.effort import EFFORTS, Effort
from autoencode.compression.field_model import FieldShape, FieldWalk, around
from autoencode.compression.frequencies import IntArray
from autoencode.compression.packing import join, split
from autoencode.compression.plans import LARGEST_LEVELS, ColumnPlan, check_order, require, within
from autoencode.compression.regression import Gram, regression
from autoencode.compression.stored_plans import PlanReader, store_plans
from autoencode.compression.table_model import surprise
from autoencode.compression.table_part import MOST_LANES, lanes_for
from autoencode.compression.table_planning import Column
from autoencode.compression.weighted_sums import predicted

__all__ = ["decode_fields", "encode_fields"]

_GRAM_VALUES = 1 << 17


def encode_fields(
    columns: Sequence[Column], shape: FieldShape, effort: Effort = EFFORTS["default"]
) -> bytes:
    """Code fields, one after the other.

    Parameters
    ----------
    columns : sequence of Column
        Each ``shape.n_values`` long at most; a mask names an earlier one.
    shape : FieldShape
        How values lie; a series may end within its last lane.
    effort : Effort
        How much to try.

    Returns
    -------
    bytes
        For each field its plan, symbols and bits.
    """
    pieces: list[bytes] = []
    for place, column in enumerate(columns):
        stored = _stored(columns, column.mask, shape, len(column.values))
        values = np.zeros(shape.n_values, np.int64)
        values[: len(column.values)] = column.values
        plan, n_bytes = _planned(values, column.size, shape, stored, effort)
        plan = replace(plan, mask=-1)
        channel = WritingChannel(lanes_for(n_bytes))
        FieldWalk(plan, shape, stored).run(channel, values)
        own = len(shape.neighbours)
        symbols, bits = channel.finish()
        head = store_plans([plan], [own], (channel.writer.lanes, place - column.mask))
        pieces += [head, symbols, bits]
    return join(pieces)


def decode_fields(data: bytes, n_columns: int, n_values: int, shape: FieldShape) -> IntArray:
    """Return the integers of fields.

    Parameters
    ----------
    data : bytes
        As `encode_fields` returned it.
    n_columns, n_values : int
        What must be in it.
    shape : FieldShape
        How values lie.

    Returns
    -------
    ndarray of int64, shape (n_columns, n_values)
        Values that a mask leaves out are their field's centre.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    pieces = split(data, 3 * n_columns)
    found = np.zeros((n_columns, n_values), np.int64)
    for place in range(n_columns):
        head, symbols, bits = pieces[3 * place : 3 * place + 3]
        plan, mask, lanes = _read_plan(head, place, shape)
        stored: npt.NDArray[np.bool_] | None = None
        if n_values < shape.n_values or mask >= 0:
            stored = np.zeros(shape.n_values, np.bool_)
            stored[:n_values] = True if mask < 0 else found[mask] == 0
        channel = ReadingChannel(symbols, bits, lanes)
        found[place] = FieldWalk(plan, shape, stored).run(channel, None)[:n_values]
        channel.finish()
    return found


def _read_plan(head: bytes, place: int, shape: FieldShape) -> tuple[ColumnPlan, int, int]:
    own = len(shape.neighbours)
    reader = PlanReader(head)
    first = reader.take(2)
    lanes = within(first[0], 1, MOST_LANES, "the number of lanes")
    mask = place - within(first[1], 1, place + 1, "the mask of a field")
    (plan,) = reader.plans([own], own + 1, 0)
    reader.finish()
    require(plan.mode in ("levels", "residual") and plan.mask == -1, "a field has another mode")
    require(all(source.kind != "spread" for source in plan.sources), "a field has no network")
    others = [replace(plan, mode="given", regressors=[], weights=[], sources=())] * own
    check_order([*others, plan], 0)
    return plan, mask, lanes


def _stored(
    columns: Sequence[Column], mask: int, shape: FieldShape, n_values: int
) -> npt.NDArray[np.bool_] | None:
    if mask < 0 and n_values == shape.n_values:
        return None
    stored = np.zeros(shape.n_values, np.bool_)
    stored[:n_values] = True if mask < 0 else columns[mask].values == 0
    return stored


def _planned(
    values: IntArray,
    size: int,
    shape: FieldShape,
    stored: npt.NDArray[np.bool_] | None,
    effort: Effort,
) -> tuple[ColumnPlan, float]:
    """Choose regressors among the neighbours, and a context."""
    rows = np.arange(shape.n_values) if stored is None else np.flatnonzero(stored)
    if not len(rows):
        return ColumnPlan("levels", size), 0.0
    centre = int(np.rint(values[rows].mean()))
    padded = np.full(int(np.prod(shape.padded)), centre, np.int64)
    padded[shape.places[rows]] = values[rows]
    own = len(shape.neighbours)
    plan = ColumnPlan("levels", size, centre)
    thin = max(1, -(-len(rows) // _GRAM_VALUES))
    places = shape.places[rows[::thin]]
    if size > 2:
        around = np.array([padded[places + offset] for offset in (*shape.offsets, 0)]) - centre
        allowed = np.ones(own + 1, np.bool_)
        allowed[own] = False
        sizes = np.full(own + 1, size, np.int64)
        regressors, weights, shift = regression(Gram(around), own, allowed, sizes, len(rows))
        plan = replace(plan, regressors=regressors, weights=weights, shift=shift)
    places = shape.places[rows]
    predictions = predicted(
        plan, [padded[places + shape.offsets[at]] - centre for at in plan.regressors]
    )
    base = centre if predictions is None else (predictions + 8) >> 4
    off = float(np.abs(values[rows] - base).mean())
    plan = replace(plan, exponent=max(0, round(math.log2(max(off, 1.0)))))
    surprises = np.zeros(len(padded), np.int64)
    surprises[places] = surprise(values[rows], predictions, plan)
    return _with_context(plan, shape, rows, values, padded, surprises, predictions, effort)


def _with_context(
    plan: ColumnPlan,
    shape: FieldShape,
    rows: IntArray,
    values: IntArray,
    padded: IntArray,
    surprises: IntArray,
    predictions: IntArray | None,
    effort: Effort,
) -> tuple[ColumnPlan, float]:
    thin = max(1, -(-len(rows) // (4 * effort.sample_rows)))
    rows, weight = rows[::thin], float(thin)
    places, wanted = shape.places[rows], values[rows]
    here = np.full(len(rows), 16 * plan.centre) if predictions is None else predictions[::thin]
    nearest, shares = around(shape)
    nearby = (shares @ surprises.take(nearest + places)).astype(np.int64)
    candidates = [Candidate("surprises", 0, nearby)]
    if plan.regressors:
        candidates.append(Candidate("prediction", 0, here))
    for at, offset in enumerate(shape.offsets):
        candidates.append(Candidate("surprise", at, surprises[places + offset]))
    sources, family, scales, bits = choose_residual_context(
        wanted, here, candidates, weight, most=effort.most_sources
    )
    best = replace(plan, mode="residual", sources=sources, family=family, scales=scales)
    if plan.size <= LARGEST_LEVELS:
        near = [
            Candidate("value", at, padded[places + offset])
            for at, offset in enumerate(shape.offsets)
            if max(abs(part) for part in shape.neighbours[at]) == 1
        ]
        offers = [*candidates[:2], *near]
        found, by_levels = choose_levels_context(
            wanted, plan.size, offers, weight, most=effort.most_sources
        )
        if by_levels < bits:
            bits, best = by_levels, replace(plan, mode="levels", sources=found)
    return best, bits / 8
