"""What a user may hand over -> members of a compressed file, with their blocks."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from autoencode.compression.bounds import Allowed, array_bounds, table_bounds
from autoencode.compression.delimited_text import split_text
from autoencode.compression.members import (
    TEXT,
    ArrayMember,
    Member,
    TableMember,
    blocks_of,
    rows_per_block,
)
from autoencode.data.frames import is_capsule, is_pandas
from autoencode.data.numpy_files import open_npy
from autoencode.errors import DataError

__all__ = ["Source", "open_source", "packed_text"]

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
ARROW_SUFFIXES = (".feather", ".arrow")
SUFFIXES = (".npy", ".npz", ".parquet", *ARROW_SUFFIXES, *TEXT_SUFFIXES, ".csv.gz")
# Text beyond is packed as it is: taking it apart needs several times its size in memory.
_LONGEST_TEXT = 1 << 29


@dataclass(frozen=True)
class Source:
    """Data ready to be compressed.

    Attributes
    ----------
    members : list of Member
        What the file will hold.
    contents : list of iterable
        The blocks of each.
    made_from : dict
        Where the data came from; plain JSON.
    n_bytes : int
        The size of the data, for saying how much smaller they became.
    raw : bytes or None
        The bytes that must come back, if the data are a file of text.
    """

    members: list[Member]
    contents: list[Iterable[tuple[int, Any]]]
    made_from: dict[str, Any]
    n_bytes: int
    raw: bytes | None = None


def open_source(data: Any, error: Allowed, relative: Allowed, *, as_table: bool = False) -> Source:
    """Open data of any supported form.

    Parameters
    ----------
    data : ndarray, mapping of str to ndarray, frame, table or path
        What to compress.
    error, relative : float, mapping or None
        The bound.
    as_table : bool
        Read a file of text as a table, as if some loss were allowed.

    Returns
    -------
    Source
        Its blocks are read when they are asked for, if the data are a file.

    Raises
    ------
    DataError
        If the data cannot be compressed: the message says why.
    SpecError
        If bounds do not suit the data.
    """
    if isinstance(data, (str, os.PathLike)):
        path = Path(data)
        try:
            # What became smaller is the file, not its content in memory.
            return replace(_open_path(path, error, relative, as_table), n_bytes=path.stat().st_size)
        except DataError as problem:
            raise DataError(f"{path}: {problem}") from problem
        except OSError as problem:
            raise DataError(f"{path}: {problem.strerror or problem}") from problem
    if isinstance(data, np.ndarray):
        return _arrays({"": data}, {"kind": "array"}, error, relative)
    if isinstance(data, Mapping):
        arrays = {str(name): np.asarray(value) for name, value in data.items()}
        return _arrays(arrays, {"kind": "arrays"}, error, relative)
    if is_pandas(data):
        table = pa.Table.from_pandas(data)
        return _table(table, {"kind": "pandas"}, error, relative)
    if is_capsule(data):
        kind = "polars" if type(data).__module__.startswith("polars") else "arrow"
        return _table(pa.table(data), {"kind": kind}, error, relative)
    raise DataError(
        f"a {type(data).__name__} cannot be compressed; pass an array, a mapping of arrays, "
        "a table or a path"
    )


def _open_path(path: Path, error: Allowed, relative: Allowed, as_table: bool) -> Source:
    if not path.exists():
        raise DataError("there is no such file")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _arrays({"": open_npy(path)}, {"kind": "npy"}, error, relative)
    if suffix == ".npz":
        return _arrays(_npz(path), {"kind": "npz"}, error, relative)
    if suffix == ".parquet":
        return _parquet(path, error, relative)
    if suffix in ARROW_SUFFIXES:
        with pa.memory_map(str(path)) as file:
            table = _arrow_table(file)
        return _table(table, {"kind": "arrow file"}, error, relative)
    suffixes = [part.lower() for part in path.suffixes[-2:]]
    if suffix in TEXT_SUFFIXES or (suffixes and suffixes[0] in TEXT_SUFFIXES):
        return _text(path, error, relative, as_table)
    raise DataError(f"unknown kind of file; known are {', '.join(SUFFIXES)}")


def _arrow_table(file: Any) -> pa.Table:
    try:
        try:
            table = pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            table = pa.ipc.open_stream(file).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"is not a whole Arrow (Feather) file: {message}") from error
    return table


def _npz(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise DataError(f"is not a whole .npz file of plain arrays: {error}") from error


def _arrays(
    arrays: Mapping[str, Any], made_from: dict[str, Any], error: Allowed, relative: Allowed
) -> Source:
    members: list[Member] = []
    contents: list[Iterable[tuple[int, Any]]] = []
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise DataError(f"array {name!r} holds Python objects; make it an array of numbers")
        fortran = array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous
        bounds = array_bounds(array, error, relative)
        member = ArrayMember(name, array.dtype, array.shape, bool(fortran), bounds)
        members.append(member)
        contents.append(blocks_of(array, member) if array.size else ())
        if not array.size and member.n_rows:
            raise DataError(f"array {name!r} of shape {array.shape} holds nothing to compress")
    return Source(members, contents, made_from, sum(array.nbytes for array in arrays.values()))


def _table(table: pa.Table, made_from: dict[str, Any], error: Allowed, relative: Allowed) -> Source:
    bounds = table_bounds(table.schema, [table], error, relative)
    member = TableMember(table.schema, table.num_rows, bounds)
    return Source([member], [blocks_of(table, member)], made_from, table.nbytes)


def _parquet(path: Path, error: Allowed, relative: Allowed) -> Source:
    try:
        file = pq.ParquetFile(str(path), memory_map=True, page_checksum_verification=True)
        schema = file.schema_arrow
        bounds = table_bounds(schema, file.iter_batches(), error, relative)
    except (pa.ArrowException, OSError) as problem:
        message = " ".join(str(problem).split())
        raise DataError(f"is not a whole Parquet file: {message}") from problem
    member = TableMember(schema, file.metadata.num_rows, bounds)
    blocks = _cut(file.iter_batches(), schema, rows_per_block(len(schema)))
    return Source([member], [blocks], {"kind": "parquet"}, path.stat().st_size)


def _cut(batches: Iterable[Any], schema: pa.Schema, n_rows: int) -> Iterator[tuple[int, Any]]:
    """Yield tables of so many rows each, whatever the sizes of the batches."""
    held: list[Any] = []
    first = count = 0
    try:
        for batch in batches:
            held.append(batch)
            count += len(batch)
            while count >= n_rows:
                table = pa.Table.from_batches(held, schema)
                yield first, table.slice(0, n_rows)
                first += n_rows
                count -= n_rows
                held = table.slice(n_rows).to_batches()
    except (pa.ArrowException, OSError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"is a damaged Parquet file: {message}") from error
    if count:
        yield first, pa.Table.from_batches(held, schema)


def _text(path: Path, error: Allowed, relative: Allowed, as_table: bool) -> Source:
    """Open a file of text: taken apart without loss, or read as a table if some is allowed."""
    if error or relative or as_table:
        from autoencode.data.reading import table_source

        source = table_source(path)
        table = source.read(source.names, frozenset())
        return _table(table, {"kind": "lossy text", "header": source.named}, error, relative)
    raw = path.read_bytes()
    made_from: dict[str, Any] = {"kind": "text"}
    split = split_text(raw) if len(raw) <= _LONGEST_TEXT else None
    if split is not None:
        table, recipe = split
        member = TableMember(table.schema, table.num_rows, (0.0,) * table.num_columns)
        made_from["recipe"] = recipe
        return Source([member], [blocks_of(table, member)], made_from, len(raw), raw)
    return packed_text(raw)


def packed_text(raw: bytes) -> Source:
    """Return a file of text as bytes to be packed."""
    array = np.frombuffer(raw, np.uint8)
    member = ArrayMember(TEXT, array.dtype, array.shape, False, (0.0,))
    contents: list[Iterable[tuple[int, Any]]] = [blocks_of(array, member) if len(raw) else ()]
    return Source([member], contents, {"kind": "text"}, len(raw), raw)
