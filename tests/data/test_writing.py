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

from autoencode.data.reading import open_rows
from autoencode.data.writing import require_table_suffix, write_array, write_table
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
    assert open_rows(tmp_path / "a.npy").sample_shape == (3, 4)
    with pytest.raises(DataError, match=r"arrays are written as \.npy"):
        write_array(tmp_path / "a.csv", pictures)
    with pytest.raises(DataError, match=r"a\.npy exists; pass --force"):
        write_array(tmp_path / "a.npy", pictures)


def test_standard_output(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", types.SimpleNamespace(buffer=written))
    write_table("-", {"z": np.array([1.5])}, kept=pa.table({"id": ["a b"]}))
    assert written.getvalue().decode().replace('"', "") == "id,z\na b,1.5\n"


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


def test_kept_columns_that_csv_cannot_hold(tmp_path):
    with pytest.raises(DataError, match=r"does not fit the format \.csv"):
        write_table(tmp_path / "a.csv", {"z": np.ones(1)}, kept=pa.table({"deep": [[1, 2]]}))
    assert list(tmp_path.iterdir()) == []


def test_suffixes():
    assert require_table_suffix("-") == ".csv"
    assert require_table_suffix("a.CSV.gz") == ".csv"
    assert require_table_suffix("a.b.Parquet") == ".parquet"
    for name in ("a.xlsx", "a", "a.parquet.gz", "csv"):
        with pytest.raises(DataError, match=rf"^{name}: tables are written as \.parquet, \.csv,"):
            require_table_suffix(name)
