"""One fit from rows to state: scale, PCA, train all sizes, choose, fine-tune, measure."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.batches import Batches, Prepare, StreamedBatches, TensorBatches
from autoencode.composition import Composition, linear_start
from autoencode.corruptions import Hide
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch
from autoencode.measurement import (
    HeldOut,
    explained_share,
    fitted_curve,
    prefix_shares,
    source_at,
)
from autoencode.network import Network, filled
from autoencode.numerics import choose_products, choose_threads, matrix_products, threads
from autoencode.preprocess.principal import PrincipalComponents, principal_components
from autoencode.preprocess.filling import WIDEST_FILL, Fill, Moments, fit_moments
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.scaled_rows import Pairs, ScaledRows
from autoencode.preprocess.table_rows import TableRows
from autoencode.quality import column_quality
from autoencode.selection import (
    Split,
    evaluation_sizes,
    few_sizes,
    gate_opens,
    halve,
    size_pattern,
    smallest_size,
    split_rows,
)
from autoencode.state import State
from autoencode.steps import FlatParameters, choose_step
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["Fit", "Plan"]

Array = npt.NDArray[np.float64]

_MEMORY_LIMIT = 4 << 30
_WIDEST_SEARCH = 1024
_WIDEST_RANDOMISED = 256
_FULL_SHARE = 0.1
_FINE_SHARE = 0.9
_FINE_WEIGHT = 0.1
"""While fine-tuning, shorter codes count this much less: enough to stay decodable."""
_NESTED_TIME = 0.45
_FINE_TIME = 0.5
_FINE_NAMES = ("final", "second", "third")
_TIME_USED = 0.95
_HIDDEN_SHARE = 0.2
"""Share of the cells of held-out rows that a model is to restore when it is judged by that."""
_SIZE_EXPONENT = 0.5
"""Errors at different sizes are weighted by PCA's error to the power of minus this."""


@dataclass(frozen=True)
class Plan:
    """Every choice of a fit, resolved: no "auto" is left.

    ``restores``: the model is judged by how well it restores hidden cells.
    ``fills``: it is to take rows with missing values, even if it was fitted to none.
    """

    composition: Composition
    n_components: int | float
    scaling: str
    max_epochs: int
    max_time: float | None
    batch_size: int
    learning_rate: float
    validation_fraction: float
    device: torch.device
    dtype: torch.dtype
    n_threads: int | str
    seed: int
    restores: bool = False
    fills: bool = False
    report: Callable[[str, History], None] | None = None


@dataclass(frozen=True)
class Phase:
    """One run of the training loop: what is judged, at which sizes, for how long."""

    name: str
    evaluate: Callable[[], float]
    reached: Callable[[], bool] | None
    pattern: npt.NDArray[np.int64] | None
    epochs: int
    time_share: float
    shorter: float = 1.0


