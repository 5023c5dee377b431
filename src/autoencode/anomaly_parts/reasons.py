"""Which columns make a row odd: what each should have been, given the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from autoencode.anomaly_parts.scaled_values import Numbers, Units

__all__ = ["Reasons", "reasons"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_REFERENCES, _MEASURED = 1000, 400
_NEIGHBOURS = 10
_LEAST_DEVIATION = 0.02
_PIECE = 256


class Reasons(NamedTuple):
    """What was expected of rows, and what each column says.

    Attributes
    ----------
    nats : ndarray of shape (n_rows, n_columns)
        How much odder than its expected value each cell is, in nats; NaN where it is missing
        or its column has nothing to learn.
    expected : ndarray of shape (n_rows, n_values)
        Of each value given the other columns, in the data's units.
    deviation : ndarray of shape (n_values,)
        Root mean squared error of that on rows of the fit, in the data's units.
    """

    nats: Array
    expected: Array
    deviation: Array


@dataclass(frozen=True)
class _Conditional:
    """Two guesses of every column from the others: a linear one, and near rows' mean."""

    precision: Array
    owner: npt.NDArray[np.int64]
    references: Array

    def columns(self) -> list[npt.NDArray[np.intp]]:
        """Return the places of each column's values."""
        return [np.flatnonzero(self.owner == one) for one in dict.fromkeys(self.owner.tolist())]

    def linear(self, values: Array) -> Array:
        """Return the conditional mean of a normal distribution."""
        pull = values @ self.precision
        expected = np.empty_like(values)
        for places in self.columns():
            own = self.precision[np.ix_(places, places)]
            expected[:, places] = values[:, places] - np.linalg.solve(own, pull[:, places].T).T
        return expected

    def near(self, values: Array, *, others: bool) -> Array:
        """Return the mean over the rows that are nearest in all other columns."""
        expected = np.empty_like(values)
        known = torch.from_numpy(self.references)
        count = min(_NEIGHBOURS + others, len(known))
        for start in range(0, len(values), _PIECE):
            x = torch.from_numpy(values[start : start + _PIECE])
            table = torch.cdist(x, known).square_()
            if others:
                table[table < 1e-12] = torch.inf
            for places in self.columns():
                own = torch.cdist(x[:, places], known[:, places]).square_()
                nearest = (table - own).topk(count, dim=1, largest=False).indices
                mean = known[:, places][nearest].mean(1)
                expected[start : start + len(x), places] = mean.numpy()
        return expected


def reasons(units: Units, references: Array, numbers: Numbers, n_rows: int) -> Reasons:
    """Return what each column of rows should have been, and how odd what it is.

    The two guesses are mixed, each by the inverse of its squared error on rows of the fit,
    column by column. A cell's nats are those of a normal density: half the squared
    deviation from what was expected. A constant that has another value, or a level that was
    never seen, has ``log(n + 2)``, by Laplace's rule of succession.

    Parameters
    ----------
    units : Units
        Of the fit.
    references : ndarray of shape (n_references, n_values)
        Rows of the fit, scaled.
    numbers : Numbers
        Rows to be explained, scaled.
    n_rows : int
        Rows of the fit.
    """
    owner = units.owner[units.kept]
    count, every = len(numbers.values), max(1, len(references) // _REFERENCES)
    nats = np.full((count, units.n_columns), np.nan)
    expected = np.broadcast_to(units.center, (count, len(units.center))).copy()
    deviation = np.zeros(len(units.center))
    if len(owner):
        guess = _Conditional(units.precision, owner, np.ascontiguousarray(references[::every]))
        mixed, spread = _mixed(guess, numbers.values)
        scale = units.scale[units.kept]
        expected[:, units.kept] = units.center[units.kept] + scale * mixed
        deviation[units.kept] = spread * scale
        off = np.square(numbers.values - mixed)
        for places in guess.columns():
            column = owner[places[0]]
            odd = 0.5 * off[:, places].sum(1) / np.square(spread[places]).sum()
            nats[:, column] = np.where(numbers.observed[:, places[0]], odd, np.nan)
    nats[numbers.broken] = np.log(n_rows + 2.0)
    return Reasons(nats, expected, deviation)


def _mixed(guess: _Conditional, values: Array) -> tuple[Array, Array]:
    """Return the mixture of both guesses, and its error on references."""
    every = max(1, len(guess.references) // _MEASURED)
    known = guess.references[::every]
    errors = [guess.linear(known) - known, guess.near(known, others=True) - known]
    weights = [1.0 / (np.square(error).mean(0) + _LEAST_DEVIATION**2) for error in errors]
    share = weights[0] / (weights[0] + weights[1])
    left = share * errors[0] + (1 - share) * errors[1]
    spread = np.sqrt(np.square(left).mean(0)) + _LEAST_DEVIATION
    mixed = share * guess.linear(values) + (1 - share) * guess.near(values, others=False)
    return mixed, spread
