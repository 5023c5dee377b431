"""Convolutions around a fully connected network, with a linear path that starts at PCA."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from autoencode.architectures.conv_modules import ConvDecoder, ConvEncoder
from autoencode.architectures.convolution import Grid
from autoencode.architectures.mlp import MlpDecoder, MlpEncoder
from autoencode.architectures.reduction import Reduction
from autoencode.architectures.spatial import Patches, SpatialDecoder, SpatialEncoder
from autoencode.errors import SpecError

__all__ = ["Conv", "ConvDecoder", "ConvEncoder"]

_MOST_LINEAR = 4096
"""Values beyond which the linear path, and what is fully connected, see smaller pictures."""
_WIDEST = 512
_CODES = ("vector", "spatial")


class Conv:
    """Convolutions for pictures of any height and width; rows of one axis are lines of pixels.

    Beside them are dense layers and a linear path, as in `autoencode.architectures.mlp.Mlp`:
    before training the network is exactly PCA. The decoder's convolutions see the picture that
    those draw, and add what is missing. Pictures of more than 4,096 values are reduced for
    what is fully connected; the start is then PCA as far as they show it.

    Parameters
    ----------
    shape : tuple of int
        ``(height, width)``, ``(height, width, colours)`` or ``(n_values,)``.
    hidden_layer_sizes : sequence of int
        Channels, each time that sides are halved; the decoder mirrors them. Empty: linear.
    blocks : int
        Residual blocks at the smallest size, where they cost least.
    dense : int or None
        Width of the first dense layer, the second has half of it; None: by the number of
        values, 512 at most.
    start : str
        ``"pca"`` or ``"random"``.
    code : str
        ``"vector"``: each number may tell of the whole picture. ``"spatial"``: codes are small
        pictures ``(maps, height, width)`` of the smallest size, each number about what is around
        its place. There are no dense layers, and the linear path starts as PCA of patches, which
        is the same at all places.
    n_told : int
        Further inputs of the encoder: what is missing, and how strong noise is.

    Attributes
    ----------
    n_places : int
        How many places codes have numbers of; 1: they are vectors. Lengths of codes are
        multiples of it.
    code_size : tuple of int
        Height and width of codes that are small pictures; else empty.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_layer_sizes: Sequence[int],
        blocks: int = 1,
        dense: int | None = None,
        start: str = "pca",
        code: str = "vector",
        n_told: int = 0,
    ) -> None:
        if code not in _CODES:
            raise SpecError(
                f"architecture 'conv': code={code!r} is not known; choose from {', '.join(_CODES)}"
            )
        if code == "spatial" and dense is not None:
            raise SpecError("architecture 'conv': a spatial code has no dense layers: leave dense")
        if start not in ("pca", "random"):
            raise SpecError(f"start={start!r} is not known; choose from pca, random")
        for name, value, least in (("blocks", blocks, 0), ("dense", dense, 2)):
            if value is not None and not _is_whole(value, least):
                raise SpecError(
                    f"architecture 'conv': {name}={value!r} should be a whole number "
                    f"of at least {least}"
                )
        self.grid, self.channels = Grid.of(shape), tuple(hidden_layer_sizes)
        self.start, self.blocks, self.n_told = start, blocks, n_told
        large = bool(self.channels) and self.grid.n_values > _MOST_LINEAR
        self.reduction = Reduction(self.grid, _MOST_LINEAR) if large else None
        self.n_linear = self.reduction.n_values if self.reduction else self.grid.n_values
        width = min(_WIDEST, 1 << max(5, (4 * self.n_linear - 1).bit_length()))
        first = width if dense is None else dense
        spatial = code == "spatial" and bool(self.channels)
        self.dense = (first, first // 2) if self.channels and not spatial else ()
        self.n_hidden, self.n_places = 0, 1
        self.patches: Patches | None = None
        self.code_size: tuple[int, ...] = ()
        if self.channels:
            height, width = self.grid.halved(len(self.channels))[-1]
            self.n_hidden = sum(self.dense[-1:]) + self.channels[-1] * height * width
        if spatial:
            low = self.grid if self.reduction is None else self.reduction.low
            self.patches = Patches(low, height, width)
            self.code_size, self.n_places = (height, width), self.patches.count
            self.n_linear = self.n_places * self.patches.n_values

    def encoder(self) -> nn.Module:
        """Return a module from ``(batch, n_values)`` to features."""
        if not self.channels:
            return MlpEncoder((self.n_linear,), "silu")
        sizes, told = (self.grid, self.reduction, self.channels), self.n_told
        if self.patches is not None:
            return SpatialEncoder(*sizes, self.blocks, told, self.patches)
        return ConvEncoder(*sizes, self.dense, self.blocks, told)

    def decoder(self, latent_shape: tuple[int, ...], n_params: int, *, sized: bool) -> nn.Module:
        """Return a module from codes to ``(batch, n_params, n_values)``."""
        sizes, length = (self.grid, self.reduction, self.channels), math.prod(latent_shape)
        if self.patches is not None:
            n_maps = length // self.n_places
            return SpatialDecoder(*sizes, self.blocks, n_params, self.patches, n_maps, sized=sized)
        draft = MlpDecoder(
            length,
            self.dense[::-1],
            (n_params, self.n_linear),
            "silu",
            sized=sized,
        )
        if not self.channels:
            return draft
        return ConvDecoder(*sizes, draft, self.blocks, n_params)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
