"""One column's integers -> symbols of tables, in either direction by the same steps."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from autoencode.compression.frequencies import (
    FRACTIONS,
    SCALES,
    TOTAL,
    IntArray,
    normalised,
    shape_tables,
    shifted,
)
from autoencode.compression.plans import ColumnPlan
from autoencode.compression.range_coder import (
    BitReader,
    BitWriter,
    SymbolReader,
    SymbolTables,
    SymbolWriter,
)
from autoencode.errors import DataError

__all__ = ["Channel", "LevelTables", "ReadingChannel", "WritingChannel", "code_residuals"]

# Tables are made anew once half as much again was coded.
_REBUILT_SHARE = 2
# Counts that the column's own distribution, and an even one, weigh in each context.
_OWN, _EVEN = 2, 1
_WIDTH_BITS = 6


class Channel(Protocol):
    """Where symbols and bits go to, or come from."""

    def symbols(self, tables: SymbolTables, chosen: IntArray, known: IntArray | None) -> IntArray:
        """Code places in tables, one of each table chosen; return them."""

    def bits(self, widths: IntArray, known: IntArray | None) -> IntArray:
        """Code numbers of given widths in bits; return them."""


class WritingChannel:
    """Writes what is known."""

    def __init__(self, lanes: int) -> None:
        self.writer, self.bit_writer = SymbolWriter(lanes), BitWriter()

    def symbols(self, tables: SymbolTables, chosen: IntArray, known: IntArray | None) -> IntArray:
        """Write places in tables."""
        assert known is not None
        self.writer.put(tables, known)
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

    def symbols(self, tables: SymbolTables, chosen: IntArray, known: IntArray | None) -> IntArray:
        """Read places in tables."""
        return self.reader.take(tables, chosen)

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
    counts : ndarray of int64, shape (n_contexts, at most size), optional
        What was counted before.

    Attributes
    ----------
    frequencies, cumulative : ndarray of int64
        As `SymbolTables` has them; each table is filled up to a power of two.
    """

    def __init__(self, n_contexts: int, size: int, counts: IntArray | None = None) -> None:
        self.size = size
        self._width = 1 << (size - 1).bit_length()
        self._counts = np.zeros((n_contexts, size), np.int64)
        if counts is not None:
            self._counts[:, : counts.shape[1]] = counts
        self._seen = int(self._counts.sum())
        shape = (n_contexts, self._width)
        # What is beyond the last symbol is never found.
        self._tables = np.ones(shape, np.int64), np.full(shape, TOTAL, np.int64)
        self.frequencies, self.cumulative = (table.ravel() for table in self._tables)
        self._build()

    @property
    def counts(self) -> IntArray:
        """How often each symbol was coded in each context, ``(n_contexts, size)``."""
        return self._counts

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
        if self._seen > self._built and self._seen - self._built >= self._built // _REBUILT_SHARE:
            self._build()
        starts = self.bases(contexts)
        places = channel.symbols(self, contexts, None if known is None else starts + known)
        values = places - starts
        counted = contexts * self.size + values
        self._counts += np.bincount(counted, minlength=self._counts.size).reshape(
            self._counts.shape
        )
        self._seen += len(places)
        return values

    def bases(self, tables: IntArray) -> IntArray:
        """Return where each symbol's table begins."""
        return tables * self._width

    def locate(self, bases: IntArray, slots: IntArray) -> IntArray:
        """Return the places of the symbols in whose intervals slots lie, by halving."""
        places = bases.copy()
        half = self._width >> 1
        while half:
            places += (self.cumulative.take(places + half) <= slots) * half
            half >>= 1
        return places

    def _build(self) -> None:
        own = self._counts.sum(axis=0)
        unit = 4 * self.size
        weights = unit * self._counts
        weights += unit * _OWN * own // max(1, self._seen) + 4 * _EVEN
        frequencies, cumulative = (table[:, : self.size] for table in self._tables)
        frequencies[:] = normalised(weights)
        np.cumsum(frequencies[:, :-1], axis=1, out=cumulative[:, 1:])
        cumulative[:, 0] = 0
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
    width: IntArray | None = None
    place = predictions
    if int(scales.max(initial=0)) >= len(SCALES):
        # The prediction counts in steps of 2 ** width, like what is coded by tables.
        scales, width = shifted(scales)
        place = predictions >> width
    whole = place >> 4
    chosen = (place & 15) * FRACTIONS >> 4
    chosen += scales * FRACTIONS
    radii, zeros = tables.radii.take(chosen), tables.zeros.take(chosen)
    symbol = None
    if known is not None:
        high = (known if width is None else known >> width) - whole
        outside = (high < -radii) | (high > radii + 1)
        symbol = zeros + np.where(outside, radii + 2, high)
    symbol = channel.symbols(tables, chosen, symbol)
    high = symbol - zeros
    escaped = np.flatnonzero(high > radii + 1)
    values: IntArray = high + whole
    if width is not None:
        width[escaped] = 0
        low = channel.bits(width, None if known is None else known & ((1 << width) - 1))
        values = (values << width) + low
    if len(escaped):
        values[escaped] = _code_escapes(None if known is None else known[escaped], escaped, channel)
    fine = not len(values) or (int(values.min()) >= 0 and int(values.max()) < plan.size)
    if known is None and not fine:
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
