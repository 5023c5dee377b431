"""Sections of a compressed file: typed, with checked lengths and contents."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import xxhash

from autoencode.errors import DataError

__all__ = [
    "FOOTER_BYTES",
    "MAGIC",
    "MAJOR",
    "MINOR",
    "START_BYTES",
    "Footer",
    "Section",
    "SectionWriter",
    "parse_footer",
    "read_footer",
    "read_section",
    "read_sections",
    "read_start",
]

MAGIC = b"\x89AEZ\r\n\x1a\n"
MAJOR, MINOR = 1, 0
_START = struct.Struct("<8sBBH")
_HEAD = struct.Struct("<4sQI")
_CHECK = struct.Struct("<Q")
_FOOTER = struct.Struct("<QQQQ")
KNOWN = (b"HEAD", b"MODL", b"BLCK", b"INDX", b"FOOT")
START_BYTES = _START.size
FOOTER_BYTES = _HEAD.size + _FOOTER.size + _CHECK.size
# No section of this version is longer: a larger claim is a false one.
LARGEST_SECTION = 1 << 34
_PIECE = 1 << 24


class Section(NamedTuple):
    """A section, and where it begins in the file."""

    kind: bytes
    payload: bytes
    offset: int


class Footer(NamedTuple):
    """What the last section says.

    Attributes
    ----------
    n_blocks : int
        Blocks in the file.
    index_at : int
        Where the index begins.
    compressed, decoded : int
        XXH3 of all bytes before the footer, and of the blocks' own hashes of what they
        hold, eight bytes each.
    """

    n_blocks: int
    index_at: int
    compressed: int
    decoded: int


class SectionWriter:
    """Writes sections to a stream.

    Parameters
    ----------
    stream : binary file
        Need not seek.

    Attributes
    ----------
    offset : int
        Bytes written so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self.offset = stream, 0
        self._hash = xxhash.xxh3_64()
        self._write(_START.pack(MAGIC, MAJOR, MINOR, 0))

    def write(self, kind: bytes, payload: bytes) -> int:
        """Write a section; return where it begins."""
        begun = self.offset
        head = kind + struct.pack("<Q", len(payload))
        self._write(head + struct.pack("<I", _short(head)))
        self._write(payload)
        self._write(_CHECK.pack(xxhash.xxh3_64_intdigest(payload)))
        return begun

    def finish(self, n_blocks: int, index: int, decoded: int) -> None:
        """Write the footer."""
        compressed = self._hash.intdigest()
        self.write(b"FOOT", _FOOTER.pack(n_blocks, index, compressed, decoded))

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._hash.update(data)
        self.offset += len(data)


def _short(head: bytes) -> int:
    return int(xxhash.xxh3_64_intdigest(head)) & 0xFFFFFFFF


def read_start(stream: BinaryIO) -> None:
    """Read the first bytes of a file.

    Raises
    ------
    DataError
        If it is of another kind, or of a later major version.
    """
    data = stream.read(_START.size)
    if data[: len(MAGIC)] != MAGIC[: len(data)] or len(data) < len(MAGIC):
        raise DataError("is not a file that autoencode compress wrote")
    if len(data) < _START.size:
        raise DataError("is cut off after a few bytes")
    _, major, minor, _ = _START.unpack(data)
    if major != MAJOR:
        raise DataError(
            f"is of format version {major}.{minor}; this program reads {MAJOR}.x: use a later one"
        )


def read_sections(stream: BinaryIO) -> Iterator[Section]:
    """Yield the sections of a stream up to the footer; the start was read.

    Raises
    ------
    DataError
        If one is cut off, damaged, or of a kind that must not be skipped and is not known.
    """
    offset, number = _START.size, 0
    while True:
        section = read_section(stream, offset, number)
        number += section.kind == b"BLCK"
        offset += _HEAD.size + len(section.payload) + _CHECK.size
        if section.kind in KNOWN:
            yield section
        elif section.kind[:1].isupper():
            raise DataError(
                f"has a section {section.kind.decode('latin-1')!r} that this version does not "
                "know: use a later one"
            )
        if section.kind == b"FOOT":
            return


def read_section(stream: BinaryIO, offset: int, number: int | None = None) -> Section:
    """Read one section, which begins at ``offset``.

    Parameters
    ----------
    stream : binary file
        Where it begins.
    offset : int
        For messages, which say the byte.
    number : int, optional
        For messages, if it is a block: which.

    Raises
    ------
    DataError
        If it is cut off or damaged.
    """
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        raise DataError(f"is cut off at byte {offset + len(head):,}")
    kind, length, check = _HEAD.unpack(head)
    if check != _short(head[:12]) or length > LARGEST_SECTION:
        place = "" if number is None else f", after {number:,} blocks,"
        raise DataError(f"is damaged: the head of the section at byte {offset:,}{place} is wrong")
    named = f"the section {kind.decode('latin-1')!r}"
    if kind == b"BLCK" and number is not None:
        named = f"block {number}"
    payload = _read_exactly(stream, length, f"{named} at byte {offset:,}")
    stored = stream.read(_CHECK.size)
    if len(stored) < _CHECK.size:
        raise DataError(f"is cut off within {named} at byte {offset:,}")
    if _CHECK.unpack(stored)[0] != xxhash.xxh3_64_intdigest(payload):
        raise DataError(f"is damaged: {named} at byte {offset:,} has changed")
    return Section(kind, payload, offset)


def _read_exactly(stream: BinaryIO, length: int, named: str) -> bytes:
    """Read a payload; memory grows with what is there, not with what is claimed."""
    pieces = []
    left = length
    while left:
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise DataError(f"is cut off within {named}")
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def parse_footer(section: Section) -> Footer:
    """Return what a footer says.

    Raises
    ------
    DataError
        If it is none.
    """
    if section.kind != b"FOOT" or len(section.payload) != _FOOTER.size:
        raise DataError("is damaged: its footer is not understood")
    return Footer(*_FOOTER.unpack(section.payload))


def read_footer(stream: BinaryIO) -> Footer:
    """Read the footer of a file that can seek."""
    size = stream.seek(0, 2)
    if size < _START.size + FOOTER_BYTES:
        raise DataError(f"is cut off at byte {size:,}")
    stream.seek(size - FOOTER_BYTES)
    return parse_footer(read_section(stream, size - FOOTER_BYTES))
