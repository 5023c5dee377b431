"""Columns of pandas frames -> Arrow arrays, and back with the very dtypes they had."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.data.finite import drop_options
from autoencode.data.matrix import column_values
from autoencode.data.tables import column_array, shortened
from autoencode.errors import DataError

__all__ = ["arrow_column", "describe", "pandas_series"]

# pandas is in ``sys.modules`` whenever these functions are called: whoever hands over a
# frame, or is to get one, has imported it.

MISSING_NAMES = {"NoneType": "None", "float": "nan", "NaTType": "NaT", "NAType": "NA"}


def arrow_column(name: str, series: Any) -> pa.Array | pa.ChunkedArray:
    """Read a column of a frame.

    Parameters
    ----------
    name : str
        Its name, for messages.
    series : pandas.Series
        The column.

    Returns
    -------
    pyarrow.Array or pyarrow.ChunkedArray
        Missing values are null, but NaN in NumPy's floats, which are shared where they
        are contiguous. Categories become a dictionary, unused ones included; those that
        Arrow has no type for go by their text. Periods become the time they begin.

    Raises
    ------
    DataError
        If values are of more than one type, or of a type that cannot be used.
    """
    pandas = sys.modules["pandas"]
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        # Arrow has no floats beyond double precision.
        values = series.to_numpy()
        return column_array(values.astype(np.float64) if dtype.itemsize > 8 else values)
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        raise DataError(f"Complex data not supported: column {name!r} is {dtype}")
    if isinstance(dtype, pandas.SparseDtype):
        return arrow_column(name, series.sparse.to_dense())
    if isinstance(dtype, pandas.CategoricalDtype):
        return _dictionary(name, series.cat)
    if isinstance(dtype, pandas.PeriodDtype):
        series = series.dt.to_timestamp()
    elif isinstance(dtype, pandas.IntervalDtype):
        raise DataError(
            f"column {name!r} holds intervals ({dtype}); convert it to a category or leave it "
            f"out with {drop_options([name])}"
        )
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(_refusal(name, series, error)) from error


def describe(series: Any) -> dict[str, Any]:
    """Describe the dtype of a column beyond what Arrow keeps of it.

    Parameters
    ----------
    series : pandas.Series
        The column.

    Returns
    -------
    dict
        Plain JSON, from which `pandas_series` makes the dtype again.
    """
    pandas = sys.modules["pandas"]
    dtype = series.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        categories = _described_index(dtype.categories)
        return {"dtype": "category", "ordered": bool(dtype.ordered), "categories": categories}
    if isinstance(dtype, pandas.StringDtype):
        missing = "NA" if dtype.na_value is pandas.NA else "nan"
        return {"dtype": "string", "storage": dtype.storage, "missing": missing}
    if isinstance(dtype, pandas.ArrowDtype):
        return {"dtype": "arrow"}
    if isinstance(dtype, pandas.SparseDtype):
        fill = None if pandas.isna(dtype.fill_value) else np.asarray(dtype.fill_value).item()
        return {"dtype": "sparse", "values": str(dtype.subtype), "fill": fill}
    if dtype == np.dtype(object):
        holes = np.flatnonzero(pandas.isna(series))
        first = series.iloc[holes[0]] if holes.size else None
        return {"dtype": "object", "missing": MISSING_NAMES.get(type(first).__name__, "nan")}
    return {"dtype": str(dtype)}


def pandas_series(column: pa.ChunkedArray, described: Mapping[str, Any] | None, index: Any) -> Any:
    """Make a column of a frame.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Of the type that `arrow_column` gave.
    described : mapping or None
        What `describe` said; without it, pyarrow's choice of dtype is taken.
    index : pandas.Index
        Its index.

    Returns
    -------
    pandas.Series
        Of the described dtype; of the nullable one in place of NumPy's integers and
        booleans if values are missing.
    """
    pandas: Any = sys.modules["pandas"]
    if described is None:
        return column.to_pandas().set_axis(index)
    values = _values(pandas, column, described)
    return pandas.Series(values, index=index, dtype=values.dtype, copy=False)


def _values(pandas: Any, column: pa.ChunkedArray, described: Mapping[str, Any]) -> Any:
    kind = described["dtype"]
    if kind == "category":
        return _categorical(pandas, column, described)
    if kind == "object":
        return _objects(pandas, column, described["missing"])
    if kind == "arrow":
        return pandas.ArrowDtype(column.type).__from_arrow__(column)
    if kind == "string":
        missing = pandas.NA if described["missing"] == "NA" else np.nan
        dtype = pandas.StringDtype(described["storage"], na_value=missing)
        return dtype.__from_arrow__(column.cast(pa.large_string()))
    if kind == "sparse":
        fill = np.nan if described["fill"] is None else described["fill"]
        dtype = pandas.SparseDtype(np.dtype(described["values"]), fill)
        return pandas.arrays.SparseArray(column_values(column), dtype=dtype)
    dtype = pandas.api.types.pandas_dtype(kind)
    if isinstance(dtype, pandas.PeriodDtype):
        return column.to_pandas().dt.to_period(dtype.freq).array
    if isinstance(dtype, np.dtype):
        return _numpy_values(pandas, column, dtype)
    return dtype.__from_arrow__(column)


def _numpy_values(pandas: Any, column: pa.ChunkedArray, dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "mM":
        return column.to_pandas().to_numpy().astype(dtype, copy=False)
    arrow_type = (
        pa.float64() if dtype.itemsize > 8 else pa.from_numpy_dtype(dtype.newbyteorder("="))
    )
    column = column.cast(arrow_type)
    if column.null_count and dtype.kind in "biu":
        name = {"b": "boolean", "i": f"Int{8 * dtype.itemsize}", "u": f"UInt{8 * dtype.itemsize}"}
        return pandas.api.types.pandas_dtype(name[dtype.kind]).__from_arrow__(column)
    return column_values(column).astype(dtype, copy=False)


def _objects(pandas: Any, column: pa.ChunkedArray, missing: str) -> npt.NDArray[np.object_]:
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    if column.null_count and missing != "None":
        hole = {"nan": np.nan, "NaT": pandas.NaT, "NA": pandas.NA}[missing]
        values[column.is_null().to_numpy()] = hole
    return values


def _dictionary(name: str, accessor: Any) -> pa.DictionaryArray:
    """Read a column of categories: their order and unused ones are kept."""
    codes = accessor.codes.to_numpy()
    levels = _levels(accessor.categories)
    if len(levels.unique()) < len(levels):
        raise DataError(
            f"column {name!r} has categories that read alike: rename them, or leave it out with "
            f"{drop_options([name])}"
        )
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, levels, ordered=bool(accessor.ordered))


def _levels(categories: Any) -> pa.Array:
    """Give categories as Arrow values, by their text where Arrow has no type for them."""
    try:
        levels = pa.array(categories, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        levels = None
    if levels is None or not len(levels) or isinstance(levels.type, pa.BaseExtensionType):
        return pa.array([str(category) for category in categories], pa.string())
    return levels


def _categorical(pandas: Any, column: pa.ChunkedArray, described: Mapping[str, Any]) -> Any:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = column.unify_dictionaries().combine_chunks()
    levels = encoded.dictionary
    codes = column_values(pa.chunked_array([encoded.indices.fill_null(-1).cast(pa.int64())]))
    categories = _index(pandas, described["categories"])
    if categories is None:
        categories = pandas.Index(levels.to_pandas())
    else:
        places = pc.index_in(levels, value_set=_levels(categories).cast(levels.type))
        new = levels.filter(places.is_null())
        if len(new):
            categories = categories.append(pandas.Index(new.to_pandas()))
            places = pc.index_in(levels, value_set=_levels(categories).cast(levels.type))
        codes = np.append(places.to_numpy(), -1)[codes]
    dtype = pandas.CategoricalDtype(categories, ordered=described["ordered"])
    return pandas.Categorical.from_codes(codes, dtype=dtype)


def _described_index(index: Any) -> dict[str, Any] | None:
    """Describe categories as plain JSON; None if Arrow alone knows them."""
    pandas = sys.modules["pandas"]
    if isinstance(index, pandas.IntervalIndex):
        left, right = _described_index(index.left), _described_index(index.right)
        return {"dtype": "interval", "closed": index.closed, "left": left, "right": right}
    # Not ``index.to_series``, which makes text of objects.
    dtype = describe(pandas.Series(index, dtype=index.dtype))
    if isinstance(index, (pandas.DatetimeIndex, pandas.TimedeltaIndex, pandas.PeriodIndex)):
        return {"dtype": dtype, "values": index.asi8.tolist()}
    values = index.tolist()
    if not all(isinstance(value, (str, int, float)) for value in values):
        return None
    # JSON has no infinity, which bounds of intervals may be.
    plain = [repr(value) if isinstance(value, float) else value for value in values]
    return {"dtype": dtype, "values": plain}


def _index(pandas: Any, described: Mapping[str, Any] | None) -> Any:
    """Make the index that `_described_index` described."""
    if described is None:
        return None
    if described["dtype"] == "interval":
        left, right = (_index(pandas, described[side]) for side in ("left", "right"))
        return pandas.IntervalIndex.from_arrays(left, right, closed=described["closed"])
    name, values = described["dtype"]["dtype"], described["values"]
    if name == "object":
        return pandas.Index(values, dtype=object)
    if name in ("string", "arrow"):
        return pandas.Index(_values(pandas, pa.chunked_array([values]), described["dtype"]))
    dtype = pandas.api.types.pandas_dtype(name)
    if isinstance(dtype, pandas.PeriodDtype):
        return pandas.PeriodIndex.from_ordinals(values, freq=dtype.freq)
    if isinstance(dtype, pandas.DatetimeTZDtype):
        moments = np.array(values, dtype=np.int64).view(f"M8[{dtype.unit}]")
        return pandas.DatetimeIndex(moments).tz_localize("UTC").tz_convert(dtype.tz)
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return pandas.Index(np.array(values, dtype=np.int64).view(dtype))
    if not isinstance(dtype, np.dtype) or dtype.kind != "f":
        return pandas.Index(values, dtype=dtype)
    return pandas.Index([float(value) for value in values], dtype=dtype)


def _refusal(name: str, series: Any, error: BaseException) -> str:
    """Say why a column cannot be read: of what its cells are, and which differ."""
    first: tuple[int, str, Any] | None = None
    pandas = sys.modules["pandas"]
    for row, value in enumerate(series, start=1):
        if pandas.api.types.is_scalar(value) and pandas.isna(value):
            continue
        kind = _kind(value)
        if first is None:
            first = row, kind, value
        elif kind != first[1]:
            return (
                f"column {name!r} mixes {first[1]} and {kind}: {shortened(str(first[2]))} in row "
                f"{first[0]}, {shortened(str(value))} in row {row}; convert it to text or leave "
                f"it out with {drop_options([name])}"
            )
    reason = " ".join(str(error).split())[:200]
    return f"column {name!r} cannot be used: {reason}; leave it out with {drop_options([name])}"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "truth values"
    if isinstance(value, (int, float, np.number)):
        return "numbers"
    return f"{type(value).__name__} objects"
