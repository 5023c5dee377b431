"""A compressed file -> arrays and tables: whole, as a stream, or some rows of it."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import xxhash

from autoencode.compression.container import (
    Footer,
    Section,
    parse_footer,
    read_footer,
    read_section,
    read_sections,
    read_start,
)
from autoencode.compression.frequencies import IntArray
from autoencode.compression.members import Member, TableMember, member_from_json
from autoencode.compression.packing import unpack, unpack_integers
from autoencode.compression.plans import require
from autoencode.compression.writing import BLOCK_HEAD
from autoencode.errors import DataError, SpecError
from autoencode.strict_json import read_json

__all__ = [
    "Block",
    "CompressedFile",
    "Header",
    "decode_block",
    "joined",
    "parse_header",
    "read_all",
    "stream_blocks",
]

_LARGEST_HEADER = 1 << 28
_MOST_BLOCKS = 1 << 28


@dataclass(frozen=True)
class Header:
    """What the first section says.

    Attributes
    ----------
    members : tuple of Member
        What the file holds.
    made_from : dict
        Where the data came from.
    """

    members: tuple[Member, ...]
    made_from: dict[str, Any]


@dataclass(frozen=True)
class Block:
    """Rows of a member, decoded.

    Attributes
    ----------
    member : int
        Which.
    first : int
        The number of the first row.
    rows : ndarray or pyarrow.Table
        The rows.
    digest : int
        XXH3 of what they hold.
    """

    member: int
    first: int
    rows: Any
    digest: int


def parse_header(section: Section) -> Header:
    """Return what the first section says, checked.

    Raises
    ------
    DataError
        If it is not understood.
    """
    require(section.kind == b"HEAD", "it does not begin with a header")
    try:
        content = unpack(section.payload, _LARGEST_HEADER)
        tail = 4 + int.from_bytes(content[:4], "little")
        value = read_json(content[4:tail].decode())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"the file is damaged: its header cannot be read: {error}") from error
    require(isinstance(value, dict), "its header is not understood")
    members, made_from = value.get("members"), value.get("from")
    require(isinstance(members, list) and isinstance(made_from, dict), "its header is wrong")
    found = tuple(member_from_json(member, content[tail:]) for member in members)
    return Header(found, made_from)


def decode_block(section: Section, header: Header, number: int) -> Block:
    """Return the rows of a block, checked.

    Raises
    ------
    DataError
        Naming the block, if it is damaged.
    """
    try:
        require(len(section.payload) >= BLOCK_HEAD.size, "it is cut off")
        place, first, n_rows, digest = BLOCK_HEAD.unpack(section.payload[: BLOCK_HEAD.size])
        require(place < len(header.members), "it belongs to nothing")
        member = header.members[place]
        require(first + n_rows <= member.n_rows, "it has rows beyond the end")
        rows = member.decode(section.payload[BLOCK_HEAD.size :], n_rows)
        require(member.digest(rows) == digest, "it does not decode to what was compressed")
    except DataError as error:
        reason = str(error).removeprefix("the file is damaged: ")
        raise DataError(f"block {number} cannot be read: {reason}") from error
    return Block(place, first, rows, digest)


def stream_blocks(stream: BinaryIO) -> Iterator[Header | Block]:
    """Yield the header, then each block as it comes; check the footer at the end.

    Parameters
    ----------
    stream : binary file
        Need not seek.

    Raises
    ------
    DataError
        If anything is damaged or missing; what was yielded before is sound.
    """
    read_start(stream)
    header: Header | None = None
    decoded = xxhash.xxh3_64()
    number, expected = 0, (0, 0)
    for section in read_sections(stream):
        if header is None:
            header = parse_header(section)
            yield header
        elif section.kind == b"BLCK":
            block = decode_block(section, header, number)
            expected = _followed(header, expected, block, number)
            number += 1
            decoded.update(struct.pack("<Q", block.digest))
            yield block
        elif section.kind == b"FOOT":
            footer = parse_footer(section)
            require(footer.n_blocks == number, f"it has {number} blocks, not {footer.n_blocks}")
            require(footer.decoded == decoded.intdigest(), "its blocks are not those written")
            _require_complete(header, expected)


def _followed(
    header: Header, expected: tuple[int, int], block: Block, number: int
) -> tuple[int, int]:
    """Check that a block comes after the one before it; return where the next begins."""
    place, first = expected
    while place < len(header.members) and first >= header.members[place].n_rows:
        place, first = place + 1, 0
    require((block.member, block.first) == (place, first), f"block {number} is out of order")
    return block.member, block.first + len(block.rows)


def _require_complete(header: Header, reached: tuple[int, int]) -> None:
    place, first = reached
    for at, member in enumerate(header.members):
        done = first if at == place else (member.n_rows if at < place else 0)
        require(done >= member.n_rows, "rows are missing at its end")


def joined(member: Member, pieces: Sequence[Any]) -> Any:
    """Return an array or table from its blocks."""
    if isinstance(member, TableMember):
        return pa.concat_tables(pieces) if pieces else member.schema.empty_table()
    if not member.shape:
        return pieces[0].reshape(())
    found = np.concatenate(pieces) if pieces else np.empty(member.shape, member.dtype)
    found = found.astype(member.dtype, copy=False)  # concatenating makes them native
    return np.asfortranarray(found) if member.fortran else found


class CompressedFile:
    """A compressed file of which some rows or columns can be read.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    header : Header
        What it holds.
    index : ndarray of int64, shape (n_blocks, 4)
        Member, first row, rows and place in the file of each block.

    Raises
    ------
    DataError
        If it is not such a file, or its header, index or footer is damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from error
        try:
            read_start(self._file)
            start = self._file.tell()
            self.header = parse_header(read_section(self._file, start))
            self.footer = read_footer(self._file)
            self.index = self._read_index(self.footer)
        except DataError as error:
            self._file.close()
            raise DataError(f"{self.path}: {error}") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The arrays of an archive; one empty name for anything else."""
        return [member.name for member in self.header.members]

    @property
    def n_rows(self) -> int:
        """Rows of the table, or of the only array."""
        return self._member(None)[1].n_rows

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        columns: Sequence[str] | Sequence[int] | None = None,
        name: str | None = None,
    ) -> Any:
        """Return some rows; only the blocks that hold them are read.

        Parameters
        ----------
        start, stop : int
            Rows from the first up to but without the second; as in slices.
        columns : sequence, optional
            Names of a table's columns, or numbers of an array's second axis.
        name : str, optional
            Which array of an archive.

        Returns
        -------
        ndarray or pyarrow.Table
            Rows of the array or table.

        Raises
        ------
        SpecError
            If there is no such array or column.
        DataError
            Naming the block that is damaged.
        """
        place, member = self._member(name)
        start, stop, _ = slice(start, stop).indices(member.n_rows)
        pieces = []
        for number, (owner, first, n_rows, _) in enumerate(self.index.tolist()):
            if owner == place and first < stop and first + n_rows > start:
                rows = self.block(number).rows
                begin = max(0, start - first)
                count = min(stop, first + n_rows) - first - begin
                cut = (
                    rows.slice(begin, count) if isinstance(rows, pa.Table) else rows[begin:][:count]
                )
                pieces.append(_chosen(cut, columns))
        if pieces:
            if isinstance(member, TableMember):
                return pa.concat_tables(pieces)
            if not member.shape:
                return pieces[0].reshape(())
            return np.concatenate(pieces).astype(member.dtype, copy=False)
        if isinstance(member, TableMember):
            return _chosen(member.schema.empty_table(), columns)
        return _chosen(np.empty((0, *member.shape[1:]), member.dtype), columns)

    def block(self, number: int) -> Block:
        """Return a block, checked against the index."""
        owner, first, n_rows, offset = self.index[number].tolist()
        try:
            self._file.seek(offset)
            section = read_section(self._file, offset)
            require(section.kind == b"BLCK", f"block {number} is not where the index says")
            found = decode_block(section, self.header, number)
            same = (found.member, found.first, len(found.rows)) == (owner, first, n_rows)
            require(same, f"block {number} is not the one that the index names")
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        return found

    def _member(self, name: str | None) -> tuple[int, Member]:
        members = self.header.members
        if name is None:
            if len(members) != 1:
                listed = ", ".join(member.name for member in members)
                raise SpecError(f"the file holds several arrays; name one of {listed}")
            return 0, members[0]
        for place, member in enumerate(members):
            if member.name == name:
                return place, member
        listed = ", ".join(repr(member.name) for member in members)
        raise SpecError(f"the file holds no array {name!r}; it has {listed}")

    def _read_index(self, footer: Footer) -> IntArray:
        require(footer.n_blocks <= _MOST_BLOCKS, "its footer claims too many blocks")
        self._file.seek(footer.index_at)
        section = read_section(self._file, footer.index_at)
        require(section.kind == b"INDX", "its index is missing")
        deltas = unpack_integers(section.payload, 4 * footer.n_blocks)
        return np.cumsum(deltas.reshape(-1, 4), axis=0)


def _chosen(rows: Any, columns: Sequence[Any] | None) -> Any:
    if columns is None:
        return rows
    try:
        if isinstance(rows, pa.Table):
            return rows.select(list(columns))
        return rows[:, list(columns)]
    except (KeyError, IndexError, TypeError) as error:
        raise SpecError(f"there is no such column: {error}") from error


def read_all(stream: BinaryIO) -> tuple[Header, list[Any]]:
    """Return everything that a stream holds: the header, and each member."""
    blocks = stream_blocks(stream)
    header = next(blocks)
    assert isinstance(header, Header)
    pieces: list[list[Any]] = [[] for _ in header.members]
    for block in blocks:
        assert isinstance(block, Block)
        pieces[block.member].append(block.rows)
    found = [joined(member, rows) for member, rows in zip(header.members, pieces, strict=True)]
    return header, found
