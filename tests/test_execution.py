"""Parts of a batch, and lower precision: by fixed rules, with the same result."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autoencode import Autoencoder, ConvolutionalAutoencoder, execution, numerics
from autoencode.architectures.convolution import in_bfloat16
from autoencode.autograd_step import AutogradStep, is_by_row, row_activations
from autoencode.composition import Composition
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.network import Network

SIDE, LENGTH = 8, 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def composition(**changes: Any) -> Composition:
    choices = {
        "architecture": "conv",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (8,),
        "sample_shape": (SIDE, SIDE),
        "nested": True,
    }
    return Composition(**choices | changes)


def rows(count: int, seed: int = 1) -> Batch:
    return Batch(torch.randn(count, SIDE * SIDE, generator=seeded(seed)).double())


@pytest.mark.parametrize("bottleneck", ["plain", "gaussian"])
@pytest.mark.parametrize("changes", [{}, {"penalties": ("l2:weight=0.1",)}, {"masked": True}])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(
    bottleneck: str, changes: dict[str, Any]
) -> None:
    whole = composition(bottleneck=bottleneck, **changes)
    found = []
    batch, target, weights = rows(11), rows(11, 2), torch.rand(11, generator=seeded(3)).double()
    batch = batch._replace(observed=batch.x > -1 if whole.masked else None)
    context = Context(size=torch.arange(11) % LENGTH + 1, cost_weight=0.5)
    for most in (None, 4, 1):
        network = whole.network(LENGTH, seeded()).double()
        flat = FlatParameters(network)
        step = AutogradStep(network, whole.objective(), flat, most)
        calls = []
        network.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        found.append((step(batch, target, context, weights), flat.gradients.clone()))
        assert len(calls) == {None: 1, 4: 3, 1: 11}[most]
    for terms, gradient in found[1:]:
        torch.testing.assert_close(terms, found[0][0], rtol=1e-9, atol=1e-12)
        assert float((gradient - found[0][1]).norm() / found[0][1].norm()) < 1e-9


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"bottleneck": "gaussian", "penalties": ("l2", "contractive")}, True),
        ({"bottleneck": "gaussian:free_bits=0.1"}, False),
        ({"bottleneck": "batchtopk"}, False),
        ({"penalties": ("kl_sparsity",)}, False),
        ({"penalties": ("steady",)}, False),
    ],
)
def test_losses_that_look_at_a_whole_batch_are_known(
    changes: dict[str, Any], *, expected: bool
) -> None:
    whole = composition(**changes)
    network = whole.network(LENGTH, seeded())
    assert is_by_row(network, whole.objective()) is expected


def test_activations_are_counted_for_each_row() -> None:
    sizes = [(SIDE, SIDE), (2 * SIDE, 2 * SIDE)]
    small, large = (
        row_activations(composition(sample_shape=shape).network(LENGTH, seeded()))
        for shape in sizes
    )
    # The first layer's four maps, at least, and not much more than all that is computed.
    assert 4 * SIDE**2 * 4 < small < 400 * SIDE**2 * 4
    assert 3.0 < large / small < 4.0  # four times the pixels, beside dense layers
    double = row_activations(composition().network(LENGTH, seeded()).double())
    assert double == pytest.approx(2 * small, rel=0.1)


def test_convolutions_in_bfloat16_are_close_and_only_within_the_block() -> None:
    network = composition().network(LENGTH, seeded())
    network.requires_grad_(False)
    batch = Batch(rows(6).x.float())
    exact = network(batch, Context()).params
    with in_bfloat16(network):
        rough = network(batch, Context()).params
    assert rough.dtype == torch.float32
    difference = float((rough - exact).norm() / exact.norm())
    assert 1e-5 < difference < 2e-2
    assert torch.equal(network(batch, Context()).params, exact)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({}, False), ({"amx_bf16": True}, True), ({"avx512_bf16": True, "amx_bf16": False}, True)],
)
def test_the_processor_says_whether_bfloat16_is_fast(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], *, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert numerics.has_fast_bfloat16(torch.device("cpu")) is expected
    assert not numerics.has_fast_bfloat16(torch.device("meta"))


# Fitted.


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.rint(load_digits().images[:320] * (255 / 16)).astype(np.uint8)


def fitted(pictures: np.ndarray, **options: Any) -> Autoencoder:
    options = {"augmentation": "none", "nested": False, "random_state": 0, **options}
    return ConvolutionalAutoencoder(
        LENGTH, hidden_layer_sizes=(4,), batch_size=64, max_epochs=2, **options
    ).fit(pictures)


@pytest.fixture(scope="module")
def plain(pictures: np.ndarray) -> Autoencoder:
    return fitted(pictures)


def test_a_fit_with_little_memory_is_the_same(
    pictures: np.ndarray, plain: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    forward = Network.forward

    def noted(self: Network, batch: Batch, context: Context) -> Any:
        if torch.is_grad_enabled():
            lengths.append(len(batch.x))
        return forward(self, batch, context)

    monkeypatch.setattr(Network, "forward", noted)
    monkeypatch.setattr(execution, "MOST_ACTIVATIONS", 500_000)
    parts = fitted(pictures)
    assert 2 < max(lengths) < 64
    np.testing.assert_allclose(parts.history_["held_out"], plain.history_["held_out"], rtol=1e-4)
    np.testing.assert_allclose(
        parts.history_["train_reconstruction"], plain.history_["train_reconstruction"], rtol=1e-4
    )


def test_a_fit_says_in_which_type_it_was_trained(
    pictures: np.ndarray, plain: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    types: set[tuple[bool, torch.dtype]] = set()

    forward = torch.nn.Conv2d.forward

    def noted(self: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        result = forward(self, x)
        types.add((torch.is_inference_mode_enabled(), result.dtype))
        return result

    monkeypatch.setattr(torch.nn.Conv2d, "forward", noted)
    monkeypatch.setattr(execution, "has_fast_bfloat16", lambda _: True)
    rough, asked = fitted(pictures), fitted(pictures, dtype="float32")
    # Not where errors are measured.
    assert (False, torch.bfloat16) in types
    assert (True, torch.float32) in types
    assert (True, torch.bfloat16) not in types
    assert plain.dtype_ == asked.dtype_ == "float32"
    assert rough.dtype_ == "float32, convolutions in bfloat16"
    assert asked.history_["held_out"] == plain.history_["held_out"]
    assert rough.history_["held_out"] != plain.history_["held_out"]
    np.testing.assert_allclose(rough.history_["held_out"], plain.history_["held_out"], rtol=0.02)
