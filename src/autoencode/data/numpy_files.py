"""NumPy's own files: ``.npy`` mapped into memory, ``.npz`` with one array chosen."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autoencode.errors import DataError

__all__ = ["NpyHeader", "mapped", "open_npy", "open_npz", "read_npy_header"]

# Names that mean "the data" where an archive holds several arrays, in this order.
DATA_NAMES = ("X", "x", "X_train", "x_train", "data")
# What every file of ``scipy.sparse.save_npz`` holds.
SPARSE_NAMES = frozenset({"data", "shape", "format"})
# No deflated byte stands for more than this many: a larger claim is a false one.
LARGEST_RATIO = 1100


class NpyHeader(NamedTuple):
    """Where the values of a ``.npy`` file are, and what they are."""

    path: Path
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int


def open_npy(path: Path) -> npt.NDArray[Any]:
    """Map a ``.npy`` file into memory.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    numpy.memmap
        Read-only; nothing is read but the header.

    Raises
    ------
    DataError
        If it is not such a file, holds Python objects, or is shorter than it declares.
    """
    return mapped(read_npy_header(path))


def read_npy_header(path: Path) -> NpyHeader:
    """Read what a ``.npy`` file declares, and check that as many bytes follow.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    NpyHeader
        Where the values are, and what they are.

    Raises
    ------
    DataError
        As `open_npy`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, fortran, dtype = _header(file)
        start = file.tell()
    _require_size(shape, dtype, size - start)
    return NpyHeader(path, shape, fortran, dtype, start)


def mapped(header: NpyHeader) -> npt.NDArray[Any]:
    """Map the values of a ``.npy`` file into memory, read-only.

    Parameters
    ----------
    header : NpyHeader
        Of the file.

    Returns
    -------
    numpy.memmap
        It is unmapped with the last view of it; a plain array if it holds no value.

    Raises
    ------
    DataError
        If the file became shorter.
    """
    path, shape, fortran, dtype, start = header
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    order: Any = "F" if fortran else "C"
    try:
        return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape, order=order)
    except ValueError as error:
        raise DataError(f"changed while it was read: {error}") from error


def open_npz(path: Path, name: str | None = None) -> Any:
    """Read one array of a ``.npz`` archive.

    Parameters
    ----------
    path : Path
        The archive.
    name : str, optional
        Which array; if not given the only one, or the one called X, x, X_train,
        x_train or data.

    Returns
    -------
    ndarray or scipy.sparse matrix
        The array; a sparse matrix if ``scipy.sparse.save_npz`` wrote the file.

    Raises
    ------
    DataError
        If the file is damaged, if there is no such array, or if it is not clear which
        one is meant.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                item.filename.removesuffix(".npy"): item
                for item in archive.infolist()
                if item.filename.endswith(".npy")
            }
            if name is None and set(members) >= SPARSE_NAMES:
                return _read_sparse({key: _read(archive, members[key]) for key in members})
            return _read(archive, members[_chosen(path, list(members), name)])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"is not a whole .npz file: {error}") from error


def _chosen(path: Path, names: list[str], name: str | None) -> str:
    if not names:
        raise DataError("holds no array")
    listed = ", ".join(names[:20])
    if name is not None:
        if name not in names:
            raise DataError(f"holds no array {name!r}; there are: {listed}")
        return name
    if len(names) == 1:
        return names[0]
    for usual in DATA_NAMES:
        if usual in names:
            return usual
    raise DataError(f"holds several arrays: {listed}; choose one as {path.name}:{names[0]}")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    if member.file_size > LARGEST_RATIO * max(1, member.compress_size):
        raise DataError(f"declares more bytes for {member.filename} than it can hold")
    with archive.open(member) as file:
        shape, _, dtype = _header(file)
        _require_size(shape, dtype, member.file_size - file.tell())
    with archive.open(member) as file:
        try:
            array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"is not a whole .npz file: {error}") from error
    return array


def _read_sparse(parts: dict[str, npt.NDArray[Any]]) -> Any:
    from scipy import sparse  # slow to import, and only these files need it

    kind = parts["format"].item()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    makers = {"csr": sparse.csr_array, "csc": sparse.csc_array}
    if kind not in makers:
        raise DataError(f"holds a sparse matrix in format {kind!r}; save it as csr or csc")
    shape = tuple(int(size) for size in parts["shape"])
    try:
        values = parts["data"], parts["indices"], parts["indptr"]
        matrix = makers[kind](values, shape=shape)
        # Indices of a damaged file could otherwise point outside the matrix.
        matrix.check_format(full_check=True)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(f"holds a damaged sparse matrix: {error}") from error
    return matrix


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read shape, memory order and dtype, leaving the file at the first value."""
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(file)
        else:
            # Version 3 differs from 2 only by non-Latin names of fields of records.
            header = np.lib.format.read_array_header_2_0(file)
    except (ValueError, SyntaxError, EOFError, TypeError, tokenize.TokenError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"is not a whole .npy file: {reason}") from error
    shape, fortran, dtype = header
    if dtype.hasobject:
        raise DataError("holds Python objects, which are never loaded; save an array of numbers")
    return shape, fortran, dtype


def _require_size(shape: tuple[int, ...], dtype: np.dtype[Any], available: int) -> None:
    """Refuse a header that declares more than there is, before anything is allocated."""
    if any(size < 0 for size in shape):
        raise DataError(f"declares an impossible shape {shape}")
    declared = math.prod(shape) * dtype.itemsize
    if declared > available:
        raise DataError(
            f"is truncated: its header declares {shape} {dtype} = {declared} bytes, "
            f"but only {available} follow"
        )
