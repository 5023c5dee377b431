"""Training of the network of a pixel's neighbours."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencode.batches import TensorBatches
from autoencode.compression.masked_training import TrainingBudget, logistic_nats, rounded
from autoencode.compression.pixel_network import (
    N_INPUTS,
    N_OUTPUTS,
    UNIT,
    WEIGHT_BITS,
    PixelNetwork,
)
from autoencode.compression.pixel_tables import spread_of
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.numerics import matrix_products, threads
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["PixelModule", "train_pixels"]

_BATCH, _JUDGED = 4096, 1 << 16
_RATE, _AVERAGING = 4e-3, 0.01
_STEP = 1 << WEIGHT_BITS
# The frozen scale of the first spread; every second doubles it.
_FIRST_SCALE = 0.18


class PixelModule(nn.Module):
    """The network of `PixelNetwork` in floating point, with rounded weights.

    Parameters
    ----------
    size : int
        Values lie in [0, size).
    units : sequence of int
        Of the hidden layers.
    scale : int
        The unit of locations, in sixteenths.
    rng : torch.Generator
        Draws the first weights.
    """

    def __init__(self, size: int, units: tuple[int, ...], scale: int, rng: torch.Generator) -> None:
        super().__init__()
        widths = (N_INPUTS, *units, N_OUTPUTS)
        self.size, self.unit = size, scale / 16
        self.usual = math.log(_FIRST_SCALE) + spread_of(scale) * math.log(2.0) / 2
        self.matrices, self.biases = nn.ParameterList(), nn.ParameterList()
        for wide, narrow in pairwise(widths):
            last = len(self.matrices) == len(units)
            drawn = torch.randn(narrow, wide, generator=rng) * (2.0 / wide) ** 0.5
            self.matrices.append(nn.Parameter(torch.zeros_like(drawn) if last else drawn))
            self.biases.append(nn.Parameter(torch.zeros(narrow)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return location, spread and odds of 0, ``(batch, 3)``."""
        values = inputs
        for place, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            values = functional.linear(values, rounded(matrix, _STEP), bias)
            if place + 1 < len(self.matrices):
                values = values.clamp(0.0, 16.0 - 1.0 / UNIT)
        return values

    def nats(self, rows: Tensor) -> Tensor:
        """Return nats of each pixel; rows are inputs, linear prediction and value."""
        location, spread, odds = self(rows[:, :N_INPUTS]).unbind(1)
        location = (rows[:, N_INPUTS] + location * self.unit).clamp(0.0, self.size - 1.0)
        value = rows[:, N_INPUTS + 1]
        log_scale = self.usual + math.log(2.0) * spread.clamp(-6.0, 6.0)
        inner = logistic_nats(value - location, log_scale)
        # The share of the density above 1/2: 0 is coded by itself.
        width = torch.exp(-log_scale.clamp_min(math.log(0.05)))
        share = functional.softplus((0.5 - location) * width)
        return torch.where(
            value == 0, functional.softplus(-odds), functional.softplus(odds) + inner - share
        )

    def weight_nats(self) -> Tensor:
        """Return about the nats that all weights take in a file."""
        return torch.stack([(part.abs() * _STEP).log1p().sum() for part in self.matrices]).sum()

    def whole(self, size: int, linear: npt.NDArray[np.int64], scale: int) -> PixelNetwork:
        """Return the network with these weights, as whole numbers."""

        def numbers(values: Tensor, unit: int) -> npt.NDArray[np.float64]:
            found: npt.NDArray[np.float64] = np.rint(values.detach().double().numpy() * unit) + 0.0
            return found

        return PixelNetwork(
            size,
            linear,
            scale,
            tuple(numbers(part, _STEP) for part in self.matrices),
            tuple(numbers(part, _STEP * UNIT) for part in self.biases),
        )


class _Step:
    """Gradients of the nats of a batch of pixels, and of the weights' share of them."""

    terms: tuple[str, ...] = ("pixels", "weights")

    def __init__(self, module: PixelModule, flat: FlatParameters, n_coded: int) -> None:
        self.module, self.flat, self.n_coded = module, flat, n_coded

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return nats per pixel of pixels and of weights, detached."""
        self.flat.gradients.zero_()
        pixels = self.module.nats(batch.x).mean()
        own = self.module.weight_nats() / self.n_coded
        (pixels + own).backward()
        return torch.stack([pixels, own]).detach()


def train_pixels(
    rows: npt.NDArray[np.float32],
    linear: npt.NDArray[np.int64],
    shape: tuple[int, int, tuple[int, ...]],
    n_coded: int,
    budget: TrainingBudget,
) -> PixelNetwork:
    """Fit a network to pixels.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_pixels, N_INPUTS + 2)
        Inputs, linear prediction and value of each.
    linear : ndarray of int64
        The linear prediction.
    shape : tuple
        Bound on values, unit of locations, and the units of each hidden layer.
    n_coded : int
        How many pixels will be coded: the weights have to pay with so many.
    budget : TrainingBudget
        How long.

    Returns
    -------
    PixelNetwork
        The weights at which pixels and weights together took least.
    """
    size, scale, units = shape
    rng = torch.Generator().manual_seed(0)
    module = PixelModule(size, units, scale, rng)
    pixels = torch.from_numpy(rows)
    judged = pixels[:: max(1, len(pixels) // _JUDGED)]
    flat = FlatParameters(module)

    @torch.no_grad()
    def evaluate() -> float:
        return float(module.nats(judged).mean() + module.weight_nats() / n_coded)

    batch = min(_BATCH, max(64, len(pixels) // 64))
    task = Task(flat, TensorBatches(pixels, None, batch), _Step(module, flat, n_coded), evaluate)
    epochs = max(2, round(budget.steps * batch / len(pixels)))
    settings = Settings(
        learning_rate=_RATE,
        weight_decay=0.0,
        patience=max(10, epochs // 4),
        averaging=_AVERAGING,
    )
    limits = Budget(epochs, budget.seconds)
    try:
        with threads(1), matrix_products("ieee"):
            train(task, settings=settings, budget=limits, rng=rng, history=History())
    finally:
        flat.release()
    return module.whole(size, linear, scale)
