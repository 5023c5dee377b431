"""A column of integers by itself -> bytes: pcodec, or general packing of its bytes."""

from __future__ import annotations

import math

import numpy as np
from pcodec import ChunkConfig, standalone

from autoencode.compression.frequencies import IntArray
from autoencode.compression.packing import pack, unpack
from autoencode.errors import DataError

__all__ = ["load_integers", "pcodec_bytes", "pcodec_into", "store_integers"]

_BYTES, _PCODEC = range(2)
_WIDTHS = (1, 2, 4, 8)
_QUICK_LEVEL, _SLOW_LEVEL = 6, 12
_SAMPLED, _SAMPLE_ERROR = 1 << 15, 0.8


def store_integers(values: IntArray, *, fast: bool = False, beat: float = math.inf) -> bytes:
    """Store integers by whatever makes them smallest.

    Parameters
    ----------
    values : ndarray of int64
        Not negative.
    fast : bool
        Leave out xz.
    beat : float
        As in `pack`.

    Returns
    -------
    bytes
        One byte for the method, one for the width of an integer, then the rest.
    """
    largest = int(values.max(initial=0))
    width = next(width for width in _WIDTHS if largest < 1 << (8 * width - (width == 8)))
    narrow = values.astype(f"<u{width}")
    offers = [bytes([_BYTES, width]) + pack(narrow.tobytes(), fast=fast, beat=beat)]
    wide = narrow.astype(f"<u{max(width, 2)}")
    by_pcodec = pcodec_bytes(wide, fast=fast, beat=beat)
    if by_pcodec is not None:
        offers.append(bytes([_PCODEC, max(width, 2)]) + by_pcodec)
    return min(offers, key=len)


def load_integers(data: bytes, count: int, size: int) -> IntArray:
    """Return integers that were stored.

    Parameters
    ----------
    data : bytes
        As `store_integers` returned it.
    count : int
        How many there must be.
    size : int
        All must be in [0, size).

    Raises
    ------
    DataError
        If they are damaged, or not these.
    """
    if len(data) < 2 or data[1] not in _WIDTHS:
        raise DataError("stored integers are damaged")
    method, width = data[0], data[1]
    if method == _BYTES:
        raw = unpack(data[2:], count * width)
        if len(raw) != count * width:
            raise DataError("stored integers are damaged")
        found = np.frombuffer(raw, f"<u{width}")
    elif method == _PCODEC and width > 1:
        found = np.empty(count, f"u{width}")
        pcodec_into(data[2:], found)
    else:
        raise DataError(f"stored integers name the method {method}, which is not known")
    if count and int(found.max()) >= size:
        raise DataError("stored integers are damaged: one is out of its range")
    return found.astype(np.int64)


def pcodec_bytes(
    values: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    *,
    fast: bool = False,
    beat: float = math.inf,
) -> bytes | None:
    """Compress numbers by pcodec; None if a sample says that this will not beat so many bytes."""
    flat = np.ascontiguousarray(values).ravel()
    quick = ChunkConfig(compression_level=_QUICK_LEVEL)
    if beat < math.inf and flat.size > 2 * _SAMPLED:
        middle = flat[flat.size // 2 :][:_SAMPLED]
        expected = len(standalone.simple_compress(middle, quick)) * flat.size / _SAMPLED
        if _SAMPLE_ERROR * expected > beat:
            return None
    config = quick if fast else ChunkConfig(compression_level=_SLOW_LEVEL)
    return bytes(standalone.simple_compress(flat, config))


def pcodec_into(data: bytes, out: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    """Decompress into an array that must be filled exactly.

    Raises
    ------
    DataError
        If the bytes are damaged, or hold more or fewer numbers.
    """
    try:
        progress = standalone.simple_decompress_into(data, out)
    except (RuntimeError, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"a column stored by pcodec is damaged: {message}") from error
    if progress.n_processed != out.size or not progress.finished:
        raise DataError("a column stored by pcodec has another length")
