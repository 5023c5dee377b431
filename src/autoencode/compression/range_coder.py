"""Symbols of known frequencies -> words and back: interleaved range asymmetric coding."""

from __future__ import annotations

from collections.abc import Iterator
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
# Of many lanes one in 8 codes the last turns; the others begin with words of these.
_FEWEST_SHARED, _TAIL = 32, 3
# What a tail may add to the turns: one for so many.
_LONGEST_TAIL = 4
_TURN_BYTES, _NO_TAIL = 4, (1 << 32) - 1
# As arrays, which NumPy takes faster than numbers.
_SLOT, _SHIFT, _LEAST = np.array(TOTAL - 1), np.array(_WORD), np.array(_LOWEST)


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

    def locate(self, bases: IntArray, slots: IntArray, out: IntArray) -> None:
        """Find the places of the symbols in whose intervals slots lie."""


class SymbolWriter:
    """Takes symbols in the order in which they will be read, and codes them at the end.

    Parameters
    ----------
    lanes : int
        States that take turns; each costs about four bytes, of 32 or more a little over one.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self._calls: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]] = []

    def put(self, tables: SymbolTables, places: IntArray) -> None:
        """Take one call's symbols, each as its place in the tables."""
        if len(places):
            frequencies = tables.frequencies.take(places).astype(np.uint32)
            self._calls.append((frequencies, tables.cumulative.take(places).astype(np.uint16)))

    def finish(self) -> bytes:
        """Return states and words; ``lanes`` may be half as many then.

        Returns
        -------
        bytes
            Of 32 lanes or more four for the number of turns before the tail; five for each
            lane; then words of two; all little-endian.
        """
        if self.lanes >= 2 * _FEWEST_SHARED:
            with_tail = self._coded(self.lanes >> _TAIL)
            if with_tail is not None:
                return with_tail
            self.lanes //= 2
        found = self._coded(0) or b""
        shared = self.lanes >= _FEWEST_SHARED
        return (_NO_TAIL.to_bytes(_TURN_BYTES, "little") if shared else b"") + found

    def _coded(self, narrow: int) -> bytes | None:
        """Code the last turns on so many lanes; the others begin with words of that tail.

        Without narrow lanes there is no tail. None if words are too few for one, or if it takes
        many turns.
        """
        states = np.full(self.lanes, _LOWEST, np.int64)
        head, words, turns = b"", list[IntArray](), list(self._turns())
        if narrow:
            wanted, most = 2 * (self.lanes - narrow), len(turns) // _LONGEST_TAIL
            n_words = 0
            while n_words < wanted:
                if not turns or len(words) > most:
                    return None
                begun = len(words)
                _push_all(states[:narrow], *turns.pop(0), words)
                n_words += sum(map(len, words[begun:]))
            written = np.concatenate(words)
            words, first = [written[:-wanted]], written[: -wanted - 1 : -1]
            states[narrow:] += first[::2] | first[1::2] << _WORD
            head = len(turns).to_bytes(_TURN_BYTES, "little")
        for turn in turns:
            _push_all(states, *turn, words)
        head += states.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_STATE_BYTES].tobytes()
        tail = np.concatenate(words)[::-1] if words else np.empty(0, np.uint16)
        return head + tail.astype("<u2").tobytes()

    def _turns(self) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]]:
        """Yield what takes a turn together, the last first."""
        for frequencies, cumulative in reversed(self._calls):
            last = (len(frequencies) - 1) // self.lanes * self.lanes
            for start in range(last, -1, -self.lanes):
                piece = slice(start, start + self.lanes)
                yield frequencies[piece], cumulative[piece]


def _push_all(
    states: IntArray,
    frequencies: npt.NDArray[np.uint32],
    cumulative: npt.NDArray[np.uint16],
    words: list[IntArray],
) -> None:
    """Code the symbols of one turn on these lanes, and collect the words that leave."""
    for start in reversed(range(0, len(frequencies), len(states))):
        piece = slice(start, start + len(states))
        words.append(_push(states, frequencies[piece].astype(np.int64), cumulative[piece]))


