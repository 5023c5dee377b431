"""A U-shaped network with skip connections: what noise there is in pictures of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["UNet"]

_SHUFFLE = 2
"""Squares of so many pixels a side become channels, before anything else."""
_QUIET = 0.1


class UNet(nn.Module):
    """Predict the noise of pictures, told how strong it is.

    Squares of 2 x 2 pixels become channels (Zhang et al., 2018, section III-B), which takes a
    quarter of the time. Residual blocks follow at each of a few sizes, joined by skip
    connections (Ronneberger et al., 2015; Zhang et al., 2021, figure 1). The level of the noise is
    one more channel. No layer has a bias, so that pictures and level times a number give noise
    times this number: what was learned at one level holds at others (Mohan et al., 2020). The first
    layer's filters have a mean of zero, so that brightness does not matter.

    Parameters
    ----------
    n_colours : int
        Channels of the pictures.
    widths : sequence of int
        Channels inside, each time that sides are halved; the first at half of a picture's.
    blocks : int
        Residual blocks at each size, on the way down and on the way up.
    """

    def __init__(self, n_colours: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.n_colours, self.widths, self.n_blocks = n_colours, tuple(widths), blocks
        n_values = n_colours * _SHUFFLE**2
        self.first = _convolution(n_values + 1, widths[0])
        self.down = nn.ModuleList(_chain(width, blocks) for width in widths[:-1])
        self.reduce = nn.ModuleList(
            nn.Conv2d(*pair, 2, stride=2, bias=False) for pair in pairwise(widths)
        )
        self.bottom = _chain(widths[-1], blocks)
        self.enlarge = nn.ModuleList(
            nn.Conv2d(large, small * 4, 1, bias=False) for small, large in pairwise(widths)
        )
        self.up = nn.ModuleList(_chain(width, blocks) for width in widths[:-1])
        self.last = _convolution(widths[0], n_values)

    @property
    def step(self) -> int:
        """Sides are to be multiples of it."""
        return int(_SHUFFLE * 2 ** (len(self.widths) - 1))

    @property
    def margin(self) -> int:
        """How far away pixels are, at most, that a pixel of the result depends on.

        A multiple of `step`, so that pieces that begin there fall on the same squares.
        """
        reach = 2 * _SHUFFLE
        for depth in range(len(self.widths)):
            chains = 1 if depth == len(self.widths) - 1 else 2
            reach += 2 * chains * self.n_blocks * _SHUFFLE * 2**depth
        return -(-reach // self.step) * self.step + self.step

    @torch.no_grad()
    def draw(self, rng: torch.Generator) -> None:
        """Draw starting weights (He et al., 2015, eq. 10); at first blocks and result are weak."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, generator=rng)
        for block in self.modules():
            if isinstance(block, _Block):
                block.second.weight.mul_(_QUIET)
        self.last.weight.mul_(_QUIET)

    def forward(self, pictures: Tensor, levels: Tensor) -> Tensor:
        """Return the noise that pictures have.

        Parameters
        ----------
        pictures : Tensor
            ``(batch, n_colours, height, width)``, both sides multiples of `step`.
        levels : Tensor
            ``(batch,)``: deviation of the noise, in the units of the pictures.

        Returns
        -------
        Tensor
            The shape of the pictures.
        """
        values = functional.pixel_unshuffle(pictures, _SHUFFLE)
        plane = levels[:, None, None, None].expand(-1, 1, *values.shape[2:])
        x = self._begun(torch.cat([values, plane], 1))
        beside = []
        for chain, reduce in zip(self.down, self.reduce, strict=True):
            x = chain(x)
            beside.append(x)
            x = reduce(x)
        x = self.bottom(x)
        for chain, enlarge, skipped in zip(
            reversed(self.up), reversed(self.enlarge), reversed(beside), strict=True
        ):
            x = chain(skipped + functional.pixel_shuffle(enlarge(x), 2))
        return functional.pixel_shuffle(self.last(x), _SHUFFLE)

    def to_file(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return what it is made of, and its weights."""
        made_of = {
            "n_colours": self.n_colours,
            "widths": list(self.widths),
            "blocks": self.n_blocks,
        }
        return made_of, {name: value.cpu().numpy() for name, value in self.state_dict().items()}

    @classmethod
    def from_file(cls, made_of: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> UNet:
        """Rebuild what `to_file` described; gradients are not kept."""
        with torch.device("meta"):
            network = cls(**made_of)
        weights = {name: torch.from_numpy(array) for name, array in tensors.items()}
        network.load_state_dict(weights, strict=True, assign=True)
        return network.requires_grad_(False)

    def _begun(self, x: Tensor) -> Tensor:
        """Return the first layer's channels; a brighter picture has the same ones."""
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        x = x.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, torch.cat([self.first_filters(), self.first.weight[:, -1:]], 1))

    def first_filters(self) -> Tensor:
        """Return the first layer's weights for values, of mean zero, without that for the level."""
        values = self.first.weight[:, :-1]
        return values - values.mean((1, 2, 3), keepdim=True)


class _Block(nn.Module):
    """What is there, and what two convolutions add."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(width, width), _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(functional.relu(self.first(x)))
        return x + added


def _chain(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(blocks)))


def _convolution(n_inputs: int, n_outputs: int) -> nn.Conv2d:
    return nn.Conv2d(n_inputs, n_outputs, 3, padding=1, bias=False)
