"""What goes in comes out: arrays, archives, tables and files of text."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from autoencode import compress, decompress, open_compressed
from autoencode.compression import members
from autoencode.errors import DataError, SpecError

GOLDEN = Path(__file__).with_name("golden")
rng = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "whole": np.arange(5),
    "no axis": np.array(3.5),
    "other byte order": rng.normal(size=(3, 4, 5)).astype(">f4"),
    "by columns": np.asfortranarray(rng.normal(size=(30, 4))),
    "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "complex": np.array([1 + 2j, 3]),
    "text": np.array(["ab", "c"]),
    "nothing": np.zeros(0),
    "no rows": np.zeros((0, 4)),
    "records": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "truths": rng.random((40, 3)) < 0.3,
    "pictures": rng.integers(0, 9, (50, 4, 4)).astype(np.uint8),
    "colours": np.cumsum(rng.integers(-2, 3, (6, 9, 3)), 1).astype(np.int16),
    "series": np.cumsum(rng.integers(-5, 6, 900)).astype(np.int32),
    "wide": rng.integers(0, 3, (2, 5000)).astype(np.uint8),
}
MIXED = pa.table(
    {
        "whole": pa.array([1, None, 3, 4]),
        "text": pa.array(["x", None, "", "x"]),
        "truth": pa.array([True, None, False, True]),
        "day": pa.array([datetime.date(2020, 1, 1), None, None, None]),
        "list": pa.array([[1], None, [], [2]]),
        "null": pa.nulls(4),
        "category": pa.array(["u", "v", None, "u"]).dictionary_encode(),
        "real": pa.array([1.5, None, -0.0, float("inf")]),
        "time": pa.array(
            [datetime.datetime(2020, 1, 1), None, None, None], pa.timestamp("ns", "UTC")
        ),
        "money": pa.array([decimal.Decimal("1.10"), None, None, None]),
        "bytes": pa.array([b"\x00", None, b"", b"x"]),
        "half": pa.array([1, None, 2, 3], pa.float16()),
    },
    metadata={"made": "by hand"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.aez"


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_bit_by_bit(name: str, path: Path) -> None:
    array = ARRAYS[name]
    assert compress(array, path) == path.stat().st_size
    found = decompress(path)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert found.flags.f_contiguous == array.flags.f_contiguous


def test_an_array_keeps_its_bound_and_gets_smaller(path: Path) -> None:
    digits = load_digits().data
    array = digits[:200, 18:26] + rng.normal(size=(200, 8))
    kept = compress(array, path)
    assert compress(array, path, relative=1e-2) < 0.3 * kept
    bound = 1e-2 * np.ptp(array, axis=0)
    assert (np.abs(decompress(path) - array) <= bound).all()
    with open_compressed(path) as opened:
        (member,) = opened.header.members
        assert (np.array(member.errors) <= bound).all()
        # Three digits are written for few rows.
        assert (np.array(member.errors) > 0.99 * bound).all()
    compress(array, path, error=0.5)
    assert np.abs(decompress(path) - array).max() <= 0.5


def test_learned_relations_make_tables_smaller_than_columns_alone(path: Path) -> None:
    base = rng.integers(0, 1000, (300, 1))
    array = base * np.arange(1, 6) + rng.integers(0, 3, (300, 5))
    alone = sum(compress(np.ascontiguousarray(column), path) for column in array.T)
    assert compress(array, path) < 0.5 * alone
    assert (decompress(path) == array).all()


def test_archives_and_their_files(path: Path, tmp_path: Path) -> None:
    arrays = {"X": rng.normal(size=(20, 2)), "y": np.arange(20)}
    np.savez(tmp_path / "a.npz", **arrays)
    for data in (arrays, tmp_path / "a.npz"):
        compress(data, path)
        found = decompress(path)
        assert list(found) == ["X", "y"]
        assert all((found[name] == arrays[name]).all() for name in arrays)
    with open_compressed(path) as opened:
        assert opened.names == ["X", "y"]
        assert (opened.read(3, 5, name="y") == [3, 4]).all()
        with pytest.raises(SpecError, match="several arrays"):
            opened.read()
        with pytest.raises(SpecError, match="no array 'z'"):
            opened.read(name="z")


def test_tables_of_every_type_come_back(path: Path, tmp_path: Path) -> None:
    for table in (MIXED, MIXED.slice(1, 2), MIXED.slice(0, 0)):
        compress(table, path)
        found = decompress(path)
        assert found.schema.equals(table.schema, check_metadata=True)
        assert found.equals(table)
        assert repr(found["real"].to_pylist()) == repr(table["real"].to_pylist())
    pq.write_table(MIXED.drop_columns(["half"]), tmp_path / "t.parquet", row_group_size=2)
    compress(tmp_path / "t.parquet", path)
    assert decompress(path).equals(pq.read_table(tmp_path / "t.parquet"))


def test_frames_come_back_in_kind(path: Path) -> None:
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, None],
            "c": pd.Categorical(["u", "v", "u"]),
            "t": pd.date_range("2020", periods=3, tz="UTC"),
        },
        index=[5, 6, 7],
    )
    compress(frame, path)
    pd.testing.assert_frame_equal(decompress(path), frame)
    other = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    compress(other, path)
    assert decompress(path).equals(other)


def test_bounds_of_tables_go_by_column(path: Path) -> None:
    table = pa.table({"a": rng.normal(size=200), "b": rng.normal(size=200), "t": ["x"] * 200})
    compress(table, path, error={"a": 0.1})
    found = decompress(path)
    off = np.abs(np.asarray(found["a"]) - np.asarray(table["a"]))
    assert 0 < off.max() <= 0.1
    assert found["b"].equals(table["b"])
    with pytest.raises(SpecError, match="no column of numbers 't'"):
        compress(table, path, error={"t": 0.1})
    with pytest.raises(SpecError, match="exclude each other"):
        compress(table, path, error=1, relative=1)
    with pytest.raises(SpecError, match="at least 0"):
        compress(table, path, error=-1)
    with pytest.raises(SpecError, match="effort"):
        compress(table, path, effort="most")


TEXTS = [
    b"a,b\n1,2.50\n3,x\n",
    b'a;b\r\n1;2\r\n-0.5;"q;r"\r\n',
    b"x\n1\n2\n",
    b"a,b\n1,2\n3",
    b"",
    b"\n",
    b"a,b\n1,-0\n01,+5\n1e5,\n",
    b"\xff\xfe\x00",
    b'a,b\n1,"x\ny"\n',
    b"a,b\n0.10,2.0\n0.25,3.5\n1.5,4.25",
    b"n\n" + b"\n".join(b"%d.%02d" % (n // 7, n % 90) for n in range(-200, 200)) + b"\n",
    b"n,m\n" + b"".join(b"%r,%d\n" % (n / 7, 10**16 + n) for n in range(50)),
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back_byte_for_byte(text: bytes, path: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(text)
    compress(tmp_path / "t.csv", path)
    assert decompress(path) == text


def test_a_table_of_text_is_taken_apart(path: Path, tmp_path: Path) -> None:
    rows = np.cumsum(rng.integers(-3, 4, (400, 3)), 0)
    lines = "".join(f"{a},{b / 4},{a + c:.2f}\n" for a, b, c in rows)
    (tmp_path / "t.csv").write_text("a,b,c\n" + lines)
    compress(tmp_path / "t.csv", path)
    with open_compressed(path) as opened:
        assert [rule[0] for rule in opened.header.made_from["recipe"]["columns"]] == ["number"] * 3


def test_some_rows_and_columns_are_read_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "BLOCK_VALUES", 100)
    array = rng.integers(0, 50, (95, 4))
    compress(array, path)
    with open_compressed(path) as opened:
        assert len(opened.index) == 4
        assert opened.n_rows == 95
        for start, stop in ((0, 95), (20, 30), (24, 51), (90, None), (-5, None), (7, 7)):
            assert (opened.read(start, stop) == array[start:stop]).all()
        assert (opened.read(3, 60, columns=[2, 0]) == array[3:60][:, [2, 0]]).all()
        with pytest.raises(SpecError, match="no such column"):
            opened.read(columns=[9])
    table = pa.table({"a": np.arange(95), "b": ["x", None, "y", "z", "z"] * 19})
    compress(table, path)
    with open_compressed(path) as opened:
        assert opened.read(40, 70, columns=["b"]).equals(table.select(["b"]).slice(40, 30))
        assert opened.read(9, 9).num_rows == 0


def test_the_same_data_give_the_same_bytes(tmp_path: Path) -> None:
    array = rng.normal(size=(60, 3)).round(2)
    for name in ("a.aez", "b.aez"):
        compress(array, tmp_path / name)
    assert (tmp_path / "a.aez").read_bytes() == (tmp_path / "b.aez").read_bytes()


@pytest.mark.parametrize("name", ["table", "array", "field", "text", "shared", "folder"])
def test_files_of_the_first_version_are_read_for_ever(name: str) -> None:
    model = GOLDEN / "shared.aem" if name == "shared" else None
    found = decompress(GOLDEN / f"{name}.aez", model=model)
    expected = json.loads((GOLDEN / "expected.json").read_text())[name]
    if name in ("table", "shared"):
        assert found.to_pydict() == expected
    elif name == "text":
        assert found.decode() == expected
    elif name == "folder":
        note = found.pop("note.txt").decode()
        pixels = {key: value.tolist() for key, value in found.items()}
        assert {**pixels, "note.txt": note} == expected
    else:
        assert found.tolist() == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "a int cannot be compressed"),
        (np.array([None, 1]), "Python objects"),
        ("missing.csv", "there is no such file"),
    ],
)
def test_what_cannot_be_compressed_is_said(data: Any, message: str, path: Path) -> None:
    with pytest.raises(DataError, match=message):
        compress(data, path)
    assert not path.exists()


def test_some_columns_are_decoded_without_those_after_them(path: Path) -> None:
    hidden = rng.normal(size=(700, 2))
    array = np.round(hidden @ rng.normal(size=(2, 9)), 2)
    compress(array, path, effort="fast")
    with open_compressed(path) as opened:
        assert (opened.read(10, 50, columns=[4, 1]) == array[10:50, [4, 1]]).all()
        assert (opened.read(columns=[8]) == array[:, [8]]).all()
        assert (opened.read(columns=[-1]) == array[:, [-1]]).all()
        with pytest.raises(SpecError, match="no such column"):
            opened.read(columns=[9])
    table = pa.table({str(place): column for place, column in enumerate(array.T)})
    table = table.append_column("t", pa.array([f"{value:.1f}" for value in array[:, 0]]))
    compress(table.append_column("last", table["0"]), path, effort="fast")
    with open_compressed(path) as opened:
        assert opened.read(columns=["t", "3"]).equals(table.select(["t", "3"]))
        with pytest.raises(SpecError, match="no such column"):
            opened.read(columns=["none"])


def test_blocks_are_the_same_with_any_number_of_threads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "BLOCK_VALUES", 400)
    array = np.cumsum(rng.integers(-3, 4, (300, 4)), axis=0)
    compress(array, path, effort="fast", n_threads=1)
    one = path.read_bytes()
    compress(array, path, effort="fast", n_threads=3)
    assert path.read_bytes() == one
    assert (decompress(path, n_threads=3) == array).all()
    damaged = bytearray(one)
    damaged[len(one) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError, match="changed"):
        decompress(path, n_threads=3)
    with pytest.raises(SpecError, match="n_threads is 0"):
        decompress(path, n_threads=0)
