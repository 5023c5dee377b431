"""Linear predictions in whole numbers: few regressors, chosen by what they save."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray

__all__ = ["Gram", "regression"]

FloatArray = npt.NDArray[np.float64]

_MOST_REGRESSORS = 48
# Products of values of so many bits, over a million rows, are whole numbers below 2**53.
_PRODUCT_BITS = 16
# Spread below which a prediction gains nothing, as values are whole.
_FLOOR = 0.06
_FINEST, _LARGEST_UNIT = 4, 56
_BITS_PER_PLACE = 7.0


class Gram:
    """Products of all columns with each other, exact, so the same on every machine.

    Parameters
    ----------
    columns : ndarray of int64, shape (n_places, n_rows)
        Centred; at most a million rows.
    n_columns : int, optional
        How many of them are of the same row; the others are the same columns in earlier ones.

    Attributes
    ----------
    units : ndarray of int64, shape (n_places,)
        Spread of each column in the row as a power of 2, plus 4, from 0.
    """

    def __init__(self, columns: IntArray, n_columns: int | None = None) -> None:
        largest = np.abs(columns).max(axis=1, initial=1)
        self.shifts = np.maximum(
            np.ceil(np.log2(largest + 1.0)).astype(np.int64) - _PRODUCT_BITS, 0
        )
        small = (columns >> self.shifts[:, None]).astype(np.float64)
        self.n_rows = columns.shape[1]
        self.products: FloatArray = (small @ small.T) / max(1, self.n_rows)
        self.spreads: FloatArray = np.sqrt(np.maximum(np.diag(self.products), 1e-9))
        own = np.rint(np.log2(self.spreads)).astype(np.int64) + self.shifts + _FINEST
        own = np.clip(own, 0, _LARGEST_UNIT)[:n_columns]
        self.units: IntArray = np.tile(own, len(columns) // max(1, len(own)))


def regression(
    gram: Gram, target: int, allowed: npt.NDArray[np.bool_], sizes: IntArray, n_rows: int
) -> tuple[list[int], list[int], int]:
    """Choose regressors for a column, and whole-number weights.

    Columns are added one at a time, the one that explains most (Chen, Billings and Luo,
    1989, eq. 23), as long as the bits saved exceed those that its weight takes.

    Parameters
    ----------
    gram : Gram
        Of all columns.
    target : int
        Which to predict.
    allowed : ndarray of bool
        Which may be used.
    sizes : ndarray of int64
        Bound on the absolute value of each column, centred.
    n_rows : int
        Rows in which the prediction will be used.

    Returns
    -------
    regressors, weights : list of int
        Which columns, ascending, and their weights.
    shift : int
        ``sum(weight * value) / 2 ** shift`` is the prediction in sixteenths.
    """
    unit = 2.0 ** (2 * int(gram.shifts[target]))
    digits = max(1, min(9, round(math.log(max(0.083 * n_rows, 1.0), 4))))
    chosen, factors, left = _forward(gram, target, allowed, n_rows, digits, _FLOOR / unit)
    if not chosen:
        return [], [], 0
    coefficients = _back_substituted(gram, target, chosen, factors)
    spread = math.sqrt(max(left, _FLOOR / unit)) * 2.0 ** int(gram.shifts[target])
    digits -= _FINEST + math.floor(math.log2(spread))
    exact = [
        coefficient * 2.0 ** int(gram.shifts[target] - gram.shifts[at])
        for at, coefficient in zip(chosen, coefficients, strict=True)
    ]
    return _whole(chosen, exact, [int(gram.units[at]) for at in chosen], digits, sizes)


def _forward(
    gram: Gram,
    target: int,
    allowed: npt.NDArray[np.bool_],
    n_rows: int,
    digits: int,
    floor: float,
) -> tuple[list[int], list[FloatArray], float]:
    """Add columns while they pay; return them, rows of their triangle and what is left."""
    products = gram.products
    towards, spare = products[target].copy(), np.diag(products).copy()
    left = float(products[target, target])
    usable = allowed & (spare > 0)
    enough = 1e-7 * spare
    chosen: list[int] = []
    factors: list[FloatArray] = []
    while len(chosen) < _MOST_REGRESSORS:
        gains = np.where(usable & (spare > enough), towards**2 / np.maximum(spare, 1e-300), 0.0)
        best = int(gains.argmax())
        after = max(left - float(gains[best]), 0.0)
        saved = n_rows / 2 * math.log2((left + floor) / (after + floor))
        if saved < _BITS_PER_PLACE + digits + 2:
            break
        row = products[best].copy()
        for factor in factors:
            row -= factor * factor[best]
        row /= math.sqrt(max(float(spare[best]), 1e-300))
        chosen.append(best)
        factors.append(row)
        towards -= row * row[target]
        spare -= row**2
        usable[best] = False
        left = after
    return chosen, factors, left


def _back_substituted(
    gram: Gram, target: int, chosen: list[int], factors: list[FloatArray]
) -> list[float]:
    """Solve for the coefficients by the triangle that was built on the way."""
    solution = [float(factor[target]) for factor in factors]
    for place in range(len(chosen) - 1, -1, -1):
        solution[place] /= float(factors[place][chosen[place]])
        for earlier in range(place):
            solution[earlier] -= float(factors[earlier][chosen[place]]) * solution[place]
    return solution


def _whole(
    chosen: list[int], exact: list[float], units: list[int], digits: int, sizes: IntArray
) -> tuple[list[int], list[int], int]:
    """Round each coefficient to its number of binary places; sums stay below 2**52."""
    largest = max(units)
    while True:
        rounded = [
            round(math.ldexp(value, unit + digits)) << (largest - unit)
            for value, unit in zip(exact, units, strict=True)
        ]
        pairs = list(zip(chosen, rounded, strict=True))
        if sum(abs(weight) * int(sizes[at]) for at, weight in pairs) < 1 << 52:
            break
        digits -= 1
    kept = sorted((at, weight) for at, weight in pairs if weight)
    fewer = [int(units[chosen.index(at)]) for at, _ in kept]
    spare = largest - max(fewer, default=largest)
    weights = [weight >> spare for _, weight in kept]
    return [at for at, _ in kept], weights, largest - spare + digits - 4
