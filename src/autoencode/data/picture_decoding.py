"""The bytes of one picture -> what its header says, and its pixels in a given form."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from autoencode.data.picture_files import KNOWN_PICTURES
from autoencode.data.picture_form import DEPTH, Look, PictureForm
from autoencode.errors import DataError

__all__ = ["DAMAGE", "LARGEST", "Decoded", "decode", "look_at", "resized", "to_image"]

Pixels = npt.NDArray[Any]

LARGEST = 120_000_000
"""Pixels that a picture may have; the header is asked before memory is taken."""

_SMOOTH = Image.Resampling.BICUBIC
# Not ``Image.open``: that warns about large pictures by a limit that belongs to the process,
# and asks every format that is installed.
_FORMATS: tuple[tuple[bytes, type[ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"II*\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00*", TiffImagePlugin.TiffImageFile),
    (b"II+\x00", TiffImagePlugin.TiffImageFile),
    (b"MM\x00+", TiffImagePlugin.TiffImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)
# What decoders raise about damaged files; the list is what damage at random led to.
DAMAGE = (
    *(OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, NotImplementedError, RuntimeError, struct.error, zlib.error),
    *(zipfile.BadZipFile, Image.DecompressionBombError),
)


@dataclass(frozen=True)
class Decoded:
    """A picture in a form.

    Attributes
    ----------
    pixels : ndarray of shape (n_tiles, height, width, n_channels)
        Of the form's type; one tile unless the form says "tile".
    grey, opaque : bool
        Whether its colour channels are equal everywhere, and no pixel lets through.
    changes : tuple of str
        What was done to it, in words for a summary.
    """

    pixels: Pixels
    grey: bool
    opaque: bool
    changes: tuple[str, ...]


def look_at(stream: IO[bytes]) -> Look:
    """Read a picture's header.

    Parameters
    ----------
    stream : binary file
        That can be read back and forth.

    Returns
    -------
    Look
        Nothing was decoded.

    Raises
    ------
    DataError
        If it is not a picture, damaged, or larger than `LARGEST`.
    """
    with _naming_damage():
        image = _opened(stream)
        height, width = _turned_size(image, _orientation(image))
        mode, clear = image.mode, "transparency" in image.info
        deep = mode.startswith("I")
        return Look(
            height,
            width,
            colour=mode not in ("1", "L", "LA", "La") and not deep,
            alpha=mode in ("RGBA", "LA", "PA", "RGBa", "La") or (clear and not deep),
            deep=deep,
        )


def decode(stream: IO[bytes], form: PictureForm | None) -> Decoded:
    """Decode a picture and bring it to a form.

    Parameters
    ----------
    stream : binary file
        That can be read back and forth.
    form : PictureForm
        Size, channels and type.

    Returns
    -------
    Decoded
        Its tiles.

    Raises
    ------
    DataError
        If it is not a picture, damaged, larger than `LARGEST`, or its values are not of 8
        or 16 bits.
    """
    with _naming_damage():
        image = _opened(stream)
        orientation = _orientation(image)
        height, width = _turned_size(image, orientation)
        changes = _found(image, orientation)
        if form is not None and form.fit != "tile":
            # A JPEG decoder can leave out detail that would be averaged away anyway.
            size = (2 * form.width, 2 * form.height)
            image.draft(None, size[::-1] if orientation in _LYING else size)
        image.load()
        plain = _plain(_turned(image, orientation))
        form = form or _own_form(plain, height, width)
        whole = plain if plain.mode == "F" else _with_channels(plain, form, changes)
        pieces = list(_fitted(whole, (height, width), form, changes))
        pixels = np.stack([_values(piece, form) for piece in pieces])
    deep = plain.mode == "F"
    if deep and form.bits == 8:
        changes.append("brought from 16 bits to 8")
    colours = pixels[..., : 3 if form.colour else 1]
    return Decoded(
        pixels,
        grey=bool((colours == colours[..., :1]).all()),
        opaque=not form.alpha or bool((pixels[..., -1] == form.largest).all()),
        changes=tuple(changes),
    )


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Return pixels, (h, w) or (h, w, c) of uint8 or uint16, at another size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = to_image(pixels)
    if image.mode.startswith("I"):
        found = _deep_image(np.asarray(image)).resize((width, height), _SMOOTH)
        deep: Pixels = np.clip(np.rint(np.asarray(found)), 0, 65535).astype(np.uint16)
        return deep.reshape(height, width, *pixels.shape[2:])
    return np.asarray(image.resize((width, height), _SMOOTH)).reshape(
        height, width, *pixels.shape[2:]
    )


def to_image(pixels: Pixels) -> Image.Image:
    """Return pixels, (h, w) or (h, w, c) of uint8 or uint16, as an image of Pillow's."""
    flat = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(flat))


