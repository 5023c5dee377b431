"""What columns that were carried along say of the parts of a sparse model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.report_parts.units import Companion

__all__ = ["companions"]

_MOST_LEVELS = 40
_FEWEST_ROWS = 8

Array = npt.NDArray[Any]


def companions(codes: Array, kept: pa.Table | None) -> tuple[Companion | None, ...]:
    """Return for each part what it goes with most closely, by Pearson's correlation.

    Parameters
    ----------
    codes : array of shape (r, u)
        Of the rows that are shown.
    kept : pyarrow.Table or None
        Columns of the same rows that were not fitted: numbers as they are, of text each
        level by itself unless there are more than 40. Rows without a value do not count.

    Returns
    -------
    tuple of (Companion or None)
        None for parts that do not vary, or where there is no such column.
    """
    best: list[Companion | None] = [None] * codes.shape[1]
    if kept is None:
        return tuple(best)
    for name, level, values in _numbers(kept):
        for place, found in enumerate(_correlations(codes, values)):
            known = best[place]
            if np.isfinite(found) and (known is None or abs(found) > abs(known.correlation)):
                best[place] = Companion(name, level, float(found))
    return tuple(best)


def _numbers(kept: pa.Table) -> Iterator[tuple[str, str | None, Array]]:
    """Yield name, level and values of what can be correlated; NaN where a value is missing."""
    for name, column in zip(kept.column_names, kept.columns, strict=True):
        kind = column.type
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            yield name, None, _floats(column)
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            levels = column.unique().drop_null()
            if len(levels) <= _MOST_LEVELS:
                for level in sorted(levels.to_pylist()):
                    yield name, level, _floats(pc.equal(column, level))


def _floats(column: pa.ChunkedArray) -> Array:
    """Return numbers, NaN where there is none."""
    numbers = pc.fill_null(column.cast(pa.float64()), np.nan)
    return np.asarray(numbers.to_numpy())


def _correlations(codes: Array, values: Array) -> Array:
    """Return the correlation of each part with a column; NaN where there is none."""
    known = np.isfinite(values)
    if known.sum() < _FEWEST_ROWS:
        return np.full(codes.shape[1], np.nan)
    z, x = codes[known].astype(np.float64), values[known]
    z, x = z - z.mean(0), x - x.mean()
    scale = np.sqrt(np.square(z).sum(0) * np.square(x).sum())
    found: Array = np.divide(x @ z, scale, out=np.full(len(scale), np.nan), where=scale > 0)
    return found
