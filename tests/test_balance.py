"""Weights that make columns count alike, and where links start."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autoencode.composition import Composition, linear_start
from autoencode.interfaces import Batch, Context
from autoencode.layout import Layout, Segment
from autoencode.likelihoods import LIKELIHOODS
from autoencode.preprocess.principal import principal_components
from autoencode.preprocess.scaling import fit_scaling

# Balance.


def columns_of_all_sorts(n_rows: int = 4000, levels: int = 50) -> tuple[Layout, np.ndarray]:
    """Make a number, 2 levels, many levels, a yes or no, and a column of two segments."""
    rng = np.random.default_rng(0)
    widths = (("gaussian", 1), ("categorical", 2), ("categorical", levels), ("bernoulli", 1))
    segments, pieces, start = [], [], 0
    for column, (kind, width) in enumerate((*widths, ("gaussian", 1), ("gaussian", 2))):
        piece = rng.normal(size=(n_rows, width)) * 7
        if kind == "categorical":
            piece = np.eye(width)[rng.choice(width, n_rows, p=rng.dirichlet(np.full(width, 4.0)))]
        elif kind == "bernoulli":
            piece = (rng.random((n_rows, 1)) < 0.1).astype(float)
        segments.append(Segment(kind, min(column, 4), start, start + width))
        pieces.append(piece)
        start += width
    return Layout(start, tuple(segments)), np.concatenate(pieces, 1)


def test_columns_start_with_equal_shares_of_the_loss() -> None:
    layout, rows = columns_of_all_sorts()
    scaling = fit_scaling([rows], "standard", layout)
    likelihood = LIKELIHOODS["mixed"](layout).double()
    likelihood.set_units(torch.from_numpy(scaling.center), torch.from_numpy(scaling.scale))
    x = torch.from_numpy(scaling.forward(rows))
    # Before anything is learned, every row is expected to be like all of them.
    params = likelihood.link_start().offset.expand(len(x), 1, -1)
    nats = likelihood.nll(params, x).detach()
    weighed = (nats * likelihood.balance()).mean(0)
    by_column = torch.zeros(5).double().index_add(0, layout.columns(), weighed)
    # What a normal density costs beyond its squares is no error.
    constants = torch.tensor([1, 0, 0, 0, 3]) * 0.5 * math.log(2 * math.pi)
    shares = (by_column - constants).tolist()
    assert shares == pytest.approx([0.5] * 5, rel=2e-3)
    # Without weights, 50 levels would cost several times what 2 levels do.
    plain = torch.zeros(5).double().index_add(0, layout.columns(), nats.mean(0))
    assert float(plain[2] / plain[1]) > 4


def test_counts_weigh_as_much_as_squares_around_their_mean() -> None:
    likelihood = LIKELIHOODS["count"](Layout(3)).double()
    center, unit = torch.log1p(torch.tensor([0.5, 5.0, 300.0])), torch.tensor([0.3, 1.0, 2.0])
    likelihood.set_units(center, unit)
    with torch.no_grad():
        likelihood.log_size.copy_(torch.tensor([0.0, 1.0, -1.0]))
    x = torch.zeros(1, 3).double()

    def total(params: torch.Tensor) -> torch.Tensor:
        return (likelihood.nll(params[None, None], x) * likelihood.balance()).sum()

    curvature = torch.autograd.functional.hessian(total, torch.zeros(3).double())
    torch.testing.assert_close(curvature, torch.eye(3).double(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "count", "mixed"])
def test_a_level_that_never_occurs_makes_no_infinite_weight(kind: str) -> None:
    layout = columns_of_all_sorts(2)[0] if kind == "mixed" else Layout(4)
    likelihood = LIKELIHOODS[kind](layout)
    likelihood.set_units(torch.zeros(layout.n_values), torch.ones(layout.n_values))
    line = likelihood.link_start()
    values = [likelihood.balance()] if line is None else [likelihood.balance(), *line]
    for value in values:
        assert bool(value.isfinite().all())


# Where links start.


def test_a_started_network_is_pca_to_first_order() -> None:
    layout, rows = columns_of_all_sorts(800, levels=4)
    scaling = fit_scaling([rows], "standard", layout)
    scaled = scaling.forward(rows)
    n_values = layout.n_values
    principal = principal_components(lambda: iter([scaled]), len(scaled), n_values, 6, 0)
    network = Composition(
        "mlp",
        "plain",
        "none",
        "mixed",
        (),
        (8,),
        (n_values,),
        nested=True,
        segments=layout.segments,
    ).network(6, torch.Generator().manual_seed(0))
    network.double().likelihood.set_units(*map(torch.from_numpy, (scaling.center, scaling.scale)))
    network.start_linear(linear_start(principal))
    x = torch.from_numpy(scaled)
    projected = torch.from_numpy(scaled @ principal.components.T @ principal.components)
    errors = []
    for share in (1e-2, 1e-3):
        params = network(Batch(share * x), Context()).params
        left = network.likelihood.mean(params).detach() - share * projected
        errors.append(float(left.abs().max()))
    assert float(network.likelihood.link_start().gain.max()) < 9.9
    assert 0 < errors[0] < 5e-3 * float(projected.abs().max())
    assert errors[1] < 0.02 * errors[0]


def test_a_start_is_never_steeper_than_ten() -> None:
    layout, rows = columns_of_all_sorts()
    scaling = fit_scaling([rows], "standard", layout)
    likelihood = LIKELIHOODS["mixed"](layout).double()
    likelihood.set_units(*map(torch.from_numpy, (scaling.center, scaling.scale)))
    gain = likelihood.link_start().gain
    assert float(gain.max()) == 10
    assert float(gain[0]) == 1


def test_scaling_gives_values_of_a_column_one_variance() -> None:
    layout, rows = columns_of_all_sorts()
    scaled = fit_scaling([rows], "standard", layout).forward(rows)
    by_column = np.bincount(layout.columns().numpy(), scaled.var(0))
    np.testing.assert_allclose(by_column, 1.0)
    for part in layout.segments:
        width = slice(part.start, part.stop)
        assert len(set(fit_scaling([rows], "standard", layout).scale[width])) == 1
    # Numbers without a layout are scaled one by one.
    np.testing.assert_allclose(fit_scaling([rows], "standard").forward(rows).var(0), 1.0)
