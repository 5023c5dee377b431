"""The step of many draws: its bound is that of all of them, its gradient right on average."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autoencode.composition import Composition
from autoencode.drawn_steps import N_KEPT, ManyDrawsStep, drawn_by, has_many_draws
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import L2
from autoencode.steps import AutogradStep, choose_step

N_VALUES, N_COMPONENTS, DRAWS = 5, 3, 12


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(
    options: str = f"n_samples={DRAWS}", *, nested: bool = False, architecture: str = "mlp"
) -> Network:
    whole = Composition(
        architecture=architecture,
        bottleneck=f"gaussian:{options}",
        corruption="none",
        likelihood="gaussian:scale=learned",
        penalties=(),
        hidden_layer_sizes=(8,),
        sample_shape=(N_VALUES,),
        nested=nested,
    ).network(N_COMPONENTS, seeded())
    rng = seeded(5)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=rng))
    return whole.double()


def rows(count: int = 6) -> Batch:
    return Batch(torch.randn(count, N_VALUES, generator=seeded(1), dtype=torch.float64))


def told(count: int) -> tuple[Context, Tensor]:
    """Return sizes and importances, as nested codes have them."""
    sizes = 1 + torch.arange(count) % N_COMPONENTS
    return Context(size=sizes, rng=seeded(2)), 0.5 + sizes.double() / 2


# Which draws are kept.


def test_each_draw_is_kept_as_often_as_its_share_says() -> None:
    shares = torch.rand(DRAWS, 4, generator=seeded(), dtype=torch.float64).square()
    shares = (shares / shares.sum(0)).repeat(1, 20_000)
    kept = drawn_by(shares, N_KEPT, seeded(1))
    assert kept.shape == (N_KEPT, 80_000)
    counts = torch.zeros_like(shares).scatter_add(0, kept, torch.ones_like(kept).double())
    asked = N_KEPT * shares
    # Evenly spread: never more than one from what is asked ...
    assert bool((counts - asked).abs().max() < 1)
    # ... and exactly that on average, up to chance.
    mean = counts.view(DRAWS, -1, 4).mean(1)
    assert (mean - asked[:, :4]).abs().max() < 5 * 0.5 / math.sqrt(20_000)


def test_the_draw_with_all_the_weight_is_kept_alone() -> None:
    shares = torch.zeros(DRAWS, 2)
    shares[3, 0] = shares[-1, 1] = 1
    kept = drawn_by(shares, N_KEPT, seeded())
    assert kept.t().tolist() == [[3] * N_KEPT, [DRAWS - 1] * N_KEPT]


# What the step computes.


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("options", [f"n_samples={DRAWS}", f"n_samples={DRAWS},posterior=flow"])
def test_the_bound_is_that_of_all_draws(
    options: str, nested: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nested and "flow" in options:
        options = f"n_samples={DRAWS + 1}"  # Codes under a flow are never cut.
    whole = network(options, nested=nested)
    batch = rows()
    totals = []
    for most in (1 << 20, 3 * batch.x.numel(), 1):
        monkeypatch.setattr("autoencode.drawn_steps._MOST_VALUES", most)
        for kind in (AutogradStep, ManyDrawsStep):
            context, weights = told(6) if nested else (Context(rng=seeded(2)), None)
            step = kind(whole, Objective(), FlatParameters(whole))
            totals.append(float(step(batch, batch, context, weights).sum()))
    assert totals == pytest.approx([totals[0]] * 6, rel=1e-12)


@pytest.mark.parametrize("case", ["plain", "flow", "sizes"])
def test_the_gradient_has_the_mean_of_that_of_all_draws(case: str) -> None:
    """Of one row, over many draws: within five standard errors for every weight."""
    count, repeats = 100 if case == "flow" else 300, 30
    options = f"n_samples={DRAWS}" + (",posterior=flow" if case == "flow" else "")
    whole = network(options, nested=case == "sizes")
    one = Batch(rows(1).x.expand(count, -1))
    found = []
    makers: tuple[Callable[..., AutogradStep | ManyDrawsStep], ...] = (AutogradStep, ManyDrawsStep)
    for maker in makers:
        flat = FlatParameters(whole)
        step = maker(whole, Objective(), flat)
        context, weights = told(count) if case == "sizes" else (Context(rng=seeded(3)), None)
        slopes = []
        for _ in range(repeats):
            step(one, one, context, weights)
            slopes.append(flat.gradients.clone())
        found.append(torch.stack(slopes))
    every, few = found
    error = ((every.var(0) + few.var(0)) / repeats).sqrt()
    assert bool(((every.mean(0) - few.mean(0)).abs() <= 5 * error + 1e-12).all())
    assert not torch.allclose(every[0], few[0])
    assert (few.mean(0).abs() > 10 * error).any(), "nothing was told apart from chance"


# Where it is taken.


def test_it_is_taken_where_many_draws_and_nothing_else_are_asked() -> None:
    def taken(whole: Network, objective: Objective | None = None) -> bool:
        objective = Objective() if objective is None else objective
        step = choose_step([whole], objective, FlatParameters(whole))
        assert isinstance(step, ManyDrawsStep) == has_many_draws(whole, objective)
        return isinstance(step, ManyDrawsStep)

    assert taken(network())
    assert not taken(network(f"n_samples={2 * N_KEPT - 1}"))
    assert not taken(network(f"n_samples={DRAWS},free_bits=0.5"))
    assert not taken(network(architecture="mlp:dropout=0.2"))
    assert not taken(network(), Objective([L2(1e-3)]))
