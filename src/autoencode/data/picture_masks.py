"""Which pixels of pictures are missing: masks in files, or what is transparent."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from autoencode.data.picture_decoding import decode, look_at
from autoencode.data.picture_files import PictureFile, PictureSource
from autoencode.data.picture_form import PictureForm
from autoencode.errors import DataError

__all__ = ["TRANSPARENT", "MaskedPicture", "Masks", "masked_tiles"]

Mask: TypeAlias = npt.NDArray[np.bool_]

TRANSPARENT = "transparent"
"""In place of a path: what a pixel lets through says whether it is missing."""
_MISSING_FROM = 128
_KNOWN_FROM = 0.5
_TOUCHED = 1e-4


class MaskedPicture:
    """A picture at its own size, and which of its pixels are missing.

    Attributes
    ----------
    pixels : ndarray of shape (height, width, n_channels)
        With the channels and the type of a form.
    missing : ndarray of shape (height, width)
        True where a pixel is missing.
    """

    def __init__(self, pixels: npt.NDArray[Any], missing: Mask) -> None:
        self.pixels, self.missing = pixels, missing


class Masks:
    """Finds the mask of each picture; close it after use.

    Parameters
    ----------
    images : str
        Where the pictures are: see `PictureSource.of`.
    masks : str
        A folder or ``.zip`` file of pictures with the names of the images (whatever their
        suffixes), or one picture for all of them: white is missing. Or `TRANSPARENT`:
        pixels that let anything through are missing.

    Raises
    ------
    DataError
        If there are none.
    """

    def __init__(self, images: str, masks: str) -> None:
        self.images, self.masks = images, masks
        self.source = PictureSource.of(Path(images))
        self.files = {file.name: file for file in self.source.files}
        self.mask_source: PictureSource | None = None
        self.by_stem: dict[str, PictureFile] = {}
        self.for_all: PictureFile | None = None
        if masks != TRANSPARENT:
            try:
                self._find_masks(Path(masks))
            except DataError as error:
                raise DataError(f"{masks}: {error}") from error

    def _find_masks(self, path: Path) -> None:
        if not path.exists():
            raise DataError("there is no such file or folder")
        self.mask_source = PictureSource.of(path)
        files = self.mask_source.files
        if not path.is_dir() and path.suffix.lower() != ".zip":
            self.for_all = files[0]
        for file in files:
            if self.by_stem.setdefault(_stem(file.name), file) is not file:
                raise DataError(f"has two masks for one picture, one of them {file.name}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for source in (self.source, self.mask_source):
            if source is not None:
                source.__exit__(kind, error, traceback)

    def require(self, names: list[str]) -> None:
        """Refuse pictures without a mask before any work is done.

        Raises
        ------
        DataError
            Naming the first.
        """
        if self.mask_source is None or self.for_all is not None:
            return
        for name in names:
            if _stem(name) not in self.by_stem:
                raise DataError(
                    f"{self.masks} has no mask for {name}: masks have the names of their "
                    "pictures; a black one says that nothing is missing"
                )

    def picture(self, name: str, form: PictureForm) -> MaskedPicture:
        """Read a picture at its own size.

        Parameters
        ----------
        name : str
            Of a picture.
        form : PictureForm
            Its channels and type are used, not its size.

        Raises
        ------
        DataError
            If it or its mask cannot be read, or they differ in size.
        """
        file = self.files[name]
        try:
            size, pixels, opaque = self._image(file, form)
        except DataError as error:
            raise DataError(f"{self.images}: {name} {error}") from error
        if self.mask_source is None:
            return MaskedPicture(pixels, ~opaque)
        return MaskedPicture(pixels, self._mask(self.mask_source, name, size))

    def _image(
        self, file: PictureFile, form: PictureForm
    ) -> tuple[tuple[int, int], npt.NDArray[Any], Mask]:
        """Read size and pixels, and where a picture is opaque."""
        with self.source.opened(file) as stream:
            look = look_at(stream)
        size = (look.height, look.width)
        whole = PictureForm(*size, colour=form.colour, alpha=form.alpha, bits=form.bits)
        with self.source.opened(file) as stream:
            pixels = decode(stream, whole).pixels[0]
        if self.mask_source is not None:
            return size, pixels, np.ones(size, dtype=np.bool_)
        seen = PictureForm(*size, colour=True, alpha=True)
        with self.source.opened(file) as stream:
            return size, pixels, decode(stream, seen).pixels[0, ..., -1] == seen.largest

    def _mask(self, source: PictureSource, name: str, size: tuple[int, int]) -> Mask:
        file = self.for_all or self.by_stem[_stem(name)]
        where = f"{self.masks}: {file.name}"
        try:
            with source.opened(file) as stream:
                look = look_at(stream)
            if (look.height, look.width) != size:
                raise DataError(
                    f"is {look.height} x {look.width} pixels large, but {name} is "
                    f"{size[0]} x {size[1]}: a mask has the size of its picture"
                )
            with source.opened(file) as stream:
                values = decode(stream, PictureForm(*size)).pixels[0, ..., 0]
        except DataError as error:
            raise DataError(f"{where} {error}") from error
        found: Mask = values >= _MISSING_FROM
        return found


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def masked_tiles(
    picture: MaskedPicture, tiles: npt.NDArray[Any], form: PictureForm
) -> tuple[npt.NDArray[Any], Mask]:
    """Bring a mask to a form, and keep what stands in missing pixels out of the others.

    Parameters
    ----------
    picture : MaskedPicture
        At its own size.
    tiles : ndarray of shape (n_tiles, form.height, form.width, ...)
        The same picture in the form, as it was read.
    form : PictureForm
        Its fit is "resize" or "tile", or the picture has its size.

    Returns
    -------
    tiles : ndarray of shape (n_tiles, form.height, form.width, ...)
        Pixels that are made of known and of missing ones are the mean of the known.
    missing : ndarray of shape (n_tiles, form.height, form.width)
        Where more than half of what a pixel is made of is missing.
    """
    height, width = picture.missing.shape
    size = (form.height, form.width)
    if form.fit == "tile":
        size = form.covering(height, width)
    missing, values = picture.missing, tiles
    if size != missing.shape:
        known = _brought_to(~missing, size, Image.Resampling.BOX)
        missing = known < _KNOWN_FROM
        touched = np.abs(_brought_to(picture.missing, size, Image.Resampling.BICUBIC)) > _TOUCHED
        values = tiles.reshape(*tiles.shape[:3], -1).copy()
        for channel in range(values.shape[3]):
            kept = np.where(picture.missing, 0, picture.pixels[..., channel])
            means = _brought_to(kept, size, Image.Resampling.BOX) / np.maximum(known, _KNOWN_FROM)
            mean_tiles = _cut(form.rounded(means), picture, form)
            at = _cut(touched, picture, form)
            values[..., channel][at] = mean_tiles[at]
        values = values.reshape(tiles.shape)
    return values, _cut(missing, picture, form)


def _brought_to(
    values: npt.NDArray[Any], size: tuple[int, int], how: Image.Resampling
) -> npt.NDArray[np.float32]:
    image = Image.fromarray(values.astype(np.float32))
    return np.asarray(image.resize(size[::-1], how))


def _cut(whole: npt.NDArray[Any], picture: MaskedPicture, form: PictureForm) -> npt.NDArray[Any]:
    pieces = [
        whole[top : top + form.height, left : left + form.width]
        for top, left in form.tiles(*picture.missing.shape)
    ]
    return np.stack(pieces)
