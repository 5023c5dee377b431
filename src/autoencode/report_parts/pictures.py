"""Rows as PNG pictures inside the page."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = ["Sprite", "error_picture", "mosaic", "picture", "sprite", "value_limits"]

_SHOWN_SIDE = 128
_LARGEST_SIDE = 256
_THUMBNAIL_SIDE = 32
_SPRITE_VALUES = 600_000
_MOST_THUMBNAILS = 1_000
_TILE_SIDE = 56
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_TOO_HIGH = (224, 52, 40)
_TOO_LOW = (52, 112, 245)


@dataclass(frozen=True)
class Sprite:
    """Many thumbnails in one picture.

    Parameters
    ----------
    uri : str
        The PNG as a data URI.
    rows : array of shape (n,)
        Which rows are in it, in order, from left to right and from top to bottom.
    width, height : int
        Of one thumbnail, in pixels.
    across : int
        Thumbnails in a line.
    """

    uri: str
    rows: np.ndarray
    width: int
    height: int
    across: int


def value_limits(rows: np.ndarray) -> tuple[float, float]:
    """Give the values drawn as black and as white: the finite extremes of the rows."""
    finite = rows[np.isfinite(rows)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low, low + 1.0)


def picture(row: np.ndarray, shape: tuple[int, int, int], limits: tuple[float, float]) -> str:
    """Draw a row as a picture with crisp pixels.

    Parameters
    ----------
    row : array of shape (d,)
        Values in the data's units; values beyond the limits are clipped.
    shape : tuple of int
        Height, width and channels: 1 of grey, 2 of grey and alpha, 3 of colour, 4 of colour
        and alpha. Of more the first three are drawn.
    limits : tuple of float
        The values drawn as black and as white.

    Returns
    -------
    str
        A PNG as a data URI.
    """
    return _data_uri(_resized(_image(_bytes(row, limits).reshape(shape))))


def error_picture(error: np.ndarray, shape: tuple[int, int, int], limit: float) -> str:
    """Draw an error as red where too high, blue where too low, transparent where right.

    Parameters
    ----------
    error : array of shape (d,)
        Reconstruction minus original.
    shape : tuple of int
        Height, width and channels; of several channels the largest error is drawn.
    limit : float
        The size of error drawn in full colour, positive.

    Returns
    -------
    str
        A PNG with transparency, as a data URI.
    """
    channels = np.nan_to_num(error.astype(np.float64)).reshape(shape)
    largest = np.abs(channels).argmax(axis=2)[..., None]
    signed = np.take_along_axis(channels, largest, axis=2)[..., 0]
    painted = np.empty((*shape[:2], 4), dtype=np.uint8)
    painted[..., :3] = np.where((signed > 0)[..., None], _TOO_HIGH, _TOO_LOW)
    painted[..., 3] = np.rint(255 * np.clip(np.abs(signed) / limit, 0, 1))
    return _data_uri(_resized(Image.fromarray(painted, "RGBA")))


def sprite(rows: np.ndarray, shape: tuple[int, int, int], limits: tuple[float, float]) -> Sprite:
    """Put thumbnails of evenly spaced rows into one picture of bounded size.

    Parameters
    ----------
    rows : array of shape (n, d)
        Values in the data's units.
    shape : tuple of int
        Height, width and channels.
    limits : tuple of float
        The values drawn as black and as white.

    Returns
    -------
    Sprite
        At most 1,000 thumbnails of at most 32 pixels a side.
    """
    shrink = max(1, math.ceil(max(shape[:2]) / _THUMBNAIL_SIDE))
    width, height = max(1, shape[1] // shrink), max(1, shape[0] // shrink)
    count = min(len(rows), _MOST_THUMBNAILS, _SPRITE_VALUES // (width * height * min(shape[2], 4)))
    chosen = np.unique(np.linspace(0, len(rows) - 1, max(1, count)).round().astype(int))
    across = math.ceil(math.sqrt(len(chosen)))
    size = (across * width, math.ceil(len(chosen) / across) * height)
    sheet = Image.new(_MODES.get(shape[2], "RGB"), size)
    for place, row in enumerate(chosen):
        image = _image(_bytes(rows[row], limits).reshape(shape))
        if shrink > 1:
            image = image.resize((width, height), Image.Resampling.BOX)
        sheet.paste(image, (place % across * width, place // across * height))
    return Sprite(_data_uri(sheet), chosen, width, height, across)


def mosaic(
    rows: np.ndarray,
    shape: tuple[int, int, int],
    limits: tuple[float, float],
    *,
    across: int,
    gap: int = 4,
) -> str:
    """Put pictures beside each other, line by line, into one.

    Parameters
    ----------
    rows : array of shape (n, d)
        Values in the data's units, n > 0.
    shape : tuple of int
        Height, width and channels.
    limits : tuple of float
        The values drawn as black and as white.
    across : int
        Pictures in a line.
    gap : int
        Transparent pixels between two of them.

    Returns
    -------
    str
        A PNG as a data URI; the longer side of each picture has about 56 pixels.
    """
    side = max(shape[:2])
    factor = _TILE_SIDE // side if side <= _TILE_SIDE else _TILE_SIDE / side
    height, width = (max(1, round(length * factor)) for length in shape[:2])
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.BOX
    lines = math.ceil(len(rows) / across)
    size = (across * (width + gap) - gap, lines * (height + gap) - gap)
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    for place, row in enumerate(rows):
        tile = _image(_bytes(row, limits).reshape(shape)).resize((width, height), how)
        corner = (place % across * (width + gap), place // across * (height + gap))
        sheet.paste(tile.convert("RGBA"), corner)
    return _data_uri(sheet)


def _bytes(row: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    shares = (np.nan_to_num(row.astype(np.float64)) - low) / (high - low)
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)


def _image(pixels: np.ndarray) -> Image.Image:
    channels = pixels.shape[2]
    if channels not in _MODES:
        pixels = np.ascontiguousarray(pixels[..., :3])
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def _resized(image: Image.Image) -> Image.Image:
    """Repeat the pixels of a small picture; shrink one that is larger than is shown."""
    side = max(image.size)
    if side > _LARGEST_SIDE:
        factor = _LARGEST_SIDE / side
        size = tuple(max(1, round(length * factor)) for length in image.size)
        return image.resize((size[0], size[1]), Image.Resampling.BOX)
    factor = max(1, math.ceil(_SHOWN_SIDE / side))
    size = tuple(length * factor for length in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.NEAREST)


def _data_uri(image: Image.Image) -> str:
    written = io.BytesIO()
    image.save(written, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(written.getvalue()).decode("ascii")
