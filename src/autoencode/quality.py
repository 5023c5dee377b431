"""How well each column of a table is reconstructed, on rows that nothing saw."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.preprocess.columns import Schema

__all__ = ["column_quality"]

Array = npt.NDArray[np.float64]


def column_quality(
    schema: Schema,
    truth: Array,
    guess: Array,
    counted: npt.NDArray[np.bool_],
    errors: Array,
) -> list[dict[str, Any]]:
    """Measure each column by what suits it.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    truth, guess : ndarray of shape (rows, n_values)
        Values before scaling, NaN where missing, and what the model makes of them.
    counted : ndarray of shape (rows, n_values)
        Which of them to compare.
    errors : ndarray of shape (n_values,)
        Mean squared errors, scaled.

    Returns
    -------
    list of dict
        For each column ``name``; ``measure``: "explained_variance" (of the column as
        transformed) for numbers, "accuracy" for categories, None for a column that is
        left out or constant; ``quality`` by it; ``baseline``: what always answering the
        mean or the commonest level reaches; ``error_share``: the column's share of the
        error of all.
    """
    total = max(float(errors.sum()), np.finfo(np.float64).tiny)
    found = []
    exact, guessed = schema.gather(truth), schema.gather(guess)
    for span in schema.spans:
        block, values = span.block, span.values
        entry: dict[str, Any] = {"name": block.name, "measure": None}
        if block.n_values:
            rows = counted[:, values.start]
            entry["error_share"] = float(errors[values].sum() / total)
            if block.segments[0][0] in ("gaussian", "count"):
                first = values.start
                quality = _explained(truth[rows, first], guess[rows, first])
                entry |= {"measure": "explained_variance", "quality": quality, "baseline": 0.0}
            else:
                right = (exact[rows, span.cells] == guessed[rows, span.cells]).all(1)
                common = _commonest(exact[rows, span.cells.start])
                quality = float(right.mean()) if len(right) else None
                entry |= {"measure": "accuracy", "quality": quality, "baseline": common}
        found.append(entry)
    return found


def _explained(truth: Array, guess: Array) -> float | None:
    if not len(truth):
        return None
    total = float(np.square(truth - truth.mean()).sum())
    left = float(np.square(truth - guess).sum())
    if total == 0:
        return 1.0 if left == 0 else 0.0
    return 1.0 - left / total


def _commonest(cells: Array) -> float | None:
    known = cells[~np.isnan(cells)]
    if not len(known):
        return None
    _, counts = np.unique(known, return_counts=True)
    return float(counts.max() / len(known))
