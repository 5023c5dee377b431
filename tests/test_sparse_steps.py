"""The written-out step of dictionaries, against autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autoencode import SparseAutoencoder
from autoencode.composition import Composition
from autoencode.data.arrays import open_array
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.network import Network
from autoencode.preprocess.scaling import Scaling
from autoencode.scaled_rows import Pairs, ScaledRows
from autoencode.sparse_steps import SparseStep, settle
from autoencode.steps import AutogradStep, Step, Together, choose_step

N_VALUES, N_COMPONENTS, N_ROWS = 20, 200, 64


def composition(bottleneck: str, **changes: Any) -> Composition:
    choices = {
        "architecture": "dictionary",
        "bottleneck": bottleneck,
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (),
        "sample_shape": (N_VALUES,),
        "nested": False,
        **changes,
    }
    return Composition(**choices)


def network_of(bottleneck: str, dead: int = 50) -> Network:
    network = composition(bottleneck).network(N_COMPONENTS, torch.Generator().manual_seed(3))
    network.bottleneck.idle[:dead] = 100.0  # type: ignore[index,union-attr]
    return network.double()


def rows(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N_ROWS, N_VALUES, generator=generator, dtype=torch.float64)


def outcome(step: Step, flat: FlatParameters, network: Network, *, sized: bool) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    size = weights = None
    if sized:
        size = torch.randint(1, N_COMPONENTS, (N_ROWS,), generator=generator)
        weights = torch.rand(N_ROWS, generator=generator, dtype=torch.float64)
    target = rows(2) + 0.1 * rows(4)
    terms = step(Batch(rows(2)), Batch(target), Context(size=size, rng=generator), weights)
    state = {name: value.clone() for name, value in network.bottleneck.named_buffers()}
    return {"terms": terms, "gradients": flat.gradients.clone(), **state}


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("dead", [0, 50])
@pytest.mark.parametrize("bottleneck", ["topk:active=5", "batchtopk:active=4.5"])
def test_gradients_terms_and_counters_are_those_of_autograd(
    bottleneck: str, dead: int, sized: bool
) -> None:
    found = []
    for written in (False, True):
        network = network_of(bottleneck, dead)
        flat, objective = FlatParameters(network), composition(bottleneck).objective()
        step: Step = AutogradStep(network, objective, flat)
        if written:
            step = choose_step([network], objective, flat)
            assert isinstance(step, SparseStep)
        found.append(outcome(step, flat, network, sized=sized))
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected, rtol=1e-10, atol=1e-12)
    assert bool(found[1]["terms"][2] > 0) == bool(dead)
    assert float(found[1]["gradients"].abs().max()) > 0


def test_rows_with_missing_values_take_the_other_way() -> None:
    network = network_of("topk:active=5")
    flat, objective = FlatParameters(network), composition("topk:active=5").objective()
    observed = torch.rand(N_ROWS, N_VALUES, generator=torch.Generator().manual_seed(0)) > 0.2
    batch = Batch(rows(2) * observed, observed)
    results = []
    for step in (AutogradStep(network, objective, flat), choose_step([network], objective, flat)):
        network.bottleneck.idle.zero_()  # type: ignore[union-attr,operator]
        terms = step(batch, batch, Context(rng=torch.Generator()), None)
        results.append((terms, flat.gradients.clone()))
    torch.testing.assert_close(results[0], results[1])


def test_parts_that_are_not_to_move_get_no_gradient() -> None:
    network = network_of("topk:active=5")
    network.decoder.requires_grad_(False)
    flat, objective = FlatParameters(network), composition("topk:active=5").objective()
    step = choose_step([network], objective, flat)
    step(Batch(rows(2)), Batch(rows(2)), Context(rng=torch.Generator()), None)
    assert float(network.decoder.parts.grad.abs().max()) == 0  # type: ignore[union-attr]
    assert float(network.bottleneck.projection.linear_path.weight.grad.abs().max()) > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("bottleneck", ["topk:active=5", "jumprelu:active=5"])
def test_several_networks_in_one_step_are_each_alone(bottleneck: str) -> None:
    whole, objective = composition(bottleneck), composition(bottleneck).objective()
    made = [whole.network(N_COMPONENTS, torch.Generator().manual_seed(s)).double() for s in (0, 1)]
    flat = FlatParameters(torch.nn.ModuleList(made))
    step = choose_step(made, objective, flat)
    assert isinstance(step, Together)
    terms = step(Batch(rows(2)), Batch(rows(2)), Context(rng=torch.Generator()), None)
    together = [[p.grad.clone() for p in one.parameters() if p.grad is not None] for one in made]
    alone = []
    for seed, gradients in enumerate(together):
        one = whole.network(N_COMPONENTS, torch.Generator().manual_seed(seed)).double()
        single = choose_step([one], objective, FlatParameters(one))
        alone.append(single(Batch(rows(2)), Batch(rows(2)), Context(rng=torch.Generator()), None))
        expected = [p.grad for p in one.parameters()]
        torch.testing.assert_close(gradients, expected)
    torch.testing.assert_close(terms, torch.stack(alone).mean(0))


def test_parts_have_unit_length_after_they_are_settled() -> None:
    network = network_of("topk:active=5")
    with torch.no_grad():
        network.decoder.parts.mul_(3.0)  # type: ignore[union-attr,operator]
    settle([network])
    lengths = network.decoder.parts.square().sum(1)  # type: ignore[union-attr,operator]
    torch.testing.assert_close(lengths, torch.ones(N_COMPONENTS, dtype=torch.float64))


# Rows that are much longer than others.


def test_extreme_rows_are_shortened_in_training_and_said() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 8))
    X[[17, 300]] *= 1e4
    options: dict[str, Any] = {"n_active": 2, "refine": None, "max_epochs": 4, "random_state": 0}
    with pytest.warns(UserWarning, match="2 rows are more than 10 times as far .* row 17"):
        model = SparseAutoencoder(16, validation_fraction=0.1, **options).fit(X)
    ordinary = np.delete(np.arange(400), [17, 300])
    assert float(np.square(model.components_).sum(1).max()) > 0
    assert np.isfinite(model.reconstruct(X[ordinary])).all()


def test_a_length_limit_changes_long_rows_only() -> None:
    X = np.random.default_rng(0).normal(size=(50, 6))
    X[3] *= 100
    pairs = Pairs(open_array(X))
    scaling = Scaling(np.zeros(6), np.ones(6))
    rows = ScaledRows(pairs, np.arange(50), scaling, torch.float64, torch.device("cpu"))
    limit = 10 * float(np.median(rows.lengths()))
    whole, _ = rows.tensors()
    cut, _ = replace(rows, longest=limit).tensors()
    others = torch.arange(50) != 3
    assert torch.equal(whole[others], cut[others])
    torch.testing.assert_close(cut[3], whole[3] * limit / whole[3].norm())
