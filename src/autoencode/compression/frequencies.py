"""Frequency tables of the coder, made of integers alone: the same on every machine."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from autoencode.compression.slot_lists import SlotLists

__all__ = [
    "ESCAPED",
    "FAMILIES",
    "FRACTIONS",
    "PRECISION",
    "SCALES",
    "TOTAL",
    "IntArray",
    "ShapeTables",
    "normalised",
    "radius",
    "shape_tables",
    "shifted",
]

IntArray = npt.NDArray[np.int64]

# Frequencies of a table sum to 2 ** PRECISION.
PRECISION = 16
TOTAL = 1 << PRECISION
# How residuals spread: their names stand in the file.
FAMILIES = ("logistic", "laplace", "normal", "heavy")
# Places of the prediction between two whole numbers that are told apart.
FRACTIONS = 4
# Spread of each table in 1/1024 of a whole number: steps of a fourth of an octave.
SCALES = (
    92, 110, 130, 155, 184, 219, 261, 310, 369, 438, 521, 620, 737, 877, 1043, 1240, 1475, 1754,
    2086, 2480, 2950, 3508, 4172, 4961, 5899, 7016, 8343, 9922, 11799, 14031,
)  # fmt: skip
# Beyond the last table its four last serve for residuals without their low bits.
_OCTAVE = 4
# Stands for the residual of what escapes.
ESCAPED = 1 << 60
_FIXED = 62
_ONE = 1 << _FIXED
# Of a table, as a power of 2.
_PIECES = 12


def radius(scale: int) -> int:
    """Return the largest residual that a table has a symbol for; others escape."""
    return SCALES[scale] * 12 // 1024 + 3


def shifted(scales: IntArray) -> tuple[IntArray, IntArray]:
    """Split numbers of scales into a table each and the low bits that are stored as such.

    Parameters
    ----------
    scales : ndarray of int64
        From 0; every fourth doubles the spread.

    Returns
    -------
    tables, bits : ndarray of int64
        Which of `SCALES`, and by how many bits residuals are shifted.
    """
    beyond = np.maximum(scales - (len(SCALES) - 1), 0)
    bits = (beyond + _OCTAVE - 1) // _OCTAVE
    return scales - bits * _OCTAVE, bits


def normalised(weights: IntArray) -> IntArray:
    """Turn rows of weights into frequencies: each at least 1, each row's sum `TOTAL`.

    Parameters
    ----------
    weights : ndarray of int64, shape (n_tables, n_symbols)
        Not negative, at most 2**46 in all per row, with one above 0 in each.

    Returns
    -------
    ndarray of int64, shape (n_tables, n_symbols)
        ``1 + weights * (TOTAL - n_symbols) // sum``; what that leaves goes to the first
        of the largest.
    """
    n_tables, n_symbols = weights.shape
    total = weights.sum(axis=1, keepdims=True)
    frequencies: IntArray = weights * (TOTAL - n_symbols)
    frequencies //= total
    frequencies += 1
    largest = frequencies.argmax(axis=1)
    frequencies[np.arange(n_tables), largest] += TOTAL - frequencies.sum(axis=1)
    return frequencies


class ShapeTables(SlotLists):
    """Tables of one family: symbols are residuals from ``-radius`` to ``radius + 1``.

    The last symbol of each table is the escape.

    Parameters
    ----------
    family : str
        One of `FAMILIES`.

    Attributes
    ----------
    starts : ndarray of int64, shape (n_tables + 1,)
        Where each table begins in the others.
    frequencies, cumulative : ndarray of int64
        Of all tables, one after the other; the second is the sum of those before a symbol
        in its own table.
    residuals : ndarray of int64
        What each symbol stands for; of the escape `ESCAPED`.
    radii, zeros : ndarray of int64, shape (n_tables,)
        The largest residual of each, and the place of residual 0. Table
        ``scale * FRACTIONS + fraction`` is that of a scale and of the fourth of a whole
        number into which the prediction falls.
    """

    def __init__(self, family: str) -> None:
        tables, radii = [], []
        for scale, spread in enumerate(SCALES):
            reach = radius(scale)
            for fraction in range(FRACTIONS):
                weights = _weights(family, spread, reach, 2 * fraction + 1)
                tables.append(normalised(np.array([weights], np.int64))[0])
                radii.append(reach)
        self.radii = np.array(radii, np.int64)
        self.starts = np.cumsum([0, *(len(table) for table in tables)])
        self.zeros = self.starts[:-1] + self.radii
        self.residuals = np.concatenate([_residuals(reach) for reach in radii])
        self.frequencies = np.concatenate(tables)
        self.cumulative = np.concatenate([np.cumsum(table) - table for table in tables])
        # Cost of each symbol in bits: the encoder's choices only, never the decoder's.
        self.bits = PRECISION - np.log2(self.frequencies)
        super().__init__(len(self.frequencies), len(tables), _PIECES, np.uint16)
        bases = np.repeat(self.bases(np.arange(len(tables))), np.diff(self.starts))
        self._edges[:-1] = self.cumulative + bases
        symbols = np.arange(len(bases), dtype=np.uint16)
        self._firsts.ravel()[:] = np.repeat(symbols, np.diff(self.n_pieces(self._edges)))


def _residuals(reach: int) -> IntArray:
    return np.append(np.arange(-reach, reach + 2), ESCAPED)


@cache
def shape_tables(family: str) -> ShapeTables:
    """Return the tables of a family, made when first asked for."""
    return ShapeTables(family)


def _weights(family: str, spread: int, reach: int, centre: int) -> list[int]:
    """Weigh residuals around a prediction that lies ``centre`` eighths above a whole number."""
    if family in ("logistic", "laplace"):
        mass = _exponential_tails(family, spread, 8 * reach + 20)
        edges = [8 * value - 4 - centre for value in range(-reach, reach + 3)]
        below = [mass[-edge] if edge < 0 else _ONE - mass[edge] for edge in edges]
        inside = [max(0, high - low) for low, high in pairwise(below)]
        escape = below[0] + _ONE - below[-1]
    else:
        distances = [abs(8 * value - centre) for value in range(-reach, reach + 2)]
        inside = [_density(family, spread, distance) for distance in distances]
        escape = inside[0] + inside[-1]
    # Sums of weights times TOTAL stay below 2**63.
    return [weight >> (_FIXED - 42) for weight in [*inside, escape]]


def _exponential_tails(family: str, spread: int, longest: int) -> list[int]:
    """Return the mass beyond 0, 1, 2 ... eighths, as shares of 2 ** 62."""
    ratio = _exponential(128, spread)
    power, tails = _ONE, []
    for _ in range(longest + 1):
        tails.append((power << _FIXED) // (_ONE + power) if family == "logistic" else power >> 1)
        power = power * ratio >> _FIXED
    return tails


def _density(family: str, spread: int, distance: int) -> int:
    """Return a weight at so many eighths, as a share of 2 ** 62."""
    square = distance * distance * 128 * 128
    if family == "heavy":
        whole = spread * spread
        return (_ONE * whole // (whole + square)) ** 2 >> _FIXED
    return _exponential(square, 2 * spread * spread)


def _exponential(numerator: int, denominator: int) -> int:
    """Return exp(-numerator / denominator) as a share of 2 ** 62, by its series."""
    if numerator > 43 * denominator:
        return 0
    total = term = _ONE
    place = 0
    while term:
        place += 1
        term = term * numerator // (denominator * place)
        total += term
    return (_ONE << _FIXED) // total
