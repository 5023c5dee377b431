"""Arrays and tables -> a compressed file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import xxhash

from autoencode.compression.container import SectionWriter
from autoencode.compression.effort import Effort
from autoencode.compression.in_order import in_order
from autoencode.compression.members import LIST, TEXT, Member, TableMember, n_blocks_of
from autoencode.compression.model_reference import COLUMNS, ModelFile, ModelNote
from autoencode.compression.packing import pack, pack_integers
from autoencode.compression.shared_block import decode_shared, encode_shared
from autoencode.compression.shared_model import SharedModel
from autoencode.strict_json import write_json

__all__ = ["BLOCK_HEAD", "Progress", "WrittenModel", "write_members"]

# Member, first row, rows, hash of what the rows decode to.
BLOCK_HEAD = struct.Struct("<IQQQ")

# Called with the member, the rows coded of it so far, and the bytes written so far.
Progress = Callable[[Member, int, int], None]
Blocks = Iterable[tuple[int, Any]]


def write_members(
    stream: BinaryIO,
    members: Sequence[Member],
    contents: Sequence[Blocks],
    made_from: Mapping[str, Any],
    effort: Effort,
    progress: Progress | None = None,
    n_threads: int = 1,
    model: WrittenModel | None = None,
) -> int:
    """Write a compressed file.

    Parameters
    ----------
    stream : binary file
        Need not seek.
    members : sequence of Member
        What it holds.
    contents : sequence of iterable
        For each member its blocks: the number of the first row, and the rows.
    made_from : mapping
        Where the data came from: what gives them back in kind; plain JSON.
    effort : Effort
        How much to try.
    progress : callable, optional
        Told after each block.
    n_threads : int
        How many blocks are coded at once; the bytes are the same.
    model : WrittenModel, optional
        What the file refers to; blocks are coded by one of columns where that is smaller.

    Returns
    -------
    int
        The bytes written.
    """
    writer = SectionWriter(stream)
    head: dict[str, Any] = {
        "from": made_from,
        "members": [member.to_json() for member in members],
    }
    tail = b"".join(
        bytes(member.schema.serialize()) for member in members if isinstance(member, TableMember)
    )
    if model is not None:
        head["model"] = model.note.to_json()
        tail = model.schema_bytes(tail)
    text = write_json(head, "the header").encode()
    writer.write(b"HEAD", pack(len(text).to_bytes(4, "little") + text + tail))
    if model is not None and model.note.embedded:
        writer.write(b"MODL", model.file.content)
    index: list[int] = []
    effort = effort.shared(sum(n_blocks_of(one) for one in members if one.name not in (TEXT, LIST)))
    decoded = xxhash.xxh3_64()
    for place, (member, blocks) in enumerate(zip(members, contents, strict=True)):
        for first, n_rows, body, digest in in_order(
            partial(_coded, member, effort, model), blocks, n_threads
        ):
            payload = BLOCK_HEAD.pack(place, first, n_rows, digest) + body
            begun = writer.write(b"BLCK", payload)
            decoded.update(struct.pack("<Q", digest))
            index.extend((place, first, n_rows, begun))
            if progress is not None:
                progress(member, first + n_rows, writer.offset)
    at = writer.write(b"INDX", pack_integers(_deltas(index)))
    writer.finish(len(index) // 4, at, decoded.intdigest())
    return writer.offset


@dataclass(frozen=True)
class WrittenModel:
    """A model that a file refers to.

    Attributes
    ----------
    file : ModelFile
        The model.
    note : ModelNote
        What the header says of it.
    schema : bytes
        The schema of the data, if they are not a table in the file itself.
    """

    file: ModelFile
    note: ModelNote
    schema: bytes = b""

    @property
    def shared(self) -> SharedModel | None:
        """The model with which blocks may be coded."""
        return self.file.columns if self.note.kind == COLUMNS else None

    def schema_bytes(self, tail: bytes) -> bytes:
        """Return the schema that the header has: nothing, if it is that of the model."""
        shared = self.shared
        if shared is None:
            return self.schema
        same = shared.schema is not None and bytes(shared.schema.serialize()) == tail
        return b"" if same else tail


def _coded(
    member: Member, effort: Effort, model: WrittenModel | None, block: tuple[int, Any]
) -> tuple[int, int, bytes, int]:
    first, rows = block
    body, digest = member.encode(rows, effort)
    shared = None if model is None else model.shared
    if shared is None:
        return first, len(rows), body, digest
    by_model = None
    if shared.unlike(member) is None:
        by_model = encode_shared(shared, member, rows, effort)
    if by_model is None or len(by_model) >= len(body):
        return first, len(rows), b"\0" + body, digest
    if any(member.errors):
        digest = member.digest(decode_shared(shared, member, by_model, len(rows)))
    return first, len(rows), b"\1" + by_model, digest


def _deltas(index: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    rows = np.array(index, np.int64).reshape(-1, 4)
    return np.diff(rows, axis=0, prepend=np.zeros((1, 4), np.int64)).ravel()
