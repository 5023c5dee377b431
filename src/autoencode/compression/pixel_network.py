"""A small network of a pixel's neighbours in whole numbers: what value comes next.

It sees pixels above and to the left, what stands on the other side of the picture, and
means of what came before, all as differences from a linear prediction. It says where the
value lies, how surely, and how likely it is 0. Whole numbers and sums below 2**53 held in
float64 are exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.packing import join, pack_integers, split, unpack_integers
from autoencode.compression.plans import require, within
from autoencode.compression.stored_weights import load_weights, store_weights

__all__ = [
    "AROUND",
    "N_INPUTS",
    "PICTURE_INPUTS",
    "UNIT",
    "WEIGHT_BITS",
    "PictureRows",
    "PixelNetwork",
]

FloatArray = npt.NDArray[np.float64]

# Steps to neighbours: rows and places.
AROUND = tuple(
    [(0, step) for step in range(-4, 0)]
    + [(-1, step) for step in range(-3, 4)]
    + [(-2, step) for step in range(-3, 4)]
    + [(-3, step) for step in range(-2, 3)]
)
# Beside them: two pixels of the other side, means of the row above and of all rows above.
PICTURE_INPUTS = len(AROUND) + 4
# And the prediction, the row and the place.
N_INPUTS = PICTURE_INPUTS + 3
N_OUTPUTS = 3
# Inputs and activations count in 1/256, weights in 1/32.
UNIT, WEIGHT_BITS = 256, 5
_MARGIN = 4
_LARGEST_INPUT, _LARGEST_UNIT, _LARGEST_OUTPUT = 8 * UNIT - 1, 16 * UNIT - 1, 1 << 20
_MOST_UNITS = 512


@dataclass(frozen=True)
class PixelNetwork:
    """The network, and the linear prediction that it starts from.

    Attributes
    ----------
    size : int
        Values lie in [0, size).
    linear : ndarray of int64, shape (n_around + 1,)
        Weights of neighbours, then what is added: 4096 stands for 1.
    scale : int
        The usual distance from the linear prediction in sixteenths: the unit of locations.
    weights : tuple of ndarray of float64
        Of each layer, ``(n_out, n_in)``. All are whole numbers.
    biases : tuple of ndarray of float64
        Of each layer.
    """

    size: int
    linear: IntArray
    scale: int
    weights: tuple[FloatArray, ...]
    biases: tuple[FloatArray, ...]

    def inputs(self, seen: IntArray, row: float, place: float) -> tuple[IntArray, IntArray]:
        """Return the linear prediction in sixteenths, and inputs in 1/256.

        Parameters
        ----------
        seen : ndarray of int64, shape (PICTURE_INPUTS, n)
            Neighbours, the other side and means.
        row, place : int or ndarray of int64, shape (n,)
            Where in the picture, from 0 to 1024.
        """
        around = seen[: len(AROUND)].astype(np.float64)
        total = self.linear[:-1].astype(np.float64) @ around
        total += float(self.linear[-1]) * self.size
        predictions = np.clip(np.floor(total / 256), 0, 16 * self.size - 1).astype(np.int64)
        found = np.empty((N_INPUTS, seen.shape[1]), np.int64)
        base = (predictions + 8) >> 4
        np.subtract(seen, base, out=found[:PICTURE_INPUTS])
        found[:PICTURE_INPUTS] *= max(1, 4096 // self.size)
        np.clip(found, -_LARGEST_INPUT, _LARGEST_INPUT, out=found)
        found[-3] = base * 1024 // self.size
        found[-2], found[-1] = row, place
        return predictions, found

    def outputs(self, inputs: IntArray) -> IntArray:
        """Return location, spread and the odds of 0, each ``(n,)``, in 1/256."""
        values: FloatArray = inputs.astype(np.float64)
        last = len(self.weights) - 1
        for at, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = weights @ values
            values += bias[:, None]
            values *= 2.0**-WEIGHT_BITS
            np.floor(values, out=values)
            low, high = (-_LARGEST_OUTPUT, _LARGEST_OUTPUT) if at == last else (0, _LARGEST_UNIT)
            np.clip(values, low, high, out=values)
        return values.astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return sizes, the linear prediction and the weights."""
        units = [len(bias) for bias in self.biases[:-1]]
        numbers = [self.scale, len(units), *units, *self.linear.tolist()]
        head = len(numbers).to_bytes(4, "little") + pack_integers(np.array(numbers, np.int64))
        groups = [
            group.ravel() for pair in zip(self.weights, self.biases, strict=True) for group in pair
        ]
        return join([head, store_weights([group.astype(np.int64) for group in groups])])

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> PixelNetwork:
        """Read what `to_bytes` returned, checked.

        Raises
        ------
        DataError
            If it is damaged.
        """
        head, stored = split(data, 2)
        count = int.from_bytes(head[:4], "little")
        require(count <= 64, "a network claims to be too large")
        numbers = unpack_integers(head[4:], count).tolist()
        require(count >= 2, "a network is cut off")
        scale = within(numbers[0], 1, 1 << 20, "a scale")
        n_layers = within(numbers[1], 1, 4, "the number of layers")
        require(count == 2 + n_layers + len(AROUND) + 1, "a network is cut off")
        units = [within(n, 1, _MOST_UNITS, "the number of units") for n in numbers[2:][:n_layers]]
        linear = [within(n, -(1 << 20), 1 << 20, "a weight") for n in numbers[2 + n_layers :]]
        widths = [N_INPUTS, *units, N_OUTPUTS]
        counts = []
        for wide, narrow in pairwise(widths):
            counts += [wide * narrow, narrow]
        groups = [group.astype(np.float64) for group in load_weights(stored, counts)]
        shapes = zip(widths[1:], widths[:-1], strict=True)
        weights = tuple(
            group.reshape(shape) for group, shape in zip(groups[::2], shapes, strict=True)
        )
        return cls(size, np.array(linear, np.int64), scale, weights, tuple(groups[1::2]))


