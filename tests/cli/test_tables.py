"""Tables as they are: what is fitted, what is said about it, and what comes back."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoencode import Autoencoder
from autoencode.model_file import read_header

Run = Callable[..., Any]

NAMES = ["Kunden-Nr", "Größe in cm", "Gewicht", "Datum", "Stück", "Farbe", "Land"]


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_json_says_what_each_column_is_and_how_it_comes_back(orders_fit: Any) -> None:
    assert orders_fit.returncode == 0, orders_fit.stderr
    columns = json.loads(orders_fit.stdout)["columns"]
    assert [column["name"] for column in columns] == NAMES
    found = {column["name"]: column for column in columns}
    assert found["Kunden-Nr"]["kind"] == "identifier"
    assert "near-unique" in found["Kunden-Nr"]["detail"]
    assert found["Kunden-Nr"]["quality"] is None
    assert found["Land"]["kind"] == "constant"
    assert found["Größe in cm"]["type"] == "double"
    assert found["Größe in cm"]["measure"] == "explained_variance"
    assert found["Größe in cm"]["quality"] > 0.3
    assert found["Datum"]["kind"] == "datetime"
    assert found["Farbe"]["measure"] == "accuracy"
    assert 0 < found["Farbe"]["baseline"] < 1
    assert found["Farbe"]["missing_share"] == found["Farbe"]["missing"] / 120 > 0
    shares = [column["error_share"] for column in columns if column["error_share"] is not None]
    assert sum(shares) == pytest.approx(1)


def test_fit_prints_the_columns_and_inspect_again(
    run: Run, orders: Path, small: list[str], tmp_path: Path
) -> None:
    arguments = [*small, "--components", "2"]
    done = run("fit", orders / "orders.csv", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"7 columns \(\d+ values\) -> 2 components", done.stdout)
    assert "left out: Kunden-Nr (identifier, near-unique: 120 of 120 values differ)" in done.stdout
    assert re.search(r"Gewicht +numeric, .* R² ", done.stdout)
    assert re.search(r"Farbe +categorical, 3 levels +\d.*% +[\d.]+% right +[\d.]+%", done.stdout)
    again = run("inspect", "m", folder=tmp_path).stdout
    assert re.search(r"left out +Kunden-Nr \(identifier", again)
    assert re.search(r"Farbe +categorical.* +\d.*% +[\d.]+% right +[\d.]+%", again)
    found = json.loads(run("inspect", "m", "--json", folder=tmp_path).stdout)
    assert [column["name"] for column in found["columns"]] == NAMES
    assert found["columns"][3]["kind"] == "datetime"
    assert found["columns"][5]["quality"] is not None
    assert "columns" not in found["facts"]


def test_of_many_columns_the_worst_are_printed(run: Run, small: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=90)
    columns = {f"good{place}": score + 0.01 * rng.normal(size=90) for place in range(20)}
    columns |= {f"noise{place}": rng.normal(size=90) for place in range(5)}
    pq.write_table(pa.table(columns), tmp_path / "wide.parquet")
    arguments = [*small, "--components", "1"]
    done = run("fit", "wide.parquet", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"noise{place}" in done.stdout for place in range(5))
    assert done.stdout.count("good") == 15
    assert "5 more with --json" in done.stdout
    assert done.stdout.index("noise0") < done.stdout.index("good")


def test_kinds_of_columns_can_be_told(run: Run, orders: Path, small: list[str]) -> None:
    done = run(
        "fit", "orders.csv", "-o", "told", *small, "--components", "2", "--json",
        "--column", "Stück=categorical", "--column", "Gewicht=numeric:transform=asinh",
        folder=orders,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {column["name"]: column for column in json.loads(done.stdout)["columns"]}
    assert found["Stück"]["kind"] == "categorical"
    assert "asinh" in found["Gewicht"]["detail"]
    parameters = read_header(orders / "told")["parameters"]
    assert parameters["columns"]["Stück"] == "categorical"


def test_missing_can_be_informative(
    run: Run, orders: Path, orders_model: Path, small: list[str], tmp_path: Path
) -> None:
    arguments = [*small, "--components", "none", "--missing", "informative"]
    done = run("fit", orders / "orders.csv", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    header = read_header(tmp_path / "m")
    assert header["parameters"]["missing"] == "informative"
    assert header["composition"]["informative"] is True
    assert read_header(orders_model)["composition"]["informative"] is False


def test_a_model_without_a_bottleneck(
    run: Run, orders: Path, small: list[str], tmp_path: Path
) -> None:
    arguments = [*small, "--components", "none"]
    done = run("fit", orders / "orders.csv", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    header = read_header(tmp_path / "m")
    assert header["parameters"]["n_components"] is None
    assert header["n_components"] == header["composition"]["sample_shape"][0]
    assert "-> missing cells restored" in done.stdout
    assert "cells hidden in held-out rows" in done.stdout
    again = run("inspect", "m", folder=tmp_path).stdout
    for printed in (done.stdout, again):
        assert "restored" in printed
        assert "error / PCA's" not in printed  # no curve of lengths


def test_figures_of_training_rows_are_called_that(
    run: Run, small: list[str], tmp_path: Path
) -> None:
    for count, rows in ((24, "training"), (200, "held-out")):
        x = np.random.default_rng(0).normal(size=(count, 3))
        np.save(tmp_path / "x.npy", x)
        done = run("fit", "x.npy", "-o", "m", *small, "--force", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        again = run("inspect", "m", folder=tmp_path).stdout
        for printed in (done.stdout, again):
            assert f"{rows} variance explained" in printed
        assert ("rows of the fit" in again) == (rows == "training")


def test_corruption_is_chosen_by_whether_cells_are_missing(
    people_model: Path, orders_model: Path
) -> None:
    assert read_header(people_model)["composition"]["corruption"] == "none"
    assert read_header(orders_model)["composition"]["corruption"] == "hide"


def test_csv_comes_back_spelled_as_it_was(run: Run, orders: Path, orders_model: Path) -> None:
    done = run("reconstruct", orders_model, "orders.csv", folder=orders)
    assert done.returncode == 0, done.stderr
    rows = records(done.stdout)
    assert list(rows[0]) == NAMES
    assert len(rows) == 120
    assert {row["Kunden-Nr"] for row in rows} == {""}
    assert {row["Land"] for row in rows} == {"DE"}
    assert {row["Farbe"] for row in rows} <= {"rötlich", "grün", "blau"}
    assert all(re.fullmatch(r"\d+", row["Stück"]) for row in rows)
    assert all(re.fullmatch(r"\d\d\.\d\d\.2024", row["Datum"]) for row in rows)
    given = [float(line.split(";")[1].replace(",", ".") or "nan") for line in lines(orders)[1:]]
    found = np.array([float(row["Größe in cm"]) for row in rows])
    assert np.nanmean(np.abs(found - given)) < 4  # the deviation is 8


def lines(folder: Path) -> list[str]:
    return (folder / "orders.csv").read_text("utf-8").splitlines()


def test_a_kept_identifier_goes_where_it_was(run: Run, orders: Path, orders_model: Path) -> None:
    numbers = [line.split(";")[0] for line in lines(orders)[1:]]
    arguments = [orders_model, "orders.csv", "--keep", "Kunden-Nr"]
    done = run("reconstruct", *arguments, folder=orders)
    assert done.returncode == 0, done.stderr
    assert list(records(done.stdout)[0]) == NAMES
    assert [row["Kunden-Nr"] for row in records(done.stdout)] == numbers
    assert run("encode", *arguments, "-o", "codes.csv", folder=orders).returncode == 0
    decoded = run("decode", orders_model, "codes.csv", folder=orders)
    assert decoded.returncode == 0, decoded.stderr
    assert [row["Kunden-Nr"] for row in records(decoded.stdout)] == numbers
    for one, other in zip(records(decoded.stdout), records(done.stdout), strict=True):
        assert [one[name] for name in NAMES[3:]] == [other[name] for name in NAMES[3:]]
        assert float(one["Gewicht"]) == pytest.approx(float(other["Gewicht"]), abs=1e-4)


def test_other_kept_columns_go_first(
    run: Run, refused: Callable[..., str], orders: Path, orders_model: Path, tmp_path: Path
) -> None:
    text = [f"{line};{number}" for number, line in enumerate(lines(orders))]
    text[0] = f"{lines(orders)[0]};Zeile"
    (tmp_path / "more.csv").write_text("\n".join(text), "utf-8")
    arguments = [orders_model, "more.csv", "--keep", "Zeile"]
    done = run("reconstruct", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = records(done.stdout)
    assert list(rows[0]) == ["Zeile", *NAMES]
    assert [row["Zeile"] for row in rows] == [str(number) for number in range(1, 121)]
    line = refused("reconstruct", *arguments, "--keep", "Farbe", "-o", "r.csv", folder=tmp_path)
    assert "both named 'Farbe'" in line


@pytest.fixture(scope="module")
def typed() -> pa.Table:
    """A table of Arrow types that CSV has not."""
    rng = np.random.default_rng(0)
    size = rng.normal(size=100)
    zone = pa.timestamp("ms", tz="Europe/Berlin")
    return pa.table(
        {
            "id": pa.array([f"row {number}" for number in range(100)]),
            "size": pa.array([None, *size[1:]], pa.float32()),
            "count": pa.array([*rng.poisson(4, 99), None], pa.int16()),
            "grade": pa.array(np.digitize(size, [-1, 0, 1]).astype("i8")).dictionary_encode(),
            "day": pa.array([date(2020, 1, 1 + number % 28) for number in range(100)]),
            "when": pa.array([1_700_000_000_000 + 3_600_000 * n for n in range(100)], zone),
            "large": pa.array(size > 0.5),
        }
    ).replace_schema_metadata({"made": "by hand"})


def test_parquet_comes_back_with_the_same_schema(
    run: Run, small: list[str], typed: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(typed, tmp_path / "t.parquet")
    given = pq.read_table(tmp_path / "t.parquet").schema.remove_metadata()
    arguments = [*small, "--components", "3"]
    done = run("fit", "t.parquet", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for command in (
        ["reconstruct", "m", "t.parquet", "-o", "r.parquet"],
        ["reconstruct", "m", "t.parquet", "--keep", "id", "-o", "kept.parquet"],
        ["encode", "m", "t.parquet", "-o", "codes.parquet"],
        ["decode", "m", "codes.parquet", "-o", "d.parquet"],
        ["impute", "m", "t.parquet", "-o", "i.parquet"],
    ):
        done = run(*command, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("r", "kept", "d", "i"):
        assert pq.read_table(tmp_path / f"{name}.parquet").schema.remove_metadata() == given
    found = pq.read_table(tmp_path / "r.parquet")
    assert found["id"].null_count == 100
    assert found.drop_columns(["id"]).equals(
        pq.read_table(tmp_path / "d.parquet").drop_columns(["id"])
    )
    assert pq.read_table(tmp_path / "kept.parquet")["id"].equals(typed["id"])


def test_a_model_of_a_pandas_frame_decodes_to_files(
    run: Run, typed: pa.Table, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": np.arange(60.0), "color": ["red", "blue", "blue"] * 20})
    model = Autoencoder(2, hidden_layer_sizes=(), random_state=0).fit(frame)
    model.save(tmp_path / "m")
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert run("encode", "m", "x.csv", "-o", "c.csv", folder=tmp_path).returncode == 0
    done = run("decode", "m", "c.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["color"] for row in records(done.stdout)] == ["red", "blue", "blue"] * 20


def test_an_encoder_alone_does_not_decode(refused: Callable[..., str], tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4))
    model = Autoencoder(2, hidden_layer_sizes=(), random_state=0).fit(rows)
    model.save(tmp_path / "m", encoder_only=True)
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "c.npy", model.transform(rows))
    for command in (
        ["reconstruct", "m", "x.npy"],
        ["decode", "m", "c.npy"],
        ["impute", "m", "x.npy"],
    ):
        line = refused(*command, "-o", "r.csv", folder=tmp_path)
        assert "autoencode: m: the model was saved with encoder_only=True" in line


def test_held_out_rows_and_a_target_of_tables(
    run: Run, refused: Callable[..., str], orders: Path, small: list[str], tmp_path: Path
) -> None:
    text = lines(orders)
    (tmp_path / "x.csv").write_text("\n".join(text[:81]), "utf-8")
    (tmp_path / "other.csv").write_text("\n".join([text[0], *text[81:]]), "utf-8")
    arguments = ["fit", "x.csv", "--target", "x.csv", *small, "--components", "2", "--json"]
    done = run(*arguments, "--held-out", "other.csv", "-o", "m", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["rows"]
    assert found == {"n_rows": 80, "n_train": 80, "n_choose": 20, "n_claim": 20}
    (tmp_path / "other.csv").write_text(text[0] + "\nK1;groß;1,5;01.02.2024;2;blau;DE\n", "utf-8")
    line = refused(*arguments, "--held-out", "other.csv", "-o", "n", folder=tmp_path)
    assert "other.csv: column 'Größe in cm'" in line
    assert "'groß' in row 1" in line
