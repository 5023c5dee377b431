"""Holes in pictures: blocks of many sizes, and single pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Corruption, Layout

__all__ = ["Holes", "blocks"]

_MOST_BLOCKS = 4
_LONGEST = 2.0
"""How many times as long as wide a block may be."""


class Holes(Corruption):
    """Make blocks of pixels missing, or single ones, so that they must be restored.

    Every row loses a share of its pixels, drawn evenly from ``level``, all colours of a pixel
    together. Of columns that are no pictures blocks are runs of neighbours.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : pair of float
        The least and the greatest share of a row that is hidden.
    blocks : float
        Share of the rows that lose up to four blocks; the others lose single pixels.
    """

    hides = True

    def __init__(
        self, layout: Layout, level: Sequence[float] = (0.05, 0.6), blocks: float = 0.6
    ) -> None:
        self.lowest, self.highest = _shares(level)
        if not 0 <= blocks <= 1:
            raise SpecError(f"corruption 'holes': blocks={blocks!r} should lie in [0, 1]")
        self.blocks = float(blocks)
        self.columns = layout.columns()
        self.shape = layout.shape if layout.is_picture else (1, layout.n_columns)

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return rows in which fewer values are observed; hidden ones are zero."""
        x = batch.x
        coins = torch.rand(len(x), 2, generator=rng, device=x.device)
        share = self.lowest + (self.highest - self.lowest) * coins[:, :1]
        height, width = self.shape[:2]
        single = torch.rand(len(x), height * width, generator=rng, device=x.device) < share
        hidden = self._spread(single)
        whole = blocks(self.shape, share, rng, most=_MOST_BLOCKS)
        hidden = torch.where(coins[:, 1:] < self.blocks, whole, hidden)
        kept = ~hidden[:, self.columns.to(x.device)]
        if batch.observed is not None:
            kept = kept & batch.observed
        return batch._replace(x=x * kept, observed=kept)

    def _spread(self, pixels: Tensor) -> Tensor:
        """Say of each value what is said of its pixel."""
        colours = self.shape[2] if len(self.shape) == 3 else 1
        return pixels.repeat_interleave(colours, 1)


def blocks(shape: Sequence[int], share: Tensor, rng: torch.Generator, *, most: int = 1) -> Tensor:
    """Return which values of pictures lie in blocks of pixels, ``(batch, n_values)``.

    Parameters
    ----------
    shape : sequence of int
        ``(height, width)`` or ``(height, width, colours)``.
    share : Tensor
        ``(batch, 1)``: which part of each picture they take up; less where they overlap.
    rng : torch.Generator
        For their places, and their forms if there may be several.
    most : int
        Blocks of a picture, at most. A single one has the form of the picture.
    """
    height, width = shape[:2]
    count, device = len(share), share.device

    def uniform() -> Tensor:
        return torch.rand(count, most, generator=rng, device=device)

    number = 1 + torch.floor(uniform()[:, :1] * most).clamp_max(most - 1)
    longer = _LONGEST ** (2 * uniform() - 1) if most > 1 else torch.ones(count, 1, device=device)
    side = torch.sqrt(share / number)
    exists = torch.arange(most, device=device) < number
    lines = _runs(height, side * torch.sqrt(longer), uniform(), flat=height == 1)
    full = share / number if height == 1 else side / torch.sqrt(longer)
    columns = _runs(width, full, uniform(), flat=False)
    inside = lines[:, :, :, None] & columns[:, :, None, :] & exists[:, :, None, None]
    pixels = inside.any(1).flatten(1)
    return pixels.repeat_interleave(math.prod(shape[2:]), 1)


def _runs(side: int, share: Tensor, start: Tensor, *, flat: bool) -> Tensor:
    """Return which pixels of a side each block covers, ``(batch, blocks, side)``."""
    places = torch.arange(side, device=share.device)
    if flat:
        return torch.ones(*share.shape, side, dtype=torch.bool, device=share.device)
    length = torch.round(share * side).clamp(1, side)[:, :, None]
    first = torch.floor(start[:, :, None] * (side - length + 1))
    return (places >= first) & (places < first + length)


def _shares(level: Sequence[float]) -> tuple[float, float]:
    try:
        lowest, highest = (float(share) for share in level)
    except (TypeError, ValueError):
        lowest, highest = math.nan, math.nan
    if not 0 <= lowest <= highest <= 1 or highest == 0:
        raise SpecError(
            f"corruption 'holes': level={level!r} should be a pair of shares between 0 and 1"
        )
    return lowest, highest
