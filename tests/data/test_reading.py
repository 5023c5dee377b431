from __future__ import annotations

import csv
import os
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoencode.data.reading import open_data
from autoencode.data.tables import to_rows
from autoencode.data.writing import write_frame, write_table
from autoencode.errors import DataError

# No negative zero: CSV columns of whole numbers have none.
finite = {
    width: st.floats(allow_nan=False, allow_infinity=False, width=width).map(lambda x: x + 0.0)
    for width in (32, 64)
}


@st.composite
def matrices(draw):
    dtype, width = draw(st.sampled_from([(np.float32, 32), (np.float64, 64)]))
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 6)))
    return draw(arrays.arrays(dtype, shape, elements=finite[width]))


names_of_columns = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8),
    min_size=6,
    max_size=6,
    unique=True,
)


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
@settings(max_examples=40, deadline=None)
@given(matrix=matrices(), names=names_of_columns)
def test_tables_come_back_bit_by_bit(tmp_path_factory, suffix, matrix, names):
    path = tmp_path_factory.mktemp("data") / f"a{suffix}"
    names = names[: matrix.shape[1]]
    write_table(path, (names, matrix))
    rows = to_rows(open_data(path))
    assert rows.names == tuple(names)
    assert rows.dense().dtype == matrix.dtype
    assert rows.dense().tobytes() == matrix.tobytes()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".csv.gz"])
@settings(max_examples=40, deadline=None)
@given(matrix=matrices())
def test_csv_comes_back_as_the_nearest_double(tmp_path_factory, suffix, matrix):
    path = tmp_path_factory.mktemp("data") / f"a{suffix}"
    names = [f"größe {number}" for number in range(matrix.shape[1])]
    write_table(path, (names, matrix))
    rows = to_rows(open_data(path))
    assert rows.names == tuple(names)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.dense().astype(matrix.dtype), matrix)


@settings(max_examples=30, deadline=None)
@given(matrix=matrices())
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_come_back_bit_by_bit(tmp_path_factory, suffix, matrix):
    path = tmp_path_factory.mktemp("data") / f"a{suffix}"
    write_table(path, ([f"c{number}" for number in range(matrix.shape[1])], matrix))
    assert open_data(path).dense().tobytes() == matrix.tobytes()


# Text that is not trimmed, and spells neither a missing value nor a number.
words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).map(
    lambda text: f"a{text}z"
)
cells_of_columns = {
    "whole": st.integers(-(2**63), 2**63 - 1).map(str),
    "code": st.from_regex(r"0[0-9]{1,9}", fullmatch=True),
    "long": st.integers(10**19, 10**25).map(str),
    "day": st.dates().map(str),
    "german day": st.dates(min_value=date(1000, 1, 1)).map("{:%d.%m.%Y}".format),
    "moment": st.datetimes().map(str),
    "word": words,
    "truth": st.sampled_from(["true", "TRUE", "True", "false", "yes"]),
}


@st.composite
def columns_of_text(draw):
    kinds = draw(st.lists(st.sampled_from(sorted(cells_of_columns)), min_size=1, max_size=5))
    n_rows = draw(st.integers(1, 6))
    return {
        f"{place} {kind}": draw(
            st.lists(st.none() | cells_of_columns[kind], min_size=n_rows, max_size=n_rows)
        )
        for place, kind in enumerate(kinds)
    }


@settings(max_examples=100, deadline=None)
@given(columns=columns_of_text())
@example(columns={"0 word": ["a|z", "a|z"]})
def test_text_files_are_written_as_they_were_read(tmp_path_factory, columns):
    path = tmp_path_factory.mktemp("data") / "a.csv"
    write_frame(path, pa.table({name: pa.array(c, pa.string()) for name, c in columns.items()}))
    table = open_data(path).table
    written = path.with_name("b.csv")
    write_frame(written, table)
    found = {name: read_as_text(written)[name] for name in columns}
    assert found == {name: [cell or "" for cell in cells] for name, cells in columns.items()}
    for name, cells in columns.items():
        if name.endswith("whole") and any(cells):
            assert table[name].type == pa.int64()


def read_as_text(path):
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    return dict(zip(lines[0], map(list, zip(*lines[1:], strict=True)), strict=True))


@pytest.mark.parametrize(
    "name", ["a.csv", "a.parquet", "a.npy", "a.npz", "a.npz:x", "a.feather", "a.arrow", "a"]
)
def test_missing_files(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(DataError) as caught:
        open_data(path)
    assert str(caught.value) == f"{path}: there is no such file"


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.npy", "a.npz", "a.feather", "a.arrow"])
def test_empty_files(tmp_path, name):
    path = tmp_path / name
    path.touch()
    with pytest.raises(DataError) as caught:
        open_data(path)
    assert str(caught.value) == f"{path}: the file is empty"


def test_unknown_kinds_list_the_known(tmp_path):
    for name in ("a.xlsx", "a", "a.gz"):
        path = tmp_path / name
        path.write_text("hello")
        with pytest.raises(DataError) as caught:
            open_data(path)
        assert str(caught.value) == (
            f"{path}: unknown kind of file; known are .parquet, .csv, .tsv, .txt, .feather, "
            ".arrow, .npy, .npz, folders of .parquet or .npy, and pictures (also folders or .zip "
            "of them)"
        )


def test_a_file_whose_name_has_a_colon(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((1, 1)))
    write_table(tmp_path / "b.npz:x.csv", {"a": np.ones(2), "b": np.ones(2)})
    assert open_data(f"{tmp_path}/b.npz:x.csv").names == ("a", "b")


def test_paths_may_be_bytes(tmp_path):
    np.save(tmp_path / "ä.npy", np.ones((2, 2)))

    class BytesPath:
        def __fspath__(self):
            return os.fsencode(tmp_path / "ä.npy")

    assert open_data(BytesPath()).n_rows == 2


def test_expected_names_of_a_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("c,b,a,d\n1,2,3,x\n")
    data = open_data(path, expected_names=("a", "b", "c"), keep=["d"])
    assert data.table.to_pylist() == [{"a": 3, "b": 2, "c": 1}]
    assert data.kept.to_pylist() == [{"d": "x"}]
    with pytest.raises(DataError, match=r"a\.csv: the model was fitted without columns 'c', 'd'"):
        open_data(path, expected_names=("a", "b"))
    with pytest.raises(DataError, match="column 'z' that the model was fitted with is missing"):
        open_data(path, expected_names=("a", "z"))
    path.write_text("1,2\n3,4\n")
    assert open_data(path, expected_names=("a", "z")).names is None
