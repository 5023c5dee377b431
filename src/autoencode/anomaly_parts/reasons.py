"""Which columns make a row odd: what each should have been, given the others."""

from __future__ import annotations

import math
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
_WIDTH = 0.5
_USUAL_SPREAD = math.sqrt(0.5)
"""Standard deviation of half the square of a standard normal number."""
_SAME = 1e-12
_PIECE = 256


class Reasons(NamedTuple):
    """What was expected of rows, and what each column says.

    Attributes
    ----------
    nats : ndarray of shape (n_rows, n_columns)
        How much likelier the row would be if this cell were left open, beyond what is usual;
        NaN where it is missing or its column has nothing to learn.
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
        """Return the conditional mean of a normal distribution, kept in the columns' ranges.

        An outlandish value would drag all others along.
        """
        pull = values @ self.precision
        expected = np.empty_like(values)
        for places in self.columns():
            own = self.precision[np.ix_(places, places)]
            expected[:, places] = values[:, places] - np.linalg.solve(own, pull[:, places].T).T
        return np.clip(expected, self.references.min(0), self.references.max(0))

    def near(self, values: Array, width: float, *, others: bool) -> tuple[Array, Array]:
        """Guess by the rows that are nearest in all other columns.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Scaled rows.
        width : float
            Of the kernel by which the density of rows is estimated.
        others : bool
            Whether references that equal a row are the row itself, and left out.

        Returns
        -------
        expected : ndarray of shape (n, n_values)
            The mean of these rows.
        gains : ndarray of shape (n, n_columns)
            By how many nats the row's density rises where a column is left open.
        """
        columns = self.columns()
        expected, gains = np.empty_like(values), np.empty((len(values), len(columns)))
        known = torch.from_numpy(self.references)
        count = min(_NEIGHBOURS + others, len(known))
        for start in range(0, len(values), _PIECE):
            x = torch.from_numpy(values[start : start + _PIECE])
            table = torch.cdist(x, known).square_()
            if others:
                table[table < _SAME] = torch.inf
            whole = (-0.5 / width**2 * table).logsumexp(1)
            for column, places in enumerate(columns):
                left = table - torch.cdist(x[:, places], known[:, places]).square_()
                nearest = left.topk(count, dim=1, largest=False).indices
                mean = known[:, places][nearest].mean(1)
                open_to = (-0.5 / width**2 * left).logsumexp(1)
                expected[start : start + len(x), places] = mean.numpy()
                gains[start : start + len(x), column] = (open_to - whole).numpy()
        return expected, gains

    def width(self) -> float:
        """Return half of the usual distance between nearest rows."""
        known = torch.from_numpy(self.references[:_MEASURED])
        table = torch.cdist(known, torch.from_numpy(self.references))
        table[table < _SAME] = torch.inf
        nearest = table.amin(1)
        finite = nearest[torch.isfinite(nearest)]
        usual = float(finite.median()) if len(finite) else 1.0
        return max(_WIDTH * usual, _LEAST_DEVIATION)


def reasons(units: Units, references: Array, numbers: Numbers, n_rows: int) -> Reasons:
    """Return what each column of rows should have been, and how odd what it is.

    What is expected is a mixture of the two guesses, each by the inverse of its squared error
    on rows of the fit, column by column. A cell's nats are the sum of what both densities of
    rows gain where the column is left open, a normal one (half the squared deviation from the
    conditional mean) and one of kernels at near rows, less what they gain for rows of the
    fit; the second is scaled so that it varies as much as the first. A constant that has
    another value, or a level that was never seen, has ``log(n + 2)``, by Laplace's rule of
    succession.

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
        found = _judged(guess, numbers.values)
        scale = units.scale[units.kept]
        expected[:, units.kept] = units.center[units.kept] + scale * found.expected
        deviation[units.kept] = found.deviation * scale
        for column, places in enumerate(guess.columns()):
            odd = np.where(numbers.observed[:, places[0]], found.nats[:, column], np.nan)
            nats[:, owner[places[0]]] = odd
    nats[numbers.broken] = np.log(n_rows + 2.0)
    return Reasons(nats, expected, deviation)


def _judged(guess: _Conditional, values: Array) -> Reasons:
    """Return the same of scaled rows, for the columns that vary."""
    every, width = max(1, len(guess.references) // _MEASURED), guess.width()
    known = guess.references[::every]
    (near, gains), (usual, usual_gains) = (
        guess.near(rows, width, others=rows is known) for rows in (values, known)
    )
    linear, usual_linear = guess.linear(values), guess.linear(known)
    errors = [np.square(part - known).mean(0) for part in (usual_linear, usual)]
    weights = [1.0 / (error + _LEAST_DEVIATION**2) for error in errors]
    share = weights[0] / (weights[0] + weights[1])
    left = share * usual_linear + (1 - share) * usual - known
    deviation = np.sqrt(np.square(left).mean(0)) + _LEAST_DEVIATION
    off = np.square(values - linear)
    spread = np.square(np.sqrt(errors[0]) + _LEAST_DEVIATION)
    normal = [
        0.5 * off[:, places].sum(1) / spread[places].sum() - 0.5 for places in guess.columns()
    ]
    # Densities of few rows are rough: their gains count as much as a normal one's would.
    rough = np.maximum(usual_gains.std(0) / _USUAL_SPREAD, _LEAST_DEVIATION)
    nats = np.stack(normal, 1) + (gains - usual_gains.mean(0)) / rough
    return Reasons(nats, share * linear + (1 - share) * near, deviation)
