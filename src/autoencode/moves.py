"""Pictures moved and mirrored at random: what training may see in place of the pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoencode.errors import SpecError

__all__ = ["AUGMENTATIONS", "Moves", "nearby_places", "shifted_places"]

AUGMENTATIONS = ("none", "shift", "shift_flip")
_FARTHEST = 1
_MOVED = 0.5
"""Share of pictures that are moved at all: they are asked for where they are."""


class Moves:
    """Move half of the pictures of a batch by a pixel in any direction; what enters is the edge.

    Parameters
    ----------
    shape : sequence of int
        Of a picture: ``(height, width)`` or ``(height, width, colours)``; of a line of pixels
        ``(n_values,)``.
    kind : {"shift", "shift_flip"}
        The latter mirrors every other picture left to right too.
    center, scale : Tensor
        ``(n_values,)``: pixels are ``center + scale * values``, and it is those that move.

    Raises
    ------
    SpecError
        If ``kind`` is something else.
    """

    def __init__(self, shape: Sequence[int], kind: str, center: Tensor, scale: Tensor) -> None:
        if kind not in AUGMENTATIONS[1:]:
            raise SpecError(
                f"augmentation={kind!r} is not known; choose from auto, {', '.join(AUGMENTATIONS)}"
            )
        tables = torch.stack([shifted_places(shape, 0, 0), *nearby_places(shape, _FARTHEST)])
        self.n_moves, self.flips = len(tables), kind == "shift_flip"
        if self.flips:
            tables = torch.cat([tables, _mirrored(shape)[tables]])
        self.tables = tables.to(center.device)
        self.center, self.scale = center, scale

    def __call__(
        self, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Return rows, and targets if there are any, each moved as its row.

        Parameters
        ----------
        x, y : Tensor
            ``(batch, n_values)``.
        rng : torch.Generator
            Says which are moved where.
        """
        coins = torch.rand(len(x), 3, generator=rng, device=rng.device).to(x.device)
        where = 1 + (coins[:, 1] * (self.n_moves - 1)).long().clamp_max(self.n_moves - 2)
        choice = torch.where(coins[:, 0] < _MOVED, where, 0)
        if self.flips:
            choice = choice + self.n_moves * (coins[:, 2] < 0.5)
        places = self.tables[choice]
        return self._moved(x, places), None if y is None else self._moved(y, places)

    def _moved(self, x: Tensor, places: Tensor) -> Tensor:
        pixels = torch.addcmul(self.center, x, self.scale)
        return (pixels.gather(1, places) - self.center) / self.scale


def shifted_places(shape: Sequence[int], down: int, right: int) -> Tensor:
    """Return from which place each value comes when a picture moves, ``(n_values,)``.

    Parameters
    ----------
    shape : sequence of int
        As of `Moves`.
    down, right : int
        Pixels; what enters is the edge.
    """
    height, width, colours = _sides(shape)
    lines = (torch.arange(height) - down).clamp(0, height - 1)
    columns = (torch.arange(width) - right).clamp(0, width - 1)
    pixels = lines[:, None] * width + columns
    return (pixels[:, :, None] * colours + torch.arange(colours)).flatten()


def nearby_places(shape: Sequence[int], farthest: int) -> Tensor:
    """Return the same for all ways of moving a picture at all, ``(ways, n_values)``.

    Parameters
    ----------
    shape : sequence of int
        As of `Moves`.
    farthest : int
        Pixels, at most, in either direction.
    """
    far = range(-farthest, farthest + 1)
    steps = [(down, right) for down in (far if len(shape) > 1 else (0,)) for right in far]
    return torch.stack([shifted_places(shape, *step) for step in steps if any(step)])


def _mirrored(shape: Sequence[int]) -> Tensor:
    height, width, colours = _sides(shape)
    places = torch.arange(height * width * colours).reshape(height, width, colours)
    return places.flip(1).flatten()


def _sides(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return height, width and colours; a line of pixels is one high."""
    height, width = (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])
    return height, width, shape[2] if len(shape) == 3 else 1
