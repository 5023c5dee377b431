"""Noise taken out of pictures of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone

from autoencode import PictureDenoiser, load
from autoencode.architectures.unet import UNet
from autoencode.errors import DataError, SpecError
from autoencode.pictures import adapting, pieces
from autoencode.pictures.crops import Crops
from autoencode.pictures.levels import noise_level

SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (8, 12),
    "max_epochs": 2,
    "batch_size": 6,
    "random_state": 0,
}


def drawn(count: int, seed: int, colours: int = 0) -> list[Any]:
    """Return pictures of discs on slopes, 0 to 255, of several sizes."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        height, width = 48 + 8 * (number % 3), 52 + 4 * (number % 2)
        rows, columns = np.mgrid[:height, :width]
        picture = 60 + rng.uniform(0, 1.5, 2) @ np.array([rows.ravel(), columns.ravel()])
        picture = picture.reshape(height, width)
        for _ in range(2):
            center, radius = rng.uniform(0, 40, 2), rng.uniform(6, 14)
            inside = np.hypot(rows - center[0], columns - center[1]) < radius
            picture[inside] = rng.uniform(0, 255)
        if colours:
            picture = picture[..., None] * rng.uniform(0.5, 1, colours)
        found.append(np.clip(picture, 0, 255))
    return found


def noisy(pictures: list[Any], level: float, seed: int = 5) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [picture + rng.normal(0, level, picture.shape) for picture in pictures]


def rms(one: list[Any], other: list[Any]) -> float:
    squares = [np.square(a - b).mean() for a, b in zip(one, other, strict=True)]
    return float(np.sqrt(np.mean(squares)))


@pytest.fixture(scope="module")
def model() -> PictureDenoiser:
    return PictureDenoiser(rows="clean", **SMALL).fit(drawn(8, 0))


@pytest.fixture(scope="module")
def network() -> UNet:
    network = UNet(1, (4, 4, 4), 1)
    network.draw(torch.Generator().manual_seed(0))
    return network.double()


