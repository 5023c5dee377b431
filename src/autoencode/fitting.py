"""One fit from rows to state: scale, PCA, train all sizes, choose, fine-tune, measure."""

from __future__ import annotations

import time
import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.composition import Composition, linear_start
from autoencode.data.rows import FloatArray, Rows
from autoencode.measurement import column_errors, row_errors
from autoencode.network import Network
from autoencode.numerics import choose_products, choose_threads, matrix_products, threads
from autoencode.preprocess.principal import PrincipalComponents, principal_components, residuals
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.selection import (
    Split,
    evaluation_sizes,
    gate_opens,
    size_pattern,
    smallest_size,
    split_rows,
)
from autoencode.state import State
from autoencode.steps import FlatParameters, choose_step
from autoencode.training import (
    Batches,
    Budget,
    History,
    Settings,
    StreamedBatches,
    Task,
    TensorBatches,
    train,
)

__all__ = ["Fit", "Plan"]

Array = npt.NDArray[np.float64]

_BLOCK_BYTES = 8 << 20
_MEMORY_LIMIT = 4 << 30
_MOST_EVALUATED = 4096
_WIDEST_SEARCH = 1024
_FULL_SHARE = 0.1
_FINE_SHARE = 0.8
_NESTED_TIME = 0.45
_SIZE_EXPONENT = 0.5
"""Errors at different sizes are weighted by PCA's error to the power of minus this."""


@dataclass(frozen=True)
class Plan:
    """Every choice of a fit, resolved: no "auto" is left."""

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
    report: Callable[[str, History], None] | None = None


@dataclass(frozen=True)
class Held:
    """Held-out rows, scaled: what is encoded and what it is compared with."""

    values: Array
    target: Array
    tensors: tuple[Tensor, Tensor]

    def __len__(self) -> int:
        return len(self.values)


