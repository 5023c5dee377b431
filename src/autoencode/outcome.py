"""From trained networks to the state that is kept: what is used where, and how good it is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.fit_data import FitData, Plan
from autoencode.measurement import HeldOut, quantiles
from autoencode.network import Network
from autoencode.preprocess.table_rows import TableRows
from autoencode.quality import column_quality
from autoencode.scaled_rows import ScaledRows
from autoencode.size_curves import fitted_curve, prefix_shares, source_at
from autoencode.state import State
from autoencode.training import History
from autoencode.variation import LikelihoodJudge, total_variance, variational_facts

__all__ = ["Outcome", "claim_rows", "fitted_state"]

Array = npt.NDArray[np.float64]

_ENOUGH_HELD_OUT = 500
"""Held-out rows from which the spread of errors can be read off; fewer only tell its width."""
_MOST_TRAINED = 2000
_COPIES = 40
"""How often each row is used, with other cells hidden, where rows are few."""


@dataclass(frozen=True)
class Outcome:
    """What training left.

    Attributes
    ----------
    networks : dict of str to Network
        All that were trained, by phase.
    sizes, sources : list
        Sizes that were measured, and which model is the best at each.
    n_components : int
        The size that was chosen.
    history : History
        All epochs.
    stop_reason : str
        Why the fit ended.
    products : str
        How matrices were multiplied.
    halved : bool
        Whether convolutions multiplied in bfloat16.
    used_for : mapping of str to bool
        Of a model that restores rows: whether its network takes normal "noise" and values
        that were exchanged ("swap") out better than the linear guess does, and restores
        "missing" cells better.
    judge : LikelihoodJudge or None
        Of a variational model.
    collapse : mapping or None
        What was done about units that collapsed.
    """

    networks: dict[str, Network]
    sizes: list[int]
    sources: list[str]
    n_components: int
    history: History
    stop_reason: str
    products: str
    halved: bool
    used_for: Mapping[str, bool]
    judge: LikelihoodJudge | None = None
    collapse: Mapping[str, Any] | None = None

    @property
    def source(self) -> str:
        """Which model is used at the chosen size."""
        return source_at(self.sizes, self.sources, self.n_components)

    @property
    def network(self) -> Network | None:
        """The network that is used at the chosen size; None: PCA."""
        return self.networks.get(self.source)


def fitted_state(data: FitData, outcome: Outcome, started: float) -> State:
    """Measure what is claimed, on rows that nothing saw, and gather all that is kept.

    Parameters
    ----------
    data : FitData
        The rows.
    outcome : Outcome
        What training left.
    started : float
        When the fit began, as ``time.perf_counter()`` gives it.

    Returns
    -------
    State
        Complete, but for what the estimator knows.
    """
    claim, size = claim_rows(data), outcome.n_components
    network, sizes, sources = outcome.network, outcome.sizes, outcome.sources
    if data.plan.features and network is None:
        # What networks restore at other sizes says nothing of their codes.
        sources = ["pca"] * len(sizes)
    used = [name for name in outcome.networks if name in sources]
    errors = {name: _claimed(data, claim, outcome, name) for name in used}
    if network is None:
        by_column = claim.pca_column_errors(size)
    else:
        by_column = claim.column_errors(network, size)
    residuals = _restored_errors(data, network, size)
    facts = _facts(data, outcome) | _columns(data, claim, outcome, by_column)
    facts |= _likelihood(claim, outcome)
    units = {}
    if data.plan.composition.sparse and network is not None:
        units["frequency"] = claim.frequencies(network)
        facts["n_active"] = float(units["frequency"].sum())
    before, start = data.scaling.scale, data.start
    everything = np.arange(data.pairs.rows.n_rows)
    if not used:
        # PCA alone is fitted to all rows, scales included.
        data.scaling, data.moments = data.units(everything)
    prefix = prefix_shares(claim, errors, outcome.source, size)
    if not data.plan.composition.ordered:
        prefix = np.full(size, np.nan)
    deviations = start.deviations[: sizes[-1]]
    if data.plan.composition.variational:
        # Codes are in the units of their prior, N(0, I).
        deviations = np.full(sizes[-1], 1.0 / data.scaling.unit)
    elif data.plan.composition.n_places > 1:
        # All alike, so that codes stay pictures; about as large as scores.
        deviations = np.full(sizes[-1], math.sqrt(float(np.square(deviations).mean())))
    if data.plan.composition.unit_codes:
        deviations = np.ones(sizes[-1])
    count = min(sizes[-1], len(start.deviations))
    principal = data.principal(data.scaled(data.pairs, everything), count)
    if "likelihood" in facts:
        rows = data.scaled(data.pairs, everything)
        facts["likelihood"]["total"] = total_variance(rows, principal)
    return State(
        composition=data.plan.composition,
        scaling=data.scaling,
        principal=principal,
        deviations=deviations,
        networks={name: outcome.networks[name].to("cpu") for name in used},
        sizes=sizes,
        sources=sources,
        n_components=size,
        curve=fitted_curve(claim, errors, sizes, sources),
        prefix_explained=prefix,
        column_errors=by_column * np.square(before / data.scaling.scale),
        history=outcome.history.columns,
        facts=facts | {"seconds": time.perf_counter() - started},
        precision=None if data.moments is None else data.moments.precision(),
        residuals=residuals,
        units=units,
    )


def _likelihood(claim: HeldOut, outcome: Outcome) -> dict[str, Any]:
    """Return how likely a variational model makes rows, as a fact."""
    if outcome.judge is None:
        return {}
    found = variational_facts(outcome.judge, claim, outcome.network, outcome.n_components)
    found["collapse"] = None if outcome.collapse is None else dict(outcome.collapse)
    return {"likelihood": found}


def claim_rows(data: FitData) -> HeldOut:
    """Return the rows that nothing saw; those that chose if there are none."""
    if not len(data.split.claim):
        return data.choose
    rows = data.scaled(data.held_pairs, data.split.claim)
    return data.judged(rows, restores=data.plan.restores)


def _claimed(data: FitData, claim: HeldOut, outcome: Outcome, name: str) -> dict[int, float]:
    """Return a network's mean error on the claim rows at every size it knows."""
    network = outcome.networks[name]
    full = network.bottleneck.latent_shape[0]
    nested = data.plan.composition.nested
    known = [size for size in outcome.sizes if size <= full] if nested else [full]
    errors = claim.errors(network, known).mean(0)
    return dict(zip(known, errors.tolist(), strict=True))


