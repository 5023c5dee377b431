"""Tables, matrices and the columns carried along -> files, written whole or not at all."""

from __future__ import annotations

import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autoencode.errors import DataError
from autoencode.files import replacing, require_absent

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Columns",
    "require_table_suffix",
    "write_array",
    "write_blocks",
    "write_frame",
    "write_sparse",
    "write_table",
]

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]] | tuple[Sequence[str], npt.NDArray[Any]]

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".txt", ".feather", ".arrow", ".npy", ".npz")


def require_table_suffix(path: str | os.PathLike[str]) -> str:
    """Tell from its name how a table is written, before work is spent on it.

    Parameters
    ----------
    path : path
        The file to be written; ``-`` is CSV on standard output.

    Returns
    -------
    str
        One of the known suffixes, in lower case, without compression.

    Raises
    ------
    DataError
        If the suffix is another one.
    """
    name = os.fspath(path)
    if name == "-":
        return ".csv"
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if len(suffixes) > 1 and suffixes[-1] == ".gz" and suffixes[-2] in DELIMITERS:
        return suffixes[-2]
    if not suffixes or suffixes[-1] not in TABLE_SUFFIXES:
        raise DataError(
            f"{name}: tables are written as {', '.join(TABLE_SUFFIXES)} (.csv.gz too); "
            "choose one of these suffixes"
        )
    return suffixes[-1]


def write_table(
    path: str | os.PathLike[str],
    columns: Columns,
    *,
    kept: pa.Table | None = None,
    force: bool = False,
) -> None:
    """Write named columns of numbers in the format that the file's suffix names.

    Parameters
    ----------
    path : path
        Ends in .parquet, .csv, .tsv, .txt (tabs), .feather, .arrow, .npy (the matrix
        alone) or .npz (the matrix as ``X``, its column names as ``names``, and each kept
        column under its own name); ``-`` writes CSV to standard output.
    columns : mapping of str to ndarray of shape (n,), or (names, ndarray of shape (n, k))
        The numbers; NaN is written as such.
    kept : pyarrow.Table, optional
        Columns of the same rows that go first.
    force : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the suffix is unknown, the file exists or cannot be written, names are
        repeated, numbers of rows differ, or a kept column does not fit the format.
    """
    suffix = require_table_suffix(path)
    names, arrays = _named_columns(columns)
    _require_fitting(names, arrays, kept)
    content = _Content(names, lambda: _table(names, arrays), lambda: _matrix(arrays), kept)
    _write(path, suffix, content, force)


def write_frame(
    path: str | os.PathLike[str],
    table: pa.Table,
    *,
    kept: pa.Table | None = None,
    force: bool = False,
) -> None:
    """Write a table of columns of any type in the format that the file's suffix names.

    Parameters
    ----------
    path : path
        As for `write_table`. Parquet, Feather and Arrow keep all types. In CSV dates and
        times are as in ISO 8601, durations are seconds and missing values are empty. A
        ``.npy`` or ``.npz`` file takes numbers alone; missing ones become NaN.
    table : pyarrow.Table
        The columns.
    kept : pyarrow.Table, optional
        Columns of the same rows that go first.
    force : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the suffix is unknown, the file exists or cannot be written, names are
        repeated, numbers of rows differ, or a column does not fit the format.
    """
    from autoencode.data.matrix import column_values, is_number
    from autoencode.data.table_files import with_nulls

    suffix = require_table_suffix(path)
    _require_unique(table.column_names, kept)
    _require_lengths({table.num_rows}, kept)
    if suffix in (".npy", ".npz"):
        for field in table.schema:
            if not is_number(field.type):
                raise DataError(
                    f"{os.fspath(path)}: {suffix} holds numbers alone, but column {field.name!r} "
                    f"is {field.type}; write .parquet or .csv"
                )
    content = _Content(
        table.column_names,
        lambda: with_nulls(table) if suffix in DELIMITERS else table,
        lambda: _matrix([column_values(column) for column in table.columns]),
        kept,
    )
    _write(path, suffix, content, force)


def write_array(
    path: str | os.PathLike[str], array: npt.NDArray[Any], *, force: bool = False
) -> None:
    """Write an array of any shape, such as pictures (n, height, width), to ``.npy``.

    Parameters
    ----------
    path : path
        Ends in .npy.
    array : ndarray
        Numbers.
    force : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the suffix is another one, or the file exists or cannot be written.
    """
    if Path(path).suffix.lower() != ".npy":
        raise DataError(f"{os.fspath(path)}: arrays are written as .npy; choose this suffix")
    require_absent(path, force=force)
    with replacing(path) as temporary:
        _write_npy(temporary, array)


def write_blocks(
    path: str | os.PathLike[str],
    blocks: Iterable[npt.NDArray[Any]],
    n_rows: int,
    *,
    force: bool = False,
) -> None:
    """Write an array to ``.npy`` as its rows come, so that it never stands in memory.

    Parameters
    ----------
    path : path
        Ends in .npy.
    blocks : iterable of ndarray of shape (rows, ...)
        At least one, all of one dtype.
    n_rows : int
        How many rows they have together.
    force : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists or cannot be written.
    """
    require_absent(path, force=force)
    with replacing(path) as temporary, temporary.open("wb") as file:
        for place, block in enumerate(blocks):
            if not place:
                header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(block))
                header["shape"] = (n_rows, *block.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(block).view(np.uint8).data)


