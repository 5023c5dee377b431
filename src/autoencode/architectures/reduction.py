"""Pictures at a lower resolution, and back: for paths that would be too wide otherwise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from autoencode.architectures.convolution import Grid
from autoencode.interfaces import LinearStart, LinkStart

__all__ = ["Reduction"]


class Reduction(nn.Module):
    """Average pixels over larger ones, and draw lines between those to come back.

    Parameters
    ----------
    grid : Grid
        Of the pictures.
    most : int
        How many values there may be after it, at most (one per colour at least).

    Attributes
    ----------
    n_values : int
        How many there are.
    """

    down_height: Tensor
    down_width: Tensor
    up_height: Tensor
    up_width: Tensor

    def __init__(self, grid: Grid, most: int) -> None:
        super().__init__()
        self.grid = grid
        sides, factor = (grid.height, grid.width), 1
        while math.prod(sides) * grid.colours > most and max(sides) > 1:
            factor += 1
            sides = (-(-grid.height // factor), -(-grid.width // factor))
        self.low = Grid(*sides, grid.colours)
        self.n_values = self.low.n_values
        for name, many, few in (
            ("height", grid.height, sides[0]),
            ("width", grid.width, sides[1]),
        ):
            self.register_buffer(f"down_{name}", _averages(many, few), persistent=False)
            self.register_buffer(f"up_{name}", _lines(few, many), persistent=False)

    def down(self, rows: Tensor) -> Tensor:
        """Return ``(..., n_values)`` from ``(..., n_values of the pictures)``."""
        return _both(rows, self.grid, self.down_height, self.down_width)

    def up(self, rows: Tensor) -> Tensor:
        """Return the opposite, as near as lines between the larger pixels come."""
        return _both(rows, self.low, self.up_height, self.up_width)

    def encoding(self, start: LinearStart) -> LinearStart:
        """Return a start for codes of reduced rows: about the same codes."""
        weights, encoder = start.components, start.encoder
        if encoder is not None:
            encoder = (self._transposed(encoder[0]), encoder[1])
        center = None if start.center is None else self.down(start.center)
        return replace(
            start, components=self._transposed(weights), center=center, encoder=encoder, link=None
        )

    def decoding(self, start: LinearStart) -> LinearStart:
        """Return a start for reduced rows from codes: about the same rows, reduced."""
        link = start.link
        if link is not None:
            link = LinkStart(self.down(link.gain), self.down(link.offset))
        center = None if start.center is None else self.down(start.center)
        return replace(start, components=self.down(start.components), center=center, link=link)

    def _transposed(self, weights: Tensor) -> Tensor:
        """Return weights of the reduced values that do about the same."""
        return _both(weights, self.grid, self.up_height.t(), self.up_width.t())


def _both(rows: Tensor, grid: Grid, height: Tensor, width: Tensor) -> Tensor:
    """Multiply along both axes."""
    shaped = rows.unflatten(-1, (grid.height, grid.width, grid.colours))
    height, width = height.to(rows.dtype), width.to(rows.dtype)
    shaped = torch.matmul(width, torch.tensordot(height, shaped.movedim(-3, 0), 1).movedim(0, -3))
    return shaped.flatten(-3)


def _averages(many: int, few: int) -> Tensor:
    """Return ``(few, many)``: the share of each pixel in each larger one, rows adding up to 1."""
    edges = torch.arange(few + 1, dtype=torch.float64, device="cpu") * (many / few)
    places = torch.arange(many, dtype=torch.float64, device="cpu")
    least = torch.maximum(edges[:-1, None], places)
    most = torch.minimum(edges[1:, None], places + 1.0)
    return ((most - least).clamp_min(0.0) * (few / many)).float()


def _lines(few: int, many: int) -> Tensor:
    """Return ``(many, few)``: linear interpolation between the middles of larger pixels."""
    pixels = torch.eye(few, device="cpu")[None]
    drawn = nn.functional.interpolate(pixels, size=many, mode="linear", align_corners=False)
    return drawn[0].t().contiguous()
