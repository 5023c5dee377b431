"""What a masked autoencoder is told and says while a table is coded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import MaskedNetwork
from autoencode.compression.masked_step import NetworkStep, OrderedNetwork
from autoencode.compression.plans import ColumnPlan

__all__ = ["MaskedWalk"]

_STEP_ROWS = 4096
# Predictions are clipped here, in sixteenths.
_FARTHEST = 1 << 56


class MaskedWalk:
    """A network beside a table that becomes known column after column.

    Parameters
    ----------
    network : MaskedNetwork
        The network.
    plans : sequence of ColumnPlan
        Of all columns.
    values : ndarray of int64, shape (n_columns, n_rows)
        The table, in the order of coding; columns that are given are in it.

    Raises
    ------
    DataError
        If the network looks at what is not known in time.
    """

    def __init__(
        self,
        network: MaskedNetwork,
        plans: Sequence[ColumnPlan],
        values: npt.NDArray[np.int64],
    ) -> None:
        network.check(plans)
        self._network, self._plans, self._values = OrderedNetwork(network), plans, values
        self._said: tuple[int, tuple[IntArray, IntArray] | None] = (-1, None)

    def begin(self, before: Sequence[slice]) -> None:
        """Go on to other rows: tell what is known of them from the start.

        Parameters
        ----------
        before : sequence of slice
            These rows, those before them, and so on while there are any.
        """
        rows = self._rows = before[0]
        self._pieces = [
            slice(start, min(start + _STEP_ROWS, rows.stop))
            for start in range(rows.start, rows.stop, _STEP_ROWS)
        ]
        self._steps = [
            NetworkStep(self._network, piece.stop - piece.start) for piece in self._pieces
        ]
        self._innovation = np.zeros(rows.stop - rows.start, np.int64)
        self._has_innovation = False
        self._said = (-1, None)
        for place in self._network.of:
            lag, column = divmod(place, len(self._plans))
            if lag and lag < len(before):
                self._tell(place, self._values[column, before[lag]], None)
            elif not lag and self._plans[column].mode == "given":
                self._tell(place, self._values[column, rows], None)

    def _tell(self, place: int, values: IntArray, innovation: IntArray | None) -> None:
        centre = self._plans[place % len(self._plans)].centre
        for step, piece in zip(self._steps, self._pieces, strict=True):
            own = slice(piece.start - self._rows.start, piece.stop - self._rows.start)
            off = None if innovation is None else innovation[own]
            step.tell(place, values[own] - centre, centre, off)

    def said(
        self, place: int, rows: slice, kept: IntArray | None, linear: IntArray | None
    ) -> tuple[IntArray | None, IntArray | None]:
        """Return predictions in sixteenths, and what to add to scales.

        Parameters
        ----------
        place : int
            Which column.
        rows : slice
            Some of the rows gone on to.
        kept : ndarray of int64 or None
            Which of them are asked for.
        linear : ndarray of int64 or None
            The linear predictions; None if they are the centre.
        """
        if self._said[0] != place:
            self._said = (place, self._all(place))
        found = self._said[1]
        if found is None:
            return linear, None
        own = slice(rows.start - self._rows.start, rows.stop - self._rows.start)
        location, spreads = (part[own] if kept is None else part[own][kept] for part in found)
        start = 16 * self._plans[place].centre if linear is None else linear
        total = location + start
        np.minimum(total, _FARTHEST, out=total)
        return np.maximum(total, -_FARTHEST, out=total), spreads

    def _all(self, place: int) -> tuple[IntArray, IntArray] | None:
        found = [said for step in self._steps if (said := step.say(place)) is not None]
        if not found:
            return None
        locations, spreads = zip(*found, strict=True)
        return np.concatenate(locations), np.concatenate(spreads)

    def heard(
        self, place: int, rows: slice, kept: IntArray | None, linear: IntArray | None
    ) -> None:
        """Take note of a column's values in some rows; after the last of them tell the network."""
        if linear is not None:
            values = self._values[place, rows]
            own = self._innovation[rows.start - self._rows.start :][: len(values)]
            if kept is None:
                own[:] = 16 * values - linear
            else:
                own[:] = 0
                own[kept] = 16 * values[kept] - linear
            self._has_innovation = True
        if rows.stop == self._rows.stop:
            innovation = self._innovation if self._has_innovation else None
            self._tell(place, self._values[place, self._rows], innovation)
            self._innovation[:] = 0
            self._has_innovation = False
