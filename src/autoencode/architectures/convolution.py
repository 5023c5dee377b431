"""Layers of convolutional networks, for pictures of any height and width."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Convolving",
    "Grid",
    "Narrowing",
    "Residual",
    "Widening",
    "conv3",
    "in_bfloat16",
    "n_products",
    "resized",
]

_LEAST_HALVED = 4
"""Sides that are not longer are not halved."""
_GROUP = 8


@dataclass(frozen=True)
class Grid:
    """How the values of a row lie beside each other.

    Attributes
    ----------
    height, width, colours : int
        Rows are in this order, colours last.
    """

    height: int
    width: int
    colours: int

    @classmethod
    def of(cls, shape: Sequence[int]) -> Grid:
        """Return that of ``(height, width)``, ``(height, width, colours)`` or ``(n_values,)``.

        What has one axis is one line of pixels.
        """
        height, width, colours = {
            1: (1, shape[-1], 1),
            2: (shape[0], shape[-1], 1),
            3: tuple(shape),
        }[len(shape)]
        return cls(height, width, colours)

    @property
    def n_values(self) -> int:
        """The number of values."""
        return self.height * self.width * self.colours

    def halved(self, count: int) -> list[tuple[int, int]]:
        """Return height and width, and what is left of them each time they are halved."""
        sizes = [(self.height, self.width)]
        for _ in range(count):
            height, width = (-(-side // 2) if side > _LEAST_HALVED else side for side in sizes[-1])
            sizes.append((height, width))
        return sizes

    def pictures(self, rows: Tensor) -> Tensor:
        """Turn ``(batch, n_values)`` into ``(batch, colours, height, width)`` without a copy.

        Pixel by pixel, which is what convolutions are fastest with.
        """
        shaped: Tensor = rows.unflatten(1, (self.height, self.width, self.colours))
        return shaped.permute(0, 3, 1, 2)

    def values(self, pictures: Tensor, n_params: int) -> Tensor:
        """Turn ``(batch, n_params * colours, height, width)`` into ``(.., n_params, n_values)``."""
        shaped: Tensor = pictures.unflatten(1, (n_params, self.colours))
        return shaped.permute(0, 1, 3, 4, 2).flatten(2)


def conv3(n_inputs: int, n_outputs: int) -> nn.Conv2d:
    """Return a convolution over 3 x 3 pixels that keeps height and width."""
    return nn.Conv2d(n_inputs, n_outputs, 3, padding=1)


def n_products(channels: Sequence[int], sizes: Sequence[tuple[int, int]]) -> int:
    """Return about how many multiplications `Narrowing` takes for a picture."""
    pairs = zip(pairwise([max(1, channels[0] // 2), *channels]), sizes[1:], strict=True)
    return sum(9 * a * b * height * width for (a, b), (height, width) in pairs)


class Residual(nn.Module):
    """What is there, and what two convolutions of it add.

    He et al. (2016), figure 4 (e), with the group normalisation of Wu and He (2018), which
    does not depend on the other rows of a batch.

    Parameters
    ----------
    channels : int
        Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        groups = channels // _GROUP if channels % _GROUP == 0 else 1
        self.norms = nn.ModuleList(nn.GroupNorm(groups, channels) for _ in range(2))
        self.convolutions = nn.ModuleList(conv3(channels, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, height, width)``."""
        added = x
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            added = convolution(functional.silu(norm(added)))
        return x + added


class Halving(nn.Module):
    """Halve height and width after a binomial filter over three pixels (Zhang, 2019).

    Without the filter detail would turn into coarse patterns that jump when a picture moves.

    Parameters
    ----------
    before, after : tuple of int
        Height and width.
    """

    kernel: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        self.strides = [2 if old > new else 1 for old, new in zip(before, after, strict=True)]
        filters = [(1.0, 2.0, 1.0) if stride == 2 else (0.0, 4.0, 0.0) for stride in self.strides]
        vertical, horizontal = (torch.tensor(part, device="cpu") / 4.0 for part in filters)
        kernel = vertical[:, None] * horizontal
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, height, width)``."""
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, 3, 3)
        return functional.conv2d(x, kernel, stride=self.strides, padding=1, groups=channels)


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return pictures of another height and width, linearly between pixels.

    A convolution after this has no checkerboard, unlike a transposed one (Odena et al., 2016).
    """
    if x.shape[2:] == size:
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Convolving(nn.Module):
    """Convolutions one after the other, which may multiply in bfloat16; see `in_bfloat16`."""

    halved = False

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Return what they make of tensors, in the type of the first."""
        if not self.halved:
            return self.passed(x, other)
        with torch.autocast(x.device.type, torch.bfloat16):
            return self.passed(x, other).to(x.dtype)

    def passed(self, x: Tensor, other: Tensor | None) -> Tensor:
        """Return the same, in whatever type."""
        raise TypeError(f"{type(self).__name__} does not say what it does")


