"""Holes in pictures: how they are made, and how they are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autoencode import Autoencoder, ConvolutionalAutoencoder
from autoencode.corruptions import Block
from autoencode.errors import DataError, SpecError
from autoencode.holes import Holes, blocks
from autoencode.inpainting import holes_of, mended
from autoencode.interfaces import Batch, Layout


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_block_is_a_rectangle_of_the_asked_size() -> None:
    share = torch.full((200, 1), 0.25)
    found = blocks((8, 12, 3), share, seeded()).reshape(200, 8, 12, 3)
    assert (found == found[..., :1]).all()
    pixels = found[..., 0]
    assert (pixels.sum((1, 2)) == 4 * 6).all()
    assert (pixels.any(2).sum(1) == 4).all()
    assert (pixels.any(1).sum(1) == 6).all()
    places = {tuple(picture.nonzero()[0].tolist()) for picture in pixels}
    assert len(places) > 20


def test_holes_have_many_sizes_and_forms() -> None:
    layout = Layout(16 * 16, (), (16, 16))
    batch = Batch(torch.ones(400, 256))
    found = Holes(layout, (0.1, 0.5), blocks=1.0)(batch, seeded())
    assert found.observed is not None
    assert torch.equal(found.x, found.observed.float())
    shares = 1 - found.observed.float().mean(1)
    assert float(shares.min()) < 0.12
    assert float(shares.max()) > 0.4
    assert 0.15 < float(shares.mean()) < 0.31
    single = Holes(layout, (0.1, 0.5), blocks=0.0)(batch, seeded())
    assert single.observed is not None
    assert abs(float(1 - single.observed.float().mean()) - 0.3) < 0.02

    def edges(seen: torch.Tensor) -> float:
        picture = seen.reshape(-1, 16, 16)
        return float((picture[:, 1:] != picture[:, :-1]).float().mean())

    assert edges(found.observed) < 0.4 * edges(single.observed)


def test_all_colours_of_a_pixel_are_hidden_and_what_is_missing_stays_missing() -> None:
    layout = Layout(4 * 4 * 2, (), (4, 4, 2))
    seen = torch.ones(50, 32, dtype=torch.bool)
    seen[:, 5] = False
    found = Holes(layout)(Batch(torch.ones(50, 32), seen), seeded()).observed
    assert found is not None
    assert not found[:, 5].any()
    colours = found.reshape(50, 16, 2)
    assert torch.equal(colours[:, 3:, 0], colours[:, 3:, 1])


def test_blocks_of_pictures_have_two_sides() -> None:
    block = Block(Layout(36, (), (6, 6)), 0.25)
    hidden = block(Batch(torch.ones(30, 36)), seeded()).x.reshape(30, 6, 6) == 0
    assert (hidden.any(2).sum(1) == 3).all()
    assert (hidden.any(1).sum(1) == 3).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 0.3}, "should be a pair of shares"),
        ({"level": (0.5, 0.2)}, "should be a pair of shares"),
        ({"blocks": 2.0}, "blocks=2.0 should lie in"),
    ],
)
def test_options_that_are_not_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Holes(Layout(4), **options)


# Filled.


@pytest.fixture(scope="module")
def digits() -> Any:
    return np.rint(load_digits().images[:700] * (255 / 16)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(digits: Any) -> ConvolutionalAutoencoder:
    return ConvolutionalAutoencoder(
        None, hidden_layer_sizes=(8,), max_epochs=2, random_state=0
    ).fit(digits[:500])


def test_known_pixels_stay_and_holes_are_filled_well(model: Any, digits: Any) -> None:
    pictures = digits[500:]
    mask = np.zeros(pictures.shape, dtype=bool)
    mask[:, 2:6, 3:7] = True
    spoilt = np.where(mask, 77, pictures)
    found = model.restore(spoilt, mask)
    assert found.dtype == np.uint8
    assert np.array_equal(found[~mask], pictures[~mask])
    assert np.array_equal(model.restore(pictures, mask), found)
    few = np.random.default_rng(0).random(pictures.shape) < 0.25
    for hidden, share in ((mask, 0.8), (few, 0.5)):
        error = np.square(model.restore(pictures, hidden).astype(float) - pictures)[hidden].mean()
        mean = np.broadcast_to(digits[:500].mean(0), pictures.shape)[hidden]
        assert error < share * np.square(mean - pictures[hidden]).mean()
    # One mask for all, and holes as NaN, are the same.
    assert np.array_equal(model.restore(spoilt, mask[0]), found)
    exact = np.where(mask, np.nan, pictures.astype(np.float32))
    assert np.abs(model.restore(exact) - found)[mask].max() <= 1
    assert np.array_equal(model.restore(pictures, np.zeros((8, 8), dtype=bool)), pictures)


def test_seams_are_blended_and_the_model_alone_speaks_far_inside(model: Any) -> None:
    pictures = np.full((2, 20, 20), 200, dtype=np.uint8)
    holes = np.zeros(pictures.shape, dtype=bool)
    holes[:, 4, 4] = True
    holes[:, 7:16, 7:16] = True
    # A model that is 50 too low everywhere.
    found = mended(model._state, pictures, holes, np.full((2, 400), 150, dtype=np.float32))
    assert (found[:, 4, 4] == 200).all()
    assert (found[:, 11, 11] == 150).all()
    assert (found[:, 7, 8:15] > 180).all()


def test_draws_of_a_variational_model_differ_inside_holes_alone(digits: Any) -> None:
    model = ConvolutionalAutoencoder(
        4,
        bottleneck="gaussian",
        corruption="holes",
        hidden_layer_sizes=(8,),
        max_epochs=8,
        random_state=0,
    ).fit(digits[:500])
    assert model.gate_ == 1
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:7, 2:7] = True
    draws = model.restore(digits[500:520], mask, n_draws=3)
    assert len(draws) == 3
    for draw in draws:
        assert np.array_equal(draw[:, ~mask], digits[500:520, ~mask])
    assert (draws[0] != draws[1]).mean() > 0.05
    again = model.restore(digits[505:506], mask, n_draws=3)
    assert np.array_equal(again[2][0], draws[2][5])


def test_what_cannot_be_restored_is_refused(model: Any, digits: Any) -> None:
    with pytest.raises(DataError, match="it should be True where to fill"):
        model.restore(digits, np.zeros((8, 8)))
    with pytest.raises(DataError, match="allowed: "):
        model.restore(digits, np.zeros((8, 9), dtype=bool))
    with pytest.raises(SpecError, match="fit with bottleneck='gaussian'"):
        model.restore(digits[:1], np.ones((8, 8), dtype=bool), n_draws=2)
    plain = Autoencoder(2, hidden_layer_sizes=(), random_state=0).fit(digits)
    with pytest.raises(DataError, match="trained with holes"):
        plain.restore(digits, np.ones((8, 8), dtype=bool))
    nan = np.array([[[1.0, np.nan]]])
    assert holes_of(nan, None).tolist() == [[[False, True]]]
