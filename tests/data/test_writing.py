from __future__ import annotations

import datetime
import io
import resource
import types

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from autoencode.data.reading import open_data
from autoencode.data.writing import require_table_suffix, write_array, write_frame, write_table
from autoencode.errors import DataError

CODES = np.array([[0.5, 1], [1.5, 2], [-2.5, np.nan]], dtype=np.float32)
KEPT = pa.table(
    {
        "id": ["p", "", 'q,"ü"'],
        "when": [datetime.date(2013, 1, day) for day in (1, 2, 3)],
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "n": [1, 2, 3],
    }
)
READERS = {
    ".parquet": pq.read_table,
    ".feather": pyarrow.feather.read_table,
    ".arrow": pyarrow.feather.read_table,
    ".csv": pyarrow.csv.read_csv,
    ".csv.gz": pyarrow.csv.read_csv,
}


@pytest.mark.parametrize("suffix", READERS)
def test_kept_columns_go_first(tmp_path, suffix):
    path = tmp_path / f"codes{suffix}"
    write_table(path, (["z0", "z1"], CODES), kept=KEPT)
    table = READERS[suffix](path)
    assert table.column_names == ["id", "when", "kind", "n", "z0", "z1"]
    assert table["id"].to_pylist() == KEPT["id"].to_pylist()
    assert table["when"].to_pylist() == KEPT["when"].to_pylist()
    assert table["kind"].to_pylist() == ["a", "b", "a"]
    np.testing.assert_array_equal(table["z0"].to_numpy(), CODES[:, 0])
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


def test_a_mapping_of_columns(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"error": np.ones(2), "odd": np.array([True, False]), "n": np.arange(2)}
    write_table(path, columns)
    assert pq.read_table(path).to_pydict() == {"error": [1, 1], "odd": [True, False], "n": [0, 1]}


def test_tabs(tmp_path):
    write_table(tmp_path / "a.tsv", {"a": np.array([1.5]), "b": np.array([2])})
    assert (tmp_path / "a.tsv").read_text().splitlines()[1] == "1.5\t2"


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    kept = KEPT.append_column("file", [[None, "x", "y"]])
    write_table(path, (["z0", "z1"], CODES), kept=kept)
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) == {"id", "when", "kind", "n", "file", "X", "names"}
        np.testing.assert_array_equal(archive["X"], CODES)
        assert list(archive["names"]) == ["z0", "z1"]
        assert list(archive["id"]) == KEPT["id"].to_pylist()
        assert list(archive["file"]) == ["", "x", "y"]
        assert archive["when"].dtype.kind == "M"
    for column, pattern in (("X", "cannot be named 'X'"), ("deep", "does not fit .npz")):
        with pytest.raises(DataError, match=pattern):
            write_table(
                path,
                {"z": np.ones(1)},
                kept=pa.table({column: [[1, 2]] if column == "deep" else [1]}),
                force=True,
            )


def test_npy_holds_the_matrix_alone(tmp_path):
    path = tmp_path / "a.npy"
    write_table(path, (["z0", "z1"], CODES))
    np.testing.assert_array_equal(np.load(path), CODES)
    with pytest.raises(DataError, match=r"a\.npy: \.npy holds nothing but the matrix; write kept"):
        write_table(path, (["z0", "z1"], CODES), kept=KEPT, force=True)


def test_pictures(tmp_path):
    pictures = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_array(tmp_path / "a.npy", pictures)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), pictures)
    assert open_data(tmp_path / "a.npy").sample_shape == (3, 4)
    with pytest.raises(DataError, match=r"arrays are written as \.npy"):
        write_array(tmp_path / "a.csv", pictures)
    with pytest.raises(DataError, match=r"a\.npy exists; pass --force"):
        write_array(tmp_path / "a.npy", pictures)