@contextlib.contextmanager
def in_bfloat16(network: nn.Module, *, wanted: bool = True) -> Iterator[None]:
    """Let a network's convolutions multiply in bfloat16 (``torch.autocast``) within the block."""
    parts = [part for part in network.modules() if isinstance(part, Convolving)] if wanted else []
    for part in parts:
        part.halved = True
    try:
        yield
    finally:
        for part in parts:
            part.halved = False


class Narrowing(Convolving):
    """From pictures to smaller ones with more channels.

    Parameters
    ----------
    n_inputs : int
        Channels of the pictures.
    channels : sequence of int
        Of what is left, each time that sides were halved.
    sizes : sequence of tuple of int
        Height and width, one more than ``channels``.
    blocks : int
        Residual blocks at the smallest size, where they cost least.
    """

    def __init__(
        self,
        n_inputs: int,
        channels: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        blocks: int,
    ) -> None:
        super().__init__()
        before = [max(1, channels[0] // 2), *channels]
        self.first = conv3(n_inputs, before[0])
        self.steps = nn.ModuleList(
            nn.Sequential(Halving(*resolution), conv3(*pair))
            for pair, resolution in zip(pairwise(before), pairwise(sizes), strict=True)
        )
        self.blocks = nn.Sequential(*(Residual(channels[-1]) for _ in range(blocks)))

    def passed(self, x: Tensor, other: Tensor | None) -> Tensor:
        """Return what is left, ``(batch, channels, height, width)``.

        ``other`` is added to the first layer's channels.
        """
        x = self.first(x)
        if other is not None:
            x = x + other[:, :, None, None]
        for step in self.steps:
            x = step(functional.silu(x))
        result: Tensor = functional.silu(self.blocks(x))
        return result


class Widening(Convolving):
    """From a few numbers to pictures: `Narrowing` backwards.

    Parameters
    ----------
    n_inputs : int
        The numbers of a row, or channels of maps of the smallest size.
    n_drafts : int
        Channels of a draft of the picture, which the last layers are shown.
    n_outputs : int
        Channels of the pictures.
    channels, sizes, blocks
        As of `Narrowing`.
    local : bool
        Whether it starts from maps and not from numbers that belong to no place.
    """

    def __init__(
        self,
        n_inputs: int,
        n_drafts: int,
        n_outputs: int,
        channels: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        blocks: int,
        *,
        local: bool = False,
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)[::-1]
        after = [*list(channels)[::-1], max(1, channels[0] // 2)]
        height, width = self.sizes[0]
        self.seed_shape = (height, width, after[0])
        self.seed = (
            conv3(n_inputs, after[0]) if local else nn.Linear(n_inputs, height * width * after[0])
        )
        self.blocks = nn.Sequential(*(Residual(after[0]) for _ in range(blocks)))
        self.steps = nn.ModuleList(conv3(*pair) for pair in pairwise(after))
        self.joint = conv3(after[-1] + n_drafts, after[-1])
        self.output = conv3(after[-1], n_outputs)

    def passed(self, x: Tensor, other: Tensor | None) -> Tensor:
        """Return what is added to drafts (the ``other``), ``(batch, n_outputs, height, width)``."""
        assert other is not None
        x = self.seed(x)
        if x.ndim == 2:
            x = x.unflatten(1, self.seed_shape).permute(0, 3, 1, 2)
        x = self.blocks(x)
        for step, size in zip(self.steps, self.sizes[1:], strict=True):
            x = resized(functional.silu(step(x)), size)
        x = functional.silu(self.joint(torch.cat([x, other], 1)))
        result: Tensor = self.output(x)
        return result
