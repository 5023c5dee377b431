from __future__ import annotations

import datetime
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from autoencode.data.reading import open_data
from autoencode.data.tables import TableData, column_array, shortened, to_rows
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
    data = open_data(MAKERS[maker](DATA))
    assert isinstance(data, TableData)
    assert data.names == ("höhe", "zahl", "ja")
    assert (data.n_rows, data.n_columns, len(data)) == (3, 3, 3)
    assert data.kind == (maker if maker in ("pandas", "polars") else "arrow")
    assert data.table.to_pydict() == DATA
    assert [str(kind) for kind in data.table.schema.types] == ["double", "int64", "bool"]
    assert (data.index is not None) == (maker == "pandas")
    rows = to_rows(data)
    assert (rows.names, rows.kind, rows.index) == (data.names, data.kind, data.index)
    assert rows.in_memory
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.dense(), EXPECTED)


@pytest.mark.parametrize("maker", MAKERS)
def test_kept_and_dropped_columns(maker):
    frame = MAKERS[maker]({"id": ["a", "b", "c"], **DATA, "note": ["x", "y", "z"]})
    data = open_data(frame, drop=["note", "ja"], keep=["id"])
    assert data.names == ("höhe", "zahl")
    assert data.kept.to_pydict() == {"id": ["a", "b", "c"]}
    assert data.dtypes is None or set(data.dtypes) == {"höhe", "zahl"}
    assert to_rows(data).kept is data.kept


@pytest.mark.parametrize("maker", MAKERS)
def test_expected_names_choose_the_order(maker):
    data = open_data(MAKERS[maker](DATA), expected_names=("ja", "höhe", "zahl"))
    assert data.names == ("ja", "höhe", "zahl")
    assert data.table.to_pydict() == DATA
    both = open_data(MAKERS[maker](DATA), expected_names=("ja", "höhe", "zahl"), keep=["ja"])
    assert both.names == data.names
    assert both.kept.column_names == ["ja"]


@pytest.mark.parametrize("maker", MAKERS)
def test_missing_values_pass(maker):
    frame = MAKERS[maker]({"id": ["a", None, "c"], "age": [1.0, None, 3.0], "no": [None] * 3})
    data = open_data(frame)
    assert data.table["id"].to_pylist() == ["a", None, "c"]
    assert to_rows(open_data(frame, drop=["id"])).dense().tolist()[0][0] == 1
    np.testing.assert_array_equal(
        to_rows(open_data(frame, drop=["id"])).dense()[:, 0], [1, np.nan, 3]
    )


@pytest.mark.parametrize("maker", MAKERS)
def test_no_rows(maker):
    frame = MAKERS[maker]({"a": np.empty(0), "b": np.empty(0)})
    with pytest.raises(DataError, match=r"0 sample\(s\) \(shape=\(0, 2\)\) while a minimum of 1"):
        open_data(frame)


@pytest.mark.parametrize("maker", MAKERS)
def test_text_is_not_a_matrix(maker):
    frame = MAKERS[maker]({"age": [1.0, 2, 3], "name": ["Ann", "Bob", "Eve"]})
    with pytest.raises(DataError) as caught:
        to_rows(open_data(frame))
    assert str(caught.value) == (
        "column 'name' is not numeric but text: 'Ann' in row 1; "
        "leave it out with --drop name, or carry along with --keep"
    )


def test_infinities_are_not_looked_for_until_numbers_are_wanted():
    data = open_data(pa.table({"id": [1, 2], "age": [1.0, -np.inf]}))
    with pytest.raises(DataError, match=r"^column 'age' has 1 infinite value \(first in row 2\)"):
        to_rows(data)


