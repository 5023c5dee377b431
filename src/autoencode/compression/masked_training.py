"""Training of the masked autoencoder: bits of the rows and of its own weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode.batches import TensorBatches
from autoencode.compression.masked import ONE, MaskedNetwork
from autoencode.compression.stored_weights import LARGEST_WEIGHT
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.numerics import matrix_products, threads
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["MaskedModule", "TrainingBudget", "logistic_nats", "rounded", "train_masked"]

_BATCH, _SMALLEST_BATCH = 512, 32
_JUDGED_ROWS = 16384
_RATE, _AVERAGING = 1e-2, 0.01
# Of log(1 + size): what a weight takes in a file.
_WEIGHT_COST = 1.5
_LARGEST_GRADIENT = 5.0
_SMALLEST_SCALE = 0.05


@dataclass(frozen=True)
class TrainingBudget:
    """How much training may cost: so many updates, and no more seconds than that."""

    steps: int
    seconds: float


def rounded(weights: Tensor, step: int) -> Tensor:
    """Round weights to those that are stored, which count in 1/step; the slope is that of none.

    (Bengio, Leonard and Courville, 2013, arXiv:1308.3432, section 2.1: "straight-through".)
    """
    return weights + ((weights * step).round() / step - weights).detach()


def logistic_nats(off: Tensor, log_scale: Tensor) -> Tensor:
    """Return nats of whole numbers under logistic densities, elementwise.

    Parameters
    ----------
    off : Tensor
        Whole number less location.
    log_scale : Tensor
        Natural logarithm of the scale.
    """
    # sigmoid(-low) - sigmoid(-high), factored so that nothing cancels.
    width = torch.exp(-log_scale).clamp_max(1 / _SMALLEST_SCALE)
    near = off.abs() * width
    low, high = near - 0.5 * width, near + 0.5 * width
    softplus = nn.functional.softplus
    return softplus(low) + softplus(-high) - torch.log(-torch.expm1(-width))


class MaskedModule(nn.Module):
    """The network of `MaskedNetwork` in floating point, with rounded weights.

    Parameters
    ----------
    network : MaskedNetwork
        Of zeros: what it looks at, and its shape.
    scales : ndarray of float64, shape (n_targets,)
        Usual distance from the linear prediction: the unit of locations.
    rng : torch.Generator
        Draws the first weights.
    """

    seen: Tensor
    used: Tensor
    direct: Tensor
    scales: Tensor

    def __init__(
        self, network: MaskedNetwork, scales: npt.NDArray[np.float64], rng: torch.Generator
    ) -> None:
        super().__init__()
        self.register_buffer("seen", torch.from_numpy(network.seen).float())
        self.register_buffer("used", torch.from_numpy(network.used).float())
        self.register_buffer("direct", torch.from_numpy(network.direct).float())
        self.register_buffer("scales", torch.from_numpy(scales).float())
        self.step = 1 << network.bits
        n_units, n_features = network.seen.shape
        fan = self.seen.sum(1, keepdim=True).clamp_min(1.0)
        drawn = torch.randn(n_units, n_features, generator=rng)
        self.inward = nn.Parameter(drawn * self.seen * (2.0 / fan) ** 0.5)
        self.bias = nn.Parameter(0.3 * torch.randn(n_units, generator=rng))
        self.outward = nn.Parameter(torch.zeros(2, len(self.used), n_units))
        self.base = nn.Parameter(torch.zeros(2, len(self.used)))
        self.skip = nn.Parameter(torch.zeros(2, len(self.used), n_features))
        self.usual = nn.Parameter((0.55 * self.scales).clamp_min(0.1).log())

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return location less linear prediction, and the logarithm of the scale."""
        inward = rounded(self.inward, self.step) * self.seen
        units = (inputs @ inward.T + self.bias).clamp(0.0, 16.0 - 1.0 / ONE)
        outward = rounded(self.outward, self.step) * self.used
        skip = rounded(self.skip, self.step) * self.direct
        location = units @ outward[0].T + inputs @ skip[0].T + self.base[0]
        spread = units @ outward[1].T + inputs @ skip[1].T + self.base[1]
        return location * self.scales, self.usual + math.log(2.0) * spread

    def nats(self, rows: Tensor) -> Tensor:
        """Return nats per row, summed over targets; rows are inputs, then what is to be met.

        Cells that are not stored are NaN there, and cost nothing.
        """
        n_targets = len(self.scales)
        location, log_scale = self(rows[:, :-n_targets])
        wanted = rows[:, -n_targets:]
        stored = wanted.isfinite()
        off = torch.where(stored, wanted - location, 0.0)
        return torch.where(stored, logistic_nats(off, log_scale), 0.0).sum(1)

    def weight_nats(self) -> Tensor:
        """Return about the nats that all weights take in a file."""
        masked = (
            (self.inward, self.seen),
            (self.outward, self.used),
            (self.skip, self.direct),
        )
        sizes = [torch.log1p(part.abs() * self.step).mul(mask).sum() for part, mask in masked]
        return _WEIGHT_COST * torch.stack(sizes).sum()

    def whole(self, network: MaskedNetwork) -> MaskedNetwork:
        """Return the network with these weights, as whole numbers."""

        def numbers(values: Tensor, unit: int) -> npt.NDArray[np.float64]:
            whole: npt.NDArray[np.float64] = np.rint(values.detach().double().numpy() * unit)
            return np.clip(whole, -LARGEST_WEIGHT, LARGEST_WEIGHT) + 0.0

        return replace(
            network,
            inward=numbers(self.inward * self.seen, self.step),
            bias=numbers(self.bias, self.step * ONE),
            outward=numbers(self.outward * self.used, self.step),
            base=numbers(self.base, self.step * ONE),
            skip=numbers(self.skip * self.direct, self.step),
        )


