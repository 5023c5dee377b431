"""Errors by size of the code, as shares of the variance, beside PCA's."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.measurement import HeldOut
from autoencode.selection import smallest_size

__all__ = ["explained_share", "fitted_curve", "prefix_shares", "promising_size", "source_at"]

Array = npt.NDArray[np.float64]


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
    total, pca = float(claim.pca[:, 0].mean()), claim.floor(sizes).mean(0)
    error = np.array(
        [
            floor if source == "pca" else errors[source][size]
            for size, source, floor in zip(sizes, sources, pca, strict=True)
        ]
    )
    n_features = len(claim.principal.mean)
    return {
        "size": np.array(sizes, dtype=np.int64),
        "error": error / n_features,
        "pca_error": pca / n_features,
        "explained_variance": explained_share(error, total),
        "pca_explained_variance": explained_share(pca, total),
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


def promising_size(
    sizes: list[int], nested: npt.NDArray[Any], tuned: float, total: float, level: float
) -> int:
    """Return the smallest size that should reach a level once it is fine-tuned too.

    Fine-tuning is expected to lower the error there by the factor by which it did at the
    size that it was done for.

    Parameters
    ----------
    sizes : list of int
        Up to the one that was fine-tuned.
    nested : ndarray
        Mean error per row of one network cut to each size.
    tuned : float
        That of the last size, fine-tuned.
    total : float
        That of the mean alone.
    level : float
        The asked share of variance.
    """
    gain = min(1.0, tuned / max(float(nested[-1]), 1e-300))
    found = smallest_size(sizes, explained_share(gain * nested, total), level)
    return sizes[-1] if found is None else found


def explained_share(left: npt.NDArray[Any], total: float) -> Array:
    """Return the share of variance explained; 1 where there is no variance."""
    if total <= 0:
        return np.ones_like(np.asarray(left, dtype=np.float64))
    result: Array = 1.0 - np.asarray(left, dtype=np.float64) / total
    return result


def source_at(sizes: list[int], sources: list[str], size: int) -> str:
    """Return which model is used at a size: that of the next one measured."""
    return sources[bisect_left(sizes, size)]
