"""Folders of pictures of any size: denoising them without bringing them to one form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``clean`` and ``noisy``: pictures of three sizes, one with transparency."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for name in ("clean", "noisy"):
        (folder / name / "sub").mkdir(parents=True)
    for number in range(6):
        height, width = 40 + 8 * (number % 2), 44 + number
        rows, columns = np.mgrid[:height, :width]
        clean = 120 + 60 * np.sin(rows / 9 + number) * np.cos(columns / 7)
        for name, level in (("clean", 0), ("noisy", 25)):
            values = np.clip(clean + level * rng.normal(size=clean.shape), 0, 255)
            image = Image.fromarray(np.rint(values).astype(np.uint8))
            if number == 3:
                image.putalpha(Image.fromarray(np.full(clean.shape, 200 + number, np.uint8)))
            image.save(folder / name / ("sub" if number == 4 else ".") / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def fitted(run: Run, folder: Path) -> dict[str, Any]:
    done = run(
        "fit", "clean", "-o", "m.safetensors", "--kind", "denoising", "--rows", "clean",
        "--hidden", "8,8", "--max-epochs", "2", "--batch-size", "6", "--json",
        "--report", "r.html", "--checkpoint", "c.ckpt", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 pictures of their own sizes, grey" in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_fit_to_photographs_keeps_their_sizes(fitted: dict[str, Any]) -> None:
    assert fitted["estimator"] == "PictureDenoiser"
    assert fitted["situation"] == "clean"
    assert fitted["pictures"] == 6
    assert fitted["held_out"][0]["restored"] > fitted["held_out"][0]["noisy"]


def test_a_fit_to_photographs_has_a_report_and_a_checkpoint(
    folder: Path, fitted: dict[str, Any]
) -> None:
    assert fitted["report"] == "r.html"
    page = (folder / "r.html").read_text(encoding="utf-8")
    assert "PSNR by strength of the noise" in page
    assert ".png, at (0, 0)" in page
    assert not (folder / "c.ckpt").exists(), "removed when the fit is complete"


def test_pictures_are_written_at_their_sizes(
    run: Run, folder: Path, fitted: dict[str, Any]
) -> None:
    done = run("denoise", "m.safetensors", "noisy", "-o", "out", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told["levels"]) == sorted(f"{'sub/' * (n == 4)}{n}.png" for n in range(6))
    errors = {"noisy": 0.0, "out": 0.0}
    for name in told["levels"]:
        clean = pixels(folder / "clean" / name).astype(float)
        for kind in errors:
            found = pixels(folder / kind / name)
            assert found.shape == clean.shape
            errors[kind] += float(np.square(found - clean).mean())
    assert errors["out"] < 0.8 * errors["noisy"]
    assert (pixels(folder / "out" / "3.png")[..., 1] == 203).all()


def test_a_level_can_be_told(run: Run, folder: Path, fitted: dict[str, Any]) -> None:
    done = run(
        "denoise", "m.safetensors", "noisy/0.png", "-o", "one", "--level", "25", folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert "deviation of the noise 25, as given" in done.stderr
    assert (folder / "one" / "0.png").exists()


def test_a_pattern_is_restored_better_by_a_network_fitted_further_to_it(
    run: Run, folder: Path, fitted: dict[str, Any]
) -> None:
    rows, columns = np.mgrid[:64, :64]
    clean = 128 + 100.0 * ((rows // 4 + columns // 4) % 2 - 0.5)
    noisy = clean + np.random.default_rng(5).normal(0, 25, clean.shape)
    Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).save(folder / "board.png")
    errors = []
    for name, more in (("plain", ()), ("adapted", ("--adapt", "60"))):
        given = ("denoise", "m.safetensors", "board.png", "-o", name, "--level", "25", *more)
        done = run(*given, folder=folder)
        assert done.returncode == 0, done.stderr
        found = pixels(folder / name / "board.png").astype(float)
        errors.append(float(np.square(found - clean).mean()))
    assert errors[1] < 0.95 * errors[0]


def test_what_the_model_is_and_is_not_for(
    run: Run, refused: Callable[..., str], folder: Path, fitted: dict[str, Any]
) -> None:
    done = run("inspect", "m.safetensors", folder=folder)
    assert "PictureDenoiser" in done.stdout
    said = refused("encode", "m.safetensors", "noisy", "-o", "c.csv", folder=folder)
    assert "takes noise out of pictures and nothing else" in said
    said = refused("denoise", "m.safetensors", "noisy", "-o", "-", folder=folder)
    assert "a folder to write to" in said


def test_a_damaged_picture_is_named_and_nothing_is_written(
    run: Run, refused: Callable[..., str], folder: Path, fitted: dict[str, Any]
) -> None:
    bad = folder / "noisy" / "bad.png"
    whole = (folder / "noisy" / "5.png").read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    try:
        said = refused("denoise", "m.safetensors", "noisy", "-o", "some", folder=folder)
        assert "bad.png is damaged" in said
        done = run("denoise", "m.safetensors", "noisy", "-o", "some", "--skip-bad", folder=folder)
        assert done.returncode == 0, done.stderr
        assert "left out: bad.png is damaged" in done.stderr
        assert (folder / "some" / "5.png").exists()
        assert not (folder / "some" / "bad.png").exists()
    finally:
        bad.unlink()
