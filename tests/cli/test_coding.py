from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def code_file(run: Run, people: Path, people_model: Path) -> Path:
    done = run(
        "encode", people_model, "people.csv", "--keep", "person id", "-o", "codes.parquet",
        folder=people,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    return people / "codes.parquet"


def test_codes_have_names_and_can_be_joined(code_file: Path) -> None:
    table = pq.read_table(code_file)
    assert table.column_names == ["person id", "autoencoder0", "autoencoder1"]
    assert table["person id"].to_pylist() == [f"Jürgen {number}" for number in range(120)]


def test_encode_then_decode_equals_reconstruct(
    run: Run, people: Path, people_model: Path, code_file: Path, tmp_path: Path
) -> None:
    decoded = run("decode", people_model, code_file, folder=tmp_path)
    assert decoded.returncode == 0, decoded.stderr
    done = run(
        "reconstruct", people_model, people / "people.csv", "--keep", "person id", "-o",
        "r.feather", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names, *lines = csv.reader(io.StringIO(decoded.stdout))
    assert names == ["person id", "größe", "weight in kg", "Übung", "d"]
    table = pf.read_table(tmp_path / "r.feather")
    assert table.column_names == names
    assert table["person id"].to_pylist() == [line[0] for line in lines]
    expected = np.column_stack([table[name].to_numpy() for name in names[1:]])
    np.testing.assert_allclose(
        np.array([line[1:] for line in lines], dtype=float), expected, rtol=1e-4, atol=1e-5
    )


def test_pictures_come_back_as_pictures(run: Run, demo: Path, tmp_path: Path) -> None:
    made = demo / "new" / "demo"
    done = run(
        "decode", made / "digits.safetensors", made / "codes.csv", "-o", "d.npy", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    decoded, given = np.load(tmp_path / "d.npy"), np.load(made / "digits.npy")
    assert decoded.shape == given.shape == (1797, 8, 8)
    assert np.square(decoded - given).mean() < 0.2 * given.var(axis=0).mean()


def test_rows_in_another_order_of_columns(
    run: Run, people: Path, people_model: Path, code_file: Path, tmp_path: Path
) -> None:
    lines = (people / "people.csv").read_text("utf-8").splitlines()
    rows = list(csv.reader(lines, delimiter=";"))
    with (tmp_path / "other.tsv").open("w", encoding="latin-1", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(row[:0:-1] for row in rows)
    done = run("encode", people_model, "other.tsv", "-o", "codes.npy", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(code_file)
    expected = np.column_stack([table["autoencoder0"], table["autoencoder1"]])
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected)


def test_a_closed_pipe_is_quiet(
    command: list[str], environment: dict[str, str], demo: Path
) -> None:
    process = subprocess.Popen(
        [*command, "reconstruct", "digits.safetensors", "digits.npy"],
        cwd=demo / "new" / "demo",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_export_writes_a_graph(run: Run, people_model: Path, tmp_path: Path) -> None:
    done = run("export", people_model, "--to", "onnx", "--encoder", "-o", "e.onnx", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "e.onnx").stat().st_size > 1000
