"""Errors of networks and of PCA on held-out rows, at one or many sizes of the code."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.interfaces import Batch, Context, Likelihood
from autoencode.network import Network
from autoencode.numerics import matrix_products
from autoencode.preprocess.principal import PrincipalComponents, residuals
from autoencode.scaled_rows import ScaledRows

__all__ = ["HeldOut", "explained_share", "fitted_curve", "prefix_shares", "source_at"]

Array = npt.NDArray[np.float64]

_PIECE = 1024


class HeldOut:
    """Held-out rows, and PCA's errors on them.

    Parameters
    ----------
    rows : ScaledRows
        May be none at all: then PCA is judged on the rows it was fitted to.
    principal : PrincipalComponents
        PCA of the training rows.
    training : ScaledRows
        Those rows.

    Attributes
    ----------
    pca : ndarray of shape (rows, k + 1)
        PCA's squared error of each row with 0, 1, ..., k components.
    """

    def __init__(
        self, rows: ScaledRows, principal: PrincipalComponents, training: ScaledRows
    ) -> None:
        self.rows, self.principal, self.training = rows, principal, training
        if not len(rows):
            total = sum(float(np.square(b - principal.mean).sum()) for b in training.blocks())
            explained = np.concatenate([[0.0], np.cumsum(principal.variances)])
            self.pca = np.maximum(total / len(training) - explained, 0.0)[None]
            return
        self.pca = residuals(principal, *rows.values())
        values, target = rows.tensors()
        self.x, self.y = values, values if target is None else target

    def errors(self, network: Network, likelihood: Likelihood, sizes: Sequence[int]) -> Array:
        """Return a network's squared error of every row at every size.

        Parameters
        ----------
        network : Network
            On the device of the rows.
        likelihood : Likelihood
            Says what value its parameters mean.
        sizes : sequence of int
            Numbers of leading components.

        Returns
        -------
        ndarray of shape (rows, len(sizes))
            Sum of squares over values; products in float32, never less.
        """
        full = network.bottleneck.latent_shape[0]
        found = torch.empty(len(self.x), len(sizes), dtype=torch.float64)
        with torch.inference_mode(), matrix_products("ieee"):
            for start in range(0, len(self.x), _PIECE):
                x, y = self.x[start : start + _PIECE], self.y[start : start + _PIECE]
                code = network.encode(Batch(x), Context())
                for place, size in enumerate(sizes):
                    params = network.decode(code, _cut(size, full, x))
                    error = (likelihood.mean(params).flatten(1) - y).square()
                    found[start : start + len(x), place] = error.sum(1)
        return found.numpy()

    def column_errors(self, network: Network, likelihood: Likelihood, size: int) -> Array:
        """Return a network's mean squared error of every column, ``(n_features,)``."""
        full = network.bottleneck.latent_shape[0]
        total = torch.zeros(self.y.shape[1], dtype=torch.float64)
        with torch.inference_mode(), matrix_products("ieee"):
            for start in range(0, len(self.x), _PIECE):
                x, y = self.x[start : start + _PIECE], self.y[start : start + _PIECE]
                params = network(Batch(x), _cut(size, full, x)).params
                total += (likelihood.mean(params).flatten(1) - y).square().sum(0).cpu()
        return (total / len(self.x)).numpy()

    def pca_column_errors(self, size: int) -> Array:
        """Return PCA's mean squared error of every column, ``(n_features,)``."""
        head = self.principal.head(size)
        if len(self.rows):
            values, target = self.rows.values()
            pieces = [(values, values if target is None else target)]
            count = len(self.rows)
        else:
            pieces = [(block, block) for block in self.training.blocks()]
            count = len(self.training)
        total = np.zeros(len(head.mean))
        for values, wanted in pieces:
            scores = (values - head.mean) @ head.components.T
            total += np.square(wanted - head.mean - scores @ head.components).sum(0)
        result: Array = total / count
        return result


def _cut(size: int, full: int, x: torch.Tensor) -> Context:
    if size == full:
        return Context()
    return Context(size=torch.full((len(x),), size, device=x.device))


def fitted_curve(
    claim: HeldOut,
    errors: dict[str, dict[int, float]],
    sizes: list[int],
    sources: list[str],
) -> dict[str, npt.NDArray[Any]]:
    """Return error and share explained by size, beside PCA's.

    Parameters
    ----------
    claim : HeldOut
        Rows that nothing saw.
    errors : dict of str to dict of int to float
        Mean squared error per row of every network, by size.
    sizes, sources : list
        The sizes and which model is used at each.
    """
    pca = claim.pca.mean(0)
    error = np.array(
        [
            pca[size] if source == "pca" else errors[source][size]
            for size, source in zip(sizes, sources, strict=True)
        ]
    )
    n_features = len(claim.principal.mean)
    return {
        "size": np.array(sizes, dtype=np.int64),
        "error": error / n_features,
        "pca_error": pca[sizes] / n_features,
        "explained_variance": explained_share(error, float(pca[0])),
        "pca_explained_variance": explained_share(pca[sizes], float(pca[0])),
        "network": np.array([source != "pca" for source in sources]),
    }


def prefix_shares(
    claim: HeldOut, errors: dict[str, dict[int, float]], source: str, size: int
) -> Array:
    """Return the share explained by 1, 2, ... leading components of one model.

    Between sizes that were not measured the share is interpolated.
    """
    pca = claim.pca.mean(0)
    every = np.arange(1, size + 1)
    if source == "pca":
        return explained_share(pca[every], float(pca[0]))
    known = [measured for measured in sorted(errors[source]) if measured <= size]
    left = np.array([errors[source][measured] for measured in known])
    shares = explained_share(left, float(pca[0]))
    result: Array = np.interp(every, [0, *known], [0.0, *shares])
    return result


def explained_share(left: npt.NDArray[Any], total: float) -> Array:
    """Return the share of variance explained; 1 where there is no variance."""
    if total <= 0:
        return np.ones_like(np.asarray(left, dtype=np.float64))
    result: Array = 1.0 - np.asarray(left, dtype=np.float64) / total
    return result


def source_at(sizes: list[int], sources: list[str], size: int) -> str:
    """Return which model is used at a size: that of the next one measured."""
    return sources[bisect_left(sizes, size)]
