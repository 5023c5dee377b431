from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoencode import load
from autoencode.model_file import FORMAT_VERSION, read_model
from autoencode.presets import PRESETS

Run = Callable[..., Any]


def test_json_says_what_was_fitted(people_fit: Any, people_model: Path) -> None:
    assert people_fit.stderr == ""
    found = json.loads(people_fit.stdout)
    assert found["model"] == "people.safetensors"
    assert found["report"] == "report.html"
    assert found["n_components"] == 2
    assert found["n_features"] == 4
    assert found["interrupted"] is False
    assert found["rows"]["n_rows"] == 120
    assert [column["name"] for column in found["columns"]][1] == "weight in kg"
    assert [row["size"] for row in found["curve"]] == [1, 2]
    last = found["curve"][-1]
    assert found["explained_variance"] == last["explained_variance"] > 0.9
    assert found["ratio"] == pytest.approx(last["error"] / last["pca_error"])


def test_the_report_is_one_page_about_this_fit(people: Path, people_model: Path) -> None:
    page = (people / "report.html").read_text("utf-8")
    assert "<title>people.csv" in page
    assert "turns 4 columns into 2 numbers" in page
    assert "autoencode.load(&#x27;people.safetensors&#x27;)" in page
    assert "größe" in page


def test_inspect_says_what_a_file_is(run: Run, people: Path, people_model: Path) -> None:
    found = json.loads(run("inspect", people_model, "--json", folder=people).stdout)
    assert found["estimator"] == "Autoencoder"
    assert found["format_version"] == FORMAT_VERSION
    assert found["feature_names"] == ["größe", "weight in kg", "Übung", "d"]
    assert found["parameters"]["max_epochs"] == 2
    assert found["n_components"] == 2
    assert len(found["curve"]) == 2
    printed = run("inspect", people_model, folder=people).stdout
    assert re.search(r"größe +numeric", printed)
    assert "->" in printed


def test_the_same_seed_gives_the_same_model_and_force_replaces(
    run: Run, people: Path, people_model: Path, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "m").write_text("old", "utf-8")
    arguments = ["--drop", "person id", *small, "--components", "2", "--force"]
    done = run("fit", people / "people.csv", "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    _, first = read_model(people_model)
    _, second = read_model(tmp_path / "m")
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])


def test_a_wrong_value_exits_2_with_one_line(run: Run, people: Path, tmp_path: Path) -> None:
    option = ["--corruption", "gausian"]
    data = people / "people.csv"
    done = run("fit", data, "-o", "m", "--drop", "person id", *option, folder=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'gaussian'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_held_out_rows_target_and_a_warning(run: Run, small: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(90, 6))
    np.save(tmp_path / "clean.npy", clean)
    np.save(tmp_path / "noisy.npy", clean + 0.1 * rng.normal(size=clean.shape))
    np.save(tmp_path / "other.npy", rng.normal(size=(40, 6)))
    done = run(
        "fit", "noisy.npy", "--target", "clean.npy", "--held-out", "other.npy", "-o", "m",
        *small, "--components", "0.9999", "--report", "r.html", "--json", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["rows"] == {"n_rows": 90, "n_train": 90, "n_choose": 20, "n_claim": 20}
    for line in done.stderr.splitlines():
        assert line.startswith("autoencode: warning: ")
    assert (tmp_path / "r.html").stat().st_size > 1e6


def normal_interrupts() -> None:
    """Undo what a background shell does to the processes it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupt_saves_what_was_learned(
    run: Run, command: list[str], environment: dict[str, str], people: Path, tmp_path: Path
) -> None:
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [
            *command,
            "fit",
            people / "people.csv",
            "-o",
            "m",
            "--drop",
            "person id",
            "--held-out",  # or folds of so few rows would be fitted to first
            people / "people.csv",
            "--json",
            "--components",
            "2",
            "--hidden",
            "8",
            "--max-epochs",
            "1000000",
            "--checkpoint",
            "c",
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=end,
        preexec_fn=normal_interrupts,
    )
    os.close(end)
    seen = read_until(terminal, b"epoch ")
    process.send_signal(signal.SIGINT)
    seen += read_until(terminal, b"goes on from")
    printed, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 130
    assert b"training all sizes: epoch" in seen
    assert b"held-out error" in seen
    assert b" left" in seen
    assert b"autoencode: interrupted; m holds what was learned so far" in seen
    assert b"; the same command with --force goes on" in seen
    assert read_model(tmp_path / "c")[0]["history"]["epoch"][0] == 1
    found = json.loads(printed)
    assert found["interrupted"] is True
    assert found["stop_reason"] == "interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "m"]
    assert run("inspect", "m", folder=tmp_path).returncode == 0


def read_until(terminal: int, words: bytes) -> bytes:
    """Read what a process writes to its terminal until these words are there."""
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 4096)
    return seen


def test_demo_fills_a_folder(run: Run, demo: Path) -> None:
    folder = demo / "new" / "demo"
    names = {path.name for path in folder.iterdir()}
    assert names == {"codes.csv", "digits.npy", "digits.safetensors", "report.html"}
    assert np.load(folder / "digits.npy").shape == (1797, 8, 8)
    header, *lines = (folder / "codes.csv").read_text("utf-8").splitlines()
    assert header.startswith("digit,autoencoder0,")
    assert len(lines) == 1797
    again = run("demo", "-o", "new/demo", folder=demo)
    assert again.returncode == 1
    assert "pass --force" in again.stderr


def test_the_printed_table_marks_the_chosen_size(run: Run, demo: Path) -> None:
    printed = (demo / "printed.txt").read_text("utf-8")
    assert "look at    new/demo/report.html" in printed
    summary = re.search(r"64 columns -> (\d+) components", printed)
    assert summary is not None
    rows = table_rows(printed)
    assert 8 < len(rows) <= 17
    marked = [row for row in rows if row[0] == "->"]
    assert [row[1] for row in marked] == [summary[1]]
    again = run("inspect", "new/demo/digits.safetensors", folder=demo).stdout
    assert table_rows(again) == rows


def table_rows(printed: str) -> list[list[str]]:
    lines = printed.splitlines()
    return [line.split() for line in lines if line.count("%") == 2 and "PCA" not in line]


@pytest.mark.parametrize("kind", PRESETS)
def test_every_kind_can_be_fitted(run: Run, tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "pictures.npy", load_digits().images[:120])
    options = ["--kind", kind, "--components", "3", "--max-epochs", "1", "-o", "m.safetensors"]
    done = run("fit", "pictures.npy", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert type(load(tmp_path / "m.safetensors")).__name__ == PRESETS[kind].estimator
