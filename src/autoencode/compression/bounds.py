"""What the user allows as an error -> one absolute bound for each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.compression.arrow_fields import number_type
from autoencode.compression.numbers import Values
from autoencode.compression.quantising import absolute_bound, check_bound, shortened
from autoencode.errors import SpecError

__all__ = ["Allowed", "array_bounds", "checked_allowance", "table_bounds"]

Allowed: TypeAlias = float | Mapping[str, float] | None


def checked_allowance(error: Allowed, relative: Allowed) -> None:
    """Refuse bounds that are none.

    Raises
    ------
    SpecError
        If both are given, or one is negative or not finite.
    """
    if error is not None and relative is not None:
        raise SpecError("error and relative exclude each other; give one of them")
    for name, given in (("error", error), ("relative", relative)):
        if isinstance(given, Mapping):
            for column, bound in given.items():
                check_bound(bound, f"{name} of {column!r}")
        elif given is not None:
            check_bound(given, name)


def array_bounds(values: Values, error: Allowed, relative: Allowed) -> tuple[float, ...]:
    """Return the bound of each column of a matrix, or one for an array of other shape.

    Parameters
    ----------
    values : ndarray
        The array, of numbers.
    error : float or None
        The largest absolute error.
    relative : float or None
        As a share of the range of each column of a matrix, or of the whole array.

    Raises
    ------
    SpecError
        If bounds are given by name.
    """
    if isinstance(error, Mapping) or isinstance(relative, Mapping):
        raise SpecError("an array has no column names; give one bound for all")
    if values.dtype.kind not in "iuf":
        return (0.0,)
    if relative:
        if values.ndim != 2:
            return (absolute_bound(np.asarray(values), relative),)
        return tuple(
            absolute_bound(np.ascontiguousarray(values[:, place]), relative)
            for place in range(values.shape[1])
        ) or (0.0,)
    return (float(error or 0.0),)


def table_bounds(
    schema: pa.Schema, batches: Iterable[Any], error: Allowed, relative: Allowed
) -> tuple[float, ...]:
    """Return the bound of each column of a table; 0 for those that are not numbers.

    Parameters
    ----------
    schema : Schema
        Of the table.
    batches : iterable of pyarrow.Table or RecordBatch
        The rows; looked at only for bounds that are relative.
    error, relative : float, mapping or None
        For all columns of numbers, or by name.

    Raises
    ------
    SpecError
        If a name is not that of a column of numbers.
    """
    given = _by_column(schema, error if relative is None else relative)
    if relative is None or not any(given):
        return tuple(given)
    ranges: dict[int, tuple[float, float]] = {}
    n_rows = 0
    for batch in batches:
        n_rows += batch.num_rows
        for place, share in enumerate(given):
            if share:
                _widen(ranges, place, batch.column(place))
    return tuple(
        shortened(share * (ranges[place][1] / 2 - ranges[place][0] / 2) * 2, n_rows)
        if share and place in ranges
        else 0.0
        for place, share in enumerate(given)
    )


def _by_column(schema: pa.Schema, given: Allowed) -> Sequence[float]:
    numeric = [_is_number(field.type) for field in schema]
    if not isinstance(given, Mapping):
        return [float(given or 0.0) if fits else 0.0 for fits in numeric]
    known = {field.name for field, fits in zip(schema, numeric, strict=True) if fits}
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known)[:10])
            raise SpecError(f"there is no column of numbers {name!r}; there are {listed}")
    return [float(given.get(field.name, 0.0)) for field in schema]


def _is_number(arrow_type: pa.DataType) -> bool:
    dtype = number_type(arrow_type)
    plain = pa.types.is_integer(arrow_type) or pa.types.is_floating(arrow_type)
    return dtype is not None and bool(plain)


def _widen(ranges: dict[int, tuple[float, float]], place: int, column: Any) -> None:
    if pa.types.is_floating(column.type):
        values = _present(column)
        values = values[np.isfinite(values)]
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())
    else:
        found = pc.min_max(column).as_py()
        if found["min"] is None:
            return
        low, high = float(found["min"]), float(found["max"])
    before = ranges.get(place, (low, high))
    ranges[place] = (min(low, before[0]), max(high, before[1]))


def _present(column: Any) -> Values:
    kept = column.drop_null()
    chunks = kept.chunks if isinstance(kept, pa.ChunkedArray) else [kept]
    found = [chunk.to_numpy(zero_copy_only=False) for chunk in chunks]
    return np.concatenate(found) if found else np.empty(0)
