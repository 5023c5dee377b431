"""Aligned pictures: codes that do not change when a picture moves, and pictures that come back."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from autoencode import ConvolutionalAutoencoder, load
from autoencode.cli import app
from autoencode.data.aligned_rows import AlignedRows, moved_pictures, own_places
from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.export import export_onnx

STEPS = list(product((-2, 0, 1), (-1, 0, 2)))


@pytest.fixture(scope="module")
def digits() -> Any:
    """Digits with three lines of background around them."""
    pixels = np.rint(load_digits().images[:160] * 255 / 16).astype(np.uint8)
    return np.pad(pixels, ((0, 0), (3, 3), (3, 3)))


@pytest.fixture(scope="module")
def model(digits: Any) -> Any:
    return ConvolutionalAutoencoder(
        4, aligned=True, hidden_layer_sizes=(8,), augmentation="none", max_epochs=2, random_state=0
    ).fit(digits[:120])


def moved(pictures: Any, down: int, right: int) -> Any:
    steps = np.tile([[down, right]], (len(pictures), 1))
    flat = pictures.reshape(len(pictures), -1)
    return moved_pictures(flat, pictures.shape[1:], steps).reshape(pictures.shape)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_moved_picture_is_aligned_to_the_same_bits(
    digits: Any, step: tuple[int, int], dtype: str
) -> None:
    pictures = digits.astype(dtype)
    if dtype != "uint8":
        # Sums of such numbers depend on their order.
        pictures = np.where(digits > 0, pictures / 7 + 0.3, 0.3).astype(dtype)
    there = AlignedRows(Rows(moved(pictures, *step), kind="numpy"))
    here = AlignedRows(Rows(pictures, kind="numpy"))
    assert np.array_equal(there.dense(), here.dense())
    assert np.array_equal(there.places - here.places, np.tile([step], (len(pictures), 1)))


def test_reading_in_parts_gives_the_same_rows(digits: Any) -> None:
    colours = np.stack([digits, digits // 2, 255 - digits], -1)
    rows = AlignedRows(Rows(moved(colours, 1, 2), kind="numpy"))
    whole = rows.dense()
    assert np.array_equal(rows.block(3, 9), whole[3:9])
    assert np.array_equal(rows.take([5, 2, 5]), whole[[5, 2, 5]])
    assert np.array_equal(np.concatenate([b for _, b in rows.blocks(50)]), whole)
    back = moved_pictures(whole, rows.sample_shape, rows.places).reshape(colours.shape)
    assert np.array_equal(back, moved(colours, 1, 2))


def test_pictures_move_only_as_far_as_they_can_come_back() -> None:
    rng = np.random.default_rng(0)
    full = rng.integers(0, 255, (20, 9, 7)).astype(np.float32)
    assert not own_places(full.reshape(20, -1), (9, 7)).any()
    lower = full.copy()
    lower[:, :4] = 0
    places = own_places(lower.reshape(20, -1), (9, 7))
    aligned = moved_pictures(lower.reshape(20, -1), (9, 7), -places)
    assert np.array_equal(moved_pictures(aligned, (9, 7), places), lower.reshape(20, -1))
    assert (places[:, 0] > 0).all()
    empty = np.full((2, 63), 5.0, np.float32)
    assert not own_places(empty, (9, 7)).any()


def test_what_touches_both_ends_is_moved_by_its_repeated_edge() -> None:
    full = np.random.default_rng(1).integers(1, 255, (10, 12, 6)).astype(np.float32)
    down = moved(full, 2, 0)
    places = own_places(down.reshape(10, -1), (12, 6))
    assert (places == [2, 0]).all()
    back = moved(down, -2, 0)
    assert np.array_equal(back[:, :10], full[:, :10])


def test_lines_of_pixels_are_aligned_along_their_only_axis() -> None:
    line = np.zeros((1, 12), np.float32)
    line[0, 1:3] = 1
    assert own_places(line, (12,)).tolist() == [[0, -4]]


def test_codes_of_moved_pictures_differ_in_their_place_alone(model: Any, digits: Any) -> None:
    test = digits[120:]
    codes = model.encode(test)
    assert codes.shape == (40, 6)
    assert len(model.get_feature_names_out()) == 6
    for step in ((-2, 1), (2, 0)):
        there = model.encode(moved(test, *step))
        assert np.array_equal(there[:, :4], codes[:, :4])
        assert np.array_equal(model.decode(there), moved(model.decode(codes), *step))
        assert np.array_equal(model.reconstruct(moved(test, *step)), model.decode(there))
    apart = np.linalg.norm(codes[1:, :4] - codes[:-1, :4], axis=1).mean()
    assert 0 < np.abs(codes[:, 4:]).max() < 0.01 * apart
    assert model.score(moved(test, 2, -1)) == pytest.approx(model.score(test))
    assert np.array_equal(model.score_samples(moved(test, 2, -1)), model.score_samples(test))


def test_reconstructions_are_where_the_pictures_were(model: Any, digits: Any) -> None:
    still = digits[120:].astype(np.float32)
    away = moved(still, 2, 1)
    error = np.square(model.reconstruct(away, clip=False) - away).mean()
    # What is moved back repeats its edge, which is not quite even.
    there = np.square(model.reconstruct(still, clip=False) - still).mean()
    assert error == pytest.approx(there, rel=1e-3)
    assert error < 0.5 * np.square(model.reconstruct(still, clip=False) - away).mean()


def test_files_and_shorter_models_keep_the_place(model: Any, digits: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "a.model")
    again = load(tmp_path / "a.model")
    assert again.aligned
    codes = again.encode(digits[120:])
    assert np.array_equal(codes, model.encode(digits[120:]))
    assert np.array_equal(again.decode(codes), model.decode(codes))
    shorter = model.truncate(2)
    assert shorter.encode(digits[120:]).shape == (40, 4)
    assert "aligned" in model.summary()


def test_commands_write_the_place_beside_the_code_and_read_it(digits: Any, tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("rows.npy", "m.safetensors", "codes.csv", "out.npy")]
    rows, model, codes, out = names
    np.save(rows, moved(digits, 1, -2))
    options = ["--components", "3", "--hidden", "none", "--quiet"]
    for arguments in (
        ["fit", rows, "-o", model, "--kind", "convolutional", "--aligned", *options],
        ["encode", model, rows, "-o", codes],
        ["decode", model, codes, "-o", out],
    ):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    assert Path(codes).read_text("utf-8").splitlines()[0].count(",") == 4
    fitted = load(model)
    assert np.array_equal(np.load(out), fitted.reconstruct(np.load(rows)))
    refused = CliRunner().invoke(app, ["fit", rows, "-o", out, "--aligned", "--force"])
    assert refused.exit_code == 2


def test_targets_are_moved_as_their_pictures(digits: Any) -> None:
    noisy = np.where(digits[:60] > 0, digits[:60] // 2, 0)
    fitted = ConvolutionalAutoencoder(
        2, aligned=True, hidden_layer_sizes=(), max_epochs=1, random_state=0
    ).fit(moved(noisy, 1, 2), target=moved(digits[:60], 1, 2))
    given = fitted.encode(moved(noisy, 2, -1)), fitted.encode(noisy)
    assert np.array_equal(given[0][:, :2], given[1][:, :2])


def test_what_cannot_be_aligned_is_refused(model: Any, digits: Any, tmp_path: Path) -> None:
    holed = digits[:3].astype(float)
    holed[0, 4, 4] = np.nan
    with pytest.raises(DataError, match="missing pixels, and aligned=True"):
        model.encode(holed)
    with pytest.raises(DataError, match="codes have 4 components, but the model of aligned"):
        model.decode(model.encode(digits[:2])[:, :4])
    with pytest.raises(DataError, match="impute fills in missing pixels"):
        model.impute(digits[:2])
    with pytest.raises(SpecError, match="aligned=True is for codes"):
        clone(model).set_params(n_components=None).fit(digits)
    with pytest.raises(SpecError, match="aligned='yes' should be True or False"):
        clone(model).set_params(aligned="yes").fit(digits)
    with pytest.raises(SpecError, match="fit without aligned=True to export"):
        export_onnx(model, tmp_path / "a.onnx")
