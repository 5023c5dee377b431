from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with two groups, and a model of it without them."""
    place = tmp_path_factory.mktemp("groups")
    rng = np.random.default_rng(0)
    lines = ["number,size,weight,group"]
    for number in range(40):
        size = 10 * (number % 2) + rng.normal()
        weight = "" if number == 7 else f"{size + rng.normal():.3f}"
        lines.append(f"N-{number:03},{size:.3f},{weight},{'ab'[number % 2]}")
    (place / "t.csv").write_text("\n".join(lines) + "\n", "utf-8")
    drop = ["--drop", "group", "--drop", "number", "--hidden", "none"]
    done = run("fit", "t.csv", "-o", "m", *drop, folder=place)
    assert done.returncode == 0, done.stderr
    return place


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_new_rows_keep_the_class_and_the_number_of_the_row(run: Run, folder: Path) -> None:
    call = ["augment", "m", "t.csv", "-n", "2", "--label", "group", "--keep", "number"]
    done = run(*call, folder=folder)
    assert done.returncode == 0, done.stderr
    found = records(done.stdout)
    assert len(found) == 80
    given = records((folder / "t.csv").read_text("utf-8"))
    for before, after in zip(given + given, found, strict=True):
        assert (after["number"], after["group"]) == (before["number"], before["group"])
        assert (float(after["size"]) > 5) == (after["group"] == "b")
        assert after["weight"]
    assert run(*call, folder=folder).stdout == done.stdout
    assert run(*call, "--seed", "1", folder=folder).stdout != done.stdout
    near = records(run(*call, "--kind", "interpolate", folder=folder).stdout)
    assert [row["group"] for row in near] == [row["group"] for row in found]
    assert near != found


def test_a_row_without_a_class_is_refused(run: Run, folder: Path) -> None:
    text = (folder / "t.csv").read_text("utf-8")
    (folder / "gap.csv").write_text(text.rstrip("\n").removesuffix("b") + "\n", "utf-8")
    call = ["augment", "m", "gap.csv", "-n", "1", "--label", "group", "--drop", "number"]
    done = run(*call, folder=folder)
    assert done.returncode == 1
    assert "gap.csv: y has missing classes" in done.stderr


def test_without_classes_rows_are_restored(run: Run, folder: Path) -> None:
    call = ["augment", "m", "t.csv", "-n", "1", "--drop", "group", "--drop", "number"]
    done = run(*call, "--strength", "0.3", "-o", "new.csv", folder=folder)
    assert done.returncode == 0, done.stderr
    new = (folder / "new.csv").read_text("utf-8")
    assert [*records(new)[0]] == ["size", "weight"]
    refused = run(*call, "-o", "new.csv", folder=folder)
    assert refused.returncode == 1
    assert "new.csv" in refused.stderr
    done = run(*call, "-o", "new.csv", "--force", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "new.csv").read_text("utf-8") != new


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--kind", "interpolate"], 2, "needs --label"),
        (["--label", "group", "--strength", "-1"], 2, "strength=-1.0 should be"),
        (["--label", "nothing"], 1, "there is no column 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said(
    options: list[str], code: int, message: str, run: Run, folder: Path
) -> None:
    call = ["augment", "m", "t.csv", "-n", "1", "--drop", "number", *options]
    if "--label" not in options:
        call += ["--drop", "group"]
    done = run(*call, folder=folder)
    assert done.returncode == code
    assert message in done.stderr
