"""``fit --kind denoising`` and ``denoise`` as a user runs them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

Run = Callable[..., Any]

NAMES = ["Größe in cm", "Übung", "c", "d", "weight in kg", "f"]
NOISE = 3.0
FIT = ["--hidden", "32", "--max-epochs", "8", "--quiet"]


def table_lines(rows: np.ndarray) -> str:
    """Write rows with semicolons and decimal commas, behind an identifier."""
    lines = [";".join(["Kunden-Nr", *NAMES])]
    for number, row in enumerate(rows):
        cells = ["" if np.isnan(x) else f"{x:.4f}".replace(".", ",") for x in row]
        lines.append(";".join([f"K{number:04d}", *cells]))
    return "\n".join(lines) + "\n"


def records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def numbers(text: str) -> np.ndarray:
    """Return the columns with numbers of what was written."""
    return np.array([[float(row[name]) for name in NAMES] for row in records(text)])


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows that are clean and noisy, as tables and as pictures."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(0)
    clean = 10 + rng.normal(size=(300, 2)) @ rng.normal(size=(2, len(NAMES)))
    clean += 0.1 * rng.normal(size=clean.shape)
    spoilt = clean + 0.5 * rng.normal(size=clean.shape)
    np.save(folder / "table.npy", clean)
    (folder / "clean.csv").write_text(table_lines(clean), "utf-8")
    (folder / "noisy.csv").write_text(table_lines(spoilt), "utf-8")
    spoilt[::9, 1] = np.nan
    (folder / "holes.csv").write_text(table_lines(spoilt), "utf-8")
    pictures = load_digits().images[:600]
    np.save(folder / "pictures.npy", pictures)
    np.save(folder / "grainy.npy", pictures + rng.normal(0, NOISE, pictures.shape))
    np.save(folder / "dotted.npy", np.where(rng.random(pictures.shape) < 0.2, 16.0, pictures))
    return folder


@pytest.fixture(scope="module")
def fitted(run: Run, noisy: Path) -> Callable[..., Path]:
    """Fit a denoising model once for each set of arguments, and return its file."""
    found: dict[tuple[str, ...], Path] = {}

    def call(*arguments: str) -> Path:
        if arguments not in found:
            model = noisy / f"{len(found)}.safetensors"
            options = ["--kind", "denoising", "-o", model, *FIT]
            done = run("fit", *arguments, *options, folder=noisy)
            assert done.returncode == 0, done.stderr
            found[arguments] = model
        return found[arguments]

    return call


def error_of(found: np.ndarray, clean: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(found - clean))))


def test_a_fit_says_what_noise_it_found(run: Run, noisy: Path, tmp_path: Path) -> None:
    done = run(
        "fit", noisy / "grainy.npy", "--kind", "denoising", "--noise", "gaussian", "-o", "m",
        *FIT, "--json", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["kind"] == "denoising"
    noise = told["noise"]
    assert (noise["situation"], noise["kind"], noise["unit"]) == ("noisy", "gaussian", "data")
    assert noise["level"] == pytest.approx(NOISE, rel=0.1)
    assert 0 < noise["error"] < 0.1
    words = run("inspect", "m", folder=tmp_path).stdout
    lines = dict(line.split("  ", 1) for line in words.splitlines() if "  " in line)
    assert lines["noise"].strip().startswith(f"normal, deviation {noise['level']:.3g} (standard")
    assert lines["fitted to"].strip() == "noisy rows"
    assert json.loads(run("inspect", "m", "--json", folder=tmp_path).stdout)["noise"] == noise


@pytest.mark.parametrize(
    ("arguments", "situation", "kind", "level"),
    [
        (["pictures.npy"], "clean", "none", 0.0),
        (["grainy.npy", "--rows", "clean"], "clean", "none", 0.0),
        (["grainy.npy", "--noise", "gaussian"], "noisy", "gaussian", NOISE),
        (["grainy.npy", "--target", "pictures.npy"], "pairs", "gaussian", NOISE),
        (["dotted.npy", "--target", "pictures.npy"], "pairs", "impulse", 0.2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_say_what_is_learned(
    run: Run, noisy: Path, fitted: Run, arguments: list[str], situation: str, kind: str,
    level: float,
) -> None:  # fmt: skip
    done = run("inspect", fitted(*arguments), "--json", folder=noisy)
    noise = json.loads(done.stdout)["noise"]
    assert (noise["situation"], noise["kind"]) == (situation, kind)
    assert noise["level"] == pytest.approx(level, rel=0.1)
    assert (noise["values"] == [16.0]) == (kind == "impulse")


@pytest.mark.parametrize(
    ("arguments", "data"),
    [
        (["pictures.npy"], "grainy.npy"),
        (["grainy.npy", "--noise", "gaussian"], "grainy.npy"),
        (["grainy.npy", "--target", "pictures.npy"], "grainy.npy"),
        (["dotted.npy", "--target", "pictures.npy"], "dotted.npy"),
    ],
    ids=str,
)
def test_pictures_come_back_with_less_noise(
    run: Run, noisy: Path, fitted: Run, tmp_path: Path, arguments: list[str], data: str
) -> None:
    output = tmp_path / "restored.npy"
    model = fitted(*arguments)
    done = run("denoise", model, data, "-o", output, "--json", folder=noisy)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    given, found, clean = (np.load(path) for path in (noisy / data, output, noisy / "pictures.npy"))
    assert found.shape == given.shape
    assert error_of(found, clean) < 0.75 * error_of(given, clean)
    told, changed = json.loads(done.stdout), found != given
    assert told["output"] == str(output)
    assert (told["rows"], told["cells"], told["changed"]) == (600, given.size, changed.sum())
    moved = (found - given)[changed]
    assert told["rms_change"] == pytest.approx(np.sqrt(np.mean(np.square(moved))))
    assert told["noise"]["source"] == ("found" if "pictures.npy" in arguments[0] else "fit")


def test_a_table_is_written_as_it_was_but_for_its_noise(run: Run, noisy: Path, fitted: Run) -> None:
    model = fitted("clean.csv", "--rows", "clean", "--keep", "Kunden-Nr")
    arguments = ["denoise", model, "noisy.csv", "--keep", "Kunden-Nr"]
    done = run(*arguments, folder=noisy)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("autoencode: noisy.csv: noise: normal, deviation 0.")
    assert "of the columns' deviations; 1,800 of 1,800 cells changed, numbers by 0." in done.stderr
    assert done.stderr.count("\n") == 1
    found = records(done.stdout)
    assert [*found[0]] == ["Kunden-Nr", *NAMES]
    assert [row["Kunden-Nr"] for row in found] == [f"K{number:04d}" for number in range(300)]
    clean = np.load(noisy / "table.npy")
    assert error_of(numbers(done.stdout), clean) < 0.9 * 0.5
    told = run(*arguments, "--level", "1.5", folder=noisy)
    assert "noise: normal, deviation 1.5 of the columns' deviations, as given;" in told.stderr
    steps = [np.abs(numbers(text) - clean).mean() for text in (done.stdout, told.stdout)]
    assert steps[1] > 1.2 * steps[0]


def test_missing_cells_are_restored_too(run: Run, noisy: Path, fitted: Run) -> None:
    model = fitted("clean.csv", "--rows", "clean", "--keep", "Kunden-Nr")
    done = run("denoise", model, "holes.csv", "--drop", "Kunden-Nr", "--level", "0.5", folder=noisy)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("; 34 missing ones filled in\n")
    assert "1,766 of 1,800 cells changed" in done.stderr
    found, clean = numbers(done.stdout)[::9, 1], np.load(noisy / "table.npy")[::9, 1]
    assert error_of(found, clean) < 0.75 * clean.std()


def test_through_a_code(run: Run, noisy: Path, fitted: Run, tmp_path: Path) -> None:
    model = fitted("pictures.npy", "--components", "8")
    done = run("denoise", model, "grainy.npy", "-o", tmp_path / "o.npy", folder=noisy)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("autoencode: grainy.npy: restored through the model's code; ")
    codes = run("encode", model, "grainy.npy", folder=noisy)
    assert codes.stdout.partition("\n")[0].count(",") == 7


def test_what_cannot_be_denoised_is_refused(
    run: Run, refused: Run, noisy: Path, fitted: Run, small: list[str]
) -> None:
    done = run("fit", "clean.csv", "-o", "plain", "--components", "2", *small, folder=noisy)
    assert done.returncode == 0, done.stderr
    model, code = fitted("pictures.npy"), fitted("pictures.npy", "--components", "8")
    dotted = fitted("dotted.npy", "--target", "pictures.npy")
    for arguments, reason in [
        (["plain", "noisy.csv"], "plain is not a denoising model: fit one with autoencode fit"),
        (["clean.csv", "noisy.csv"], "clean.csv"),
        ([model, "noisy.csv"], f"noisy.csv has 7 columns, but {model} was fitted to 64"),
        ([model, "none.npy"], "none.npy"),
        ([model, "grainy.npy", "-o", "clean.csv"], "clean.csv exists; pass --force"),
        ([model, "grainy.npy", "-o", "o.png"], "o.png"),
        ([code, "grainy.npy", "--level", "1", "-o", "o.npy"], ": level has no effect"),
        ([dotted, "dotted.npy", "--level", "1", "-o", "o.npy"], ": level is for normal noise"),
    ]:
        assert reason in refused("denoise", *arguments, folder=noisy)
    for target, reason in [
        ("grainy.npy", "X and target are the same"),
        ("table.npy", "target has 6 features, X has 64"),
    ]:
        arguments = ["grainy.npy", "--kind", "denoising", "--target", target, "-o", "m"]
        assert reason in refused("fit", *arguments, folder=noisy)


def test_unknown_values_in_a_dated_table(run: Run, noisy: Path, tmp_path: Path) -> None:
    """Dates stay, a date counts as one cell, and 999 and blanks are restored."""
    clean = np.load(noisy / "table.npy")
    rng = np.random.default_rng(3)
    hit, blank = rng.random(clean.shape) < 0.08, rng.random(clean.shape) < 0.03
    lines = [",".join(["Tag", *NAMES])]
    days = np.datetime64("2024-03-01") + np.arange(len(clean))
    for day, row in zip(days, np.where(blank, np.nan, np.where(hit, 999, clean)), strict=True):
        lines.append(",".join([str(day), *("" if np.isnan(x) else f"{x:.4f}" for x in row)]))
    (tmp_path / "meter.csv").write_text("\n".join(lines) + "\n", "utf-8")
    done = run("fit", "meter.csv", "-o", "m", "--kind", "denoising", *FIT, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("denoise", "m", "meter.csv", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    changed = int((hit & ~blank).sum())
    assert done.stderr.startswith("autoencode: meter.csv: noise: fixed values (999) in place of ")
    assert f"; {changed} of 2,100 cells changed, " in done.stderr
    assert done.stderr.endswith(f"; {blank.sum()} missing ones filled in\n")
    assert [row["Tag"] for row in records(done.stdout)] == [str(day) for day in days]
    errors = np.abs(numbers(done.stdout) - clean) / clean.std(0)
    assert np.median(errors[hit | blank]) < 0.3
    assert errors[hit | blank].max() < 3
