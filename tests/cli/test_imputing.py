from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoencode import Autoencoder
from autoencode.commands import imputing
from autoencode.errors import ModelFileError

Run = Callable[..., Any]


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def restoring(run: Run, orders: Path, small: list[str]) -> Path:
    """A model of the orders that was fitted with ``--components none``."""
    arguments = ["--components", "none", *small]
    done = run("fit", "orders.csv", "-o", "restoring", *arguments, folder=orders)
    assert done.returncode == 0, done.stderr
    return orders / "restoring"


def given_cells(folder: Path) -> list[dict[str, str]]:
    lines = (folder / "orders.csv").read_text("utf-8").splitlines()
    return list(csv.DictReader(lines, delimiter=";"))


def same(given: str, found: str) -> bool:
    """Whether a cell says the same: numbers may be written otherwise."""
    if given == found:
        return True
    return "," in given and float(given.replace(",", ".")) == float(found)


def test_only_missing_cells_are_filled(
    run: Run, orders: Path, orders_model: Path, restoring: Path
) -> None:
    given = given_cells(orders)
    holes = [(row, name) for row, cells in enumerate(given) for name in cells if not cells[name]]
    assert len(holes) > 20
    filled = []
    for model in (orders_model, restoring):
        done = run("impute", model, "orders.csv", folder=orders)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        found = records(done.stdout)
        assert [*found[0]] == [*given[0]]
        for before, after in zip(given, found, strict=True):
            assert all(same(before[name], after[name]) for name in before if before[name])
        filled.append([found[row][name] for row, name in holes])
        assert all(filled[-1])
    assert filled[0] != filled[1]
    dates = {cell for cell, (_, name) in zip(filled[1], holes, strict=True) if name == "Datum"}
    assert dates
    assert all(cell[2] == cell[5] == "." and cell.endswith(".2024") for cell in dates)


def test_draws_below_each_other(run: Run, orders: Path, restoring: Path, tmp_path: Path) -> None:
    done = run(
        "impute", restoring, orders / "orders.csv", "--draws", "3", "--keep", "Kunden-Nr",
        "-o", "drawn.parquet", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "drawn.parquet")
    assert table.column_names == ["draw", *given_cells(orders)[0]]
    assert table["draw"].to_pylist() == [1] * 120 + [2] * 120 + [3] * 120
    assert table.num_rows == 360
    assert not any(column.null_count for column in table.columns)
    parts = [table.slice(start, 120).drop_columns(["draw"]) for start in (0, 120, 240)]
    sizes = np.array([part["Größe in cm"].to_numpy() for part in parts])
    missing = np.array([not cells["Größe in cm"] for cells in given_cells(orders)])
    assert (np.ptp(sizes, axis=0) > 0).tolist() == missing.tolist()


