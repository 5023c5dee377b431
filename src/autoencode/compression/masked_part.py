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
from autoencode.compression.masked import ONE, Feature, MaskedNetwork, NetworkStep
from autoencode.compression.plans import LARGEST_LEVELS, ColumnPlan
from autoencode.compression.table_model import Layout, predicted, surprise
from autoencode.compression.table_part import encode_table
from autoencode.compression.table_planning import Column, Planned, Planner

__all__ = ["encode_masked"]

# Fewer rows, or files of fewer bytes, do not pay for the weights.
_FEWEST_ROWS, _FEWEST_BYTES, _MOST_COLUMNS = 500, 10_000, 256
_BYTES_PER_UNIT, _FEWEST_UNITS, _MOST_UNITS = 1800, 12, 96
_LISTED_LEVELS = 8
_STEP_ROWS = 8192
_SMALLEST_SPREAD = 0.3
_SAMPLE_ROWS = 16384


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
    n_units = int(min(_MOST_UNITS, max(_FEWEST_UNITS, planned.n_bytes / _BYTES_PER_UNIT)))
    network = rows.network(n_units)
    if network is None:
        return None
    from autoencode.compression.masked_training import TrainingBudget, train_masked

    inputs, wanted, scales = rows.training(network)
    budget = TrainingBudget(effort.training_steps, effort.training_seconds)
    network = train_masked(network, inputs, wanted, scales, budget)
    planner = _MaskedPlanner(columns, planned, layout, network)
    found = planner.planned()
    coded = encode_table(columns, found, layout, network)
    return coded if len(coded) < limit else None


