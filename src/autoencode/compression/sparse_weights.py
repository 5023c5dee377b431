"""Whole numbers of which many are 0 -> symbols of an adaptive table and bits, and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import Channel, LevelTables
from autoencode.compression.frequencies import IntArray

__all__ = ["code_sparse", "sparse_bits"]

# Sizes below this are symbols of their own; of others the length in bits is one.
_EXACT, _SHORTEST = 12, 4
_LONGEST = 21
_SYMBOLS = _EXACT + _LONGEST - _SHORTEST + 1
_FIRST, _MOST, _SHARE = 16, 16384, 2


def code_sparse(count: int, known: IntArray | None, channel: Channel) -> IntArray:
    """Code so many numbers, and return them.

    Parameters
    ----------
    count : int
        How many.
    known : ndarray of int64, shape (count,), or None
        The numbers, when writing; of at most 21 bits.
    channel : Channel
        Where they go to or come from.
    """
    tables = LevelTables(1, _SYMBOLS)
    found = np.zeros(count, np.int64)
    for rows in _groups(count):
        symbols, rest = (None, None) if known is None else _parted(known[rows])
        contexts = np.zeros(rows.stop - rows.start, np.int64)
        symbols = tables.code(contexts, symbols, channel)
        found[rows] = _joined(symbols, channel.bits(_widths(symbols), rest))
    return found


def sparse_bits(values: IntArray) -> float:
    """Return about what `code_sparse` takes."""
    symbols, _ = _parted(values)
    counts = np.zeros(_SYMBOLS)
    bits = float(_widths(symbols).sum())
    for rows in _groups(len(values)):
        own = np.bincount(symbols[rows], minlength=_SYMBOLS)
        share = (counts + 1 / _SYMBOLS) / (counts.sum() + 1)
        bits -= float((own * np.log2(share)).sum())
        counts += own
    return bits


def _groups(count: int) -> Iterator[slice]:
    """Yield what is coded together: tables learn from group to group."""
    start, size = 0, _FIRST
    while start < count:
        stop = min(count, start + size)
        yield slice(start, stop)
        size = min(_MOST, max(size, stop // _SHARE))
        start = stop


def _parted(values: IntArray) -> tuple[IntArray, IntArray]:
    """Return symbols, and the bits that they leave: the sign, then those of the size."""
    sizes = np.abs(values)
    lengths = np.frexp(sizes.astype(np.float64))[1].astype(np.int64)
    symbols = np.where(sizes < _EXACT, sizes, _EXACT + lengths - _SHORTEST)
    low = np.where(sizes < _EXACT, 0, sizes - (1 << np.maximum(lengths - 1, 0)))
    return symbols, low << 1 | (values < 0)


def _widths(symbols: IntArray) -> IntArray:
    """Return how many bits each symbol leaves."""
    long = np.where(symbols < _EXACT, 0, symbols - _EXACT + _SHORTEST - 1)
    widths: npt.NDArray[np.int64] = long + (symbols > 0)
    return widths


def _joined(symbols: IntArray, rest: IntArray) -> IntArray:
    top = np.left_shift(1, np.maximum(symbols - _EXACT + _SHORTEST - 1, 0))
    sizes = np.where(symbols < _EXACT, symbols, top + (rest >> 1))
    values: npt.NDArray[np.int64] = np.where(rest & 1, -sizes, sizes)
    return values
