"""Bytes and short lists of integers -> the smallest of a few packings, and back."""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.compression.frequencies import IntArray
from autoencode.errors import DataError

__all__ = [
    "LARGEST_PACKED",
    "join",
    "pack",
    "pack_integers",
    "split",
    "unpack",
    "unpack_integers",
]

# What one packed piece may hold: claims beyond are refused before memory is taken.
LARGEST_PACKED = 1 << 33
_RAW, _DEFLATE, _XZ, _ZSTD = range(4)
_XZ_FROM = 64
# Of longer data deflate makes more bytes than zstd does.
_DEFLATE_TO = 1 << 13
# xz and zstd at their slowest rarely make less than this share of what quick zstd makes.
_STRONGEST = 0.6
_SAMPLE_BYTES = 1 << 14
# A sample decides about what quick zstd hardly makes smaller, and about what is long.
_DENSE, _LONG = 0.75, 1 << 20
_LOOSE = 0.25
# Other contexts of xz: without places for bytes, with them for numbers of eight.
_CONTEXTS, _NEAR = ((3, 0, 0), (0, 3, 3)), 1.1
_LENGTH_BYTES = 5
_COUNT_BYTES, _SIZE_BYTES = 2, 4


def _filters(size: int) -> list[dict[str, Any]]:
    """Return xz's strongest settings; its window is as large as the data, up to 64 MiB."""
    window = 1 << max(12, min(26, (max(size, 1) - 1).bit_length()))
    # Values of one, two or four bytes are common: literals know what place they are at.
    return [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": window}]


def pack(data: bytes, *, fast: bool = False, beat: float = math.inf) -> bytes:
    """Pack bytes by whatever makes them smallest.

    Parameters
    ----------
    data : bytes
        Anything.
    fast : bool
        Leave out xz, the slowest.
    beat : float
        Bytes that something else takes: what is slow is left out where it is unlikely to
        make less of them.

    Returns
    -------
    bytes
        One byte for the method, five for the length, then the packed bytes.
    """
    found = [(_RAW, data)]
    if 16 < len(data) <= _DEFLATE_TO:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        found.append((_DEFLATE, deflate.compress(data) + deflate.flush()))
    if len(data) >= _XZ_FROM:
        quick = pa.Codec("zstd", 3).compress(data, asbytes=True)
        found.append((_ZSTD, quick))
        if not fast and _may_beat(data, len(quick), beat):
            found.append((_ZSTD, pa.Codec("zstd", 19).compress(data, asbytes=True)))
            found += [(_XZ, packed) for packed in _by_xz(data, beat)]
    method, packed = min(found, key=lambda pair: len(pair[1]))
    return bytes([method]) + len(data).to_bytes(_LENGTH_BYTES, "little") + packed


def _by_xz(data: bytes, beat: float) -> list[bytes]:
    """Pack with one or more contexts of xz: more of what is short and may be the smallest."""
    found = [_xz(data)]
    if len(data) <= _LONG and len(found[0]) < _NEAR * beat:
        found += [_xz(data, *context) for context in _CONTEXTS]
    return found


def _xz(data: bytes, before: int = 3, place: int = 0, both: int = 2) -> bytes:
    """Pack by xz: bits of the byte before and of the place that literals, and all, look at."""
    (settings,) = _filters(len(data))
    settings |= {"lc": before, "lp": place, "pb": both}
    return lzma.compress(data, lzma.FORMAT_RAW, filters=[settings])


def _may_beat(data: bytes, quick: int, beat: float) -> bool:
    """Tell whether slow packing may come below so many bytes, by what quick packing makes."""
    if beat == math.inf:
        return True
    share = _STRONGEST
    if len(data) <= _LONG and quick <= _LOOSE * len(data):
        # Long repetitions may be found by xz alone, and are found fast.
        return True
    if len(data) > 4 * _SAMPLE_BYTES and (quick > _DENSE * len(data) or len(data) > _LONG):
        sample = data[len(data) // 2 :][:_SAMPLE_BYTES]
        before = len(pa.Codec("zstd", 3).compress(sample, asbytes=True))
        share = 0.95 * len(_xz(sample)) / before
    return share * quick < beat


def unpack(data: bytes, largest: int = LARGEST_PACKED) -> bytes:
    """Return what was packed.

    Parameters
    ----------
    data : bytes
        As `pack` returned it.
    largest : int
        The most bytes that it may hold.

    Raises
    ------
    DataError
        If it is damaged, or claims to hold more.
    """
    if len(data) <= _LENGTH_BYTES:
        raise DataError("packed bytes are cut off")
    method, size = data[0], int.from_bytes(data[1 : 1 + _LENGTH_BYTES], "little")
    if size > largest:
        raise DataError(f"packed bytes claim to be {size:,} long; at most {largest:,} can be")
    try:
        found = _unpacked(method, data[1 + _LENGTH_BYTES :], size)
    except (lzma.LZMAError, zlib.error, pa.ArrowException, OSError, EOFError) as error:
        raise DataError(f"packed bytes are damaged: {' '.join(str(error).split())}") from error
    if len(found) != size:
        raise DataError("packed bytes are damaged: they have another length")
    return found


def _unpacked(method: int, body: bytes, size: int) -> bytes:
    if method == _RAW:
        return body
    if method == _DEFLATE:
        inflate = zlib.decompressobj(-15)
        return inflate.decompress(body, size + 1) if size else b""
    if method == _ZSTD:
        return bytes(pa.Codec("zstd").decompress(body, decompressed_size=size, asbytes=True))
    if method == _XZ:
        opened = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size))
        return opened.decompress(body, size + 1)
    raise DataError(f"packed bytes name the method {method}, which this version does not know")


