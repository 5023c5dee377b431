"""Probabilistic principal components: the floor and the starting point of variational models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from autoencode.preprocess.principal import PrincipalComponents

__all__ = ["ProbabilisticPca"]

Array = npt.NDArray[np.float64]

_LEAST_NOISE = 1e-6
"""Variance of the noise, at least: that of the smallest scale that a likelihood learns."""
_LEAST_SHARE = 1e-4
_ACTIVE = 0.01
_ROWS = 256


@dataclass(frozen=True)
class ProbabilisticPca:
    """Rows are ``mean + W z`` and noise of one variance, ``z`` from N(0, I).

    Tipping and Bishop (1999), J. R. Stat. Soc. B 61. Without rotation, so that the posterior
    of complete rows has no correlations: it is what the linear autoencoder with a normal code
    learns (Lucas et al., 2019, theorem 1).

    Attributes
    ----------
    mean : ndarray of shape (n_values,)
        Of the rows.
    components : ndarray of shape (n_components, n_values)
        Orthonormal rows.
    loadings : ndarray of shape (n_components,)
        Lengths of the columns of W, which point along the components; positive.
    noise : float
        Its variance.
    """

    mean: Array
    components: Array
    loadings: Array
    noise: float

    @classmethod
    def fit(cls, principal: PrincipalComponents, total: float) -> Self:
        """Return the one of maximum likelihood (eq. 7 and 8).

        Parameters
        ----------
        principal : PrincipalComponents
            Of the rows, as many as there are to be.
        total : float
            Variance of the rows, summed over values.
        """
        variances = principal.variances
        left = len(principal.mean) - len(variances)
        # All components: any variance of the noise up to the least one gives the same density.
        noise = (total - variances.sum()) / left if left else variances.min() / 2
        noise = max(float(noise), _LEAST_NOISE)
        squares = np.maximum(variances - noise, _LEAST_SHARE * np.maximum(variances, noise))
        return cls(principal.mean, principal.components, np.sqrt(squares), noise)

    @property
    def shrinkage(self) -> Array:
        """What of each score's variance is not noise, ``(n_components,)``, in (0, 1).

        It is the variance of the posterior mean over rows.
        """
        squares = np.square(self.loadings)
        result: Array = squares / (squares + self.noise)
        return result

    @property
    def n_active(self) -> int:
        """How many units have a posterior mean that varies."""
        return int((self.shrinkage > _ACTIVE).sum())

    def measure(self, values: Array) -> tuple[Array, Array]:
        """Return how likely rows are, and how far their posteriors are from the prior.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_values)
            NaN where a value is missing: it does not count.

        Returns
        -------
        log_likelihood, rate : ndarray of shape (n_rows,)
            In nats; exact.
        """
        count = len(values)
        likely, rate = np.empty(count), np.empty(count)
        weights = self._weights
        pairs = np.einsum("ai,bi->iab", weights, weights).reshape(
            values.shape[1], len(weights) ** 2
        )
        for start in range(0, count, _ROWS):
            rows = slice(start, start + _ROWS)
            likely[rows], rate[rows] = self._measured(values[rows], pairs)
        return likely, rate

    @property
    def _weights(self) -> Array:
        result: Array = self.components * self.loadings[:, None]
        return result

    def _measured(self, values: Array, pairs: Array) -> tuple[Array, Array]:
        observed = ~np.isnan(values)
        off = np.where(observed, values - self.mean, 0.0)
        size, noise = len(self.components), self.noise
        # Of each row its own: what is observed differs.
        inner = (observed.astype(np.float64) @ pairs).reshape(len(values), size, size)
        inner += noise * np.eye(size)
        projected = off @ self._weights.T
        means = np.linalg.solve(inner, projected[..., None])[..., 0]
        log_det = np.linalg.slogdet(inner)[1]
        seen = observed.sum(1)
        explained = (projected * means).sum(1)
        squares = (np.square(off).sum(1) - explained) / noise
        log_noise = math.log(noise)
        whole = seen * (math.log(2 * math.pi) + log_noise) + log_det - size * log_noise
        likely: Array = -0.5 * (whole + squares)
        covariance = noise * np.linalg.inv(inner)
        spread = np.trace(covariance, axis1=1, axis2=2)
        rate: Array = 0.5 * (
            spread + np.square(means).sum(1) - size + log_det - size * math.log(noise)
        )
        return likely, rate
