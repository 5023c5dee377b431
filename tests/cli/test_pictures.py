"""Folders of pictures wherever a command takes rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

Run = Callable[..., Any]


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos``: digits as PNG, TIFF and JPEG, of three sizes, grey and RGB."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "photos" / "sub").mkdir(parents=True)
    digits = (load_digits().images[:90] * 15.9).astype(np.uint8)
    for place, digit in enumerate(digits):
        image = Image.fromarray(digit)
        if place % 9 == 4:
            image = image.resize((12, 10))
        if place % 9 == 5:
            image = image.convert("RGB")
        suffix = ("png", "png", "tif")[place % 3]
        image.save(folder / "photos" / ("sub" if place % 2 else ".") / f"{place:02}.{suffix}")
    return folder


@pytest.fixture(scope="module")
def fitted(run: Run, folder: Path) -> Any:
    """The finished process that fitted ``m.safetensors``, with a bad picture left out."""
    bad = folder / "photos" / "bad.png"
    bad.write_bytes(b"")
    done = run(
        "fit", "photos", "-o", "m.safetensors", "--components", "6", "--hidden", "none",
        "--skip-bad", "--report", "r.html", "--json", folder=folder,
    )  # fmt: skip
    bad.unlink()
    assert done.returncode == 0, done.stderr
    return done


def test_a_fit_says_what_was_done_to_pictures(fitted: Any, folder: Path) -> None:
    assert fitted.stderr == (
        "autoencode: photos: 90 pictures as 8 x 8 grey, 8 bits; 10 resized; 1 left out; "
        "--size HxW chooses another size\n"
        "autoencode: photos: left out: bad.png is empty\n"
    )
    assert json.loads(fitted.stdout)["n_features"] == 64
    page = (folder / "r.html").read_text("utf-8")
    assert "turns pictures of 8 x 8 values into 6 numbers" in page
    assert "autoencode.read_pictures(&#x27;photos&#x27;, like=model)" in page
    assert ".png · error" in page


def test_inspect_knows_the_form(run: Run, fitted: Any, folder: Path) -> None:
    done = run("inspect", "m.safetensors", folder=folder)
    assert "8 x 8 grey, 8 bits; others are resized" in done.stdout
    found = json.loads(run("inspect", "m.safetensors", "--json", folder=folder).stdout)
    assert found["pictures"]["fit"] == "resize"
    assert "pictures" not in found["facts"]


def test_codes_have_names_and_become_pictures(run: Run, fitted: Any, folder: Path) -> None:
    done = run("encode", "m.safetensors", "photos", "-o", "codes.parquet", folder=folder)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(folder / "codes.parquet")
    assert table.column_names[:2] == ["picture", "autoencoder0"]
    assert table["picture"].to_pylist()[0] == "00.png"
    done = run("decode", "m.safetensors", "codes.parquet", "-o", "decoded", folder=folder)
    assert done.returncode == 0, done.stderr
    assert len(list((folder / "decoded").rglob("*.png"))) == 90
    assert pixels(folder / "decoded" / "04.png").shape == (8, 8)
    done = run("encode", "m.safetensors", "photos", "-o", "codes.npy", folder=folder)
    assert done.returncode == 0, done.stderr
    assert np.load(folder / "codes.npy").shape == (90, 6)
    done = run("decode", "m.safetensors", "codes.npy", "-o", "numbered", folder=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(
        pixels(folder / "numbered" / "01.png"), pixels(folder / "decoded" / "00.png")
    )


def test_reconstructions_have_the_sizes_of_their_pictures(
    run: Run, refused: Callable[..., str], fitted: Any, folder: Path
) -> None:
    done = run("reconstruct", "m.safetensors", "photos", "-o", "rebuilt", folder=folder)
    assert done.returncode == 0, done.stderr
    assert pixels(folder / "rebuilt" / "04.png").shape == (10, 12)
    given, found = (pixels(folder / name / "00.png") for name in ("photos", "rebuilt"))
    assert found.dtype == np.uint8
    assert np.square(given - found.astype(float)).mean() < 0.5 * given.var()
    (folder / "rebuilt" / "mine.txt").write_text("precious")
    arguments = ["reconstruct", "m.safetensors", "photos", "-o", "rebuilt"]
    assert "rebuilt exists; pass --force" in refused(*arguments, folder=folder)
    done = run(*arguments, "--force", folder=folder)
    assert done.returncode == 1
    assert "also holds 'mine.txt'" in done.stderr


def test_new_pictures_are_drawn_and_varied(run: Run, fitted: Any, folder: Path) -> None:
    done = run("sample", "m.safetensors", "-n", "3", "-o", "drawn", folder=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "drawn").iterdir()) == [
        "1.png", "2.png", "3.png",
    ]  # fmt: skip
    done = run(
        "augment", "m.safetensors", "photos/00.png", "-n", "2", "-o", "varied", folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (folder / "varied").iterdir()) == ["00-1.png", "00-2.png"]


def test_tiles_of_a_model_come_back_as_whole_pictures(run: Run, folder: Path) -> None:
    data = folder / "large"
    data.mkdir()
    for place in range(2):
        digit = Image.fromarray(pixels(folder / "photos" / f"{place * 6:02}.png"))
        digit.resize((21, 30)).save(data / f"{place}.png")
    done = run(
        "fit", "large", "-o", "t.safetensors", "--components", "4", "--hidden", "none", "--size",
        "8", "--fit", "tile", folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 pictures as 24 tiles of 8 x 8 grey, 8 bits; 2 cut into tiles" in done.stderr
    assert run("encode", "t.safetensors", "large", "-o", "t.csv", folder=folder).returncode == 0
    assert (folder / "t.csv").read_text().startswith("picture,top,left,autoencoder0")
    done = run("decode", "t.safetensors", "t.csv", "-o", "td", folder=folder)
    assert done.returncode == 0, done.stderr
    done = run("reconstruct", "t.safetensors", "large", "-o", "tr", folder=folder)
    assert done.returncode == 0, done.stderr
    for place in range(2):
        found = pixels(folder / "tr" / f"{place}.png")
        assert found.shape == (30, 21)
        decoded = pixels(folder / "td" / f"{place}.png")
        np.testing.assert_allclose(found.astype(int), decoded.astype(int), atol=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "one", "-o", "x"], "one: is one picture, and a fit needs two at least"),
        (["fit", "photos", "-o", "x", "--keep", "a"], "there is no column 'a': pictures have no"),
        (["fit", "rows.npy", "-o", "x", "--size", "8"], "rows.npy: --size is for files of pictur"),
        (["fit", "photos", "-o", "x", "--target", "one"], "has '00.png', but one has not"),
        (["encode", "people", "photos"], "photos: holds pictures, but the model was fitted to a"),
        (["encode", "rows.safetensors", "photos"], "rows.safetensors was fitted to an array of nu"),
        (["reconstruct", "rows.safetensors", "rows.npy", "-o", "x"], "tables are written as"),
        (["decode", "m.safetensors", "bad.csv", "-o", "x"], "'../00.png', which leads out of the"),
        (["decode", "m.safetensors", "twice.csv", "-o", "x"], "names one picture twice"),
        (["impute", "m.safetensors", "photos", "-o", "x.csv"], "in which no cell is missing: say"),
        (
            ["reconstruct", "m.safetensors", "photos", "-o", "x.png"],
            "are written to a folder; name",
        ),
        (["restore", "m.safetensors", "photos", "--mask", "no", "-o", "x"], "no: there is no such"),
        (["restore", "m.safetensors", "photos", "--mask", "one", "-o", "x"], "no mask for 00.png"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run,
    refused: Callable[..., str],
    fitted: Any,
    folder: Path,
    people_model: Path,
    arguments: list[str],
    message: str,
) -> None:
    if not (folder / "rows.npy").exists():
        _write_others(run, folder)
    given = [str(people_model) if part == "people" else part for part in arguments]
    before = "photos: 90 pictures"
    done = run(*given, folder=folder)
    assert done.returncode == 1, done.stderr
    lines = [
        line for line in done.stderr.splitlines() if before not in line and "1 pict" not in line
    ]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (folder / "x").exists()


def _write_others(run: Run, folder: Path) -> None:
    """Write an array of pictures, a model of it, one picture, and codes with bad names."""
    np.save(folder / "rows.npy", load_digits().images[:40])
    options = ["--components", "2", "--hidden", "none"]
    done = run("fit", "rows.npy", "-o", "rows.safetensors", *options, folder=folder)
    assert done.returncode == 0, done.stderr
    (folder / "one").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "one" / "other.png")
    names = ["picture", *(f"autoencoder{number}" for number in range(6))]
    for file, pictures in (("bad", ["../00.png"]), ("twice", ["a.png", "a.png"])):
        lines = [",".join(names), *(f"{picture},1,2,3,4,5,6" for picture in pictures)]
        (folder / f"{file}.csv").write_text("\n".join(lines) + "\n")
