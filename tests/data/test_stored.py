from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from autoencode.data.reading import open_data
from autoencode.errors import DataError

TABLE = pa.table({"id": ["p", "q", "r"], "x": [1.0, 2, 3], "x.1": [4, 5, 6]})


def write_stream(table, path):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


WRITERS = {
    "a.parquet": pq.write_table,
    "A.PARQUET": pq.write_table,
    "a.feather": pyarrow.feather.write_feather,
    "a.arrow": write_stream,
}


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        open_data(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("as_text", [True, False])
def test_files_open(tmp_path, name, as_text):
    path = tmp_path / name
    WRITERS[name](TABLE, str(path))
    data = open_data(str(path) if as_text else path, keep=["id"])
    assert data.names == ("x", "x.1")
    assert data.kind == "arrow"
    assert data.kept.to_pydict() == {"id": ["p", "q", "r"]}
    assert data.table.equals(TABLE.drop_columns(["id"]))
    assert open_data(path).table.equals(TABLE)


@pytest.mark.parametrize("name", WRITERS)
def test_types_are_kept_and_what_is_said_of_the_whole_is_not(tmp_path, name):
    path = tmp_path / name
    types = {
        "level": pa.dictionary(pa.int8(), pa.string(), ordered=True),
        "when": pa.timestamp("ms", "Europe/Berlin"),
        "day": pa.date32(),
        "text": pa.large_string(),
        "small": pa.uint8(),
        "price": pa.decimal128(7, 2),
        "long": pa.duration("us"),
    }
    table = pa.table({key: pa.nulls(2, kind) for key, kind in types.items()})
    WRITERS[name](table.replace_schema_metadata({"pandas": "{}"}), str(path))
    found = open_data(path).table
    assert found.schema.equals(table.schema, check_metadata=False)
    assert found.schema.metadata is None


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_files(tmp_path, name, share):
    path = tmp_path / name
    WRITERS[name](TABLE, str(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(1, int(share * len(whole)))])
    assert "is not a whole " in refused(path)


@pytest.mark.parametrize("name", WRITERS)
def test_other_contents(tmp_path, name):
    path = tmp_path / name
    path.write_text("x,y\n1,2\n" * 10)
    assert "is not a whole " in refused(path)


def test_damaged_pages_are_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    values = np.random.default_rng(0).normal(size=1000)
    pq.write_table(pa.table({"x": values}), path, use_dictionary=False, write_page_checksum=True)
    damaged = bytearray(path.read_bytes())
    damaged[4000] ^= 1
    path.write_bytes(damaged)
    assert refused(path).startswith("is a damaged Parquet file: ")


def test_a_folder_is_one_table(tmp_path):
    (tmp_path / "b").mkdir()
    pq.write_table(TABLE.slice(0, 2), tmp_path / "a.parquet")
    # Other order of columns, other type of number.
    other = TABLE.slice(2).select(["x.1", "x", "id"])
    other = other.set_column(1, "x", other["x"].cast(pa.float32()))
    pq.write_table(other, tmp_path / "b" / "c.parquet")
    (tmp_path / "_metadata.parquet").write_text("not data")
    (tmp_path / "readme.txt").write_text("not data")
    data = open_data(tmp_path, keep=["id"])
    assert data.table.to_pydict() == {"x": [1, 2, 3], "x.1": [4, 5, 6]}
    assert data.kept["id"].to_pylist() == ["p", "q", "r"]


def test_folders_named_by_keys(tmp_path):
    for year in (2012, 2013):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"x": [year / 1000]}), tmp_path / f"year={year}" / "a.parquet")
    assert open_data(tmp_path).table.to_pydict() == {"x": [2.012, 2.013], "year": [2012, 2013]}


def test_bad_folders(tmp_path):
    assert refused(tmp_path) == (
        "is a folder without Parquet or NumPy files or pictures (*.parquet, *.npy, *.png, "
        "*.jpg, *.tif, *.webp)"
    )
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pq.write_table(TABLE.drop_columns(["x"]), tmp_path / "b.parquet")
    assert refused(tmp_path) == (
        "b.parquet and a.parquet do not have the same columns: 'x' is only in one of them"
    )
    (tmp_path / "b.parquet").write_text("nonsense")
    assert refused(tmp_path).startswith("b.parquet is not a whole Parquet file: ")