class Fit:
    """The fit of one plan to rows; `run` returns the state.

    Parameters
    ----------
    plan : Plan
        Every choice.
    rows : Rows
        What is encoded.
    target : Rows or None
        What is reconstructed, where it is not the rows themselves.
    held_out : Rows or None
        Held-out rows of the user's; else a part of the rows is held out.
    """

    def __init__(self, plan: Plan, rows: Rows, target: Rows | None, held_out: Rows | None) -> None:
        self.plan, self.rows, self.target = plan, rows, target
        self.started = time.perf_counter()
        self.interrupted = False
        self.history = History()
        self.products = "ieee"
        self.networks: dict[str, Network] = {}
        generator = np.random.default_rng(plan.seed)
        self.rng = torch.Generator().manual_seed(int(generator.integers(2**62)))
        self.held_source: tuple[Rows, Rows | None] = (rows, target)
        if held_out is None:
            self.split = split_rows(rows.n_rows, plan.validation_fraction, generator)
        else:
            order = generator.permutation(held_out.n_rows)
            half = (len(order) + 1) // 2
            self.split = Split(np.arange(rows.n_rows), np.sort(order[:half]), np.sort(order[half:]))
            self.held_source = (held_out, None)

    def run(self) -> State:
        """Fit; after Ctrl-C the state holds what was learned and `interrupted` is true."""
        plan, train_rows = self.plan, self.split.train
        self.scaling = fit_scaling(_raw_blocks(self.target or self.rows, train_rows), plan.scaling)
        self.start = self._principal(train_rows, self._limit())
        self.choose = self._held(self.split.choose)
        self.pca_choose = self._pca_residuals(self.choose)
        self.search = self._search_limit()
        self.sizes = evaluation_sizes(self.search)
        self.best = self.pca_choose[:, self.sizes]
        self.sources = ["pca"] * len(self.sizes)
        if plan.composition.hidden_layer_sizes and len(self.choose):
            self._train_networks()
        else:
            self.n_components, reached = self._choose_size()
            self.history.stop_reason = "reached the asked level" if reached else "no further gain"
        return self._state()

    # Scaled rows and their PCA

    def _scaled(self, numbers: npt.NDArray[np.intp]) -> Iterator[Array]:
        for block in _raw_blocks(self.target or self.rows, numbers):
            yield self.scaling.forward(block)

    def _principal(self, numbers: npt.NDArray[np.intp], limit: int) -> PrincipalComponents:
        return principal_components(
            lambda: self._scaled(numbers),
            len(numbers),
            self.rows.n_features,
            limit,
            self.plan.seed,
        )

    def _held(self, numbers: npt.NDArray[np.intp]) -> Held:
        rows, target = self.held_source
        values = self.scaling.forward(rows.take(numbers))
        wanted = values if target is None else self.scaling.forward(target.take(numbers))
        shown = self._tensor(values[:_MOST_EVALUATED])
        compared = shown if target is None else self._tensor(wanted[:_MOST_EVALUATED])
        return Held(values, wanted, (shown, compared))

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(values).to(device=self.plan.device, dtype=self.plan.dtype)

    def _pca_residuals(self, held: Held) -> Array:
        """Return PCA's squared errors, ``(rows, k + 1)``; of the training rows if none are held."""
        if len(held):
            return residuals(self.start, held.values, held.target)[:_MOST_EVALUATED]
        total = sum(float(np.square(b - self.start.mean).sum()) for b in self._scaled(self.split.train))
        explained = np.concatenate([[0.0], np.cumsum(self.start.variances)])
        return np.maximum(total / len(self.split.train) - explained, 0.0)[None]

    # Sizes

    def _limit(self) -> int:
        """Return how many principal components are wanted at most."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components
        most = min(len(self.split.train), self.rows.n_features)
        return min(most, _WIDEST_SEARCH if self.rows.n_features <= 3000 else 256)

    def _search_limit(self) -> int:
        """Return the largest size worth looking at: where PCA reaches the asked level."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components
        explained = _share(self.pca_choose.mean(0), self.pca_choose[:, 0].mean())
        reached = np.flatnonzero(explained[1:] >= self.plan.n_components)
        return int(reached[0]) + 1 if len(reached) else max(1, len(explained) - 1)

    def _choose_size(self) -> tuple[int, bool]:
        """Return the size to keep, and whether the asked level is reached there."""
        if not isinstance(self.plan.n_components, float):
            return self.plan.n_components, False
        explained = _share(self.best.mean(0), self.pca_choose[:, 0].mean())
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

    # Networks

    def _train_networks(self) -> None:
        try:
            if self.plan.composition.nested:
                self._train_nested()
            self.n_components, _ = self._choose_size()
            self._train_final(self.n_components)
        except KeyboardInterrupt:
            self.interrupted = True
            self.n_components, _ = self._choose_size()

    def _train_nested(self) -> None:
        network = self._new_network(self.search)
        grid = _few(self.sizes)
        floor = self.pca_choose[:, grid].mean(0)
        total = float(self.pca_choose[:, 0].mean())
        wanted = self.plan.n_components

        def evaluate() -> float:
            errors = self._errors(network, grid).mean(0)
            ratios = np.divide(errors, floor, out=np.ones_like(errors), where=floor > 0)
            # With the gate, a size that is worse than PCA costs nothing; the small
            # remainder keeps the criterion sensitive there.
            return float(np.minimum(ratios, 1.0).mean() + 1e-3 * ratios.mean())

        def reached() -> bool:
            # One component that reaches the level cannot be improved upon.
            error = float(self._errors(network, [1]).mean())
            return isinstance(wanted, float) and error <= (1 - wanted) * total

        pattern = size_pattern(self.search, 2 * self.plan.batch_size, _FULL_SHARE)
        share = self.plan.max_epochs, _NESTED_TIME
        try:
            self._train("nested", network, evaluate, reached, pattern, share)
        finally:
            self._take("nested", network, self.sizes)

    def _train_final(self, size: int) -> None:
        network = self._new_network(size)
        nested = self.networks.get("nested")
        pattern, epochs = None, self.plan.max_epochs
        if nested is not None:
            network.copy_prefix(nested)
            pattern = size_pattern(size, 2 * self.plan.batch_size, _FINE_SHARE)
            epochs = max(1, epochs // 2)

        def evaluate() -> float:
            return float(self._errors(network, [size]).mean())

        try:
            self._train("final", network, evaluate, None, pattern, (epochs, 1.0))
        finally:
            known = self.sizes if nested is not None else [size]
            self._take("final", network, [s for s in known if s <= size])

    def _new_network(self, size: int) -> Network:
        network = self.plan.composition.network(size, self.rng)
        if self.plan.composition.starts_linear():
            network.start_linear(linear_start(self.start.head(size)))
        return network.to(device=self.plan.device, dtype=self.plan.dtype)

    def _train(
        self,
        phase: str,
        network: Network,
        evaluate: Callable[[], float],
        reached: Callable[[], bool] | None,
        pattern: npt.NDArray[np.int64] | None,
        share: tuple[int, float],
    ) -> None:
        plan = self.plan
        flat = FlatParameters(network)
        objective = plan.composition.objective()
        sizes = None if pattern is None else torch.from_numpy(pattern).to(plan.device)
        task = Task(
            flat,
            self._batches(),
            choose_step(network, objective, flat),
            evaluate,
            plan.composition.corrupter(),
            sizes,
            None if pattern is None else self._size_weights(pattern),
            reached,
        )
        spent = time.perf_counter() - self.started
        seconds = None
        if plan.max_time is not None:
            seconds = max(0.0, (0.97 * plan.max_time - spent) * share[1])
        widths = (self.rows.n_features, *plan.composition.hidden_layer_sizes)
        flops = 12.0 * plan.batch_size * sum(a * b for a, b in pairwise(widths))
        self.products = choose_products(widths, plan.batch_size, plan.device)
        report = None if plan.report is None else partial(plan.report, phase)
        with threads(choose_threads(flops, plan.n_threads)), matrix_products(self.products):
            train(
                task,
                settings=Settings(plan.learning_rate, patience=max(10, share[0] // 4)),
                budget=Budget(share[0], seconds),
                rng=self.rng,
                history=self.history.begin(phase, spent),
                on_epoch=report,
            )

    def _batches(self) -> Batches:
        plan, numbers = self.plan, self.split.train
        size = plan.batch_size
        bytes_needed = len(numbers) * self.rows.n_features * plan.dtype.itemsize
        if bytes_needed > _MEMORY_LIMIT:
            return StreamedBatches(self._read, len(numbers), size)
        if not hasattr(self, "memory"):
            self.memory = self._read(torch.arange(len(numbers)))
        return TensorBatches(*self.memory, size)

    def _read(self, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return training rows, scaled, by their places among the training rows."""
        numbers = self.split.train[places.numpy()]
        values = self._filled(self.rows, numbers)
        return values, None if self.target is None else self._filled(self.target, numbers)

    def _filled(self, rows: Rows, numbers: npt.NDArray[np.intp]) -> Tensor:
        shape = (len(numbers), rows.n_features)
        values = torch.empty(shape, dtype=self.plan.dtype)
        start = 0
        for block in _raw_blocks(rows, numbers):
            scaled = torch.from_numpy(self.scaling.forward(block))
            values[start : start + len(scaled)] = scaled
            start += len(scaled)
        return values.to(self.plan.device)

    def _size_weights(self, pattern: npt.NDArray[np.int64]) -> Tensor:
        """Return each place's weight, so that small errors of long codes count too."""
        total = float(self.start.variances.sum())
        left = self.pca_choose.mean(0)[1:]
        weights = np.power(np.maximum(left, 1e-6 * total)[pattern - 1], -_SIZE_EXPONENT)
        return self._tensor(weights / weights.mean())

    def _errors(self, network: Network, sizes: list[int]) -> Array:
        likelihood = self.plan.composition.objective().likelihood
        return row_errors(network, likelihood, *self.choose.tensors, sizes)

    def _take(self, name: str, network: Network, sizes: list[int]) -> None:
        """Keep a network, and use it at the sizes where the gate opens for it."""
        self.networks[name] = network
        errors = self._errors(network, sizes)
        for column, size in enumerate(sizes):
            place = bisect_left(self.sizes, size)
            mine = errors[:, column]
            better = mine.mean() < self.best[:, place].mean()
            if better and gate_opens(mine, self.pca_choose[:, size]):
                self.best[:, place] = mine
                self.sources[place] = name

    # The result

    def _state(self) -> State:
        plan = self.plan
        self.claim = self._held(self.split.claim) if len(self.split.claim) else self.choose
        measured = Measured(self)
        everything = np.arange(self.rows.n_rows)
        used = set(self.sources)
        networks = {
            name: network.to("cpu") for name, network in self.networks.items() if name in used
        }
        return State(
            composition=plan.composition,
            scaling=self.scaling,
            principal=self._principal(everything, max(self.sizes[-1], self.n_components)),
            deviations=self.start.deviations[: self.sizes[-1]],
            networks=networks,
            sizes=self.sizes,
            sources=self.sources,
            n_components=self.n_components,
            curve=measured.curve(),
            prefix_explained=measured.prefix_explained(),
            column_errors=measured.column_errors(),
            history=self.history.columns,
            facts=self._facts(),
        )

    def _facts(self) -> dict[str, Any]:
        return {
            "n_rows": self.rows.n_rows,
            "n_train": len(self.split.train),
            "n_choose": len(self.split.choose),
            "n_claim": len(self.split.claim),
            "stop_reason": self.history.stop_reason,
            "seconds": time.perf_counter() - self.started,
            "products": self.products,
            "processor": torch.backends.cpu.get_cpu_capability(),
            "seed": self.plan.seed,
        }


class Measured:
    """Figures of a finished fit, on the rows that nothing saw."""

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.pca = fit._pca_residuals(fit.claim)
        self.likelihood = fit.plan.composition.objective().likelihood
        self.errors = {
            name: row_errors(network, self.likelihood, *fit.claim.tensors, self._known(network))
            for name, network in fit.networks.items()
        }

    def _known(self, network: Network) -> list[int]:
        full = network.bottleneck.latent_shape[0]
        if not self.fit.plan.composition.nested:
            return [full]
        return [size for size in self.fit.sizes if size <= full]

    def _errors_at(self, name: str, size: int) -> float:
        if name == "pca":
            return float(self.pca[:, size].mean())
        column = self._known(self.fit.networks[name]).index(size)
        return float(self.errors[name][:, column].mean())

    def curve(self) -> dict[str, npt.NDArray[Any]]:
        """Return error and share explained by size, beside PCA's."""
        fit = self.fit
        total = float(self.pca[:, 0].mean())
        chosen = zip(fit.sources, fit.sizes, strict=True)
        error = np.array([self._errors_at(name, size) for name, size in chosen])
        pca = np.array([self._errors_at("pca", size) for size in fit.sizes])
        return {
            "size": np.array(fit.sizes, dtype=np.int64),
            "error": error / fit.rows.n_features,
            "pca_error": pca / fit.rows.n_features,
            "explained_variance": _share(error, total),
            "pca_explained_variance": _share(pca, total),
            "network": np.array([name != "pca" for name in fit.sources]),
        }

    def prefix_explained(self) -> Array:
        """Return the share explained by 1, 2, ... leading components of the final model."""
        fit, size = self.fit, self.fit.n_components
        name = fit.sources[bisect_left(fit.sizes, size)]
        every = np.arange(1, size + 1)
        if name == "pca":
            return _share(self.pca.mean(0)[every], float(self.pca[:, 0].mean()))
        known = [s for s in self._known(fit.networks[name]) if s <= size]
        shares = _share(self.errors[name].mean(0)[: len(known)], float(self.pca[:, 0].mean()))
        result: Array = np.interp(every, [0, *known], [0.0, *shares])
        return result

    def column_errors(self) -> Array:
        """Return the final model's mean squared error by column, scaled."""
        fit, size = self.fit, self.fit.n_components
        name = fit.sources[bisect_left(fit.sizes, size)]
        if name != "pca":
            network = fit.networks[name]
            return column_errors(network, self.likelihood, *fit.claim.tensors, size)
        head = fit.start.head(size)
        if not len(fit.claim):
            blocks, target = list(fit._scaled(fit.split.train)), None
            values = np.concatenate(blocks)
        else:
            values, target = fit.claim.values, fit.claim.target
        scores = (values - head.mean) @ head.components.T
        wanted = values if target is None else target
        result: Array = np.square(wanted - head.mean - scores @ head.components).mean(0)
        return result


def _raw_blocks(rows: Rows, numbers: npt.NDArray[np.intp]) -> Iterator[FloatArray]:
    """Yield the rows with these numbers in blocks of a few megabytes."""
    count = max(1, _BLOCK_BYTES // (8 * rows.n_features))
    everything = len(numbers) == rows.n_rows
    for start in range(0, len(numbers), count):
        if everything:
            yield rows.block(start, start + count)
        else:
            yield rows.take(numbers[start : start + count])


def _share(left: npt.NDArray[Any], total: float) -> Array:
    """Return the share of variance explained; 1 where there is no variance."""
    if total <= 0:
        return np.ones_like(np.asarray(left, dtype=np.float64))
    result: Array = 1.0 - np.asarray(left, dtype=np.float64) / total
    return result


def _few(sizes: list[int]) -> list[int]:
    """Return about eight sizes, evenly on a logarithmic scale, the largest included."""
    places = np.geomspace(1, len(sizes), min(len(sizes), 8)).round().astype(int) - 1
    return [sizes[place] for place in sorted(set(places.tolist()))]
