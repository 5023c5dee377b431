"""Compress, decompress and open: what users call."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from autoencode.compression.bounds import Allowed, checked_allowance
from autoencode.compression.delimited_text import joined_text
from autoencode.compression.effort import effort_named
from autoencode.compression.in_order import checked_threads
from autoencode.compression.members import ArrayMember, TableMember
from autoencode.compression.random_access import CompressedFile
from autoencode.compression.reading import (
    Block,
    Header,
    joined,
    read_all,
    stream_blocks,
)
from autoencode.compression.sources import Source, open_source, packed_text
from autoencode.compression.writing import Progress, write_members
from autoencode.data.frames import to_frame
from autoencode.errors import DataError
from autoencode.files import replacing

__all__ = [
    "compress",
    "decompress",
    "open_compressed",
    "restore_text",
    "verify",
    "write_blocks",
    "write_compressed",
    "write_restored",
]


def compress(
    data: Any,
    path: str | os.PathLike[str],
    *,
    error: Allowed = None,
    relative: Allowed = None,
    effort: str = "default",
    n_threads: int | str = "auto",
) -> int:
    """Compress an array, a table or a file of them into a file.

    Parameters
    ----------
    data : ndarray, mapping of str to ndarray, frame, table or path
        Arrays of any shape and any type but Python objects; pandas, polars and Arrow
        tables; paths to .npy, .npz, .parquet, .feather, .arrow, .csv, .tsv and .txt files.
    path : path
        The file to write; one that exists is replaced.
    error : float or mapping of str to float, optional
        The largest absolute error, in the data's units, for all numbers or by column. If
        neither this nor ``relative`` is given, every bit comes back.
    relative : float or mapping of str to float, optional
        The same as a share of each column's range (of a matrix or table), or of the range
        of the whole array (of any other shape).
    effort : {"default", "fast", "best"}
        How much is tried for a smaller file.
    n_threads : int or "auto"
        How many blocks are coded at once; the bytes are the same. "auto": one for each
        processor.

    Returns
    -------
    int
        The bytes written. The file was read again and compared before it got its name.

    Raises
    ------
    DataError
        If the data cannot be compressed, or the file not be written.
    SpecError
        If a bound, the effort or a number of threads is not one.
    """
    checked_allowance(error, relative)
    effort_named(effort)
    count = checked_threads(n_threads)
    source = open_source(data, error, relative)
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            size = write_compressed(source, stream, effort, n_threads=count)
        with temporary.open("rb") as stream:
            verify(stream, count)
    return size


def write_compressed(
    source: Source,
    stream: BinaryIO,
    effort: str,
    progress: Progress | None = None,
    n_threads: int = 1,
) -> int:
    """Write a source to a stream; return the bytes written.

    Parameters
    ----------
    source : Source
        What `open_source` returned.
    stream : binary file
        Need not seek. Text is coded in two ways in memory, and the smaller one written.
    effort : str
        As in `compress`.
    progress : callable, optional
        Told after each block.
    n_threads : int
        How many blocks are coded at once.
    """
    chosen = effort_named(effort)

    def written(one: Source, to: BinaryIO) -> int:
        return write_members(
            to, one.members, one.contents, one.made_from, chosen, progress, n_threads
        )

    if source.raw is None or "recipe" not in source.made_from:
        return written(source, stream)
    offers = [io.BytesIO(), io.BytesIO()]
    for one, buffer in zip((source, packed_text(source.raw)), offers, strict=True):
        written(one, buffer)
    smallest = min(offers, key=lambda buffer: buffer.getbuffer().nbytes)
    return stream.write(smallest.getbuffer())


def verify(stream: BinaryIO, n_threads: int = 1) -> tuple[Header, int]:
    """Decode all of a stream and check it against its hashes.

    Returns
    -------
    tuple
        The header and the number of blocks.

    Raises
    ------
    DataError
        Naming the block that is damaged.
    """
    blocks = stream_blocks(stream, n_threads)
    header = next(blocks)
    assert isinstance(header, Header)
    return header, sum(1 for _ in blocks)


def decompress(path: str | os.PathLike[str], *, n_threads: int | str = "auto") -> Any:
    """Return what a file that `compress` wrote holds.

    Parameters
    ----------
    path : path
        The file.
    n_threads : int or "auto"
        How many blocks are decoded at once. "auto": one for each processor.

    Returns
    -------
    ndarray, dict of str to ndarray, frame, table or bytes
        An array for an array; a dictionary for several; a pandas or polars frame for one;
        an Arrow table for any other table; for a file of text its bytes, if it was
        compressed without loss.

    Raises
    ------
    DataError
        Naming the block, if the file is damaged.
    SpecError
        If it is no number of threads.
    """
    count = checked_threads(n_threads)
    try:
        with open(path, "rb") as stream:
            header, found = read_all(stream, count)
    except DataError as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror or error}") from error
    kind = header.made_from.get("kind")
    if kind in ("npz", "arrays"):
        names = [member.name for member in header.members]
        return dict(zip(names, found, strict=True))
    if kind == "text":
        return b"".join(restore_text(header, iter(found)))
    if kind == "pandas":
        return found[0].to_pandas()
    if kind == "polars":
        return to_frame(found[0], "polars")
    return found[0]


def restore_text(header: Header, rows: Iterator[Any]) -> Iterator[bytes]:
    """Yield the bytes of a file of text from its blocks."""
    recipe = header.made_from.get("recipe")
    if recipe is None:
        for piece in rows:
            yield np.ascontiguousarray(piece).tobytes()
    else:
        yield from joined_text(rows, recipe)


def open_compressed(path: str | os.PathLike[str]) -> CompressedFile:
    """Open a compressed file to read some of its rows or columns.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    CompressedFile
        Its ``read(start, stop, columns=...)`` decodes only the blocks that hold these rows.

    Raises
    ------
    DataError
        If it is not such a file, or damaged at its beginning or end.
    """
    return CompressedFile(path)


def write_restored(
    stream: BinaryIO,
    output: Path,
    progress: Callable[[Block], None] | None = None,
    n_threads: int = 1,
) -> Header:
    """Decompress a stream into a file of the kind that was compressed.

    Parameters
    ----------
    stream : binary file
        Compressed data; need not seek.
    output : Path
        The file to write.
    progress : callable, optional
        Told after each block.
    n_threads : int
        How many blocks are decoded at once.

    Returns
    -------
    Header
        What the stream held.

    Raises
    ------
    DataError
        If the data are damaged, or the file cannot be written: then it is not there.
    """
    blocks = stream_blocks(stream, n_threads)
    header = next(blocks)
    assert isinstance(header, Header)

    def told() -> Iterator[Any]:
        for block in blocks:
            assert isinstance(block, Block)
            if progress is not None:
                progress(block)
            yield block

    with replacing(output) as temporary:
        write_blocks(header, told(), temporary)
    return header


def write_blocks(header: Header, blocks: Iterator[Block], output: Path) -> None:
    """Write blocks to a file of the kind that was compressed."""
    kind = header.made_from.get("kind")
    member = header.members[0] if header.members else None
    if kind == "text":
        with output.open("wb") as file:
            for piece in restore_text(header, (block.rows for block in blocks)):
                file.write(piece)
    elif isinstance(member, TableMember):
        _write_table(member, header, blocks, output)
    elif kind in ("npz", "arrays"):
        pieces: dict[int, list[Any]] = {}
        for block in blocks:
            pieces.setdefault(block.member, []).append(block.rows)
        np.savez(output, **_named(header, pieces))
    elif isinstance(member, ArrayMember):
        _write_array(member, blocks, output)


def _named(header: Header, pieces: dict[int, list[Any]]) -> dict[str, Any]:
    return {
        member.name: joined(member, pieces.get(place, []))
        for place, member in enumerate(header.members)
    }


def _write_array(member: ArrayMember, blocks: Iterator[Block], output: Path) -> None:
    """Write a .npy file block by block."""
    with output.open("wb") as file:
        if member.fortran:
            rows = [block.rows for block in blocks]
            array = np.asfortranarray(np.concatenate(rows)) if rows else np.empty(member.shape)
            np.lib.format.write_array(file, array.astype(member.dtype), allow_pickle=False)
            return
        head = {
            "descr": np.lib.format.dtype_to_descr(member.dtype),
            "fortran_order": False,
            "shape": member.shape,
        }
        np.lib.format.write_array_header_1_0(file, head)
        for block in blocks:
            file.write(np.ascontiguousarray(block.rows).tobytes())


def _write_table(
    member: TableMember, header: Header, blocks: Iterator[Block], output: Path
) -> None:
    suffix = output.suffix.lower()
    rows = (block.rows for block in blocks)
    as_table = suffix in (".parquet", ".feather", ".arrow")
    was_text = header.made_from.get("kind") == "lossy text"
    if suffix in (".csv", ".tsv", ".txt") or (was_text and not as_table):
        from autoencode.data.table_files import write_text

        with output.open("wb") as file:
            pieces = list(rows)
            table = pa.concat_tables(pieces) if pieces else member.schema.empty_table()
            write_text(table, file, "\t" if suffix == ".tsv" else ",")
        return
    if suffix in (".feather", ".arrow"):
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(str(output), member.schema, options=options) as arrow:
            for table in rows:
                arrow.write_table(table)
        return
    with pq.ParquetWriter(str(output), member.schema, compression="zstd") as parquet:
        for table in rows:
            parquet.write_table(table)
