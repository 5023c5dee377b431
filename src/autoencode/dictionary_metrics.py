"""How good a dictionary and its sparse codes are: activity, stability, recovery of known parts.

Codes are ``(n_rows, n_components)``, dense or any SciPy sparse form; a unit is active in a row
where its code is not zero. Parts are ``(n_components, n_features)``, one row per unit; their
length and sign do not matter here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from autoencode.errors import DataError

__all__ = [
    "active_units",
    "agreement",
    "dead_units",
    "dense_units",
    "detection_f1",
    "firing_frequency",
    "match",
    "mean_max_cosine",
    "nearest_cosine",
    "stability",
    "uniqueness",
]

Array: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_BLOCK = 1024


def active_units(codes: Any) -> Integers:
    """Return the number of active units of every row, of shape (n_rows,)."""
    pattern = _pattern(codes)
    return np.asarray(np.diff(pattern.indptr), dtype=np.int64)


def firing_frequency(codes: Any) -> Array:
    """Return the share of rows in which each unit is active, of shape (n_components,).

    Raises
    ------
    DataError
        If there are no rows.
    """
    pattern = _pattern(codes)
    n_rows, n_components = pattern.shape
    if n_rows == 0:
        raise DataError("codes have no rows: give at least one row to measure activity on")
    counts = np.bincount(pattern.indices, minlength=n_components)
    return np.asarray(counts / n_rows, dtype=np.float64)


def dead_units(codes: Any) -> Mask:
    """Return which units are active in no row, of shape (n_components,)."""
    return np.asarray(firing_frequency(codes) == 0)


def dense_units(codes: Any, threshold: float = 0.1) -> Mask:
    """Return which units are active in more than this share of the rows.

    Parameters
    ----------
    codes : array-like or sparse matrix of shape (n_rows, n_components)
        A unit that is active nearly everywhere says little about any row.
    threshold : float
        Share of the rows, in [0, 1).

    Returns
    -------
    ndarray of bool of shape (n_components,)

    Raises
    ------
    DataError
        If the threshold is not a share.
    """
    if not 0 <= threshold < 1:
        raise DataError(f"threshold is {threshold}: give a share of rows in [0, 1)")
    return np.asarray(firing_frequency(codes) > threshold)


def nearest_cosine(parts: npt.ArrayLike) -> Array:
    """Return each unit's largest absolute cosine with another unit of the same dictionary.

    Parameters
    ----------
    parts : array-like of shape (n_components, n_features)
        A part of length 0 has the cosine 0 with every other.

    Returns
    -------
    ndarray of shape (n_components,)
        Near 1 for duplicates; 0 for a dictionary of one unit.
    """
    unit = _unit(parts)
    result = np.zeros(len(unit))
    for start, cosines in _cosines(unit, unit):
        own = np.arange(len(cosines))
        cosines[own, start + own] = 0.0
        result[start : start + len(cosines)] = cosines.max(axis=1)
    return result


def uniqueness(parts: npt.ArrayLike, threshold: float = 0.9) -> float:
    """Return the share of units whose `nearest_cosine` is below the threshold."""
    return float(np.mean(nearest_cosine(parts) < threshold))


def stability(parts: npt.ArrayLike, others: npt.ArrayLike) -> Array:
    """Return each unit's largest absolute cosine with a unit of another dictionary.

    Parameters
    ----------
    parts, others : array-like of shape (n_components, n_features)
        Of fits that differ in nothing but their seed, as a rule; the numbers of
        components may differ. A unit that the other fit did not find is no fact of the data.

    Returns
    -------
    ndarray of shape (n_components,)
        For the units of ``parts``, in [0, 1].
    """
    unit, other = _pair(parts, others)
    result = np.zeros(len(unit))
    for start, cosines in _cosines(unit, other):
        result[start : start + len(cosines)] = cosines.max(axis=1)
    return result


def mean_max_cosine(parts: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the mean over true parts of their largest absolute cosine with a learnt part.

    Several true parts may be met by one learnt part; `agreement` does not allow that.
    After Sharkey et al. (2022), "Taking features out of superposition".
    """
    return float(stability(truth, parts).mean())


