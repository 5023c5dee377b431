"""The step written by hand does what autograd does, and is taken only where it does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from autoencode.composition import Composition
from autoencode.flat_parameters import FlatParameters, FusedAdamW
from autoencode.guess import guessed, rescaled
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.layout import Segment
from autoencode.network import Network
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.shrinking import Shrink
from autoencode.steps import AutogradStep, DenseStep, choose_step

N_VALUES, N_COMPONENTS = 7, 4
DEPTHS = [(), (12,), (12, 8), (12, 10, 8)]
CENTER, UNIT = 0.3, 0.5
SEGMENTS = (
    Segment("gaussian", 0, 0, 1),
    Segment("categorical", 1, 1, 4),
    Segment("count", 2, 4, 5),
    Segment("gaussian", 3, 5, 6),
    Segment("bernoulli", 4, 6, 7),
)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("holes", ["none", "in target", "in both"])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "likelihood", ["mixed", "mixed:numbers=huber", "gaussian:scale=learned", "gaussian", "count"]
)
def test_tables_with_holes_have_autograds_gradients_too(
    likelihood: str, masked: bool, holes: str, dtype: torch.dtype
) -> None:
    segments = SEGMENTS if likelihood.startswith("mixed") else ()
    whole = composition(likelihood=likelihood, masked=masked, segments=segments)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    steps = []
    for kind in (DenseStep, AutogradStep):
        network = drawn(whole, dtype)
        network.likelihood.set_units(torch.full((7,), CENTER), torch.full((7,), UNIT))
        network.fill = Fill(torch.eye(7, dtype=dtype) + 0.1, network.likelihood.layout)
        steps.append(kind(network, whole.objective(), FlatParameters(network)))
    dense, autograd = steps
    columns = network.likelihood.layout.columns()
    for turn, rows in enumerate((5, 12, 5)):
        seen = normal(rows, 7, seed=turn, dtype=dtype)[:, columns] > -1
        shown = seen & (normal(rows, 7, seed=turn + 5, dtype=dtype)[:, columns] > -0.5)
        x = normal(rows, N_VALUES, seed=turn + 10, dtype=dtype)
        levels = torch.nn.functional.one_hot(x[:, 1:4].argmax(1), 3)
        x[:, 1:4] = (levels - CENTER) / UNIT
        batch = Batch(torch.where(shown, x, 0.0), shown) if holes == "in both" else Batch(x)
        target = Batch(x) if holes == "none" else Batch(torch.where(seen, x, 0.0), seen)
        weights = normal(rows, seed=turn + 20, dtype=dtype).abs() if turn else None
        size = torch.randint(1, N_COMPONENTS + 1, (rows,), generator=torch.Generator())
        # As in training: what is missing is filled in once, before the step.
        batch = guessed(network, batch)
        assert batch.told is not None
        assert bool(batch.told.any()) == (masked and holes == "in both")
        terms = [step(batch, target, Context(size=size), weights).clone() for step in steps]
        torch.testing.assert_close(*terms, rtol=tolerance, atol=0)
        assert relative(dense.flat.gradients, autograd.flat.gradients) <= tolerance
        for parameter in network.likelihood.parameters():
            assert float(parameter.grad.abs().max()) > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("shrinks", [False, True])
@pytest.mark.parametrize("likelihood", ["gaussian", "huber", "bernoulli"])
def test_noisy_rows_have_autograds_gradients_too(
    likelihood: str, shrinks: bool, holes: bool, dtype: torch.dtype
) -> None:
    whole = composition(likelihood=likelihood, masked=holes, noisy=True)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    steps = []
    for kind in (DenseStep, AutogradStep):
        network = drawn(whole, dtype)
        network.fill = Fill(torch.eye(7, dtype=dtype) + 0.1)
        network.shrink = Shrink(torch.eye(7, dtype=dtype) + 0.1) if shrinks else None
        steps.append(kind(network, whole.objective(), FlatParameters(network)))
    dense, autograd = steps
    for turn, rows in enumerate((5, 12, 5)):
        x = normal(rows, N_VALUES, seed=turn, dtype=dtype)
        observed = normal(rows, N_VALUES, seed=turn + 5, dtype=dtype) > -0.5 if holes else None
        level = torch.stack([torch.linspace(0.5, 1, rows), torch.linspace(0.8, 0, rows)], 1)
        batch = guessed(network, Batch(x, observed, None, level.to(dtype)))
        target = Batch((normal(rows, N_VALUES, seed=turn + 10, dtype=dtype) > 0).to(dtype))
        retargeted = rescaled(network, target, batch)
        assert (retargeted is target) == (likelihood == "bernoulli")
        size = torch.randint(1, N_COMPONENTS + 1, (rows,), generator=torch.Generator())
        terms = [step(batch, retargeted, Context(size=size), None).clone() for step in steps]
        torch.testing.assert_close(*terms, rtol=tolerance, atol=0)
        assert float(autograd.flat.gradients.abs().max()) > 0
        assert relative(dense.flat.gradients, autograd.flat.gradients) <= tolerance


def test_levels_are_told_to_the_encoder() -> None:
    whole = composition(noisy=True)
    network = drawn(whole)
    step = choose_step([network], whole.objective(), FlatParameters(network))
    assert type(step) is DenseStep
    x = normal(4, N_VALUES, seed=0, dtype=torch.float32)
    terms = []
    for variance in (None, 0.0, 0.5):
        level = None if variance is None else torch.tensor([[1.0, variance]]).expand(4, 2)
        batch = guessed(network, Batch(x, None, None, level))
        terms.append(step(batch, Batch(x), Context(), None).clone())
    # Rows of which nothing is said are taken to be without noise.
    assert torch.equal(terms[0], terms[1])
    assert not torch.equal(terms[1], terms[2])


def test_the_mask_is_told_to_the_encoder() -> None:
    whole = composition(masked=True)
    network = drawn(whole)
    step = choose_step([network], whole.objective(), FlatParameters(network))
    x = normal(4, N_VALUES, seed=0, dtype=torch.float32)
    nothing, first = torch.zeros(4, 7), torch.eye(7)[:1].expand(4, 7)
    context, observed = Context(), torch.ones(4, 7, dtype=torch.bool)
    terms = [
        step(Batch(x, observed, mask), Batch(x), context, None).clone()
        for mask in (None, nothing, first)
    ]
    assert torch.equal(terms[0], terms[1])
    assert not torch.equal(terms[1], terms[2])


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
    step = choose_step([network], whole.objective(), flat)
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
        ({"likelihood": "gaussian:scale=0.5"}, DenseStep),
        ({"likelihood": "gaussian:scale=learned"}, DenseStep),
        ({"likelihood": "huber"}, DenseStep),
        ({"likelihood": "mixed"}, DenseStep),
        ({"corruption": "hide", "masked": True}, DenseStep),
        ({"corruption": "restoring", "masked": True, "noisy": True}, DenseStep),
        ({"penalties": ("l2",)}, DenseStep),
        ({"masked": True, "informative": True}, AutogradStep),
        ({"penalties": ("l1",)}, AutogradStep),
        ({"penalties": ("contractive",)}, AutogradStep),
        ({"likelihood": "huber", "penalties": ("l1", "contractive")}, AutogradStep),
    ],
)
def test_the_dense_step_is_taken_only_where_it_is_exact(changes: Any, kind: type) -> None:
    whole = composition(**changes)
    network = drawn(whole)
    assert type(choose_step([network], whole.objective(), FlatParameters(network))) is kind


def test_parts_from_outside_are_left_to_autograd(outside: str) -> None:
    whole = composition(bottleneck=f"{outside}:Doubled")
    network = drawn(whole)
    step = choose_step([network], whole.objective(), FlatParameters(network))
    assert type(step) is AutogradStep


def test_flat_parameters_are_the_modules_own() -> None:
    network = drawn(composition())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flat = FlatParameters(network)
    assert len(flat.values) == sum(value.numel() for value in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    flat.values.zero_()
    assert all(not value.any() for value in network.parameters())


def test_decay_spares_biases_and_the_linear_path() -> None:
    network = drawn(composition())
    network.start_linear(LinearStart(torch.eye(N_COMPONENTS, N_VALUES), torch.ones(N_COMPONENTS)))
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    flat = FlatParameters(network)
    optimizer = flat.optimizer(0.1, 0.5)
    for _ in range(3):
        optimizer.step()
    spared = {name for name in before if "linear_path" in name or name.endswith("bias")}
    for (name, value), old in itertools.zip_longest(network.named_parameters(), before.values()):
        if name in spared:
            assert torch.equal(value, old)
        elif old.any():
            torch.testing.assert_close(value, old * 0.95**3)
    assert 0 < len(spared) < len(before)


def test_updates_are_those_of_pytorch() -> None:
    ours, theirs = (FlatParameters(drawn(composition())) for _ in range(2))
    assert torch.equal(ours.values, theirs.values)
    assert 0 < ours.n_decayed < len(ours.values)
    groups = [
        {"params": [group], "weight_decay": decay}
        for group, decay in zip(theirs.groups, (0.5, 0.0), strict=True)
    ]
    optimizer = ours.optimizer(0.1, 0.5)
    assert isinstance(optimizer, FusedAdamW)
    reference = torch.optim.AdamW(groups, lr=0.1, betas=(0.9, 0.99), fused=True)
    rng = torch.Generator().manual_seed(3)
    for rate in (0.1, 0.03, 0.2, 0.01):
        for flat, made in ((ours, optimizer), (theirs, reference)):
            flat.gradients.normal_(generator=rng.manual_seed(int(1000 * rate)))
            for group in made.param_groups:
                group["lr"] = rate
            made.step()
        assert torch.equal(ours.values, theirs.values)
    kept = optimizer.state_dict()["state"]
    for place, parts in reference.state_dict()["state"].items():
        assert {name: value.tolist() for name, value in kept[place].items()} == {
            name: value.tolist() for name, value in parts.items()
        }
