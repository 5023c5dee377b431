"""Whether a column's tails are heavy, and the transform that bends them in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["LARGEST_BENT", "Bend", "choose_bend", "weighted_quantiles"]

FloatArray = npt.NDArray[np.float64]

# A normal distribution has an excess kurtosis of 0, a Laplace distribution of 3 and an
# exponential one of 6, all of which a scale serves well.
HEAVY = 12.0
# With fewer rows or values, moments say nothing about tails.
FEWEST_ROWS = 50
FEWEST_VALUES = 10
# What going there and back may change, relative to the largest of the number, the
# centre and the width.
TOLERANCE = 1e-12

# Whose hyperbolic sine is still finite.
LARGEST_BENT = 709.0


class Bend(NamedTuple):
    """The transform ``asinh((x - centre) / width)``."""

    centre: float
    width: float

    def forward(self, numbers: FloatArray) -> FloatArray:
        """Return transformed numbers."""
        bent: FloatArray = np.arcsinh((numbers - self.centre) / self.width)
        return bent

    def backward(self, values: FloatArray) -> FloatArray:
        """Return numbers."""
        return self.centre + self.width * np.sinh(values)


def choose_bend(
    numbers: FloatArray, counts: npt.NDArray[np.int64], *, forced: bool, unit: float
) -> Bend | None:
    """Return the transform that a column needs, or None.

    Parameters
    ----------
    numbers : ndarray of shape (k,)
        The different numbers, ascending.
    counts : ndarray of shape (k,)
        How often each occurs.
    forced : bool
        Whether to bend even tails that are not heavy.
    unit : float
        What the numbers are multiples of, so that the inverse is rounded to it; 0 if
        they are real numbers.

    Returns
    -------
    Bend or None
        None if the tails are not heavy, do not become lighter, or if the transform could
        not be inverted in float64.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        before = _excess_kurtosis(numbers, counts)
        if not forced:
            too_few = counts.sum() < FEWEST_ROWS or len(numbers) < FEWEST_VALUES
            if too_few or not before > HEAVY:
                return None
        bend = _measured(numbers, counts)
        bent = bend.forward(numbers)
        error = np.abs(bend.backward(bent) - numbers)
        sizes = np.maximum(np.abs(numbers), max(abs(bend.centre), bend.width))
        exact = np.all(error < unit / 4) if unit else np.all(error <= TOLERANCE * sizes)
        if not exact or not np.abs(bent).max() < LARGEST_BENT:
            return None
        return bend if forced or _excess_kurtosis(bent, counts) < before else None


def _measured(numbers: FloatArray, counts: npt.NDArray[np.int64]) -> Bend:
    """Return a centre and a width that outliers do not move.

    Numbers of one sign and very different sizes, as word counts and amounts of money
    are, get the centre 0 and a small width: nearly their logarithm, but with a place for
    zero. All others are straight within about one deviation around their median.
    """
    positive = numbers > 0
    if numbers[0] >= 0 and positive.any():
        low, high = weighted_quantiles(numbers[positive], counts[positive], (0.25, 0.75))
        zeros = float(counts[~positive].sum() / counts.sum())
        if high > 2 * low or zeros > 0.25:
            return Bend(0.0, low)
    low, middle, high = weighted_quantiles(numbers, counts, (0.25, 0.5, 0.75))
    width = (high - low) / 1.349
    if not width > 0:
        # More than half of the rows are equal: what the others are away from them.
        away = np.abs(numbers - middle)
        order = np.argsort(away, kind="stable")
        others = order[away[order] > 0]
        width = weighted_quantiles(away[others], counts[others], (0.5,))[0] if len(others) else 1.0
    return Bend(middle, width)


def weighted_quantiles(
    numbers: FloatArray, counts: npt.NDArray[np.int64], levels: tuple[float, ...]
) -> list[float]:
    """Return quantiles of ascending numbers that occur several times each."""
    upto = np.cumsum(counts)
    places = np.searchsorted(upto, np.multiply(levels, upto[-1]), side="left")
    return [float(number) for number in numbers[np.minimum(places, len(numbers) - 1)]]


def _excess_kurtosis(numbers: FloatArray, counts: npt.NDArray[np.int64]) -> float:
    total = counts.sum()
    centred = numbers - (numbers * counts).sum() / total
    squares = centred**2
    variance = (squares * counts).sum() / total
    return float((squares**2 * counts).sum() / total / variance**2 - 3)
