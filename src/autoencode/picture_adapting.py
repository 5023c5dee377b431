"""A network of noise, fitted further to the one picture that it is to restore."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.flat_parameters import FlatParameters
from autoencode.picture_crops import CropBatches, Crops, on_device
from autoencode.picture_network import NoiseStep, squared_error
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["adapted"]

_SIDE, _BATCH = 64, 4
_RATE, _AVERAGING, _CLIPPING = 2e-4, 0.05, 2.0
_JUDGED = 64


def adapted(network: UNet, noisy: Tensor, restored: Tensor, level: float, steps: int) -> UNet:
    """Return a network that knows the patterns of one picture.

    What was restored gets fresh noise of the same level, and the network learns to take it out
    again (internal adaptation of Vaksman et al., 2020). Whether this helped is told by
    the noisy picture alone: it gets its own noise once more, and what comes out is compared
    with the picture less that noise, as in a fit to noisy pictures (Pang et al., 2021, theorem 1).
    If the expected error is not less, the network stays as it is.

    Parameters
    ----------
    network : UNet
        Not changed.
    noisy, restored : Tensor
        ``(n_colours, height, width)``, on the CPU; white is 1.
    level : float
        Deviation of the noise; white is 1.
    steps : int
        Of training, with 4 parts of 64 x 64 pixels each.

    Returns
    -------
    UNet
        The same one if the picture is smaller than the network's step.
    """
    side = min(_SIDE, min(noisy.shape[1:]) // network.step * network.step)
    if not side:
        return network
    device = next(network.parameters()).device
    rng = torch.Generator().manual_seed(0)
    levels = torch.tensor([level])
    judged = Crops([noisy], None, levels, "doubled", side)
    batch, target = (on_device(part, device) for part in judged.draw(_JUDGED, rng))
    found = copy.deepcopy(network).requires_grad_(True)
    flat = FlatParameters(found)
    crops = Crops([restored], None, levels, "added", side)
    try:
        train(
            Task(
                flat,
                CropBatches(crops, _BATCH, steps, device, level),
                NoiseStep(found, flat),
                lambda: squared_error(found, batch, target),
            ),
            settings=Settings(_RATE, 0.0, averaging=_AVERAGING, clipping=_CLIPPING),
            budget=Budget(1),
            rng=rng,
            history=History(),
        )
    finally:
        flat.release()
    return found.requires_grad_(False)