@contextlib.contextmanager
def _naming_damage() -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(error.strerror or f"is damaged: {_one_line(error)}") from error
    except DAMAGE as error:
        raise DataError(f"is damaged: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:120]


def _opened(stream: IO[bytes]) -> ImageFile:
    """Read the header of a picture of a known format, and refuse one that is too large."""
    head = stream.read(16)
    stream.seek(0)
    kind = next((kind for magic, kind in _FORMATS if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = WebPImagePlugin.WebPImageFile
    if kind is None:
        raise DataError(f"is not a {KNOWN_PICTURES} picture, whatever its name says")
    image = kind(stream, "")
    width, height = image.size
    if width * height > LARGEST:
        raise DataError(
            f"is {width:,} x {height:,} pixels large; at most {LARGEST:,} pixels are read: make "
            "it smaller or cut it"
        )
    return image


def _orientation(image: ImageFile) -> int:
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in _TURNS else 1


def _turned_size(image: ImageFile, orientation: int) -> tuple[int, int]:
    """Return height and width after the rotation that EXIF data ask for."""
    width, height = image.size
    # Of TIFF files it is the size after it already.
    turned = orientation in _LYING and image.format != "TIFF"
    return (width, height) if turned else (height, width)


def _turned(image: ImageFile, orientation: int) -> Image.Image:
    # TIFF files are turned while they are loaded, and asked for no turn then.
    if orientation == 1 or image.format == "TIFF":
        return image
    return image.transpose(_TURNS[orientation])


def _found(image: ImageFile, orientation: int) -> list[str]:
    """Say what is unusual about a picture."""
    changes = []
    if orientation != 1:
        changes.append("turned as their EXIF data say")
    if getattr(image, "is_animated", False):
        changes.append("of several frames, of which the first was taken")
    if _is_deep_colour(image):
        changes.append("brought from 16 bits to 8")
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        changes.append(f"brought from {image.mode} to RGB")
    return changes


def _is_deep_colour(image: ImageFile) -> bool:
    """Tell whether colours have 16 bits, of which 8 are read."""
    if image.mode.startswith("I") or not image.tile:
        return False
    given: Any = image.tile[0][3]
    raw = given[0] if isinstance(given, tuple) and given else given
    return isinstance(raw, str) and ";16" in raw


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits as L, LA, RGB or RGBA, and one of 16 bits as F."""
    mode = image.mode
    if mode == "F":
        raise DataError("holds fractions; save it with 8 or 16 bits, or use an array (.npy)")
    if mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError("holds values of 32 bits; save it with 16, or use an array (.npy)")
        return _deep_image(values)
    grey = mode in ("1", "L", "LA", "La")
    clear = mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    target = ("L" if grey else "RGB") + ("A" if clear else "")
    return image if mode == target else image.convert(target)


def _deep_image(values: Pixels) -> Image.Image:
    return Image.fromarray(values.astype(np.float32))


def _own_form(plain: Image.Image, height: int, width: int) -> PictureForm:
    deep = plain.mode == "F"
    return PictureForm(
        height,
        width,
        colour=plain.mode.startswith("RGB"),
        alpha=plain.mode.endswith("A"),
        bits=16 if deep else 8,
    )


def _with_channels(image: Image.Image, form: PictureForm, changes: list[str]) -> Image.Image:
    """Bring L, LA, RGB or RGBA to the channels of a form."""
    if image.mode.endswith("A") and not form.alpha:
        opacity = image.getchannel("A")
        if opacity.getextrema() != (255, 255):
            changes.append("with transparent pixels put on white")
        base = image.convert(image.mode[:-1])
        image = Image.new(base.mode, base.size, "white")
        image.paste(base, mask=opacity)
    target = ("RGB" if form.colour else "L") + ("A" if form.alpha else "")
    if image.mode == target:
        return image
    if image.mode.startswith("RGB") and not form.colour:
        changes.append("brought from colours to grey")
    return image.convert(target)


def _fitted(
    image: Image.Image, size: tuple[int, int], form: PictureForm, changes: list[str]
) -> Iterator[Image.Image]:
    """Yield the pieces of a picture that have the form's size."""
    height, width = size
    wanted = (form.width, form.height)
    if form.fit == "tile":
        covered = form.covering(height, width)
        if covered != (height, width):
            changes.append("resized")
            image = image.resize(covered[::-1], _SMOOTH)
        places = form.tiles(height, width)
        if len(places) > 1:
            changes.append("cut into tiles")
        for top, left in places:
            yield image.crop((left, top, left + form.width, top + form.height))
        return
    if (width, height) == wanted:
        yield image
    elif form.fit == "crop":
        changes.append("cropped")
        yield ImageOps.fit(image, wanted, _SMOOTH)
    else:
        changes.append("resized")
        yield image.resize(wanted, _SMOOTH)


def _values(image: Image.Image, form: PictureForm) -> Pixels:
    """Return the pixels of a piece, (height, width, n_channels), in the form's type."""
    values = np.asarray(image)
    if image.mode == "F":
        grey = np.clip(np.rint(values if form.bits == 16 else values / DEPTH), 0, form.largest)
        found = np.empty((*values.shape, form.n_channels), form.dtype)
        found[...] = grey.astype(form.dtype)[..., None]
        if form.alpha:
            found[..., -1] = form.largest
        return found
    shaped = values.reshape(*values.shape[:2], form.n_channels)
    return shaped if form.bits == 8 else shaped.astype(np.uint16) * DEPTH
