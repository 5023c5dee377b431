"""The best linear guess of missing values, and the means and covariances it rests on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode.interfaces import Layout

__all__ = ["WIDEST_FILL", "Fill", "Moments", "covariance_of", "fit_moments"]

Array = npt.NDArray[np.float64]

WIDEST_FILL = 1500
"""Values beyond which missing ones are left at their mean: the precision would be too large."""

_ROUNDS = 12
_TOLERANCE = 1e-3
_RIDGE = 1e-3
"""Share of the mean variance that is added to each value's, so that the inverse is stable."""
_NARROW = 128
_STEPS, _FEWER_STEPS = 16, 10
"""Steps for at most so many values, and for more, where each costs much."""
_PICTURE_STEPS = 32
"""Steps for pictures: into a large hole what is known around it goes pixel by pixel."""
_PIECE = 512


class Fill(nn.Module):
    """Put the conditional mean of a normal distribution where values are missing.

    Solves ``precision[m, m] x[m] = -precision[m, o] x[o]`` for all rows at once by
    conjugate gradients (Hestenes and Stiefel, 1952), after a change of variables under
    which the values of a column are independent of each other, since they are missing
    together. It is exact after as many steps as a row has missing values, and close to
    that after far fewer. Made of products and sums only, so that it can be exported.

    Parameters
    ----------
    precision : Tensor
        ``(n_values, n_values)``, symmetric and positive definite.
    layout : Layout, optional
        Which values are a column; by default each is one by itself.
    """

    precision: Tensor
    whitened: Tensor
    forth: Tensor
    back: Tensor

    def __init__(self, precision: Tensor, layout: Layout | None = None) -> None:
        super().__init__()
        exact = precision.double().cpu()
        columns = (Layout(len(exact)) if layout is None else layout).columns()
        # Cholesky factors of the blocks of each column, all at once: elsewhere it is zero.
        blocks = torch.where(columns[:, None] == columns, exact, 0.0)
        forth = torch.linalg.cholesky(blocks)
        back = torch.linalg.inv(forth)
        whitened = back @ exact @ back.T
        # They follow from the precision, which is stored once in a model's file.
        for name, matrix in (("precision", exact), ("forth", forth), ("back", back)):
            self.register_buffer(name, matrix.to(precision), persistent=False)
        symmetric = (whitened + whitened.T) / 2
        self.register_buffer("whitened", symmetric.to(precision), persistent=False)
        most = _STEPS if len(precision) <= _NARROW else _FEWER_STEPS
        if layout is not None and layout.is_picture:
            most = _PICTURE_STEPS
        self.steps = min(most, len(precision))

    def forward(self, x: Tensor, observed: Tensor) -> Tensor:
        """Return rows without missing values.

        Parameters
        ----------
        x : Tensor
            ``(batch, n_values)``, centred.
        observed : Tensor
            Boolean, same shape; the values of a column are observed together.

        Returns
        -------
        Tensor
            ``x`` where it is observed.
        """
        seen = observed.to(x.dtype)
        absent = 1.0 - seen
        known = x * seen
        # A maximum: a sum with so small a number is taken for no sum when it is exported.
        tiny = torch.tensor(torch.finfo(x.dtype).tiny, dtype=x.dtype, device=x.device)
        residual = -absent * ((known @ self.forth) @ self.whitened)
        guess = torch.zeros_like(x)
        direction, energy = residual, residual.square().sum(1, keepdim=True)
        for _ in range(self.steps):
            image = absent * (direction @ self.whitened)
            length = energy / torch.maximum((direction * image).sum(1, keepdim=True), tiny)
            guess = guess + length * direction
            residual = residual - length * image
            fresh = residual.square().sum(1, keepdim=True)
            direction = residual + fresh / torch.maximum(energy, tiny) * direction
            energy = fresh
        return known + absent * (guess @ self.back)


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

    def of(self, used: npt.NDArray[np.bool_]) -> Moments:
        """Return those of some of the values."""
        return Moments(self.mean[used], self.covariance[np.ix_(used, used)])

    def precision(self) -> Array:
        """Return the inverse covariance, with a small ridge."""
        size = len(self.covariance)
        ridge = _RIDGE * max(float(np.trace(self.covariance)) / size, 1e-12)
        ridged = self.covariance + ridge * np.eye(size)
        inverse = np.linalg.inv(ridged)
        symmetric: Array = (inverse + inverse.T) / 2
        return symmetric


def covariance_of(precision: Array) -> Array:
    """Return the covariance that `Moments.precision` was made of, without its ridge."""
    ridged = np.linalg.inv(precision)
    ridge = _RIDGE / (1 + _RIDGE) * np.trace(ridged) / len(ridged)
    covariance: Array = (ridged + ridged.T) / 2 - ridge * np.eye(len(ridged))
    return covariance


def fit_moments(rows: Array, layout: Layout | None = None) -> Moments:
    """Estimate mean and covariance from rows with missing values (NaN).

    Expectation maximisation for a normal distribution (Dempster, Laird and Rubin, 1977):
    missing values are replaced by their conditional means, and what is unsure about them
    is added to the variances.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_values)
        Scaled; NaN where missing. A few thousand will do.
    layout : Layout, optional
        Which values are a column; by default each is one by itself.

    Returns
    -------
    Moments
        In the scaled units.
    """
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
        fill = Fill(torch.from_numpy(precision), layout)
        filled = _filled(fill, known - moments.mean * seen, observed)
        step = filled.mean(0)
        filled -= step
        # What is unsure of a column given all others: its values are missing together.
        unsure = (fill.back.T @ fill.back).numpy() * lost
        covariance = filled.T @ filled / len(rows) + (unsure + unsure.T) / 2
        moments = Moments(moments.mean + step, covariance)
        if np.abs(covariance - before).max() < _TOLERANCE * np.diag(covariance).max():
            break
    return moments


def _pairwise(known: Array, seen: Array) -> Array:
    """Return covariances over the rows where both are observed, made positive definite."""
    together = np.maximum(seen.T @ seen, 1.0)
    covariance = known.T @ known / together
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    raised = np.maximum(values, 1e-3 * max(float(values[-1]), 1e-12))
    result: Array = (vectors * raised) @ vectors.T
    return result


def _filled(fill: Fill, known: Array, observed: npt.NDArray[np.bool_]) -> Array:
    result = known.copy()
    incomplete = np.flatnonzero(~observed.all(1))
    with torch.inference_mode():
        for start in range(0, len(incomplete), _PIECE):
            rows = incomplete[start : start + _PIECE]
            x, seen = torch.from_numpy(known[rows]), torch.from_numpy(observed[rows])
            result[rows] = fill(x, seen).numpy()
    return result
