"""Pictures of any size -> a network that fills holes in pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.checkpoint import Checkpoint
from autoencode.errors import DataError
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.pictures.crops import Crops
from autoencode.pictures.hole_model import HoleModel
from autoencode.pictures.hole_network import drawn_holes, filled, hole_errors, smooth
from autoencode.pictures.training import PictureRun, PictureTask, channels_of, white_of
from autoencode.pictures.wishes import PictureWishes

__all__ = ["fit_holes"]

Pixels = npt.NDArray[Any]

_BLOCKS, _SIDE = 1, 64
_BATCH, _STEPS_IN_ALL = 8, 6000
_JUDGED = 48
_FINEST = 1e-5
"""Errors far below this, a PSNR of 50 dB, gain nothing more."""
_SHOWN = (0.25, 0.5)


class HoleStep:
    """Logarithm of the mean squared error in a picture's holes, mean over pictures.

    That is PSNR, which counts smooth pictures as much as rough ones.
    """

    terms: tuple[str, ...] = ("error",)

    def __init__(
        self, network: UNet, flat: FlatParameters, white: float, rng: torch.Generator
    ) -> None:
        self.network, self.flat, self.white, self.rng = network, flat, white, rng

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return the loss, ``(1,)``, detached."""
        self.flat.gradients.zero_()
        pictures = target.x.float() / self.white
        holes = drawn_holes(len(pictures), pictures.shape[2], self.rng).to(pictures.device)
        errors = hole_errors(filled(self.network, pictures, holes), pictures, holes)
        loss = torch.log(errors + _FINEST).mean()
        loss.backward()
        terms: Tensor = loss.detach()[None]
        return terms


def fit_holes(
    pictures: Sequence[Pixels], wishes: PictureWishes, checkpoint: Checkpoint | None = None
) -> HoleModel:
    """Fit to pictures; after Ctrl-C the model has what was learned until then.

    Parameters
    ----------
    pictures : sequence of ndarray of shape (height, width) or (height, width, n_colours)
        At least one; all with the same channels.
    wishes : PictureWishes
        How to fit.
    checkpoint : Checkpoint or None
        Where the state of training is kept.

    Returns
    -------
    HoleModel
        Its facts have the stop reason: "interrupted" after Ctrl-C.

    Raises
    ------
    DataError
        If pictures cannot be used.
    """
    run = PictureRun(wishes, checkpoint)
    network = run.drawn(UNet(channels_of(pictures) + 1, wishes.widths, _BLOCKS))
    white = white_of(pictures)
    crops = _crops(pictures, network.step)
    training, held_out = crops.parted(wishes.validation_fraction, run.rng)
    judged = [part.to(wishes.device) for part in _judged(held_out, white, run.rng)]
    task = PictureTask(
        "holes",
        network,
        training,
        lambda flat: HoleStep(network, flat, white, run.rng),
        lambda: _error(network, *judged),
        _STEPS_IN_ALL,
    )
    run.train(task)
    figures = _figures(network, held_out, white, run.seed)
    facts = run.facts(len(pictures), training, held_out) | {"held_out": figures}
    return HoleModel(network, white, facts, run.history.columns)


def _crops(pictures: Sequence[Pixels], step: int) -> Crops:
    """Return where parts come from; pictures stay in their own type, which takes less memory."""
    least = min(min(picture.shape[:2]) for picture in pictures)
    if least < step:
        raise DataError(
            f"a picture has a side of {least} pixels; a fit needs {step} at least: leave it out"
        )
    if not all(np.isfinite(picture).all() for picture in pictures):
        raise DataError("a picture has missing or infinite values: a fit needs whole pictures")
    planes, areas = [], []
    for number, picture in enumerate(pictures):
        shaped = picture[..., None] if picture.ndim == 2 else picture
        kept = shaped if shaped.dtype == np.uint8 else shaped.astype(np.float32)
        planes.append(torch.from_numpy(np.ascontiguousarray(kept.transpose(2, 0, 1))))
        areas.append((number, 0, 0, *picture.shape[:2]))
    side = min(_SIDE, least // step * step)
    return Crops(planes, None, torch.zeros(len(planes)), "given", side, areas)


def _judged(held_out: Crops, white: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return parts and holes to judge by: the same whenever it is asked."""
    parts = held_out.draw(_JUDGED, rng)[1].x.float() / white
    return parts, drawn_holes(_JUDGED, held_out.side, rng)


@torch.inference_mode()
def _error(network: UNet, pictures: Tensor, holes: Tensor) -> float:
    """Return the geometric mean of squared errors over pictures."""
    parts = zip(pictures.split(_BATCH), holes.split(_BATCH), strict=True)
    errors = torch.cat([hole_errors(filled(network, *part), *part) for part in parts])
    return math.exp(float(torch.log(errors + _FINEST).mean()))


@torch.inference_mode()
def _figures(network: UNet, held_out: Crops, white: float, seed: int) -> list[dict[str, Any]]:
    """Return the mean PSNR of holes of some sizes, filled smoothly and by the network."""
    rng = torch.Generator().manual_seed(seed)
    pictures = held_out.draw(_JUDGED, rng)[1].x.float() / white
    rows = []
    for share in _SHOWN:
        holes = drawn_holes(_JUDGED, held_out.side, rng, share=share)
        errors = [
            hole_errors(found, pictures, holes)
            for found in (smooth(pictures, holes), _restored(network, pictures, holes))
        ]
        ratios = [-10 * torch.log10(part + 1e-12) for part in errors]
        for kind, start in (("blocks", 0), ("pixels", 1)):
            figures = (float(part[start::2].mean()) for part in ratios)
            rows.append({"holes": kind, "share": share, **dict(zip(_NAMES, figures, strict=True))})
    return rows


_NAMES = ("smooth", "restored")


def _restored(network: UNet, pictures: Tensor, holes: Tensor) -> Tensor:
    device = next(network.parameters()).device
    parts = zip(pictures.split(_BATCH), holes.split(_BATCH), strict=True)
    return torch.cat([filled(network, *(x.to(device) for x in part)).cpu() for part in parts])
