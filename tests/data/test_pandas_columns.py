from __future__ import annotations

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from autoencode.data.frames import to_frame
from autoencode.data.reading import open_data
from autoencode.errors import DataError

DAY = datetime.date(2024, 12, 31)
MOMENTS = pd.to_datetime(["2024-01-01", None, "2024-07-01"])


def category(values, **options):
    return pd.Series(pd.Categorical(values, **options))


def arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


COLUMNS = {
    "int8": pd.Series([1, 2, 3], dtype="int8"),
    "uint64": pd.Series([1, 2, 2**63], dtype="uint64"),
    "float32": pd.Series([1, np.nan, 3], dtype="float32"),
    "float16": pd.Series([1, np.nan, 3], dtype="float16"),
    "long double": pd.Series([1, 2, 3], dtype=np.longdouble),
    "swapped": pd.Series(np.array([1, 2, 3], dtype=">f8")),
    "bool": pd.Series([True, False, True]),
    "objects and None": pd.Series(["a", None, "b"], dtype=object),
    "objects and NaN": pd.Series(["a", np.nan, "b"], dtype=object),
    "objects and NA": pd.Series(["a", pd.NA, "b"], dtype=object),
    "objects and NaT": pd.Series([DAY, pd.NaT, DAY], dtype=object),
    "whole objects": pd.Series([1, None, 2], dtype=object),
    "true objects": pd.Series([True, None, False], dtype=object),
    "objects of nothing": pd.Series([None, None, None], dtype=object),
    "decimals": pd.Series([decimal.Decimal("1.25"), None, None]),
    "times": pd.Series([datetime.time(1), None, None]),
    "str": pd.Series(["a", None, "b"], dtype="str"),
    "str in Python": pd.Series(["a", None], dtype=pd.StringDtype("python", na_value=np.nan)),
    "string": pd.Series(["a", None, "b"], dtype="string"),
    "string in Python": pd.Series(["a", None, "b"], dtype=pd.StringDtype("python")),
    "levels": category(["b", None, "a"], categories=["unused", "b", "a"], ordered=True),
    "levels of objects": category(["b", None], categories=pd.Index(["b", "a"], dtype=object)),
    "numbered levels": category([3, 1, None], categories=[3, 1, 7]),
    "nullable levels": category(pd.array([3, 1, None], dtype="Int64")),
    "real levels": category([1.5, -np.inf, None]),
    "true levels": category([True, False, None]),
    "mixed levels": category([1, "a", None]),
    "no levels": category([None, None]),
    "moments as levels": category(MOMENTS),
    "zoned moments as levels": category(MOMENTS.tz_localize("Europe/Berlin")),
    "periods as levels": category(pd.period_range("2024-01", periods=3, freq="M")),
    "days as levels": category([DAY, None, datetime.date(2024, 1, 1)]),
    "cut": pd.Series(pd.cut([1, 2, 30.0], [0, 1.5, 2, np.inf])),
    "cut moments": pd.Series(pd.cut(MOMENTS, pd.to_datetime(["2023-01-01", "2024-02-01"]))),
    "nanoseconds": pd.Series(MOMENTS).astype("M8[ns]"),
    "seconds": pd.Series(MOMENTS).astype("M8[s]"),
    "zoned": pd.Series(MOMENTS).dt.tz_localize("America/New_York"),
    "offset": pd.Series(pd.to_datetime(["2024-01-01T00:00:00+05:30", None])),
    "took": pd.Series(pd.to_timedelta([1, None, 3], unit="s")),
    "took nanoseconds": pd.Series(pd.to_timedelta([1, None, 3])).astype("m8[ns]"),
    "Int64": pd.Series([1, None, 3], dtype="Int64"),
    "UInt8": pd.Series([1, None, 3], dtype="UInt8"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "Float64": pd.Series([1.5, None, 3], dtype="Float64"),
    "months": pd.Series(pd.PeriodIndex(["2024-01", None, "2024-05"], freq="M")),
    "quarters": pd.Series(pd.PeriodIndex(["2024Q1", None], freq="Q-NOV")),
    "sparse": pd.Series(pd.arrays.SparseArray([0.0, 1, 0])),
    "sparse zeros": pd.Series(pd.arrays.SparseArray([0.0, 1, 0], fill_value=0.0)),
    "sparse integers": pd.Series(pd.arrays.SparseArray([0, 1, 0])),
    "arrow double": arrow([1.5, None, 3], pa.float64()),
    "arrow string": arrow(["a", None], pa.string()),
    "arrow dictionary": arrow(["a", None], pa.dictionary(pa.int8(), pa.string())),
    "arrow zone": arrow([datetime.datetime(2024, 1, 1), None], pa.timestamp("us", "Asia/Tokyo")),
    "arrow decimal": arrow([decimal.Decimal("1.25"), None], pa.decimal128(5, 2)),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_come_back(case):
    series = COLUMNS[case]
    index = pd.Index(["r", "r", "q"][: len(series)], name="row")
    frame = pd.DataFrame({"a b": series.set_axis(index), "n": range(len(series))}, index=index)
    data = open_data(frame)
    dtypes = json.loads(json.dumps(data.dtypes, allow_nan=False))
    back = to_frame(data.table, data.kind, index=data.index, dtypes=dtypes)
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back["a b"].dtype == series.dtype
    if series.dtype == object:
        assert [type(cell) for cell in back["a b"]] == [type(cell) for cell in series]


@pytest.mark.parametrize(
    ("dtype", "missing_dtype"),
    [("int64", "Int64"), ("uint8", "UInt8"), ("bool", "boolean"), ("float32", "float32")],
)
def test_missing_values_where_the_dtype_has_none(dtype, missing_dtype):
    data = open_data(pd.DataFrame({"a": np.ones(2, dtype=dtype), "b": ["x", "y"]}))
    table = data.table.set_column(0, "a", pa.nulls(2, data.table["a"].type))
    frame = to_frame(table, "pandas", dtypes=data.dtypes)
    assert frame["a"].dtype == missing_dtype
    assert frame["a"].isna().all()


def test_levels_of_a_column_that_lost_its_dictionary():
    frame = pd.DataFrame({"a": category(["b", None, "a"], categories=["c", "b", "a"])})
    data = open_data(frame)
    text = data.table.set_column(0, "a", data.table["a"].cast(pa.string()))
    pd.testing.assert_frame_equal(to_frame(text, "pandas", dtypes=data.dtypes), frame)


def test_levels_that_are_new_go_last():
    data = open_data(pd.DataFrame({"a": category(["b", "a"], categories=["b", "a"])}))
    table = pa.table({"a": pa.array(["new", "a"]).dictionary_encode()})
    found = to_frame(table, "pandas", dtypes=data.dtypes)["a"]
    assert list(found) == ["new", "a"]
    assert list(found.cat.categories) == ["b", "a", "new"]


def test_levels_that_read_alike():
    with pytest.raises(DataError, match=r"column 'a' has categories that read alike: .*--drop a"):
        open_data(pd.DataFrame({"a": category([1, "1"]), "b": [1, 2]}))


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([1, None, "old"], "mixes numbers and text: '1' in row 1, 'old' in row 3"),
        (["old", np.nan, 2.5], "mixes text and numbers: 'old' in row 1, '2.5' in row 3"),
        ([True, 2], "mixes truth values and numbers: 'True' in row 1, '2' in row 2"),
        (["x", DAY], "mixes text and date objects: 'x' in row 1, '2024-12-31' in row 2"),
        ([2**70], "cannot be used: Python int too large"),
        (["\ud800"], "cannot be used: 'utf-8' codec"),
    ],
)
def test_columns_of_more_than_one_kind(cells, what):
    frame = pd.DataFrame({"my age": pd.Series(cells, dtype=object), "n": range(len(cells))})
    with pytest.raises(DataError) as caught:
        open_data(frame)
    text = str(caught.value)
    assert text.startswith(f"column 'my age' {what}")
    assert text.endswith("leave it out with --drop 'my age'")
    assert "\n" not in text
    assert open_data(frame, drop=["my age"]).names == ("n",)


def test_columns_that_cannot_be_used():
    with pytest.raises(DataError, match="Complex data not supported: column 'z'"):
        open_data(pd.DataFrame({"z": [1j]}))
    with pytest.raises(DataError, match=r"column 'z' holds intervals .*; convert it to a category"):
        open_data(pd.DataFrame({"z": pd.interval_range(0, 2)}))


def test_numbers_are_shared_where_they_are_contiguous():
    values = np.arange(4.0)
    frame = pd.DataFrame({"a": values}, copy=False)
    table = open_data(frame).table
    assert np.shares_memory(np.frombuffer(table["a"].chunk(0).buffers()[1]), frame["a"].to_numpy())


def test_rows_out_of_order():
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc")).iloc[[3, 0]]
    data = open_data(frame)
    assert data.table.to_pydict() == {"a": [9, 0], "b": [10, 1], "c": [11, 2]}
    pd.testing.assert_frame_equal(to_frame(data.table, "pandas", index=data.index), frame)
