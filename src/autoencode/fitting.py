"""One fit from rows to state: scale, PCA, train all sizes, choose, fine-tune, measure."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_left
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode import defaults
from autoencode.bottlenecks import GaussianCode
from autoencode.checkpoint import Checkpoint
from autoencode.data.rows import Rows
from autoencode.execution import choose_execution
from autoencode.fit_data import FitData, Plan, chance
from autoencode.flat_parameters import FlatParameters
from autoencode.generalisation import Generalisation
from autoencode.guess import rescaled
from autoencode.interfaces import LinearStart
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.outcome import Outcome, fitted_state
from autoencode.phase import Phase
from autoencode.readers import Readers
from autoencode.selection import (
    Split,
    evaluation_sizes,
    few_sizes,
    gate_opens,
    gates,
    size_pattern,
    size_weights,
    smallest_size,
)
from autoencode.size_curves import explained_share, promising_size
from autoencode.sparse_steps import settle
from autoencode.sparsity import Sparse
from autoencode.starting import starting_network
from autoencode.state import State
from autoencode.strength import Evidence, Trial, penalty_facts
from autoencode.training import Budget, History, Settings, Task, train
from autoencode.training_rows import TrainingRows
from autoencode.variation import REMEDY, LikelihoodJudge, active_units, remedy

__all__ = ["Fit"]

Array = npt.NDArray[np.float64]

_FULL_SHARE, _FINE_SHARE, _SPARSE_SHARE = 0.1, 0.9, 0.5
_FINE_WEIGHT = 0.1
"""While fine-tuning, shorter codes count this much less: enough to stay decodable."""
_NESTED_TIME, _FINE_TIME = 0.45, 0.5
_FINE_NAMES = ("final", "second", "third")
_TIME_USED = 0.95
_CURED = "cured"
_MOST_UNITS = 64
_AVERAGING = 0.01  # where rows or codes are drawn anew in every step, the last weights are chance


class Fit:
    """The fit of one plan to rows (or rows and targets); `run` returns the state.

    ``held_out`` are rows of the user's to hold out; else a part of ``rows`` is, or that of
    ``split``. ``evidence`` is what trials found of how networks generalise. ``checkpoint``
    keeps the state of training, and phases that it holds are not trained again. ``start`` is
    a dictionary that is not to be changed.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        target: Rows | None,
        held_out: Rows | None,
        *,
        split: Split | None = None,
        evidence: Evidence | None = None,
        checkpoint: Checkpoint | None = None,
        start: LinearStart | None = None,
    ) -> None:
        self.plan, self.checkpoint, self.start = plan, checkpoint, start
        self.started = time.perf_counter()
        self.interrupted, self.history, self.step = False, History(), plan.composition.n_places
        self.products, self.halved = "ieee", False
        self.networks: dict[str, Network] = {}
        self.used_for: dict[str, bool] = {}
        generator, self.rng = chance(plan.seed)
        self.data = FitData(plan, rows, target, held_out, generator, split)
        self.choose, self.rows = self.data.choose, TrainingRows(self.data)
        self.evidence, self.gap = evidence, Generalisation(self.data, evidence)
        self.objective = plan.composition.objective()
        self.sparsity = Sparse(self.objective, self.data)
        # What is judged by what it restores is not judged by how likely it makes rows.
        likely = plan.composition.variational and not plan.restores
        self.judge = LikelihoodJudge(self.data) if likely else None
        self.collapse: dict[str, Any] | None = None
        self.readers: Readers | None = None

    def run(self) -> State:
        """Fit; after Ctrl-C the state holds what was learned and `interrupted` is true."""
        plan = self.plan
        limit = self.data.search_limit()
        if self.judge is not None and isinstance(plan.n_components, float):
            # Units that are not needed become idle: as many as PCA needs are enough.
            most = max(self.step, _MOST_UNITS // self.step * self.step)
            plan = self.plan = replace(plan, n_components=min(limit, most))
            limit = int(plan.n_components)
        self._begin(limit)
        if plan.composition.sparse or (plan.composition.trains and len(self.data.split.choose)):
            self.readers = self.data.readers() if plan.features else None
            self._train_networks()
        else:
            self.n_components, reached = self._choose_size()
            self.history.stop_reason = "reached the asked level" if reached else "no further gain"
        outcome = Outcome(
            self.networks,
            self.sizes,
            self.sources,
            self.n_components,
            self.history,
            "interrupted" if self.interrupted else self.history.stop_reason,
            self.products,
            self.halved,
            self.used_for,
            self.judge,
            self.collapse,
        )
        state = fitted_state(self.data, outcome, self.started)
        state.facts["penalties"] = penalty_facts(
            self.objective, self.sparsity.reached.get(outcome.source), self.evidence
        )
        return state

    def trial(self, search: int) -> Trial:
        """Train once, for all sizes up to a limit, and tell what came of it."""
        self._begin(search)
        if self.plan.composition.nested:
            self._train_nested()
        else:
            self._train_final("trial", search, 1.0)
        (network,) = self.networks.values()
        sizes = self.sizes if self.plan.composition.nested else [search]
        training = self.data.judged(self.data.training, restores=self.plan.restores)
        return Trial(
            sizes,
            self.choose.errors(network, sizes),
            self.choose.floor(sizes),
            training.errors(network, sizes[-1:])[:, 0],
        )

    def twins(self, size: int) -> list[Network]:
        """Train two networks from different starts in one pass over the rows; return them."""
        self._begin(size)
        twins = [starting_network(self.data, size, self.start, self.rng) for _ in range(2)]

        def evaluate() -> float:
            return float(np.mean([self.choose.errors(one, [size]).mean() for one in twins]))

        try:
            self._train(twins, Phase("twins", evaluate, None, None, self.plan.max_epochs, 1.0))
        except KeyboardInterrupt:
            self.interrupted = True
        return twins

    def _begin(self, search: int) -> None:
        self.search = search
        self.sizes = evaluation_sizes(search, self.step)
        if self.plan.composition.sparse:
            self.sizes = few_sizes(self.sizes) if self.plan.composition.nested else [search]
        self.best = self.choose.weighted(self.choose.floor(self.sizes))
        self.sources = ["pca"] * len(self.sizes)

    def _choose_size(self) -> tuple[int, bool]:
        """Return the size to keep, and whether the asked level is reached there."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components, False
        explained = explained_share(self.best.mean(0), float(self.choose.pca[:, 0].mean()))
        size = smallest_size(self.sizes, explained, self.plan.n_components)
        if size is not None:
            return size, True
        place = int(explained.argmax())
        warnings.warn(
            f"no size reaches n_components={self.plan.n_components}; the best is "
            f"{explained[place]:.4f} with {self.sizes[place]} components",
            UserWarning,
            stacklevel=2,
        )
        return self.sizes[place], False

    def _train_networks(self) -> None:
        try:
            if self.plan.composition.nested and not self.plan.composition.sparse:
                self._train_nested()
            self.n_components, _ = self._choose_size()
            self._fine_tune()
        except KeyboardInterrupt:
            self.interrupted = True
            if self.checkpoint is not None:
                self.checkpoint.write()
            self.n_components, _ = self._choose_size()

    def _train_nested(self) -> None:
        network = starting_network(self.data, self.search, self.start, self.rng)
        grid = few_sizes(self.sizes)
        floor = self.data.stop.floor(grid).mean(0)
        total = float(self.choose.pca[:, 0].mean())
        wanted = self.plan.n_components

        def evaluate() -> float:
            if self.judge is not None:
                return self.sparsity.judge("nested", network, self.judge.value(network, grid), 1.0)
            errors = self.data.stop.errors(network, grid).mean(0)
            ratios = np.divide(errors, floor, out=np.ones_like(errors), where=floor > 0)
            # With the gate, a size that is worse than PCA costs nothing; the small
            # remainder keeps the criterion sensitive there.
            value = float(np.minimum(ratios, 1.0).mean() + 1e-3 * ratios.mean())
            value *= self.gap.excess(network, self.search)
            return self.sparsity.judge("nested", network, value, 1.0)

        def reached() -> bool:
            # The least size that reaches the level cannot be improved upon.
            error = float(self.choose.errors(network, self.sizes[:1]).mean())
            return isinstance(wanted, float) and error <= (1 - wanted) * total

        pattern = self._pattern(self.search, _FULL_SHARE)
        epochs = self.plan.max_epochs
        try:
            self._train(
                [network], Phase("nested", evaluate, reached, pattern, epochs, _NESTED_TIME)
            )
        finally:
            self._take("nested", network, self.sizes)

    def _fine_tune(self) -> None:
        """Fine-tune the chosen size, then a smaller one that should do, then what is left."""
        searched = isinstance(self.plan.n_components, float)
        tuned: set[int] = set()
        size = self.n_components
        for name in _FINE_NAMES if searched else _FINE_NAMES[:1]:
            if size in tuned:
                break
            self._train_final(name, size, _FINE_TIME if searched else 1.0)
            tuned.add(size)
            self.n_components, _ = self._choose_size()
            size = self._promising_size() if len(tuned) == 1 else self.n_components
        if self.judge is not None:
            self._cure(self.judge, self.n_components)

    def _promising_size(self) -> int:
        """Return the smallest size that should reach the level once it is fine-tuned too."""
        if not isinstance(self.plan.n_components, float) or "nested" not in self.networks:
            return self.n_components
        sizes = self.sizes[: bisect_left(self.sizes, self.n_components) + 1]
        nested = self.choose.errors(self.networks["nested"], sizes).mean(0)
        tuned = float(self.best[:, len(sizes) - 1].mean())
        total = float(self.choose.pca[:, 0].mean())
        return promising_size(sizes, nested, tuned, total, self.plan.n_components)

    def _cure(self, judge: LikelihoodJudge, size: int) -> None:
        """Train again where units collapsed that rows have a use for; keep the better network."""
        found = remedy(judge, self.networks["final"], size)
        if found is None:
            return
        try:
            self._train_final(_CURED, size, 1.0)
        finally:
            if _CURED in self.networks:
                after = active_units(self.networks[_CURED], self.choose)
                self.collapse = {**found, "after": after, "kept": _CURED in self.sources}

    def _train_final(self, name: str, size: int, time_share: float) -> None:
        network = starting_network(self.data, size, self.start, self.rng)
        if name == _CURED and isinstance(network.bottleneck, GaussianCode):
            network.bottleneck.free_bits = REMEDY["free_bits"]
            network.bottleneck.warmup = REMEDY["warmup"]
        nested = self.networks.get("nested")
        pattern, epochs = None, self.plan.max_epochs
        if nested is not None:
            network.copy_prefix(nested)
            pattern = self._pattern(size, _FINE_SHARE)
            epochs = max(1, epochs // 2)
        elif self.plan.composition.nested:
            pattern = self._pattern(size, _SPARSE_SHARE)

        total = float(self.choose.pca[:, 0].mean())

        def evaluate() -> float:
            if network.selection is not None and self.plan.restores:
                # Penalties are no part of what is judged.
                return self.choose.missingness(network, Objective())
            if self.judge is not None:
                return self.sparsity.judge(name, network, self.judge.value(network), 1.0)
            stop = self.data.stop
            value = float(stop.weighted(stop.errors(network, [size])).mean())
            value *= self.gap.excess(network, size)
            return self.sparsity.judge(name, network, value, total)

        try:
            self._train(
                [network], Phase(name, evaluate, None, pattern, epochs, time_share, _FINE_WEIGHT)
            )
        finally:
            known = self.sizes if self.plan.composition.nested else [size]
            self._take(name, network, [s for s in known if s <= size])

    def _train(self, networks: list[Network], phase: Phase) -> None:
        plan, keeper, network = self.plan, None, networks[0]
        how = choose_execution(plan, network, self.objective, self.search)
        self.products, self.halved = how.products, how.halved
        if self.checkpoint is not None:
            keeper = self.checkpoint.phase(phase.name, network, self)
            if keeper.restore_finished():
                return
        flat, pattern = FlatParameters(nn.ModuleList(networks)), phase.pattern
        batches = self.rows.batches(network)
        spent = time.perf_counter() - self.started
        seconds = None
        if plan.max_time is not None:
            seconds = max(0.0, (_TIME_USED * plan.max_time - spent) * phase.time_share)
        task = Task(
            flat,
            batches,
            how.step(networks, self.objective, flat),
            phase.evaluate,
            None if pattern is None else torch.from_numpy(pattern).to(plan.device),
            None if pattern is None else self._size_weights(pattern, phase.shorter),
            phase.reached,
            partial(rescaled, network) if plan.restores and network.rescales else None,
            partial(settle, networks),
        )
        noisy = plan.restores or self.judge is not None
        patience = defaults.patience(phase.epochs, mixed=bool(plan.composition.segments))
        try:
            with how.running():
                train(
                    task,
                    settings=Settings(
                        plan.learning_rate,
                        patience=patience,
                        averaging=_AVERAGING if noisy else 0.0,
                        warmup=network.bottleneck.warmup,
                    ),
                    budget=Budget(phase.epochs, seconds),
                    rng=self.rng,
                    history=self.history.begin(phase.name, spent),
                    on_epoch=None if plan.report is None else partial(plan.report, phase.name),
                    keeper=keeper,
                )
        finally:
            flat.release()
            network.requires_grad_(True)
            self.sparsity.calibrate(network)
        if keeper is not None:
            keeper.finish()

    def _pattern(self, size: int, full_share: float) -> npt.NDArray[np.int64]:
        return size_pattern(size, 2 * self.plan.batch_size, full_share, self.step)

    def _size_weights(self, pattern: npt.NDArray[np.int64], shorter: float) -> Tensor:
        errors = self.choose.floor(range(pattern.max() + 1)).mean(0)
        if self.judge is not None:
            errors = np.ones_like(errors)  # nats count alike, whatever the size
        weights = torch.from_numpy(size_weights(errors, pattern, shorter))
        return weights.to(self.plan.device, self.plan.dtype)

    def _take(self, name: str, network: Network, sizes: list[int]) -> None:
        """Keep a network, and use it at the sizes where the gate opens for it."""
        self.networks[name] = network
        errors = self.choose.weighted(self.choose.errors(network, sizes))
        for column, size in enumerate(sizes):
            place = bisect_left(self.sizes, size)
            mine = errors[:, column]
            best = self.best[:, place]
            pca = self.choose.weighted(self.choose.floor([size]))[:, 0]
            better = bool(mine.mean() < best.mean()) and gate_opens(mine, pca)
            if self.evidence is not None and self.sources[place] == "pca":
                better = self.evidence.opens(size, mine, pca)
            if self.readers is not None and size == self.plan.n_components:
                better = not gate_opens(pca, mine) and self.readers.prefer(network)
            if self.judge is not None:
                used = self.networks.get(self.sources[place])
                better = self.judge.opens(network, size) and self.judge.prefers(network, used)
            if self.plan.restores:
                self.used_for = gates(mine, pca, self.choose.incomplete, self.choose.swapped)
                better = any(self.used_for.values())
            if network.selection is not None and self.plan.restores:
                # What it knows of missing cells cannot be seen in observed ones.
                better = not gate_opens(pca, mine)
                self.used_for = {"missing": better}
            # PCA's codes are not sparse, whatever they cost.
            if better or self.sparsity.aims or self.plan.composition.sparse:
                self.best[:, place] = mine
                self.sources[place] = name
