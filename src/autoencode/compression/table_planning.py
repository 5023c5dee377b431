"""Columns of integers -> how each is best coded, given those before it and earlier rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autoencode.compression.context_choice import (
    Candidate,
    choose_levels_context,
    choose_residual_context,
)
from autoencode.compression.effort import EFFORTS, Effort
from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import (
    LARGEST_LEVELS,
    LARGEST_SCALE,
    LARGEST_TABLES,
    ColumnPlan,
)
from autoencode.compression.regression import Gram, regression
from autoencode.compression.table_model import Layout, recent, surprise
from autoencode.compression.weighted_sums import predicted

__all__ = ["Column", "Planned", "Planner", "plan_table"]

# Beyond so many places the products of all with all take too long.
_MOST_PLACES = 2500
_RANKED_ROWS = 2048
_FAST_LEVELS = 256
_RANKED = 8


@dataclass(frozen=True)
class Column:
    """Integers of one column.

    Attributes
    ----------
    values : ndarray of int64, shape (n_rows,)
        In [0, size).
    size : int
        Bound on them.
    mask : int
        The earlier column that is 0 where a cell is to be stored; -1: all are.
    stored_bytes : float
        What the column takes if stored otherwise, before any other.
    """

    values: IntArray
    size: int
    mask: int = -1
    stored_bytes: float = math.inf


@dataclass(frozen=True)
class Planned:
    """Plans of all columns, and the bytes that each is expected to take."""

    plans: list[ColumnPlan]
    column_bytes: list[float]

    @property
    def n_bytes(self) -> float:
        """What all take together."""
        return sum(self.column_bytes)


def _thinned(n_rows: int, most: int) -> IntArray:
    """Return at most so many rows, evenly spread."""
    return np.arange(0, n_rows, max(1, -(-n_rows // most)))


class Planner:
    """Plans one column after the other.

    Parameters
    ----------
    columns : sequence of Column
        At least one; all of ``layout.n_rows`` rows.
    layout : Layout
        The order of rows.
    effort : Effort
        How much to try.

    Attributes
    ----------
    rows : ndarray of int64
        Those by which contexts are chosen.
    """

    def __init__(self, columns: Sequence[Column], layout: Layout, effort: Effort) -> None:
        self.columns, self.layout, self.effort = columns, layout, effort
        self.n_columns, self.lags = len(columns), layout.lags
        stored = [self._stored(column) for column in columns]
        self.n_stored = [int(kept.sum()) for kept in stored]
        self.centres = [
            int(np.rint(column.values[kept].mean())) if count else 0
            for column, kept, count in zip(columns, stored, self.n_stored, strict=True)
        ]
        self.sizes = np.array([column.size for column in columns] * (self.lags + 1), np.int64)
        self.gram: Gram | None = None
        if self.n_columns * (self.lags + 1) <= _MOST_PLACES:
            rows = _thinned(layout.n_rows, 8 * effort.sample_rows)
            self.gram = Gram(np.concatenate(self._centred(rows, stored)), self.n_columns)
        # All else is chosen by fewer rows.
        rows = self.rows = _thinned(layout.n_rows, effort.sample_rows)
        self.places = self._centred(rows, stored)
        self.values = self.places[0] + np.array(self.centres, np.int64)[:, None]
        self.stored = [kept[rows] for kept in stored]
        self.surprises = np.zeros(self.values.shape, np.uint8)
        self._entries: dict[int, int] = {}

    def _stored(self, column: Column) -> npt.NDArray[np.bool_]:
        if column.mask < 0:
            return np.ones(self.layout.n_rows, np.bool_)
        return np.asarray(self.columns[column.mask].values == 0)

    def _centred(
        self, rows: IntArray, stored: Sequence[npt.NDArray[np.bool_]]
    ) -> list[npt.NDArray[np.int64]]:
        """Return some rows of all columns, and what stands one and two rows before each."""
        found = []
        for lag in range(self.lags + 1):
            known = rows % self.layout.length >= lag if lag else np.ones(len(rows), np.bool_)
            before = np.maximum(rows - lag, 0)
            values = np.zeros((self.n_columns, len(rows)), np.int64)
            for place, column in enumerate(self.columns):
                kept = known & stored[place][before]
                values[place, kept] = column.values[before[kept]] - self.centres[place]
            found.append(values)
        return found

    def plan(self, place: int, given: set[int]) -> tuple[ColumnPlan, float]:
        """Return a column's plan and the bytes that it takes."""
        column = self.columns[place]
        base = ColumnPlan("levels", column.size, self.centres[place], column.mask, exponent=0)
        rows = np.flatnonzero(self.stored[place])
        known = [at for at in range(self.n_columns) if at < place or at in given]
        base, predictions = self._with_prediction(base, place, known, rows)
        values = self.values[place, rows]
        if place in given:
            plan, n_bytes = replace(base, mode="given"), column.stored_bytes
        else:
            plan, n_bytes = self._coded(base, place, known, rows, predictions)
        self.planned_so_far(place, plan)
        self.surprises[place, rows] = surprise(values, predictions, plan)
        return plan, n_bytes

    def planned_so_far(self, place: int, plan: ColumnPlan) -> None:
        """Count the entries of a column's adaptive tables."""
        self._entries[place] = plan.n_contexts * plan.size if plan.mode == "levels" else 0

    def has_room(self, place: int, plan: ColumnPlan) -> bool:
        """Whether adaptive tables of a column may be made beside those of the others."""
        others = sum(count for at, count in self._entries.items() if at != place)
        return others + plan.n_contexts * plan.size <= LARGEST_TABLES

    def _with_prediction(
        self, plan: ColumnPlan, place: int, known: list[int], rows: IntArray
    ) -> tuple[ColumnPlan, IntArray | None]:
        if self.gram is None:
            return plan, None
        plan = replace(plan, unit=int(self.gram.units[place]))
        if plan.size < 3 or not len(rows):
            return plan, None
        allowed = np.zeros(self.n_columns * (self.lags + 1), np.bool_)
        allowed[[at for at in known if at != place]] = True
        allowed[self.n_columns :] = True
        regressors, weights, shift = regression(
            self.gram, place, allowed, self.sizes, self.n_stored[place]
        )
        plan = replace(plan, regressors=regressors, weights=weights, shift=shift)
        predictions = predicted(plan, [self.place(at)[rows] for at in regressors])
        base = plan.centre if predictions is None else (predictions + 8) >> 4
        off = float(np.abs(self.values[place, rows] - base).mean())
        return replace(plan, exponent=max(0, round(math.log2(max(off, 1.0))))), predictions

    def place(self, at: int) -> IntArray:
        """Return centred values; a place beyond the columns is one of earlier rows."""
        lag, column = divmod(at, self.n_columns)
        found: IntArray = self.places[lag][column]
        return found

    def _coded(
        self,
        plan: ColumnPlan,
        place: int,
        known: list[int],
        rows: IntArray,
        predictions: IntArray | None,
    ) -> tuple[ColumnPlan, float]:
        """Choose between levels and residuals."""
        if not self.n_stored[place]:
            return replace(plan, mode="levels", size=1, centre=0), 0.0
        if not len(rows):
            # None of the few that are stored was drawn.
            bits = math.log2(plan.size)
            scale = min(LARGEST_SCALE, round(4 * bits) + 8)
            return replace(plan, mode="residual", scales=[scale]), bits * self.n_stored[place] / 8
        weight = self.n_stored[place] / len(rows)
        values = self.values[place, rows]
        here = np.full(len(rows), 16 * plan.centre) if predictions is None else predictions
        candidates = self.candidates(plan, place, known, rows, here)
        offers = []
        sources, family, scales, bits = choose_residual_context(
            values,
            here,
            [item for item in candidates if item.kind != "value"],
            weight,
            most=self.effort.most_sources,
        )
        offers.append(
            (bits, replace(plan, mode="residual", sources=sources, family=family, scales=scales))
        )
        if plan.size <= (_FAST_LEVELS if self.effort.fast else LARGEST_LEVELS):
            ranked = self.ranked(values, plan.size, candidates)
            sources, bits = choose_levels_context(
                values, plan.size, ranked, weight, most=self.effort.most_sources
            )
            by_levels = replace(plan, mode="levels", sources=sources)
            if self.has_room(place, by_levels):
                offers.append((bits, by_levels))
        bits, plan = min(offers, key=lambda offer: offer[0])
        return plan, bits / 8 + 2 * len(plan.regressors)

    def candidates(
        self, plan: ColumnPlan, place: int, known: list[int], rows: IntArray, here: IntArray
    ) -> list[Candidate]:
        """Return what the context may look at."""
        found = []
        if plan.regressors:
            found.append(Candidate("prediction", 0, here))
        if place:
            found.append(Candidate("surprises", 0, recent(self.surprises, place - 1, rows)))
        strong = [at for at in plan.regressors if at < place][-6:]
        for at in dict.fromkeys([*range(max(0, place - 2), place), *strong]):
            found.append(Candidate("surprise", at, self.surprises[at, rows].astype(np.int64)))
        for lag in range(1, self.lags + 1):
            # In the planning of a column its own surprises are not known: its values are.
            at = lag * self.n_columns + place
            found.append(Candidate("value", at, self.place(at)[rows] + plan.centre))
        few = [at for at in known if at != place]
        if len(few) > 64:
            few = list(dict.fromkeys([*strong, *(at for at in few if at >= place - 8)]))
        found.extend(Candidate("value", at, self.values[at, rows]) for at in few)
        return found

    def ranked(self, values: IntArray, size: int, candidates: list[Candidate]) -> list[Candidate]:
        """Return the candidates that say most alone, by a sample."""
        if len(candidates) <= _RANKED:
            return candidates
        thin = max(1, -(-len(values) // _RANKED_ROWS))
        costs = []
        for candidate in candidates:
            short = candidate._replace(seen=candidate.seen[::thin])
            _, bits = choose_levels_context(values[::thin], size, [short], 1.0, most=1)
            costs.append(bits)
        order = np.argsort(costs, kind="stable")[:_RANKED]
        return [candidates[at] for at in sorted(order)]


def plan_table(
    columns: Sequence[Column], layout: Layout, effort: Effort = EFFORTS["default"]
) -> Planned:
    """Plan how a table of integers is coded.

    Parameters
    ----------
    columns : sequence of Column
        At least one; all of ``layout.n_rows`` rows.
    layout : Layout
        The order of rows.
    effort : Effort
        How much to try.

    Returns
    -------
    Planned
        A plan for each column.
    """
    planner = Planner(columns, layout, effort)
    found = [planner.plan(place, set()) for place in range(len(columns))]
    given = {
        place
        for place, (column, (_, n_bytes)) in enumerate(zip(columns, found, strict=True))
        if column.stored_bytes < n_bytes
    }
    if given:
        # Known beforehand, they tell something to all others.
        found = [planner.plan(place, given) for place in range(len(columns))]
    return Planned([plan for plan, _ in found], [n_bytes for _, n_bytes in found])
