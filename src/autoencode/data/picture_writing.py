"""Rows of a model of pictures -> a folder of PNG files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autoencode.data.picture_decoding import to_image
from autoencode.data.picture_files import require_inside
from autoencode.data.picture_form import PictureForm
from autoencode.errors import DataError
from autoencode.files import replacing_folder

__all__ = ["file_names", "numbered_names", "whole_pictures", "write_pictures"]

Pixels: TypeAlias = npt.NDArray[Any]

_SUFFIX = ".png"
_GAPS = "tiles of a picture are missing: its rows should stand together, and all of them"


def write_pictures(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    pictures: Iterable[Pixels],
    *,
    force: bool = False,
) -> None:
    """Write pictures to a folder, which appears when all of them are there.

    Parameters
    ----------
    folder : path
        Where they go; its own folder must exist.
    names : sequence of str
        Of the pictures, as they were read; they become names of PNG files: see `file_names`.
    pictures : iterable of ndarray of shape (height, width) or (height, width, n_channels)
        uint8 or uint16, as many as names; taken one by one.
    force : bool, default False
        Whether an existing folder may be replaced, if it holds nothing but such files.

    Raises
    ------
    DataError
        If a name leads out of the folder, or it exists or cannot be written.
    """
    files = file_names(names)
    with replacing_folder(folder, files, force=force) as temporary:
        for file, pixels in zip(files, pictures, strict=True):
            path = temporary / file
            path.parent.mkdir(parents=True, exist_ok=True)
            to_image(pixels).save(path, "PNG")


def file_names(names: Sequence[str]) -> list[str]:
    """Return the names under which pictures are written.

    Parameters
    ----------
    names : sequence of str
        Of pictures, no two alike, with ``/`` for subfolders.

    Returns
    -------
    list of str
        With ``.png`` in place of the suffix; after it where two would have the same name.

    Raises
    ------
    DataError
        If a name leads out of the folder, or two are alike.
    """
    for name in names:
        require_inside(name)
    short = [str(PurePosixPath(name).with_suffix(_SUFFIX)) for name in names]
    count = Counter(found.lower() for found in short)
    files = [
        found if count[found.lower()] == 1 else f"{name}{_SUFFIX}"
        for found, name in zip(short, names, strict=True)
    ]
    twice = [name for name, times in Counter(name.lower() for name in files).items() if times > 1]
    if twice:
        raise DataError(f"two pictures would be written as {twice[0]!r}; give them other names")
    inner = set(files) & {str(above) for file in files for above in PurePosixPath(file).parents}
    if inner:
        raise DataError(f"{min(inner)!r} would be both a picture and a folder; rename it")
    return files


def numbered_names(count: int) -> list[str]:
    """Return names for pictures that have none: numbers from 1, of equal length."""
    width = len(str(count))
    return [f"{number:0{width}}{_SUFFIX}" for number in range(1, count + 1)]


def whole_pictures(
    rows: Iterable[Pixels],
    form: PictureForm,
    names: Sequence[str],
    places: npt.NDArray[np.intp],
) -> Iterator[tuple[str, Pixels]]:
    """Put the rows of each picture together.

    Parameters
    ----------
    rows : iterable of ndarray
        Blocks of rows, each of shape (n, ...), in the units of pixels; they are rounded.
    form : PictureForm
        Of the rows.
    names : sequence of str
        The picture of each row; those of one picture stand together.
    places : ndarray of shape (n_rows, 2)
        Where each row begins in its picture, as (top, left).

    Yields
    ------
    name : str
        Of a picture.
    pixels : ndarray of shape (height, width) or (height, width, n_channels)
        uint8 or uint16. Where tiles overlap, their mean.
    """
    single = (row for block in rows for row in block.reshape(len(block), *form.sample_shape))
    for name, group in groupby(enumerate(names), key=lambda item: item[1]):
        spots = places[[number for number, _ in group]]
        yield name, _stitched([next(single) for _ in spots], form, spots)


def _stitched(tiles: Sequence[Pixels], form: PictureForm, spots: npt.NDArray[np.intp]) -> Pixels:
    if len(tiles) == 1:
        return form.rounded(tiles[0])
    top, left = spots.max(axis=0).tolist()
    height, width = top + form.height, left + form.width
    channels = form.sample_shape[2:]
    if spots.min() < 0 or height * width > len(tiles) * form.height * form.width:
        raise DataError(_GAPS)
    total = np.zeros((height, width, *channels), dtype=np.float32)
    count = np.zeros((height, width, *(1 for _ in channels)), dtype=np.float32)
    for tile, (top, left) in zip(tiles, spots.tolist(), strict=True):
        area = slice(top, top + form.height), slice(left, left + form.width)
        total[area] += tile
        count[area] += 1
    if not count.all():
        raise DataError(_GAPS)
    return form.rounded(total / count)