class _Step:
    """Gradients of the bits of a batch, and of the weights' share of them."""

    terms: tuple[str, ...] = ("rows", "weights")

    def __init__(self, module: MaskedModule, flat: FlatParameters, n_rows: int) -> None:
        self.module, self.flat, self.n_rows = module, flat, n_rows

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return nats per row of rows and of weights, detached."""
        self.flat.gradients.zero_()
        rows = self.module.nats(batch.x).mean()
        own = self.module.weight_nats() / self.n_rows
        (rows + own).backward()
        norm = float(self.flat.gradients.norm())
        if norm > _LARGEST_GRADIENT:
            self.flat.gradients.mul_(_LARGEST_GRADIENT / norm)
        return torch.stack([rows, own]).detach()


def train_masked(
    network: MaskedNetwork,
    inputs: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    scales: npt.NDArray[np.float64],
    budget: TrainingBudget,
) -> MaskedNetwork:
    """Fit the network to rows that are to be coded: it says nothing at first.

    Parameters
    ----------
    network : MaskedNetwork
        Of zeros.
    inputs : ndarray, shape (n_features, n_rows)
        In 1/256.
    wanted : ndarray, shape (n_targets, n_rows)
        Values less their linear prediction; NaN where a cell is not stored.
    scales : ndarray, shape (n_targets,)
        Usual distance from the linear prediction.
    budget : TrainingBudget
        How long.

    Returns
    -------
    MaskedNetwork
        The weights at which rows and weights together took least.
    """
    rng = torch.Generator().manual_seed(0)
    module = MaskedModule(network, scales, rng)
    rows = torch.from_numpy(np.concatenate([inputs / ONE, wanted]).T.astype(np.float32))
    n_rows = len(rows)
    judged = rows[:: max(1, n_rows // _JUDGED_ROWS)]
    flat = FlatParameters(module)

    @torch.no_grad()
    def evaluate() -> float:
        return float(module.nats(judged).mean() + module.weight_nats() / n_rows)

    batch = max(_SMALLEST_BATCH, min(_BATCH, n_rows // 16))
    step = _Step(module, flat, n_rows)
    task = Task(flat, TensorBatches(rows, None, batch), step, evaluate)
    epochs = max(2, round(budget.steps * batch / n_rows))
    settings = Settings(
        learning_rate=_RATE,
        weight_decay=0.0,
        patience=max(10, epochs // 4),
        averaging=_AVERAGING,
    )
    try:
        with threads(1), matrix_products("ieee"):
            train(
                task,
                settings=settings,
                budget=Budget(epochs, budget.seconds),
                rng=rng,
                history=History(),
            )
    finally:
        flat.release()
    return module.whole(network)
