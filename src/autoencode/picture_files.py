"""Files of pictures for use in Python: read into arrays, and written from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoencode.data.picture_form import PictureForm
from autoencode.data.picture_writing import numbered_names
from autoencode.data.picture_writing import write_pictures as write_files
from autoencode.data.pictures import Pictures
from autoencode.data.pictures import read_pictures as read_files
from autoencode.errors import DataError, SpecError
from autoencode.estimators import Autoencoder

__all__ = ["Pictures", "read_pictures", "write_pictures"]


def read_pictures(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    fit: str | None = None,
    skip_bad: bool = False,
    like: Pictures | Autoencoder | None = None,
) -> Pictures:
    """Read a folder, a ``.zip`` file or one file of pictures into one array.

    Parameters
    ----------
    path : path
        Where the pictures are: PNG, JPEG, TIFF, WebP, GIF or BMP, subfolders included.
    size : tuple of int, optional
        Height and width; if not given, the commonest, or medians if none is common.
    fit : {"resize", "crop", "tile"}, optional
        How pictures of other sizes get it: stretched (if not given), cut at the longer
        sides, or cut into tiles, of which the last two may overlap.
    skip_bad : bool, default=False
        Leave out pictures that cannot be read, and name them in ``bad``.
    like : Pictures or Autoencoder, optional
        Pictures, or a model fitted to files of them by the command: the form is theirs.

    Returns
    -------
    Pictures
        ``pixels`` is what estimators take; ``names``, ``sizes`` and ``summary`` say where
        it came from.

    Raises
    ------
    DataError
        If there are no pictures, or some cannot be read: all of these are named.
    SpecError
        If an option is not allowed.
    """
    if like is not None and (size is not None or fit is not None):
        raise SpecError("like= decides size and fit: leave these out")
    if not Path(path).exists():
        raise DataError(f"{os.fspath(path)}: there is no such file or folder")
    form = None if like is None else _form(like)
    try:
        return read_files(path, size=size, fit=fit, skip_bad=skip_bad, form=form)
    except DataError as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error


def write_pictures(
    folder: str | os.PathLike[str],
    values: Any,
    names: Sequence[str] | None = None,
    *,
    like: Pictures | Autoencoder,
    force: bool = False,
) -> None:
    """Write pictures to a folder of PNG files, which appears when all are there.

    Parameters
    ----------
    folder : path
        Where they go; its own folder must exist.
    values : array-like of shape (n, height, width) or (n, height, width, channels)
        In the units of pixels, 0 to 255 or 65,535, such as a model gives them back; rounded.
    names : sequence of str, optional
        Of the files; their suffixes become ``.png``. Numbers if not given.
    like : Pictures or Autoencoder
        Whose form the values have.
    force : bool, default=False
        Whether an existing folder may be replaced, if it holds nothing but such files.

    Raises
    ------
    DataError
        If shapes do not fit, a name leads out of the folder, or it cannot be written.
    """
    form, array = _form(like), np.asarray(values)
    if array.shape[1:] != form.sample_shape:
        raise DataError(
            f"values have shape {array.shape}, but pictures of this form (n, "
            f"{', '.join(map(str, form.sample_shape))})"
        )
    found = numbered_names(len(array)) if names is None else list(names)
    if len(found) != len(array):
        raise DataError(f"there are {len(found)} names for {len(array)} pictures")
    write_files(folder, found, (form.rounded(picture) for picture in array), force=force)


def _form(like: Pictures | Autoencoder) -> PictureForm:
    if isinstance(like, Pictures):
        return like.form
    header = like._state.facts.get("pictures")
    if header is None:
        raise SpecError(
            "like= is a model that was fitted to an array: hand over the Pictures that were read"
        )
    return PictureForm.from_header(header)
