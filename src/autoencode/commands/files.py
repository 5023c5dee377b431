"""Opening what a command reads, and asking early whether it may write."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoencode.data.picture_wish import ANY_PICTURES, PictureWish
from autoencode.errors import DataError
from autoencode.files import require_absent

if TYPE_CHECKING:
    from autoencode.data.rows import Rows
    from autoencode.data.tables import TableData

__all__ = ["naming", "read_data", "read_for_fit", "require_writable"]


def require_writable(path: Path, *, force: bool) -> None:
    """Refuse a file that could not be written at the end, before any work is done.

    Parameters
    ----------
    path : Path
        The file to be written.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If it exists, is a device or the like, or its folder is missing or cannot be written to.
    """
    folder = path.parent
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder")
    require_absent(path, force=force)
    if path.exists() and not path.is_file():
        raise DataError(f"cannot write {path}: it is no regular file")
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"cannot write {path}: the folder {folder} {reason}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"cannot write {path}: no permission to write into {folder}")


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put a file's name in front of what is wrong with its data."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_data(
    path: str,
    *,
    drop: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    expected_names: Sequence[str] | None = None,
    pictures: PictureWish = ANY_PICTURES,
) -> Rows | TableData:
    """Open a file of data; say on standard error what was done to pictures.

    Parameters
    ----------
    path : str
        As for `autoencode.data.reading.open_data`.
    drop, keep : sequence of str, optional
        Columns to leave out, and to carry along.
    expected_names : sequence of str, optional
        The columns of a fitted model.
    pictures : PictureWish, optional
        How files of pictures are to be read.

    Returns
    -------
    Rows or TableData
        An array, or a table with the types that its columns have.

    Raises
    ------
    DataError
        If it cannot be used; the message names file and column.
    """
    from autoencode.data.reading import open_data

    try:
        found = open_data(
            path,
            drop=drop or (),
            keep=keep or (),
            expected_names=expected_names,
            pictures=pictures,
        )
    except TypeError as error:
        raise DataError(f"{path}: {error}") from error
    _say_what_was_read(path, found)
    return found


def _say_what_was_read(path: str, found: Rows | TableData) -> None:
    """Tell what was done to pictures, and which were left out."""
    from autoencode.data.reading import pictures_of

    pictures = pictures_of(found)
    if pictures is None:
        return
    sys.stderr.write(f"autoencode: {path}: {pictures.summary}\n")
    for name, reason in sorted(pictures.bad.items()):
        sys.stderr.write(f"autoencode: {path}: left out: {name} {reason}\n")


def classes_of(rows: Rows, label: str) -> list[object]:
    """Return the class of each row from a column that was carried along; None: it has none."""
    kept = rows.kept
    assert kept is not None  # the column was asked for, and is there
    # Columns that are carried along are as they stand in the file: nothing is a class.
    return [None if found == "" else found for found in kept.column(label).to_pylist()]


def read_for_fit(
    path: str,
    *,
    drop: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    pictures: PictureWish = ANY_PICTURES,
) -> Rows:
    """Open a file to which a model is to be fitted.

    Parameters
    ----------
    path, drop, keep, pictures
        As for `read_data`.
    columns : mapping of str to str, optional
        Kinds of columns that are not to be found by looking.

    Returns
    -------
    Rows
        With a schema, if it is a table.

    Raises
    ------
    DataError
        If it cannot be used; the message names file and column.
    SpecError
        If a kind is not known.
    """
    data = read_data(path, drop=drop, keep=keep, pictures=pictures)
    from autoencode.opening import open_for_fit  # imports torch; the file may be at fault

    with naming(path):
        _require_two(data)
        return open_for_fit(data, columns)


def _require_two(found: Rows | TableData) -> None:
    from autoencode.data.reading import pictures_of

    if pictures_of(found) is not None and found.n_rows < 2:
        raise DataError(
            "is one picture, and a fit needs two at least: add more, or cut it into many with "
            "--fit tile"
        )
