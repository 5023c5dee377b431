"""Numbers of one NumPy type -> whole numbers from 0 within a stated bound, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import WIDEST, require

__all__ = ["NUMBER_TYPES", "Numbers", "Transform", "exceeds", "from_bits", "to_bits"]

NUMBER_TYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
KINDS = ("offset", "decimal", "grid", "levels", "bits")
_MOST_DECIMALS = 15
_LARGEST = 1 << WIDEST
# What is worked on at a time stays in a cache.
_TOGETHER = 1 << 13

Values = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Transform:
    """How whole numbers become values again.

    Attributes
    ----------
    kind : {"offset", "decimal", "grid", "levels", "bits"}
        ``low + step * q``, modulo 2**64; that divided by ``10 ** decimals``;
        ``(low + q) * step`` in float64; the q-th of a list; the number of the type that is
        ``low + q`` places above 0.0.
    low : int
        From where to count.
    step : int or float
        Whole, unless it is a grid.
    decimals : int
        From 0.
    levels : ndarray or None
        The list.
    """

    kind: str
    low: int = 0
    step: int | float = 1
    decimals: int = 0
    levels: Values | None = None

    def decode(self, integers: IntArray, dtype: np.dtype[Any]) -> Values:
        """Return the values, in the type given: the same bits on every machine."""
        if integers.size <= _TOGETHER:
            return self._decoded(integers, dtype)
        found = np.empty(integers.shape, dtype)
        for start in range(0, len(integers), _TOGETHER):
            rows = slice(start, start + _TOGETHER)
            found[rows] = self._decoded(integers[rows], dtype)
        return found

    def _decoded(self, integers: IntArray, dtype: np.dtype[Any]) -> Values:
        if self.kind == "levels":
            assert self.levels is not None
            return self.levels[integers]
        if self.kind == "bits":
            return from_bits(integers + self.low, dtype)
        if self.kind == "offset":
            low, step = (np.uint64(int(value) % (1 << 64)) for value in (self.low, self.step))
            wrapped = low + integers.astype(np.uint64) * step
            return wrapped.astype(dtype)
        with np.errstate(over="ignore"):
            if self.kind == "decimal":
                whole = (integers * int(self.step) + self.low).astype(np.float64)
                return (whole / 10.0**self.decimals).astype(dtype)
            whole = (integers + self.low).astype(np.float64)
            return (whole * float(self.step)).astype(dtype)

    def to_json(self, error: float) -> list[Any]:
        """Return all but the list of levels; a step that the bound gives is left out."""
        step = None if self.kind == "grid" and self.step == 2 * error else self.step
        return [KINDS.index(self.kind), self.low, step, self.decimals]

    @classmethod
    def from_json(cls, value: Any, levels: Values | None, error: float) -> Transform:
        """Read what `to_json` returned, checked."""
        require(isinstance(value, list) and len(value) == 4, "a transform is not understood")
        place, low, step, decimals = value
        require(type(place) is int and 0 <= place < len(KINDS), "a transform is not known")
        kind = KINDS[place]
        numbers = (int, float) if kind == "grid" else (int,)
        if step is None and kind == "grid":
            step = 2 * error
        fine = type(low) is int and type(step) in numbers and type(decimals) is int
        require(fine and 0 <= decimals <= _MOST_DECIMALS, "a transform has a wrong number")
        if kind != "grid":
            require(abs(low) < 1 << 64 and 0 < step < 1 << 64, "a transform has a wrong number")
        if kind in ("decimal", "grid"):
            fine = abs(low) < 1 << 53 and 0 < step < 1 << 1023
            require(fine, "a transform has a wrong number")
        return cls(kind, low, step, decimals, levels)


@dataclass(frozen=True)
class Numbers:
    """A column of numbers as whole ones.

    Attributes
    ----------
    transform : Transform
        Back from them.
    integers : ndarray of int64
        In [0, size); 0 where something else is stored instead.
    size : int
        Bound on them; above 2**48 they are not to be modelled.
    special : ndarray of int64 or None
        1 where a value is stored by its bits, 0 elsewhere; None if it is 0 everywhere.
    verbatim : ndarray
        The values stored by their bits, in order.
    """

    transform: Transform
    integers: IntArray
    size: int
    special: IntArray | None
    verbatim: Values

    def decoded(self, dtype: np.dtype[Any]) -> Values:
        """Return the values as they will be read."""
        values = self.transform.decode(self.integers, dtype)
        if self.special is not None:
            values[self.special > 0] = self.verbatim
        return values


def to_bits(values: Values) -> IntArray:
    """Return the places of floating-point values in their order, -0.0 before 0.0; 0.0 is 0."""
    width = 8 * values.dtype.itemsize
    bits = values.view(f"u{values.dtype.itemsize}").astype(np.int64)
    if width == 64:
        bits = values.view(np.int64)
        return np.where(bits < 0, ~(bits ^ np.int64(-(1 << 63))), bits)
    sign = np.int64(1 << (width - 1))
    return np.where(bits >= sign, ~(bits - sign), bits)


def from_bits(numbers: IntArray, dtype: np.dtype[Any]) -> Values:
    """Return the floating-point values of these numbers in their order."""
    width = 8 * dtype.itemsize
    if width == 64:
        bits = np.where(numbers < 0, ~numbers ^ np.int64(-(1 << 63)), numbers)
        return bits.view(dtype)
    sign = np.int64(1 << (width - 1))
    bits = np.where(numbers < 0, ~numbers + sign, numbers)
    return bits.astype(f"u{dtype.itemsize}").view(dtype)


def exceeds(decoded: Values, values: Values, error: float) -> BoolArray:
    """Tell where two arrays of finite numbers differ by more than a bound, exactly.

    Parameters
    ----------
    decoded, values : ndarray
        Of the same type.
    error : float
        The bound, at least 0.

    Returns
    -------
    ndarray of bool
        A difference in float64 is rounded; what was lost (Knuth, The Art of Computer
        Programming 2, section 4.2.2, theorem B) decides where it equals the bound.
    """
    if values.dtype.kind in "iu":
        larger = np.maximum(decoded, values).astype(np.uint64)
        smaller = np.minimum(decoded, values).astype(np.uint64)
        return larger - smaller > np.uint64(min(math.floor(error), (1 << 64) - 1))
    first, second = decoded.astype(np.float64), values.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        difference = first - second
        back = difference + second
        lost = (first - back) + ((back - difference) - second)
        size = np.abs(difference)
        beyond = np.where(difference > 0, lost > 0, lost < 0)
    kept: BoolArray = (size < error) | ((size == error) & ~beyond)
    return ~kept