class _Rows:
    """Columns as a network sees them."""

    def __init__(self, columns: Sequence[Column], planned: Planned, layout: Layout) -> None:
        self.layout, self.plans = layout, planned.plans
        self.planner = Planner(columns, layout)
        self.linear = [self._linear(plan) for plan in self.plans]

    def _linear(self, plan: ColumnPlan) -> IntArray | None:
        return predicted(plan, [self.planner.place(at) for at in plan.regressors])

    def innovation(self, place: int) -> IntArray | None:
        """Return how far off linear predictions are, in sixteenths; 0 where none is stored."""
        linear = self.linear[place]
        if linear is None:
            return None
        off = 16 * self.planner.values[place] - linear
        return np.where(self.planner.stored[place], off, 0)

    def network(self, n_units: int) -> MaskedNetwork | None:
        """Return a network of zeros; None if there is nothing for it to say."""
        n_columns = len(self.plans)
        inputs: list[tuple[Feature, int]] = []
        for place, plan in enumerate(self.plans):
            degree = 0 if plan.mode == "given" else place + 1
            if plan.size > 1 and degree < n_columns:
                inputs += [(feature, degree) for feature in self._features(place, plan)]
        for lag in range(1, self.layout.lags + 1):
            for place, plan in enumerate(self.plans):
                if plan.size > 2:
                    spread = float(self.planner.values[place].std())
                    inputs.append((_value("value", lag * n_columns + place, spread), 0))
        targets = [
            (place, *_fraction(16 * self._scale(place) / ONE))
            for place, plan in enumerate(self.plans)
            if plan.mode != "given" and plan.size > 2 and (place or self.layout.lags)
        ]
        if not targets or not inputs or max(factor for _, factor, _ in targets) > 1 << 42:
            return None
        return MaskedNetwork.zeros(n_columns, n_units, inputs, targets)

    def _features(self, place: int, plan: ColumnPlan) -> list[Feature]:
        found = [_value("value", place, float(self.planner.values[place].std()))]
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
            off = np.abs(self.planner.values[place] - self.plans[place].centre)
            return max(_SMALLEST_SPREAD, 1.25 * float(off.mean()))
        return max(_SMALLEST_SPREAD, 1.25 * float(np.abs(innovation).mean()) / 16)

    def training(
        self, network: MaskedNetwork
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return inputs, what is to be met, and its unit, of all rows."""
        step = self.told(network, np.arange(self.layout.n_rows))
        wanted = np.empty((len(network.targets), self.layout.n_rows))
        for at, place in enumerate(network.targets):
            linear = self.linear[place]
            start = 16.0 * self.plans[place].centre if linear is None else linear
            off = self.planner.values[place] - np.divide(start, 16.0)
            wanted[at] = np.where(self.planner.stored[place], off, np.nan)
        return step.inputs, wanted, np.array([self._scale(place) for place in network.targets])

    def told(self, network: MaskedNetwork, rows: IntArray) -> NetworkStep:
        """Return a step that was told everything."""
        step = NetworkStep(network, len(rows))
        for place in step.places:
            innovation = self.innovation(place) if place < len(self.plans) else None
            step.tell(
                place,
                self.planner.place(place)[rows],
                self.plans[place % len(self.plans)].centre,
                None if innovation is None else innovation[rows],
            )
        return step


def _value(kind: str, place: int, spread: float) -> Feature:
    """Scale an input so that its usual size is 1."""
    return Feature(kind, place, *_fraction(ONE / max(spread, _SMALLEST_SPREAD)))


def _fraction(number: float) -> tuple[int, int]:
    """Return a factor and a shift: ``factor / 2 ** shift`` is the number, to ten bits."""
    shift = max(0, 10 - math.frexp(number)[1])
    return max(1, round(math.ldexp(number, shift))), shift


class _MaskedPlanner(Planner):
    """Plans columns again, given what a network says about them."""

    def __init__(
        self,
        columns: Sequence[Column],
        planned: Planned,
        layout: Layout,
        network: MaskedNetwork,
    ) -> None:
        super().__init__(columns, layout)
        self.before, self.network = planned.plans, network
        rows = _Rows(columns, planned, layout)
        self.linear = rows.linear
        self.location: dict[int, IntArray] = {}
        self.spread: dict[int, IntArray] = {}
        pieces: dict[int, list[tuple[IntArray, IntArray]]] = {}
        for start in range(0, layout.n_rows, _STEP_ROWS):
            some = np.arange(start, min(start + _STEP_ROWS, layout.n_rows))
            step = rows.told(network, some)
            for place in network.targets:
                found = step.say(place)
                assert found is not None
                pieces.setdefault(place, []).append(found)
        for place, found in pieces.items():
            self.location[place] = np.concatenate([location for location, _ in found])
            self.spread[place] = np.concatenate([spread for _, spread in found])

    def planned(self) -> Planned:
        """Return plans of all columns."""
        given = {place for place, plan in enumerate(self.before) if plan.mode == "given"}
        found = [self._replanned(place, given) for place in range(self.n_columns)]
        return Planned([plan for plan, _ in found], sum(n_bytes for _, n_bytes in found))

    def _replanned(self, place: int, given: set[int]) -> tuple[ColumnPlan, float]:
        plan = self.before[place]
        rows = np.flatnonzero(self.stored[place])
        linear = self.linear[place]
        predictions = None if linear is None else linear[rows]
        if place in self.location:
            start = 16 * plan.centre if predictions is None else predictions
            predictions = np.clip(self.location[place][rows] + start, -(1 << 56), 1 << 56)
        values = self.values[place, rows]
        if len(rows):
            base = plan.centre if predictions is None else (predictions + 8) >> 4
            off = float(np.abs(values - base).mean())
            plan = replace(plan, exponent=max(0, round(math.log2(max(off, 1.0)))))
        n_bytes = self.columns[place].stored_bytes if plan.mode == "given" else 0.0
        if plan.mode != "given" and plan.size > 1:
            known = [at for at in range(self.n_columns) if at < place or at in given]
            plan, n_bytes = self._learned(plan, place, known, rows, predictions)
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
        thin = max(1, -(-len(rows) // _SAMPLE_ROWS))
        rows, weight = rows[::thin], float(thin)
        if not len(rows):
            return plan, 0.0
        values = self.values[place, rows]
        here = np.full(len(rows), 16 * plan.centre) if predictions is None else predictions[::thin]
        spreads = self.spread[place][rows] if place in self.spread else None
        candidates = self.candidates(plan, place, known, rows, here)
        if place in self.location and not plan.regressors:
            candidates.insert(0, Candidate("prediction", 0, here))
        if spreads is not None:
            candidates.insert(0, Candidate("spread", 0, spreads))
        numbers = [item for item in candidates if item.kind != "value"]
        sources, family, scales, bits = choose_residual_context(
            values, here, numbers, weight, spreads
        )
        best = replace(plan, mode="residual", sources=sources, family=family, scales=scales)
        if plan.size <= LARGEST_LEVELS:
            ranked = self.ranked(values, plan.size, candidates)
            sources, by_levels = choose_levels_context(values, plan.size, ranked, weight)
            if by_levels < bits:
                bits = by_levels
                best = replace(plan, mode="levels", sources=sources, scales=[])
        return best, bits / 8
