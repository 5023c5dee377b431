"""Opening what a command reads, and asking early whether it may write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoencode.errors import DataError
from autoencode.files import require_absent

if TYPE_CHECKING:
    from autoencode.data.rows import Rows

__all__ = ["read_rows", "require_writable"]


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
        If it exists, or its folder is missing or cannot be written to.
    """
    folder = path.parent
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder")
    require_absent(path, force=force)
    if not folder.is_dir():
        reason = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"cannot write {path}: the folder {folder} {reason}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"cannot write {path}: no permission to write into {folder}")


def read_rows(
    path: str,
    *,
    drop: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    expected_names: Sequence[str] | None = None,
) -> Rows:
    """Open a file of data, every value of which is a finite number.

    Parameters
    ----------
    path : str
        As for `autoencode.data.reading.open_rows`.
    drop, keep : sequence of str, optional
        Columns to leave out, and to carry along.
    expected_names : sequence of str, optional
        The columns of a fitted model.

    Returns
    -------
    Rows
        The numbers, and the columns carried along.

    Raises
    ------
    DataError
        If it cannot be used; the message names file and column.
    """
    from autoencode.data.finite import require_finite
    from autoencode.data.reading import open_rows

    try:
        rows = open_rows(path, drop=drop or (), keep=keep or (), expected_names=expected_names)
    except TypeError as error:
        raise DataError(f"{path}: {error}") from error
    if rows.names is None:  # tables are checked while they are read
        try:
            require_finite(rows)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return rows
