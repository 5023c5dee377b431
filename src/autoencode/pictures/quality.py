"""How well a network takes noise out of held-out pictures, and how much it counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from autoencode.architectures.unet import UNet
from autoencode.interfaces import Batch
from autoencode.pictures.crops import Crops
from autoencode.pictures.network import told_levels

__all__ = ["beside_filter", "figures_of", "weight_at", "wiener"]

_LEVELS = (15 / 255, 25 / 255, 50 / 255)
_PARTS = 32
_WINDOW = 5
_PLAINLY_LESS = 0.8
"""Multiple of the filter's error, 1 dB less, below which the network counts alone."""


def figures_of(network: UNet, held_out: Crops, seed: int) -> list[dict[str, float]]:
    """Return PSNR in dB of held-out parts: as they are, by a Wiener filter, by the network.

    Parameters
    ----------
    network : UNet
        Fitted.
    held_out : Crops
        That nothing was fitted to.
    seed : int
        Of the parts and their noise.

    Returns
    -------
    list of dict
        ``level`` (white is 1), ``noisy``, ``wiener`` and ``restored``, and the ``weight`` of the
        network beside the filter in what is restored, for some levels of noise or for that of
        pairs; empty where no clean picture is known.
    """
    rng = torch.Generator().manual_seed(seed)
    if held_out.noise == "doubled":
        return []
    if held_out.noise == "given":
        return [_figures(network, *held_out.draw(_PARTS, rng))]
    return [_figures(network, *held_out.at_level(level, _PARTS, rng)) for level in _LEVELS]


@torch.inference_mode()
def _figures(network: UNet, batch: Batch, target: Batch) -> dict[str, float]:
    device = next(network.parameters()).device
    levels = told_levels(batch)
    learned = batch.x - network(batch.x.to(device), levels.to(device)).cpu()
    filtered = wiener(batch.x, levels)
    weight = _weight(learned, filtered, target.x)
    found = {
        "noisy": batch.x,
        "wiener": filtered,
        "restored": torch.lerp(filtered, learned, weight),
    }
    return {"level": float(levels.mean()), "weight": weight} | {
        name: -10 * math.log10(max(float((values - target.x).square().mean()), 1e-12))
        for name, values in found.items()
    }


def _weight(learned: torch.Tensor, filtered: torch.Tensor, target: torch.Tensor) -> float:
    """Return how much the network counts: all, or by least squares if it is hardly better."""
    step, wanted = learned - filtered, target - filtered
    if float((target - learned).square().sum()) < _PLAINLY_LESS * float(wanted.square().sum()):
        return 1.0
    share = float((step * wanted).sum() / step.square().sum().clamp_min(1e-12))
    return min(max(share, 0.0), 1.0)


def weight_at(figures: list[dict[str, float]], level: float) -> float:
    """Return how much the network counts for noise of a level, by `figures_of`."""
    if not figures:
        return 1.0
    levels, weights = ([row[name] for row in figures] for name in ("level", "weight"))
    return float(np.interp(level, levels, weights))


def beside_filter(
    network: UNet, weight: float
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return what predicts noise as the network and a Wiener filter do together."""

    def noise(x: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        return torch.lerp(x - wiener(x, levels), network(x, levels), weight)

    return noise


def wiener(x: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Shrink pixels towards the mean around them, by what of their spread is noise (Lee, 1980)."""
    padded = functional.pad(x, [_WINDOW // 2] * 4, mode="replicate")
    mean = functional.avg_pool2d(padded, _WINDOW, 1)
    spread = functional.avg_pool2d(padded.square(), _WINDOW, 1) - mean.square()
    noise = levels.square()[:, None, None, None]
    return mean + (x - mean) * ((spread - noise) / spread.clamp_min(1e-12)).clamp_min(0.0)