def _push(states: IntArray, frequencies: IntArray, cumulative: npt.NDArray[np.uint16]) -> IntArray:
    """Code one symbol on each of the first lanes; return the words that leave, the last first."""
    active = states[: len(frequencies)]
    full = (active >= frequencies << (40 - PRECISION)).nonzero()[0]
    held = active.take(full)
    active[full] = held >> _SHIFT
    quotient = active // frequencies
    # The quotient moves up by 16 bits, the rest and the sum before stand below.
    active += quotient * (TOTAL - frequencies)
    active += cumulative
    held &= _SLOT
    return held[::-1]


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
        begin = _TURN_BYTES if lanes >= _FEWEST_SHARED else 0
        head = begin + lanes * _STATE_BYTES
        if len(data) < head or (len(data) - head) % 2 or lanes < 1:
            raise DataError("the coded symbols are cut off")
        states = np.zeros((lanes, 8), np.uint8)
        count = lanes * _STATE_BYTES
        states[:, :_STATE_BYTES] = np.frombuffer(data, np.uint8, count, begin).reshape(lanes, -1)
        self._states = states.view("<u8").ravel().astype(np.int64)
        self._words = np.frombuffer(data, "<u2", offset=head).astype(np.int64)
        self._place = 0
        self.lanes = self._step = lanes
        self._turns = int.from_bytes(data[:begin], "little") if begin else _NO_TAIL
        self._has_tail = self._turns != _NO_TAIL

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
        for start in range(0, len(chosen), self.lanes):
            if not self._turns:
                self._begin_tail()
            self._turns -= 1
            for at in range(start, min(start + self.lanes, len(chosen)), self._step):
                stop = min(at + self._step, start + self.lanes)
                self._turn(tables, bases[at:stop], found[at:stop])
        return found

    def _turn(self, tables: SymbolTables, bases: IntArray, place: IntArray) -> None:
        """Read one symbol from each of the first lanes."""
        active = self._states[: len(place)]
        slots = np.bitwise_and(active, _SLOT)
        tables.locate(bases, slots, place)
        active >>= _SHIFT
        active *= tables.frequencies.take(place)
        slots -= tables.cumulative.take(place)
        active += slots
        empty = np.less(active, _LEAST).nonzero()[0]
        if not len(empty):
            return
        stop = self._place + len(empty)
        if stop > len(self._words):
            raise DataError("the coded symbols end too early")
        moved = active.take(empty)
        moved <<= _SHIFT
        moved += self._words[self._place : stop]
        active[empty] = moved
        self._place = stop

    def _begin_tail(self) -> None:
        """Take two words from each lane that goes no further."""
        self._step = self.lanes >> _TAIL
        held = self._states[self._step :] - _LOWEST
        if held.min() < 0 or int(held.max()) >> 2 * _WORD:
            raise DataError("the coded symbols are damaged")
        words = np.stack([held & (TOTAL - 1), held >> _WORD], axis=1).ravel()
        self._words = np.concatenate([words, self._words[self._place :]])
        self._place = 0
        self._states = self._states[: self._step]

    def finish(self) -> None:
        """Check that everything was read and all states are where they began."""
        begun = self._step < self.lanes
        whole = self._place == len(self._words) and begun == self._has_tail
        if not whole or (self._states != _LOWEST).any():
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
        self._windows = np.ndarray((len(data) + 1,), "<i8", data + bytes(8), strides=(1,))
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
        found: IntArray = self._windows[starts >> 3]
        # At most 63 bits count: what a sign shifts in does not.
        found >>= starts & 7
        found &= (1 << widths) - 1
        return found

    def finish(self) -> None:
        """Check that everything was read."""
        if self._size - self._place >= 8:
            raise DataError("the stored bits are damaged")