def match(parts: npt.ArrayLike, others: npt.ArrayLike) -> tuple[Integers, Integers, Array]:
    """Pair the units of two dictionaries so that the sum of absolute cosines is largest.

    Parameters
    ----------
    parts, others : array-like of shape (n_components, n_features)
        The numbers of components may differ.

    Returns
    -------
    tuple of (ndarray, ndarray, ndarray)
        Index in ``parts``, index in ``others`` and absolute cosine of each pair; there are
        as many pairs as the smaller dictionary has units (Kuhn 1955, "The Hungarian method").
    """
    unit, other = _pair(parts, others)
    cosines = np.concatenate([block for _, block in _cosines(unit, other)])
    first, second = linear_sum_assignment(cosines, maximize=True)
    return first.astype(np.int64), second.astype(np.int64), cosines[first, second]


def agreement(parts: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the mean absolute cosine of true parts with the units that they are paired with.

    Parameters
    ----------
    parts : array-like of shape (n_components, n_features)
        The dictionary to judge.
    truth : array-like of shape (n_true, n_features)
        The planted parts, or the dictionary of another seed.

    Returns
    -------
    float
        In [0, 1]. True parts without a partner count 0, surplus units do not count.
    """
    _, _, cosines = match(parts, truth)
    return float(cosines.sum() / len(np.asarray(truth)))


def detection_f1(
    codes: Any, parts: npt.ArrayLike, true_codes: Any, true_parts: npt.ArrayLike
) -> float:
    """Return how well activity is found: the mean F1 over true parts, paired by `match`.

    Parameters
    ----------
    codes, parts : array-like
        Codes and parts to judge, of shapes (n_rows, n_components) and
        (n_components, n_features).
    true_codes, true_parts : array-like
        The planted ones, or those of another seed for the same rows.

    Returns
    -------
    float
        In [0, 1]. F1 of a part is ``2 * both / (active + truly active)`` in counts of rows;
        0 where it has no partner or is active on neither side.

    Raises
    ------
    DataError
        If codes do not fit their parts, or each other.
    """
    found, true = _pattern(codes), _pattern(true_codes)
    if found.shape[0] != true.shape[0]:
        raise DataError(
            f"codes of {found.shape[0]} and of {true.shape[0]} rows: both must be of the same rows"
        )
    n_true = len(np.asarray(true_parts))
    for given, n_parts in ((found, len(np.asarray(parts))), (true, n_true)):
        if given.shape[1] != n_parts:
            raise DataError(
                f"codes of {given.shape[1]} units for {n_parts} parts: give one column per part"
            )
    first, second, _ = match(parts, true_parts)
    here, there = found.tocsc()[:, first], true.tocsc()[:, second]
    both = np.asarray(here.multiply(there).sum(axis=0), dtype=np.float64).ravel()
    counts = np.diff(here.indptr) + np.diff(there.indptr)
    return float((2 * both / np.maximum(counts, 1)).sum() / n_true)


def _pattern(codes: Any) -> Any:
    """Return where codes are not zero, as CSR of ones without stored zeros."""
    matrix = codes if sparse.issparse(codes) else np.asarray(codes)
    if matrix.ndim != 2:
        raise DataError(f"codes have {matrix.ndim} dimensions: give (n_rows, n_components)")
    pattern = sparse.csr_matrix(matrix, copy=True)
    pattern.sum_duplicates()
    pattern.eliminate_zeros()
    pattern.data = np.ones(len(pattern.data), dtype=np.float64)
    return pattern


def _unit(parts: npt.ArrayLike) -> Array:
    """Return parts at length 1; those of length 0 stay."""
    values = np.asarray(parts, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"parts have shape {values.shape}: give (n_components, n_features)")
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(lengths > 0, lengths, 1.0)


def _pair(parts: npt.ArrayLike, others: npt.ArrayLike) -> tuple[Array, Array]:
    """Return two dictionaries at length 1, over the same features."""
    unit, other = _unit(parts), _unit(others)
    if unit.shape[1] != other.shape[1]:
        raise DataError(
            f"parts over {unit.shape[1]} and over {other.shape[1]} features: "
            "both dictionaries must be of the same features"
        )
    return unit, other


def _cosines(unit: Array, other: Array) -> Iterator[tuple[int, Array]]:
    """Yield absolute cosines in blocks of rows, each with its first row's number."""
    for start in range(0, len(unit), _BLOCK):
        yield start, np.abs(unit[start : start + _BLOCK] @ other.T)