def test_noise_scales_with_picture_and_level_and_brightness_does_not_matter(network: UNet) -> None:
    x = torch.randn(2, 1, 24, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    level = torch.tensor([0.5, 0.1], dtype=torch.float64)
    noise = network(x, level)
    assert noise.shape == x.shape
    torch.testing.assert_close(network(3 * x, 3 * level), 3 * noise)
    torch.testing.assert_close(network(x + 7, level), noise)
    assert not torch.allclose(network(x, 2 * level), noise)


def test_a_pixel_depends_on_none_beyond_the_margin(network: UNet) -> None:
    side = 2 * network.margin + 16
    x = torch.zeros(1, 1, side, side, dtype=torch.float64).normal_(
        generator=torch.Generator().manual_seed(2)
    )
    x.requires_grad_(True)
    middle = side // 2
    network(x, torch.ones(1, dtype=torch.float64))[0, 0, middle, middle].backward()
    assert x.grad is not None
    rows, columns = torch.nonzero(x.grad[0, 0], as_tuple=True)
    reach = max(int((rows - middle).abs().max()), int((columns - middle).abs().max()))
    assert network.margin - 2 * network.step < reach <= network.margin


def test_pieces_give_what_the_whole_picture_gives(
    model: PictureDenoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(3).normal(100, 50, (101, 75))
    whole = model.denoise(picture, level=20.0)
    monkeypatch.setattr(pieces, "PIECE", 32)
    np.testing.assert_allclose(model.denoise(picture, level=20.0), whole, atol=1e-3)


def test_noise_of_every_level_becomes_less(model: PictureDenoiser) -> None:
    truth = drawn(6, 1)
    for level in (15.0, 50.0):
        given = noisy(truth, level)
        assert rms(model.denoise(given, level=level), truth) < 0.75 * level
        restored, levels = model.denoise_with_levels(given)
        assert np.median(levels) == pytest.approx(level, rel=0.1)
        assert rms(restored, truth) < 0.75 * level
    (row, *_) = model._model.facts["held_out"]
    assert row["restored"] > row["noisy"] + 1
    assert "clean pictures with noise added" in model.summary()


def test_a_network_that_has_learned_little_is_not_worse_than_a_filter() -> None:
    options = SMALL | {"hidden_layer_sizes": (4,), "max_epochs": 1, "learning_rate": 1e-6}
    poor = PictureDenoiser(rows="clean", **options).fit(drawn(6, 0))
    figures = poor._model.facts["held_out"]
    assert all(row["restored"] >= row["wiener"] - 1e-6 for row in figures)
    assert all(row["weight"] < 0.5 for row in figures)
    truth = drawn(4, 1)
    given = noisy(truth, 25.0)
    found = poor.denoise(given, level=25.0)
    for row in figures:
        row["weight"] = 1.0
    alone = poor.denoise(given, level=25.0)
    assert rms(found, truth) < 0.8 * rms(alone, truth)


def test_what_comes_out_is_as_what_went_in(model: PictureDenoiser) -> None:
    whole = np.stack([np.rint(p).astype(np.uint8) for p in drawn(9, 2)[::6]])
    found = model.denoise(whole)
    assert found.shape == whole.shape
    assert found.dtype == np.uint8
    one = model.denoise(whole[0])
    np.testing.assert_array_equal(one, found[0])
    several = model.denoise(list(whole))
    assert isinstance(several, list)
    np.testing.assert_array_equal(several[1], found[1])


def test_a_network_fitted_further_to_a_picture_restores_it_better(model: PictureDenoiser) -> None:
    rows, columns = np.mgrid[:64, :64]
    truth = 128 + 100.0 * ((rows // 4 + columns // 4) % 2 - 0.5)
    given = noisy([truth], 25)[0]
    before = model.denoise(given, level=25.0)
    after = model.denoise(given, level=25.0, adapt=40)
    assert rms([after], [truth]) < 0.95 * rms([before], [truth])
    np.testing.assert_array_equal(model.denoise(given, level=25.0), before)
    np.testing.assert_array_equal(model.denoise(given, level=25.0, adapt=40), after)


def test_a_network_that_gains_nothing_stays_as_it_is(
    model: PictureDenoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = model._model.network
    noise = 0.1 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(0))
    # It learns to keep what is noise; without a look at the noisy picture it would.
    monkeypatch.setattr(adapting, "_RATE", 0.01)
    found = adapting.adapted_to_noise(network, noise, noise, 0.1, 20)
    for one, other in zip(found.parameters(), network.parameters(), strict=True):
        assert torch.equal(one, other)
    monkeypatch.setattr(adapting, "expected_error", lambda *_: next(falling))
    falling = iter(range(10, 0, -1))
    worse = adapting.adapted_to_noise(network, noise, noise, 0.1, 20)
    left = [
        float(rest.square().mean())
        for rest in (noise - net(noise[None], torch.tensor([0.1]))[0] for net in (network, worse))
    ]
    assert left[1] > 1.05 * left[0]
    assert adapting.adapted_to_noise(network, noise[:, :2], noise[:, :2], 0.1, 3) is network


def test_the_error_is_estimated_without_the_truth(model: PictureDenoiser) -> None:
    network, rng = model._model.network, torch.Generator().manual_seed(4)
    truth = torch.linspace(0, 1, 160).expand(1, 1, 160, 160)
    for level in (0.05, 0.2):
        given = truth + level * torch.randn(truth.shape, generator=rng)
        probe = torch.randn(truth.shape, generator=rng)
        restored = given - network(given, torch.tensor([level]))
        error = float((restored - truth).square().mean())
        found = adapting.expected_error(network, given, probe, level)
        assert found == pytest.approx(error, abs=0.05 * level**2)


def test_a_model_of_whole_numbers_knows_their_white() -> None:
    deep = [np.rint(257 * p).astype(np.uint16) for p in drawn(5, 0)]
    found = PictureDenoiser(hidden_layer_sizes=(4,), max_epochs=1, random_state=0).fit(deep)
    assert found._model.white == 65535
    assert found.denoise(deep[0]).dtype == np.uint16


def test_the_file_gives_the_same_model(model: PictureDenoiser, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    picture = noisy(drawn(1, 4), 25)[0]
    np.testing.assert_array_equal(again.denoise(picture), model.denoise(picture))
    assert again.get_params() == model.get_params()
    assert again.situation_ == "clean"


def test_the_same_seed_gives_the_same_bits() -> None:
    few = drawn(5, 0)
    one, other = (
        PictureDenoiser(hidden_layer_sizes=(4,), max_epochs=1, random_state=3).fit(few)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.denoise(few[0]), other.denoise(few[0]))
    assert clone(one).get_params() == one.get_params()


def test_noisy_pictures_alone_are_enough() -> None:
    truth = drawn(8, 0)
    given = noisy(truth, 40)
    found = PictureDenoiser(**SMALL).fit(given)
    assert found.situation_ == "noisy"
    assert found.noise_.level == pytest.approx(40, rel=0.1)
    assert rms(found.denoise(given), truth) < 0.75 * 40


def test_both_noises_of_a_noisy_picture_are_independent() -> None:
    level = 0.2
    picture = level * torch.randn(1, 400, 400, generator=torch.Generator().manual_seed(0))
    crops = Crops([picture], None, torch.tensor([level]), "doubled", 200)
    batch, target = crops.draw(10, torch.Generator().manual_seed(1))
    assert float((batch.x * target.x).mean()) / level**2 == pytest.approx(0, abs=0.03)
    assert batch.level is not None
    told = batch.level[:, 1]
    torch.testing.assert_close(batch.x.var((1, 2, 3)), told, rtol=0.04, atol=0.0)
    # Parts of the mean of 2 x 2 pixels have half the noise.
    shares = (told / level**2).tolist()
    assert all(0.3125 <= share <= 0.5 or 1.25 <= share <= 2 for share in shares)
    assert min(shares) < 1 < max(shares)


def test_pairs_show_what_their_noise_is() -> None:
    truth = drawn(8, 0)
    white = PictureDenoiser(**SMALL | {"max_epochs": 1})
    white.fit(noisy(truth, 20), target=truth)
    assert white.situation_ == "pairs"
    assert white._model.facts["noise"] == "added"
    assert white.noise_.level == pytest.approx(20, rel=0.02)
    stripes = [p + 30 * np.random.default_rng(9).normal(size=(len(p), 1)) for p in truth]
    learned = PictureDenoiser(**SMALL).fit(stripes, target=truth)
    assert learned._model.facts["noise"] == "given"
    with pytest.raises(SpecError, match="adapt=5 needs normal noise"):
        learned.denoise(stripes, adapt=5)
    assert rms(learned.denoise(stripes), truth) < rms(stripes, truth)


def test_colours_are_taken_together() -> None:
    truth = drawn(6, 0, colours=3)
    found = PictureDenoiser(rows="clean", **SMALL | {"max_epochs": 3}).fit(truth)
    given = noisy(truth, 30)
    assert rms(found.denoise(given, level=30), truth) < 0.75 * 30
    with pytest.raises(DataError, match=r"knows pictures of \(height, width, 3\)"):
        found.denoise([given[0][..., 0]])


def test_some_parts_of_colours_are_grey_with_grey_noise() -> None:
    picture = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    crops = Crops([picture], None, torch.zeros(1), "added", 16)
    batch, target = crops.draw(60, torch.Generator().manual_seed(1))
    grey = (target.x[:, 0] == target.x[:, 2]).flatten(1).all(1)
    assert 5 <= int(grey.sum()) <= 25
    assert (batch.x[grey, 0] == batch.x[grey, 2]).all()
    apart = (batch.x - target.x)[~grey]
    assert not (apart[:, 0] == apart[:, 2]).any()


@pytest.mark.parametrize("level", [5.0, 20.0, 60.0])
def test_the_level_of_a_picture_is_found(level: float) -> None:
    rows, columns = np.mgrid[:120, :120]
    (picture,) = noisy([120 + 80 * np.sin(rows / 9) * np.cos(columns / 7)], level)
    assert noise_level(picture) == pytest.approx(level, rel=0.05)
    assert noise_level(picture[:3, :3]) >= 0


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (np.zeros((40, 40)), "give pictures as a list of arrays"),
        ([], "no pictures"),
        ([np.zeros((40, 40)), np.zeros((40, 40, 3))], "the same colours"),
        ([np.zeros((40, 40)), np.zeros((40, 40), np.uint8)], "as one type"),
        ([np.zeros((12, 40))] * 5, "16 x 16 at least"),
        ([np.zeros((40, 40))], "too few to hold a part out"),
        ([np.full((40, 40), np.nan)] * 5, "missing or infinite"),
    ],
)
def test_pictures_that_cannot_be_used_are_named(pictures: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PictureDenoiser(max_epochs=1).fit(pictures)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rows": "dirty"}, "rows='dirty'"),
        ({"hidden_layer_sizes": ()}, "leaves no network"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"validation_fraction": 1.5}, r"validation_fraction=1\.5"),
        ({"learning_rate": -1}, "learning_rate=-1"),
    ],
)
def test_parameters_are_checked(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        PictureDenoiser(**given).fit(drawn(5, 0))