class PictureRows:
    """Pictures as they become known, pixel after pixel, all side by side.

    Parameters
    ----------
    n_pictures, rows, width : int
        Their number and size.
    """

    def __init__(self, n_pictures: int, rows: int, width: int) -> None:
        self.rows, self.width = rows, width
        # Pixels of one place lie side by side: what is read together is one piece.
        self._values = np.zeros((rows + 3, width + 2 * _MARGIN, n_pictures), np.int64)
        self._above = np.zeros(n_pictures, np.int64)
        self._row_sum = np.zeros(n_pictures, np.int64)

    def begin_row(self, row: int) -> None:
        """Go on to a row: the one before is known."""
        inner = self._values[row + 2, _MARGIN : _MARGIN + self.width]
        self._row_sum = inner.sum(axis=0) if row else np.zeros_like(self._above)
        self._above += self._row_sum

    def seen(self, row: int, place: int) -> IntArray:
        """Return what a pixel's network sees, ``(PICTURE_INPUTS, n_pictures)``."""
        values = self._values
        found = np.empty((PICTURE_INPUTS, values.shape[2]), np.int64)
        for at, (down, right) in enumerate(AROUND):
            found[at] = values[row + 3 + down, _MARGIN + place + right]
        other = self.width - 1 - place
        for at, across in ((-4, other), (-3, other + 1)):
            down = 0 if across < place else -1
            found[at] = values[row + 3 + down, _MARGIN + across]
        found[-2] = self._row_sum // self.width
        found[-1] = self._above // (self.width * max(row, 1))
        return found

    def put(self, row: int, place: int, values: IntArray) -> None:
        """Take the pixels of one place."""
        self._values[row + 3, _MARGIN + place] = values

    @property
    def pictures(self) -> IntArray:
        """All pixels, ``(n_pictures, rows, width)``."""
        inner = self._values[3:, _MARGIN : _MARGIN + self.width]
        return np.ascontiguousarray(np.moveaxis(inner, 2, 0))


def positions(rows: int, width: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return rows and places as the network is told them, from 0 to 1024."""
    return [1024 * row // rows for row in range(rows)], [
        1024 * place // width for place in range(width)
    ]