class Fit:
    """The fit of one plan to rows (or rows and targets); `run` returns the state.

    ``held_out`` are rows of the user's to hold out; else a part of ``rows`` is.
    """

    def __init__(self, plan: Plan, rows: Rows, target: Rows | None, held_out: Rows | None) -> None:
        self.plan = plan
        self.started = time.perf_counter()
        self.interrupted = False
        self.history = History()
        self.products = "ieee"
        self.networks: dict[str, Network] = {}
        generator = np.random.default_rng(plan.seed)
        self.rng = torch.Generator().manual_seed(int(generator.integers(2**62)))
        self.pairs = self.held_pairs = Pairs(rows, target)
        if held_out is None:
            self.split = split_rows(rows.n_rows, plan.validation_fraction, generator)
        else:
            halves = halve(generator.permutation(held_out.n_rows))
            self.split = Split(np.arange(rows.n_rows), *halves)
            self.held_pairs = Pairs(held_out)

    def run(self) -> State:
        """Fit; after Ctrl-C the state holds what was learned and `interrupted` is true."""
        plan = self.plan
        self.scaling, self.moments = self._units(self.split.train)
        self.training = self._scaled(self.pairs, self.split.train)
        self.start = self._principal(self.training, self._limit())
        choose = self._scaled(self.held_pairs, self.split.choose)
        self.choose = self._held_out(choose, restores=plan.restores)
        self.search = self._search_limit()
        self.sizes = evaluation_sizes(self.search)
        self.best = self.choose.pca[:, self.sizes]
        self.sources = ["pca"] * len(self.sizes)
        if plan.composition.hidden_layer_sizes and len(choose):
            self._train_networks()
        else:
            self.n_components, reached = self._choose_size()
            self.history.stop_reason = "reached the asked level" if reached else "no further gain"
        return self._state()

    def _units(self, numbers: npt.NDArray[np.intp]) -> tuple[Scaling, Moments | None]:
        """Measure how rows are centred and scaled, and how their values hang together.

        The latter is what missing values are restored from; without any, it is left out.
        """
        made_of = self.plan.composition
        scaling = fit_scaling(self.pairs.raw(numbers), self.plan.scaling, made_of.layout)
        n_values = self.pairs.rows.n_features
        if not (made_of.masked or self.plan.fills) or n_values > WIDEST_FILL:
            return scaling, None
        rows = ScaledRows(self.pairs, numbers, scaling, self.plan.dtype, self.plan.device)
        moments = fit_moments(rows.blocks_with_missing, n_values)
        # Means over what is observed are off where what is missing depends on the rest.
        center = scaling.center + scaling.scale * moments.mean
        return Scaling(center, scaling.scale), moments

    def _scaled(self, pairs: Pairs, numbers: npt.NDArray[np.intp]) -> ScaledRows:
        fill = None if self.moments is None else Fill(torch.from_numpy(self.moments.precision()))
        device, dtype = self.plan.device, self.plan.dtype
        return ScaledRows(pairs, numbers, self.scaling, dtype, device, fill)

    def _held_out(self, rows: ScaledRows, *, restores: bool) -> HeldOut:
        """Return rows to judge by, some of their cells hidden if these are to be restored."""
        layout, hide = self.plan.composition.layout, None
        if restores:
            corrupt = Hide(layout, level=_HIDDEN_SHARE, rows=1.0, together=False)
            rng = torch.Generator(self.plan.device).manual_seed(self.plan.seed)
            hide = partial(corrupt, rng=rng)
        return HeldOut(rows, self.start, self.training, layout, hide)

    def _restored_errors(self, source: str) -> Array:
        """Return quantiles of the errors of restored values, before scaling, (n_values, q)."""
        made_of, split = self.plan.composition, self.split
        if not (made_of.masked or self.plan.fills):
            return np.zeros((self.pairs.rows.n_features, 0))
        numbers = np.sort(np.concatenate([split.choose, split.claim]))
        pairs = self.held_pairs
        if not len(numbers):
            numbers, pairs = split.train, self.pairs
        held = self._held_out(self._scaled(pairs, numbers), restores=True)
        network = None if source == "pca" else self.networks[source]
        spread = held.error_quantiles(network, self.n_components)
        result: Array = spread * self.scaling.scale[:, None]
        return result

    def _principal(self, rows: ScaledRows, limit: int) -> PrincipalComponents:
        n_features = self.pairs.rows.n_features
        return principal_components(rows.blocks, len(rows), n_features, limit, self.plan.seed)

    def _limit(self) -> int:
        """Return how many principal components are wanted at most."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components
        n_features = self.pairs.rows.n_features
        widest = _WIDEST_SEARCH if n_features <= 3000 else _WIDEST_RANDOMISED
        return min(len(self.split.train), n_features, widest)

    def _search_limit(self) -> int:
        """Return the largest size worth looking at: where PCA reaches the asked level."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components
        left = self.choose.pca.mean(0)
        explained = explained_share(left, float(left[0]))
        reached = np.flatnonzero(explained[1:] >= self.plan.n_components)
        return int(reached[0]) + 1 if len(reached) else max(1, len(explained) - 1)

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
            if self.plan.composition.nested:
                self._train_nested()
            self.n_components, _ = self._choose_size()
            self._fine_tune()
        except KeyboardInterrupt:
            self.interrupted = True
            self.n_components, _ = self._choose_size()

    def _train_nested(self) -> None:
        network = self._new_network(self.search)
        grid = few_sizes(self.sizes)
        floor = self.choose.pca[:, grid].mean(0)
        total = float(self.choose.pca[:, 0].mean())
        wanted = self.plan.n_components

        def evaluate() -> float:
            errors = self.choose.errors(network, grid).mean(0)
            ratios = np.divide(errors, floor, out=np.ones_like(errors), where=floor > 0)
            # With the gate, a size that is worse than PCA costs nothing; the small
            # remainder keeps the criterion sensitive there.
            return float(np.minimum(ratios, 1.0).mean() + 1e-3 * ratios.mean())

        def reached() -> bool:
            # One component that reaches the level cannot be improved upon.
            error = float(self.choose.errors(network, [1]).mean())
            return isinstance(wanted, float) and error <= (1 - wanted) * total

        pattern = size_pattern(self.search, 2 * self.plan.batch_size, _FULL_SHARE)
        epochs = self.plan.max_epochs
        try:
            self._train(network, Phase("nested", evaluate, reached, pattern, epochs, _NESTED_TIME))
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

    def _promising_size(self) -> int:
        """Return the smallest size that should reach the level once it is fine-tuned too.

        Fine-tuning is expected to lower the error there by the factor by which it did
        at the size that it was done for.
        """
        if not isinstance(self.plan.n_components, float) or "nested" not in self.networks:
            return self.n_components
        place = bisect_left(self.sizes, self.n_components)
        sizes = self.sizes[: place + 1]
        nested = self.choose.errors(self.networks["nested"], sizes).mean(0)
        gain = min(1.0, float(self.best[:, place].mean() / max(nested[-1], 1e-300)))
        total = float(self.choose.pca[:, 0].mean())
        explained = explained_share(gain * nested, total)
        size = smallest_size(sizes, explained, self.plan.n_components)
        return self.n_components if size is None else size

    def _train_final(self, name: str, size: int, time_share: float) -> None:
        network = self._new_network(size)
        nested = self.networks.get("nested")
        pattern, epochs = None, self.plan.max_epochs
        if nested is not None:
            network.copy_prefix(nested)
            pattern = size_pattern(size, 2 * self.plan.batch_size, _FINE_SHARE)
            epochs = max(1, epochs // 2)

        objective = self.plan.composition.objective()

        def evaluate() -> float:
            if network.selection is not None and self.plan.restores:
                return self.choose.missingness(network, objective)
            return float(self.choose.errors(network, [size]).mean())

        try:
            self._train(
                network, Phase(name, evaluate, None, pattern, epochs, time_share, _FINE_WEIGHT)
            )
        finally:
            known = self.sizes if nested is not None else [size]
            self._take(name, network, [s for s in known if s <= size])

    def _new_network(self, size: int) -> Network:
        network = self.plan.composition.network(size, self.rng)
        network.likelihood.set_units(
            torch.from_numpy(self.scaling.center), torch.from_numpy(self.scaling.scale)
        )
        if network.fill is not None and self.moments is not None:
            network.fill.precision.copy_(torch.from_numpy(self.moments.precision()))
        if network.selection is not None:
            network.selection.start(torch.from_numpy(self.training.missing_shares()))
        if self.plan.composition.starts_linear():
            network.start_linear(linear_start(self.start.head(size)))
        return network.to(device=self.plan.device, dtype=self.plan.dtype)

    def _train(self, network: Network, phase: Phase) -> None:
        plan = self.plan
        flat = FlatParameters(network)
        objective = plan.composition.objective()
        pattern = phase.pattern
        batches = self._batches(network)
        spent = time.perf_counter() - self.started
        seconds = None
        if plan.max_time is not None:
            seconds = max(0.0, (_TIME_USED * plan.max_time - spent) * phase.time_share)
        task = Task(
            flat,
            batches,
            choose_step(network, objective, flat),
            phase.evaluate,
            None if pattern is None else torch.from_numpy(pattern).to(plan.device),
            None if pattern is None else self._size_weights(pattern, phase.shorter),
            phase.reached,
        )
        widths = (self.pairs.rows.n_features, *plan.composition.hidden_layer_sizes)
        flops = 12.0 * plan.batch_size * sum(a * b for a, b in pairwise(widths))
        self.products = choose_products(widths, plan.batch_size, plan.device)
        patience = max(10, min(phase.epochs, 400) // 4)
        try:
            with threads(choose_threads(flops, plan.n_threads)), matrix_products(self.products):
                train(
                    task,
                    settings=Settings(plan.learning_rate, patience=patience),
                    budget=Budget(phase.epochs, seconds),
                    rng=self.rng,
                    history=self.history.begin(phase.name, spent),
                    on_epoch=None if plan.report is None else partial(plan.report, phase.name),
                )
        finally:
            flat.release()

    def _batches(self, network: Network) -> Batches:
        size = self.plan.batch_size
        missing, prepare = self.pairs.has_missing, self._prepare(network)
        if self.training.bytes_needed() > _MEMORY_LIMIT:
            read, count = self.training.tensors, len(self.training)
            return StreamedBatches(read, count, size, missing=missing, prepare=prepare)
        if not hasattr(self, "memory"):
            self.memory = self.training.tensors()
        return TensorBatches(*self.memory, size, missing=missing, prepare=prepare)

    def _prepare(self, network: Network) -> Prepare | None:
        """Return what happens to rows before they are encoded, if anything does."""
        corrupt = self.plan.composition.corrupter()
        if corrupt is None and not self.pairs.has_missing:
            return None

        def prepare(batch: Batch, rng: torch.Generator) -> Batch:
            with torch.no_grad():
                return filled(network, batch if corrupt is None else corrupt(batch, rng))

        return prepare

    def _size_weights(self, pattern: npt.NDArray[np.int64], shorter: float) -> Tensor:
        """Return each place's weight, so that small errors of long codes count too."""
        left = self.choose.pca.mean(0)
        floor = max(1e-6 * float(left[0]), np.finfo(np.float64).tiny)
        weights = np.power(np.maximum(left[pattern], floor), -_SIZE_EXPONENT)
        weights[pattern < pattern.max()] *= shorter
        scaled = torch.from_numpy(weights / weights.mean())
        return scaled.to(device=self.plan.device, dtype=self.plan.dtype)

    def _take(self, name: str, network: Network, sizes: list[int]) -> None:
        """Keep a network, and use it at the sizes where the gate opens for it."""
        self.networks[name] = network
        errors = self.choose.errors(network, sizes)
        for column, size in enumerate(sizes):
            place = bisect_left(self.sizes, size)
            mine = errors[:, column]
            best, pca = self.best[:, place], self.choose.pca[:, size]
            better = mine.mean() < best.mean() and gate_opens(mine, pca)
            if network.selection is not None and self.plan.restores:
                # What it knows of missing cells cannot be seen in observed ones.
                better = not gate_opens(pca, mine)
            if better:
                self.best[:, place] = mine
                self.sources[place] = name

    def _state(self) -> State:
        split, size = self.split, self.n_components
        claim = self.choose
        if len(split.claim):
            claim = self._held_out(
                self._scaled(self.held_pairs, split.claim), restores=self.plan.restores
            )
        used = [name for name in self.networks if name in self.sources]
        errors = {name: self._claimed(claim, name) for name in used}
        source = source_at(self.sizes, self.sources, size)
        if source == "pca":
            by_column = claim.pca_column_errors(size)
        else:
            by_column = claim.column_errors(self.networks[source], size)
        everything = np.arange(self.pairs.rows.n_rows)
        before, residuals = self.scaling.scale, self._restored_errors(source)
        columns = self._column_quality(claim, source, by_column)
        if not used:
            # PCA alone is fitted to all rows, scales included.
            self.scaling, self.moments = self._units(everything)
        return State(
            composition=self.plan.composition,
            scaling=self.scaling,
            residuals=residuals,
            precision=None if self.moments is None else self.moments.precision(),
            principal=self._principal(self._scaled(self.pairs, everything), self.sizes[-1]),
            deviations=self.start.deviations[: self.sizes[-1]],
            networks={name: self.networks[name].to("cpu") for name in used},
            sizes=self.sizes,
            sources=self.sources,
            n_components=size,
            curve=fitted_curve(claim, errors, self.sizes, self.sources),
            prefix_explained=prefix_shares(claim, errors, source, size),
            column_errors=by_column * np.square(before / self.scaling.scale),
            history=self.history.columns,
            facts=self._facts() | columns,
        )

    def _column_quality(self, claim: HeldOut, source: str, errors: Array) -> dict[str, Any]:
        """Return how well each column of a table is reconstructed, as a fact."""
        rows = self.pairs.rows
        if not isinstance(rows, TableRows) or not len(claim.rows):
            return {}
        network = None if source == "pca" else self.networks[source]
        truth, guess = claim.compared(network, self.n_components)
        counted = ~np.isnan(truth)
        raw = [self.scaling.backward(values) for values in (truth, guess)]
        return {"columns": column_quality(rows.schema, *raw, counted, errors)}

    def _claimed(self, claim: HeldOut, name: str) -> dict[int, float]:
        """Return a network's mean error on the claim rows at every size it knows."""
        network = self.networks[name]
        full = network.bottleneck.latent_shape[0]
        nested = self.plan.composition.nested
        known = [s for s in self.sizes if s <= full] if nested else [full]
        errors = claim.errors(network, known).mean(0)
        return dict(zip(known, errors.tolist(), strict=True))

    def _facts(self) -> dict[str, Any]:
        split, own = self.split, self.held_pairs is self.pairs
        return {
            "n_rows": self.pairs.rows.n_rows,
            "n_train": len(split.train),
            "n_choose": len(split.choose),
            "n_claim": len(split.claim),
            "claim_rows": split.claim[:2000].tolist() if own else [],
            "stop_reason": "interrupted" if self.interrupted else self.history.stop_reason,
            "seconds": time.perf_counter() - self.started,
            "products": self.products,
            "processor": torch.backends.cpu.get_cpu_capability(),
            "seed": self.plan.seed,
        }
