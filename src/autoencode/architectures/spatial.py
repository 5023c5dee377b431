"""Codes that are small pictures: each number tells of one place, wherever it lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoencode.architectures.conv_modules import ConvEncoder
from autoencode.architectures.convolution import Grid, Widening
from autoencode.architectures.reduction import Reduction
from autoencode.interfaces import Context, Features, LinearStart

__all__ = ["Patches", "SpatialDecoder", "SpatialEncoder", "local_start"]

_LEAST_DEVIATION = 1e-3
"""Of a local component, over the largest one's: what is hardly there is not blown up."""


@dataclass(frozen=True)
class Patches:
    """How pictures are cut into as many patches as a code has places.

    Attributes
    ----------
    grid : Grid
        Of the pictures.
    rows, columns : int
        Places from top to bottom and from left to right. Where sides are no multiple, the
        last patches reach over the edge, and are zero there.
    """

    grid: Grid
    rows: int
    columns: int

    @property
    def count(self) -> int:
        """The number of places."""
        return self.rows * self.columns

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a patch."""
        return -(-self.grid.height // self.rows), -(-self.grid.width // self.columns)

    @property
    def n_values(self) -> int:
        """The number of values of a patch."""
        return math.prod(self.size) * self.grid.colours

    def cut(self, values: Tensor) -> Tensor:
        """Return ``(..., places, values of a patch)`` from ``(..., values of a picture)``."""
        grid, (height, width) = self.grid, self.size
        pictures = values.unflatten(-1, (grid.height, grid.width, grid.colours))
        below, right = self.rows * height - grid.height, self.columns * width - grid.width
        padded = nn.functional.pad(pictures, (0, 0, 0, right, 0, below))
        parts = padded.unflatten(-2, (self.columns, width)).unflatten(-4, (self.rows, height))
        result: Tensor = parts.transpose(-4, -3).flatten(-3).flatten(-3, -2)
        return result

    def joined(self, patches: Tensor) -> Tensor:
        """Return the opposite."""
        grid, (height, width) = self.grid, self.size
        parts = patches.unflatten(-1, (height, width, grid.colours))
        parts = parts.unflatten(-4, (self.rows, self.columns)).transpose(-4, -3)
        pictures = parts.flatten(-3, -2).flatten(-4, -3)
        result: Tensor = pictures[..., : grid.height, : grid.width, :].flatten(-3)
        return result


class SpatialEncoder(ConvEncoder):
    """Convolutions, and patches for a linear path; each place's features side by side.

    Parameters
    ----------
    grid, reduction, channels, blocks, n_told
        As of `ConvEncoder`.
    patches : Patches
        Of what the linear path sees.
    """

    def __init__(
        self,
        grid: Grid,
        reduction: Reduction | None,
        channels: Sequence[int],
        blocks: int,
        n_told: int,
        patches: Patches,
    ) -> None:
        super().__init__(grid, reduction, channels, (), blocks, n_told)
        self.patches = patches

    def forward(self, x: Tensor, told: Tensor | None = None) -> Features:
        """Return ``(batch, places * channels)`` and ``(batch, places * values of a patch)``."""
        values = x.flatten(1)
        found, _ = self.narrowed(values, told)
        if self.reduction is not None:
            values = self.reduction.down(values)
        return Features(found.permute(0, 2, 3, 1).flatten(1), self.patches.cut(values).flatten(1))

    def linear_start(self, start: LinearStart) -> LinearStart:
        """Return a start for the values of a patch."""
        return local_start(start, self.patches, self.reduction)


class SpatialDecoder(nn.Module):
    """A draft patch by patch, and what convolutions make of it and of the code.

    Parameters
    ----------
    grid, reduction, channels, blocks, n_params
        As of `autoencode.architectures.conv_modules.ConvDecoder`.
    patches : Patches
        Of what the linear path draws.
    n_maps : int
        Numbers of a code at each place.
    sized : bool
        Whether it is told which numbers are cut off.
    """

    def __init__(
        self,
        grid: Grid,
        reduction: Reduction | None,
        channels: Sequence[int],
        blocks: int,
        n_params: int,
        patches: Patches,
        n_maps: int,
        *,
        sized: bool,
    ) -> None:
        super().__init__()
        self.grid, self.reduction, self.patches = grid, reduction, patches
        self.n_params, self.n_maps, self.sized = n_params, n_maps, sized
        self.linear_path = nn.Linear(n_maps, n_params * patches.n_values, bias=False)
        self.offset = nn.Parameter(torch.zeros(n_params * patches.grid.n_values))
        n_outputs = n_params * grid.colours
        self.widening = Widening(
            (2 if sized else 1) * n_maps,
            n_outputs,
            n_outputs,
            channels,
            grid.halved(len(channels)),
            blocks,
            local=True,
        )

    def forward(self, z: Tensor, context: Context) -> Tensor:
        """Return ``(batch, n_params, n_values)``."""
        maps = self._maps(z)
        if self.sized:
            kept = torch.ones_like(z)
            if context.size is not None:
                places = torch.arange(z.shape[1], device=z.device)
                kept = (places < context.size[:, None]).to(z.dtype)
            maps = torch.cat([maps, self._maps(kept)], 1)
        draft = self._whole(self._drawn(z) + self.offset.unflatten(0, (self.n_params, -1)))
        pictures = self.grid.pictures(draft.flatten(0, 1))
        if self.n_params > 1:
            pictures = pictures.unflatten(0, (-1, self.n_params)).flatten(1, 2)
        return draft + self.grid.values(self.widening(maps, pictures), self.n_params)

    def _maps(self, z: Tensor) -> Tensor:
        maps: Tensor = z.unflatten(1, (self.n_maps, self.patches.rows, self.patches.columns))
        return maps

    def _drawn(self, z: Tensor) -> Tensor:
        """Return what the linear path draws, ``(batch, n_params, values)``."""
        local = z.unflatten(1, (self.n_maps, self.patches.count)).transpose(1, 2)
        patches = self.linear_path(local).unflatten(2, (self.n_params, -1))
        return self.patches.joined(patches.transpose(1, 2))

    def _whole(self, values: Tensor) -> Tensor:
        return values if self.reduction is None else self.reduction.up(values)

    def linear_part(self, z: Tensor) -> Tensor:
        """Return what codes add to the values directly, ``(batch, n_params * n_values)``."""
        return self._whole(self._drawn(z)).flatten(1)

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to the inverse of the patches' PCA; what is added to it to zero."""
        output = self.widening.output
        output.weight.zero_()
        if output.bias is not None:
            output.bias.zero_()
        local = local_start(start, self.patches, self.reduction)
        inverse = (local.components * local.deviations[:, None]).T
        self.offset.zero_()
        if start.link is not None:
            # Patches have one line for all places.
            inverse = inverse * start.link.gain.mean()
            low = start.link.offset
            low = low if self.reduction is None else self.reduction.down(low)
            self.offset[: len(low)] = low
        self.linear_path.weight.zero_()
        self.linear_path.weight[: self.patches.n_values] = inverse

    @torch.no_grad()
    def copy_prefix(self, longer: SpatialDecoder) -> None:
        """Take over a decoder of longer codes, for codes cut to this one's length."""
        state, count = longer.state_dict(), self.n_maps
        state["linear_path.weight"] = state["linear_path.weight"][:, :count]
        seed = state["widening.seed.weight"]
        parts = [seed[:, :count]]
        if self.sized:
            parts.append(seed[:, longer.n_maps : longer.n_maps + count])
        state["widening.seed.weight"] = torch.cat(parts, 1)
        self.load_state_dict(state)


