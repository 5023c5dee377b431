"""Principal components from streamed rows: the floor and the starting point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PrincipalComponents", "principal_components", "residuals"]

Array = npt.NDArray[np.float64]
Blocks = Callable[[], Iterator[Array]]

_SQUARE_LIMIT = 3000
_WHOLE_VALUES = 60_000_000
_POWER_ITERATIONS = 4
_OVERSAMPLING = 16
_LEAST_VARIANCE = 1e-6
"""Share of the largest variance below which a score's unit does not fall: where rows hardly
vary, small steps of restored ones would be enormous."""


@dataclass(frozen=True)
class PrincipalComponents:
    """A PCA of scaled rows.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Of the scaled rows.
    components : ndarray of shape (n_components, n_features)
        Orthonormal rows; in each the entry of largest size is positive.
    variances : ndarray of shape (n_components,)
        Mean squared scores (divided by n, not n - 1), descending.
    """

    mean: Array
    components: Array
    variances: Array

    @property
    def deviations(self) -> Array:
        """Root of the variances, bounded below so that it can divide."""
        largest = float(self.variances[0]) if len(self.variances) else 0.0
        floor = max(largest * _LEAST_VARIANCE, np.finfo(np.float64).tiny)
        return np.sqrt(np.maximum(self.variances, floor))

    def head(self, count: int) -> PrincipalComponents:
        """Return the leading components."""
        return PrincipalComponents(self.mean, self.components[:count], self.variances[:count])


def principal_components(
    blocks: Blocks, n_rows: int, n_features: int, limit: int, seed: int
) -> PrincipalComponents:
    """Return the leading principal components.

    Exact by the covariance where there are few columns and by the Gram matrix where
    there are few values; else by a randomised range finder with power iterations
    (Halko, Martinsson and Tropp, 2011, algorithm 4.4), each a pass over the rows.

    Parameters
    ----------
    blocks : callable
        Returns an iterator over the scaled rows, float64, in the same order each time.
    n_rows, n_features : int
        Their number.
    limit : int
        How many components at most.
    seed : int
        For the randomised case only.

    Returns
    -------
    PrincipalComponents
        ``min(limit, n_rows, n_features)`` of them.
    """
    mean = sum(block.sum(0) for block in blocks()) / n_rows
    limit = min(limit, n_rows, n_features)
    if n_features <= _SQUARE_LIMIT:
        components, variances = _by_covariance(blocks, n_rows, n_features, mean, limit)
    elif n_rows <= _SQUARE_LIMIT and n_rows * n_features <= _WHOLE_VALUES:
        rows = np.concatenate([block - mean for block in blocks()])
        components, variances = _by_gram(rows, limit)
    else:
        components, variances = _randomised(blocks, n_rows, n_features, mean, limit, seed)
    return PrincipalComponents(mean, _with_fixed_signs(components), np.maximum(variances, 0.0))


def _by_covariance(
    blocks: Blocks, n_rows: int, n_features: int, mean: Array, limit: int
) -> tuple[Array, Array]:
    covariance = np.zeros((n_features, n_features))
    for block in blocks():
        centred = block - mean
        covariance += centred.T @ centred
    covariance /= n_rows
    values, vectors = np.linalg.eigh(covariance)
    return np.ascontiguousarray(vectors[:, ::-1][:, :limit].T), values[::-1][:limit]


def _by_gram(rows: Array, limit: int) -> tuple[Array, Array]:
    _, singular, components = np.linalg.svd(rows, full_matrices=False)
    return components[:limit], np.square(singular[:limit]) / len(rows)


def _randomised(
    blocks: Blocks, n_rows: int, n_features: int, mean: Array, limit: int, seed: int
) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    width = min(limit + _OVERSAMPLING, n_rows, n_features)
    basis = generator.standard_normal((n_features, width))
    for _ in range(_POWER_ITERATIONS):
        basis, _ = np.linalg.qr(basis)
        basis = _covariance_times(blocks, mean, basis)
    basis, _ = np.linalg.qr(basis)
    small = np.zeros((width, width))
    for block in blocks():
        scores = (block - mean) @ basis
        small += scores.T @ scores
    values, vectors = np.linalg.eigh(small / n_rows)
    components = (basis @ vectors[:, ::-1]).T
    return np.ascontiguousarray(components[:limit]), values[::-1][:limit]


def _covariance_times(blocks: Blocks, mean: Array, basis: Array) -> Array:
    product = np.zeros_like(basis)
    for block in blocks():
        centred = block - mean
        product += centred.T @ (centred @ basis)
    return product


def _with_fixed_signs(components: Array) -> Array:
    places = np.abs(components).argmax(1)
    signs = np.sign(components[np.arange(len(components)), places])
    signs[signs == 0] = 1.0
    result: Array = components * signs[:, None]
    return result


def residuals(
    principal: PrincipalComponents, rows: npt.NDArray[Any], target: npt.NDArray[Any] | None = None
) -> Array:
    """Return what PCA leaves over, for every row and number of components.

    Parameters
    ----------
    principal : PrincipalComponents
        With ``k`` components.
    rows : ndarray of shape (n_rows, n_features)
        Scaled rows, which are encoded.
    target : ndarray of shape (n_rows, n_features), optional
        What their reconstruction is compared with; the rows themselves if not given.

    Returns
    -------
    ndarray of shape (n_rows, k + 1)
        Sum of squares per row with 0, 1, ..., k components.
    """
    centred = np.asarray(rows, dtype=np.float64) - principal.mean
    scores = centred @ principal.components.T
    wanted = scores
    if target is not None:
        centred = np.asarray(target, dtype=np.float64) - principal.mean
        wanted = centred @ principal.components.T
    explained = np.zeros((len(centred), scores.shape[1] + 1))
    np.cumsum(scores * (2 * wanted - scores), axis=1, out=explained[:, 1:])
    result: Array = np.maximum(np.square(centred).sum(1)[:, None] - explained, 0.0)
    return result
