"""Codes that are small pictures: local, a start at PCA of patches, under every bottleneck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autoencode
from autoencode import Autoencoder
from autoencode.architectures.conv import Conv
from autoencode.architectures.convolution import Grid
from autoencode.architectures.spatial import Patches
from autoencode.bottlenecks import BOTTLENECKS
from autoencode.composition import Composition
from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Context, LinearStart

SHAPES = [(8, 8), (13, 6, 3), (9,), (5, 3), (16, 2, 1)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def composition(shape: tuple[int, ...], **changes: Any) -> Composition:
    choices = {
        "architecture": "conv:code=spatial",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (4, 8),
        "sample_shape": shape,
        "nested": True,
    }
    return Composition(**choices | changes)


@pytest.mark.parametrize("shape", SHAPES)
def test_patches_are_cut_and_joined(shape: tuple[int, ...]) -> None:
    grid = Grid.of(shape)
    patches = Patches(grid, *grid.halved(2)[-1])
    rows = torch.randn(3, 2, grid.n_values, generator=seeded())
    cut = patches.cut(rows)
    assert cut.shape == (3, 2, patches.count, patches.n_values)
    assert torch.equal(patches.joined(cut), rows)
    pixel = grid.pictures(rows[0])[:, :, 0, 0]
    assert torch.equal(cut[0, :, 0, : grid.colours], pixel)


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_every_bottleneck_has_them(bottleneck: str, shape: tuple[int, ...]) -> None:
    whole = composition(shape, bottleneck=bottleneck, masked=True)
    step, n_values = whole.n_places, int(np.prod(shape))
    network = whole.network(2 * step, seeded())
    batch = Batch(torch.randn(4, n_values, generator=seeded(1)), torch.ones(4, n_values) > 0)
    sizes = torch.tensor([1, 2, 2, 2]) * step
    result = network(batch, Context(size=sizes, rng=seeded()))
    assert result.code.z.shape == (4, 2 * step)
    assert not result.code.z[0, step:].any()
    loss = whole.objective()(network, result, Batch(batch.x), None)
    loss.total.backward()
    for name, parameter in network.named_parameters():
        if "threshold" not in name:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("bottleneck", ["plain", "gaussian", "topk"])
def test_leading_maps_decode_as_by_a_network_of_their_length(bottleneck: str) -> None:
    whole = composition((6, 5, 2), bottleneck=bottleneck)
    step = whole.n_places
    longer = whole.network(3 * step, seeded())
    shorter = whole.empty_network(2 * step)
    shorter.copy_prefix(longer)
    z = torch.randn(5, 3 * step, generator=seeded(2)).relu()
    told = Context(size=torch.full((5,), 2 * step))
    z[:, 2 * step :] = 0.0
    alone = shorter.decoder(z[:, : 2 * step], Context())
    torch.testing.assert_close(alone, longer.decoder(z, told))
    if bottleneck != "topk":
        rows = Batch(torch.randn(5, 60, generator=seeded(3)))
        codes = shorter.encode(rows, Context()).z
        torch.testing.assert_close(codes, longer.encode(rows, Context()).z[:, : 2 * step])


def test_a_number_tells_of_what_is_around_its_place() -> None:
    whole = composition((32, 32), architecture="conv:code=spatial,blocks=0")
    network = whole.network(whole.n_places, seeded())
    rows = torch.randn(1, 32, 32, generator=seeded(1))
    changed = rows.clone()
    changed[:, :4, :4] += 1.0
    moved = rows.roll((4, 4), (1, 2))
    codes = [
        network.encode(Batch(x.flatten(1)), Context()).z.unflatten(1, (-1, 8, 8))[0, 0].detach()
        for x in (rows, changed, moved)
    ]
    assert not torch.allclose(codes[1][0, 0], codes[0][0, 0])
    assert torch.equal(codes[1][4:, 4:], codes[0][4:, 4:])
    torch.testing.assert_close(codes[2][4:6, 4:6], codes[0][3:5, 3:5])


def pca(rows: torch.Tensor, count: int) -> LinearStart:
    _, deviations, components = torch.linalg.svd(rows, full_matrices=False)
    return LinearStart(components[:count], deviations[:count] / len(rows) ** 0.5)


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian:scale=learned"])
def test_it_starts_as_pca_of_patches(likelihood: str) -> None:
    rows = torch.randn(200, 96, generator=seeded(4), dtype=torch.float64)
    rows = rows.view(-1, 12, 8).cumsum(1).flatten(1)
    whole = composition((12, 8), likelihood=likelihood)
    places, (height, width) = whole.n_places, whole.code_size
    patches = rows.view(-1, height, 12 // height, width, 8 // width).transpose(2, 3)
    patches = patches.reshape(200 * places, -1)
    start = pca(rows, 96)
    for n_maps in (2, patches.shape[1]):
        network = whole.network(n_maps * places, seeded()).double()
        count = n_maps * places
        network.start_linear(LinearStart(start.components[:count], start.deviations[:count]))
        back = network(Batch(rows), Context()).params[:, 0].detach()
        components = torch.linalg.svd(patches, full_matrices=False)[2][:n_maps]
        expected = (patches - patches @ components.T @ components).square().sum() / 200
        found = (back - rows).square().sum() / 200
        torch.testing.assert_close(found, expected, rtol=0.02, atol=1e-6)


def test_large_pictures_have_patches_of_lower_resolution() -> None:
    shape = (96, 80)
    part = Conv(shape, (4, 8, 8, 8), code="spatial")
    assert part.code_size == (6, 5)
    assert part.n_linear // part.n_places <= 4096 // part.n_places
    whole = composition(shape, hidden_layer_sizes=(4, 8, 8, 8))
    smooth = torch.outer(torch.linspace(-1, 1, 96), torch.linspace(1, 2, 80)).flatten().double()
    components = torch.zeros(part.n_places * 3, 96 * 80).double()
    components[0] = smooth / smooth.norm()
    network = whole.network(part.n_places * 3, seeded()).double()
    network.start_linear(LinearStart(components, torch.ones(len(components)).double()))
    rows = smooth * torch.tensor([[2.0], [-1.0]]).double()
    back = network(Batch(rows), Context()).params[:, 0].detach()
    assert float((back - rows).square().mean() / rows.square().mean()) < 1e-2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code": "flat"}, "code='flat' is not known; choose from vector, spatial"),
        ({"code": "spatial", "dense": 8}, "a spatial code has no dense layers"),
    ],
)
def test_options_that_are_not_allowed(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Conv((8, 8), (4,), **options)


# Fitted.


@pytest.fixture(scope="module")
def textures() -> np.ndarray:
    """Pictures that are alike everywhere, which PCA needs many components for."""
    noise = np.random.default_rng(0).normal(size=(300, 18, 18))
    smooth = sum(noise[:, a : a + 16, b : b + 16] for a in range(2) for b in range(2))
    return np.clip(np.rint(128 + 16 * smooth), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def model(textures: np.ndarray) -> Autoencoder:
    return Autoencoder(
        64,
        architecture="conv:code=spatial",
        hidden_layer_sizes=(4, 8),
        max_epochs=2,
        random_state=0,
    ).fit(textures)


def test_codes_are_small_pictures(model: Autoencoder, textures: np.ndarray, tmp_path: Path) -> None:
    assert model.gate_ == 1
    assert model.code_shape_ == (4, 4, 4)
    assert model.architecture_ == "conv:code=spatial"
    assert model.curve_["size"].tolist() == [16, 32, 48, 64]
    codes = model.encode(textures)
    assert codes.shape == (300, 64)
    maps = codes.reshape(-1, *model.code_shape_)
    means = textures.reshape(-1, 4, 4, 4, 4).mean((2, 4))
    alike = [abs(np.corrcoef(maps[:, 0, a, b], means[:, a, b])[0, 1]) for a, b in np.ndindex(4, 4)]
    assert min(alike) > 0.8
    model.save(tmp_path / "model")
    loaded = autoencode.load(tmp_path / "model")
    assert loaded.code_shape_ == (4, 4, 4)
    assert np.array_equal(loaded.decode(codes), model.decode(codes))
    assert loaded.truncate(16).encode(textures).shape == (300, 16)


@pytest.mark.parametrize("bottleneck", ["gaussian", "batchtopk"])
def test_other_codes_are_fitted_and_kept(
    bottleneck: str, textures: np.ndarray, tmp_path: Path
) -> None:
    options: Any = {"hidden_layer_sizes": (4, 4), "max_epochs": 1, "random_state": 0}
    options |= {"architecture": "conv:code=spatial", "bottleneck": bottleneck}
    model = Autoencoder(16, corruption="gaussian", **options).fit(textures[:100])
    codes = model.encode(textures[:5])
    assert codes.shape == (5, 16)
    model.save(tmp_path / "model")
    assert np.array_equal(autoencode.load(tmp_path / "model").encode(textures[:5]), codes)


def test_a_searched_length_has_whole_maps(textures: np.ndarray) -> None:
    options: Any = {"hidden_layer_sizes": (4, 4), "max_epochs": 1, "random_state": 0}
    model = Autoencoder(0.5, architecture="conv:code=spatial", **options).fit(textures[:100])
    assert model.n_components_ % 16 == 0


def test_lengths_that_are_no_whole_maps_are_refused(textures: np.ndarray) -> None:
    spatial = Autoencoder(40, architecture="conv:code=spatial", hidden_layer_sizes=(4, 4))
    with pytest.raises(SpecError, match="whole number of maps of 4 x 4 places; choose 32 or 48"):
        spatial.fit(textures)
    with pytest.raises(SpecError, match="choose 16"):
        spatial.set_params(n_components=3).fit(textures)
    with pytest.raises(SpecError, match="has 16 components or a multiple of it, and 9 is the most"):
        spatial.set_params(n_components=0.9).fit(textures[:9])
