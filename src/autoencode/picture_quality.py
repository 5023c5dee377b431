"""How well a network takes noise out of held-out pictures."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from autoencode.architectures.unet import UNet
from autoencode.interfaces import Batch
from autoencode.picture_crops import Crops
from autoencode.picture_network import told_levels

__all__ = ["figures_of", "wiener"]

_LEVELS = (15 / 255, 25 / 255, 50 / 255)
_PARTS = 32
_WINDOW = 5


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
        ``level`` (white is 1), ``noisy``, ``wiener`` and ``restored``, for some levels of noise
        or for that of pairs; empty where no clean picture is known.
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
    noise = network(batch.x.to(device), levels.to(device)).cpu()
    found = {
        "noisy": batch.x,
        "wiener": wiener(batch.x, levels),
        "restored": batch.x - noise,
    }
    return {"level": float(levels.mean())} | {
        name: -10 * math.log10(max(float((values - target.x).square().mean()), 1e-12))
        for name, values in found.items()
    }


def wiener(x: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Shrink pixels towards the mean around them, by what of their spread is noise (Lee, 1980)."""
    padded = functional.pad(x, [_WINDOW // 2] * 4, mode="reflect")
    mean = functional.avg_pool2d(padded, _WINDOW, 1)
    spread = functional.avg_pool2d(padded.square(), _WINDOW, 1) - mean.square()
    noise = levels.square()[:, None, None, None]
    return mean + (x - mean) * ((spread - noise) / spread.clamp_min(1e-12)).clamp_min(0.0)
