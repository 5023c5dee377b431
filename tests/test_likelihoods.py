"""Likelihoods: densities, slopes in closed form, and their mixture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Categorical, NegativeBinomial, Normal

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Likelihood
from autoencode.layout import Layout, Segment
from autoencode.likelihoods import LIKELIHOODS, Gaussian
from autoencode.preprocess.scaling import fit_scaling

# A number, levels of three, a count, a yes or no, levels of two, and a column of two parts.
MIXED = Layout(
    10,
    (
        Segment("gaussian", 0, 0, 1),
        Segment("categorical", 1, 1, 4),
        Segment("count", 2, 4, 5),
        Segment("bernoulli", 3, 5, 6),
        Segment("categorical", 5, 6, 8),
        Segment("gaussian", 6, 8, 9),
        Segment("gaussian", 6, 9, 10),
    ),
)
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian": ("gaussian", {}),
    "gaussian, narrow": ("gaussian", {"scale": 0.5}),
    "gaussian, learned": ("gaussian", {"scale": "learned"}),
    "huber": ("huber", {"delta": 0.3, "scale": 0.5}),
    "huber, learned": ("huber", {"scale": "learned"}),
    "bernoulli": ("bernoulli", {}),
    "categorical": ("categorical", {}),
    "count": ("count", {}),
    "mixed": ("mixed", {}),
    "mixed, huber": ("mixed", {"numbers": "huber"}),
}
REAL = [name for name in SPECS if name.startswith(("gaussian", "huber"))]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raw_rows(layout: Layout, kind: str, count: int) -> np.ndarray:
    """Make rows of what the values are, before scaling."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(count, layout.n_values))
    for part in layout.parts if kind == "mixed" else [Segment(kind, 0, 0, layout.n_values)]:
        where, width = slice(part.start, part.stop), part.stop - part.start
        if part.likelihood == "categorical":
            shares = np.arange(1, width + 1) / np.arange(1, width + 1).sum()
            rows[:, where] = np.eye(width)[rng.choice(width, count, p=shares)]
        elif part.likelihood == "bernoulli":
            rows[:, where] = rng.random((count, width)) < 0.2
        elif part.likelihood == "count":
            rows[:, where] = np.log1p(rng.poisson(3.0, (count, width)))
    return rows


def made(name: str, count: int = 40) -> tuple[Likelihood, torch.Tensor, torch.Tensor]:
    """Make a likelihood that knows its units, parameters and scaled rows, all in float64."""
    kind, options = SPECS[name]
    layout = MIXED if kind == "mixed" else Layout(4)
    rows = raw_rows(layout, kind, count)
    scaling = fit_scaling([rows], "standard", layout)
    likelihood = LIKELIHOODS[kind](layout, **options).double()
    likelihood.set_units(torch.from_numpy(scaling.center), torch.from_numpy(scaling.scale))
    generator = seeded(1)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator).double())
    params = torch.randn(count, 1, layout.n_values, generator=generator).double()
    return likelihood, params, torch.from_numpy(scaling.forward(rows))


# Densities.


@pytest.mark.parametrize("name", REAL)
def test_densities_integrate_to_one_and_samples_follow_them(name: str) -> None:
    kind, options = SPECS[name]
    likelihood = LIKELIHOODS[kind](Layout(1), **options).double()
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.fill_(-0.4)
    generator = seeded(5)
    params = torch.randn(1, likelihood.n_params, 1, generator=generator, dtype=torch.float64)
    x = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    every = params.expand(len(x), -1, -1)
    nats = likelihood.nll(every, x[:, None]).detach()
    assert nats.shape == (len(x), 1)
    density = torch.exp(-nats[:, 0])
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-7)
    mean = float(likelihood.mean(params))
    assert float(torch.trapezoid(density * x, x)) == pytest.approx(mean, abs=1e-7)
    drawn = likelihood.sample(params.expand(100_000, -1, -1), generator).detach()
    assert drawn.shape == (100_000, 1)
    deviation = float(torch.trapezoid(density * (x - mean) ** 2, x)) ** 0.5
    assert float(drawn.mean()) == pytest.approx(mean, abs=5 * deviation / 100_000**0.5)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.03)
    found = np.quantile(drawn.numpy(), [0.01, 0.1, 0.5, 0.9, 0.99])
    cumulated = torch.cumulative_trapezoid(density, x).numpy()
    shares = np.interp(found, x[1:].numpy(), cumulated)
    np.testing.assert_allclose(shares, [0.01, 0.1, 0.5, 0.9, 0.99], atol=0.006)


def test_the_gaussian_equals_torch_distributions() -> None:
    _, params, x = made("gaussian")
    for scale in (1.0, 0.3):
        normal = Normal(params[:, 0], scale)
        found = Gaussian(Layout(4), scale).nll(params, x)
        torch.testing.assert_close(found, -normal.log_prob(x))


