"""A folder of pictures and other files -> members of a compressed file, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.compression.bounds import Allowed
from autoencode.compression.folder_files import (
    FORMATS,
    MODES,
    FolderFile,
    encoded,
    files_of,
    pixels_of,
)
from autoencode.compression.members import (
    LIST,
    TEXT,
    ArrayMember,
    Member,
    TableMember,
    blocks_of,
    rows_per_block,
)
from autoencode.compression.plans import require
from autoencode.compression.reading import Block, Header
from autoencode.compression.sources import Source, open_source
from autoencode.data.picture_files import require_inside
from autoencode.errors import DataError, SpecError
from autoencode.files import replacing_folder

__all__ = ["KIND", "folder_content", "folder_source", "open_any", "write_folder"]

KIND = "folder"
# Of each file: its name, the member that holds it, the first of its rows and how many these
# are, and of pictures the format.
_LIST = pa.schema(
    [
        ("name", pa.string()),
        ("member", pa.int32()),
        ("first", pa.int64()),
        ("rows", pa.int64()),
        ("format", pa.string()),
    ]
)


def open_any(
    data: Any, error: Allowed, relative: Allowed, *, as_table: bool, exact: bool
) -> Source:
    """Open data as `open_source` does, or a folder.

    Raises
    ------
    SpecError
        If a folder is to be compressed with loss, or ``exact`` is asked of something else.
    """
    if not isinstance(data, (str, os.PathLike)) or not os.path.isdir(data):
        if exact:
            raise SpecError("exact keeps the bytes of picture files in a folder; this is none")
        return open_source(data, error, relative, as_table=as_table)
    if error is not None or relative is not None or as_table:
        raise SpecError("a folder is compressed without loss; leave out error, relative and codes")
    return folder_source(Path(data), exact=exact)


def folder_source(folder: Path, *, exact: bool) -> Source:
    """Open a folder.

    Parameters
    ----------
    folder : Path
        The folder, with all below.
    exact : bool
        Keep the bytes of picture files, too.

    Returns
    -------
    Source
        A list of the files, then a stack of pictures for each mode and size, then the bytes
        of other files. Files are read when their blocks are asked for.

    Raises
    ------
    DataError
        If a name cannot be kept or a file not be read.
    """
    stacks: dict[tuple[str, tuple[int, int]], list[FolderFile]] = {}
    others: list[FolderFile] = []
    for file in files_of(folder, exact=exact):
        own = stacks.setdefault((file.mode, file.shape), []) if file.form else others
        own.append(file)
    members: list[Member] = []
    contents: list[Iterable[tuple[int, Any]]] = []
    rows: list[tuple[str, int, int, int, str]] = []
    for (mode, shape), files in stacks.items():
        dtype, inner = MODES[mode]
        name = f"{mode} {shape[1]} x {shape[0]}"
        whole = (len(files), *shape, *inner)
        member = ArrayMember(name, np.dtype(dtype), whole, False, (0.0,))
        members.append(member)
        contents.append(_pictures(folder, files, rows_per_block(member.n_columns)))
        rows += [(file.name, len(members), at, 1, file.form) for at, file in enumerate(files)]
    if others:
        size = sum(file.size for file in others)
        members.append(ArrayMember(TEXT, np.dtype(np.uint8), (size,), False, (0.0,)))
        contents.append(_bytes(folder, others))
        first = 0
        for file in others:
            rows.append((file.name, len(members), first, file.size, ""))
            first += file.size
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(_LIST)
    arrays = [
        pa.array(list(column), kind) for column, kind in zip(columns, _LIST.types, strict=True)
    ]
    listed = pa.Table.from_arrays(arrays, schema=_LIST)
    first_member = TableMember(_LIST, len(listed), (0.0,) * len(_LIST), LIST)
    total = sum(file.size for files in (*stacks.values(), others) for file in files)
    return Source(
        [first_member, *members],
        [blocks_of(listed, first_member), *contents],
        {"kind": KIND},
        total,
    )


def _pictures(
    folder: Path, files: Sequence[FolderFile], step: int
) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    for start in range(0, len(files), step):
        some = files[start : start + step]
        yield start, np.stack([pixels_of(folder / file.name, file) for file in some])


def _bytes(folder: Path, files: Sequence[FolderFile]) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
    step, first = rows_per_block(1), 0
    held = bytearray()
    for file in files:
        left = file.size
        with (folder / file.name).open("rb") as stream:
            while left:
                piece = stream.read(min(left, step - len(held)))
                if not piece:
                    raise DataError(f"{file.name}: has become shorter while it was read")
                held += piece
                left -= len(piece)
                if len(held) == step:
                    yield first, np.frombuffer(bytes(held), np.uint8)
                    first += step
                    held.clear()
    if held:
        yield first, np.frombuffer(bytes(held), np.uint8)


@dataclass
class _Listed:
    """The files of one member, in the order of their rows."""

    names: list[str] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)


def _parsed(table: pa.Table, header: Header) -> dict[int, _Listed]:
    """Return the files of each member, checked.

    Raises
    ------
    DataError
        If a name leads out of the folder or stands for two files, or rows are out of order.
    """
    columns = table.to_pydict()
    names = columns["name"]
    require(all(None not in column for column in columns.values()), "its list of files has gaps")
    for name in names:
        require_inside(name)
    above = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    require(len(set(names)) == len(names), "it names a file twice")
    require(not above & set(names), "it names a file that is a folder")
    found = {place: _Listed() for place in range(1, len(header.members))}
    rows = zip(
        *(columns[key] for key in ("member", "first", "rows", "name", "format")), strict=True
    )
    for place, first, count, name, form in sorted(rows):
        require(place in found and count >= 0, "it lists what it does not hold")
        own = found[place]
        reached = own.firsts[-1] + own.counts[-1] if own.firsts else 0
        require(first == reached, "its files overlap")
        own.names.append(name)
        own.firsts.append(first)
        own.counts.append(count)
        own.forms.append(form)
    for place, own in found.items():
        _check(header.members[place], own)
    return found


def _check(member: Member, own: _Listed) -> None:
    reached = own.firsts[-1] + own.counts[-1] if own.firsts else 0
    if not isinstance(member, ArrayMember) or reached != member.n_rows:
        raise DataError("the file is damaged: it holds unnamed files")
    if member.name == TEXT:
        plain = member.shape == (member.n_rows,) and member.dtype == np.dtype(np.uint8)
        require(plain, "bytes of files are of another type")
        return
    mode = member.name.split(" ")[0]
    fine = mode in MODES and set(own.forms) <= set(FORMATS) and set(own.counts) <= {1}
    require(fine, "it has pictures of an unknown kind")
    dtype, inner = MODES[mode]
    same = member.dtype == np.dtype(dtype) and member.shape[3:] == inner
    require(same and len(member.shape) == 3 + len(inner), "pictures are of another type")


def _list_of(header: Header, blocks: Iterator[Block]) -> tuple[dict[int, _Listed], Block | None]:
    """Read the list of files; return the first block after it, too."""
    first = header.members[0] if header.members else None
    require(isinstance(first, TableMember) and first.schema.equals(_LIST), "it lists no files")
    pieces, following = [], None
    for block in blocks:
        if block.member:
            following = block
            break
        pieces.append(block.rows)
    table = pa.concat_tables(pieces) if pieces else _LIST.empty_table()
    require(len(table) == header.members[0].n_rows, "the list of its files is damaged")
    return _parsed(table, header), following


def folder_content(header: Header, blocks: Iterator[Block]) -> dict[str, Any]:
    """Return the pixels or the bytes of each file by its name, all in memory."""
    listed, block = _list_of(header, blocks)
    found: dict[str, Any] = {}
    held: dict[str, bytearray] = {
        name: bytearray() for own in listed.values() for name in own.names
    }
    while block is not None:
        own = listed[block.member]
        for at, start, stop in _overlaps(own, block):
            if own.forms[at]:
                found[own.names[at]] = block.rows[start]
            else:
                held[own.names[at]] += block.rows[start:stop].tobytes()
        block = next(blocks, None)
    return {name: found.get(name, bytes(content)) for name, content in sorted(held.items())}


def _overlaps(own: _Listed, block: Block) -> Iterator[tuple[int, int, int]]:
    """Yield the files of which a block holds something: which, and its rows in the block."""
    last = block.first + len(block.rows)
    at = int(np.searchsorted(own.firsts, block.first, side="right")) - 1
    # Of files that begin at one place all but the last are empty.
    while at < len(own.names) and own.firsts[at] < last:
        start = max(own.firsts[at], block.first)
        stop = min(own.firsts[at] + own.counts[at], last)
        if stop > start:
            yield at, start - block.first, stop - block.first
        at += 1


def write_folder(
    header: Header, blocks: Iterator[Block], output: Path, *, force: bool, partly: bool = False
) -> list[str]:
    """Write a folder of files: under another name first, then renamed.

    Parameters
    ----------
    header : Header
        Of a compressed folder.
    blocks : iterator of Block
        Its blocks in order.
    output : Path
        The folder to write.
    force : bool
        Whether a folder that holds nothing but such files may be replaced.
    partly : bool
        Leave out files that are not whole instead of refusing.

    Returns
    -------
    list of str
        The files that were left out.

    Raises
    ------
    DataError
        If a name leads out of the folder, or it cannot be written.
    """
    listed, block = _list_of(header, blocks)
    names = [name for own in listed.values() for name in own.names]
    missing: dict[str, int] = {}
    with replacing_folder(output, names, force=force) as temporary:
        for own in listed.values():
            for name, count in zip(own.names, own.counts, strict=True):
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).touch()
                missing[name] = count
        while block is not None:
            own = listed[block.member]
            mode = header.members[block.member].name.split(" ")[0]
            for at, start, stop in _overlaps(own, block):
                name, rows = own.names[at], block.rows
                form = own.forms[at]
                data = encoded(rows[start], form, mode) if form else rows[start:stop].tobytes()
                with (temporary / name).open("ab") as file:
                    file.write(data)
                missing[name] -= stop - start
            block = next(blocks, None)
        lost = sorted(name for name, count in missing.items() if count)
        require(partly or not lost, "rows are missing at its end")
        for name in lost:
            os.unlink(temporary / name)
            names.remove(name)
    return lost
