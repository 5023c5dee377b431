"""The step written by hand does what autograd does, and is taken only where it does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from autoencode.composition import Composition
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.network import Network
from autoencode.steps import AutogradStep, DenseStep, FlatParameters, choose_step

N_VALUES, N_COMPONENTS = 7, 4
DEPTHS = [(), (12,), (12, 8), (12, 10, 8)]


def composition(**changes: Any) -> Composition:
    choices = {
        "architecture": "mlp",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (12, 8),
        "sample_shape": (N_VALUES,),
        "nested": True,
    }
    return Composition(**(choices | changes))


def drawn(whole: Composition, dtype: torch.dtype = torch.float32) -> Network:
    return whole.network(N_COMPONENTS, torch.Generator().manual_seed(0)).to(dtype)


def normal(*shape: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(mine: torch.Tensor, reference: torch.Tensor) -> float:
    return float((mine - reference).abs().max() / reference.abs().max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("sizes", ["all", "cut", "not told"])
@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize("hidden", DEPTHS, ids=len)
def test_gradients_and_terms_equal_autograds(
    hidden: tuple[int, ...], activation: str, sizes: str, weighted: bool, dtype: torch.dtype
) -> None:
    whole = composition(
        architecture=f"mlp:activation={activation}",
        hidden_layer_sizes=hidden,
        nested=sizes != "not told",
    )
    steps = []
    for kind in (DenseStep, AutogradStep):
        network = drawn(whole, dtype)
        flat = FlatParameters(network)
        steps.append(kind(network, whole.objective(), flat))
    dense, autograd = steps
    assert dense.terms == autograd.terms == ("reconstruction", "code")
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    kept = torch.tensor([1, 4, 2, 3, 4, 1, 2, 2, 3, 4, 4, 1])
    # Different numbers of rows in turn, and the first again: buffers are used twice.
    for turn, rows in enumerate((5, 12, 1, 5)):
        batch = Batch(normal(rows, N_VALUES, seed=turn, dtype=dtype))
        target = Batch(normal(rows, N_VALUES, seed=turn + 10, dtype=dtype))
        weights = normal(rows, seed=turn + 20, dtype=dtype).abs() if weighted else None
        context = Context(size=kept[:rows] if sizes == "cut" else None)
        terms = [step(batch, target, context, weights).clone() for step in steps]
        torch.testing.assert_close(*terms, rtol=tolerance, atol=0)
        assert float(autograd.flat.gradients.abs().max()) > 0
        assert relative(dense.flat.gradients, autograd.flat.gradients) <= tolerance


def test_the_size_may_change_from_step_to_step() -> None:
    whole = composition()
    steps = [
        kind(network := drawn(whole), whole.objective(), FlatParameters(network))
        for kind in (DenseStep, AutogradStep)
    ]
    batch = Batch(normal(3, N_VALUES, seed=0, dtype=torch.float32))
    first, second = torch.tensor([1, 2, 3]), torch.tensor([4, 4, 1])
    for size in (first, None, first, second, second, None):
        terms = [step(batch, batch, Context(size=size), None).clone() for step in steps]
        torch.testing.assert_close(*terms)
        assert relative(steps[0].flat.gradients, steps[1].flat.gradients) <= 1e-5


def test_a_step_leaves_rows_target_and_weights_as_they_were() -> None:
    whole = composition()
    network = drawn(whole)
    flat = FlatParameters(network)
    step = choose_step(network, whole.objective(), flat)
    given = [normal(3, N_VALUES, seed=s, dtype=torch.float32) for s in (0, 1)]
    weights = torch.tensor([0.5, 1.0, 2.0])
    before = [tensor.clone() for tensor in (*given, weights, flat.values)]
    step(Batch(given[0]), Batch(given[1]), Context(size=torch.tensor([1, 2, 4])), weights)
    for tensor, copy in zip((*given, weights, flat.values), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, DenseStep),
        ({"nested": False}, DenseStep),
        ({"hidden_layer_sizes": ()}, DenseStep),
        ({"architecture": "mlp:activation=relu"}, DenseStep),
        ({"corruption": "mask"}, DenseStep),
        ({"likelihood": "gaussian:scale=1"}, DenseStep),
        ({"likelihood": "gaussian:scale=0.5"}, AutogradStep),
        ({"likelihood": "huber"}, AutogradStep),
        ({"penalties": ("l1",)}, AutogradStep),
        ({"penalties": ("contractive",)}, AutogradStep),
        ({"likelihood": "huber", "penalties": ("l1", "contractive")}, AutogradStep),
    ],
)
def test_the_dense_step_is_taken_only_where_it_is_exact(changes: Any, kind: type) -> None:
    whole = composition(**changes)
    network = drawn(whole)
    assert type(choose_step(network, whole.objective(), FlatParameters(network))) is kind


def test_parts_from_outside_are_left_to_autograd(outside: str) -> None:
    for axis, name in (("likelihood", "Narrow"), ("bottleneck", "Doubled")):
        whole = composition(**{axis: f"{outside}:{name}"})
        network = drawn(whole)
        step = choose_step(network, whole.objective(), FlatParameters(network))
        assert type(step) is AutogradStep


def test_flat_parameters_are_the_modules_own() -> None:
    network = drawn(composition())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flat = FlatParameters(network)
    assert len(flat.values) == sum(value.numel() for value in before.values())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    flat.values.zero_()
    assert all(not value.any() for value in network.state_dict().values())


def test_decay_spares_biases_and_the_linear_path() -> None:
    network = drawn(composition())
    network.start_linear(LinearStart(torch.eye(N_COMPONENTS, N_VALUES), torch.ones(N_COMPONENTS)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flat = FlatParameters(network)
    optimizer = flat.optimizer(0.1, 0.5)
    for _ in range(3):
        optimizer.step()
    spared = {name for name in before if "linear_path" in name or name.endswith("bias")}
    for (name, value), old in itertools.zip_longest(network.state_dict().items(), before.values()):
        if name in spared:
            assert torch.equal(value, old)
        elif old.any():
            torch.testing.assert_close(value, old * 0.95**3)
    assert 0 < len(spared) < len(before)