def test_draws_in_a_file_each(run: Run, orders: Path, restoring: Path, tmp_path: Path) -> None:
    arguments = ["impute", restoring, orders / "orders.csv", "--draws", "2"]
    together = run(*arguments, folder=tmp_path)
    assert together.returncode == 0, together.stderr
    done = run(*arguments, "-o", "drawn-{draw}.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"drawn-1.csv", "drawn-2.csv"}
    rows = records(together.stdout)
    for number in ("1", "2"):
        found = records((tmp_path / f"drawn-{number}.csv").read_text("utf-8"))
        assert [{"draw": number, **row} for row in found] == [
            row for row in rows if row["draw"] == number
        ]
    again = run(*arguments, "-o", "drawn-{draw}.csv", folder=tmp_path)
    assert again.returncode == 1
    assert "drawn-1.csv exists; pass --force" in again.stderr


def test_nothing_to_do_is_said(run: Run, orders: Path, restoring: Path, tmp_path: Path) -> None:
    complete = [cells for cells in given_cells(orders) if all(cells.values())]
    with (tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, complete[0], delimiter=";")
        writer.writeheader()
        writer.writerows(complete)
    for files in (["x.csv"], [restoring, "x.csv"]):
        done = run("impute", *files, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == "autoencode: x.csv: no cell is missing; it is written as it is\n"
        found = records(done.stdout)
        for before, after in zip(complete, found, strict=True):
            assert all(same(before[name], after[name]) for name in before)


def test_cells_that_no_model_restores_are_named(
    run: Run, orders: Path, restoring: Path, tmp_path: Path
) -> None:
    lines = (orders / "orders.csv").read_text("utf-8").splitlines()
    lines[3] = ";" + lines[3].partition(";")[2]
    (tmp_path / "x.csv").write_text("\n".join(lines), "utf-8")
    done = run("impute", restoring, "x.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(
        "autoencode: x.csv: cells stay missing in 'Kunden-Nr' (identifier"
    )
    assert done.stderr.count("\n") == 1
    assert records(done.stdout)[2]["Kunden-Nr"] == ""


def sums(count: int) -> np.ndarray:
    """Rows whose last column is the sum of the others, every tenth of it missing."""
    rows = np.random.default_rng(0).normal(size=(count, 4))
    rows[:, 3] = rows[:, :3].sum(1)
    rows[::10, 3] = np.nan
    return rows


def test_arrays_without_a_model(run: Run, tmp_path: Path) -> None:
    rows = sums(40)
    np.save(tmp_path / "x.npy", rows)
    done = run("impute", "x.npy", "-o", "i.npy", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found, missing = np.load(tmp_path / "i.npy"), np.isnan(rows)
    np.testing.assert_array_equal(found[~missing], rows[~missing])
    assert np.abs(found[:, 3] - rows[:, :3].sum(1)).max() < 0.3


def test_a_table_without_a_model(run: Run, tmp_path: Path) -> None:
    columns = dict(zip("abcd", sums(40).T, strict=True))
    pq.write_table(pa.table({**columns, "n": np.arange(40) % 7}), tmp_path / "x.parquet")
    arguments = ["impute", "x.parquet", "--draws", "1"]
    outputs = {}
    for name, options in {
        "plain": [],
        "again": ["--seed", "0", "--missing", "ignorable"],
        "seed": ["--seed", "1"],
        "column": ["--column", "n=categorical"],
    }.items():
        done = run(*arguments, *options, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        outputs[name] = done.stdout
    assert outputs["plain"] == outputs["again"]
    assert outputs["plain"] != outputs["seed"]
    assert outputs["plain"] != outputs["column"]
    left = run("impute", "x.parquet", "--column", "d=identifier", folder=tmp_path)
    assert "cells stay missing in 'd' (identifier, left out on request)" in left.stderr


def test_how_cells_went_missing_matters(run: Run, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(90, 2)) @ [[1, 1, 1], [0, 0.5, 0]]
    rows[rows[:, 1] > 0.8, 1] = np.nan
    pq.write_table(pa.table(dict(zip("abc", rows.T, strict=True))), tmp_path / "x.parquet")
    means = []
    for missing in ("ignorable", "informative"):
        done = run(
            "impute", "x.parquet", "--missing", missing, "-o", f"{missing}.npy", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
        means.append(np.load(tmp_path / f"{missing}.npy")[:, 1].mean())
    assert means[1] != means[0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["m", "x.csv", "y.csv"],
        ["m", "x.csv", "--seed", "1"],
        ["m", "x.csv", "--max-time", "1"],
        ["m", "x.csv", "--missing", "informative"],
        ["m", "x.csv", "--column", "a=numeric"],
        ["x.csv", "--trust", "outside"],
        ["x.csv", "--draws", "0"],
        ["x.csv", "-o", "{draw}.csv"],
    ],
    ids=" ".join,
)
def test_options_that_would_do_nothing_are_refused(
    arguments: list[str], run: Run, tmp_path: Path
) -> None:
    done = run("impute", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "Usage: autoencode impute" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_wrong_values_exit_2_with_one_line(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sums(40))
    done = run("impute", "x.npy", "--max-time", "0", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("autoencode: max_time=0.0")
    assert done.stderr.count("\n") == 1


def test_draws_that_do_not_fit_the_file(
    refused: Callable[..., str], orders: Path, restoring: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", sums(40))
    line = refused("impute", "x.npy", "--draws", "2", "-o", "i.npy", folder=tmp_path)
    assert "put {draw} into its name" in line
    pq.write_table(pa.table({"draw": sums(40)[:, 3], "b": sums(40)[:, 1]}), tmp_path / "x.parquet")
    line = refused("impute", "x.parquet", "--draws", "2", "-o", "i.csv", folder=tmp_path)
    assert "x.parquet has a column 'draw' already" in line


def test_parts_from_outside_need_trust(outside: str, tmp_path: Path) -> None:
    rows = sums(60)
    model = Autoencoder(
        None, hidden_layer_sizes=(4,), corruption=f"{outside}:Shift", max_epochs=1, random_state=0
    )
    model.fit(rows).save(tmp_path / "m")
    np.save(tmp_path / "x.npy", rows)
    output = tmp_path / "i.csv"
    with pytest.raises(ModelFileError, match="outside_parts"):
        imputing.impute(str(tmp_path / "m"), str(tmp_path / "x.npy"), output)
    imputing.impute(str(tmp_path / "m"), str(tmp_path / "x.npy"), output, trust=["outside_parts"])
    assert len(output.read_text("utf-8").splitlines()) == 61


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_reaches_the_progress_line(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    class Watched(imputing.Progress):
        def __init__(self, **options: Any) -> None:
            seen.append(options)
            super().__init__(**options)

    monkeypatch.setattr(imputing, "Progress", Watched)
    np.save(tmp_path / "x.npy", sums(40))
    imputing.impute(str(tmp_path / "x.npy"), None, tmp_path / "i.csv", quiet=quiet, max_time=60.0)
    assert seen == [{"quiet": quiet, "max_time": 60.0}]
