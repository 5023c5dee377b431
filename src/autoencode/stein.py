"""What an error against clean rows would be, told from noisy ones alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.interfaces import Batch
from autoencode.preprocess.shrinking import Shrink

__all__ = ["STEP", "Stein", "signs_like"]

Array = npt.NDArray[np.float64]

STEP = 1e-2
"""How far rows are moved, in units of the preprocessed data, to see how results follow."""


def signs_like(x: Tensor, rng: torch.Generator) -> Tensor:
    """Return as many random signs."""
    coins = torch.rand(x.shape, generator=rng, dtype=x.dtype, device=x.device)
    return torch.where(coins < 0.5, -1.0, 1.0).to(x.dtype)


class Stein:
    """Stein's unbiased estimate of the squared error under normal noise of a known strength.

    ``|f(y) - y|² - n s² + 2 s² div f(y)`` (Stein, 1981, theorem 1), the divergence from one
    random direction for each row (Ramani, Blu and Unser, 2008, eq. 12).

    Parameters
    ----------
    deviation : float
        Of the noise.
    x : Tensor
        ``(rows, n_values)``: the noisy rows.
    observed : Tensor or None
        Boolean, same shape: False where a value is missing, and does not count.
    real : Tensor or None
        Boolean, ``(n_values,)``: which values are numbers, as only they are noisy; None: all.

    Attributes
    ----------
    moved : Batch
        The rows, a small step in the random direction further.
    """

    moved: Batch

    def __init__(
        self, deviation: float, x: Tensor, observed: Tensor | None, real: Tensor | None = None
    ) -> None:
        self.variance = deviation**2
        self.signs = signs_like(x, torch.Generator(x.device).manual_seed(0))
        if observed is not None:
            self.signs = self.signs * observed
        if real is not None:
            self.signs = self.signs * real.to(x.device)
        self.counts = self.signs.abs().sum(1)

    def move(self, batch: Batch) -> Batch:
        """Return the rows a step further."""
        return batch._replace(x=batch.x + STEP * self.signs)

    def risk(self, residual: Tensor, change: Tensor, start: int) -> Tensor:
        """Return the estimate for some rows.

        Parameters
        ----------
        residual : Tensor
            ``(rows,)``: squared distance of the result from the noisy rows.
        change : Tensor
            ``(rows, n_values)``: of the result, after the step.
        start : int
            The place of the first row.
        """
        rows = slice(start, start + len(change))
        divergence = (self.signs[rows] * change).sum(1) / STEP
        return residual + self.variance * (2 * divergence - self.counts[rows])

    def linear_risk(self, errors: Array, shrink: Shrink | None) -> Array:
        """Return the same for the linear guess, without chance.

        Parameters
        ----------
        errors : ndarray of shape (rows, k + 1)
            Squared distances from the noisy rows by number of components; that of all
            components is the guess itself.
        shrink : Shrink or None
            What the guess is made by; None: it is the noisy rows.
        """
        slopes = torch.ones(self.signs.shape[1], dtype=torch.float64)
        if shrink is not None:
            level = torch.tensor([[1.0, self.variance]], dtype=torch.float64)
            slopes = (shrink.axes * shrink.factors(level) * shrink.axes).sum(1)
        counts = self.counts.double().cpu().numpy()
        result = errors - self.variance * counts[:, None]
        result[:, -1] += 2 * self.variance * (self.signs.abs().double().cpu() @ slopes).numpy()
        return result
