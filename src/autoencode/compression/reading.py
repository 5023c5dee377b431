"""A compressed file -> arrays and tables, whole or as a stream."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash

from autoencode.compression.container import (
    Footer,
    Section,
    parse_footer,
    read_sections,
    read_start,
)
from autoencode.compression.in_order import in_order
from autoencode.compression.members import Member, TableMember, member_from_json
from autoencode.compression.model_reference import (
    COLUMNS,
    Finder,
    ModelFile,
    ModelNote,
    finder,
)
from autoencode.compression.packing import unpack
from autoencode.compression.plans import require
from autoencode.compression.shared_block import decode_shared
from autoencode.compression.shared_model import SharedModel
from autoencode.compression.writing import BLOCK_HEAD
from autoencode.errors import DataError
from autoencode.strict_json import read_json

__all__ = [
    "Block",
    "Header",
    "decode_block",
    "gathered",
    "joined",
    "kind_of",
    "parse_header",
    "read_all",
    "stream_blocks",
]

_LARGEST_HEADER = 1 << 28


@dataclass(frozen=True)
class Header:
    """What the first section says.

    Attributes
    ----------
    members : tuple of Member
        What the file holds.
    made_from : dict
        Where the data came from.
    note : ModelNote or None
        What it says about a model.
    model : ModelFile or None
        The model, if that is there.
    schema_bytes : bytes
        The schema of a table, as an Arrow message; empty if there is none.
    """

    members: tuple[Member, ...]
    made_from: dict[str, Any]
    note: ModelNote | None = None
    model: ModelFile | None = None
    schema_bytes: bytes = b""

    @property
    def shared(self) -> SharedModel | None:
        """The model with which blocks may be coded."""
        by_columns = self.note is not None and self.note.kind == COLUMNS
        return self.model.columns if by_columns and self.model is not None else None


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


def parse_header(section: Section, find: Finder) -> Header:
    """Return what the first section says, checked.

    Parameters
    ----------
    section : Section
        The first one.
    find : callable
        As `finder` returns it.

    Raises
    ------
    DataError
        If it is not understood, or its model is not there.
    """
    require(section.kind == b"HEAD", "it does not begin with a header")
    value, rest = _read_header(section)
    require(isinstance(value, dict), "its header is not understood")
    members, made_from = value.get("members"), value.get("from")
    require(isinstance(members, list) and isinstance(made_from, dict), "its header is wrong")
    with _placed("its header"):
        note = ModelNote.from_json(value.get("model"))
    model = find(note)
    header = Header((), made_from, note, model, rest)
    schema = header.schema_bytes
    if not schema and header.shared is not None and header.shared.schema is not None:
        schema = bytes(header.shared.schema.serialize())
    with _placed("its header"):
        found = tuple(member_from_json(member, schema) for member in members)
    return replace(header, members=found)


def _read_header(section: Section) -> tuple[Any, bytes]:
    """Return what the header's text says, and what comes after it."""
    try:
        content = unpack(section.payload, _LARGEST_HEADER)
        tail = 4 + int.from_bytes(content[:4], "little")
        return read_json(content[4:tail].decode()), content[tail:]
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"the file is damaged: its header cannot be read: {error}") from error


@contextmanager
def _placed(where: str) -> Iterator[None]:
    """Say in errors where in the file something is damaged."""
    try:
        yield
    except DataError as error:
        reason = str(error).removeprefix("the file is damaged: ")
        raise DataError(f"the file is damaged: {where}: {reason}") from error


def kind_of(section: Section) -> str:
    """Return what the first section says that the data were; no model is needed for that."""
    try:
        return str(_read_header(section)[0]["from"]["kind"])
    except (KeyError, TypeError) as error:
        raise DataError(f"the file is damaged: its header cannot be read: {error}") from error


def decode_block(section: Section, header: Header, number: int, stop: int | None = None) -> Block:
    """Return the rows of a block, checked.

    Parameters
    ----------
    section : Section
        That of the block.
    header : Header
        Of the file.
    number : int
        Of the block, for messages.
    stop : int, optional
        How many of the first columns are asked for. Then what is decoded is not compared
        with its hash, which is one of all columns; what is stored was.

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
        rows = _decoded(section.payload[BLOCK_HEAD.size :], header, member, n_rows, stop)
        same = stop is not None or member.digest(rows) == digest
        require(same, "it does not decode to what was compressed")
    except DataError as error:
        reason = str(error).removeprefix("the file is damaged: ")
        raise DataError(f"block {number} cannot be read: {reason}") from error
    return Block(place, first, rows, digest)


def _decoded(body: bytes, header: Header, member: Member, n_rows: int, stop: int | None) -> Any:
    """Decode a body; if there is a shared model, its first byte says whether it is by that."""
    shared = header.shared
    if shared is None:
        return member.decode(body, n_rows, stop)
    require(len(body) > 0 and body[0] in (0, 1), "it names an unknown method")
    if body[0] == 0:
        return member.decode(body[1:], n_rows, stop)
    rows = decode_shared(shared, member, body[1:], n_rows)
    if stop is None or not isinstance(member, TableMember):
        return rows
    return rows.select(range(stop))


def stream_blocks(
    stream: BinaryIO, n_threads: int = 1, model: ModelFile | None = None
) -> Iterator[Header | Block]:
    """Yield the header, then each block as it comes; check the footer at the end.

    Parameters
    ----------
    stream : binary file
        Need not seek.
    n_threads : int
        How many blocks are decoded at once; they come in order all the same.
    model : ModelFile, optional
        What the header may refer to.

    Raises
    ------
    DataError
        If anything is damaged or missing; what was yielded before is sound.
    """
    read_start(stream)
    sections = read_sections(stream)
    first = next(sections)
    header = parse_header(first, finder(lambda: next(sections), model))
    yield header
    footers: list[Footer] = []

    def numbered() -> Iterator[tuple[int, Section]]:
        number = 0
        for section in sections:
            if section.kind == b"BLCK":
                yield number, section
                number += 1
            elif section.kind == b"FOOT":
                footers.append(parse_footer(section))

    decoded = xxhash.xxh3_64()
    number, expected = 0, (0, 0)
    for block in in_order(lambda one: decode_block(one[1], header, one[0]), numbered(), n_threads):
        expected = _followed(header, expected, block, number)
        number += 1
        decoded.update(struct.pack("<Q", block.digest))
        yield block
    (footer,) = footers
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
    if len(pieces) == 1:
        found = pieces[0]
    else:
        found = np.concatenate(pieces) if pieces else np.empty(member.shape, member.dtype)
    found = found.astype(member.dtype, copy=False)  # concatenating makes them native
    return np.asfortranarray(found) if member.fortran else found


def read_all(
    stream: BinaryIO, n_threads: int = 1, model: ModelFile | None = None
) -> tuple[Header, list[Any]]:
    """Return everything that a stream holds: the header, and each member."""
    blocks = stream_blocks(stream, n_threads, model)
    header = next(blocks)
    assert isinstance(header, Header)
    return header, gathered(header, blocks)


def gathered(header: Header, blocks: Iterable[Header | Block]) -> list[Any]:
    """Return each member from its blocks."""
    pieces: list[list[Any]] = [[] for _ in header.members]
    for block in blocks:
        assert isinstance(block, Block)
        pieces[block.member].append(block.rows)
    return [joined(member, rows) for member, rows in zip(header.members, pieces, strict=True)]
