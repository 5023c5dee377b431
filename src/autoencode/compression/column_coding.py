"""One column's integers -> symbols of tables, in either direction by the same steps."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from autoencode.compression.frequencies import PRECISION, IntArray, normalised
from autoencode.compression.range_coder import (
    BitReader,
    BitWriter,
    SymbolReader,
    SymbolTables,
    SymbolWriter,
)
from autoencode.compression.slot_lists import SlotLists

__all__ = ["Channel", "LevelTables", "ReadingChannel", "WritingChannel"]

# Tables are made anew once half as much again was coded.
_REBUILT_SHARE = 2
# Counts that the column's own distribution, and an even one, weigh in each context.
_OWN, _EVEN = 2, 1
# Pieces of slots whose first symbol is listed: of one table as a power of 2, and of all.
_FINEST, _MOST_PIECES = 10, 1 << 20


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

    def finish(self) -> tuple[bytes, bytes]:
        """Return symbols and bits; how many lanes there are is certain then."""
        return self.writer.finish(), self.bit_writer.finish()


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


class LevelTables(SlotLists):
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
        As `SymbolTables` has them.
    """

    def __init__(self, n_contexts: int, size: int, counts: IntArray | None = None) -> None:
        self.size = size
        self._counts = np.zeros((n_contexts, size), np.int64)
        if counts is not None:
            self._counts[:, : counts.shape[1]] = counts
        self._waiting: list[IntArray] = []
        self._seen = int(self._counts.sum())
        self.frequencies = np.zeros(n_contexts * size, np.int64)
        self.cumulative = np.zeros(n_contexts * size, np.int64)
        most = (_MOST_PIECES // n_contexts).bit_length() - 1
        bits = max(0, min(most, size.bit_length() + 2, _FINEST))
        super().__init__(n_contexts * size, n_contexts, bits, np.int32)
        self._build()

    @property
    def counts(self) -> IntArray:
        """How often each symbol was coded in each context, ``(n_contexts, size)``."""
        if self._waiting:
            found = np.bincount(np.concatenate(self._waiting), minlength=self._counts.size)
            self._counts += found.reshape(self._counts.shape)
            self._waiting.clear()
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
        if self._is_due():
            self._build()
        starts = contexts * self.size
        places = channel.symbols(self, contexts, None if known is None else starts + known)
        self._waiting.append(places)
        self._seen += len(places)
        return places - starts

    def _is_due(self) -> bool:
        grown = self._seen - self._built
        return grown > 0 and grown >= self._built // _REBUILT_SHARE

    def _build(self) -> None:
        counts = self.counts
        own = counts.sum(axis=0)
        unit = 4 * self.size
        weights = unit * counts
        weights += unit * _OWN * own // max(1, self._seen) + 4 * _EVEN
        self._renew(np.arange(len(counts)), normalised(weights))
        self._built = self._seen

    def _renew(self, tables: IntArray, frequencies: IntArray) -> None:
        """Put frequencies, of shape (n_tables, size), in the place of those of some tables."""
        shape = self._counts.shape
        self.frequencies.reshape(shape)[tables] = frequencies
        ends = np.cumsum(frequencies, axis=1)
        before = ends - frequencies
        self.cumulative.reshape(shape)[tables] = before
        self._edges[:-1].reshape(shape)[tables] = before + (tables[:, None] << PRECISION)
        n_pieces = self.n_pieces(ends) - self.n_pieces(before)
        places = (tables[:, None] * self.size + np.arange(self.size)).astype(np.int32)
        found = np.repeat(places.ravel(), n_pieces.ravel())
        self._firsts[tables] = found.reshape(len(tables), -1)
