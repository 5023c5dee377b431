"""A network of columns on some rows, column after column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import (
    FARTHEST,
    LARGEST_INPUT,
    LARGEST_OUTPUT,
    LARGEST_SPREAD,
    LARGEST_UNIT,
    ONE,
    Feature,
    MaskedNetwork,
)

__all__ = ["NetworkStep", "OrderedNetwork"]

# Sums of whole numbers below it are exact in float32, in any order.
_EXACT = 1 << 24
Matrix = npt.NDArray[Any]


class OrderedNetwork:
    """A network whose inputs stand in the order in which they become known.

    Products are sums of whole numbers, divided by a power of two: exact in any order in
    float32 if none can reach 2**24, else in float64.

    Parameters
    ----------
    network : MaskedNetwork
        The network.
    """

    def __init__(self, network: MaskedNetwork) -> None:
        self.network = network
        first = np.array(network.first, np.int64)
        self.order = np.argsort(first, kind="stable")
        self._first = first[self.order]
        self.dtype: type = np.float32 if _largest_sum(network) < _EXACT else np.float64
        self.of: dict[int, list[tuple[int, Feature]]] = {}
        for row, at in enumerate(self.order.tolist()):
            feature = network.features[at]
            self.of.setdefault(feature.place, []).append((row, feature))
        self.targets = {place: at for at, place in enumerate(network.targets)}
        self._jobs: dict[tuple[int, int], tuple[Matrix, Matrix]] = {}
        self._outward = self._scaled(np.moveaxis(network.outward, 1, 0))

    def _scaled(self, weights: Matrix) -> Matrix:
        return np.ascontiguousarray(weights * 2.0**-self.network.bits, self.dtype)

    def upto(self, place: int) -> int:
        """Return how many units see no more than the columns before one."""
        return int(np.searchsorted(self.network.degrees, place, side="right"))

    def job(self, place: int, done: int) -> tuple[Matrix, Matrix]:
        """Return weights of known inputs, and what is added.

        Of units from number ``done`` on that see no more than the columns before this one, then
        of its location and of its spread.
        """
        if (place, done) not in self._jobs:
            network, at = self.network, self.targets[place]
            known = self.order[: int(np.searchsorted(self._first, place, side="right"))]
            new = slice(done, self.upto(place))
            weights = np.concatenate([network.inward[new], network.skip[:, at]])[:, known]
            added = np.concatenate([network.bias[new], network.base[:, at]])[:, None]
            self._jobs[place, done] = self._scaled(weights), self._scaled(added)
        return self._jobs[place, done]

    def outward(self, place: int, upto: int) -> Matrix:
        """Return weights of units, of location and spread."""
        found: Matrix = self._outward[self.targets[place], :, :upto]
        return found


def _largest_sum(network: MaskedNetwork) -> float:
    """Return what no sum of the network exceeds."""
    units = LARGEST_INPUT * np.abs(network.inward).sum(axis=1) + np.abs(network.bias)
    outputs = LARGEST_UNIT * np.abs(network.outward).sum(axis=2) + np.abs(network.base)
    outputs += LARGEST_INPUT * np.abs(network.skip).sum(axis=2)
    return float(max(units.max(initial=0), outputs.max(initial=0)))


class NetworkStep:
    """The network on some rows, column after column.

    Parameters
    ----------
    ordered : OrderedNetwork
        The network.
    n_rows : int
        How many rows.
    """

    def __init__(self, ordered: OrderedNetwork, n_rows: int) -> None:
        self._ordered, network = ordered, ordered.network
        self._inputs: Matrix = np.zeros((len(network.features), n_rows), ordered.dtype)
        self._units: Matrix = np.empty((len(network.bias), n_rows), ordered.dtype)
        self._done = 0

    @property
    def inputs(self) -> Matrix:
        """All inputs told so far, ``(n_features, n_rows)``, in 1/256."""
        found = np.empty_like(self._inputs)
        found[self._ordered.order] = self._inputs
        return found

    def tell(self, place: int, centred: IntArray, centre: int, innovation: IntArray | None) -> None:
        """Hand over a column's values.

        Parameters
        ----------
        place : int
            Which, as in `Feature`.
        centred : ndarray of int64
            Values less their centre.
        centre : int
            The centre.
        innovation : ndarray of int64 or None
            How far off the linear prediction was, in sixteenths; None where there is none.
        """
        for row, feature in self._ordered.of.get(place, ()):
            if feature.kind == "level":
                np.multiply(centred == feature.factor - centre, ONE, out=self._inputs[row])
                continue
            source = centred if feature.kind == "value" else innovation
            if source is None:
                continue
            near = _within(source, FARTHEST)
            near *= feature.factor
            near >>= feature.shift
            self._inputs[row] = _within(near, LARGEST_INPUT)

    def say(self, place: int) -> tuple[IntArray, IntArray] | None:
        """Return what the columns before tell of a column; None if nothing.

        Returns
        -------
        location : ndarray of int64
            To add to the linear prediction, in sixteenths.
        spread : ndarray of int64
            To add to the scale: every four double it.
        """
        ordered = self._ordered
        at = ordered.targets.get(place)
        if at is None:
            return None
        weights, added = ordered.job(place, self._done)
        total = weights @ self._inputs[: weights.shape[1]]
        total += added
        upto = ordered.upto(place)
        if upto > self._done:
            new = self._units[self._done : upto]
            np.floor(total[:-2], out=new)
            np.maximum(new, 0, out=new)
            np.minimum(new, LARGEST_UNIT, out=new)
            self._done = upto
        outputs = total[-2:]
        outputs += ordered.outward(place, upto) @ self._units[:upto]
        np.floor(outputs, out=outputs)
        np.maximum(outputs, -LARGEST_OUTPUT, out=outputs)
        np.minimum(outputs, LARGEST_OUTPUT, out=outputs)
        location = outputs[0].astype(np.int64)
        location *= ordered.network.factors[at]
        location >>= ordered.network.shifts[at]
        # Of 1/256 to fourths, rounded.
        spread = outputs[1]
        spread += ONE // 8
        spread *= 4 / ONE
        np.floor(spread, out=spread)
        return location, _within(spread.astype(np.int64), LARGEST_SPREAD)


def _within(values: IntArray, largest: int) -> IntArray:
    """Return values clipped to so far from 0."""
    found = np.minimum(values, largest)
    return np.maximum(found, -largest, out=found)
