"""Each fault of data or file: one line, exit 1, nothing written (issue 2, "Must show" 7)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Refused = Callable[..., str]

HEADER = "a,b,c\n"
ROWS = "".join(f"{n},{n * n % 7},{n % 5}\n" for n in range(60))


def nothing(path: Path) -> None:
    """Leave the file missing."""


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content, "utf-8") and None


def cut_parquet(path: Path) -> None:
    table = pa.table({"a": np.arange(1000.0), "b": np.arange(1000.0)})
    pq.write_table(table, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_npy(path: Path) -> None:
    np.save(path, np.zeros((50, 4)))
    path.write_bytes(path.read_bytes()[:300])


def infinite_npy(path: Path) -> None:
    values = np.ones((50, 4))
    values[7, 2] = np.inf
    np.save(path, values)


CASES = {
    "missing file": ("x.csv", nothing, ["x.csv", "no such file"]),
    "missing array": ("x.npy", nothing, ["x.npy", "no such file"]),
    "empty file": ("x.csv", text(""), ["x.csv", "empty"]),
    "empty array": ("x.npy", text(""), ["x.npy", "empty"]),
    "header only": ("x.csv", text(HEADER), ["x.csv", "no rows"]),
    "text": ("x.csv", text(HEADER + ROWS + "1,red,2\n"), ["'b'", "'red'", "61", "--drop b"]),
    "all missing": ("x.csv", text("a,b,c\n" + "1,,2\n" * 60), ["'b'", "--drop b"]),
    "a hole": ("x.csv", text(HEADER + ROWS + "1,2,\n"), ["'c'", "--drop c"]),
    "infinite": ("x.csv", text(HEADER + ROWS + "1,inf,2\n"), ["'b'", "infinite", "--drop b"]),
    "infinite array": ("x.npy", infinite_npy, ["x.npy", "column 2", "row 7"]),
    "cut Parquet": ("x.parquet", cut_parquet, ["x.parquet"]),
    "cut array": ("x.npy", cut_npy, ["x.npy", "truncated"]),
    "other kind": ("x.doc", text("hello"), ["x.doc", "unknown kind of file"]),
    "not text": ("x.csv", lambda path: path.write_bytes(bytes(range(256)) * 9), ["x.csv"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_data_is_refused_in_one_line(case: str, refused: Refused, tmp_path: Path) -> None:
    name, write, words = CASES[case]
    write(tmp_path / name)
    line = refused("fit", name, "-o", "m.safetensors", "--report", "r.html", folder=tmp_path)
    assert all(word in line for word in words), line


def test_unknown_columns_are_refused(refused: Refused, people: Path) -> None:
    line = refused("fit", "people.csv", "-o", "m", "--drop", "Person id", folder=people)
    assert "did you mean 'person id'" in line


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("missing/m.safetensors", "missing does not exist"),
        ("x.csv/m.safetensors", "x.csv is not a folder"),
        ("folder", "it is a folder"),
        ("x.csv", "x.csv exists; pass --force to replace it"),
    ],
)
def test_an_output_that_cannot_be_written_is_found_before_fitting(
    output: str, words: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(HEADER + ROWS, "utf-8")
    (tmp_path / "folder").mkdir()
    # The data do not exist: what is said about the output is said before they are read.
    assert words in refused("fit", "y.csv", "-o", output, folder=tmp_path)
    line = refused("fit", "y.csv", "-o", "m", "--report", output, folder=tmp_path)
    assert words in line
    if output != "folder":
        assert words in refused("export", "m", "-o", output, folder=tmp_path)


def test_model_and_report_are_two_files(refused: Refused, tmp_path: Path) -> None:
    assert "two files" in refused("fit", "x", "-o", "m", "--report", "./m", folder=tmp_path)


@pytest.mark.parametrize("name", ["encode", "decode", "reconstruct"])
def test_tables_are_not_written_where_they_cannot(
    name: str, refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "c.csv").write_text("a\n", "utf-8")
    for output, words in [
        ("c.csv", "c.csv exists; pass --force"),
        ("missing/c.csv", "missing does not exist"),
        ("c.doc", "choose one of these suffixes"),
    ]:
        assert words in refused(name, "m", "x.csv", "-o", output, folder=tmp_path)


def test_a_damaged_model_is_refused(refused: Refused, people_model: Path, tmp_path: Path) -> None:
    content = people_model.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 16
    (tmp_path / "flipped").write_bytes(flipped)
    (tmp_path / "cut").write_bytes(content[:-100])
    (tmp_path / "empty").write_bytes(b"")
    data = people_model.with_name("people.csv")
    for name, words in [
        ("flipped", "checksum"),
        ("cut", "truncated"),
        ("empty", "empty"),
        ("none", "no such file"),
    ]:
        assert words in refused("inspect", name, folder=tmp_path)
    assert "checksum" in refused("encode", "flipped", data, "-o", "c.csv", folder=tmp_path)
    assert "truncated" in refused("decode", "cut", data, "-o", "c.csv", folder=tmp_path)


def test_wrong_columns_at_encode(refused: Refused, people_model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((9, 5)))
    line = refused("encode", people_model, "x.npy", "-o", "c.csv", folder=tmp_path)
    assert "x.npy has 5 columns" in line
    assert "fitted to 4" in line
    (tmp_path / "x.csv").write_text(HEADER + ROWS, "utf-8")
    line = refused("encode", people_model, "x.csv", "-o", "c.csv", folder=tmp_path)
    assert "'größe'" in line
    assert "missing" in line
    line = refused("decode", people_model, "x.csv", "-o", "c.csv", folder=tmp_path)
    assert "'autoencoder0'" in line


def test_a_full_disk_leaves_nothing(
    refused: Refused, people_model: Path, small: list[str], tmp_path: Path
) -> None:
    data = people_model.with_name("people.csv")
    full: dict[str, Any] = {"folder": tmp_path, "file_bytes": 700}
    line = refused("fit", data, "-o", "m", "--drop", "person id", *small, **full)
    assert "cannot write m: File too large" in line
    line = refused("encode", people_model, data, "--drop", "person id", "-o", "c.csv", **full)
    assert "cannot write c.csv" in line


def test_a_full_disk_loses_no_end_of_an_array(
    refused: Refused, people_model: Path, tmp_path: Path
) -> None:
    data = people_model.with_name("people.csv")
    full: dict[str, Any] = {"folder": tmp_path, "file_bytes": 700}
    line = refused("encode", people_model, data, "--drop", "person id", "-o", "c.npy", **full)
    assert "cannot write c.npy" in line


def test_a_full_standard_output(refused: Refused, people_model: Path, tmp_path: Path) -> None:
    data = people_model.with_name("people.csv")
    full: dict[str, Any] = {"folder": tmp_path, "stdout": "/dev/full"}
    assert "No space left" in refused("inspect", people_model, **full)
    line = refused("encode", people_model, data, "--drop", "person id", **full)
    assert "No space left" in line
