"""Short trainings before a fit: strengths that are "auto", and cross-validation of few rows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from autoencode.data.rows import Rows
from autoencode.fit_data import Plan
from autoencode.fitting import Fit
from autoencode.moves import AUGMENTATIONS
from autoencode.penalties import AUTO, PENALTIES
from autoencode.selection import Split
from autoencode.spec import Spec, make, with_option
from autoencode.strength import Evidence, Trial, pooled, strongest_case

__all__ = ["choose_strengths", "is_automatic"]

_GRID = (0.0, 0.1, 0.3, 1.0)
"""Strengths tried: weights are these times the number of values over that of training rows."""

_UNITS = {"contractive": 10.0}
_FOLDS = 3
_EPOCH_SHARE = 8
_TIME_SHARE = 0.3


def choose_strengths(
    plan: Plan, rows: Rows, target: Rows | None, held_out: Rows | None
) -> tuple[Plan, Evidence | None]:
    """Return a plan in which no strength is "auto", and what trials found.

    Strengths, and then whether pictures are moved in training, are chosen one after the
    other, by short trainings from the same start: on the rows that are held out to choose, or
    by threefold cross-validation where rows are few.

    Parameters
    ----------
    plan : Plan
        Complete but for strengths.
    rows, target, held_out : Rows or None
        As for `autoencode.fitting.Fit`.
    """
    specs = plan.composition.penalties
    names = {spec: part.name for spec in specs if (part := _automatic(spec)) is not None}
    moves = AUGMENTATIONS if plan.augmentation == "auto" else (plan.augmentation,)
    if not names and not plan.few and len(moves) == 1:
        return plan, None
    count = len(moves) + (len(_GRID) - 1) * len(names)
    trials = _Trials(replace(plan, augmentation=moves[0]), rows, target, held_out, count)
    if not trials.splits:
        rest = tuple(spec for spec in specs if spec not in names)
        chosen = dict.fromkeys(names.values(), 0.0)
        return trials.resolved(rest, moves[0]), Evidence(chosen)
    taken: dict[Spec, Spec | None] = {spec: None if spec in names else spec for spec in specs}
    found: dict[str, float] = {}
    for spec, name in names.items():
        options: dict[float, Spec | None] = {0.0: None}
        scale = _UNITS.get(name, 1.0) * trials.scale
        options |= {w: with_option(str(spec), "weight", w) for w in _weights(scale)}
        results = {weight: trials.run({**taken, spec: o}) for weight, o in options.items()}
        found[name] = strongest_case(results, 0.0, few=plan.few)
        taken[spec] = options[found[name]]
    moved = moves[0]
    if len(moves) > 1:
        moved = strongest_case({m: trials.run(taken, m) for m in moves}, moved, few=plan.few)
    trial = trials.run(taken, moved) if trials.crossed else None
    rest = tuple(spec for spec in taken.values() if spec is not None)
    if not names and not plan.few:
        return trials.resolved(rest, moved), None
    return trials.resolved(rest, moved), Evidence(found, trial)


def is_automatic(spec: Spec) -> bool:
    """Say whether the strength of a penalty is to be chosen."""
    return _automatic(spec) is not None


def _automatic(spec: Spec) -> Any:
    """Return the penalty whose strength is to be chosen; None for any other."""
    part = make("penalty", PENALTIES, spec) if isinstance(spec, str) else None
    return part if getattr(part, "weight", None) == AUTO else None


def _weights(scale: float) -> list[float]:
    """Return the positive strengths, of two digits."""
    return [float(f"{scale * strength:.2g}") for strength in _GRID[1:]]


class _Trials:
    """Short trainings of one plan with other penalties, each done once."""

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        target: Rows | None,
        held_out: Rows | None,
        count: int,
    ) -> None:
        self.plan, self.started, self.count = plan, time.perf_counter(), count
        self.sources = (rows, target, held_out)
        self.done: dict[tuple[str, tuple[Spec, ...]], Trial] = {}
        fit = Fit(plan, *self.sources)
        split = fit.data.split
        self.search = fit.data.search_limit()
        self.scale = fit.data.n_values / len(split.train)
        self.splits: list[Split | None] = []
        self.crossed = False
        if not plan.composition.hidden_layer_sizes or not len(split.choose):
            return
        folds = self._folds(split)
        self.crossed = plan.few and held_out is None and self._fits(folds)
        self.splits = [*folds] if self.crossed else [None]

    def _folds(self, split: Split) -> list[Split]:
        pool = np.concatenate([split.train, split.choose])
        order = np.random.default_rng(self.plan.seed).permutation(pool)
        parts = [np.sort(part) for part in np.array_split(order, _FOLDS)]
        nothing = pool[:0]
        return [Split(np.setdiff1d(pool, part), part, nothing) for part in parts]

    def _fits(self, folds: list[Split]) -> bool:
        """Say whether a fold has rows enough for codes of the length looked for."""
        return self.search < min(len(fold.train) for fold in folds)

    def run(self, taken: dict[Spec, Spec | None], moved: str | None = None) -> Trial:
        """Train with some penalties, and pictures moved in a way, on every fold."""
        penalties = tuple(spec for spec in taken.values() if spec is not None)
        moved = self.plan.augmentation if moved is None else moved
        key = (moved, penalties)
        if key not in self.done:
            plan = replace(self._short(penalties), augmentation=moved)
            fits = [Fit(plan, *self.sources, split=split) for split in self.splits]
            self.done[key] = pooled([fit.trial(self.search) for fit in fits])
        return self.done[key]

    def _short(self, penalties: tuple[Spec, ...]) -> Plan:
        plan, limit = self.plan, self.plan.max_time
        epochs = plan.max_epochs // (_EPOCH_SHARE if limit is None else 10 * _EPOCH_SHARE)
        if limit is not None:
            limit = limit * _TIME_SHARE / (self.count * len(self.splits))
        return replace(
            plan,
            composition=replace(plan.composition, penalties=penalties),
            max_epochs=max(1, epochs),
            max_time=limit,
            report=None,
        )

    def resolved(self, penalties: tuple[Spec, ...], moved: str) -> Plan:
        """Return the plan with these penalties, and what is left of its time."""
        plan, limit = self.plan, self.plan.max_time
        if limit is not None:
            limit = max(limit - (time.perf_counter() - self.started), 0.01 * limit)
        composition = replace(plan.composition, penalties=penalties)
        return replace(plan, composition=composition, max_time=limit, augmentation=moved)
