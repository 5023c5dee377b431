"""How good a reconstruction is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import FloatArray, Rows
from autoencode.errors import DataError

__all__ = ["STABLE", "explained_variance", "log_likelihood", "variance_explained"]

Array = npt.NDArray[np.float64]

STABLE = 0.9
"""Cosine of a part with its match from another start above which it counts as found twice."""


def explained_variance(rows: Rows, reconstructed: FloatArray, scale: Array) -> float:
    """Return the share of variance that a reconstruction explains.

    Parameters
    ----------
    rows : Rows
        ``(n_rows, n_features)``; missing values do not count.
    reconstructed : ndarray of shape (n_rows, n_features)
        In the same units.
    scale : ndarray of shape (n_features,)
        Columns are divided by it first.

    Returns
    -------
    float
        ``1 - sum of squared errors / sum of squared deviations from the mean``, as
        scikit-learn's ``r2_score(multioutput="variance_weighted")`` of scaled values; for
        rows without variance 1 if they are exact and 0 if not.
    """
    sums: Any = 0.0
    counts: Any = 0
    for _, block in rows.blocks():
        sums = sums + np.nansum(block, 0, dtype=np.float64)
        counts = counts + (~np.isnan(block)).sum(0)
    mean = sums / np.maximum(counts, 1)
    left = total = 0.0
    for start, block in rows.blocks():
        done = reconstructed[start : start + len(block)]
        left += float(np.nansum(np.square((block - done) / scale), dtype=np.float64))
        total += float(np.nansum(np.square((block - mean) / scale), dtype=np.float64))
    if total == 0:
        return 1.0 if left == 0 else 0.0
    return 1.0 - left / total


def variance_explained(X: npt.ArrayLike, reconstructed: npt.ArrayLike) -> float:
    """Return the share of variance that a reconstruction of an array explains.

    Parameters
    ----------
    X, reconstructed : array-like of shape (n_rows, n_features)
        Without missing values.

    Returns
    -------
    float
        scikit-learn's ``r2_score(X, reconstructed, multioutput="variance_weighted")``:
        squared errors and squared deviations from the columns' means are summed over all
        values. For rows without variance 1 if they are exact and 0 if not.

    Raises
    ------
    DataError
        If the shapes differ.
    """
    values = np.asarray(X, dtype=np.float64)
    done = np.asarray(reconstructed, dtype=np.float64)
    if values.ndim != 2 or values.shape != done.shape:
        raise DataError(
            f"rows of shape {values.shape} and a reconstruction of shape {done.shape}: "
            "both must be (n_rows, n_features)"
        )
    left = float(np.square(values - done).sum())
    total = float(np.square(values - values.mean(axis=0)).sum())
    if total == 0:
        return 1.0 if left == 0 else 0.0
    return 1.0 - left / total


def log_likelihood(rows: Rows, reconstructed: FloatArray, deviation: Array) -> Array:
    """Return each value's normal log-density around its reconstruction, in nats.

    Parameters
    ----------
    rows : Rows
        ``(n_rows, n_features)``.
    reconstructed : ndarray of shape (n_rows, n_features)
        The means.
    deviation : ndarray of shape (n_features,)
        The standard deviation of each column, in the data's units.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        NaN where a value is missing.
    """
    constant = -np.log(deviation) - 0.5 * math.log(2 * math.pi)
    scores = np.empty((rows.n_rows, rows.n_features))
    for start, block in rows.blocks():
        done = reconstructed[start : start + len(block)]
        squares = np.square((block.astype(np.float64) - done) / deviation)
        scores[start : start + len(block)] = constant - 0.5 * squares
    return scores
