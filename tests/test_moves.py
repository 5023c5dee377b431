"""Pictures that are moved in training: where pixels go, and whether it is worth it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autoencode import ConvolutionalAutoencoder
from autoencode.batches import StreamedBatches, TensorBatches
from autoencode.composition import Composition
from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Context
from autoencode.moves import Moves, shifted_places


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moves(shape: tuple[int, ...], kind: str, center: float = 0.0, scale: float = 1.0) -> Moves:
    count = int(np.prod(shape))
    return Moves(shape, kind, torch.full((count,), center), torch.full((count,), scale))


@pytest.mark.parametrize("step", [(1, 0), (0, -1), (-1, 1), (2, 3)])
def test_what_enters_a_picture_that_moves_is_its_edge(step: tuple[int, int]) -> None:
    picture = np.arange(5 * 4 * 2).reshape(5, 4, 2)
    down, right = step
    wide = np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge")
    expected = wide[4 - down : 9 - down, 4 - right : 8 - right]
    found = picture.flatten()[shifted_places((5, 4, 2), down, right).numpy()]
    assert np.array_equal(found.reshape(5, 4, 2), expected)


def test_about_half_of_the_pictures_move_each_with_its_target() -> None:
    rows = torch.randn(400, 12, generator=seeded(1))
    x, y = moves((3, 4), "shift", center=2.0, scale=0.5)(rows, 2 * rows, seeded(2))
    assert y is not None
    # What was not there before is the value of a pixel all the same: it moved with its center.
    still = (x - rows).abs().amax(1) < 1e-5
    assert 150 < int(still.sum()) < 250
    torch.testing.assert_close(y, 2 * x)
    assert all(
        float((row[:, None] - old).abs().amin(1).max()) < 1e-5
        for row, old in zip(x[:40], rows, strict=False)
    )


def test_pixels_move_and_not_what_is_left_of_them() -> None:
    center, scale = torch.arange(12.0), torch.full((12,), 2.0)
    even = (torch.full((50, 12), 7.0) - center) / scale
    moved, _ = Moves((3, 4), "shift", center, scale)(even, None, seeded())
    torch.testing.assert_close(moved, even)


def test_mirrored_pictures() -> None:
    line = torch.arange(6.0).repeat(200, 1)
    found, _ = moves((6,), "shift_flip")(line, None, seeded())
    turned = (found == torch.arange(6.0).flip(0)).all(1)
    assert 20 < int(turned.sum()) < 100
    assert {float(row[0] - row[-1]) for row in found} >= {-5.0, 5.0}
    with pytest.raises(SpecError, match="choose from auto, none, shift, shift_flip"):
        moves((6,), "turn")


def test_streamed_batches_move_the_same_way() -> None:
    rows, move = torch.randn(70, 12, generator=seeded(3)), moves((3, 4), "shift_flip")
    memory = TensorBatches(rows, None, 16, move=move)
    streamed = StreamedBatches(lambda places: (rows[places], None), 70, 16, 2, move=move)
    pairs = zip(memory.epoch(seeded(4)), streamed.epoch(seeded(4)), strict=True)
    assert all(torch.equal(a[0].x, b[0].x) for a, b in pairs)


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_digits().images[:330].astype(np.float32)


def test_a_fit_says_how_it_generalises(digits: Any) -> None:
    choices = {"hidden_layer_sizes": (4,), "max_epochs": 9, "random_state": 0, "nested": False}
    texts = {}
    for kind in ("none", "shift"):
        model = ConvolutionalAutoencoder(4, augmentation=kind, **choices).fit(digits)
        assert model.gate_ == 1
        assert model._state.facts["augmentation"] == kind
        errors = np.square(model.reconstruct(digits) - digits).mean((1, 2))
        held = np.isin(np.arange(330), model._state.facts["claim_rows"])
        unit = model._state.scaling.scale[0] ** 2
        trained = model._state.facts["train_error"]
        assert trained == pytest.approx(errors[~held].mean() / unit, rel=0.1)
        ratio = errors[held].mean() / unit / trained
        texts[kind] = model.summary()
        assert f"held-out error {ratio:.2f} x that of the training pictures" in texts[kind]
        assert "train_error" not in model.truncate(4)._state.facts
    assert "which were moved by a pixel at random" in texts["shift"]
    assert texts["none"].splitlines()[1] != texts["shift"].splitlines()[1]


def test_augmentation_is_tried_where_pictures_are_few(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    call = Moves.__init__

    def noted(self: Moves, shape: Any, kind: str, *rest: Any) -> None:
        tried.append(kind)
        call(self, shape, kind, *rest)

    monkeypatch.setattr(Moves, "__init__", noted)
    choices = {"hidden_layer_sizes": (4,), "max_epochs": 8, "random_state": 0, "penalties": ()}
    model = ConvolutionalAutoencoder(2, **choices).fit(digits)
    assert {"shift", "shift_flip"} <= set(tried)
    assert model._state.facts["augmentation"] in ("none", "shift", "shift_flip")
    with pytest.raises(SpecError, match="augmentation='turn' is not known"):
        ConvolutionalAutoencoder(2, augmentation="turn").fit(digits)


def test_codes_of_even_pictures_are_steady_and_of_others_not() -> None:
    whole = Composition(
        "mlp", "plain", "none", "gaussian", ("steady:weight=2.0",), (8,), (5, 4), nested=False
    )
    network, (steady,) = whole.network(3, seeded()), whole.objective().penalties
    even = torch.linspace(-1, 1, 30)[:, None].expand(30, 20).contiguous()
    context = Context(rng=seeded(1))
    assert float(steady(network, network(Batch(even), context)).detach()) < 1e-6
    noise = Batch(torch.randn(2000, 20, generator=seeded(2)))
    # A moved picture of noise is about any other: half the squared distance is the variance.
    found = float(steady(network, network(noise, context)).detach())
    assert 2.0 * 3 * 0.4 < found < 2.0 * 3 * 1.6
