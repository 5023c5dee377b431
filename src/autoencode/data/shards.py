"""Many ``.npy`` files that count as one array, mapped only while rows are read from them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.arrays import require_real_dtype, require_shape
from autoencode.data.finite import require_no_infinity
from autoencode.data.numpy_files import NpyHeader, mapped, read_npy_header
from autoencode.data.rows import Rows
from autoencode.errors import DataError

__all__ = ["Shards", "are_paths", "folder_files", "is_folder_of_npy", "open_shards"]

OTHER_DATA = (".parquet", ".csv", ".tsv", ".txt", ".feather", ".arrow", ".npz")


class Shards:
    """The rows of several ``.npy`` files, one file after the other.

    A file is mapped when rows of it are asked for, and unmapped with the last view of
    them: memory holds what was asked for, and a thousand files take no descriptor.

    Parameters
    ----------
    headers : sequence of NpyHeader
        Of files whose rows have one shape and dtype.

    Attributes
    ----------
    shape : tuple of int
        ``(n_rows, ...)``: all rows together.
    dtype : numpy.dtype
        Of all files.
    """

    def __init__(self, headers: Sequence[NpyHeader]) -> None:
        self.headers = [header for header in headers if header.shape[0]]
        self.edges = np.cumsum([0, *(header.shape[0] for header in self.headers)])
        self.shape = (int(self.edges[-1]), *headers[0].shape[1:])
        self.dtype = headers[0].dtype

    def __getitem__(self, wanted: slice | npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Return some rows.

        Parameters
        ----------
        wanted : slice or ndarray of int
            As of an array; a slice has no step.

        Returns
        -------
        ndarray of shape (n_wanted, ...)
            A slice of one file is a view of the map, for reading only; else a copy.
        """
        if isinstance(wanted, slice):
            start, stop, _ = wanted.indices(self.shape[0])
            return self._between(start, max(start, stop))
        return self._picked(wanted)

    def _between(self, start: int, stop: int) -> npt.NDArray[Any]:
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        from_file = int(np.searchsorted(self.edges, start, side="right")) - 1
        parts = []
        for place in range(from_file, int(np.searchsorted(self.edges, stop))):
            first = int(self.edges[place])
            parts.append(self._values(place)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _picked(self, numbers: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        n_rows = self.shape[0]
        outside = (numbers < -n_rows) | (numbers >= n_rows)
        if outside.any():
            raise IndexError(f"row {numbers[outside][0]} lies outside of {n_rows} rows")
        places = np.where(numbers < 0, numbers + n_rows, numbers)
        files = np.searchsorted(self.edges, places, side="right") - 1
        order = np.argsort(files, kind="stable")
        cuts = np.searchsorted(files[order], np.arange(len(self.headers) + 1))
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for file, (first, last) in enumerate(pairwise(cuts.tolist())):
            if first < last:
                chosen = order[first:last]
                found[chosen] = self._values(file)[places[chosen] - self.edges[file]]
        return found

    def _values(self, place: int) -> npt.NDArray[Any]:
        header = self.headers[place]
        try:
            return mapped(header)
        except DataError as error:
            raise DataError(f"{header.path}: {error}") from error
        except OSError as error:
            raise DataError(f"{header.path}: {error.strerror or error}") from error


def are_paths(data: Any) -> bool:
    """Tell whether data are several paths of which one at least is that of a ``.npy`` file."""
    if not isinstance(data, list | tuple) or not data:
        return False
    if not all(isinstance(item, str | os.PathLike) for item in data):
        return False
    return any(Path(os.fsdecode(item)).suffix.lower() == ".npy" for item in data)


def is_folder_of_npy(path: Path) -> bool:
    """Tell whether a folder holds ``.npy`` files, subfolders included."""
    return path.is_dir() and any(_seen(file) for file in path.rglob("*.npy"))


def folder_files(path: Path) -> list[Path]:
    """Return the ``.npy`` files of a folder, subfolders included, by their paths.

    Parameters
    ----------
    path : Path
        The folder; what begins with ``.`` or ``_`` is passed over, as in folders of
        Parquet.

    Returns
    -------
    list of Path
        At least one.

    Raises
    ------
    DataError
        If there are data in other formats too: half of the rows would be left out.
    """
    files = sorted(file for file in path.rglob("*") if _seen(file))
    for file in files:
        if file.suffix.lower() in OTHER_DATA:
            raise DataError(
                f"holds .npy files, but also {file.relative_to(path)}; a folder should hold "
                "rows of one format: move the others elsewhere"
            )
    return [file for file in files if file.suffix.lower() == ".npy"]


def open_shards(paths: Sequence[Path], folder: Path | None = None) -> Rows:
    """Open several ``.npy`` files as one set of rows; nothing but their headers is kept.

    Parameters
    ----------
    paths : sequence of Path
        The files, in the order of their rows.
    folder : Path, optional
        Files are named relative to it in messages.

    Returns
    -------
    Rows
        Without names. All values were looked at once: none is infinite.

    Raises
    ------
    DataError
        If a file cannot be used or has another width or dtype than the first.
    """
    names = [str(path if folder is None else path.relative_to(folder)) for path in paths]
    headers = [_header(path, name) for path, name in zip(paths, names, strict=True)]
    first = headers[0]
    for header, name in zip(headers, names, strict=True):
        if header.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{name} has {_width(header)}, but {names[0]} has {_width(first)}: the rows of "
                "all files should have one shape"
            )
        if header.dtype != first.dtype:
            raise DataError(
                f"{name} holds {header.dtype}, but {names[0]} holds {first.dtype}: all files "
                "should have one dtype"
            )
    rows = Rows(_checked(Shards(headers)), kind="numpy")
    require_no_infinity(rows)
    return rows


def _checked(shards: Shards) -> Shards:
    require_shape(shards.shape)
    require_real_dtype(shards.dtype)
    return shards


def _header(path: Path, name: str) -> NpyHeader:
    """Read the header of one file, and say its name where it cannot be used."""
    try:
        if path.suffix.lower() != ".npy":
            raise DataError("is no .npy file; only such files can be joined")
        if path.is_dir():
            raise DataError("is a folder, not a file")
        header = read_npy_header(path)
        if len(header.shape) < 2:
            raise DataError(f"holds an array of shape {header.shape}; rows need two dimensions")
        return header
    except DataError as error:
        raise DataError(f"{name} {error}") from error
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}") from error


def _width(header: NpyHeader) -> str:
    shape = header.shape[1:]
    return f"{shape[0]} columns" if len(shape) == 1 else f"rows of shape {shape}"


def _seen(file: Path) -> bool:
    return not file.name.startswith(("_", ".")) and file.is_file()
