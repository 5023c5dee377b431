"""Matrices and the columns carried along -> files, written whole or not at all."""

from __future__ import annotations

import os
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autoencode.errors import DataError
from autoencode.files import replacing, require_absent

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Columns", "require_table_suffix", "write_array", "write_table"]

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
    if os.fspath(path) == "-":
        _write_text(_table(names, arrays, kept), sys.stdout.buffer, ",")
        return
    if suffix == ".npy" and kept is not None and kept.num_columns:
        raise DataError(
            f"{os.fspath(path)}: .npy holds nothing but the matrix; write kept columns as .parquet"
        )
    require_absent(path, force=force)
    with replacing(path) as temporary:
        if suffix == ".npy":
            _write_npy(temporary, _matrix(arrays))
        elif suffix == ".npz":
            _write_npz(temporary, names, _matrix(arrays), kept)
        else:
            _write_arrow_table(temporary, suffix, _table(names, arrays, kept))


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
    all_names = [*(kept.column_names if kept is not None else ()), *names]
    name, count = Counter(all_names).most_common(1)[0] if all_names else ("", 0)
    if count > 1:
        raise DataError(f"two columns to be written are both named {name!r}; rename the kept one")
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise DataError(f"column {name!r} to be written is not a column of real numbers")
    lengths = {len(array) for array in arrays}
    if kept is not None:
        lengths.add(kept.num_rows)
    if len(lengths) > 1:
        raise DataError(f"columns to be written differ in length: {sorted(lengths)}")


def _table(names: list[str], arrays: list[npt.NDArray[Any]], kept: pa.Table | None) -> pa.Table:
    import pyarrow as pa

    from autoencode.data.tables import column_array

    columns = [column_array(array) for array in arrays]
    if kept is None:
        return pa.Table.from_arrays(columns, names=names)
    return pa.Table.from_arrays([*kept.columns, *columns], names=[*kept.column_names, *names])


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


def _write_arrow_table(path: Path, suffix: str, table: pa.Table) -> None:
    import pyarrow as pa

    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            # Real numbers hardly repeat: a dictionary of them is built only to be dropped.
            repeating = [field.name for field in table.schema if pa.types.is_string(field.type)]
            pq.write_table(
                table,
                path,
                compression="zstd",
                use_dictionary=repeating,
                write_page_checksum=True,
            )
        elif suffix in DELIMITERS:
            packing = "gzip" if path.suffix.lower() == ".gz" else None
            with pa.output_stream(str(path), compression=packing) as stream:
                _write_text(table, stream, DELIMITERS[suffix])
        else:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
                writer.write_table(table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the table does not fit the format {suffix}: {reason}") from error


def _write_text(table: pa.Table, stream: IO[bytes] | Any, delimiter: str) -> None:
    import pyarrow as pa
    import pyarrow.csv as pacsv

    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    plain = pa.Table.from_arrays(columns, names=table.column_names)
    options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    pacsv.write_csv(plain, stream, write_options=options)
