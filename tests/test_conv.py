"""Convolutional networks: pictures of any size, the start at PCA, and whole numbers back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

import autoencode
from autoencode import Autoencoder, ConvolutionalAutoencoder
from autoencode.architectures.conv import Conv, ConvEncoder
from autoencode.architectures.convolution import Grid, Halving, resized
from autoencode.architectures.dictionary import Dictionary
from autoencode.architectures.mlp import spread
from autoencode.architectures.reduction import Reduction
from autoencode.composition import Composition
from autoencode.defaults import channels
from autoencode.errors import DataError, SpecError
from autoencode.export import export_onnx
from autoencode.interfaces import Batch, Context, LinearStart

SHAPES = [(1, 1), (1, 9), (5, 3), (8, 8), (13, 6, 3), (28, 28), (7,), (16, 2, 1)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def composition(shape: tuple[int, ...], **changes: Any) -> Composition:
    choices = {
        "architecture": "conv",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (4, 8),
        "sample_shape": shape,
        "nested": True,
    }
    return Composition(**choices | changes)


def start_of(count: int, n_values: int) -> LinearStart:
    rows = torch.randn(count, n_values, generator=seeded(3), dtype=torch.float64)
    components = torch.linalg.qr(rows.T)[0].T
    return LinearStart(components, torch.arange(1.0, count + 1).double())


@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_of_any_size_come_back_in_their_size(shape: tuple[int, ...]) -> None:
    n_values = int(np.prod(shape))
    network = composition(shape).network(3, seeded())
    rows = torch.randn(4, n_values, generator=seeded(1))
    result = network(Batch(rows), Context(size=torch.tensor([1, 2, 3, 3])))
    assert result.code.z.shape == (4, 3)
    assert result.params.shape == (4, 1, n_values)
    alone = network(Batch(rows[2:3]), Context())
    torch.testing.assert_close(alone.params, result.params[2:3], rtol=1e-4, atol=1e-4)


def test_what_is_told_reaches_the_convolutions_pixel_by_pixel() -> None:
    grid = Grid.of((4, 5))
    encoder = Conv((4, 5), (4,), n_told=20 + 2 + 20).encoder()
    assert isinstance(encoder, ConvEncoder)
    missing, strength, noisy = torch.rand(2, 20), torch.rand(2, 2), torch.rand(2, 20)
    planes, others = encoder._heard(torch.cat([missing, strength, noisy], 1))
    assert others is not None
    assert [torch.equal(a, b) for a, b in zip(planes, (missing, noisy), strict=True)] == [True] * 2
    assert torch.equal(others, strength)
    assert encoder.narrowing.first.in_channels == 3
    assert torch.equal(grid.values(grid.pictures(noisy), 1)[:, 0], noisy)
    for told, n_planes, n_others in ((20, 1, 0), (22, 1, 2), (2, 0, 2)):
        other = Conv((4, 5), (4,), n_told=told).encoder()
        planes, others = other._heard(torch.rand(2, told))
        assert len(planes) == n_planes
        assert (0 if others is None else others.shape[1]) == n_others


def test_large_pictures_have_a_start_at_lower_resolution() -> None:
    shape = (80, 60)
    smooth = torch.outer(torch.linspace(-1, 1, 80), torch.linspace(1, 2, 60)).flatten().double()
    whole = LinearStart((smooth / smooth.norm())[None], torch.ones(1).double())
    network = composition(shape).network(1, seeded()).double()
    assert isinstance(network.encoder, ConvEncoder)
    assert network.encoder.reduction is not None
    assert network.encoder.reduction.n_values <= 4096
    network.start_linear(whole)
    rows = smooth * torch.tensor([[2.0], [-1.0]]).double()
    back = network(Batch(rows), Context()).params[:, 0].detach()
    assert float((back - rows).square().mean() / rows.square().mean()) < 1e-3
    part = network.decoder.linear_part(torch.ones(2, 1).double())
    assert part.shape == (2, 80 * 60)


def test_reducing_averages_and_lines_keep_what_is_even() -> None:
    reduction = Reduction(Grid.of((9, 7, 2)), 30)
    even = torch.full((3, 9 * 7 * 2), 2.5)
    torch.testing.assert_close(reduction.down(even), even[:, : reduction.n_values])
    torch.testing.assert_close(reduction.up(reduction.down(even)), even)
    colours = torch.arange(2.0).repeat(9 * 7)[None]
    torch.testing.assert_close(reduction.up(reduction.down(colours)), colours)


def test_prefixes_of_codes_decode_as_by_a_network_of_their_length() -> None:
    whole = composition((6, 5, 2))
    longer = whole.network(4, seeded())
    shorter = whole.empty_network(2)
    shorter.copy_prefix(longer)
    rows = torch.randn(5, 60, generator=seeded(2))
    cut = longer(Batch(rows), Context(size=torch.full((5,), 2)))
    torch.testing.assert_close(shorter(Batch(rows), Context()).params, cut.params)


def changes(encode: Any, pictures: Tensor) -> float:
    """Return how much features change when pictures move by a pixel, against their size."""
    before, after = encode(pictures), encode(pictures.roll(1, -1))
    after = after.roll(-1, -1) if after.shape == pictures.shape else after
    return float((before - after).square().mean() / before.square().mean())


def test_halving_is_steadier_under_a_shift_than_leaving_pixels_out() -> None:
    fine = torch.randn(16, 3, 16, 16, generator=seeded(4))
    halving = Halving((16, 16), (8, 8))
    assert changes(halving, fine) < 0.7 * changes(lambda x: x[:, :, ::2, ::2], fine)


def test_enlarging_has_no_checkerboard() -> None:
    even = torch.ones(1, 2, 5, 7)
    assert float((resized(even, (10, 13)) - 1.0).abs().max()) < 1e-6


def test_weights_are_drawn_from_the_generator_alone() -> None:
    module = Conv((8, 8), (4,)).encoder()
    spread(module, seeded(5))
    first = [p.detach().clone() for p in module.parameters()]
    spread(module, seeded(5))
    assert all(torch.equal(a, b) for a, b in zip(first, module.parameters(), strict=True))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), (16,)), ((28, 28), (16, 32)), ((64, 48, 3), (16, 32, 64)), ((5,), (16,))],
)
def test_depth_and_width_follow_from_the_size(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert channels(shape) == expected


def test_an_option_of_a_dictionary_that_is_not_allowed() -> None:
    with pytest.raises(SpecError, match="positive=1 should be True or False"):
        Dictionary((8, 8), (), positive=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "data"}, "choose from pca, random"),
        ({"dense": 1}, "dense=1 should be a whole number of at least 2"),
        ({"blocks": True}, "blocks=True should be a whole number of at least 0"),
    ],
)
def test_options_that_are_not_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Conv((8, 8), (4,), **options)


# Fitted.


@pytest.fixture(scope="module")
def digits() -> Any:
    return np.rint(load_digits().images[:400] * (255 / 16)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(digits: Any) -> ConvolutionalAutoencoder:
    return ConvolutionalAutoencoder(
        4, augmentation="none", hidden_layer_sizes=(8,), max_epochs=9, random_state=0
    ).fit(digits)


def test_whole_numbers_come_back_as_whole_numbers(model: Any, digits: Any) -> None:
    assert model.gate_ == 1
    back = model.reconstruct(digits)
    assert back.dtype == np.uint8
    assert back.shape == digits.shape
    exact = model.reconstruct(digits, clip=False)
    assert exact.dtype == np.float32
    assert np.array_equal(back, np.clip(np.rint(exact), 0, 255))
    assert (exact < 0).any()
    decoded = model.decode(model.encode(digits))
    assert decoded.dtype == np.uint8
    assert (np.abs(decoded.astype(int) - back) <= 1).all()


def test_it_is_kept_and_loaded(model: Any, digits: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = autoencode.load(tmp_path / "model")
    assert type(loaded) is ConvolutionalAutoencoder
    assert np.array_equal(loaded.reconstruct(digits), model.reconstruct(digits))
    assert np.array_equal(loaded.truncate(2).encode(digits), model.truncate(2).encode(digits))


def test_tables_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": [1.0, 2.0, 3.5] * 9, "b": list("xyz") * 9})
    with pytest.raises(DataError, match="use Autoencoder for this table"):
        ConvolutionalAutoencoder(1).fit(table)


@pytest.mark.parametrize("bottleneck", ["plain", "batchtopk", "gaussian"])
def test_colours_under_any_bottleneck(bottleneck: str, digits: Any) -> None:
    pictures = np.stack([digits[:80], 255 - digits[:80]], 3)
    model = Autoencoder(
        3,
        architecture="conv",
        bottleneck=bottleneck,
        hidden_layer_sizes=(4,),
        penalties=(),
        max_epochs=2,
        random_state=0,
    ).fit(pictures)
    assert np.isfinite(model.history_["held_out"]).all()
    assert model.reconstruct(pictures).shape == pictures.shape


def test_a_model_of_pictures_is_exported(model: Any, digits: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    export_onnx(model, path, part="autoencoder")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = digits[:9].reshape(9, -1).astype(np.float32)
    (found,) = session.run(None, {session.get_inputs()[0].name: rows})
    expected = model.reconstruct(digits[:9], clip=False).reshape(9, -1)
    np.testing.assert_allclose(found.reshape(9, -1), expected, atol=1e-2)


@pytest.mark.parametrize("estimator", [Autoencoder, ConvolutionalAutoencoder])
def test_an_estimator_takes_a_folder_and_keeps_its_form(
    estimator: type[Autoencoder], tmp_path: Path
) -> None:
    rng, fitted, other = np.random.default_rng(0), tmp_path / "fitted", tmp_path / "other"
    fitted.mkdir()
    other.mkdir()
    for number in range(30):
        Image.fromarray(rng.integers(0, 255, (6, 8), np.uint8)).save(fitted / f"{number}.png")
    Image.fromarray(rng.integers(0, 255, (12, 16), np.uint8)).save(other / "a.png")
    model = estimator(2, hidden_layer_sizes=(4,), max_epochs=1, random_state=0)
    codes = model.fit(str(fitted)).transform(str(other))
    assert codes.shape == (1, 2)
    model.save(tmp_path / "model.safetensors")
    again = autoencode.load(tmp_path / "model.safetensors").transform(str(other))
    assert again.tobytes() == codes.tobytes()