def _restored_errors(data: FitData, network: Network | None, size: int) -> Array:
    """Return quantiles of the errors of restored values, before scaling, (n_values, q).

    Few held-out rows tell how wide errors are, but not how they are spread: that is taken
    from training rows, whose errors are widened by as much as held-out ones are larger.
    """
    plan, split = data.plan, data.split
    if not (plan.composition.masked or plan.fills):
        return np.zeros((data.n_values, 0))
    held = np.sort(np.concatenate([split.choose, split.claim]))
    errors = None
    if len(held):
        errors = _errors(data, data.scaled(data.held_pairs, held), network, size)
    if errors is None or len(held) < _ENOUGH_HELD_OUT:
        every = -(-len(split.train) // _MOST_TRAINED)
        rows = data.scaled(data.pairs, split.train[::every])
        trained = _errors(data, rows, network, size)
        errors = trained * (1.0 if errors is None else _widening(errors, trained))
    result: Array = quantiles(errors) * data.scaling.scale[:, None]
    return result


def _errors(data: FitData, rows: ScaledRows, network: Network | None, size: int) -> Array:
    # A picture has pixels enough.
    copies = 1 if data.plan.composition.layout.is_picture else _COPIES
    held = data.judged(rows, restores=True, copies=copies, hides=True)
    truth, guess = held.compared(network, size)
    return truth - guess


def _widening(held_out: Array, trained: Array) -> float:
    """Return how much larger held-out errors are: the median over values, at least 1.

    A mean would be that of the few values whose training errors happen to be tiny.
    """
    scales = []
    for errors in (held_out, trained):
        counts = np.maximum((~np.isnan(errors)).sum(0), 1)
        scales.append(np.sqrt(np.nansum(np.square(errors), axis=0) / counts))
    usable = (scales[0] > 0) & (scales[1] > 0)
    if not usable.any():
        return 1.0
    return float(max(np.median(scales[0][usable] / scales[1][usable]), 1.0))


def _columns(data: FitData, claim: HeldOut, outcome: Outcome, errors: Array) -> dict[str, Any]:
    """Return how well each column of a table is reconstructed, as a fact."""
    rows = data.pairs.rows
    if not isinstance(rows, TableRows) or not len(claim.rows):
        return {}
    truth, guess = claim.compared(outcome.network, outcome.n_components)
    counted = ~np.isnan(truth)
    backward = data.scaling.backward
    found = column_quality(rows.schema, backward(truth), backward(guess), counted, errors)
    return {"columns": found}


def _facts(data: FitData, outcome: Outcome) -> dict[str, Any]:
    split, own = data.split, data.held_pairs is data.pairs
    return {
        "n_rows": data.pairs.rows.n_rows,
        "n_train": len(split.train),
        "n_choose": len(split.choose),
        "n_claim": len(split.claim),
        "choose_rows": split.choose[:2000].tolist() if own else [],
        "claim_rows": split.claim[:2000].tolist() if own else [],
        "stop_reason": outcome.stop_reason,
        "products": outcome.products,
        "dtype": _dtype(data.plan, outcome),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "seed": data.plan.seed,
        "used_for": dict(outcome.used_for),
        **_generalised(data, outcome),
    }


def _dtype(plan: Plan, outcome: Outcome) -> str:
    """Say in which types networks were trained."""
    name = str(plan.dtype).removeprefix("torch.")
    return f"{name}, convolutions in bfloat16" if outcome.halved else name


def _generalised(data: FitData, outcome: Outcome) -> dict[str, Any]:
    """Return of pictures how they were moved in training, and the error on those trained on."""
    split, plan = data.split, data.plan
    if len(plan.composition.sample_shape) == 1 or not len(split.claim) or plan.restores:
        return {}
    every = -(-len(split.train) // _MOST_TRAINED)
    seen = data.judged(data.scaled(data.pairs, split.train[::every]), restores=False)
    size, network = outcome.n_components, outcome.network
    errors = seen.floor([size]) if network is None else seen.errors(network, [size])
    # Per value, as errors of the curve are.
    trained = float(errors.mean()) / data.n_values
    return {"augmentation": plan.augmentation, "train_error": trained}
