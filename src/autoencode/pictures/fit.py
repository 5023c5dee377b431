"""Pictures of any size -> a network that takes noise out of pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.checkpoint import Checkpoint
from autoencode.errors import DataError
from autoencode.noise import Noise
from autoencode.pictures.crops import MOST_LEVEL, Crops, on_device
from autoencode.pictures.levels import noise_level
from autoencode.pictures.model import PictureModel, in_planes
from autoencode.pictures.network import NoiseStep, held_out_batches, mean_error
from autoencode.pictures.quality import figures_of
from autoencode.pictures.training import PictureRun, PictureTask, channels_of, white_of
from autoencode.pictures.wishes import PictureWishes

__all__ = ["Wishes", "fit_pictures"]

Pixels = npt.NDArray[Any]

_SIDE = 64
_LEAST_SIDE = 16
_MOST_VALUES = 1 << 26
"""Of larger sets of pictures a part of each is used, so that memory stays bounded."""
_STEPS_IN_ALL = 8000
_LEAST_NOISY = 12 / 255
"""Level from which pictures are taken to be noisy: fine texture alone seems to have up to this."""
_WHITE_CORRELATION, _LEAST_TOUCHED = 0.1, 0.98


@dataclass(frozen=True)
class Wishes(PictureWishes):
    """The same of a fit to take noise out.

    Attributes
    ----------
    rows : str
        "auto", "clean" or "noisy".
    blocks : int
        Residual blocks at each size, on each way.
    """

    rows: str
    blocks: int


def fit_pictures(
    pictures: Sequence[Pixels],
    targets: Sequence[Pixels] | None,
    wishes: Wishes,
    checkpoint: Checkpoint | None = None,
) -> PictureModel:
    """Fit to pictures; after Ctrl-C the model has what was learned until then.

    Parameters
    ----------
    pictures : sequence of ndarray of shape (height, width) or (height, width, n_colours)
        At least one; all with the same channels.
    targets : sequence of ndarray or None
        The same pictures without noise.
    wishes : Wishes
        How to fit.
    checkpoint : Checkpoint or None
        Where the state of training is kept.

    Returns
    -------
    PictureModel
        Its facts have the stop reason: "interrupted" after Ctrl-C.

    Raises
    ------
    DataError
        If pictures cannot be used.
    """
    run = PictureRun(wishes, checkpoint)
    n_colours = channels_of(pictures)
    network = run.drawn(UNet(n_colours, wishes.widths, wishes.blocks))
    white = white_of(pictures if targets is None else targets)
    parts = _cut(pictures, targets, white, n_colours, run.rng)
    situation, noise, crops = _situation(*parts, wishes.rows, network.step)
    training, held_out = crops.parted(wishes.validation_fraction, run.rng)
    batches = [
        (on_device(batch, wishes.device), on_device(target, wishes.device))
        for batch, target in held_out_batches(held_out, run.rng)
    ]
    task = PictureTask(
        "pictures",
        network,
        training,
        partial(NoiseStep, network),
        lambda: mean_error(network, batches),
        _STEPS_IN_ALL,
    )
    run.train(task)
    facts = run.facts(len(pictures), training, held_out) | {
        "noise": crops.noise,
        "held_out": figures_of(network, held_out, run.seed),
    }
    level = Noise("none") if noise is None else Noise("gaussian", noise * white)
    return PictureModel(network, white, facts, run.history.columns, situation, level)


def _cut(
    pictures: Sequence[Pixels],
    targets: Sequence[Pixels] | None,
    white: float,
    n_colours: int,
    rng: torch.Generator,
) -> tuple[list[Tensor], list[Tensor] | None, list[tuple[int, ...]]]:
    """Return pictures and targets as tensors, of very many pixels a part of each; and areas."""
    n_values = sum(picture.size for picture in pictures)
    share = min(1.0, math.sqrt(_MOST_VALUES / (n_values * (1 if targets is None else 2))))
    given: list[Tensor] = []
    wanted: list[Tensor] = []
    areas: list[tuple[int, ...]] = []
    for number, picture in enumerate(pictures):
        sides = picture.shape[:2]
        if min(sides) < _LEAST_SIDE:
            raise DataError(
                f"picture {number} is {sides[0]} x {sides[1]} pixels large; a fit needs "
                f"{_LEAST_SIDE} x {_LEAST_SIDE} at least: leave it out"
            )
        kept = [max(min(_SIDE, side), int(share * side)) for side in sides]
        draws = torch.rand(2, generator=rng).tolist()
        starts = [int(d * (a - b + 1)) for d, a, b in zip(draws, sides, kept, strict=True)]
        part = tuple(slice(start, start + side) for start, side in zip(starts, kept, strict=True))
        areas.append((number, *starts, *kept))
        given.append(torch.from_numpy(in_planes(picture[part], n_colours) / white))
        if targets is not None:
            if targets[number].shape != picture.shape:
                raise DataError(
                    f"target {number} has the shape {targets[number].shape}, its picture "
                    f"{picture.shape}: they should be the same"
                )
            wanted.append(torch.from_numpy(in_planes(targets[number][part], n_colours) / white))
    return given, wanted if targets is not None else None, areas


def _situation(
    given: list[Tensor],
    wanted: list[Tensor] | None,
    areas: list[tuple[int, ...]],
    rows: str,
    step: int,
) -> tuple[str, float | None, Crops]:
    """Return what there is to learn from, the level of the noise, and parts to learn from."""
    least = min(min(picture.shape[1:]) for picture in given)
    side = min(_SIDE, least // step * step)
    levels = torch.tensor([noise_level(p.permute(1, 2, 0).numpy()) for p in given])
    found = Crops(given, None, levels, "added", side, areas)
    if wanted is not None:
        steps = [noisy - clean for noisy, clean in zip(given, wanted, strict=True)]
        level = math.sqrt(float(np.mean([float(s.square().mean()) for s in steps])))
        if level == 0.0:
            raise DataError("X and target are the same: there is no noise to learn from")
        if all(_is_white(s) for s in steps):
            # Fresh noise of the same kind is more to learn from than these draws of it.
            return "pairs", level, replace(found, pictures=wanted)
        return "pairs", level, replace(found, targets=wanted, noise="given")
    level = float(levels.median())
    if rows == "noisy" or (rows == "auto" and level >= _LEAST_NOISY):
        return "noisy", level, replace(found, noise="doubled")
    return "clean", None, found


def _is_white(step: Tensor) -> bool:
    """Say whether noise is in every pixel, each for itself, and no stronger than is learned."""
    if float((step != 0).float().mean()) < _LEAST_TOUCHED or float(step.std()) > MOST_LEVEL:
        return False
    power = float(step.square().mean())
    pairs = (step[:, 1:] * step[:, :-1], step[:, :, 1:] * step[:, :, :-1])
    beside = max(abs(float(pair.mean())) for pair in pairs)
    heavy = float(step.pow(4).mean()) / power**2
    return beside < _WHITE_CORRELATION * power and heavy < 4.0