def test_standard_output(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", types.SimpleNamespace(buffer=written))
    write_table("-", {"z": np.array([1.5])}, kept=pa.table({"id": ["a b"]}))
    assert written.getvalue().decode() == "id,z\na b,1.5\n"


@pytest.mark.parametrize("suffix", [*READERS, ".npy", ".npz"])
def test_existing_files_are_kept_unless_forced(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("precious")
    with pytest.raises(DataError, match="exists; pass --force to replace it"):
        write_table(path, (["z0", "z1"], CODES))
    assert path.read_text() == "precious"
    write_table(path, (["z0", "z1"], CODES), force=True)
    assert path.read_bytes() != b"precious"


@pytest.mark.parametrize("suffix", [*READERS, ".npy", ".npz"])
def test_a_file_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    matrix = np.random.default_rng(0).normal(size=(20_000, 2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(DataError, match=rf"cannot write .*a{suffix}: "):
            write_table(path, (["z0", "z1"], matrix))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [*READERS, ".npy", ".npz"])
def test_a_folder_that_is_not_there(tmp_path, suffix):
    with pytest.raises(DataError, match=r"cannot write .*No such file or directory"):
        write_table(tmp_path / "nowhere" / f"a{suffix}", (["z0", "z1"], CODES))


@pytest.mark.parametrize(
    ("columns", "kept", "pattern"),
    [
        ({"id": np.ones(3)}, KEPT, "two columns to be written are both named 'id'"),
        ({"z": np.ones(2)}, KEPT, r"differ in length: \[2, 3\]"),
        ({"z": np.ones(2), "w": np.ones(3)}, None, r"differ in length: \[2, 3\]"),
        ({"z": np.array(["a"])}, None, "column 'z' to be written is not a column of real numbers"),
        ((["z"], np.ones((2, 2))), None, r"1 names do not fit a matrix of shape \(2, 2\)"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, columns, kept, pattern):
    with pytest.raises(DataError, match=pattern):
        write_table(tmp_path / "a.parquet", columns, kept=kept)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", [[[1, 2]], [{"a": 1}], [b"\xff"]])
def test_columns_that_text_cannot_hold(tmp_path, values):
    table = pa.table({"z": [1.0], "deep": values})
    for write in (
        lambda path: write_table(path, {"y": np.ones(1)}, kept=table),
        lambda path: write_frame(path, table),
    ):
        with pytest.raises(DataError, match=r"column 'deep' does not fit a text file, as it is"):
            write(tmp_path / "a.csv")
    assert list(tmp_path.iterdir()) == []


TYPED = pa.table(
    {
        "text": ["ä", None, "x,y"],
        "level": pa.array(["b", "a", None]).dictionary_encode(),
        "zone": pa.array([datetime.datetime(2024, 7, 1, 5)] * 3, pa.timestamp("ms", "UTC")),
        "day": [datetime.date(2024, 12, 31), None, datetime.date(1900, 1, 1)],
        "took": pa.array([datetime.timedelta(seconds=1.5), None, datetime.timedelta(-1)]),
        "whole": [1, None, -3],
        "real": [1.5, float("nan"), None],
        "ja": [True, None, False],
    }
)


@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_tables_keep_their_types(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_frame(path, TYPED, kept=pa.table({"id": [7, 8, 9]}))
    found = READERS[suffix](path)
    assert found.schema == pa.schema([("id", pa.int64()), *TYPED.schema])
    assert found.drop_columns(["id", "real"]).equals(TYPED.drop_columns(["real"]))


def test_unused_levels_are_kept(tmp_path):
    levels = pa.DictionaryArray.from_arrays(pa.array([2, 0]), pa.array(["a", "b", "c"]))
    write_frame(tmp_path / "a.parquet", pa.table({"level": levels}))
    found = pq.read_table(tmp_path / "a.parquet")["level"].chunk(0)
    assert found.dictionary.to_pylist() == ["a", "b", "c"]


def test_a_table_as_text(tmp_path):
    write_frame(tmp_path / "a.csv", TYPED.drop_columns(["text"]))
    assert (tmp_path / "a.csv").read_text() == (
        "level,zone,day,took,whole,real,ja\n"
        "b,2024-07-01 05:00:00.000Z,2024-12-31,1.500000,1,1.5,true\n"
        "a,2024-07-01 05:00:00.000Z,,,,,\n"
        ",2024-07-01 05:00:00.000Z,1900-01-01,-86400.000000,-3,,false\n"
    )


@pytest.mark.parametrize("text", ["x,y", 'x"y', "x\ny", "x\ry", ""])
def test_text_is_quoted_where_it_must_be(tmp_path, text):
    table = pa.table({"a,b": [text, None, "plain"], "n": [1, 2, 3]})
    write_frame(tmp_path / "a.csv", table)
    found = pyarrow.csv.read_csv(
        tmp_path / "a.csv",
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert found.equals(table)


@pytest.mark.parametrize("values", [["a", None, "b"], [1, None, 3], [None, 2.5, None]])
def test_a_missing_cell_alone_in_its_row_is_a_row(tmp_path, values):
    write_frame(tmp_path / "a.csv", pa.table({"x": values}))
    assert open_data(tmp_path / "a.csv").table["x"].to_pylist() == values


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_hold_numbers_alone(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(DataError, match=rf"{suffix} holds numbers alone, but column 'text' is str"):
        write_frame(path, TYPED)
    assert list(tmp_path.iterdir()) == []
    write_frame(path, TYPED.select(["whole", "real", "ja"]))
    rows = open_data(path)
    np.testing.assert_array_equal(
        rows.dense(), [[1, 1.5, 1], [np.nan, np.nan, np.nan], [-3, np.nan, 0]]
    )


def test_tables_that_cannot_be_written(tmp_path):
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="both named 'text'"):
        write_frame(path, TYPED, kept=TYPED.select(["text"]))
    with pytest.raises(DataError, match=r"differ in length: \[1, 3\]"):
        write_frame(path, TYPED, kept=pa.table({"id": [1]}))
    path.write_text("precious")
    with pytest.raises(DataError, match="exists; pass --force"):
        write_frame(path, TYPED)
    write_frame(path, TYPED, force=True)
    assert pq.read_table(path).num_rows == 3


def test_suffixes():
    assert require_table_suffix("-") == ".csv"
    assert require_table_suffix("a.CSV.gz") == ".csv"
    assert require_table_suffix("a.b.Parquet") == ".parquet"
    for name in ("a.xlsx", "a", "a.parquet.gz", "csv"):
        with pytest.raises(DataError, match=rf"^{name}: tables are written as \.parquet, \.csv,"):
            require_table_suffix(name)
