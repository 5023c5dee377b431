"""Dense layers or convolutions: where nobody says which, held-out pictures do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autoencode.data.rows import Rows
from autoencode.defaults import FEW_ROWS
from autoencode.fit_data import Plan, chance, drawn_split
from autoencode.fitting import Fit
from autoencode.planning import make_plan
from autoencode.selection import Split
from autoencode.strength import Trial, strongest_case
from autoencode.trials import is_automatic

__all__ = ["choose_architecture"]

_SMALLEST_SIDE = 16
"""Pixels; on smaller pictures convolutions take longer and gain nothing."""
_DENSE, _CONV = "mlp", "conv"
_MOST_ROWS, _MOST_JUDGES = 3_000, 500
_FEWEST_SEEN, _MOST_SEEN = 2_000, 12_000
_VALUES_SEEN = 10_000_000
"""Rows that a trial is trained on, one epoch after the other: about as many values."""
_EPOCH_SHARE, _TIME_SHARE = 8, 0.1
_LEAST_TIME = 30.0
"""Seconds of a fit; in less there is no time for trials."""


def choose_architecture(
    plan: Plan,
    given: Mapping[str, Any],
    rows: Rows,
    target: Rows | None,
    held_out: Rows | None,
    *,
    resumable: bool,
) -> tuple[Plan, dict[str, Any]]:
    """Return the plan with the better of two architectures, and what trials found.

    Both are trained briefly from the same start, at the same length of the code, on the same
    rows (3,000 at most), and judged on rows that are held out to choose. Convolutions are
    taken where they gain by more than two standard errors. Without a time limit both see as
    many rows, as they would in the fit; with one, both have as much time.

    Parameters
    ----------
    plan : Plan
        Of dense layers, where the architecture is to be chosen.
    given : mapping
        The estimator's parameters.
    rows, target, held_out : Rows or None
        As for `autoencode.fitting.Fit`.
    resumable : bool
        Whether the fit may be interrupted and go on: then nothing is tried under a time limit,
        which could end otherwise the second time.

    Returns
    -------
    plan : Plan
        With what is left of its time.
    facts : dict
        ``size`` of the code, and the error of each, "mlp", "conv" and "pca": mean square per
        value, scaled. Nothing if nothing was tried.
    """
    hurried = plan.max_time is not None and (resumable or plan.max_time < _LEAST_TIME)
    if hurried or not _is_open(plan, given, rows):
        return plan, {}
    started, seeded = time.perf_counter(), {**given, "random_state": plan.seed}
    convolving = make_plan({**seeded, "architecture": _CONV}, rows)
    plans = {_DENSE: plan, _CONV: replace(convolving, seed=plan.seed)}
    split = _few_rows(plan, rows, held_out)
    trials: dict[str, Trial] = {}
    for name, one in plans.items():
        fit = Fit(_short(one, len(split.train)), rows, target, held_out, split=split)
        trials[name] = fit.trial(fit.data.search_limit())
    chosen = plans[strongest_case(trials, _DENSE, few=False)]
    if plan.max_time is not None:
        spent = time.perf_counter() - started
        chosen = replace(chosen, max_time=max(plan.max_time - spent, 0.01 * plan.max_time))
    return chosen, _facts(trials, rows.n_features)


def _is_open(plan: Plan, given: Mapping[str, Any], rows: Rows) -> bool:
    """Say whether there is a choice: pictures that are large enough, and enough of them."""
    composition = plan.composition
    asked = (given["architecture"], given["hidden_layer_sizes"])
    automatic = all(isinstance(part, str) and part == "auto" for part in asked)
    special = composition.sparse or composition.variational or composition.noisy
    shape = composition.sample_shape
    large = len(shape) > 1 and min(shape[:2]) >= _SMALLEST_SIDE
    return (
        automatic
        and large
        and not (special or plan.restores or plan.features)
        and rows.n_rows >= FEW_ROWS
    )


def _few_rows(plan: Plan, rows: Rows, held_out: Rows | None) -> Split:
    """Return the split of the fit, of which some rows are enough."""
    split = drawn_split(plan, rows, held_out, chance(plan.seed)[0])
    n_values = rows.n_features
    most = min(_MOST_ROWS, max(_FEWEST_SEEN, _VALUES_SEEN // n_values))
    if not isinstance(plan.n_components, float):
        most = max(most, 2 * plan.n_components)
    train = split.train[:: -(-len(split.train) // most)]
    judges = split.choose[:: max(1, -(-len(split.choose) // _MOST_JUDGES))]
    return Split(train, judges, split.claim[:0])


def _short(plan: Plan, n_rows: int) -> Plan:
    """Return a plan for a trial."""
    composition, limit = plan.composition, plan.max_time
    fixed = tuple(spec for spec in composition.penalties if not is_automatic(spec))
    seen = min(_MOST_SEEN, max(_FEWEST_SEEN, _VALUES_SEEN // composition.layout.n_values))
    epochs = min(plan.max_epochs // _EPOCH_SHARE, -(-seen // n_rows))
    if limit is not None:
        # It is the time that ends it.
        epochs, limit = plan.max_epochs, limit * _TIME_SHARE / 2
    return replace(
        plan,
        composition=replace(composition, penalties=fixed, nested=False),
        max_epochs=max(1, epochs),
        max_time=limit,
        report=None,
        few=False,
    )


def _facts(trials: Mapping[str, Trial], n_values: int) -> dict[str, Any]:
    errors = {name: float(trial.errors[:, -1].mean()) / n_values for name, trial in trials.items()}
    dense = trials[_DENSE]
    floor = float(dense.pca[:, -1].mean()) / n_values
    return {"size": dense.sizes[-1], **errors, "pca": floor}
