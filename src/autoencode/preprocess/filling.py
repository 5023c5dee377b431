"""The best linear guess of missing values, and the means and covariances it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["WIDEST_FILL", "Fill", "Moments", "fit_moments"]

Array = npt.NDArray[np.float64]

WIDEST_FILL = 1500
"""Values beyond which missing ones are left at their mean: the precision would be too large."""

_MOST_ROWS = 20_000
_ROUNDS = 20
_TOLERANCE = 1e-3
_RIDGE = 1e-3
"""Share of the mean variance that is added to each value's, so that the inverse is stable."""

_STEPS = 24
_PIECE = 512


class Fill(nn.Module):
    """Put the conditional mean of a normal distribution where values are missing.

    Solves ``precision[m, m] x[m] = -precision[m, o] x[o]`` for all rows at once by
    conjugate gradients with a diagonal preconditioner (Hestenes and Stiefel, 1952),
    which is exact after as many steps as a row has missing values, and close to it
    after far fewer. Made of products and sums only, so that it can be exported.

    Parameters
    ----------
    precision : Tensor
        ``(n_values, n_values)``, symmetric and positive definite.
    """

    precision: Tensor

    def __init__(self, precision: Tensor) -> None:
        super().__init__()
        self.register_buffer("precision", precision)
        self.steps = min(_STEPS, len(precision))

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        """Return rows without missing values.

        Parameters
        ----------
        x : Tensor
            ``(batch, n_values)``, centred.
        observed : Tensor
            Boolean, same shape.

        Returns
        -------
        Tensor
            ``x`` where it is observed.
        """
        seen = observed.to(x.dtype)
        absent = 1.0 - seen
        known = x * seen
        inverse = absent / self.precision.diagonal()
        tiny = torch.finfo(x.dtype).tiny
        residual = -absent * (known @ self.precision)
        guess = torch.zeros_like(x)
        scaled = inverse * residual
        direction, energy = scaled, (residual * scaled).sum(1, keepdim=True)
        for _ in range(self.steps):
            image = absent * (direction @ self.precision)
            length = energy / ((direction * image).sum(1, keepdim=True) + tiny)
            guess = guess + length * direction
            residual = residual - length * image
            scaled = inverse * residual
            fresh = (residual * scaled).sum(1, keepdim=True)
            direction = scaled + fresh / (energy + tiny) * direction
            energy = fresh
        return known + guess


class Moments:
    """Mean and covariance of rows with missing values.

    Attributes
    ----------
    mean : ndarray of shape (n_values,)
        Of the rows as they would be without missing values, if those are missing at random.
    covariance : ndarray of shape (n_values, n_values)
        Likewise.
    """

    def __init__(self, mean: Array, covariance: Array) -> None:
        self.mean, self.covariance = mean, covariance

    def precision(self) -> Array:
        """Return the inverse covariance, with a small ridge."""
        size = len(self.covariance)
        ridge = _RIDGE * max(float(np.trace(self.covariance)) / size, 1e-12)
        ridged = self.covariance + ridge * np.eye(size)
        inverse: Array = np.linalg.inv(ridged)
        return (inverse + inverse.T) / 2


def fit_moments(blocks: Callable[[], Iterator[Array]], n_values: int) -> Moments:
    """Estimate mean and covariance from rows with missing values (NaN).

    Expectation maximisation for a normal distribution (Dempster, Laird and Rubin, 1977):
    missing values are replaced by their conditional means, and what is unsure about them
    is added to the variances. Where rows are many, every k-th of them is used.

    Parameters
    ----------
    blocks : callable
        Returns an iterator over the rows, scaled; NaN where missing.
    n_values : int
        Their width.

    Returns
    -------
    Moments
        In the scaled units.
    """
    rows = _some_rows(blocks)
    observed = ~np.isnan(rows)
    seen = observed.astype(np.float64)
    known = np.where(observed, rows, 0.0)
    counts = np.maximum(seen.sum(0), 1.0)
    mean = known.sum(0) / counts
    if observed.all():
        centred = known - mean
        return Moments(mean, centred.T @ centred / len(rows))
    moments = Moments(mean, _pairwise(known - mean * seen, seen))
    lost = 1.0 - seen.mean(0)
    for _ in range(_ROUNDS):
        before = moments.covariance
        precision = moments.precision()
        filled = _filled(precision, known - moments.mean * seen, observed)
        step = filled.mean(0)
        filled -= step
        unsure = lost / np.diag(precision)
        covariance = filled.T @ filled / len(rows) + np.diag(unsure)
        moments = Moments(moments.mean + step, covariance)
        if np.abs(covariance - before).max() < _TOLERANCE * np.diag(covariance).max():
            break
    return moments


def _some_rows(blocks: Callable[[], Iterator[Array]]) -> Array:
    total = sum(len(block) for block in blocks())
    every = -(-total // _MOST_ROWS)
    start, taken = 0, []
    for block in blocks():
        taken.append(block[-start % every :: every])
        start += len(block)
    return np.concatenate(taken)


def _pairwise(known: Array, seen: Array) -> Array:
    """Return covariances over the rows where both are observed, made positive definite."""
    together = np.maximum(seen.T @ seen, 1.0)
    covariance = known.T @ known / together
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    raised = np.maximum(values, 1e-3 * max(float(values[-1]), 1e-12))
    result: Array = (vectors * raised) @ vectors.T
    return result


def _filled(precision: Array, known: Array, observed: npt.NDArray[np.bool_]) -> Array:
    fill = Fill(torch.from_numpy(precision))
    result = np.empty_like(known)
    with torch.inference_mode():
        for start in range(0, len(known), _PIECE):
            piece = slice(start, start + _PIECE)
            x, seen = torch.from_numpy(known[piece]), torch.from_numpy(observed[piece])
            result[piece] = fill(x, seen).numpy()
    return result
