"""Compressed files -> files of the kind that they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from autoencode.compression import codes, folders
from autoencode.compression.delimited_text import joined_text
from autoencode.compression.members import ArrayMember, TableMember
from autoencode.compression.model_reference import ModelFile
from autoencode.compression.reading import Block, Header, joined, stream_blocks
from autoencode.errors import DataError
from autoencode.files import replacing

__all__ = ["open_blocks", "restore_text", "write_blocks", "write_restored"]


def restore_text(header: Header, rows: Iterator[Any]) -> Iterator[bytes]:
    """Yield the bytes of a file of text from its blocks."""
    recipe = header.made_from.get("recipe")
    if recipe is None:
        for piece in rows:
            yield np.ascontiguousarray(piece).tobytes()
    else:
        yield from joined_text(rows, recipe)


def write_restored(
    stream: BinaryIO,
    output: Path,
    progress: Callable[[Block], None] | None = None,
    n_threads: int = 1,
    model: ModelFile | None = None,
    components: int | None = None,
    *,
    force: bool = False,
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
    model : ModelFile, optional
        What the header may refer to.
    components : int, optional
        As in `decompress`.
    force : bool
        Of a folder: whether one that holds nothing but its files may be replaced.

    Returns
    -------
    Header
        What the stream held.

    Raises
    ------
    DataError
        If the data are damaged, or the file cannot be written: then it is not there.
    """
    header, blocks = open_blocks(stream, n_threads, model, components)

    def told() -> Iterator[Block]:
        for block in blocks:
            if progress is not None:
                progress(block)
            yield block

    if header.made_from.get("kind") == folders.KIND:
        folders.write_folder(header, told(), output, force=force)
        return header
    with replacing(output) as temporary:
        write_blocks(header, told(), temporary)
    return header


def open_blocks(
    stream: BinaryIO,
    n_threads: int = 1,
    model: ModelFile | None = None,
    components: int | None = None,
) -> tuple[Header, Iterator[Block]]:
    """Read a stream's header, and its blocks as they are asked for; parameters as above.

    Codes are decoded: there is one block, of what they are codes of.

    Raises
    ------
    DataError
        If the stream is damaged, or components are asked for and it holds no codes.
    """
    sections = stream_blocks(stream, n_threads, model)
    header = next(sections)
    assert isinstance(header, Header)
    blocks = (block for block in sections if isinstance(block, Block))
    if header.made_from.get("kind") == codes.KIND:
        header, whole = codes.restored(header, blocks, components)
        return header, iter(whole)
    if components is not None:
        raise DataError("holds no codes, of which components could be chosen")
    return header, blocks


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
