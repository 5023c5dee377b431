"""Which columns make a row odd: what each should have been, given the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.anomaly_parts.scaled_values import Numbers, Units

__all__ = ["Reasons", "reasons"]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_REFERENCES, _MEASURED = 1000, 300
_WIDTHS = (0.1, 0.14, 0.2, 0.28, 0.4, 0.55, 0.7, 0.85, 1.0)
_SHRINKAGE, _RIDGE = 0.05, 1e-3
_FAR_SHARE = 0.1
_LEAST_DEVIATION = 0.02
_ANYTHING = 3.0
"""Deviations of what an error may be that is not another row's value."""
_SAME, _BEYOND = 1e-12, 1e12
_PIECE = 64


class Reasons(NamedTuple):
    """What was expected of rows, and what each column says.

    Attributes
    ----------
    nats : ndarray of shape (n_rows, n_columns)
        How much likelier the cell is as an error than given the others of its row; NaN where
        it is missing or its column has nothing to learn.
    expected : ndarray of shape (n_rows, n_values)
        Of each value given the other columns, in the data's units.
    deviation : ndarray of shape (n_values,)
        Root mean squared error of that on rows of the fit, in the data's units.
    """

    nats: Array
    expected: Array
    deviation: Array


@dataclass(frozen=True)
class _Density:
    """Normal kernels at rows of the fit, drawn together so that the rows' covariance stays.

    Of width 1 they are one normal distribution, of width 0 the rows themselves (West, 1993).

    Attributes
    ----------
    covariance, precision : Tensor
        ``(n_values, n_values)``: of a kernel, and its inverse.
    references, centers : Tensor
        ``(n_references, n_values)``: rows of the fit, and where kernels are.
    owner : ndarray of shape (n_values,)
        The column of each value.
    width : float
        Share of the rows' deviations that a kernel has.
    """

    covariance: Tensor
    precision: Tensor
    references: Tensor
    centers: Tensor
    owner: npt.NDArray[np.int64]
    width: float

    @classmethod
    def of(cls, covariance: Array, references: Tensor, owner: Any, width: float) -> _Density:
        """Return kernels of a width; their shape is the covariance, shrunk to its diagonal."""
        shape = torch.from_numpy(covariance)
        diagonal = shape.diagonal().diag()
        least = _RIDGE * float(shape.diagonal().mean()) + _RIDGE * _LEAST_DEVIATION
        whole = torch.lerp(shape, diagonal, _SHRINKAGE) + least * torch.eye(len(shape))
        mean = references.mean(0)
        centers = mean + math.sqrt(1.0 - width**2) * (references - mean)
        own = width**2 * whole
        return cls(own, torch.linalg.inv(own), references, centers, owner, width)

    @classmethod
    def fit(cls, covariance: Array, references: Tensor, owner: Any) -> _Density:
        """Return kernels of the width under which rows of the fit are likeliest, given others."""
        known = references[:: max(1, len(references) // _MEASURED)]
        others = _itself(known, references)
        found = []
        for width in _WIDTHS:
            one = cls.of(covariance, references, owner, width)
            logs = one.logs(one.squares(known) + others)
            # A few rows far from all others would make kernels wide.
            inner = logs.sort().values[int(_FAR_SHARE * len(logs)) :].mean()
            found.append((float(inner + 0.5 * torch.logdet(one.precision)), one))
        return max(found, key=lambda pair: pair[0])[1]

    @property
    def columns(self) -> list[npt.NDArray[np.intp]]:
        """Return the places of each column's values."""
        return [np.flatnonzero(self.owner == one) for one in dict.fromkeys(self.owner.tolist())]

    def squares(self, x: Tensor) -> Tensor:
        """Return squared distances from rows to kernels, ``(n, n_references)``, in deviations."""
        return _squares(x, self.centers, self.precision)

    def logs(self, squares: Tensor) -> Tensor:
        """Return the logarithm of kernels' mean, without what is the same everywhere, ``(n,)``."""
        return (-0.5 * squares).logsumexp(1) - math.log(len(self.centers))

    def judged(self, values: Array) -> tuple[Array, Array]:
        """Return what is expected of every value, and the nats of every column.

        Kernels at rows that equal a row are taken to be the row itself, and left out.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Scaled rows.
        """
        columns = self.columns
        expected, nats = np.empty_like(values), np.empty((len(values), len(columns)))
        for start in range(0, len(values), _PIECE):
            x = torch.from_numpy(values[start : start + _PIECE])
            squares = self.squares(x) + _itself(x, self.references)
            whole, pull, own = self.logs(squares), x @ self.precision, self.centers @ self.precision
            for column, places in enumerate(columns):
                inner = self.precision[places][:, places]
                covariance = self.covariance[places][:, places]
                moves = torch.linalg.solve(inner, torch.cat([pull, own])[:, places].T).T
                moved, steady = moves[: len(x)], moves[len(x) :]
                left = squares - _squares(moved, steady, inner)
                open_to = self.logs(left)
                weights = (-0.5 * left).softmax(1)
                given = whole - open_to + 0.5 * torch.logdet(inner / math.tau)
                error = self._error(x[:, places], places, covariance)
                guess = x[:, places] - moved + weights @ steady
                expected[start : start + len(x), places] = guess.numpy()
                nats[start : start + len(x), column] = (error - given).numpy()
        return expected, nats

    def _error(self, x: Tensor, places: Any, covariance: Tensor) -> Tensor:
        """Return the logarithm of the density of errors: half other rows' values, half any."""
        precision = torch.linalg.inv(covariance)
        centers = self.centers[:, places]
        usual = self.logs(_squares(x, centers, precision))
        wide = (_ANYTHING / self.width) ** 2
        far = _squares(x, centers.mean(0, keepdim=True), precision)[:, 0]
        anything = -0.5 * far / wide - 0.5 * len(covariance) * math.log(wide)
        scale = 0.5 * float(torch.logdet(math.tau * covariance))
        return torch.logaddexp(usual, anything) - math.log(2.0) - scale


def _squares(x: Tensor, centers: Tensor, precision: Tensor) -> Tensor:
    """Return all squared distances under a precision, ``(n, m)``."""
    half = torch.linalg.cholesky(precision)
    return torch.cdist(x @ half, centers @ half).square_()


def _itself(x: Tensor, references: Tensor) -> Tensor:
    """Return a distance beyond all where a reference is the row itself, else 0, ``(n, m)``."""
    return _BEYOND * (torch.cdist(x, references).square_() < _SAME)


def reasons(units: Units, references: Array, numbers: Numbers, n_rows: int) -> Reasons:
    """Return what each column of rows should have been, and how odd what it is.

    Both come from one density of rows: what is expected is its conditional mean, kept in the
    columns' ranges, and a cell's nats are the logarithm of the ratio of two densities of its
    value, that of errors and that given the other columns. Of errors, half are taken to be
    other rows' values, half anything within some deviations. Where one cell of a row is
    wrong, and as likely in any column, the highest ratio is the likeliest column (Bayes' rule).
    A constant that has another value, or a level that was never seen, has ``log(n + 2)``, by
    Laplace's rule of succession.

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
        rows = torch.from_numpy(np.ascontiguousarray(references[::every]))
        density = _Density.fit(units.covariance, rows, owner)
        found = _judged(density, numbers.values)
        scale = units.scale[units.kept]
        expected[:, units.kept] = units.center[units.kept] + scale * found.expected
        deviation[units.kept] = found.deviation * scale
        for column, places in enumerate(density.columns):
            odd = np.where(numbers.observed[:, places[0]], found.nats[:, column], np.nan)
            nats[:, owner[places[0]]] = odd
    nats[numbers.broken] = np.log(n_rows + 2.0)
    return Reasons(nats, expected, deviation)


def _judged(density: _Density, values: Array) -> Reasons:
    """Return the same of scaled rows, for the columns that vary."""
    rows = density.references.numpy()
    known = rows[:: max(1, len(rows) // _MEASURED)]
    # Rows of the fit may be explained too: what a row says of itself does not count.
    (expected, nats), (usual, _) = (density.judged(some) for some in (values, known))
    low, high = rows.min(0), rows.max(0)
    off = np.square(np.clip(usual, low, high) - known).mean(0)
    return Reasons(nats, np.clip(expected, low, high), np.sqrt(off) + _LEAST_DEVIATION)