def test_huber_is_the_gaussian_in_the_middle_and_linear_beyond() -> None:
    huber = LIKELIHOODS["huber"](Layout(1), delta=2.0)
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0], dtype=torch.float64)[:, None]
    nothing = torch.zeros(5, 1, 1, dtype=torch.float64)
    nats = huber.nll(nothing, x)[:, 0]
    expected = torch.tensor([0.0, 0.5, 2.0, 4.0, 18.0], dtype=torch.float64)
    torch.testing.assert_close(nats - nats[0], expected)
    wide = LIKELIHOODS["huber"](Layout(1), delta=30.0).nll(nothing, x)
    torch.testing.assert_close(wide, Gaussian(Layout(1)).nll(nothing, x))


def units_of(likelihood: Likelihood, x: torch.Tensor) -> torch.Tensor:
    return x * likelihood.unit + likelihood.center


def test_the_bernoulli_equals_torch_distributions() -> None:
    likelihood, params, x = made("bernoulli")
    coin = Bernoulli(logits=params[:, 0])
    torch.testing.assert_close(
        likelihood.nll(params, x), -coin.log_prob(units_of(likelihood, x).round())
    )
    torch.testing.assert_close(units_of(likelihood, likelihood.mean(params)), coin.mean)


def test_the_categorical_equals_torch_distributions() -> None:
    likelihood, params, x = made("categorical")
    levels, choice = units_of(likelihood, x).argmax(1), Categorical(logits=params[:, 0])
    nats = likelihood.nll(params, x)
    torch.testing.assert_close(nats.sum(1), -choice.log_prob(levels))
    # The nats stand where the 1 is.
    others = torch.arange(4) != levels[:, None]
    assert float(nats[others].abs().max()) < 1e-13
    torch.testing.assert_close(units_of(likelihood, likelihood.mean(params)), choice.probs)


def test_the_count_equals_torch_distributions() -> None:
    likelihood, params, x = made("count")
    logarithm = params[:, 0].abs() * likelihood.unit + likelihood.center
    size, mean = likelihood.log_size.detach().exp(), torch.expm1(logarithm)
    counts = torch.expm1(units_of(likelihood, x)).round()
    counted = NegativeBinomial(size.expand_as(mean), logits=(mean / size).log())
    found = likelihood.nll(params.abs(), x).detach()
    torch.testing.assert_close(found, -counted.log_prob(counts), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(units_of(likelihood, likelihood.mean(params.abs())), logarithm)


@pytest.mark.parametrize("low", [-3.0, -0.5, 0.0, 1e-3])
def test_a_count_is_finite_where_fewer_than_none_are_expected(low: float) -> None:
    likelihood, _, x = made("count")
    params = torch.full((40, 1, 4), low, dtype=torch.float64, requires_grad=True)
    likelihood.set_units(torch.zeros(4), torch.ones(4))
    nats = likelihood.nll(params, x.abs())
    nats.sum().backward()
    assert bool(nats.isfinite().all())
    assert bool(params.grad.isfinite().all())


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "count", "mixed"])
def test_samples_are_of_the_right_sort_and_have_the_expected_mean(name: str) -> None:
    likelihood, params, _ = made(name)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.clamp_(0)
    many = params[:1].abs().expand(60_000, -1, -1)
    drawn = units_of(likelihood, likelihood.sample(many, seeded(2))).detach()
    assert torch.equal(units_of(likelihood, likelihood.sample(many, seeded(2))), drawn)
    assert not torch.equal(units_of(likelihood, likelihood.sample(many, seeded(3))), drawn)
    expected = units_of(likelihood, likelihood.mean(many[:1]))[0].detach()
    parts = likelihood.layout.segments or (Segment(name, 0, 0, 4),)
    for part in parts:
        values, mean = drawn[:, part.start : part.stop], expected[part.start : part.stop]
        if part.likelihood == "count":
            values, mean = torch.expm1(values), torch.expm1(mean)
            torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-6)
            assert float(values.min()) >= 0
        elif part.likelihood != "gaussian":
            torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-9)
        if part.likelihood == "categorical":
            assert set(values.sum(1).round().tolist()) == {1.0}
        error = 5 * values.std(0) / 60_000**0.5
        assert bool(((values.mean(0) - mean).abs() <= error).all()), part


# Slopes in closed form.


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("holes", [True, False])
@pytest.mark.parametrize("name", SPECS)
def test_the_closed_slope_is_autograds(
    name: str, holes: bool, weighted: bool, balanced: bool
) -> None:
    likelihood, params, x = made(name)
    columns = likelihood.layout.columns()
    if SPECS[name][0] == "categorical":
        columns = torch.zeros(4, dtype=torch.long)
    observed = None
    if holes:
        observed = (torch.rand(40, int(columns.max()) + 1, generator=seeded(4)) < 0.7)[:, columns]
        x = torch.where(observed, x, 0.0)
    weights = torch.rand(40, generator=seeded(5)).double() if weighted else None
    found, slopes = [], []
    for way in (type(likelihood).gradient, Likelihood.gradient):
        likelihood.zero_grad()
        nats, slope = way(likelihood, params, Batch(x, observed), weights, balanced=balanced)
        own = [parameter.grad.clone() for parameter in likelihood.parameters()]
        found.append(nats)
        slopes.append([slope, *own])
        assert slope.shape == params.shape
        assert not slope.requires_grad
        assert not nats.requires_grad
    torch.testing.assert_close(*found, rtol=1e-12, atol=0)
    for closed, general in zip(*slopes, strict=True):
        assert float(general.abs().max()) > 0
        torch.testing.assert_close(closed, general, rtol=1e-9, atol=1e-11)
    if holes:
        assert float(slopes[0][0][:, 0][~observed].abs().max()) == 0


