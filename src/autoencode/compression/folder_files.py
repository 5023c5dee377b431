"""Files of a folder: which are kept as pixels, and which by their bytes."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, PngImagePlugin, PpmImagePlugin

from autoencode.data.picture_files import require_inside
from autoencode.errors import DataError

__all__ = ["FORMATS", "MODES", "FolderFile", "encoded", "files_of", "pixels_of"]

Pixels = npt.NDArray[Any]

# Modes of pictures that are kept as pixels: the type, and the values of each pixel.
MODES: dict[str, tuple[str, tuple[int, ...]]] = {
    "1": ("|b1", ()),
    "L": ("|u1", ()),
    "LA": ("|u1", (2,)),
    "RGB": ("|u1", (3,)),
    "RGBA": ("|u1", (4,)),
    "I;16": ("<u2", ()),
}
# By bit depth and colour type (PNG specification, third edition, section 11.2.1).
_PNG_MODES = {(1, 0): "1", (8, 0): "L", (8, 4): "LA", (8, 2): "RGB", (8, 6): "RGBA",
              (16, 0): "I;16"}  # fmt: skip
FORMATS = ("PNG", "BMP", "PPM")
_SUFFIXES = {".png": "PNG", ".bmp": "BMP", ".pgm": "PPM", ".ppm": "PPM", ".pbm": "PPM"}
_PNG_START = b"\x89PNG\r\n\x1a\n"
_CHUNK = struct.Struct(">I4s")
# What is in a PNG file beside pixels and says nothing about how they look is left out.
_PIXELS = {b"IHDR", b"IDAT", b"IEND"}
_LEFT_OUT = {b"tIME", b"pHYs", b"tEXt", b"zTXt", b"iTXt", b"bKGD"}
_MOST_FILES, _LARGEST_PICTURE = 10_000_000, 120_000_000


@dataclass(frozen=True)
class FolderFile:
    """One file.

    Attributes
    ----------
    name : str
        Its path within the folder, with ``/``.
    size : int
        Bytes.
    form, mode : str
        Of a picture kept as pixels: one of `FORMATS` and of `MODES`; else empty.
    shape : tuple of int
        Height and width.
    """

    name: str
    size: int
    form: str = ""
    mode: str = ""
    shape: tuple[int, int] = (0, 0)


def files_of(folder: Path, *, exact: bool) -> Iterator[FolderFile]:
    """Yield a folder's files by name; links and empty folders are left out.

    Parameters
    ----------
    folder : Path
        The folder.
    exact : bool
        Keep the bytes of all.

    Raises
    ------
    DataError
        If a name cannot be kept, or there are too many files.
    """
    names = []
    for above, _, own in os.walk(folder):
        paths = (Path(above) / name for name in own)
        names += [path.relative_to(folder).as_posix() for path in paths if not path.is_symlink()]
        if len(names) > _MOST_FILES:
            raise DataError(f"{folder}: holds more than {_MOST_FILES:,} files")
    for name in sorted(names):
        path = folder / name
        try:
            require_inside(name)
            name.encode()
        except (DataError, UnicodeEncodeError) as error:
            raise DataError(f"{folder}: {name!r} is a name that cannot be kept") from error
        found = None if exact else _picture(path, name)
        yield found or FolderFile(name, path.stat().st_size)


def _picture(path: Path, name: str) -> FolderFile | None:
    """Return what a picture is that its pixels alone give back; else None."""
    form = _SUFFIXES.get(path.suffix.lower())
    if form is None:
        return None
    size = path.stat().st_size
    if form == "PNG":
        found = _png(path)
        if found is None:
            return None
        mode, height, width = found
        return FolderFile(name, size, form, mode, (height, width))
    if size > _LARGEST_PICTURE:
        return None
    data = path.read_bytes()
    try:
        image = _opened(data, form)
        if image.mode not in MODES or image.mode == "I;16":
            return None
        pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, struct.error):
        return None
    if not pixels.size or encoded(pixels, form, image.mode) != data:
        return None
    return FolderFile(name, size, form, image.mode, (image.height, image.width))


def _png(path: Path) -> tuple[str, int, int] | None:
    """Return mode, height and width of a PNG file that holds little but pixels."""
    with path.open("rb") as file:
        if file.read(8) != _PNG_START:
            return None
        mode, height, width = None, 0, 0
        while True:
            head = file.read(_CHUNK.size)
            if len(head) < _CHUNK.size:
                return None
            length, kind = _CHUNK.unpack(head)
            if kind not in _PIXELS | _LEFT_OUT:
                return None
            if kind == b"IHDR":
                width, height, depth, colour = struct.unpack(">IIBB", file.read(10))
                mode = _PNG_MODES.get((depth, colour))
                length -= 10
            if kind == b"IEND":
                break
            file.seek(length + 4, os.SEEK_CUR)
    fine = mode is not None and 0 < height * width <= _LARGEST_PICTURE
    return (mode, height, width) if fine and mode is not None else None


def _opened(data: bytes, form: str) -> Image.Image:
    stream = io.BytesIO(data)
    if form == "PNG":
        return PngImagePlugin.PngImageFile(stream)
    if form == "BMP":
        return BmpImagePlugin.BmpImageFile(stream)
    return PpmImagePlugin.PpmImageFile(stream)


def pixels_of(path: Path, file: FolderFile) -> Pixels:
    """Return a picture's pixels, ``(height, width)`` or ``(height, width, channels)``.

    Raises
    ------
    DataError
        If they are not as they were when the folder was looked at.
    """
    dtype, inner = MODES[file.mode]
    try:
        image = _opened(path.read_bytes(), file.form)
        pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        message = " ".join(str(error).split())
        raise DataError(f"{file.name}: is damaged; --exact keeps it so: {message}") from error
    if image.mode != file.mode or pixels.shape != (*file.shape, *inner):
        raise DataError(f"{file.name}: has changed while it was read")
    return pixels.astype(dtype, copy=False)


def encoded(pixels: Pixels, form: str, mode: str) -> bytes:
    """Return a picture file."""
    stream = io.BytesIO()
    plain = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    image = Image.fromarray(plain)
    if image.mode != mode:
        raise DataError(f"a picture of mode {mode} cannot be written here")
    image.save(stream, form)
    return stream.getvalue()
