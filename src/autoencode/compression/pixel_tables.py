"""Adaptive tables of pixel values that begin as a network expects them."""

from __future__ import annotations

import numpy as np

from autoencode.compression.column_coding import Channel, LevelTables
from autoencode.compression.frequencies import (
    FRACTIONS,
    SCALES,
    TOTAL,
    IntArray,
    normalised,
    shape_tables,
)
from autoencode.compression.pixel_network import Matrix

__all__ = ["ExpectedTables", "PixelTables", "spread_of"]

_FAMILY = "logistic"
# Spreads are told apart by half octaves: every second of the frozen scales.
_SPREADS = 13
# By how many bits a location in sixteenths is cut for each of them.
_CUTS = (3, 3, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6)
# Odds of 0 are told apart by fourths of a natural logarithm, up to 6 either way: the chance
# of the less likely of two for each, in 1/65536.
_ODDS_CUT = 6
_CHANCES = (
    32768, 28693, 24743, 21025, 17625, 14595, 11955, 9702, 7812, 6249, 4971, 3938, 3108, 2446,
    1921, 1506, 1179, 922, 720, 562, 439, 342, 267, 208, 162,
)  # fmt: skip
# Values that what the network expects counts like.
_EXPECTED_ZERO, _EXPECTED = 24, 48
_REBUILT_SHARE, _REBUILT_AFTER = 8, 2048


class ExpectedTables(LevelTables):
    """Adaptive tables that begin as expected.

    Parameters
    ----------
    expected : ndarray of int64, shape (n_tables, size)
        Weights; each row sums to about `TOTAL`.
    count : int
        As how many values they count.
    """

    def __init__(self, expected: IntArray, count: int) -> None:
        self._expected, self._unit = expected, TOTAL // count
        self._counted = np.full(len(expected), -1, np.int64)
        super().__init__(*expected.shape)

    def _is_due(self) -> bool:
        return self._seen - self._built > max(_REBUILT_AFTER, self._built // _REBUILT_SHARE)

    def _build(self) -> None:
        """Make the tables anew that values were added to."""
        before = self._counted
        counts = self.counts.sum(axis=1)
        grown = np.flatnonzero(counts != before)
        made = normalised(self._counts[grown] * self._unit + self._expected[grown])
        self._renew(grown, made)
        self._built, self._counted = self._seen, counts


class PixelTables:
    """Whether a pixel is 0, by the odds of it; else a table by spread and location.

    Parameters
    ----------
    size : int
        Values lie in [0, size).
    scale : int
        The usual distance from the linear prediction, in sixteenths.
    """

    def __init__(self, size: int, scale: int) -> None:
        self.size, self.scale = size, scale
        self._cuts = np.array(_CUTS, np.int64)
        per_spread = np.array([_n_places(size, cut) for cut in _CUTS], np.int64)
        self._starts = np.cumsum([0, *per_spread[:-1]])
        self._base_spread = spread_of(scale)
        least = np.array([*_CHANCES[:0:-1], *_CHANCES], np.int64)
        least[: len(_CHANCES) - 1] = TOTAL - least[: len(_CHANCES) - 1]
        self._zero = ExpectedTables(np.stack([TOTAL - least, least], 1), _EXPECTED_ZERO)
        self._above = ExpectedTables(self._shapes(int(per_spread.sum())), _EXPECTED)

    def code(
        self, predictions: Matrix, outputs: Matrix, known: IntArray | None, channel: Channel
    ) -> IntArray:
        """Code pixels, and learn from them; return them.

        Parameters
        ----------
        predictions : ndarray
            Linear ones, in sixteenths: whole numbers.
        outputs : ndarray, shape (3, n)
            What the network says: whole numbers.
        known : ndarray of int64 or None
            The pixels, when writing.
        channel : Channel
            Where they go to or come from.
        """
        farthest = len(_CHANCES) - 1
        odds = outputs[2].astype(np.int64) + (1 << _ODDS_CUT >> 1) >> _ODDS_CUT
        odds = np.minimum(np.maximum(odds, -farthest), farthest)
        above = None if known is None else np.minimum(known, 1)
        found = self._zero.code(odds + farthest, above, channel)
        rows = np.flatnonzero(found)
        if len(rows):
            location, spread = (line.take(rows).astype(np.int64) for line in outputs[:2])
            location *= self.scale
            location >>= 8
            location += predictions.take(rows).astype(np.int64)
            location = np.minimum(np.maximum(location, 0), 16 * self.size - 1)
            turned = self._base_spread + ((2 * spread + 128) >> 8)
            spread = np.minimum(np.maximum(turned, 0), _SPREADS - 1)
            contexts = self._starts.take(spread) + (location + 8 >> self._cuts.take(spread))
            wanted = None if known is None else known[rows]
            found[rows] = self._above.code(contexts, wanted, channel)
        return found

    def _shapes(self, n_tables: int) -> IntArray:
        """Return what the network expects in each table: the frozen shapes above 0."""
        shapes = shape_tables(_FAMILY)
        found = np.zeros((n_tables, self.size), np.int64)
        for spread, cut in enumerate(_CUTS):
            first = (2 * spread + 4) * FRACTIONS
            radius, n_places = int(shapes.radii[first]), _n_places(self.size, cut)
            places = np.arange(n_places)
            middles = np.maximum(0, (places << cut) + (1 << cut >> 1) - 8)
            starts = shapes.starts[first + ((middles & 15) * FRACTIONS >> 4)]
            steps = np.arange(2 * radius + 2)
            values = (middles >> 4)[:, None] + steps - radius
            cells = places[:, None] * self.size + np.minimum(values, self.size - 1)
            own = shapes.frequencies[starts[:, None] + steps]
            sums = np.bincount(cells[values > 0], own[values > 0], n_places * self.size)
            whole = sums.astype(np.int64).reshape(n_places, self.size)
            found[self._starts[spread] : self._starts[spread] + n_places] = whole
        found[:, 1:] += 1
        shares: IntArray = found * TOTAL // found.sum(axis=1, keepdims=True)
        return shares


def _n_places(size: int, cut: int) -> int:
    return (16 * size + 7 >> cut) + 1


def spread_of(scale: int) -> int:
    """Return which spread a distance in sixteenths is like: its standard deviation is 1.8."""
    return int(np.searchsorted(SCALES[5 : 4 + 2 * _SPREADS : 2], scale * 320 // 9))
