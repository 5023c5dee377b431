"""Encoder and decoder of convolutional networks, with a linear path around the convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoencode.architectures.convolution import Grid, Narrowing, Widening, n_products
from autoencode.architectures.mlp import MlpDecoder, MlpEncoder
from autoencode.architectures.reduction import Reduction
from autoencode.interfaces import Context, Features, LinearStart

__all__ = ["ConvDecoder", "ConvEncoder"]


class ConvEncoder(nn.Module):
    """Convolutions and dense layers side by side, and the values for the linear path.

    Parameters
    ----------
    grid : Grid
        Of the pictures.
    reduction : Reduction or None
        What the dense layers and the linear path see; None: the pictures themselves.
    channels : sequence of int
        Of the convolutions, each time that sides are halved.
    dense : sequence of int
        Sizes of the dense layers.
    blocks : int
        Residual blocks at the smallest size, where they cost least.
    n_told : int
        What is told beside the values. As many numbers as there are values are a picture
        too: which pixels are missing, or what they were before noise was taken out.
    """

    def __init__(
        self,
        grid: Grid,
        reduction: Reduction | None,
        channels: Sequence[int],
        dense: Sequence[int],
        blocks: int,
        n_told: int,
    ) -> None:
        super().__init__()
        self.grid, self.reduction = grid, reduction
        self.widths = tuple(dense)
        self.n_products = n_products(channels, grid.halved(len(channels)))
        self.n_planes, self.n_others = divmod(n_told, grid.n_values)
        n_linear = grid.n_values if reduction is None else reduction.n_values
        n_heard = n_told if reduction is None else self.n_others
        self.dense = MlpEncoder((n_linear + n_heard, *dense), "silu")
        colours = grid.colours * (1 + self.n_planes)
        self.narrowing = Narrowing(colours, channels, grid.halved(len(channels)), blocks)
        first = self.narrowing.first.out_channels
        self.others = nn.Linear(self.n_others, first) if self.n_others else None

    def forward(self, x: Tensor, told: Tensor | None = None) -> Features:
        """Return hidden features and the values of the linear path."""
        values = x.flatten(1)
        found, others = self.narrowed(values, told)
        if self.reduction is not None:
            values, told = self.reduction.down(values), others
        features = self.dense(values, told)
        return Features(torch.cat([features.hidden, found.flatten(1)], 1), values)

    def narrowed(self, values: Tensor, told: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what convolutions find, ``(batch, channels, height, width)``.

        And those of the numbers that are told which are no picture.
        """
        planes, others = self._heard(told)
        pictures = [self.grid.pictures(part) for part in (values, *planes)]
        shift = None if self.others is None or others is None else self.others(others)
        whole = pictures[0] if len(pictures) == 1 else torch.cat(pictures, 1)
        return self.narrowing(whole, shift), others

    def _heard(self, told: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
        """Split what is told into pictures, which stand first and last, and other numbers."""
        if told is None:
            return [], None
        n_values, n_others = self.grid.n_values, self.n_others
        leading = n_values * (self.n_planes - (1 if n_others and self.n_planes else 0))
        parts = [*told[:, :leading].split(n_values, 1), told[:, leading + n_others :]]
        planes = [part for part in parts if part.shape[1]]
        return planes, told[:, leading : leading + n_others] if n_others else None

    def linear_start(self, start: LinearStart) -> LinearStart:
        """Return a start for the values of the linear path."""
        return start if self.reduction is None else self.reduction.encoding(start)


class ConvDecoder(nn.Module):
    """A draft by dense layers and the linear path, and what convolutions make of it.

    Parameters
    ----------
    grid, reduction, channels, blocks
        As of `ConvEncoder`.
    draft : MlpDecoder
        From codes to ``(batch, n_params, n_values)``, of reduced pictures if they are.
    n_params : int
        Parameters per value.
    """

    def __init__(
        self,
        grid: Grid,
        reduction: Reduction | None,
        channels: Sequence[int],
        draft: MlpDecoder,
        blocks: int,
        n_params: int,
    ) -> None:
        super().__init__()
        self.grid, self.reduction, self.n_params = grid, reduction, n_params
        self.draft = draft
        self.widening = Widening(
            draft.n_hidden,
            n_params * grid.colours,
            n_params * grid.colours,
            channels,
            grid.halved(len(channels)),
            blocks,
        )

    def forward(self, z: Tensor, context: Context) -> Tensor:
        """Return ``(batch, n_params, n_values)``."""
        hidden = self.draft.hidden(z, context)
        draft = self._whole(self.draft.joined(z, hidden))
        pictures = self.grid.pictures(draft.flatten(0, 1))
        if self.n_params > 1:
            pictures = pictures.unflatten(0, (-1, self.n_params)).flatten(1, 2)
        assert hidden is not None
        return draft + self.grid.values(self.widening(hidden, pictures), self.n_params)

    def _whole(self, values: Tensor) -> Tensor:
        return values if self.reduction is None else self.reduction.up(values)

    def linear_part(self, z: Tensor) -> Tensor:
        """Return what codes add to the values directly, ``(batch, n_params * n_values)``."""
        added = self.draft.linear_part(z)
        return self._whole(added.unflatten(1, self.draft.shape)).flatten(1)

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to the inverse of PCA's; what is added to it to zero."""
        self.widening.output.weight.zero_()
        if self.widening.output.bias is not None:
            self.widening.output.bias.zero_()
        self.draft.start_linear(start if self.reduction is None else self.reduction.decoding(start))

    @torch.no_grad()
    def copy_prefix(self, longer: ConvDecoder) -> None:
        """Take over a decoder of longer codes, for codes cut to this one's length."""
        self.draft.copy_prefix(longer.draft)
        self.widening.load_state_dict(longer.widening.state_dict())
