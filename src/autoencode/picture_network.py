"""The network of pictures trained: loss, held-out error, the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.numerics import choose_threads, threads
from autoencode.picture_crops import CropBatches, Crops, on_device
from autoencode.training import Budget, History, Settings, Task, train

__all__ = [
    "NoiseStep",
    "PictureTraining",
    "middle",
    "noise_and_slope",
    "told_levels",
    "trained",
]

_QUIETEST = 1 / 255
_JUDGED = (5 / 255, 15 / 255, 25 / 255, 50 / 255)
"""Levels of noise that held-out pictures get."""
_JUDGED_CROPS = 12
_HOLD, _PROBED = 0.3, 0.05
_CLIPPING, _ASTRAY = 2.0, 0.5
_AVERAGED, _LEAST_AVERAGING, _MOST_AVERAGING = 0.1, 0.002, 0.1
"""What is judged is the mean of the weights over about this share of all steps."""


@dataclass(frozen=True)
class PictureTraining:
    """How a network of pictures is trained.

    Attributes
    ----------
    batch_size, n_steps, epochs : int
        Parts per step, steps of an epoch, epochs.
    seconds : float or None
        Wall time at most.
    learning_rate : float
        The highest.
    n_threads : int or str
        The most inside one operator.
    device : torch.device
        Where to train.
    report : callable or None
        Called with the history after each epoch.
    """

    batch_size: int
    n_steps: int
    epochs: int
    seconds: float | None
    learning_rate: float
    n_threads: int | str
    device: torch.device
    report: Callable[[History], None] | None


class NoiseStep:
    """Squared error of the noise, over its deviation: mean over values and parts.

    The error of good denoising grows about as the level does; so all levels count alike.
    """

    terms: tuple[str, ...] = ("error",)

    def __init__(self, network: UNet, flat: FlatParameters) -> None:
        self.network, self.flat = network, flat

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return the loss, ``(1,)``, detached."""
        self.flat.gradients.zero_()
        levels = told_levels(batch)
        squares = (self.network(batch.x, levels) - (batch.x - target.x)).square()
        loss = (squares.flatten(1).mean(1) / (levels + _QUIETEST)).mean()
        loss.backward()
        terms: Tensor = loss.detach()[None]
        return terms


def told_levels(batch: Batch) -> Tensor:
    """Return the deviation of each row's noise, ``(batch,)``."""
    assert batch.level is not None
    return batch.level[:, 1].sqrt()


def held_out_batches(crops: Crops, rng: torch.Generator) -> list[tuple[Batch, Batch]]:
    """Return what to judge by: the same parts with the same noise whenever it is asked."""
    if crops.noise == "added":
        return [crops.at_level(level, _JUDGED_CROPS, rng) for level in _JUDGED]
    return [crops.draw(_JUDGED_CROPS, rng) for _ in _JUDGED]


def mean_error(network: UNet, batches: Sequence[tuple[Batch, Batch]]) -> float:
    """Return the geometric mean of squared errors over batches."""
    logs = [math.log(max(squared_error(network, *pair), 1e-12)) for pair in batches]
    return math.exp(sum(logs) / len(logs))


@torch.inference_mode()
def squared_error(network: UNet, batch: Batch, target: Batch) -> float:
    """Return the mean squared error of restored parts; white is 1."""
    restored = batch.x - network(batch.x, told_levels(batch))
    return float((restored - target.x).square().mean())


@torch.inference_mode()
def noise_and_slope(
    network: UNet, noisy: Tensor, probe: Tensor, level: float
) -> tuple[float, float]:
    """Return mean square and mean slope of the noise that is seen.

    Parameters
    ----------
    network : UNet
        Predicts the noise.
    noisy, probe : Tensor
        ``(batch, n_colours, height, width)``: pictures, and numbers of mean 0 and variance 1,
        along which the slope is taken.
    level : float
        Deviation of the noise, in the units of the pictures.
    """
    told = torch.full((len(noisy),), level).to(noisy)
    width = _PROBED * level
    noise = network(noisy, told)
    slope = (network(noisy + width * probe, told) - noise) * probe / width
    return float(noise.square().mean()), float(slope.mean())


def middle(picture: Tensor, most: int, step: int) -> Tensor:
    """Return the middle of a picture, with sides that are multiples of a step, ``most`` at most."""
    sides = [min(most, side) // step * step for side in picture.shape[1:]]
    starts = [(whole - side) // 2 for whole, side in zip(picture.shape[1:], sides, strict=True)]
    rows, columns = (slice(a, a + side) for a, side in zip(starts, sides, strict=True))
    return picture[:, rows, columns].contiguous()


def trained(
    network: UNet,
    crops: Crops,
    held_out: Crops,
    how: PictureTraining,
    rng: torch.Generator,
    history: History,
) -> None:
    """Train a network; the best held-out weights are in place afterwards.

    Parameters
    ----------
    network : UNet
        On its device.
    crops, held_out : Crops
        To train on and to judge by.
    how : PictureTraining
        Budget and the like.
    rng : torch.Generator
        On the CPU; the only source of randomness.
    history : History
        Added to.

    Raises
    ------
    KeyboardInterrupt
        After the best weights are in place.
    """
    batches = [
        (on_device(batch, how.device), on_device(target, how.device))
        for batch, target in held_out_batches(held_out, rng)
    ]
    flat = FlatParameters(network)
    task = Task(
        flat,
        CropBatches(crops, how.batch_size, how.n_steps, how.device),
        NoiseStep(network, flat),
        lambda: mean_error(network, batches),
    )
    averaged = _AVERAGED * how.epochs * how.n_steps
    settings = Settings(
        how.learning_rate,
        weight_decay=0.0,
        patience=max(10, how.epochs // 4),
        hold=_HOLD,
        averaging=min(max(1 / averaged, _LEAST_AVERAGING), _MOST_AVERAGING),
        clipping=_CLIPPING,
        astray=_ASTRAY,
    )
    flops = 6.0 * flat.values.numel() * how.batch_size * crops.side**2 / 16
    try:
        with threads(choose_threads(flops, how.n_threads)):
            train(
                task,
                settings=settings,
                budget=Budget(how.epochs, how.seconds),
                rng=rng,
                history=history.begin("pictures", 0.0),
                on_epoch=how.report,
            )
    finally:
        flat.release()
