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
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.packing import join, pack_integers, split, unpack_integers
from autoencode.compression.plans import require, within
from autoencode.compression.stored_weights import load_weights, store_weights

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
    "WEIGHT_BITS",
    "Feature",
    "MaskedNetwork",
    "degrees_of",
]

FloatArray = npt.NDArray[np.float64]

# What an input is: a value, how far off the linear prediction was, whether a value is some one.
FEATURES = ("value", "innovation", "level")
# Inputs and activations count in 1/256, weights in 1/32.
ONE, WEIGHT_BITS = 256, 5
LARGEST_INPUT, LARGEST_UNIT = 8 * ONE - 1, 16 * ONE - 1
LARGEST_OUTPUT = 1 << 20
LARGEST_SPREAD = 60
FARTHEST = 1 << 40
_MOST_UNITS, _MOST_FEATURES = 1024, 1 << 14


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


def degrees_of(n_units: int, n_columns: int) -> IntArray:
    """Return up to how many columns each unit sees, ascending from 1."""
    return 1 + np.arange(n_units) * max(n_columns - 1, 1) // max(n_units, 1)


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
    inward: FloatArray
    bias: FloatArray
    outward: FloatArray
    base: FloatArray
    skip: FloatArray

    @classmethod
    def zeros(
        cls,
        n_columns: int,
        n_units: int,
        inputs: Sequence[tuple[Feature, int]],
        targets: Sequence[tuple[int, int, int]],
    ) -> MaskedNetwork:
        """Return a network without weights.

        Parameters
        ----------
        n_columns, n_units : int
            Its size.
        inputs : sequence of tuple
            Each input, and from which degree on it is seen.
        targets : sequence of tuple
            Each target, its factor and its shift.
        """
        features, first = zip(*inputs, strict=True)
        places, factors, shifts = zip(*targets, strict=True)
        outputs = (2, len(targets))
        return cls(
            n_columns, features, first, places, factors, shifts,
            np.zeros((n_units, len(inputs))), np.zeros(n_units),
            np.zeros((*outputs, n_units)), np.zeros(outputs), np.zeros((*outputs, len(inputs))),
        )  # fmt: skip

    @cached_property
    def degrees(self) -> IntArray:
        """Up to how many columns each unit sees."""
        return degrees_of(len(self.bias), self.n_columns)

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
        """Return it as joined pieces: what it looks at, and its weights."""
        numbers = [len(self.features), len(self.targets), len(self.bias)]
        for feature, first in zip(self.features, self.first, strict=True):
            kind = FEATURES.index(feature.kind)
            numbers += [kind, feature.place, feature.factor, feature.shift, int(first > 0)]
        for target in zip(self.targets, self.factors, self.shifts, strict=True):
            numbers += target
        head = len(numbers).to_bytes(4, "little") + pack_integers(np.array(numbers, np.int64))
        groups = [self.inward[self.seen], self.bias]
        groups += [part[self.used] for part in self.outward]
        groups += list(self.base)
        groups += [part[self.direct] for part in self.skip]
        return join([head, store_weights([group.astype(np.int64) for group in groups])])

    @classmethod
    def from_bytes(cls, data: bytes, n_columns: int, lags: int) -> MaskedNetwork:
        """Read what `to_bytes` returned, checked.

        Raises
        ------
        DataError
            If it is damaged.
        """
        head, weights = split(data, 2)
        count = int.from_bytes(head[:4], "little")
        require(count <= 8 * _MOST_FEATURES, "a network claims to be too large")
        numbers = unpack_integers(head[4:], count).tolist()
        require(len(numbers) >= 3, "a network is cut off")
        n_features = within(numbers[0], 1, _MOST_FEATURES, "the number of inputs")
        n_targets = within(numbers[1], 1, n_columns, "the number of outputs")
        n_units = within(numbers[2], 1, _MOST_UNITS, "the number of units")
        require(count == 3 + 5 * n_features + 3 * n_targets, "a network is cut off")
        inputs = []
        for at in range(3, 3 + 5 * n_features, 5):
            feature, counted = _read_feature(numbers[at : at + 5], n_columns, lags)
            inputs.append((feature, feature.place + 1 if counted else 0))
        rest = numbers[3 + 5 * n_features :]
        targets = [_read_target(rest[at : at + 3], n_columns) for at in range(0, len(rest), 3)]
        places = [place for place, _, _ in targets]
        require(places == sorted(set(places)), "outputs are out of order")
        empty = cls.zeros(n_columns, n_units, inputs, targets)
        empty._fill(weights)
        return empty

    def _fill(self, weights: bytes) -> None:
        n_inward, n_outward = int(self.seen.sum()), int(self.used.sum())
        n_units, n_targets = len(self.bias), len(self.targets)
        counts = [n_inward, n_units, n_outward, n_outward, n_targets, n_targets]
        counts += [int(self.direct.sum())] * 2
        groups = load_weights(weights, counts)
        self.inward[self.seen], self.bias[:] = groups[0], groups[1]
        for side in range(2):
            self.outward[side][self.used] = groups[2 + side]
            self.base[side] = groups[4 + side]
            self.skip[side][self.direct] = groups[6 + side]

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


def _read_feature(numbers: list[int], n_columns: int, lags: int) -> tuple[Feature, bool]:
    kind = FEATURES[within(numbers[0], 0, len(FEATURES) - 1, "an input")]
    place = within(numbers[1], 0, n_columns * (lags + 1) - 1, "the column of an input")
    factor = within(numbers[2], 0, 1 << 20, "a factor")
    shift = within(numbers[3], 0, 62, "a shift")
    counted = within(numbers[4], 0, 1, "an input") == 1
    require(place < n_columns or not (counted or kind == "innovation"), "an input is wrong")
    return Feature(kind, place, factor, shift), counted


def _read_target(numbers: list[int], n_columns: int) -> tuple[int, int, int]:
    place = within(numbers[0], 0, n_columns - 1, "an output")
    factor = within(numbers[1], 1, 1 << 42, "a factor")
    return place, factor, within(numbers[2], 0, 62, "a shift")
