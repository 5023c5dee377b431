"""A masked autoencoder of columns in whole numbers: where each value lies, and how surely.

Every unit sees the columns up to its degree, every output the units of lower degree
(Germain, Gregor, Murray and Larochelle, 2015, arXiv:1502.03509, eqs. 8 and 9), so one
network says for each column what those before it tell. Weights and activations are whole
numbers, products are sums below 2**53 held in float64: exact in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import require, within
from autoencode.compression.stored_weights import LARGEST_WEIGHT, WeightReader, store_weights

if TYPE_CHECKING:
    from autoencode.compression.plans import ColumnPlan

__all__ = [
    "FARTHEST",
    "FEATURES",
    "LARGEST_INPUT",
    "LARGEST_OUTPUT",
    "LARGEST_SPREAD",
    "LARGEST_UNIT",
    "ONE",
    "Feature",
    "MaskedNetwork",
]

FloatArray = npt.NDArray[np.float64]

# What an input is: a value, how far off the linear prediction was, whether a value is some one.
FEATURES = ("value", "innovation", "level")
# Inputs and activations count in 1/256.
ONE = 256
LARGEST_INPUT, LARGEST_UNIT = 8 * ONE - 1, 16 * ONE - 1
LARGEST_OUTPUT = 1 << 20
LARGEST_SPREAD = 60
FARTHEST = 1 << 40
_MOST_UNITS, _MOST_FEATURES, _MOST_BITS = 1024, 1 << 14, 10


@dataclass(frozen=True)
class Feature:
    """One input.

    Attributes
    ----------
    kind : str
        One of `FEATURES`.
    place : int
        Which column, plus the number of columns for each row before this one.
    factor, shift : int
        The input is ``floor(x * factor / 2 ** shift)``, x the value less its centre, or
        how far off the linear prediction was, in sixteenths. Of a level, ``factor`` is which.
    """

    kind: str
    place: int
    factor: int
    shift: int = 0


@dataclass(frozen=True)
class MaskedNetwork:
    """The network.

    Attributes
    ----------
    n_columns : int
        Of the table.
    features : tuple of Feature
        The inputs.
    first : tuple of int
        For each input from which degree on a unit sees it: 0 where it is known from the start.
    targets : tuple of int
        Columns that the network says something about, ascending.
    factors, shifts : tuple of int
        What makes sixteenths of a target out of 1/256 of an output.
    bits : int
        Weights count in ``1 / 2 ** bits``.
    degrees : ndarray of int64, shape (n_units,)
        Up to how many columns each unit sees, ascending.
    inward, bias : ndarray of float64, shape (n_units, n_features), (n_units,)
        Of the units. All weights are whole numbers.
    outward, base : ndarray of float64, shape (2, n_targets, n_units), (2, n_targets)
        Of the location of each target, then of its spread.
    skip : ndarray of float64, shape (2, n_targets, n_features)
        The same, from inputs directly.
    """

    n_columns: int
    features: tuple[Feature, ...]
    first: tuple[int, ...]
    targets: tuple[int, ...]
    factors: tuple[int, ...]
    shifts: tuple[int, ...]
    bits: int
    degrees: IntArray
    inward: FloatArray
    bias: FloatArray
    outward: FloatArray
    base: FloatArray
    skip: FloatArray

    @classmethod
    def zeros(
        cls,
        n_columns: int,
        bits: int,
        degrees: Sequence[int],
        inputs: Sequence[tuple[Feature, int]],
        targets: Sequence[tuple[int, int, int]],
    ) -> MaskedNetwork:
        """Return a network without weights.

        Parameters
        ----------
        n_columns : int
            Of the table.
        bits : int
            Of weights.
        degrees : sequence of int
            Of the units, ascending.
        inputs : sequence of tuple
            Each input, and from which degree on it is seen.
        targets : sequence of tuple
            Each target, its factor and its shift.
        """
        features, first = zip(*inputs, strict=True)
        places, factors, shifts = zip(*targets, strict=True)
        outputs, n_units = (2, len(targets)), len(degrees)
        return cls(
            n_columns, features, first, places, factors, shifts, bits,
            np.array(degrees, np.int64),
            np.zeros((n_units, len(inputs))), np.zeros(n_units),
            np.zeros((*outputs, n_units)), np.zeros(outputs), np.zeros((*outputs, len(inputs))),
        )  # fmt: skip

    @cached_property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Which unit sees which input, ``(n_units, n_features)``."""
        found: npt.NDArray[np.bool_] = self.degrees[:, None] >= np.array(self.first, np.int64)
        return found

    @cached_property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which target sees which unit, ``(n_targets, n_units)``."""
        found: npt.NDArray[np.bool_] = np.array(self.targets, np.int64)[:, None] >= self.degrees
        return found

    @cached_property
    def direct(self) -> npt.NDArray[np.bool_]:
        """Which target sees which input, ``(n_targets, n_features)``."""
        targets = np.array(self.targets, np.int64)
        found: npt.NDArray[np.bool_] = targets[:, None] >= np.array(self.first, np.int64)
        return found

    def to_bytes(self) -> bytes:
        """Return it as stored weights: what it looks at comes first."""
        columns = (
            [len(self.features), len(self.targets), self.bits],
            [FEATURES.index(feature.kind) for feature in self.features],
            np.diff([feature.place for feature in self.features], prepend=0),
            [feature.factor for feature in self.features],
            [feature.shift for feature in self.features],
            [first > 0 for first in self.first],
            np.diff(self.targets, prepend=0),
            self.factors,
            self.shifts,
            np.bincount(self.degrees, minlength=self.n_columns),
        )
        groups = [self.inward[self.seen], self.bias]
        groups += [part[self.used] for part in self.outward]
        groups += list(self.base)
        groups += [part[self.direct] for part in self.skip]
        return store_weights([np.array(group).astype(np.int64) for group in (*columns, *groups)])

    @classmethod
    def from_bytes(cls, data: bytes, n_columns: int, lags: int) -> MaskedNetwork:
        """Read what `to_bytes` returned, checked.

        Raises
        ------
        DataError
            If it is damaged.
        """
        reader = WeightReader(data)
        n_features, n_targets, bits = reader.take(3).tolist()
        within(n_features, 1, _MOST_FEATURES, "the number of inputs")
        within(n_targets, 1, n_columns, "the number of outputs")
        within(bits, 0, _MOST_BITS, "the bits of weights")
        columns = [reader.take(n_features).tolist() for _ in range(5)]
        columns[1] = list(accumulate(columns[1]))
        inputs = [_read_feature(item, n_columns, lags) for item in zip(*columns, strict=True)]
        columns = [reader.take(n_targets).tolist() for _ in range(3)]
        columns[0] = list(accumulate(columns[0]))
        targets = [_read_target(item, n_columns) for item in zip(*columns, strict=True)]
        places = [place for place, _, _ in targets]
        require(places == sorted(set(places)), "outputs are out of order")
        counts = [within(n, 0, _MOST_UNITS, "the number of units") for n in reader.take(n_columns)]
        within(sum(counts), 1, _MOST_UNITS, "the number of units")
        degrees = np.repeat(np.arange(n_columns), counts).tolist()
        empty = cls.zeros(n_columns, bits, degrees, inputs, targets)
        empty._fill(reader)
        reader.finish()
        return empty

    def _fill(self, reader: WeightReader) -> None:
        self.inward[self.seen] = reader.take(int(self.seen.sum()))
        self.bias[:] = reader.take(len(self.bias))
        for part in self.outward:
            part[self.used] = reader.take(int(self.used.sum()))
        for part in self.base:
            part[:] = reader.take(len(self.targets))
        for part in self.skip:
            part[self.direct] = reader.take(int(self.direct.sum()))

    def check(self, plans: Sequence[ColumnPlan]) -> None:
        """Refuse a network that looks at what is not known in time.

        Raises
        ------
        DataError
            Naming the column.
        """
        for feature, first in zip(self.features, self.first, strict=True):
            if feature.place < self.n_columns and not first:
                given = plans[feature.place].mode == "given"
                require(given, f"a network is told column {feature.place} too early")


def _read_feature(numbers: tuple[int, ...], n_columns: int, lags: int) -> tuple[Feature, int]:
    kind = FEATURES[within(numbers[0], 0, len(FEATURES) - 1, "an input")]
    place = within(numbers[1], 0, n_columns * (lags + 1) - 1, "the column of an input")
    factor = within(numbers[2], 0, LARGEST_WEIGHT, "a factor")
    shift = within(numbers[3], 0, 62, "a shift")
    counted = within(numbers[4], 0, 1, "an input") == 1
    require(place < n_columns or not (counted or kind == "innovation"), "an input is wrong")
    return Feature(kind, place, factor, shift), place + 1 if counted else 0


def _read_target(numbers: tuple[int, ...], n_columns: int) -> tuple[int, int, int]:
    place = within(numbers[0], 0, n_columns - 1, "an output")
    factor = within(numbers[1], 1, LARGEST_WEIGHT, "a factor")
    return place, factor, within(numbers[2], 0, 62, "a shift")
