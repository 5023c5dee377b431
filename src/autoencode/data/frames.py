"""Frames and tables in memory -> table sources, without importing pandas or polars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.data.columns import require_unique
from autoencode.data.finite import drop_options
from autoencode.data.rows import Kind
from autoencode.data.tables import TableSource, column_array, shortened
from autoencode.errors import DataError

__all__ = ["capsule_source", "is_capsule", "is_pandas", "pandas_source", "table_source"]


def is_pandas(data: Any) -> bool:
    """Tell whether ``data`` is a pandas frame; if it is, pandas is imported already."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def is_capsule(data: Any) -> bool:
    """Tell whether ``data`` is a table that speaks the Arrow PyCapsule interface."""
    shape = getattr(data, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 2:
        return False  # a series, which is refused for its shape like other 1-D data
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def table_source(table: pa.Table, *, kind: Kind = "arrow") -> TableSource:
    """Wrap a table in memory.

    Parameters
    ----------
    table : pyarrow.Table
        The table.
    kind : str, default "arrow"
        As in ``Rows.kind``.

    Returns
    -------
    TableSource
        Reading it copies nothing.
    """
    return TableSource(tuple(table.column_names), table.select, kind)


def capsule_source(data: Any) -> TableSource:
    """Open any object with ``__arrow_c_stream__`` or ``__arrow_c_array__``.

    Parameters
    ----------
    data : object
        A polars or duckdb frame, a ``pyarrow`` table, batch or reader ...

    Returns
    -------
    TableSource
        Numbers are shared with the object, not copied.

    Raises
    ------
    DataError
        If what it holds is not a table.
    """
    kind: Kind = "polars" if type(data).__module__.partition(".")[0] == "polars" else "arrow"
    try:
        if hasattr(data, "__arrow_c_stream__"):
            table = pa.RecordBatchReader.from_stream(data).read_all()
        else:
            table = pa.Table.from_batches([pa.record_batch(data)])
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        raise DataError(f"the {type(data).__name__} is not an Arrow table: {message}") from error
    return table_source(table, kind=kind)


def pandas_source(frame: Any) -> TableSource:
    """Open a pandas frame.

    Parameters
    ----------
    frame : pandas.DataFrame
        Named if all its column names are strings; without names if none is, as
        scikit-learn has it.

    Returns
    -------
    TableSource
        Numeric columns are shared where they are contiguous, else copied when read.

    Raises
    ------
    DataError
        If some column names are strings and some are not.
    """
    given = list(frame.columns)
    are_text = [isinstance(name, str) for name in given]
    if any(are_text) and not all(are_text):
        kinds = sorted({type(name).__name__ for name in given})
        raise DataError(
            "Feature names are only supported if all input features have string names, but "
            f"the frame has {kinds} as column name types; convert them all to strings"
        )
    names = tuple(str(name) for name in given)
    require_unique(names)
    positions = {name: position for position, name in enumerate(names)}

    def read(columns: Sequence[str]) -> pa.Table:
        arrays = [_pandas_column(name, frame.iloc[:, positions[name]]) for name in columns]
        return pa.Table.from_arrays(arrays, names=list(columns))

    return TableSource(names, read, "pandas", bool(given) and all(are_text), frame.index)


def _pandas_column(name: str, series: Any) -> pa.Array | pa.ChunkedArray:
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        # Arrow has no floats beyond double precision.
        values = series.to_numpy()
        return column_array(values.astype(np.float64) if dtype.itemsize > 8 else values)
    if hasattr(dtype, "subtype") and hasattr(dtype, "fill_value"):
        return _pandas_column(name, series.sparse.to_dense())
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError) as error:
        if isinstance(dtype, np.dtype) and dtype.kind == "c":
            raise DataError(f"Complex data not supported: column {name!r} is {dtype}") from error
        row, cell = _first_text(series)
        raise DataError(
            f"column {name!r} is not numeric: {shortened(cell)} in row {row + 1}; leave it out "
            f"with {drop_options([name])}"
        ) from error


def _first_text(series: Any) -> tuple[int, str]:
    """Find the first cell of a mixed column that is not a number: its row and its text."""
    for row, value in enumerate(series):
        if not isinstance(value, (int, float, np.number, type(None))):
            return row, str(value)
    return 0, str(series.iloc[0])
