"""Pictures of any size -> a network that fills holes in pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.errors import DataError
from autoencode.flat_parameters import FlatParameters
from autoencode.hole_model import HoleModel
from autoencode.hole_network import drawn_holes, filled, hole_errors, smooth
from autoencode.interfaces import Batch, Context
from autoencode.numerics import choose_threads, threads
from autoencode.picture_crops import CropBatches, Crops
from autoencode.picture_fit import white_of
from autoencode.picture_wishes import PictureWishes
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["fit_holes"]

Pixels = npt.NDArray[Any]

_BLOCKS, _SIDE = 1, 64
_BATCH, _STEPS_IN_ALL = 8, 6000
_JUDGED = 48
_FINEST = 1e-5
"""Errors far below this, a PSNR of 50 dB, gain nothing more."""
_HOLD = 0.3
_AVERAGED, _LEAST_AVERAGING, _MOST_AVERAGING = 0.1, 0.002, 0.1
_SHOWN = (0.25, 0.5)


class _HoleStep:
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


def fit_holes(pictures: Sequence[Pixels], wishes: PictureWishes) -> HoleModel:
    """Fit to pictures; after Ctrl-C the model has what was learned until then.

    Parameters
    ----------
    pictures : sequence of ndarray of shape (height, width) or (height, width, n_colours)
        At least one; all with the same channels.
    wishes : PictureWishes
        How to fit.

    Returns
    -------
    HoleModel
        Its facts have the stop reason: "interrupted" after Ctrl-C.

    Raises
    ------
    DataError
        If pictures cannot be used.
    """
    begun = time.perf_counter()
    rng = torch.Generator().manual_seed(wishes.seed)
    n_colours = 1 if pictures[0].ndim == 2 else pictures[0].shape[-1]
    network = UNet(n_colours + 1, wishes.widths, _BLOCKS)
    network.draw(rng)
    network.to(wishes.device)
    white = white_of(pictures)
    training, held_out = _crops(pictures, network.step).parted(wishes.validation_fraction, rng)
    judged = _judged(held_out, white, rng)
    history = History()
    try:
        _trained(network, training, white, judged, wishes, rng, history)
    except KeyboardInterrupt:
        if not history.columns:
            raise
    network.requires_grad_(False)
    facts = {
        "n_pictures": len(pictures),
        "n_pixels": int(sum(p.shape[0] * p.shape[1] for p in pictures)),
        "seconds": time.perf_counter() - begun,
        "stop_reason": history.stop_reason,
        "held_out": _figures(network, held_out, white, wishes.seed),
    }
    return HoleModel(network, white, facts, history.columns)


def _crops(pictures: Sequence[Pixels], step: int) -> Crops:
    """Return where parts come from; pictures stay in their own type, which takes less memory."""
    least = min(min(picture.shape[:2]) for picture in pictures)
    if least < step:
        raise DataError(
            f"a picture has a side of {least} pixels; a fit needs {step} at least: leave it out"
        )
    if not all(np.isfinite(picture).all() for picture in pictures):
        raise DataError("a picture has missing or infinite values: a fit needs whole pictures")
    planes = []
    for picture in pictures:
        shaped = picture[..., None] if picture.ndim == 2 else picture
        kept = shaped if shaped.dtype == np.uint8 else shaped.astype(np.float32)
        planes.append(torch.from_numpy(np.ascontiguousarray(kept.transpose(2, 0, 1))))
    side = min(_SIDE, least // step * step)
    return Crops(planes, None, torch.zeros(len(planes)), "given", side)


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


def _trained(
    network: UNet,
    training: Crops,
    white: float,
    judged: tuple[Tensor, Tensor],
    wishes: PictureWishes,
    rng: torch.Generator,
    history: History,
) -> None:
    batch_size, n_steps, epochs = wishes.sizes(training, _STEPS_IN_ALL)
    pictures, holes = (part.to(wishes.device) for part in judged)
    flat, report = FlatParameters(network), wishes.report
    task = Task(
        flat,
        CropBatches(training, batch_size, n_steps, wishes.device),
        _HoleStep(network, flat, white, rng),
        lambda: _error(network, pictures, holes),
    )
    averaging = min(max(1 / (_AVERAGED * epochs * n_steps), _LEAST_AVERAGING), _MOST_AVERAGING)
    settings = Settings(
        wishes.learning_rate, 0.0, patience=max(10, epochs // 4), hold=_HOLD, averaging=averaging
    )
    flops = 6.0 * flat.values.numel() * batch_size * training.side**2 / 16
    try:
        with threads(choose_threads(flops, wishes.n_threads)):
            train(
                task,
                settings=settings,
                budget=Budget(epochs, wishes.max_time),
                rng=rng,
                history=history.begin("holes", 0.0),
                on_epoch=None if report is None else lambda found: report("holes", found),
            )
    finally:
        flat.release()


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
