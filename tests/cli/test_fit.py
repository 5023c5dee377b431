from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def test_the_table_marks_the_chosen_size(pictures: Path, run: Run) -> None:
    printed = (pictures / "fit.txt").read_text("utf-8")
    assert "20 columns -> 3 components" in printed
    marked = [line.split() for line in printed.splitlines() if line.strip().startswith("->")]
    assert len(marked) == 1
    assert marked[0][1] == "3"
    again = run("inspect", "pictures.safetensors", folder=pictures).stdout
    assert again.endswith(printed[printed.index("PCA's   error") :])


def test_inspect_says_what_a_file_is(run: Run, people: Path, people_model: Path) -> None:
    found = json.loads(run("inspect", people_model, "--json", folder=people).stdout)
    assert found["estimator"] == "Autoencoder"
    assert found["format_version"] == 1
    assert found["feature_names"] == ["größe", "weight in kg", "Übung", "d"]
    assert found["parameters"]["max_epochs"] == 2
    assert found["n_components"] == 2
    assert len(found["curve"]) == 2
    printed = run("inspect", people_model, folder=people).stdout
    assert "4: größe, weight in kg, Übung, d" in printed
    assert "->" in printed


def test_the_same_seed_gives_the_same_file(
    run: Run, people: Path, people_model: Path, small: list[str], tmp_path: Path
) -> None:
    data = people / "people.csv"
    arguments = ["--drop", "person id", *small, "--components", "2"]
    done = run("fit", data, "-o", "m", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        run("encode", model, data, "--drop", "person id", folder=tmp_path).stdout
        for model in (people_model, "m")
    )
    assert first == second
    assert first.count("\n") == 121


def test_force_replaces_a_model(run: Run, people: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("old", "utf-8")
    done = run(
        "fit", people / "people.csv", "-o", "m", "--force", "--drop", "person id",
        "--hidden", "none", "--components", "1", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "PCA (no hidden layers)" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert (tmp_path / "m").stat().st_size > 100


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--corruption", "gausian"], "did you mean 'gaussian'"),
        (["--components", "5"], "n_components=5"),
    ],
)
def test_a_wrong_value_exits_2_with_one_line(
    option: list[str], words: str, run: Run, people: Path, tmp_path: Path
) -> None:
    data = people / "people.csv"
    done = run("fit", data, "-o", "m", "--drop", "person id", *option, folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
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
            "--json",
            "--components",
            "2",
            "--hidden",
            "8",
            "--max-epochs",
            "1000000",
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
    seen += read_until(terminal, b"learned so far")
    printed, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 130
    assert b"training all sizes: epoch" in seen
    assert b"held-out error" in seen
    assert b" left" in seen
    assert b"autoencode: interrupted; m holds what was learned so far" in seen
    found = json.loads(printed)
    assert found["interrupted"] is True
    assert found["stop_reason"] == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert run("inspect", "m", folder=tmp_path).returncode == 0


def read_until(terminal: int, words: bytes) -> bytes:
    """Read what a process writes to its terminal until these words are there."""
    seen = b""
    while words not in seen:
        seen += os.read(terminal, 4096)
    return seen


def test_demo(run: Run, tmp_path: Path) -> None:
    done = run("demo", "-o", "new/demo", "--max-epochs", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    folder = tmp_path / "new" / "demo"
    names = {path.name for path in folder.iterdir()}
    assert names == {"codes.csv", "digits.npy", "digits.safetensors", "report.html"}
    assert np.load(folder / "digits.npy").shape == (1797, 8, 8)
    header, *lines = (folder / "codes.csv").read_text("utf-8").splitlines()
    assert header.startswith('"digit","autoencoder0",')
    assert len(lines) == 1797
    assert "->" in done.stdout
    assert "look at    new/demo/report.html" in done.stdout
    again = run("demo", "-o", "new/demo", folder=tmp_path)
    assert again.returncode == 1
    assert "pass --force" in again.stderr
