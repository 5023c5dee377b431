"""What networks of pictures share: pieces of large ones, turned forms, the type that comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet

__all__ = ["PIECE", "in_type", "over_pieces", "over_turns"]

Pixels = npt.NDArray[Any]

PIECE = 512
"""Side of the pieces that large pictures are taken in."""
_TURNS = 8


@torch.inference_mode()
def over_pieces(
    network: UNet,
    process: Callable[..., Tensor],
    *planes: Tensor,
    where: Tensor | None = None,
) -> Tensor:
    """Return what is made of planes of any size, piece by piece, each with what is around it.

    Parameters
    ----------
    network : UNet
        Says how far around a piece there is to be seen, and where pictures are.
    process : callable
        Takes pieces of the planes, and returns a tensor of the first one's shape.
    planes : Tensor
        ``(..., height, width)``, of one size, on the CPU.
    where : Tensor or None
        ``(height, width)``, of bool: pieces without any of it stay as they are in the first plane.

    Returns
    -------
    Tensor
        The shape of the first plane.
    """
    height, width = planes[0].shape[-2:]
    # Sides that are no multiples of the step go on in the mirror.
    rows, columns = (
        torch.from_numpy(np.pad(np.arange(side), (0, -side % network.step), "symmetric"))
        for side in (height, width)
    )
    padded = [plane[..., rows, :][..., columns] for plane in planes]
    device = next(network.parameters()).device
    result = planes[0].clone()
    for down, tall, seen_rows in _pieces(height, len(rows), network.margin):
        for right, wide, seen_columns in _pieces(width, len(columns), network.margin):
            kept = (..., slice(down, down + tall), slice(right, right + wide))
            if where is not None and not where[kept].any():
                continue
            seen = [plane[..., seen_rows, seen_columns].to(device) for plane in padded]
            a, b = down - seen_rows.start, right - seen_columns.start
            result[kept] = process(*seen)[..., a : a + tall, b : b + wide].cpu()
    return result


def _pieces(side: int, padded: int, margin: int) -> Iterator[tuple[int, int, slice]]:
    """Yield where pieces of a side begin, how long they are, and what has to be seen for them."""
    for start in range(0, side, PIECE):
        stop = min(start + PIECE, side)
        seen = slice(max(0, start - margin), min(padded, start + PIECE + margin))
        yield start, stop - start, seen


def over_turns(network: Callable[..., Tensor], *planes: Tensor) -> Tensor:
    """Return the mean of what a network makes of the eight turned and mirrored forms.

    Parameters
    ----------
    network : callable
        Takes the planes, and returns a tensor of the first one's shape.
    planes : Tensor
        ``(..., height, width)``: all are turned alike.
    """
    total = torch.zeros_like(planes[0])
    for turn in range(_TURNS):
        total += _back(network(*(_turned(plane, turn) for plane in planes)), turn)
    return total / _TURNS


def _turned(plane: Tensor, turn: int) -> Tensor:
    turned = torch.rot90(plane, turn % 4, (-2, -1))
    return turned.flip(-1) if turn >= 4 else turned


def _back(plane: Tensor, turn: int) -> Tensor:
    return torch.rot90(plane.flip(-1) if turn >= 4 else plane, -(turn % 4), (-2, -1))


def in_type(values: Pixels, dtype: np.dtype[Any]) -> Pixels:
    """Return values in a type; whole numbers are rounded, and stay in their range."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)
