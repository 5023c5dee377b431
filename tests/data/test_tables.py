from __future__ import annotations

import datetime
import decimal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from autoencode.data.matrix import TILE_COLUMNS, TILE_ROWS
from autoencode.data.reading import open_rows
from autoencode.data.tables import column_array, shortened
from autoencode.errors import DataError


class Capsule:
    """A table of which nothing is known but the Arrow PyCapsule interface."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


DATA = {"höhe": [1.5, 2.5, 3.5], "zahl": [1, 2, 3], "ja": [True, False, True]}
EXPECTED = np.array([[1.5, 1, 1], [2.5, 2, 0], [3.5, 3, 1]])
MAKERS = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "arrow": pa.table,
    "capsule": lambda data: Capsule(pa.table(data)),
    "batch": pa.record_batch,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_frames_open(maker):
    rows = open_rows(MAKERS[maker](DATA))
    assert rows.names == ("höhe", "zahl", "ja")
    assert rows.kind == (maker if maker in ("pandas", "polars") else "arrow")
    assert rows.in_memory
    assert rows.dtype == np.float64
    assert (rows.index is not None) == (maker == "pandas")
    np.testing.assert_array_equal(rows.dense(), EXPECTED)


@pytest.mark.parametrize("maker", MAKERS)
def test_kept_and_dropped_columns(maker):
    frame = MAKERS[maker]({"id": ["a", "b", "c"], **DATA, "note": ["x", "y", "z"]})
    rows = open_rows(frame, drop=["note", "ja"], keep=["id"])
    assert rows.names == ("höhe", "zahl")
    assert rows.kept.to_pydict() == {"id": ["a", "b", "c"]}
    np.testing.assert_array_equal(rows.dense(), EXPECTED[:, :2])


@pytest.mark.parametrize("maker", MAKERS)
def test_expected_names_choose_the_order(maker):
    rows = open_rows(MAKERS[maker](DATA), expected_names=("ja", "höhe", "zahl"))
    assert rows.names == ("ja", "höhe", "zahl")
    np.testing.assert_array_equal(rows.dense(), EXPECTED[:, [2, 0, 1]])


@pytest.mark.parametrize("maker", MAKERS)
def test_text_names_its_first_cell(maker):
    frame = MAKERS[maker]({"age": [1.0, 2, 3], "name": ["Ann", "Bob", "Eve"]})
    with pytest.raises(DataError) as caught:
        open_rows(frame)
    assert str(caught.value) == (
        "column 'name' is not numeric but text: 'Ann' in row 1; "
        "leave it out with --drop name, or carry along with --keep"
    )


@pytest.mark.parametrize("maker", MAKERS)
def test_holes_are_counted(maker):
    frame = MAKERS[maker]({"id": [1, 2, 3, 4], "age": [1.0, None, 3.0, None]})
    with pytest.raises(DataError, match=r"^column 'age' has 2 missing values \(first in row 2\)"):
        open_rows(frame)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_column_of_nothing(maker):
    frame = MAKERS[maker]({"id": [1, 2, 3], "age": [None, None, None]})
    with pytest.raises(DataError, match=r"^column 'age' has no values at all \(3 missing\)"):
        open_rows(frame)


@pytest.mark.parametrize("maker", MAKERS)
def test_no_rows(maker):
    frame = MAKERS[maker]({"a": np.empty(0), "b": np.empty(0)})
    with pytest.raises(DataError, match=r"0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1"):
        open_rows(frame)


def test_infinities_name_the_column():
    frame = pa.table({"id": [1, 2], "age": [1.0, -np.inf]})
    with pytest.raises(DataError, match=r"^column 'age' has 1 infinite value \(first in row 2\)"):
        open_rows(frame)


def test_holes_and_nan_count_alike_in_every_type():
    table = pa.table(
        {
            "fine": pa.array([1, 2, 3], pa.int8()),
            "nan": pa.array([1.0, np.nan, None]),
            "int": pa.array([1, None, 3], pa.int32()),
            "bool": pa.array([None, True, False]),
            "single": pa.array([None, 2, 3], pa.float32()),
        }
    )
    with pytest.raises(DataError) as caught:
        open_rows(table)
    assert str(caught.value).startswith(
        "column 'nan' has 2 missing values (first in row 2) (so have 'int', 'bool', 'single'); "
        "drop them with --drop nan --drop int --drop bool --drop single"
    )


@pytest.mark.parametrize(
    ("values", "type_name", "cell"),
    [
        ([datetime.date(2013, 1, 2)], "date32", "2013-01-02"),
        ([datetime.datetime(2013, 1, 2, 3)], "timestamp", "2013-01-02 03:00:00"),
        ([[1, 2]], "list", "[1, 2]"),
        ([b"abc"], "binary", "b'abc'"),
    ],
)
def test_other_types_are_named(values, type_name, cell):
    with pytest.raises(DataError) as caught:
        open_rows(pa.table({"when": values}))
    text = str(caught.value)
    assert text.startswith(f"column 'when' is not numeric but {type_name}")
    assert cell in text
    assert "row 1" in text
    assert "--drop when" in text


def test_a_numeral_in_a_text_column_is_not_the_culprit():
    table = pa.table({"x": ["1", None, " 2.5 ", "-1e3", "", "?", "x"]})
    with pytest.raises(DataError, match=r"text: '\?' in row 6"):
        open_rows(table)
    with pytest.raises(DataError, match=r"text: '1' in row 1"):
        open_rows(table.slice(0, 4))


def test_dictionaries_and_decimals():
    table = pa.table(
        {
            "numbers": pa.array([5, 6, 5]).dictionary_encode(),
            "money": pa.array([decimal.Decimal("1.25"), decimal.Decimal("-3.50"), None]),
        }
    ).slice(0, 2)
    np.testing.assert_array_equal(open_rows(table).dense(), [[5, 1.25], [6, -3.5]])
    text = pa.table({"kind": pa.array(["b", "a"]).dictionary_encode()})
    with pytest.raises(DataError, match="not numeric but text: 'b' in row 1"):
        open_rows(text)


def test_small_types_make_single_precision():
    table = pa.table(
        {
            "a": pa.array([1, 2], pa.int16()),
            "b": pa.array([0.5, 1.5], pa.float32()),
            "c": pa.array([True, False]),
            "d": pa.array(np.array([0.5, 2], dtype=np.float16)),
        }
    )
    rows = open_rows(table)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows.dense(), [[1, 0.5, 1, 0.5], [2, 1.5, 0, 2]])
    assert open_rows(table.append_column("e", [[1, 2]])).dtype == np.float64


def test_every_tile_is_filled():
    n_rows, n_columns = 2 * TILE_ROWS + 3, TILE_COLUMNS + 5
    matrix = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    whole = pa.table({f"c{j}": matrix[:, j] for j in range(n_columns)})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])
    np.testing.assert_array_equal(open_rows(chunked).dense(), matrix)
    np.testing.assert_array_equal(open_rows(whole.slice(7, 1500)).dense(), matrix[7:1507])


def test_duplicate_names():
    frame = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    for one in (frame, frame.to_pandas()):
        with pytest.raises(DataError, match="column name 'a' appears 2 times"):
            open_rows(one)


def test_pandas_kinds_of_columns():
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, 2], dtype="Int64"),
            "objects": pd.Series([1, 2.5], dtype=object, index=["r", "s"]),
            "arrow": pd.array([3.0, 4.0], dtype="double[pyarrow]"),
            "sparse": pd.arrays.SparseArray([0.0, 7.0]),
            "swapped": np.array([1.0, 2.0], dtype=">f8"),
        },
        index=["r", "s"],
    )
    rows = open_rows(frame)
    np.testing.assert_array_equal(rows.dense(), [[1, 1, 3, 0, 1], [2, 2.5, 4, 7, 2]])
    assert list(rows.index) == ["r", "s"]


def test_pandas_rows_out_of_order():
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=list("abc")).iloc[[3, 0]]
    np.testing.assert_array_equal(open_rows(frame).dense(), [[9, 10, 11], [0, 1, 2]])


def test_pandas_mixed_column():
    frame = pd.DataFrame({"age": pd.Series([1, 2, "old"], dtype=object)})
    with pytest.raises(DataError, match=r"'age' is not numeric: 'old' in row 3;.*--drop age"):
        open_rows(frame)


def test_pandas_complex_column():
    with pytest.raises(DataError, match="Complex data not supported: column 'z'"):
        open_rows(pd.DataFrame({"z": [1j]}))


def test_pandas_names_that_are_no_text():
    rows = open_rows(pd.DataFrame(np.ones((2, 3))))
    assert rows.names is None
    assert rows.n_features == 3
    with pytest.raises(DataError, match="only supported if all input features have string names"):
        open_rows(pd.DataFrame({"a": [1], 0: [2]}))


@pytest.mark.parametrize(
    "series", [pd.Series([1.0]), pl.Series([1.0])], ids=lambda one: type(one).__module__
)
def test_series_are_one_dimensional(series):
    with pytest.raises(DataError, match="Expected 2D array, got 1D array instead"):
        open_rows(series)


def test_streams_that_are_no_tables():
    with pytest.raises(DataError, match="the ChunkedArray is not an Arrow table"):
        open_rows(pa.chunked_array([[1.0]]))


def test_column_arrays_share_memory():
    values = np.arange(4.0)
    array = column_array(values)
    values[0] = 7
    assert array[0].as_py() == 7
    assert column_array(np.array([True, False, True])).to_pylist() == [True, False, True]
    assert column_array(np.arange(3, dtype=">i2")).to_pylist() == [0, 1, 2]


def test_cells_are_shortened():
    assert shortened("x" * 99) == repr("x" * 27 + "...")
    assert shortened("a\nb") == r"'a\nb'"


def test_neither_pandas_nor_polars_is_imported(tmp_path):
    """In a process of its own: pyarrow's conversions would import pandas unasked."""
    script = f"""
        import sys
        import numpy as np
        from autoencode.data.reading import open_rows
        from autoencode.data.writing import write_table
        open_rows(np.ones((2, 2)))
        assert "pyarrow" not in sys.modules
        for name in ("a.parquet", "a.csv", "a.feather", "a.npy", "a.npz"):
            path = {str(tmp_path)!r} + "/" + name
            write_table(path, {{"a": np.ones(3), "b": np.ones(3)}})
            open_rows(path)
        found = {{"pandas", "polars", "torch", "sklearn"}} & set(sys.modules)
        assert not found, found
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
