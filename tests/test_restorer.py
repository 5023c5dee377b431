"""Holes in pictures of any size: known pixels stay, and what is filled is better than smooth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from autoencode import PictureRestorer, load
from autoencode.architectures.unet import UNet
from autoencode.cli import app
from autoencode.errors import DataError, ModelFileError, SpecError
from autoencode.pictures.hole_model import HoleModel
from autoencode.pictures.hole_network import contrast, drawn_holes, filled, hole_errors, smooth

SMALL: dict[str, Any] = {"hidden_layer_sizes": (8, 8), "max_epochs": 2, "random_state": 0}


def stripes(count: int, height: int, width: int, seed: int = 0) -> list[Any]:
    """Return waves of one frequency, which a smooth filling cannot go on with."""
    rng = np.random.default_rng(seed)
    lines, columns = np.mgrid[:height, :width]
    found = []
    for start in rng.random(count) * 7:
        wave = np.sin(columns * 1.1 + start) * np.cos(lines * 0.3)
        found.append(np.rint(127 + 90 * wave).astype(np.uint8))
    return found


@pytest.fixture(scope="module")
def fitted() -> PictureRestorer:
    return PictureRestorer(**SMALL).fit(stripes(8, 40, 48))


def test_filling_smoothly_continues_what_is_even() -> None:
    even = torch.full((2, 3, 13, 18), 0.7)
    holes = torch.zeros(2, 1, 13, 18, dtype=torch.bool)
    holes[0, :, 2:9, 3:] = True
    holes[1, :, ::2] = True
    spoilt = torch.where(holes, 9.0, even)
    torch.testing.assert_close(smooth(spoilt, holes), even)
    ramp = torch.arange(24.0).expand(1, 1, 24, 24) / 24
    hole = torch.zeros(1, 1, 24, 24, dtype=torch.bool)
    hole[..., 8:16, 8:16] = True
    assert float(hole_errors(smooth(ramp, hole), ramp, hole)) < 1e-3
    lone = torch.ones(1, 1, 24, 24, dtype=torch.bool)
    lone[..., 5, 5] = False
    found = smooth(ramp, lone)
    torch.testing.assert_close(found, torch.full_like(found, float(ramp[0, 0, 5, 5])))


def test_what_stands_in_holes_does_not_count_and_contrast_scales() -> None:
    rng = torch.Generator().manual_seed(0)
    network = UNet(2, (8, 8), 1)
    network.draw(rng)
    pictures = torch.rand(4, 1, 32, 32, generator=rng)
    holes = drawn_holes(4, 32, rng)
    found = filled(network, pictures, holes)
    other = filled(network, torch.where(holes, 5.0, pictures), holes)
    torch.testing.assert_close(found, other)
    assert torch.equal(found[~holes], pictures[~holes])
    assert bool((found != smooth(pictures, holes)).any())
    scaled = filled(network, 0.2 * pictures + 0.3, holes)
    torch.testing.assert_close(scaled, 0.2 * found + 0.3, rtol=1e-3, atol=1e-4)


def test_contrast_is_that_of_known_pixels() -> None:
    pictures = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    holes = torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(2)) < 0.4
    mean, unit = contrast(pictures, holes)
    known = pictures[0][:, ~holes[0, 0]]
    torch.testing.assert_close(mean[0, 0, 0, 0], known.mean())
    torch.testing.assert_close(unit[0, 0, 0, 0], known.std(unbiased=False))
    flat = torch.ones(1, 1, 4, 4)
    assert float(contrast(flat, flat < 0)[1]) == pytest.approx(2 / 255)


def test_holes_have_the_share_that_is_asked_for() -> None:
    rng = torch.Generator().manual_seed(0)
    for share in (0.25, 0.5):
        found = drawn_holes(40, 32, rng, share=share).float().mean((1, 2, 3))
        torch.testing.assert_close(found, torch.full((40,), share), rtol=0.0, atol=0.06)
    every = drawn_holes(400, 32, rng).float().mean((1, 2, 3))
    assert 0.0 < float(every.min()) < 0.1
    assert 0.5 < float(every.max()) < 0.7


def test_held_out_holes_are_filled_better_than_smoothly(fitted: PictureRestorer) -> None:
    for row in fitted._model.facts["held_out"]:
        assert row["restored"] > row["smooth"] + 0.2
    assert "Held out, 25% missing in blocks: PSNR" in fitted.summary()
    losses = fitted.history_["train_error"]
    assert losses[-1] < losses[0]


def test_known_pixels_are_identical_whatever_the_form(fitted: PictureRestorer) -> None:
    pictures = [stripes(1, 30, 41, 5)[0], stripes(1, 17, 16, 6)[0]]
    rng = np.random.default_rng(0)
    masks = [rng.random(p.shape) < 0.4 for p in pictures]
    found = fitted.restore(pictures, masks)
    assert isinstance(found, list)
    for before, after, mask in zip(pictures, found, masks, strict=True):
        assert after.dtype == np.uint8
        assert np.array_equal(after[~mask], before[~mask])
        spoilt = np.where(mask, 255, before).astype(np.uint8)
        assert np.array_equal(fitted.restore(spoilt, mask), after)
    whole = np.stack(stripes(3, 20, 22, 7))
    same = fitted.restore(whole, masks[0][:20, :22])
    assert isinstance(same, np.ndarray)
    assert same.shape == whole.shape
    assert np.array_equal(same[1], fitted.restore(whole[1], masks[0][:20, :22]))
    assert np.array_equal(fitted.restore(whole), whole)
    holed = whole.astype(np.float64)
    holed[0, 3:6, 3:6] = np.nan
    restored = fitted.restore(holed)
    assert np.isfinite(restored).all()
    assert np.array_equal(restored[1:], whole[1:])


def test_pieces_of_a_large_picture_have_no_seams(
    fitted: PictureRestorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture,) = (p.astype(np.float32) for p in stripes(1, 150, 100, 8))
    mask = np.random.default_rng(1).random(picture.shape) < 0.5
    whole = fitted.restore(picture, mask)
    monkeypatch.setattr("autoencode.pictures.pieces.PIECE", 32)
    np.testing.assert_allclose(fitted.restore(picture, mask), whole, atol=0.01)


def test_colours_come_back_and_are_seen_together() -> None:
    pictures = [np.stack([p, 255 - p, p // 2], -1) for p in stripes(5, 24, 24)]
    model = PictureRestorer(**SMALL | {"max_epochs": 1}).fit(pictures)
    mask = np.zeros((24, 24), dtype=bool)
    mask[4:9, 5:12] = True
    found = model.restore(pictures[0], mask)
    assert found.shape == (24, 24, 3)
    assert np.array_equal(found[~mask], pictures[0][~mask])
    one = np.zeros((24, 24, 3), dtype=bool)
    one[4:9, 5:12, 1] = True
    part = model.restore(pictures[0], one)
    assert np.array_equal(part[~one], pictures[0][~one])
    assert np.array_equal(part[one], found[one])
    with pytest.raises(DataError, match="knows pictures of 3 colours"):
        model.restore([pictures[0][..., 0]], mask)


def test_a_model_file_gives_the_same_pictures(fitted: PictureRestorer, tmp_path: Path) -> None:
    path = tmp_path / "restorer.model"
    fitted.save(path)
    again = load(path)
    assert isinstance(again, PictureRestorer)
    assert again.get_params() == fitted.get_params()
    (picture,) = stripes(1, 32, 32, 3)
    mask = np.random.default_rng(0).random(picture.shape) < 0.3
    assert np.array_equal(again.restore(picture, mask), fitted.restore(picture, mask))
    assert again.summary() == fitted.summary()
    header, tensors = fitted._model.to_file()
    tensors.pop("last.weight")
    with pytest.raises(ModelFileError, match="does not fit together"):
        HoleModel.from_file(header, tensors)
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert result.exit_code == 0
    assert "PictureRestorer" in result.output


def test_the_same_seed_gives_the_same_weights() -> None:
    models = [PictureRestorer(**SMALL | {"max_epochs": 1}).fit(stripes(2, 48, 20)) for _ in "ab"]
    first, second = (model._model.network.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupted_fit_keeps_what_was_learned() -> None:
    def stop(name: str, history: Any) -> None:
        raise KeyboardInterrupt

    model = PictureRestorer(**SMALL, verbose=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(stripes(5, 20, 20))
    assert model.stop_reason_ == "interrupted"
    assert model.restore(stripes(1, 20, 20)[0]).shape == (20, 20)


def test_what_cannot_be_used_is_refused(fitted: PictureRestorer) -> None:
    (picture,) = stripes(1, 20, 20)
    with pytest.raises(DataError, match="one hole"):
        fitted.restore(picture, np.ones((20, 20), dtype=bool))
    with pytest.raises(DataError, match="2 masks for 1 pictures"):
        fitted.restore([picture], [picture > 3, picture > 3])
    with pytest.raises(DataError, match="True where to fill"):
        fitted.restore(picture, picture)
    with pytest.raises(DataError, match="a side of 3 pixels"):
        PictureRestorer(**SMALL).fit([picture[:3]])
    with pytest.raises(DataError, match="too few to hold a part out"):
        PictureRestorer(**SMALL).fit([picture])
    with pytest.raises(DataError, match="missing or infinite"):
        PictureRestorer(**SMALL).fit([np.full((40, 40), np.nan)])
    with pytest.raises(SpecError, match="validation_fraction=2"):
        PictureRestorer(validation_fraction=2).fit([picture])
    with pytest.raises(SpecError, match="leaves no network"):
        PictureRestorer(hidden_layer_sizes=()).fit([picture])
