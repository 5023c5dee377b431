"""What networks of pictures share: turned forms, and the type of what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["PIECE", "in_type", "over_turns"]

Pixels = npt.NDArray[Any]

PIECE = 512
"""Side of the pieces that large pictures are taken in."""
_TURNS = 8


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