def local_start(start: LinearStart, patches: Patches, reduction: Reduction | None) -> LinearStart:
    """Return PCA of patches, all places alike, from that of whole pictures.

    Principal components and their deviations tell how pixels hang together, those of a patch
    too; what they leave out is left out. Probabilistic PCA (Tipping and Bishop, 1999, eq. 6)
    gives posteriors.

    Parameters
    ----------
    start : LinearStart
        Of whole pictures, around zero.
    patches : Patches
        Of reduced pictures, if there is a reduction.
    reduction : Reduction or None
        What the linear path sees.

    Returns
    -------
    LinearStart
        ``components`` is ``(n_maps, values of a patch)``.
    """
    n_maps = len(start.components) // patches.count
    weighted = start.components.double() * start.deviations.double()[:, None]
    low = weighted if reduction is None else reduction.down(weighted)
    parts = patches.cut(low).flatten(0, 1)
    variances, vectors = torch.linalg.eigh(parts.T @ parts / patches.count)
    count = min(n_maps, len(variances))
    components = parts.new_zeros(n_maps, parts.shape[1])
    components[:count] = vectors.T.flip(0)[:count]
    deviations = parts.new_ones(n_maps)
    found = variances.flip(0)[:count].clamp_min(0.0).sqrt()
    largest = float(found.max()) or 1.0
    deviations[:count] = found.clamp_min(_LEAST_DEVIATION * largest)
    local = replace(start, components=components, deviations=deviations, encoder=None)
    if start.log_var is None or start.scale is None:
        return replace(local, link=None, log_var=None)
    squares = deviations.square()
    shrinkage = squares / (squares + start.scale**2)
    encoder = (components * (shrinkage / deviations)[:, None], torch.zeros_like(deviations))
    return replace(local, link=None, encoder=encoder, log_var=torch.log1p(-shrinkage))
