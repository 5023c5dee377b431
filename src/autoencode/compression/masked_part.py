"""Columns of integers coded with a masked autoencoder that was trained on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autoencode.compression.context_choice import (
    Candidate,
    choose_levels_context,
    choose_residual_context,
)
from autoencode.compression.effort import Effort
from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import ONE, Feature, MaskedNetwork
from autoencode.compression.masked_step import NetworkStep, OrderedNetwork
from autoencode.compression.plans import LARGEST_LEVELS, ColumnPlan
from autoencode.compression.stored_weights import LARGEST_WEIGHT
from autoencode.compression.table_model import Layout, surprise
from autoencode.compression.table_part import encode_table
from autoencode.compression.table_planning import Column, Planned, Planner
from autoencode.compression.weighted_sums import predicted

__all__ = ["encode_masked"]

# Fewer rows, or files of fewer bytes, do not pay for the weights.
_FEWEST_ROWS, _FEWEST_BYTES, _MOST_COLUMNS = 500, 10_000, 256
_BYTES_PER_UNIT, _FEWEST_UNITS, _MOST_UNITS = 1500, 12, 96
# Weights of few rows are stored in fewer bits.
_WEIGHT_BITS, _FINE_WEIGHT_BITS, _FINE_ROWS = 5, 6, 8192
_LISTED_LEVELS = 8
_FACTOR_BITS = 4
_SMALLEST_SPREAD = 0.3


def encode_masked(
    columns: Sequence[Column], planned: Planned, layout: Layout, effort: Effort, limit: int
) -> bytes | None:
    """Train a network on columns and code them with it.

    Parameters
    ----------
    columns : sequence of Column
        The integers.
    planned : Planned
        How they are coded without it: where it starts.
    layout : Layout
        The order of rows.
    effort : Effort
        How long it may train.
    limit : int
        What they take without it, in bytes.

    Returns
    -------
    bytes or None
        With the network in it; None if that is not fewer than the limit.
    """
    fits = layout.n_rows >= _FEWEST_ROWS and limit >= _FEWEST_BYTES
    if not fits or not effort.training_steps or len(columns) > _MOST_COLUMNS:
        return None
    rows = _Rows(columns, planned, layout)
    network = rows.network(planned.column_bytes)
    if network is None:
        return None
    from autoencode.compression.masked_training import TrainingBudget, train_masked

    inputs, wanted, scales = rows.training(network)
    budget = TrainingBudget(effort.training_steps, effort.training_seconds)
    network = train_masked(network, inputs, wanted, scales, budget)
    found = _MaskedPlanner(columns, rows, network, effort).planned()
    coded = encode_table(columns, found, layout, network)
    return coded if len(coded) < limit else None


class _Rows:
    """Columns as a network sees them."""

    def __init__(self, columns: Sequence[Column], planned: Planned, layout: Layout) -> None:
        self.layout, self.plans = layout, planned.plans
        self.stored = [
            np.ones(layout.n_rows, np.bool_)
            if column.mask < 0
            else columns[column.mask].values == 0
            for column in columns
        ]
        self.centred = [
            np.where(stored, column.values - plan.centre, 0)
            for column, stored, plan in zip(columns, self.stored, self.plans, strict=True)
        ]
        self.linear = [
            predicted(plan, [self.place(at) for at in plan.regressors]) for plan in self.plans
        ]

    def place(self, at: int) -> IntArray:
        """Return centred values; a place beyond the columns is one of earlier rows."""
        lag, column = divmod(at, len(self.plans))
        values = self.centred[column]
        if not lag:
            return values
        found = np.zeros_like(values)
        found[lag:] = values[:-lag]
        found[np.arange(len(found)) % self.layout.length < lag] = 0
        return found

    def innovation(self, place: int) -> IntArray | None:
        """Return how far off linear predictions are, in sixteenths; 0 where none is stored."""
        linear = self.linear[place]
        if linear is None:
            return None
        off = 16 * (self.centred[place] + self.plans[place].centre) - linear
        return np.where(self.stored[place], off, 0)

    def network(self, column_bytes: Sequence[float]) -> MaskedNetwork | None:
        """Return a network of zeros; None if there is nothing for it to say.

        Parameters
        ----------
        column_bytes : sequence of float
            What each column takes without it: the more, the more units it gets.
        """
        n_columns = len(self.plans)
        inputs: list[tuple[Feature, int]] = []
        for place, plan in enumerate(self.plans):
            degree = 0 if plan.mode == "given" else place + 1
            if plan.size > 1 and degree < n_columns:
                inputs += [(feature, degree) for feature in self._features(place, plan)]
        for lag in range(1, self.layout.lags + 1):
            for place, plan in enumerate(self.plans):
                if plan.size > 2:
                    spread = float(self.centred[place].std())
                    inputs.append((_value("value", lag * n_columns + place, spread), 0))
        targets = [
            (place, *_fraction(16 * self._scale(place) / ONE))
            for place, plan in enumerate(self.plans)
            if plan.mode != "given" and plan.size > 2 and (place or self.layout.lags)
        ]
        targets = [target for target in targets if target[1] <= LARGEST_WEIGHT]
        if not targets or not inputs:
            return None
        shares = np.zeros(n_columns)
        for place, _, _ in targets:
            shares[place] = column_bytes[place]
        bits = _FINE_WEIGHT_BITS if self.layout.n_rows >= _FINE_ROWS else _WEIGHT_BITS
        return MaskedNetwork.zeros(n_columns, bits, _degrees(shares), inputs, targets)

    def _features(self, place: int, plan: ColumnPlan) -> list[Feature]:
        found = [_value("value", place, float(self.centred[place].std()))]
        innovation = self.innovation(place)
        if innovation is not None and plan.mode != "given":
            found.append(_value("innovation", place, float(np.abs(innovation).mean()) * 1.25))
        if 2 < plan.size <= _LISTED_LEVELS:
            found += [Feature("level", place, level) for level in range(1, plan.size)]
        return found

    def _scale(self, place: int) -> float:
        """Return the usual distance from the linear prediction."""
        innovation = self.innovation(place)
        if innovation is None:
            return max(_SMALLEST_SPREAD, 1.25 * float(np.abs(self.centred[place]).mean()))
        return max(_SMALLEST_SPREAD, 1.25 * float(np.abs(innovation).mean()) / 16)

    def training(
        self, network: MaskedNetwork
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return inputs, what is to be met, and its unit, of all rows."""
        step = self.told(network, np.arange(self.layout.n_rows))
        wanted = np.empty((len(network.targets), self.layout.n_rows))
        for at, place in enumerate(network.targets):
            innovation = self.innovation(place)
            off = self.centred[place] if innovation is None else innovation / 16.0
            wanted[at] = np.where(self.stored[place], off, np.nan)
        pairs = zip(network.factors, network.shifts, strict=True)
        units = [math.ldexp(factor * ONE / 16, -shift) for factor, shift in pairs]
        return step.inputs, wanted, np.array(units)

    def told(self, network: MaskedNetwork, rows: IntArray) -> NetworkStep:
        """Return a step that was told everything."""
        ordered = OrderedNetwork(network)
        step = NetworkStep(ordered, len(rows))
        for place in ordered.of:
            innovation = self.innovation(place) if place < len(self.plans) else None
            step.tell(
                place,
                self.place(place)[rows],
                self.plans[place % len(self.plans)].centre,
                None if innovation is None else innovation[rows],
            )
        return step


