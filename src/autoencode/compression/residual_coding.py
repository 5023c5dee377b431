"""Values as what predictions leave -> symbols of frozen tables and bits, and back."""

from __future__ import annotations

from functools import cache

import numpy as np

from autoencode.compression.column_coding import Channel
from autoencode.compression.frequencies import (
    ESCAPED,
    FRACTIONS,
    SCALES,
    IntArray,
    ShapeTables,
    shape_tables,
    shifted,
)
from autoencode.compression.plans import LARGEST_SCALE, ColumnPlan
from autoencode.errors import DataError

__all__ = ["ResidualCoder"]

_WIDTH_BITS = 6
# Fourths of the sixteenths of a prediction choose a table.
_FOURTH, _FOURTHS, _WHOLE = np.array(2), np.array(FRACTIONS - 1), np.array(4)


class ResidualCoder:
    """Codes one column's values.

    Parameters
    ----------
    plan : ColumnPlan
        Family, scales and size are used.
    """

    def __init__(self, plan: ColumnPlan) -> None:
        self._tables = shape_tables(plan.family)
        self._size, self._centre = plan.size, plan.centre
        self._scales = np.array(plan.scales, np.int64)
        bases, self._widths = shifted(self._scales)
        self._bases = bases * FRACTIONS
        self._wide = bool(self._widths.any())

    def code(
        self,
        contexts: IntArray | None,
        predictions: IntArray,
        spreads: IntArray | None,
        known: IntArray | None,
        channel: Channel,
    ) -> IntArray:
        """Code values, and return them.

        Parameters
        ----------
        contexts : ndarray of int64 or None
            Which of the plan's scales each has; None if there is but one.
        predictions : ndarray of int64
            In sixteenths.
        spreads : ndarray of int64 or None
            What is added to scales.
        known : ndarray of int64 or None
            The values, when writing.
        channel : Channel
            Where they go to or come from.

        Raises
        ------
        DataError
            If one read is not in [0, size).
        """
        base, width = self._of_scales(contexts, spreads)
        place = predictions
        if width is not None:
            # The prediction counts in steps of 2 ** width, like what is coded by tables.
            place = predictions >> width
        chosen = np.right_shift(place, _FOURTH)
        chosen &= _FOURTHS
        chosen += base
        whole = np.right_shift(place, _WHOLE)
        symbols = None
        if known is not None:
            high = (known if width is None else known >> width) - whole
            symbols = _symbols(self._tables, chosen, high)
        symbols = channel.symbols(self._tables, chosen, symbols)
        values: IntArray = self._tables.residuals.take(symbols)
        values += whole
        if width is not None:
            width = width if width.ndim else np.full(len(values), width)
            return self._with_bits(values, width, known, channel)
        if self._fine(values):
            return values
        return self._escaped(values, np.flatnonzero(values >= ESCAPED >> 1), known, channel)

    def _of_scales(
        self, contexts: IntArray | None, spreads: IntArray | None
    ) -> tuple[IntArray, IntArray | None]:
        """Return where tables of each begin, and how many low bits each has, if any has."""
        if spreads is None:
            which = np.zeros((), np.int64) if contexts is None else contexts
            width = self._widths.take(which) if self._wide else None
            return self._bases.take(which), width
        scales = spreads + (self._scales[0] if contexts is None else self._scales.take(contexts))
        np.maximum(scales, 0, out=scales)
        np.minimum(scales, LARGEST_SCALE, out=scales)
        bases, widths = _all_scales()
        wide = int(scales.max()) >= len(SCALES)
        return bases.take(scales), widths.take(scales) if wide else None

    def _fine(self, values: IntArray) -> bool:
        """Tell whether all are in [0, size): seen as unsigned, negative ones are large."""
        return not len(values) or int(values.view(np.uint64).max()) < self._size

    def _with_bits(
        self, values: IntArray, width: IntArray, known: IntArray | None, channel: Channel
    ) -> IntArray:
        """Code the low bits, too, of all values that did not escape."""
        escaped = np.flatnonzero(values >= ESCAPED >> 1)
        if len(escaped):
            width[escaped] = values[escaped] = 0
        values <<= width
        values += channel.bits(width, None if known is None else known & ((1 << width) - 1))
        return self._escaped(values, escaped, known, channel)

    def _escaped(
        self, values: IntArray, places: IntArray, known: IntArray | None, channel: Channel
    ) -> IntArray:
        """Code what tables have no symbol for as such: the length in bits, then the bits."""
        if len(places):
            wanted = None if known is None else known[places]
            widths = None
            if wanted is not None:
                widths = np.frexp(wanted.astype(np.float64))[1].astype(np.int64)
            widths = channel.bits(np.full(len(places), _WIDTH_BITS, np.int64), widths)
            values[places] = channel.bits(widths, wanted)
        if known is None and not self._fine(values):
            raise DataError("the coded values are damaged: one is out of its range")
        return values


@cache
def _all_scales() -> tuple[IntArray, IntArray]:
    """Return where the tables of every scale begin, and how many low bits are stored."""
    bases, widths = shifted(np.arange(LARGEST_SCALE + 1))
    return bases * FRACTIONS, widths


def _symbols(tables: ShapeTables, chosen: IntArray, high: IntArray) -> IntArray:
    """Return places in tables of what is left."""
    radii, zeros = tables.radii.take(chosen), tables.zeros.take(chosen)
    # Seen as unsigned, what is below is beyond.
    outside = (high + radii).view(np.uint64) > (2 * radii + 1).view(np.uint64)
    high[outside] = radii[outside] + 2
    high += zeros
    return high
