"""Anything a user may hand over -> a table as it is, or rows of numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoencode.data.arrays import is_sparse, open_array, open_sparse
from autoencode.data.picture_wish import ANY_PICTURES, PictureWish
from autoencode.data.rows import Rows
from autoencode.errors import DataError

if TYPE_CHECKING:
    from autoencode.data.pictures import Pictures
    from autoencode.data.tables import TableData, TableSource

__all__ = ["is_of_pictures", "open_data", "pictures_of", "table_source"]

# pyarrow takes a tenth of a second to import: the functions below do so when they need
# it, so that arrays are opened without.

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
COMPRESSIONS = (".gz", ".bz2", ".zst")
KNOWN_SUFFIXES = (".parquet", ".csv", ".tsv", ".txt", ".feather", ".arrow", ".npy", ".npz")


def open_data(
    data: Any,
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    expected_names: Sequence[str] | None = None,
    pictures: PictureWish = ANY_PICTURES,
) -> Rows | TableData:
    """Open data of any supported form.

    Parameters
    ----------
    data : array-like, sparse matrix, frame, table or path
        An array of shape (n, n_features), or of pictures (n, height, width[, channels]);
        memory maps and SciPy sparse matrices are read block by block. A table is any
        object with ``__arrow_c_stream__`` or ``__arrow_c_array__`` (pandas, polars,
        pyarrow, duckdb ...). A path leads to a .parquet, .csv, .tsv, .txt (also .gz, .bz2
        or .zst), .feather, .arrow, .npy or .npz file or to a folder of Parquet files;
        ``"file.npz:name"`` chooses one array. A folder of .npy files, or a list of their
        paths, is one array too: the rows of one file after those of another. So are the
        pictures of a folder or a .zip file.
    drop : sequence of str
        Columns of a table to leave out.
    keep : sequence of str
        Columns of a table to carry along in ``kept``, not among the others.
    expected_names : sequence of str, optional
        The columns that a model was fitted with: a named table must have exactly these
        beside the dropped and kept ones, in any order, and is read in this one. A kept
        column may be one of them. Data without names pass, but for files of pictures.
    pictures : PictureWish, optional
        How files of pictures are to be read; other data only pass if it asks for nothing.

    Returns
    -------
    TableData or Rows
        A table keeps its columns' types. Rows are real numbers: of an array, or of a
        table without names (a CSV file without a header, a pandas frame whose column
        names are not text) that is all numbers; another such table has the column
        numbers as names. Missing values pass; in rows they are NaN, and no value is
        infinite. Rows are counted from 1 in messages about tables, from 0 in those
        about arrays.

    Raises
    ------
    DataError
        One line that names the file (if it is one), the column and what to do.
    TypeError
        If an object array holds something that is neither text nor a number.
    """
    wish = {"drop": drop, "keep": keep, "expected_names": expected_names}
    if isinstance(data, (str, os.PathLike)):
        return _open_path(os.fspath(data), wish, pictures)
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], (str, os.PathLike)):
        from autoencode.data.shards import are_paths, open_shards

        if are_paths(data):
            _refuse_names(wish)
            return open_shards([Path(os.fsdecode(item)) for item in data])
    return _open_object(data, wish)


def _open_object(data: Any, wish: Mapping[str, Any]) -> Rows | TableData:
    if not isinstance(data, (np.ndarray, list, tuple)) and not is_sparse(data):
        from autoencode.data import frames
        from autoencode.data.tables import open_columns

        source = None
        if frames.is_pandas(data):
            source = frames.pandas_source(data)
        elif frames.is_capsule(data):
            source = frames.capsule_source(data)
        if source is not None:
            return open_columns(source, **wish)
    return _open_bare(data, wish)


def _open_bare(data: Any, wish: Mapping[str, Any]) -> Rows:
    _refuse_names(wish)
    return open_sparse(data) if is_sparse(data) else open_array(data)


def _refuse_names(wish: Mapping[str, Any]) -> None:
    for name in (*wish["drop"], *wish["keep"]):
        raise DataError(f"there is no column {name!r}: an array has no column names")


def _open_path(
    given: str | bytes, wish: Mapping[str, Any], pictures: PictureWish
) -> Rows | TableData:
    text = os.fsdecode(given)
    path, member = _split_member(text)
    try:
        if path.suffix.lower() in (".npy", ".npz") and not path.is_dir():
            pictures.refuse_other()
            return _open_bare(_numpy_data(path, member), wish)
        if path.is_dir():
            from autoencode.data.shards import folder_files, is_folder_of_npy, open_shards

            if is_folder_of_npy(path):
                pictures.refuse_other()
                _refuse_names(wish)
                return open_shards(folder_files(path), path)
        if is_of_pictures(path):
            return _open_pictures(path, wish, pictures)
        pictures.refuse_other()
        from autoencode.data.tables import open_columns

        return open_columns(table_source(path), **wish)
    except DataError as error:
        raise DataError(f"{text}: {error}") from error
    except OSError as error:
        raise DataError(f"{text}: {error.strerror or error}") from error


def is_of_pictures(path: Path) -> bool:
    """Tell whether a path leads to pictures: one, or a ``.zip`` file or folder of them."""
    from autoencode.data.picture_files import holds_pictures

    if path.is_dir() and any(file.suffix in (".parquet", ".npy") for file in path.rglob("*")):
        return False
    return holds_pictures(path)


def pictures_of(data: Rows | TableData) -> Pictures | None:
    """Return what files of pictures the data were read from; None if from anything else."""
    found: Pictures | None = getattr(data, "pictures", None)
    return found


def _open_pictures(path: Path, wish: Mapping[str, Any], pictures: PictureWish) -> Rows:
    from autoencode.data.pictures import PictureRows, read_pictures

    if not path.is_dir():
        _require_content(path)
    for name in (*wish["drop"], *wish["keep"]):
        raise DataError(f"there is no column {name!r}: pictures have no columns")
    if wish["expected_names"] is not None:
        raise DataError("holds pictures, but the model was fitted to a table with named columns")
    found = read_pictures(
        path,
        size=pictures.size,
        fit=pictures.fit,
        skip_bad=pictures.skip_bad,
        form=pictures.form,
    )
    return PictureRows(found)


def _split_member(text: str) -> tuple[Path, str | None]:
    """Split ``archive.npz:name``, unless a file has that very name."""
    archive, colon, member = text.rpartition(":")
    if colon and archive.lower().endswith(".npz") and not os.path.exists(text):
        return Path(archive), member
    return Path(text), None


def _numpy_data(path: Path, member: str | None) -> Any:
    from autoencode.data import numpy_files  # arrays in memory do without

    _require_content(path)
    if path.suffix.lower() == ".npy":
        return numpy_files.open_npy(path)
    return numpy_files.open_npz(path, member)


def table_source(path: Path) -> TableSource:
    """Return the table that a path leads to, its columns not read yet."""
    from autoencode.data import delimited, stored

    if path.is_dir():
        return stored.folder_source(path)
    _require_content(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".parquet"]:
        return stored.parquet_source(path)
    if suffixes and suffixes[-1] in (".feather", ".arrow"):
        return stored.arrow_source(path)
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    if suffixes and suffixes[-1] in TEXT_SUFFIXES:
        return delimited.delimited_source(path)
    raise DataError(
        f"unknown kind of file; known are {', '.join(KNOWN_SUFFIXES)}, folders of .parquet or "
        ".npy, and pictures (also folders or .zip of them)"
    )


def _require_content(path: Path) -> None:
    if not path.exists():
        raise DataError("there is no such file")
    if path.stat().st_size == 0:
        raise DataError("the file is empty")
