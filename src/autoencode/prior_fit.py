"""Training the densities over codes that networks learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencode.architectures.mlp import spread
from autoencode.batches import TensorBatches
from autoencode.bottlenecks.flow import CouplingFlow
from autoencode.code_prior import (
    FlowPrior,
    SecondPrior,
    flow_nats,
    new_flow,
    second_composition,
)
from autoencode.flat_parameters import FlatParameters
from autoencode.importance import Coder, measure_bound, standard_draws
from autoencode.interfaces import Batch, Context
from autoencode.numerics import matrix_products, threads
from autoencode.preprocess.principal import principal_components
from autoencode.preprocess.probabilistic import ProbabilisticPca
from autoencode.starting import probabilistic_start
from autoencode.steps import Step, choose_step
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["MOST_EPOCHS", "fit_flow", "fit_second"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

MOST_EPOCHS = 100
_STOP = 8
"""One code in so many ends the training."""
_DRAWS = 8
_BATCH, _SMALLEST, _RATE, _AVERAGING = 256, 32, 5e-3, 0.02


def fit_flow(
    codes: Array, groups: Places, n_classes: int, generator: np.random.Generator, epochs: int
) -> FlowPrior:
    """Train a coupling flow to make codes likely.

    Parameters
    ----------
    codes : ndarray of shape (n, d)
        Coordinates.
    groups : ndarray of int of shape (n,)
        Classes, from 0.
    n_classes : int
        0 without classes.
    generator : numpy.random.Generator
        The only source of randomness.
    epochs : int
        Passes over the codes, at most.

    Raises
    ------
    TrainingError
        If the loss stays infinite.
    """
    center, scale = _units(codes)
    standard = torch.from_numpy((codes - center) / scale).float()
    d, rng = standard.shape[1], _rng(generator)
    if n_classes:
        told = functional.one_hot(torch.from_numpy(groups), n_classes).float()
        standard = torch.cat([standard, told], 1)
    kept, stop = _split(standard, generator)
    with torch.random.fork_rng(devices=[]):
        flow = new_flow(d, n_classes)
    spread(flow, rng)

    def nats(rows: Tensor) -> Tensor:
        return flow_nats(flow, rows[:, :d], rows[:, d:] if n_classes else None).mean()

    def evaluate() -> float:
        with torch.no_grad():
            return float(nats(stop))

    _trained(flow, kept, lambda flat: _FlowStep(nats, flat), evaluate, (rng, epochs, 0.0))
    return FlowPrior(center, scale, flow, n_classes)


def fit_second(codes: Array, generator: np.random.Generator, epochs: int) -> SecondPrior:
    """Train a variational autoencoder of codes; it starts as probabilistic PCA.

    Parameters are as in `fit_flow`.
    """
    center, scale = _units(codes)
    standard = (codes - center) / scale
    n, d = standard.shape
    composition, rng = second_composition(d), _rng(generator)
    network = composition.network(d, rng)

    def blocks() -> Iterator[Array]:
        yield standard

    found = principal_components(blocks, n, d, d, 0)
    total = float(standard.var(0).sum())
    network.start_linear(probabilistic_start(ProbabilisticPca.fit(found, total)))
    network.float()
    kept, stop = _split(torch.from_numpy(standard).float(), generator)
    draws, batch = standard_draws(_DRAWS, d, 0, stop), Batch(stop)

    def evaluate() -> float:
        return -float(measure_bound(Coder.of(network), batch, batch, draws).elbo.double().mean())

    def step(flat: FlatParameters) -> Step:
        return choose_step([network], composition.objective(), flat)

    _trained(network, kept, step, evaluate, (rng, epochs, network.bottleneck.warmup))
    return SecondPrior(center, scale, network)


class _FlowStep:
    """The gradient of the mean of minus the log-density of a batch."""

    terms: tuple[str, ...] = ("code",)

    def __init__(self, nats: Callable[[Tensor], Tensor], flat: FlatParameters) -> None:
        self.nats, self.flat = nats, flat

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return the loss, ``(1,)``, detached."""
        self.flat.gradients.zero_()
        loss = self.nats(batch.x)
        loss.backward()
        return loss.detach()[None]


def _trained(
    module: CouplingFlow | nn.Module,
    rows: Tensor,
    step: Callable[[FlatParameters], Step],
    evaluate: Callable[[], float],
    how: tuple[torch.Generator, int, float],
) -> None:
    """Train a module in place, on one thread."""
    rng, epochs, warmup = how
    flat = FlatParameters(module)
    size = min(_BATCH, max(len(rows) // 16, _SMALLEST))
    task = Task(flat, TensorBatches(rows, None, size), step(flat), evaluate)
    settings = Settings(
        learning_rate=_RATE,
        patience=max(10, epochs // 4),
        averaging=_AVERAGING,
        weight_decay=0.01,
        warmup=warmup,
    )
    try:
        with threads(1), matrix_products("ieee"):
            train(task, settings=settings, budget=Budget(epochs), rng=rng, history=History())
    finally:
        flat.release()


def _units(codes: Array) -> tuple[Array, Array]:
    deviation: Array = codes.std(0)
    return codes.mean(0), np.where(deviation > 0, deviation, 1.0)


def _split(rows: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    order = torch.from_numpy(generator.permutation(len(rows)))
    count = max(1, len(rows) // _STOP)
    return rows[order[count:]], rows[order[:count]]


def _rng(generator: np.random.Generator) -> Any:
    return torch.Generator().manual_seed(int(generator.integers(2**62)))
