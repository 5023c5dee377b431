"""Rows of a model of pictures -> a folder of PNG files, a few at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from autoencode.commands.files import require_writable
from autoencode.commands.models import form_of, require_output
from autoencode.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from autoencode.data.picture_form import PictureForm
    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder

__all__ = [
    "blocks_of",
    "folder_form",
    "require_folder",
    "rows_at_once",
    "varied_names",
    "write_as_pictures",
    "write_decoded",
]

_PIECES = 16


def folder_form(output: Path, model: Path, *, force: bool) -> PictureForm | None:
    """Refuse a name under which nothing could be written, before any work is done.

    Parameters
    ----------
    output : Path
        The file of rows to be written, or a folder for pictures.
    model : Path
        A model's file.
    force : bool
        Whether an existing file or folder may be replaced.

    Returns
    -------
    PictureForm or None
        Of the pictures that go to a folder; None if rows go to a file.

    Raises
    ------
    DataError
        If it could not be written, ends in letters that name no format of rows, or is a
        folder and the model not one of pictures.
    """
    _refuse_picture(output)
    # Names of folders may end as in "run-0.5".
    if os.fspath(output) == "-" or output.suffix[1:].isalpha():
        require_output(output, force=force)
        return None
    form = form_of(model)
    if form is None:
        require_output(output, force=force)
        raise DataError(f"{output}: {model} was not fitted to files of pictures")
    require_folder(output, force=force)
    return form


def require_folder(output: Path, *, force: bool) -> None:
    """Refuse a name under which no folder could be written.

    Raises
    ------
    DataError
        If it is that of a file, exists, or its own folder cannot be written to.
    """
    _refuse_picture(output)
    if output.is_dir() and force:
        # What it holds is looked at when it is replaced.
        require_writable(output / "picture", force=True)
    elif output.is_dir():
        raise DataError(f"{output} exists; pass --force to replace it")
    else:
        require_writable(output, force=force)


def _refuse_picture(output: Path) -> None:
    from autoencode.data.picture_files import is_picture_name

    if is_picture_name(output.name) or output.suffix.lower() == ".zip":
        raise DataError(f"{output}: pictures are written to a folder; name one without a suffix")


def rows_at_once(fitted: Autoencoder) -> int:
    """Return how many rows a model is given at a time."""
    return _PIECES * fitted._piece()


def blocks_of(fitted: Autoencoder, rows: Rows) -> Iterator[npt.NDArray[Any]]:
    """Yield rows a few megabytes at a time, pictures in their own type and shape."""
    from autoencode.data.reading import pictures_of

    pictures, count = pictures_of(rows), rows_at_once(fitted)
    for start in range(0, rows.n_rows, count):
        if pictures is not None:
            yield pictures.pixels[start : start + count]
        else:
            block = rows.block(start, start + count)
            yield block.reshape(len(block), *rows.sample_shape)


def write_as_pictures(
    output: Path,
    form: PictureForm,
    rows: Rows,
    blocks: Iterator[npt.NDArray[Any]],
    *,
    force: bool,
) -> None:
    """Write what became of rows under the names, and in the sizes, of their pictures.

    Parameters
    ----------
    output : Path
        The folder.
    form : PictureForm
        Of the model.
    rows : Rows
        What the model was applied to: pictures, or an array of them, which are numbered.
    blocks : iterator of ndarray
        What became of all rows, in pieces, in the units of pixels.
    force : bool
        Whether an existing folder may be replaced.
    """
    import numpy as np

    from autoencode.data.picture_decoding import resized
    from autoencode.data.picture_writing import numbered_names, whole_pictures, write_pictures
    from autoencode.data.reading import pictures_of

    pictures = pictures_of(rows)
    names: Sequence[str] = numbered_names(rows.n_rows)
    places, sizes = np.zeros((rows.n_rows, 2), dtype=np.intp), {}
    if pictures is not None:
        names, places = pictures.names, pictures.places
        # What was cut off does not come back.
        sizes = {} if form.fit == "crop" else pictures.sizes

    def finished() -> Iterator[npt.NDArray[Any]]:
        for name, pixels in whole_pictures(blocks, form, names, places):
            yield resized(pixels, *sizes.get(name, pixels.shape[:2]))

    write_pictures(output, tuple(dict.fromkeys(names)), finished(), force=force)


def write_decoded(
    output: Path,
    form: PictureForm,
    rows: Rows,
    decode: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    *,
    force: bool,
) -> None:
    """Write what codes stand for, under the names that are carried along with them.

    Parameters
    ----------
    output : Path
        The folder.
    form : PictureForm
        Of the model.
    rows : Rows
        Codes. Their column ``picture`` has the names, ``top`` and ``left`` the places of
        tiles; without names pictures are numbered.
    decode : callable
        From some codes to pictures.
    force : bool
        Whether an existing folder may be replaced.

    Raises
    ------
    DataError
        If names or places cannot be used, or the folder not be written.
    """
    import numpy as np

    from autoencode.data.picture_writing import numbered_names, whole_pictures, write_pictures

    kept, known = rows.kept, [] if rows.kept is None else rows.kept.column_names
    names = numbered_names(rows.n_rows)
    if kept is not None and "picture" in known:
        names = [str(name) for name in kept.column("picture").to_pylist()]
    places = np.zeros((rows.n_rows, 2), dtype=np.intp)
    if kept is not None and form.fit == "tile" and "picture" in known:
        for place, column in enumerate(("top", "left")):
            places[:, place] = _whole_numbers(kept, column)
    starts = [name for place, name in enumerate(names) if not place or name != names[place - 1]]
    twice = len(set(starts)) < len(starts) or (form.fit != "tile" and len(starts) < len(names))
    if twice:
        raise DataError(
            "the column 'picture' names one picture twice: names should differ, and the tiles of "
            "a picture stand together"
        )
    blocks = (decode(block) for _, block in rows.blocks())
    found = (pixels for _, pixels in whole_pictures(blocks, form, names, places))
    write_pictures(output, starts, found, force=force)


def _whole_numbers(kept: pa.Table, column: str) -> list[int]:
    """Return a column of places, which a file of text may hold as text."""
    if column not in kept.column_names:
        raise DataError(f"there is no column {column!r}, which says where tiles belong")
    try:
        return [int(value) for value in kept.column(column).to_pylist()]
    except (TypeError, ValueError):
        raise DataError(f"the column {column!r} should hold whole numbers") from None


def varied_names(rows: Rows, count: int) -> list[str]:
    """Return names for so many variants of each picture: one of every picture, then the next."""
    from autoencode.data.picture_writing import numbered_names
    from autoencode.data.reading import pictures_of

    pictures = pictures_of(rows)
    names = numbered_names(rows.n_rows) if pictures is None else pictures.names
    paths = [PurePosixPath(name) for name in names]
    return [
        str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        for number in range(1, count + 1)
        for path in paths
    ]
