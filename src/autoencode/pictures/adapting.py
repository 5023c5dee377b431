"""A network of noise, fitted further to the one picture that it is to restore."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.flat_parameters import FlatParameters
from autoencode.pictures.crops import CropBatches, Crops
from autoencode.pictures.network import NoiseStep, middle, noise_and_slope
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["adapted_to_noise", "errs_less"]

Predictor = Callable[[Tensor, Tensor], Tensor]

_SIDE, _BATCH = 64, 4
_RATE, _AVERAGING, _CLIPPING = 5e-4, 0.05, 2.0
_EPOCHS = 5
"""How often it is judged on the way."""
_JUDGED = 256
"""Side of the middle of a picture by which the error is estimated."""


def adapted_to_noise(
    network: UNet, noisy: Tensor, restored: Tensor, level: float, steps: int
) -> UNet:
    """Return a network that knows the patterns of one picture.

    What was restored gets fresh noise of the same level, and the network learns to take it out
    again (internal adaptation of Vaksman et al., 2020). Whether this helps is told by Stein's
    estimate of the error, which needs no clean picture.
    The network with the least expected error on the way is kept, which may be that from before:
    in pictures without such patterns, what was lost at first would be unlearned.

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
    piece = middle(noisy, _JUDGED, network.step).to(device)[None]
    probe = torch.randn(piece.shape, generator=rng).sign().to(piece)
    found = copy.deepcopy(network).requires_grad_(True)
    flat = FlatParameters(found)
    crops = Crops([restored], None, torch.tensor([level]), "added", side)
    try:
        train(
            Task(
                flat,
                CropBatches(crops, _BATCH, -(-steps // _EPOCHS), device, level),
                NoiseStep(found, flat),
                lambda: expected_error(found, piece, probe, level),
            ),
            settings=Settings(_RATE, 0.0, averaging=_AVERAGING, clipping=_CLIPPING),
            budget=Budget(min(_EPOCHS, steps)),
            rng=rng,
            history=History(),
        )
    finally:
        flat.release()
    return found.requires_grad_(False)


def errs_less(network: UNet, other: Predictor, noisy: Tensor, level: float) -> bool:
    """Say whether a network probably makes less error in one picture than something else does.

    Parameters
    ----------
    network : UNet
        Predicts the noise.
    other : callable
        Does so as well.
    noisy : Tensor
        ``(n_colours, height, width)``, on the CPU; white is 1.
    level : float
        Deviation of the noise; white is 1.
    """
    piece = middle(noisy, _JUDGED, network.step).to(next(network.parameters()).device)[None]
    probe = torch.randn(piece.shape, generator=torch.Generator().manual_seed(0)).sign().to(piece)
    with torch.inference_mode():
        own, others = (expected_error(one, piece, probe, level) for one in (network, other))
    return own < others


def expected_error(network: Predictor, noisy: Tensor, probe: Tensor, level: float) -> float:
    """Return an estimate of the mean squared error of restored pictures (Stein, 1981).

    It is right in the mean for a network that was not fitted to these pictures, and too low
    for one that was. The mean slope is found along a random direction (Ramani et al., 2008).

    Parameters
    ----------
    network : callable
        Predicts the noise, as `UNet` does.
    noisy, probe : Tensor
        ``(batch, n_colours, height, width)``: pictures, and numbers of mean 0 and variance 1.
    level : float
        Deviation of the noise, in the units of the pictures.
    """
    square, slope = noise_and_slope(network, noisy, probe, level)
    return square + level**2 * (1 - 2 * slope)