def test_gradients_of_own_parameters_are_added() -> None:
    for name in ("gaussian, learned", "mixed", "count"):
        likelihood, params, x = made(name)
        totals = []
        for _ in range(2):
            likelihood.gradient(params, Batch(x), None, balanced=False)
            totals.append([parameter.grad.clone() for parameter in likelihood.parameters()])
        for once, twice in zip(*totals, strict=True):
            torch.testing.assert_close(twice, 2 * once)


def test_other_nats_do_not_inherit_a_slope() -> None:
    class Absolute(Gaussian):
        def nll(self, params: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return (params[:, 0] - x).abs()

    class Told(Absolute):
        def gradient(self, *_: Any, **__: Any) -> Any:
            return "its own"

    class Renamed(Gaussian):
        name = "renamed"

    _, params, x = made("gaussian")
    _, slope = Absolute(Layout(4)).gradient(params, Batch(x), None, balanced=True)
    torch.testing.assert_close(slope[:, 0], torch.sign(params[:, 0] - x))
    assert Told(Layout(4)).gradient() == "its own"
    assert Renamed.gradient is Gaussian.gradient


def test_a_learned_scale_at_its_limit_stays_there() -> None:
    likelihood, params, x = made("gaussian, learned")
    with torch.no_grad():
        likelihood.log_scale.copy_(torch.tensor([-10.0, 10.0, 0.0, 0.0]))
    for way in (Gaussian.gradient, Likelihood.gradient):
        likelihood.zero_grad()
        way(likelihood, params, Batch(x), None, balanced=False)
        assert likelihood.log_scale.grad[:2].tolist() == [0, 0]
        assert likelihood.log_scale.grad[2:].abs().min() > 0
    assert likelihood.scales()[:2].tolist() == pytest.approx([1e-3, 1e3])


@pytest.mark.parametrize("balanced", [True, False])
def test_the_best_learned_scale_is_the_root_mean_square_residual(balanced: bool) -> None:
    likelihood, params, x = made("gaussian, learned", 500)
    optimizer = torch.optim.Adam(likelihood.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        likelihood.gradient(params, Batch(x), None, balanced=balanced)
        optimizer.step()
    expected = (params[:, 0] - x).square().mean(0).sqrt()
    torch.testing.assert_close(likelihood.scales().detach(), expected, rtol=1e-3, atol=0)


def test_under_a_learned_scale_the_location_learns_as_under_squared_error() -> None:
    likelihood, params, x = made("gaussian, learned")
    _, slope = likelihood.gradient(params, Batch(x), None, balanced=True)
    torch.testing.assert_close(slope[:, 0], params[:, 0] - x)


# Mixed: each column under its own.


def test_mixed_is_its_parts() -> None:
    likelihood, params, x = made("mixed")
    nats, mean = likelihood.nll(params, x), likelihood.mean(params)
    weights, line = likelihood.balance(), likelihood.link_start()
    scales = dict.fromkeys(("gaussian", "count"), 0)
    for part in MIXED.segments:
        where, width = slice(part.start, part.stop), part.stop - part.start
        learned = {"scale": "learned"} if part.likelihood == "gaussian" else {}
        alone = LIKELIHOODS[part.likelihood](Layout(width), **learned).double()
        alone.set_units(likelihood.center[where], likelihood.unit[where])
        member = likelihood.members[part.likelihood]
        for own, all_of_them in zip(alone.parameters(), member.parameters(), strict=True):
            place = scales[part.likelihood]
            own.data = all_of_them.data[place : place + 1].clone()
            scales[part.likelihood] = place + 1
        torch.testing.assert_close(nats[:, where], alone.nll(params[..., where], x[:, where]))
        torch.testing.assert_close(mean[:, where], alone.mean(params[..., where]))
        expected = alone.balance()
        torch.testing.assert_close(weights[where], expected)
        own_line = alone.link_start()
        torch.testing.assert_close(
            line.gain[where], torch.ones(width).double() if own_line is None else own_line.gain
        )
        torch.testing.assert_close(
            line.offset[where], torch.zeros(width).double() if own_line is None else own_line.offset
        )
    assert scales == {"gaussian": 3, "count": 1}


def test_mixed_of_real_numbers_alone_is_the_gaussian() -> None:
    for numbers in ("gaussian", "huber"):
        mixed = LIKELIHOODS["mixed"](Layout(4), numbers=numbers)
        alone = LIKELIHOODS[numbers](Layout(4), scale="learned")
        _, params, x = made("gaussian")
        torch.testing.assert_close(mixed.nll(params, x), alone.nll(params, x))
    with pytest.raises(SpecError, match="numbers='laplace'; choose from gaussian, huber"):
        LIKELIHOODS["mixed"](Layout(4), numbers="laplace")