def pack_integers(values: IntArray) -> bytes:
    """Pack integers, small ones into few bytes.

    Parameters
    ----------
    values : ndarray of int64
        Any number of them.

    Returns
    -------
    bytes
        Packed: 0, -1, 1, -2 ... are counted from 0 (zigzag), written seven bits a byte, the
        lowest first, with the highest bit where more follow.
    """
    folded = ((values << 1) ^ (values >> 63)).astype(np.uint64)
    lengths = np.ones(len(folded), np.int64)
    rest = folded >> np.uint64(7)
    while rest.any():
        lengths += rest > 0
        rest >>= np.uint64(7)
    ends = np.cumsum(lengths)
    out = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
    starts = ends - lengths
    for place in range(int(lengths.max(initial=0))):
        wide = lengths > place
        piece = (folded[wide] >> np.uint64(7 * place)) & np.uint64(127)
        more = (lengths[wide] > place + 1).astype(np.uint64) << np.uint64(7)
        out[starts[wide] + place] = piece | more
    return pack(out.tobytes())


def unpack_integers(data: bytes, count: int) -> IntArray:
    """Return integers that were packed.

    Parameters
    ----------
    data : bytes
        As `pack_integers` returned it.
    count : int
        How many there must be.

    Raises
    ------
    DataError
        If they are damaged, or another number.
    """
    stored = np.frombuffer(unpack(data, 10 * count), np.uint8)
    ends = np.flatnonzero(stored < 128)
    if len(ends) != count or (count and ends[-1] != len(stored) - 1):
        raise DataError("packed integers are damaged")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[:count]
    lengths = ends - starts + 1
    if count and lengths.max() > 10:
        raise DataError("packed integers are damaged")
    folded = np.zeros(count, np.uint64)
    for place in range(int(lengths.max(initial=0))):
        wide = lengths > place
        piece = stored[starts[wide] + place].astype(np.uint64) & np.uint64(127)
        folded[wide] |= piece << np.uint64(7 * place)
    half = (folded >> np.uint64(1)).astype(np.int64)
    return half ^ -(folded & np.uint64(1)).astype(np.int64)


def join(pieces: Sequence[bytes]) -> bytes:
    """Join pieces of bytes into one: their number, their lengths, then they.

    Parameters
    ----------
    pieces : sequence of bytes
        At most 65,535 of them, each below 4 GiB.

    Returns
    -------
    bytes
        The number takes two bytes, each length four, little-endian.
    """
    head = len(pieces).to_bytes(_COUNT_BYTES, "little")
    lengths = b"".join(len(piece).to_bytes(_SIZE_BYTES, "little") for piece in pieces)
    return head + lengths + b"".join(pieces)


def split(data: bytes, count: int | None = None) -> list[bytes]:
    """Return pieces that were joined.

    Parameters
    ----------
    data : bytes
        As `join` returned it.
    count : int, optional
        How many there must be.

    Raises
    ------
    DataError
        If lengths and bytes do not go together.
    """
    found = int.from_bytes(data[:_COUNT_BYTES], "little")
    start = _COUNT_BYTES + _SIZE_BYTES * found
    if len(data) < start or (count is not None and count != found):
        raise DataError("joined pieces are damaged")
    pieces = []
    for place in range(found):
        at = _COUNT_BYTES + _SIZE_BYTES * place
        stop = start + int.from_bytes(data[at : at + _SIZE_BYTES], "little")
        pieces.append(data[start:stop])
        start = stop
    if start != len(data):
        raise DataError("joined pieces are damaged")
    return pieces
