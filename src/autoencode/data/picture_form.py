"""The one form that pictures of many sizes and modes are brought to."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from autoencode.errors import DataError, SpecError

__all__ = [
    "FITS",
    "Look",
    "PictureForm",
    "choose_form",
    "tile_starts",
]

FITS = ("resize", "crop", "tile")
TILE_SIDE = 64
MOST_PIXELS = 256 * 256
"""Pixels of a form that nobody chose: larger pictures are made smaller."""
DEPTH = 257
"""What an 8-bit value is multiplied by to become the same grey in 16 bits."""


@dataclass(frozen=True)
class Look:
    """What a picture's header says; nothing was decoded.

    Attributes
    ----------
    height, width : int
        After the rotation that its EXIF data ask for.
    colour, alpha : bool
        Whether it has channels for them; both may turn out not to be used.
    deep : bool
        Whether it has one channel of 16 bits.
    """

    height: int
    width: int
    colour: bool = False
    alpha: bool = False
    deep: bool = False


@dataclass(frozen=True)
class PictureForm:
    """Size, channels and type that all pictures of a model have.

    Attributes
    ----------
    height, width : int
        In pixels.
    colour : bool
        Red, green and blue; else one channel of grey.
    alpha : bool
        One more channel, the last: how opaque a pixel is.
    bits : int
        8 or 16 of each value; 16 only of grey pictures without alpha.
    fit : {"resize", "crop", "tile"}
        How pictures of other sizes get this one.
    """

    height: int
    width: int
    colour: bool = False
    alpha: bool = False
    bits: int = 8
    fit: str = "resize"

    @property
    def n_channels(self) -> int:
        """The number of channels: 1 to 4."""
        return (3 if self.colour else 1) + self.alpha

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """``(height, width)``, or with channels ``(height, width, n_channels)``."""
        size = (self.height, self.width)
        return size if self.n_channels == 1 else (*size, self.n_channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def largest(self) -> int:
        """The value of white: 255 or 65,535."""
        return int(2**self.bits - 1)

    def describe(self) -> str:
        """Say it in a few words: ``64 x 48 RGB, 8 bits``."""
        mode = "RGB" if self.colour else "grey"
        alpha = " with alpha" if self.alpha else ""
        return f"{self.height} x {self.width} {mode}{alpha}, {self.bits} bits"

    def header(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "height": self.height,
            "width": self.width,
            "colour": self.colour,
            "alpha": self.alpha,
            "bits": self.bits,
            "fit": self.fit,
        }

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Read what `header` wrote.

        Raises
        ------
        DataError
            If it is not that of a form.
        """
        try:
            form = cls(
                int(header["height"]),
                int(header["width"]),
                bool(header["colour"]),
                bool(header["alpha"]),
                int(header["bits"]),
                str(header["fit"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the form of pictures does not fit together: {error}") from None
        if min(form.height, form.width) < 1 or form.bits not in (8, 16) or form.fit not in FITS:
            raise DataError(f"the form of pictures does not fit together: {dict(header)}")
        return form

    def rounded(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values as pixels hold them: whole numbers from 0 to `largest`."""
        if values.dtype == self.dtype:
            return values
        whole = np.rint(np.nan_to_num(values, nan=0.0))
        pixels: npt.NDArray[Any] = np.clip(whole, 0, self.largest).astype(self.dtype)
        return pixels

    def covering(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which a picture is cut into tiles: at least one tile, else its own."""
        factor = max(self.height / height, self.width / width)
        if factor <= 1:
            return height, width
        return max(self.height, round(height * factor)), max(self.width, round(width * factor))

    def tiles(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return where the pieces of a picture begin, as (top, left); one unless tiled."""
        if self.fit != "tile":
            return [(0, 0)]
        height, width = self.covering(height, width)
        lefts = tile_starts(width, self.width)
        return [(top, left) for top in tile_starts(height, self.height) for left in lefts]


def tile_starts(length: int, side: int) -> list[int]:
    """Return where tiles of a side begin that cover a length; the last two may overlap."""
    return [*range(0, length - side, side), length - side]


def choose_form(
    looks: Sequence[Look], size: tuple[int, int] | None = None, fit: str | None = None
) -> PictureForm:
    """Choose the form that suits most pictures.

    Parameters
    ----------
    looks : sequence of Look
        Of all pictures; at least one.
    size : tuple of int, optional
        Height and width. If not given, the commonest if half of the pictures have it, else
        medians; made smaller, in proportion, if that is more than 65,536 pixels. Tiles have
        sides of 64, or those of smaller pictures.
    fit : {"resize", "crop", "tile"}, optional
        "resize" if not given.

    Returns
    -------
    PictureForm
        With channels for all that any picture has. Of 16 bits if any picture is.

    Raises
    ------
    SpecError
        If size or fit are not allowed.
    """
    fit = "resize" if fit is None else fit
    if fit not in FITS:
        raise SpecError(f"fit={fit!r} is not known; choose from {', '.join(FITS)}")
    if size is not None and min(size) < 1:
        raise SpecError(f"size={size} is not allowed: height and width are whole numbers from 1")
    height, width = _common_size(looks, fit) if size is None else size
    return PictureForm(
        height,
        width,
        colour=any(look.colour for look in looks),
        alpha=any(look.alpha for look in looks),
        bits=16 if any(look.deep for look in looks) else 8,
        fit=fit,
    )


def _common_size(looks: Sequence[Look], fit: str) -> tuple[int, int]:
    sizes = Counter((look.height, look.width) for look in looks)
    # Of sizes that are equally common the largest, so that the order of files says nothing.
    (height, width), count = max(
        sizes.items(), key=lambda item: (item[1], item[0][0] * item[0][1], item[0])
    )
    if 2 * count < len(looks):
        height = round(statistics.median(look.height for look in looks))
        width = round(statistics.median(look.width for look in looks))
    if fit == "tile":
        return min(height, TILE_SIDE), min(width, TILE_SIDE)
    factor = math.sqrt(MOST_PIXELS / (height * width))
    if factor >= 1:
        return height, width
    return max(1, round(height * factor)), max(1, round(width * factor))
