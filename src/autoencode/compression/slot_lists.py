"""Which symbol's interval a slot of a table lies in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SlotLists"]

_PRECISION = 16
IntArray = npt.NDArray[np.int64]


class SlotLists:
    """Finds symbols of tables that stand one after the other.

    Slots are cut into even pieces, of which the first symbol is listed: small lists stay in a
    cache. Where another one lies in a piece, it is searched for.

    Parameters
    ----------
    n_symbols, n_tables : int
        Of all tables; how many these are.
    bits : int
        A table has 2 to this power pieces.
    dtype : type
        Of the lists: it must hold the number of symbols.
    """

    def __init__(self, n_symbols: int, n_tables: int, bits: int, dtype: type) -> None:
        # Where symbols begin, counted on from table to table.
        self._edges = np.full(n_symbols + 1, n_tables << _PRECISION, np.int64)
        self._firsts: npt.NDArray[Any] = np.zeros((n_tables, 1 << bits), dtype)
        self._shift = np.array(_PRECISION - bits)

    def n_pieces(self, edges: IntArray) -> IntArray:
        """Return how many pieces of slots begin before each of these places."""
        found: IntArray = edges + ((1 << int(self._shift)) - 1) >> self._shift
        return found

    def bases(self, tables: IntArray) -> IntArray:
        """Return where the slots of each symbol's table begin."""
        return tables << _PRECISION

    def locate(self, bases: IntArray, slots: IntArray, out: IntArray) -> None:
        """Find the places of the symbols in whose intervals slots lie."""
        wanted = bases + slots
        np.copyto(out, self._firsts.take(wanted >> self._shift))
        beyond = (self._edges[1:].take(out) <= wanted).nonzero()[0]
        if len(beyond):
            out[beyond] = self._edges.searchsorted(wanted.take(beyond), side="right") - 1
