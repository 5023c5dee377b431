"""One column's integers -> symbols of tables, in either direction by the same steps."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from autoencode.compression.frequencies import (
    FRACTIONS,
    TOTAL,
    IntArray,
    normalised,
    shape_tables,
    shifted,
)
from autoencode.compression.plans import ColumnPlan
from autoencode.compression.range_coder import BitReader, BitWriter, SymbolReader, SymbolWriter
from autoencode.errors import DataError

__all__ = ["Channel", "LevelTables", "ReadingChannel", "WritingChannel", "code_residuals"]

_REBUILT_AFTER, _REBUILT_SHARE = 8192, 4
# Counts that the column's own distribution, and an even one, weigh in each context.
_OWN, _EVEN = 2, 1
_WIDTH_BITS = 6


class Channel(Protocol):
    """Where symbols and bits go to, or come from."""

    def symbols(
        self, frequencies: IntArray, cumulative: IntArray, tables: IntArray, known: IntArray | None
    ) -> IntArray:
        """Code places in a list of tables; return them."""

    def bits(self, widths: IntArray, known: IntArray | None) -> IntArray:
        """Code numbers of given widths in bits; return them."""


class WritingChannel:
    """Writes what is known, and adds up what it costs.

    Attributes
    ----------
    cost : float
        Bits so far.
    """

    def __init__(self, lanes: int) -> None:
        self.writer, self.bit_writer = SymbolWriter(lanes), BitWriter()

    def symbols(
        self, frequencies: IntArray, cumulative: IntArray, tables: IntArray, known: IntArray | None
    ) -> IntArray:
        """Write places in a list of tables."""
        assert known is not None
        self.writer.put(frequencies[known], cumulative[known] - tables * TOTAL)
        return known

    def bits(self, widths: IntArray, known: IntArray | None) -> IntArray:
        """Write numbers."""
        assert known is not None
        self.bit_writer.put(known, widths)
        return known


class ReadingChannel:
    """Reads what was written."""

    def __init__(self, symbols: bytes, bits: bytes, lanes: int) -> None:
        self.reader, self.bit_reader = SymbolReader(symbols, lanes), BitReader(bits)

    def symbols(
        self, frequencies: IntArray, cumulative: IntArray, tables: IntArray, known: IntArray | None
    ) -> IntArray:
        """Read places in a list of tables."""
        return self.reader.take(frequencies, cumulative, tables)

    def bits(self, widths: IntArray, known: IntArray | None) -> IntArray:
        """Read numbers."""
        return self.bit_reader.take(widths)

    def finish(self) -> None:
        """Check that everything was read and came out as it went in."""
        self.reader.finish()
        self.bit_reader.finish()


class LevelTables:
    """Adaptive tables of a column of few values, one for each context.

    Parameters
    ----------
    n_contexts, size : int
        How many tables, of how many symbols.
    """

    def __init__(self, n_contexts: int, size: int) -> None:
        self.size = size
        self._counts = np.zeros((n_contexts, size), np.int64)
        self._seen = self._built = 0
        self._build()

    def code(self, contexts: IntArray, known: IntArray | None, channel: Channel) -> IntArray:
        """Code values, one in each context, and learn from them.

        Parameters
        ----------
        contexts : ndarray of int64
            The table of each.
        known : ndarray of int64 or None
            The values, when writing.
        channel : Channel
            Where they go to or come from.

        Returns
        -------
        ndarray of int64
            The values.
        """
        grown = self._seen - self._built
        if grown and grown >= min(self._built // _REBUILT_SHARE, _REBUILT_AFTER):
            self._build()
        starts = contexts * self.size
        places = channel.symbols(
            self._frequencies, self._cumulative, contexts, None if known is None else starts + known
        )
        self._counts += np.bincount(places, minlength=self._counts.size).reshape(self._counts.shape)
        self._seen += len(places)
        return places - starts

    def _build(self) -> None:
        own = self._counts.sum(axis=0)
        unit = 4 * self.size
        weights = unit * self._counts + unit * _OWN * own // max(1, self._seen) + 4 * _EVEN
        frequencies = normalised(weights)
        cumulative = np.cumsum(frequencies, axis=1) - frequencies
        cumulative += np.arange(len(frequencies))[:, None] * TOTAL
        self._frequencies, self._cumulative = frequencies.ravel(), cumulative.ravel()
        self._built = self._seen


def code_residuals(
    plan: ColumnPlan,
    predictions: IntArray,
    scales: IntArray,
    known: IntArray | None,
    channel: Channel,
) -> IntArray:
    """Code values as what predictions leave.

    Parameters
    ----------
    plan : ColumnPlan
        Family and size are used.
    predictions : ndarray of int64
        In sixteenths.
    scales : ndarray of int64
        Scale of each value.
    known : ndarray of int64 or None
        The values, when writing.
    channel : Channel
        Where they go to or come from.

    Returns
    -------
    ndarray of int64
        The values.

    Raises
    ------
    DataError
        If one read is not in [0, size).
    """
    tables = shape_tables(plan.family)
    base, width = shifted(scales)
    # The prediction counts in steps of 2 ** width, like what is coded by tables.
    place = predictions >> width
    whole, fraction = place >> 4, (place & 15) * FRACTIONS >> 4
    table = base * FRACTIONS + fraction
    starts, radii = tables.starts[table], tables.radii[table]
    escape = starts + 2 * radii + 2
    symbol = None
    if known is not None:
        high = (known >> width) - whole
        outside = (high < -radii) | (high > radii + 1)
        symbol = np.where(outside, escape, starts + radii + high)
    symbol = channel.symbols(tables.frequencies, tables.cumulative, table, symbol)
    high = symbol - starts - radii + whole
    escaped = np.flatnonzero(symbol == escape)
    widths = width.copy()
    widths[escaped] = 0
    low = channel.bits(widths, None if known is None else known & ((1 << widths) - 1))
    values: IntArray = (high << widths) + low
    if len(escaped):
        values[escaped] = _code_escapes(None if known is None else known[escaped], escaped, channel)
    if known is None and ((values < 0) | (values >= plan.size)).any():
        raise DataError("the coded values are damaged: one is out of its range")
    return values


def _code_escapes(known: IntArray | None, places: IntArray, channel: Channel) -> IntArray:
    """Code values as such: the length in bits, then the bits."""
    fixed = np.full(len(places), _WIDTH_BITS, np.int64)
    widths = None
    if known is not None:
        widths = np.frexp(known.astype(np.float64))[1].astype(np.int64)
    widths = channel.bits(fixed, widths)
    return channel.bits(widths, known)
