"""Parquet and Arrow files, and folders of Parquet -> table sources."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from autoencode.data.frames import table_source
from autoencode.data.tables import TableSource
from autoencode.errors import DataError

__all__ = ["arrow_source", "folder_source", "parquet_source"]


def parquet_source(path: Path) -> TableSource:
    """Open a Parquet file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    TableSource
        Only the columns asked for are read and decoded.

    Raises
    ------
    DataError
        If it is truncated, damaged or something else.
    """
    file = _parquet_file(path)

    def read(columns: Sequence[str], _: Set[str]) -> pa.Table:
        try:
            # A column "x" is also taken as the prefix of "x.1": only select is exact.
            return file.read(columns=list(columns)).select(columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is a damaged Parquet file: {_one_line(error)}") from error

    return TableSource(tuple(file.schema_arrow.names), read)


def arrow_source(path: Path) -> TableSource:
    """Open an Arrow IPC file (Feather version 2) or stream.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    TableSource
        Mapped from the file where it is not compressed.

    Raises
    ------
    DataError
        If it is truncated, damaged or something else.
    """
    try:
        with pa.memory_map(str(path)) as file:
            try:
                table = pa.ipc.open_file(file).read_all()
            except pa.ArrowInvalid:
                file.seek(0)
                table = pa.ipc.open_stream(file).read_all()
        # Offsets of a damaged file could otherwise point outside of it.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a whole Arrow (Feather) file: {_one_line(error)}") from error
    return table_source(table)


def folder_source(path: Path) -> TableSource:
    """Open a folder of Parquet files, subfolders included, as one table.

    Folders named ``key=value`` become a column ``key``, as everywhere in this format.
    (``pyarrow.dataset`` imports pandas if that is installed: this way of reading only.)

    Parameters
    ----------
    path : Path
        The folder; its files are taken in the order of their paths.

    Returns
    -------
    TableSource
        Only the columns asked for are read and decoded.

    Raises
    ------
    DataError
        If there is no Parquet file, or one with other columns than the rest.
    """
    files = sorted(
        file
        for file in path.rglob("*.parquet")
        if file.is_file() and not file.name.startswith(("_", "."))
    )
    if not files:
        raise DataError(
            "is a folder without Parquet or NumPy files or pictures (*.parquet, *.npy, *.png, "
            "*.jpg, *.tif, *.webp)"
        )
    schemas = _same_columns(path, files)
    from pyarrow import dataset  # slow to import, and only folders need it

    try:
        paths = [str(file) for file in files]
        partitioning = dataset.HivePartitioning.discover(infer_dictionary=False)
        found = dataset.dataset(
            paths, format="parquet", partitioning=partitioning, partition_base_dir=str(path)
        )
        keys = [field for field in found.schema if schemas[0].get_field_index(field.name) < 0]
        whole = pa.unify_schemas([*schemas, pa.schema(keys)], promote_options="permissive")
        found = found.replace_schema(whole)
    except (pa.ArrowException, OSError, TypeError) as error:
        raise DataError(f"cannot be read as one table: {_one_line(error)}") from error

    def read(columns: Sequence[str], _: Set[str]) -> pa.Table:
        try:
            return found.to_table(columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"holds a damaged Parquet file: {_one_line(error)}") from error

    return TableSource(tuple(whole.names), read)


def _same_columns(folder: Path, files: Sequence[Path]) -> list[pa.Schema]:
    """Read the schemas of all files, which must name the same columns."""
    schemas = [_file_schema(folder, file) for file in files]
    first = set(schemas[0].names)
    for file, schema in zip(files, schemas, strict=True):
        different = first ^ set(schema.names)
        if different:
            raise DataError(
                f"{file.relative_to(folder)} and {files[0].relative_to(folder)} do not have the "
                f"same columns: {min(different)!r} is only in one of them"
            )
    return schemas


def _file_schema(folder: Path, path: Path) -> pa.Schema:
    try:
        return _parquet_file(path).schema_arrow
    except DataError as error:
        raise DataError(f"{path.relative_to(folder)} {error}") from error


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(str(path), memory_map=True, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a whole Parquet file: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
