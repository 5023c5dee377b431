"""Missing pixels of pictures in files: what is read, and what is written.

What a model restores is a matter of other tests: here a stand-in paints what is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autoencode.commands import restoring
from autoencode.data.picture_form import PictureForm
from autoencode.data.picture_masks import MaskedPicture, masked_tiles
from autoencode.errors import DataError

RNG = np.random.default_rng(0)
PAINT = 200


class StandIn:
    """Paints what is missing with one value."""

    def __init__(self, paint: int) -> None:
        self.asked: list[Any] = []
        self.paint = paint

    def restore(self, X: Any, mask: Any) -> Any:
        assert mask.dtype == bool
        assert mask.shape == X.shape[:3]
        self.asked.append(mask)
        result = X.astype(np.float32)
        result[mask] = self.paint
        return result


@pytest.fixture
def restore(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the command with a stand-in that knows pictures of a form; return what was asked."""

    def call(form: PictureForm, mask: str, paint: int = PAINT) -> StandIn:
        model = StandIn(paint)
        monkeypatch.setattr(restoring, "form_of", lambda _: form)
        monkeypatch.setattr(restoring, "load_model", lambda *_, **__: model)
        path, images, output = tmp_path / "m", str(tmp_path / "in"), tmp_path / "out"
        restoring.restore(path, images, mask, output)
        return model

    return call


def save(path: Path, pixels: Any) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def noise(*shape: int) -> Any:
    return RNG.integers(0, 180, shape, dtype=np.uint8)


def holes(height: int, width: int) -> Any:
    mask = np.zeros((height, width), np.uint8)
    mask[2:4, 1:3] = 255
    return mask


def read(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image)


def test_only_missing_pixels_change(restore: Any, tmp_path: Path, capsys: Any) -> None:
    given = {name: save(tmp_path / "in" / name, noise(8, 8, 3)) for name in ("a.png", "s/b.png")}
    save(tmp_path / "masks" / "a.tif", holes(8, 8))
    save(tmp_path / "masks" / "s" / "b.png", np.zeros((8, 8), np.uint8))
    model = restore(PictureForm(8, 8, colour=True), str(tmp_path / "masks"))
    missing = holes(8, 8) > 0
    np.testing.assert_array_equal(np.concatenate(model.asked), [missing, np.zeros_like(missing)])
    found = read(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(found[~missing], given["a.png"][~missing])
    assert (found[missing] == PAINT).all()
    np.testing.assert_array_equal(read(tmp_path / "out" / "s" / "b.png"), given["s/b.png"])
    said = capsys.readouterr().err
    assert "4 pixels (3.12%) of 2 pictures restored; nothing is missing in 1 of them" in said


@pytest.mark.parametrize(
    "form",
    [PictureForm(6, 6), PictureForm(20, 20), PictureForm(6, 6, fit="tile"), PictureForm(11, 5)],
)
def test_pictures_of_other_sizes_keep_theirs(
    restore: Any, tmp_path: Path, form: PictureForm
) -> None:
    given = [save(tmp_path / "in" / f"{n}.png", noise(11, 9)) for n in range(3)]
    save(tmp_path / "mask.png", holes(11, 9))
    restore(form, str(tmp_path / "mask.png"))
    missing = holes(11, 9) > 0
    for number, pixels in enumerate(given):
        found = read(tmp_path / "out" / f"{number}.png")
        np.testing.assert_array_equal(found[~missing], pixels[~missing])
        assert (found[missing] != pixels[missing]).any()


@pytest.mark.parametrize("form", [PictureForm(6, 6), PictureForm(20, 20), PictureForm(11, 5)])
def test_what_stands_in_missing_pixels_says_nothing(
    restore: Any, tmp_path: Path, form: PictureForm
) -> None:
    missing = holes(11, 9) > 0
    save(tmp_path / "in" / "a.png", np.where(missing, 255, 50).astype(np.uint8))
    save(tmp_path / "mask.png", holes(11, 9))
    restore(form, str(tmp_path / "mask.png"), paint=50)
    assert (read(tmp_path / "out" / "a.png") == 50).all()


def test_what_is_transparent_is_missing(restore: Any, tmp_path: Path) -> None:
    colours, missing = noise(8, 8, 3), holes(8, 8) > 0
    opacity = np.where(missing, 0, 255).astype(np.uint8)
    opacity[7, 7] = 200
    save(tmp_path / "in" / "a.png", np.dstack([colours, opacity]))
    restore(PictureForm(8, 8, colour=True), "transparent")
    found, expected = read(tmp_path / "out" / "a.png"), missing | (opacity == 200)
    np.testing.assert_array_equal(found[~expected], colours[~expected])
    assert (found[expected] == PAINT).all()


def test_a_pixel_is_missing_if_most_of_it_is() -> None:
    pixels = np.full((24, 24, 1), 50, np.uint8)
    pixels[2:4, 2:4] = pixels[5, 5] = 255
    picture = MaskedPicture(pixels, pixels[..., 0] == 255)
    read_tiles = np.full((1, 12, 12), 99, np.uint8)
    tiles, missing = masked_tiles(picture, read_tiles, PictureForm(12, 12))
    assert np.argwhere(missing).tolist() == [[0, 1, 1]]
    assert tiles[0, 2, 2] == 50  # the mean of what is known
    assert tiles[0, 11, 11] == 99  # as it was read
    form = PictureForm(20, 24, fit="tile")
    tiles, missing = masked_tiles(picture, np.full((2, 20, 24), 99, np.uint8), form)
    assert missing.sum(axis=(1, 2)).tolist() == [5, 1]
    assert (tiles == 99).all()


def test_masks_of_other_sizes_and_crops_are_refused(restore: Any, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", noise(8, 8))
    save(tmp_path / "mask.png", holes(8, 6))
    with pytest.raises(DataError, match=r"mask.png is 8 x 6 pixels large, but a.png is 8 x 8"):
        restore(PictureForm(8, 8), str(tmp_path / "mask.png"))
    with pytest.raises(DataError, match=r"a.png is 8 x 8 pixels large, but the model knows crops"):
        restore(PictureForm(4, 4, fit="crop"), "transparent")
    assert not (tmp_path / "out").exists()


def test_photographs_of_any_size_are_restored_one_by_one(run: Any, tmp_path: Path) -> None:
    given = {}
    for number, (height, width) in enumerate([(44, 50), (40, 61), (52, 40)] * 2):
        lines, columns = np.mgrid[:height, :width]
        wave = 120 + 60 * np.sin(lines / 5 + number) * np.cos(columns / 4)
        given[f"{number}.png"] = save(tmp_path / "in" / f"{number}.png", wave.astype(np.uint8))
        save(tmp_path / "masks" / f"{number}.png", holes(height, width))
    done = run(
        "fit", "in", "-o", "m.safetensors", "--kind", "convolutional", "--components", "none",
        "--hidden", "8,8", "--max-epochs", "1", "--batch-size", "2", "--json", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"estimator": "PictureRestorer"' in done.stdout
    done = run("restore", "m.safetensors", "in", "--mask", "masks", "-o", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "24 pixels" in done.stderr
    for name, pixels in given.items():
        found, missing = read(tmp_path / "out" / name), holes(*pixels.shape) > 0
        np.testing.assert_array_equal(found[~missing], pixels[~missing])
        assert np.abs(found[missing].astype(float) - pixels[missing]).mean() < 30
    refused = run("encode", "m.safetensors", "in", "-o", "codes.csv", folder=tmp_path)
    assert refused.returncode == 1
    assert "use autoencode restore" in refused.stderr
