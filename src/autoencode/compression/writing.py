"""Arrays and tables -> a compressed file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import xxhash

from autoencode.compression.container import SectionWriter
from autoencode.compression.effort import Effort
from autoencode.compression.in_order import in_order
from autoencode.compression.members import Member, TableMember, n_blocks_of
from autoencode.compression.packing import pack, pack_integers
from autoencode.strict_json import write_json

__all__ = ["BLOCK_HEAD", "Progress", "write_members"]

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

    Returns
    -------
    int
        The bytes written.
    """
    writer = SectionWriter(stream)
    head = {
        "from": made_from,
        "members": [member.to_json() for member in members],
    }
    text = write_json(head, "the header").encode()
    schemas = [member.schema for member in members if isinstance(member, TableMember)]
    tail = b"".join(bytes(schema.serialize()) for schema in schemas)
    writer.write(b"HEAD", pack(len(text).to_bytes(4, "little") + text + tail))
    index: list[int] = []
    effort = effort.shared(sum(map(n_blocks_of, members)))
    decoded = xxhash.xxh3_64()
    for place, (member, blocks) in enumerate(zip(members, contents, strict=True)):
        for first, n_rows, body, digest in in_order(
            partial(_coded, member, effort), blocks, n_threads
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


def _coded(member: Member, effort: Effort, block: tuple[int, Any]) -> tuple[int, int, bytes, int]:
    first, rows = block
    return (first, len(rows), *member.encode(rows, effort))


def _deltas(index: list[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    rows = np.array(index, np.int64).reshape(-1, 4)
    return np.diff(rows, axis=0, prepend=np.zeros((1, 4), np.int64)).ravel()
