"""A small network of a pixel's neighbours in whole numbers: what value comes next.

It sees pixels above and to the left, what stands on the other side of the picture, and
means of what came before, all as differences from a linear prediction. It says where the
value lies, how surely, and how likely it is 0. Whole numbers and sums below 2**24 held in
float32, or below 2**53 in float64, are exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

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
    "Matrix",
    "PictureRows",
    "PixelNetwork",
]

FloatArray = npt.NDArray[np.float64]
Matrix = npt.NDArray[Any]

# Steps to neighbours: rows, the first place and the one after the last.
_BLOCKS = ((0, -4, 0), (-1, -3, 4), (-2, -3, 4), (-3, -2, 3))
AROUND = tuple((down, step) for down, first, stop in _BLOCKS for step in range(first, stop))
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
_EXACT = 1 << 24
# Pixels taken together: what they make of a layer fits a cache.
_TOGETHER = 1024


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

    def inputs(self, seen: Matrix, row: float, place: float) -> tuple[Matrix, Matrix]:
        """Return the linear prediction in sixteenths, and inputs in 1/256.

        Parameters
        ----------
        seen : ndarray of float32, shape (PICTURE_INPUTS, n)
            Neighbours, the other side and means.
        row, place : int
            Where in the picture, from 0 to 1024.
        """
        # In sixteenths a weight of 4096 is 16.
        predictions = self._linear[:-1] @ seen[: len(AROUND)]
        predictions += self._linear[-1] * self.size
        np.floor(predictions, out=predictions)
        _clip(predictions, 0, 16 * self.size - 1)
        base = predictions + 8
        base *= 1 / 16
        np.floor(base, out=base)
        found = np.empty((N_INPUTS, seen.shape[1]), np.float32)
        beside = np.subtract(seen, base, out=found[:PICTURE_INPUTS])
        beside *= max(1, 4096 // self.size)
        _clip(beside, -_LARGEST_INPUT, _LARGEST_INPUT)
        base *= 1024
        base /= self.size
        np.floor(base, out=found[-3])
        found[-2], found[-1] = row, place
        return predictions, found

    @cached_property
    def _linear(self) -> Matrix:
        """Weights of neighbours in 1/256, exact in float32 if no sum can reach 2**24."""
        largest = float(np.abs(self.linear).sum()) * self.size
        return (self.linear / 256).astype(np.float32 if largest < _EXACT else np.float64)

    @cached_property
    def layers(self) -> list[tuple[Matrix, Matrix]]:
        """Weights and biases in units, exact in float32 if no sum can reach 2**24."""
        largest, found = _LARGEST_INPUT, list[tuple[Matrix, Matrix]]()
        for weights, bias in zip(self.weights, self.biases, strict=True):
            sums = largest * np.abs(weights).sum(axis=1) + np.abs(bias)
            dtype = np.float32 if float(sums.max(initial=0)) < _EXACT else np.float64
            unit = 2.0**-WEIGHT_BITS
            found.append(((unit * weights).astype(dtype), (unit * bias[:, None]).astype(dtype)))
            largest = _LARGEST_UNIT
        return found

    def outputs(self, inputs: Matrix) -> Matrix:
        """Return location, spread and the odds of 0, ``(3, n)``, in 1/256.

        Sums of whole numbers, divided by a power of two, are exact in any order.
        """
        found, last = np.empty((N_OUTPUTS, inputs.shape[1])), len(self.layers) - 1
        for start in range(0, inputs.shape[1], _TOGETHER):
            values = inputs[:, start : start + _TOGETHER]
            for at, (weights, bias) in enumerate(self.layers):
                values = weights @ values.astype(weights.dtype, copy=False)
                values += bias
                np.floor(values, out=values)
                if at < last:
                    _clip(values, 0, _LARGEST_UNIT)
            found[:, start : start + _TOGETHER] = values
        return _clip(found, -_LARGEST_OUTPUT, _LARGEST_OUTPUT)

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
        self._values = np.zeros((rows + 3, width + 2 * _MARGIN, n_pictures), np.float32)
        self._above = np.zeros(n_pictures, np.int64)
        self._means = np.zeros((2, n_pictures), np.int64)

    def begin_row(self, row: int) -> None:
        """Go on to a row: the one before is known."""
        inner = self._values[row + 2, _MARGIN : _MARGIN + self.width]
        before = inner.sum(axis=0, dtype=np.float64).astype(np.int64)
        if row:
            self._above += before
            self._means[:] = before // self.width, self._above // (self.width * row)

    def seen(self, row: int, place: int) -> Matrix:
        """Return what a pixel's network sees, ``(PICTURE_INPUTS, n_pictures)``."""
        values = self._values
        found = np.empty((PICTURE_INPUTS, values.shape[2]), np.float32)
        at = 0
        for down, first, stop in _BLOCKS:
            block = values[row + 3 + down, _MARGIN + place + first : _MARGIN + place + stop]
            found[at : at + len(block)] = block
            at += len(block)
        other = self.width - 1 - place
        for at, across in ((-4, other), (-3, other + 1)):
            down = 0 if across < place else -1
            found[at] = values[row + 3 + down, _MARGIN + across]
        found[-2:] = self._means
        return found

    def put(self, row: int, place: int, values: IntArray) -> None:
        """Take the pixels of one place."""
        self._values[row + 3, _MARGIN + place] = values

    @property
    def pictures(self) -> IntArray:
        """All pixels, ``(n_pictures, rows, width)``."""
        inner = self._values[3:, _MARGIN : _MARGIN + self.width]
        found: IntArray = np.moveaxis(inner, 2, 0).astype(np.int64, order="C")
        return found


def positions(rows: int, width: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return rows and places as the network is told them, from 0 to 1024."""
    return [1024 * row // rows for row in range(rows)], [
        1024 * place // width for place in range(width)
    ]


def _clip(values: Matrix, low: int, high: int) -> Matrix:
    return np.clip(values, float(low), float(high), out=values)