def write_sparse(
    path: str | os.PathLike[str],
    names: Sequence[str],
    matrix: Any,
    *,
    kept: pa.Table | None = None,
    force: bool = False,
) -> None:
    """Write a sparse matrix: to ``.npz`` as ``scipy.sparse.save_npz`` does, else as columns.

    Parameters
    ----------
    path : path
        As for `write_table`; all formats but .npz hold the zeros too.
    names : sequence of str
        Of the columns; not written to .npz.
    matrix : scipy.sparse matrix of shape (n, k)
        The numbers.
    kept : pyarrow.Table, optional
        Columns of the same rows that go first; not with .npz.
    force : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        As by `write_table`.
    """
    if require_table_suffix(path) != ".npz":
        write_table(path, (names, matrix.toarray()), kept=kept, force=force)
        return
    if kept is not None and kept.num_columns:
        raise DataError(
            f"{os.fspath(path)}: .npz of sparse codes holds nothing but the matrix; write kept "
            "columns as .parquet"
        )
    from scipy import sparse

    require_absent(path, force=force)
    with replacing(path) as temporary:
        sparse.save_npz(temporary, matrix.tocsr())


def _named_columns(columns: Columns) -> tuple[list[str], list[npt.NDArray[Any]]]:
    if isinstance(columns, Mapping):
        return list(columns), [np.asarray(column) for column in columns.values()]
    names, matrix = columns
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise DataError(f"{len(names)} names do not fit a matrix of shape {matrix.shape}")
    # One transposition at once: column after column would read the matrix k times.
    return list(names), list(np.ascontiguousarray(matrix.T))


def _require_fitting(
    names: list[str], arrays: list[npt.NDArray[Any]], kept: pa.Table | None
) -> None:
    _require_unique(names, kept)
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise DataError(f"column {name!r} to be written is not a column of real numbers")
    _require_lengths({len(array) for array in arrays}, kept)


def _require_unique(names: list[str], kept: pa.Table | None) -> None:
    all_names = [*(kept.column_names if kept is not None else ()), *names]
    name, count = Counter(all_names).most_common(1)[0] if all_names else ("", 0)
    if count > 1:
        raise DataError(f"two columns to be written are both named {name!r}; rename the kept one")


def _require_lengths(lengths: set[int], kept: pa.Table | None) -> None:
    both = lengths | ({kept.num_rows} if kept is not None else set())
    if len(both) > 1:
        raise DataError(f"columns to be written differ in length: {sorted(both)}")


@dataclass(frozen=True)
class _Content:
    """What a file is to hold: as a table or as a matrix, whichever its format takes."""

    names: list[str]
    table: Callable[[], pa.Table]
    matrix: Callable[[], npt.NDArray[Any]]
    kept: pa.Table | None

    def joined(self) -> pa.Table:
        """Give the table with the kept columns first."""
        table = self.table()
        if self.kept is None:
            return table
        for place, field in enumerate(self.kept.schema):
            table = table.add_column(place, field, self.kept.column(place))
        return table


def _write(path: str | os.PathLike[str], suffix: str, content: _Content, force: bool) -> None:
    if os.fspath(path) == "-":
        from autoencode.data.table_files import write_text

        write_text(content.joined(), sys.stdout.buffer, ",")
        return
    if suffix == ".npy" and content.kept is not None and content.kept.num_columns:
        raise DataError(
            f"{os.fspath(path)}: .npy holds nothing but the matrix; write kept columns as .parquet"
        )
    require_absent(path, force=force)
    with replacing(path) as temporary:
        if suffix == ".npy":
            _write_npy(temporary, content.matrix())
        elif suffix == ".npz":
            _write_npz(temporary, content.names, content.matrix(), content.kept)
        else:
            from autoencode.data.table_files import write_file

            write_file(temporary, content.joined(), DELIMITERS.get(suffix))


def _table(names: list[str], arrays: list[npt.NDArray[Any]]) -> pa.Table:
    import pyarrow as pa

    from autoencode.data.tables import column_array

    return pa.Table.from_arrays([column_array(array) for array in arrays], names=names)


def _matrix(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return np.column_stack(arrays) if arrays else np.empty((0, 0))


def _write_npy(path: Path, array: npt.NDArray[Any]) -> None:
    with path.open("wb") as file:
        stream: Any = _Stream(file)
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)


class _Stream:
    """A file that NumPy writes to through Python.

    To a real file it writes through C, where the error of the last buffer on a full
    disk is lost.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def _write_npz(
    path: Path, names: list[str], matrix: npt.NDArray[Any], kept: pa.Table | None
) -> None:
    members = {} if kept is None else {name: _plain(name, kept) for name in kept.column_names}
    for own in {"X", "names"} & set(members):
        raise DataError(f"a kept column cannot be named {own!r} in .npz; write .parquet")
    members |= {"X": matrix, "names": np.array(names, dtype=np.str_)}
    # Not ``np.savez``: a column called "file" would clash with its parameter.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _plain(name: str, kept: pa.Table) -> npt.NDArray[Any]:
    """Turn a kept column into an array without objects; missing text becomes empty."""
    values = kept.column(name).to_pylist()
    if all(isinstance(value, (str, type(None))) for value in values):
        return np.array([value or "" for value in values], dtype=np.str_)
    array = np.asarray(kept.column(name).to_numpy())
    if array.dtype.hasobject:
        kind = kept.column(name).type
        raise DataError(f"kept column {name!r} ({kind}) does not fit .npz; write .parquet")
    return array
