"""Symbols of known frequencies -> words and back: interleaved range asymmetric coding."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import PRECISION, TOTAL, IntArray
from autoencode.errors import DataError

__all__ = ["BitReader", "BitWriter", "SymbolReader", "SymbolTables", "SymbolWriter"]

# A state is at least 2**24 and below 2**40; 16 bits move at a time. (Duda, 2013,
# arXiv:1311.2540, section 3.2: "range variants"; one state per lane as in Giesen, 2014,
# arXiv:1402.3392.)
_LOWEST = 1 << 24
_WORD = 16
_STATE_BYTES = 5
_LONGEST_BITS = 56


class SymbolTables(Protocol):
    """Tables of frequencies, and how a slot's symbol is found.

    Attributes
    ----------
    frequencies, cumulative : ndarray of int64
        Of all tables, one after the other; the second is the sum of those before a symbol
        in its own table.
    """

    frequencies: IntArray
    cumulative: IntArray

    def bases(self, tables: IntArray) -> IntArray:
        """Return what `locate` needs to know of each symbol's table."""

    def locate(self, bases: IntArray, slots: IntArray) -> IntArray:
        """Return the places of the symbols in whose intervals slots lie."""


class SymbolWriter:
    """Takes symbols in the order in which they will be read, and codes them at the end.

    Parameters
    ----------
    lanes : int
        States that take turns; each costs about four bytes.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._calls: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]] = []

    def put(self, tables: SymbolTables, places: IntArray) -> None:
        """Take one call's symbols, each as its place in the tables."""
        if len(places):
            frequencies = tables.frequencies[places].astype(np.uint32)
            self._calls.append((frequencies, tables.cumulative[places].astype(np.uint16)))

    def finish(self) -> bytes:
        """Return states and words.

        Returns
        -------
        bytes
            Five bytes for each lane, then words of two, all little-endian.
        """
        states = np.full(self.lanes, _LOWEST, np.int64)
        words: list[npt.NDArray[np.uint16]] = []
        for small, cumulative in reversed(self._calls):
            frequencies = small.astype(np.int64)
            limits = frequencies << (40 - PRECISION)
            last = (len(frequencies) - 1) // self.lanes * self.lanes
            for start in range(last, -1, -self.lanes):
                piece = slice(start, start + self.lanes)
                frequency = frequencies[piece]
                active = states[: len(frequency)]
                full = np.flatnonzero(active >= limits[piece])
                if len(full):
                    held = active[full]
                    words.append(held.astype(np.uint16)[::-1])
                    active[full] = held >> _WORD
                quotient = active // frequency
                # The quotient moves up by 16 bits, the rest and the sum before stand below.
                active += quotient * (TOTAL - frequency)
                active += cumulative[piece]
        head = states.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_STATE_BYTES].tobytes()
        tail = np.concatenate(words)[::-1] if words else np.empty(0, np.uint16)
        return head + tail.astype("<u2").tobytes()


class SymbolReader:
    """Reads what a `SymbolWriter` wrote, in the same calls.

    Parameters
    ----------
    data : bytes
        As `SymbolWriter.finish` returned it.
    lanes : int
        As it was written.

    Raises
    ------
    DataError
        If it is shorter than its states.
    """

    def __init__(self, data: bytes, lanes: int) -> None:
        head = lanes * _STATE_BYTES
        if len(data) < head or (len(data) - head) % 2 or lanes < 1:
            raise DataError("the coded symbols are cut off")
        states = np.zeros((lanes, 8), np.uint8)
        states[:, :_STATE_BYTES] = np.frombuffer(data, np.uint8, head).reshape(lanes, -1)
        self._states = states.view("<u8").ravel().astype(np.int64)
        self._words = np.frombuffer(data, "<u2", offset=head).astype(np.int64)
        self._place = 0
        self.lanes = lanes

    def take(self, tables: SymbolTables, chosen: IntArray) -> IntArray:
        """Read one call's symbols.

        Parameters
        ----------
        tables : SymbolTables
            What the symbols are of.
        chosen : ndarray of int64, shape (n_symbols,)
            The table of each symbol.

        Returns
        -------
        ndarray of int64, shape (n_symbols,)
            Places in the tables.
        """
        found = np.empty(len(chosen), np.int64)
        bases = tables.bases(chosen)
        frequencies, cumulative = tables.frequencies, tables.cumulative
        for start in range(0, len(chosen), self.lanes):
            base = bases[start : start + self.lanes]
            active = self._states[: len(base)]
            slots = active & (TOTAL - 1)
            place = tables.locate(base, slots)
            found[start : start + self.lanes] = place
            active >>= PRECISION
            active *= frequencies.take(place)
            active += slots
            active -= cumulative.take(place)
            empty = np.flatnonzero(active < _LOWEST)
            if len(empty):
                self._refill(active, empty)
        return found

    def _refill(self, active: IntArray, empty: IntArray) -> None:
        words = self._words[self._place : self._place + len(empty)]
        if len(words) < len(empty):
            raise DataError("the coded symbols end too early")
        self._place += len(empty)
        active[empty] = (active[empty] << _WORD) | words

    def finish(self) -> None:
        """Check that everything was read and all states are where they began."""
        if self._place != len(self._words) or (self._states != _LOWEST).any():
            raise DataError("the coded symbols are damaged")


class BitWriter:
    """Collects numbers of given widths in bits."""

    def __init__(self) -> None:
        self._calls: list[tuple[IntArray, IntArray]] = []

    def put(self, values: IntArray, widths: IntArray) -> None:
        """Take numbers in [0, 2 ** width), widths at most 56."""
        self._calls.append((values, widths))

    def finish(self) -> bytes:
        """Return the bits, the lowest of each number first."""
        if not self._calls:
            return b""
        values = np.concatenate([call[0] for call in self._calls])
        widths = np.concatenate([call[1] for call in self._calls])
        ends = np.cumsum(widths)
        total = int(ends[-1]) if len(ends) else 0
        bits = np.zeros(total, np.uint8)
        starts = ends - widths
        for bit in range(int(widths.max(initial=0))):
            wide = widths > bit
            bits[starts[wide] + bit] = (values[wide] >> bit) & 1
        return np.packbits(bits, bitorder="little").tobytes()


class BitReader:
    """Reads what a `BitWriter` wrote, in the same calls."""

    def __init__(self, data: bytes) -> None:
        self._size = 8 * len(data)
        # Eight bytes from every place on, without a copy for each.
        self._windows = np.ndarray((len(data) + 1,), "<u8", data + bytes(8), strides=(1,))
        self._place = 0

    def take(self, widths: IntArray) -> IntArray:
        """Read one number for each width."""
        if not widths.any():
            return np.zeros(len(widths), np.int64)
        ends = self._place + np.cumsum(widths)
        starts = ends - widths
        self._place = int(ends[-1])
        if self._place > self._size or widths.max() > _LONGEST_BITS:
            raise DataError("the stored bits end too early")
        window = self._windows[starts >> 3] >> (starts & 7).astype(np.uint64)
        mask = (np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1)
        found: IntArray = (window & mask).astype(np.int64)
        return found

    def finish(self) -> None:
        """Check that everything was read."""
        if self._size - self._place >= 8:
            raise DataError("the stored bits are damaged")
