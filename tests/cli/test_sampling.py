from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from autoencode import Autoencoder
from autoencode.commands.sampling import label_of

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two kinds of things, a model of it, and a model of rows with classes."""
    place = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    lines = ["kind,size,legs"]
    for number in range(200):
        large = number % 4 == 0
        lines.append(f"{'cow' if large else 'ant'},{8 * large + rng.normal():.3f},{6 - 2 * large}")
    (place / "t.csv").write_text("\n".join(lines) + "\n", "utf-8")
    done = run("fit", "t.csv", "-o", "m", "--hidden", "none", folder=place)
    assert done.returncode == 0, done.stderr
    y = np.arange(100) % 2
    rows = 6.0 * y[:, None] + rng.normal(size=(100, 3))
    Autoencoder(2, conditional=True, hidden_layer_sizes=(), random_state=0).fit(rows, y).save(
        place / "classes"
    )
    return place


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_rows_are_drawn_with_the_columns_of_the_fit(run: Run, folder: Path) -> None:
    done = run("sample", "m", "-n", "300", folder=folder)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert len(found) == 300
    assert [*found[0]] == ["kind", "size", "legs"]
    assert {row["kind"] for row in found} == {"ant", "cow"}
    assert {row["legs"] for row in found} == {"4", "6"}
    assert abs(sum(row["kind"] == "cow" for row in found) - 75) < 30
    assert run("sample", "m", "-n", "300", folder=folder).stdout == done.stdout
    assert run("sample", "m", "-n", "300", "--seed", "1", folder=folder).stdout != done.stdout


def test_given_cells_are_in_every_row(run: Run, folder: Path) -> None:
    done = run("sample", "m", "-n", "50", "--given", "kind=cow", "-o", "c.csv", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "independent rows" in done.stderr
    found = records((folder / "c.csv").read_text("utf-8"))
    assert {row["kind"] for row in found} == {"cow"}
    assert np.median([float(row["size"]) for row in found]) > 6
    refused = run("sample", "m", "-n", "50", "-o", "c.csv", folder=folder)
    assert refused.returncode == 1
    assert "c.csv" in refused.stderr


def test_classes_are_the_first_column(run: Run, folder: Path) -> None:
    done = run("sample", "classes", "-n", "40", "--class", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert [*found[0]] == ["class", "x0", "x1", "x2"]
    assert {row["class"] for row in found} == {"1"}
    assert min(np.mean([float(row[f"x{k}"]) for k in range(3)]) for row in found) > 2
    both = records(run("sample", "classes", "-n", "40", "--given", "x0=0", folder=folder).stdout)
    assert sum(row["class"] == "0" for row in both) > 35


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["m", "-n", "0"], 2, "greater than or equal"),
        (["m", "-n", "5", "--given", "kind"], 2, "COLUMN=VALUE"),
        (["m", "-n", "5", "--given", "colour=red"], 2, "there is no column 'colour'"),
        (["m", "-n", "5", "--given", "kind=dog"], 1, "'dog'"),
        (["m", "-n", "5", "--class", "a"], 2, "conditional=True"),
        (["classes", "-n", "5", "--class", "7"], 1, "no class of the fit"),
        (["nothing", "-n", "5"], 1, "no such file"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    arguments: list[str], code: int, message: str, run: Run, folder: Path
) -> None:
    done = run("sample", *arguments, folder=folder)
    assert done.returncode == code
    assert message in done.stderr


def test_classes_of_a_column_can_be_drawn(run: Run, folder: Path) -> None:
    small = ["--hidden", "4", "--components", "1", "--max-epochs", "2", "--kind", "variational"]
    done = run("fit", "t.csv", "-o", "labelled", "--label", "kind", *small, folder=folder)
    assert done.returncode == 0, done.stderr
    done = run("sample", "labelled", "-n", "40", "--class", "cow", folder=folder)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert [*found[0]] == ["kind", "size", "legs"]
    assert {row["kind"] for row in found} == {"cow"}
    assert np.median([float(row["size"]) for row in found]) > 5
    every = records(run("sample", "labelled", "-n", "200", folder=folder).stdout)
    assert 20 < sum(row["kind"] == "cow" for row in every) < 85


def test_the_name_of_the_classes_is_no_other_columns() -> None:
    for facts, wanted in (
        ({}, "class__"),
        ({"label": "kind"}, "kind"),
        ({"label": "size"}, "size_"),
    ):
        schema = SimpleNamespace(names=("size", "class", "class_"))
        model = SimpleNamespace(_state=SimpleNamespace(schema=schema, facts=facts))
        assert label_of(cast(Any, model)) == wanted


def test_what_labels_are_not_for_is_refused(run: Run, folder: Path) -> None:
    done = run("fit", "t.csv", "-o", "x", "--label", "kind", "--kind", "sparse", folder=folder)
    assert done.returncode == 2
    assert "--label is for --kind autoencoder or variational" in " ".join(done.stderr.split())
    done = run("fit", "t.csv", "-o", "x", "--label", "none", folder=folder)
    assert done.returncode == 1
    assert "none" in done.stderr
    (folder / "holes.csv").write_text("kind,size\nant,1\n,2\nant,3\n", "utf-8")
    done = run("fit", "holes.csv", "-o", "x", "--label", "kind", folder=folder)
    assert done.returncode == 1
    assert "y has missing classes in 1 rows, the first is row 1 (counted from 0)" in done.stderr
