"""Frames and tables in memory -> table sources, and back.

pandas and polars are imported only to make a frame of theirs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import pyarrow as pa

from autoencode.data.columns import require_unique
from autoencode.data.rows import Kind
from autoencode.data.tables import TableSource
from autoencode.errors import DataError

__all__ = ["capsule_source", "is_capsule", "is_pandas", "pandas_source", "table_source", "to_frame"]


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
    return TableSource(tuple(table.column_names), lambda columns, _: table.select(columns), kind)


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
    if kind != "polars":
        return table_source(table)

    def describe(columns: Sequence[str]) -> dict[str, Any]:
        enums = {name: data.schema[name] for name in columns if _is_enum(data.schema[name])}
        return {name: {"categories": enum.categories.to_list()} for name, enum in enums.items()}

    return replace(table_source(_without_views(table), kind=kind), describe=describe)


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
        If some column names are strings and some are not, or two are the same.
    """
    from autoencode.data.pandas_columns import arrow_column, describe

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

    def read(columns: Sequence[str], _: Set[str]) -> pa.Table:
        arrays = [arrow_column(name, frame.iloc[:, positions[name]]) for name in columns]
        return pa.Table.from_arrays(arrays, names=list(columns))

    def describe_all(columns: Sequence[str]) -> dict[str, Any]:
        found = {name: describe(frame.iloc[:, positions[name]]) for name in columns}
        for name in columns:
            if isinstance(given[positions[name]], int):
                found[name]["label"] = int(given[positions[name]])
        return found

    named = bool(given) and all(are_text)
    return TableSource(names, read, "pandas", named, frame.index, describe_all)


def to_frame(
    table: pa.Table,
    kind: Kind,
    *,
    index: Any = None,
    dtypes: Mapping[str, Any] | None = None,
) -> Any:
    """Give a table back as the kind of frame that was given.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of the types that `pandas_source` or `capsule_source` gave.
    kind : {"pandas", "polars", "arrow"}
        As in ``TableData.kind``.
    index : pandas.Index, optional
        Of as many rows; numbers from 0 if not given.
    dtypes : mapping, optional
        As in ``TableData.dtypes``.

    Returns
    -------
    pandas.DataFrame, polars.DataFrame or pyarrow.Table
        With the dtypes, categories and time zones that were given; missing values among
        NumPy's integers and booleans make pandas' nullable dtypes of them. The table
        itself if its kind is another one or its package is not installed.
    """
    if kind not in ("pandas", "polars"):
        return table
    try:
        package: Any = importlib.import_module(kind)
    except ImportError:
        return table
    described = dtypes or {}
    if kind == "polars":
        enums = {name: package.Enum(kind["categories"]) for name, kind in described.items()}
        return package.from_arrow(table).cast(enums)
    from autoencode.data.pandas_columns import pandas_series

    if index is None:
        index = package.RangeIndex(table.num_rows)
    columns = {
        described.get(name, {}).get("label", name): pandas_series(
            column, described.get(name), index
        )
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    return package.DataFrame(columns, index=index, copy=False)


def _is_enum(dtype: Any) -> bool:
    return type(dtype).__name__ == "Enum"


def _without_views(table: pa.Table) -> pa.Table:
    """Turn text of the kind that polars hands out into one that every kernel takes."""
    fields = [field.with_type(_without_view(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields))


def _without_view(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(arrow_type):
        return pa.large_string()
    if pa.types.is_dictionary(arrow_type):
        plain = _without_view(arrow_type.value_type)
        return pa.dictionary(arrow_type.index_type, plain, ordered=arrow_type.ordered)
    return arrow_type
