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
from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import LARGEST_LEVELS, ColumnPlan
from autoencode.compression.regression import Gram, regression
from autoencode.compression.table_model import Layout, predicted, recent, surprise

__all__ = ["Column", "Planned", "Planner", "plan_table"]

_SAMPLE_ROWS = 16384
_GRAM_ROWS = 1 << 18
# Beyond so many places the products of all with all take too long.
_MOST_PLACES = 2500
_RANKED_ROWS = 2048
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
    """Plans of all columns, and the bytes that they are expected to take."""

    plans: list[ColumnPlan]
    n_bytes: float


class Planner:
    """Plans one column after the other.

    Parameters
    ----------
    columns : sequence of Column
        At least one; all of ``layout.n_rows`` rows.
    layout : Layout
        The order of rows.
    """

    def __init__(self, columns: Sequence[Column], layout: Layout) -> None:
        self.columns, self.layout = columns, layout
        self.n_columns, self.n_rows = len(columns), layout.n_rows
        self.lags = layout.lags
        self.stored = [self._stored(column) for column in columns]
        self.centres = [self._centre(place) for place in range(self.n_columns)]
        self.values = np.array(
            [
                np.where(stored, column.values, centre)
                for column, stored, centre in zip(columns, self.stored, self.centres, strict=True)
            ],
            np.int64,
        ).reshape(self.n_columns, self.n_rows)
        centred = self.values - np.array(self.centres, np.int64)[:, None]
        self.places = [self._lagged(centred, lag) for lag in range(self.lags + 1)]
        self.surprises = np.zeros((self.n_columns, self.n_rows), np.int16)
        self.sizes = np.array([column.size for column in columns] * (self.lags + 1), np.int64)
        thin = max(1, -(-self.n_rows // _GRAM_ROWS))
        n_places = self.n_columns * (self.lags + 1)
        stacked = np.concatenate([place[:, ::thin] for place in self.places])
        self.gram = Gram(stacked) if n_places <= _MOST_PLACES else None

    def _stored(self, column: Column) -> npt.NDArray[np.bool_]:
        if column.mask < 0:
            return np.ones(self.n_rows, np.bool_)
        return np.asarray(self.columns[column.mask].values == 0)

    def _centre(self, place: int) -> int:
        values = self.columns[place].values[self.stored[place]]
        return int(np.rint(values.mean())) if len(values) else 0

    def _lagged(self, values: IntArray, lag: int) -> IntArray:
        """Return what stands so many rows before each row, 0 where a lane begins."""
        if not lag:
            return values
        found = np.zeros_like(values)
        found[:, lag:] = values[:, :-lag]
        found[:, np.arange(self.n_rows) % self.layout.length < lag] = 0
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
        self.surprises[place, rows] = surprise(values, predictions, plan)
        return plan, n_bytes

    def _with_prediction(
        self, plan: ColumnPlan, place: int, known: list[int], rows: IntArray
    ) -> tuple[ColumnPlan, IntArray | None]:
        if self.gram is None or plan.size < 3 or not len(rows):
            return plan, None
        allowed = np.zeros(self.n_columns * (self.lags + 1), np.bool_)
        allowed[[at for at in known if at != place]] = True
        allowed[self.n_columns :] = True
        regressors, weights, shift = regression(self.gram, place, allowed, self.sizes, len(rows))
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
        thin = max(1, -(-len(rows) // _SAMPLE_ROWS))
        rows = rows[::thin]
        if not len(rows):
            return replace(plan, mode="levels", size=1, centre=0), 0.0
        weight = float(thin)
        values = self.values[place, rows]
        here = np.full(len(rows), 16 * plan.centre) if predictions is None else predictions[::thin]
        candidates = self.candidates(plan, place, known, rows, here)
        offers = []
        sources, family, scales, bits = choose_residual_context(
            values, here, [item for item in candidates if item.kind != "value"], weight
        )
        offers.append(
            (bits, replace(plan, mode="residual", sources=sources, family=family, scales=scales))
        )
        if plan.size <= LARGEST_LEVELS:
            ranked = self.ranked(values, plan.size, candidates)
            sources, bits = choose_levels_context(values, plan.size, ranked, weight)
            offers.append((bits, replace(plan, mode="levels", sources=sources)))
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


def plan_table(columns: Sequence[Column], layout: Layout) -> Planned:
    """Plan how a table of integers is coded.

    Parameters
    ----------
    columns : sequence of Column
        At least one; all of ``layout.n_rows`` rows.
    layout : Layout
        The order of rows.

    Returns
    -------
    Planned
        A plan for each column.
    """
    planner = Planner(columns, layout)
    found = [planner.plan(place, set()) for place in range(len(columns))]
    given = {
        place
        for place, (column, (_, n_bytes)) in enumerate(zip(columns, found, strict=True))
        if column.stored_bytes < n_bytes
    }
    if given:
        # Known beforehand, they tell something to all others.
        found = [planner.plan(place, given) for place in range(len(columns))]
    total = sum(n_bytes for _, n_bytes in found)
    return Planned([plan for plan, _ in found], total)