def _degrees(column_bytes: npt.NDArray[np.float64]) -> list[int]:
    """Return the degrees of units: each column gets as many as its bytes are worth."""
    total = float(column_bytes.sum())
    n_units = int(min(_MOST_UNITS, max(_FEWEST_UNITS, total / _BYTES_PER_UNIT)))
    upto = np.cumsum(column_bytes) * n_units / max(total, 1.0)
    places: list[int] = np.searchsorted(upto, np.arange(n_units) + 0.5, side="right").tolist()
    return [min(place, len(column_bytes) - 1) for place in places]


def _value(kind: str, place: int, spread: float) -> Feature:
    """Scale an input so that its usual size is 1."""
    return Feature(kind, place, *_fraction(ONE / max(spread, _SMALLEST_SPREAD)))


def _fraction(number: float) -> tuple[int, int]:
    """Return a factor and a shift: ``factor / 2 ** shift`` is the number, to a few bits."""
    shift = max(0, _FACTOR_BITS - math.frexp(number)[1])
    return max(1, round(math.ldexp(number, shift))), shift


class _MaskedPlanner(Planner):
    """Plans columns again, given what a network says about them."""

    def __init__(
        self,
        columns: Sequence[Column],
        seen: _Rows,
        network: MaskedNetwork,
        effort: Effort,
    ) -> None:
        super().__init__(columns, seen.layout, effort)
        self.before, self.seen = seen.plans, seen
        self.said: dict[int, tuple[IntArray, IntArray]] = {}
        step = seen.told(network, self.rows)
        for place in network.targets:
            found = step.say(place)
            if found is not None:
                self.said[place] = found

    def planned(self) -> Planned:
        """Return plans of all columns."""
        given = {place for place, plan in enumerate(self.before) if plan.mode == "given"}
        found = [self._replanned(place, given) for place in range(self.n_columns)]
        return Planned([plan for plan, _ in found], [n_bytes for _, n_bytes in found])

    def _replanned(self, place: int, given: set[int]) -> tuple[ColumnPlan, float]:
        plan = self.before[place]
        rows = np.flatnonzero(self.stored[place])
        linear = self.seen.linear[place]
        predictions = None if linear is None else linear[self.rows][rows]
        if place in self.said:
            start = 16 * plan.centre if predictions is None else predictions
            predictions = np.clip(self.said[place][0][rows] + start, -(1 << 56), 1 << 56)
        values = self.values[place, rows]
        if len(rows):
            base = plan.centre if predictions is None else (predictions + 8) >> 4
            off = float(np.abs(values - base).mean())
            plan = replace(plan, exponent=max(0, round(math.log2(max(off, 1.0)))))
        n_bytes = self.columns[place].stored_bytes if plan.mode == "given" else 0.0
        if plan.mode != "given" and plan.size > 1:
            known = [at for at in range(self.n_columns) if at < place or at in given]
            plan, n_bytes = self._learned(plan, place, known, rows, predictions)
        self.planned_so_far(place, plan)
        self.surprises[place, rows] = surprise(values, predictions, plan)
        return plan, n_bytes

    def _learned(
        self,
        plan: ColumnPlan,
        place: int,
        known: list[int],
        rows: IntArray,
        predictions: IntArray | None,
    ) -> tuple[ColumnPlan, float]:
        """Choose contexts, levels or residuals."""
        if not len(rows):
            return plan, 0.0
        weight = self.n_stored[place] / len(rows)
        values = self.values[place, rows]
        here = np.full(len(rows), 16 * plan.centre) if predictions is None else predictions
        spreads = self.said[place][1][rows] if place in self.said else None
        candidates = self.candidates(plan, place, known, rows, here)
        if place in self.said and not plan.regressors:
            candidates.insert(0, Candidate("prediction", 0, here))
        if spreads is not None:
            candidates.insert(0, Candidate("spread", 0, spreads))
        numbers = [item for item in candidates if item.kind != "value"]
        sources, family, scales, bits = choose_residual_context(
            values, here, numbers, weight, most=self.effort.most_sources, spreads=spreads
        )
        best = replace(plan, mode="residual", sources=sources, family=family, scales=scales)
        if plan.size <= LARGEST_LEVELS:
            ranked = self.ranked(values, plan.size, candidates)
            sources, by_levels = choose_levels_context(
                values, plan.size, ranked, weight, most=self.effort.most_sources
            )
            offer = replace(plan, mode="levels", sources=sources, scales=[])
            if by_levels < bits and self.has_room(place, offer):
                bits, best = by_levels, offer
        return best, bits / 8