def test_holes_are_nan_in_every_type_of_number():
    table = pa.table(
        {
            "fine": pa.array([1, 2, 3], pa.int8()),
            "nan": pa.array([1.0, np.nan, None]),
            "int": pa.array([1, None, 3], pa.int32()),
            "bool": pa.array([None, True, False]),
            "single": pa.array([None, 2, 3], pa.float32()),
            "nothing": pa.nulls(3),
        }
    )
    hole = np.nan
    np.testing.assert_array_equal(
        to_rows(open_data(table)).dense(),
        [[1, 1, 1, hole, hole, hole], [2, hole, hole, 1, 2, hole], [3, hole, 3, 0, 3, hole]],
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
    data = open_data(pa.table({"when": values}))
    assert data.table["when"].to_pylist() == values
    with pytest.raises(DataError) as caught:
        to_rows(data)
    text = str(caught.value)
    assert text.startswith(f"column 'when' is not numeric but {type_name}")
    assert cell in text
    assert "row 1" in text
    assert "--drop when" in text


def test_a_numeral_in_a_text_column_is_not_the_culprit():
    table = pa.table({"x": ["1", None, " 2.5 ", "-1e3", "", "?", "x"]})
    with pytest.raises(DataError, match=r"text: '\?' in row 6"):
        to_rows(open_data(table))
    with pytest.raises(DataError, match=r"text: '1' in row 1"):
        to_rows(open_data(table.slice(0, 4)))


def test_a_dictionary_is_one_for_all_chunks():
    first, second = (
        pa.table({"kind": pa.array(values).dictionary_encode()}) for values in (["b"], ["a", "b"])
    )
    column = open_data(pa.concat_tables([first, second])).table["kind"]
    assert column.to_pylist() == ["b", "a", "b"]
    assert [chunk.dictionary.to_pylist() for chunk in column.chunks] == [["b", "a"]] * 2
    nothing = pa.table({"kind": pa.nulls(2).dictionary_encode()})
    assert open_data(pa.concat_tables([nothing, nothing])).table["kind"].null_count == 4


def test_duplicate_names():
    frame = pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["a", "a"])
    for one in (frame, frame.to_pandas()):
        with pytest.raises(DataError, match="column name 'a' appears 2 times"):
            open_data(one)


def test_frames_without_names_are_rows_if_they_are_numbers():
    rows = open_data(pd.DataFrame([[1, np.nan], [3, 4]], index=["p", "q"]))
    assert rows.names is None
    assert list(rows.index) == ["p", "q"]
    np.testing.assert_array_equal(rows.dense(), [[1, np.nan], [3, 4]])
    data = open_data(pd.DataFrame([[1, "x"], [3, None]]))
    assert data.names == ("0", "1")
    assert data.table.to_pydict() == {"0": [1, 3], "1": ["x", None]}
    with pytest.raises(DataError, match="contains infinity: column 1"):
        open_data(pd.DataFrame([[1, np.inf]]))
    with pytest.raises(DataError, match="only supported if all input features have string names"):
        open_data(pd.DataFrame({"a": [1], 0: [2]}))


def test_columns_without_names_take_the_expected_ones():
    frame = pd.DataFrame([[1, "x"], [3, "y"]])
    data = open_data(frame, expected_names=("n", "kind"))
    assert data.names == ("n", "kind")
    assert set(data.dtypes) == {"n", "kind"}
    with pytest.raises(DataError, match=r"has 2 columns without names, but .* with 1: 'n'"):
        open_data(frame, expected_names=("n",))
    assert open_data(frame, drop=["1"], expected_names=("n",)).names is None


@pytest.mark.parametrize(
    "series", [pd.Series([1.0]), pl.Series([1.0])], ids=lambda one: type(one).__module__
)
def test_series_are_one_dimensional(series):
    with pytest.raises(DataError, match="Expected 2D array, got 1D array instead"):
        open_data(series)


def test_streams_that_are_no_tables():
    with pytest.raises(DataError, match="the ChunkedArray is not an Arrow table"):
        open_data(pa.chunked_array([[1.0]]))


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
        from autoencode.data.reading import open_data
        from autoencode.data.writing import write_frame, write_table
        open_data(np.ones((2, 2)))
        assert "pyarrow" not in sys.modules
        from autoencode.data.frames import to_frame
        from autoencode.data.tables import TableData
        for name in ("a.parquet", "a.csv", "a.feather", "a.npy", "a.npz"):
            path = {str(tmp_path)!r} + "/" + name
            write_table(path, {{"a": np.ones(3), "b": np.ones(3)}})
            found = open_data(path)
            if isinstance(found, TableData):
                write_frame(path, to_frame(found.table, found.kind), force=True)
        with open(path + ".csv", "w") as file:
            file.write("a,b\\nx,1\\nNA,1.5\\n,\\n")
        assert open_data(path + ".csv").table["a"].null_count == 2
        found = {{"pandas", "polars", "torch", "sklearn"}} & set(sys.modules)
        assert not found, found
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
