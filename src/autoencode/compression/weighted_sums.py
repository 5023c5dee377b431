"""Weighted sums of columns of whole numbers: exact whatever the order of adding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import ColumnPlan

__all__ = ["FloatArray", "WeightedSum", "predicted", "sixteenths"]

# Predictions are clipped here, in sixteenths.
_FARTHEST = 1 << 56
# Sums are below 2**53: with this shift or a larger one they are not clipped.
_NO_CLIP_FROM = -3
# So few columns are always multiplied where they lie.
_SIDE_BY_SIDE = 16
FloatArray = npt.NDArray[np.float64]


def sixteenths(total: FloatArray, plan: ColumnPlan) -> IntArray:
    """Turn sums of weighted and centred values, which are overwritten, into predictions."""
    total *= 2.0**-plan.shift
    np.floor(total, out=total)
    if plan.shift < _NO_CLIP_FROM:
        np.clip(total, -_FARTHEST, _FARTHEST, out=total)
    found = total.astype(np.int64)
    found += 16 * plan.centre
    return found


def predicted(plan: ColumnPlan, regressors: Sequence[IntArray]) -> IntArray | None:
    """Return what centred values predict, in sixteenths; None if it is the centre.

    Sums are of whole numbers below 2**53 held in float64: exact in any order.
    """
    if not regressors:
        return None
    total = np.zeros(len(regressors[0]), np.float64)
    for weight, values in zip(plan.weights, regressors, strict=True):
        total += float(weight) * values
    return sixteenths(total, plan)


class _Term(NamedTuple):
    """Regressors so many rows before: columns, weights, and the sum of weighted centres."""

    lag: int
    columns: slice | IntArray
    weights: FloatArray
    centre: int


class WeightedSum:
    """The prediction of one column by others.

    Products and sums are of whole numbers below 2**53 held in float64, so that a matrix
    product of any library gives the same bits.

    Parameters
    ----------
    plan : ColumnPlan
        Of the column that is predicted.
    plans : sequence of ColumnPlan
        Of all columns.
    """

    def __init__(self, plan: ColumnPlan, plans: Sequence[ColumnPlan]) -> None:
        self._plan = plan
        # What is added before the shift, if all stays whole and below 2**62.
        middle = 16 * plan.centre << max(plan.shift, 0)
        self._middle = middle if plan.shift >= 0 and abs(middle) < 1 << 61 else None
        by_lag: dict[int, list[tuple[int, int]]] = {}
        for at, weight in zip(plan.regressors, plan.weights, strict=True):
            lag, column = divmod(at, len(plans))
            by_lag.setdefault(lag, []).append((column, weight))
        self._terms = [_term(lag, sorted(pairs), plans) for lag, pairs in by_lag.items()]

    def predict(
        self, columns: FloatArray, before: Sequence[slice], kept: IntArray | None
    ) -> IntArray | None:
        """Return predictions in sixteenths; None if there is nothing to predict from.

        Parameters
        ----------
        columns : ndarray of float64, shape (n_columns, n_rows)
            Whole numbers, in the order of coding.
        before : sequence of slice
            Which rows to predict, and the rows one before each, two before each, and so on.
        kept : ndarray of int64, optional
            Which of the rows are asked for.
        """
        if not self._terms:
            return None
        total: FloatArray | None = None
        added = 0
        for lag, chosen, weights, centre in self._terms:
            if lag < len(before):
                table = columns[chosen, before[lag]]
                part = weights @ (table if kept is None else table[:, kept])
                total = part if total is None else np.add(total, part, out=part)
                added -= centre
        if total is None:
            count = before[0].stop - before[0].start if kept is None else len(kept)
            return np.full(count, 16 * self._plan.centre)
        if self._middle is None:
            total += added
            return sixteenths(total, self._plan)
        found = total.astype(np.int64)
        found += added + self._middle
        found >>= self._plan.shift
        return found


def _term(lag: int, pairs: list[tuple[int, int]], plans: Sequence[ColumnPlan]) -> _Term:
    columns = [column for column, _ in pairs]
    centre = sum(weight * plans[column].centre for column, weight in pairs)
    first, stop = columns[0], columns[-1] + 1
    if max(2 * len(columns), _SIDE_BY_SIDE) <= stop - first:
        weights = np.array([weight for _, weight in pairs], np.float64)
        return _Term(lag, np.array(columns, np.int64), weights, centre)
    # Columns side by side are multiplied where they lie; those between count for nothing.
    weights = np.zeros(stop - first, np.float64)
    weights[[column - first for column in columns]] = [float(weight) for _, weight in pairs]
    return _Term(lag, slice(first, stop), weights, centre)
