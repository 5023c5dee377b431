"""Each fault of data or file: one line, exit 1, nothing written (issue 2, "Must show" 7)."""

from __future__ import annotations

import csv
import io
import json
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
    "all missing": ("x.csv", text("a,b\n" + ",\n" * 60), ["x.csv", "none of the 2 columns"]),
    "identifiers": (
        "x.csv",
        text("a,b\n" + "".join(f"id {n},no {7 * n}\n" for n in range(60))),
        ["x.csv", "none of the 2 columns", "'a' is identifier", "60 of 60 values differ"],
    ),
    "the same name twice": ("x.csv", text("a,a,c\n" + ROWS), ["x.csv", "'a' appears 2 times"]),
    "infinite": ("x.csv", text(HEADER + ROWS + "1,inf,2\n"), ["x.csv", "'b'", "infinite", "61"]),
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


def test_holes_and_mixed_types_are_fitted(
    run: Callable[..., Any], small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(HEADER + ROWS + "1,red,\n", "utf-8")
    arguments = ["fit", "x.csv", "-o", "m", *small, "--components", "2", "--json"]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    a, b, c = json.loads(done.stdout)["columns"]
    assert [column["kind"] for column in (a, b, c)] == ["numeric", "categorical", "numeric"]
    assert [column["missing"] for column in (a, b, c)] == [0, 0, 1]


@pytest.mark.parametrize(
    ("option", "code", "words"),
    [
        ("d=numeric", 1, ["x.csv: there is no column 'd'"]),
        ("b=numeric", 1, ["x.csv: column 'b' cannot be numeric"]),
        ("b=categorial", 2, ["columns['b']", "did you mean 'categorical'"]),
        ("a=numeric:transform=log", 2, ["columns['a']", "'log'", "asinh"]),
    ],
)
def test_kinds_that_do_not_suit_are_refused(
    option: str, code: int, words: list[str], run: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text(HEADER + ROWS + "1,red,\n", "utf-8")
    done = run("fit", "x.csv", "-o", "m", "--column", option, folder=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith("autoencode: ")
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "m").exists()


# What is done to the first row of the orders, and what is said of it.
CELLS = {
    "text among numbers": ("Gewicht", "schwer", ["'Gewicht'", "numbers", "'schwer'", "row 1"]),
    "a fraction among whole numbers": ("Stück", "2,5", ["'Stück'", "whole numbers", "'2.5'"]),
    "infinite": ("Gewicht", "inf", ["'Gewicht'", "infinite", "row 1"]),
    "no such day": ("Datum", "31.02.2024", ["'Datum'", "DD.MM.YYYY", "'31.02.2024'", "row 1"]),
    "no date": ("Datum", "bald", ["'Datum'", "DD.MM.YYYY", "'bald'", "row 1"]),
    "a date spelled otherwise": ("Datum", "2024-01-31", ["'Datum'", "DD.MM.YYYY", "row 1"]),
}


def changed(folder: Path, output: Path, name: str, cell: str) -> None:
    """Write the orders with one other cell in the first row."""
    header, first, *rest = (folder / "orders.csv").read_text("utf-8").splitlines()
    cells = first.split(";")
    cells[header.split(";").index(name)] = cell
    output.write_text("\n".join([header, ";".join(cells), *rest]) + "\n", "utf-8")


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "impute"])
@pytest.mark.parametrize("case", CELLS)
def test_cells_that_a_column_cannot_have(
    case: str, verb: str, refused: Refused, orders_model: Path, tmp_path: Path
) -> None:
    name, cell, words = CELLS[case]
    changed(orders_model.parent, tmp_path / "x.csv", name, cell)
    line = refused(verb, orders_model, "x.csv", "-o", "o.csv", folder=tmp_path)
    assert line.startswith("autoencode: x.csv: column ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("name", "cell"),
    [("Farbe", "türkis"), ("Datum", "31.12.2099"), ("Land", "AT"), ("Stück", "99")],
)
def test_values_never_seen_are_defined(
    name: str, cell: str, run: Callable[..., Any], orders_model: Path, tmp_path: Path
) -> None:
    """They are encoded; what comes back is something that was seen; imputing keeps them."""
    changed(orders_model.parent, tmp_path / "x.csv", name, cell)
    first = {}
    for command in ("encode", "reconstruct", "impute"):
        done = run(command, orders_model, "x.csv", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        first[command] = next(csv.DictReader(io.StringIO(done.stdout)))
    assert all(np.isfinite(float(code)) for code in first["encode"].values())
    assert first["reconstruct"][name] not in ("", cell)
    assert first["impute"][name] == cell


def test_columns_that_are_not_those_of_the_fit(
    refused: Refused, orders_model: Path, tmp_path: Path
) -> None:
    lines = (orders_model.parent / "orders.csv").read_text("utf-8").splitlines()
    (tmp_path / "fewer.csv").write_text("\n".join(line.rpartition(";")[0] for line in lines))
    (tmp_path / "more.csv").write_text("\n".join(f"{line};Neu" for line in lines))
    (tmp_path / "twice.csv").write_text("\n".join(f"{line};Farbe" for line in lines))
    for command in ("encode", "reconstruct", "impute"):
        for name, words in {
            "fewer.csv": ["column 'Land'", "is missing"],
            "more.csv": ["without column 'Neu'", "--drop Neu", "--keep"],
            "twice.csv": ["'Farbe' appears 2 times"],
        }.items():
            line = refused(command, orders_model, name, "-o", "o.csv", folder=tmp_path)
            assert line.startswith(f"autoencode: {name}: ")
            assert all(word in line for word in words), line


def test_other_types_in_parquet(refused: Refused, orders_model: Path, tmp_path: Path) -> None:
    names = (orders_model.parent / "orders.csv").read_text("utf-8").splitlines()[0].split(";")
    cells = [["K1"], [[1.5, 2.5]], [70.0], ["01.02.2024"], [3], ["blau"], ["DE"]]
    pq.write_table(pa.table(dict(zip(names, cells, strict=True))), tmp_path / "x.parquet")
    line = refused("encode", orders_model, "x.parquet", "-o", "o.csv", folder=tmp_path)
    assert "x.parquet: column 'Größe in cm' held numbers (double)" in line


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


@pytest.mark.parametrize("name", ["encode", "decode", "reconstruct", "impute"])
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
    flipped[-100] ^= 16
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
