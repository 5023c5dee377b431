"""What a network of noise is trained for, and how it is judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.pictures.crops import Crops

__all__ = [
    "NoiseStep",
    "held_out_batches",
    "mean_error",
    "middle",
    "noise_and_slope",
    "told_levels",
]

_QUIETEST = 1 / 255
_JUDGED = (5 / 255, 15 / 255, 25 / 255, 50 / 255)
"""Levels of noise that held-out pictures get."""
_JUDGED_CROPS = 12
_PROBED = 0.05


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
    network: Callable[[Tensor, Tensor], Tensor], noisy: Tensor, probe: Tensor, level: float
) -> tuple[float, float]:
    """Return mean square and mean slope of the noise that is seen.

    Parameters
    ----------
    network : callable
        Predicts the noise from pictures and its levels, as `UNet` does.
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
