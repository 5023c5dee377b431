from __future__ import annotations

import datetime
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from autoencode.data.frames import to_frame
from autoencode.data.reading import open_data


def there_and_back(frame):
    data = open_data(frame)
    dtypes = json.loads(json.dumps(data.dtypes, allow_nan=False))
    return to_frame(data.table, data.kind, index=data.index, dtypes=dtypes)


MOMENT = datetime.datetime(2024, 1, 1)
POLARS = pl.DataFrame(
    {
        "text": ["ä", None, ""],
        "kind": pl.Series(["x", "y", None], dtype=pl.Categorical),
        "level": pl.Series(["x", "y", None], dtype=pl.Enum(["y", "x", "unused"])),
        "day": [datetime.date(2024, 12, 31), None, None],
        "zone": pl.Series(
            [datetime.datetime(2024, 1, 1)] * 3, dtype=pl.Datetime("ms", "Asia/Tokyo")
        ),
        "took": [datetime.timedelta(1), None, None],
        "time": [datetime.time(1), None, None],
        "nothing": [None, None, None],
        "price": pl.Series(["1.25", "2", None]).cast(pl.Decimal(10, 2)),
        "small": pl.Series([1, 2, None], dtype=pl.Int8),
        "large": pl.Series([1, 2**63, None], dtype=pl.UInt64),
        "real": pl.Series([1.5, float("nan"), None], dtype=pl.Float32),
        "ja": [True, None, False],
    }
)


@pytest.mark.parametrize("frame", [POLARS, pl.concat([POLARS, POLARS], rechunk=False)])
def test_polars_frames_come_back(frame):
    back = there_and_back(frame)
    assert back.schema == frame.schema
    assert back.equals(frame)


def test_enums_come_back_from_what_is_in_the_model_file_alone():
    frame = POLARS.select("level", "text")
    data = open_data(frame)
    # Without what polars itself wrote into the table.
    bare = pa.Table.from_arrays(data.table.columns, names=list(data.names))
    assert to_frame(bare, "polars", dtypes=data.dtypes).schema == frame.schema
    assert open_data(POLARS.select("text")).dtypes is None


def test_text_of_polars_is_of_a_type_that_every_kernel_takes():
    table = open_data(POLARS).table
    assert table["text"].type == pa.large_string()
    assert table["kind"].type.value_type == pa.large_string()
    assert table["level"].type.ordered


def test_tables_are_given_back_as_they_are():
    table = pa.table({"a": pa.array(["x", None], pa.string_view()), "b": [1, 2]})
    data = open_data(table)
    assert data.dtypes is None
    assert data.table.equals(table)
    assert to_frame(data.table, "arrow") is data.table


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_without_the_package_it_is_an_arrow_table(monkeypatch, kind):
    table = pa.table({"a": [1]})
    monkeypatch.setitem(__import__("sys").modules, kind, None)
    assert to_frame(table, kind) is table


def test_a_frame_without_a_description():
    frame = to_frame(
        pa.table({"a": ["x", None], "b": [1, 2]}), "pandas", index=pd.Index(["p", "q"])
    )
    expected = pd.DataFrame({"a": ["x", None], "b": [1, 2]}, index=["p", "q"])
    pd.testing.assert_frame_equal(frame, expected)
    assert list(to_frame(pa.table({"a": [1, 2]}), "pandas").index) == [0, 1]


def test_names_that_are_numbers():
    frame = pd.DataFrame({0: [1, 2], 7: ["x", "y"]})
    pd.testing.assert_frame_equal(there_and_back(frame), frame)
