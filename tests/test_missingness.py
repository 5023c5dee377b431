"""Cells missing by their value: closed forms against integration, sampling and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import norm

from autoencode import Autoencoder
from autoencode.composition import Composition
from autoencode.interfaces import Batch, Context
from autoencode.layout import Layout, Segment
from autoencode.missingness import Selection
from autoencode.objective import Objective, hidden_cells

STEEPNESS = 5.0
# Slope, offset and deviation: upper tail, lower tail, none, sharp.
CASES = [(1.0, -0.5, 0.8), (-2.0, 0.3, 1.5), (0.0, -1.0, 0.5), (9.0, -4.0, 0.3)]
EXPECTED = [-1.2, 0.0, 0.7]


def selection_of(slope: float, offset: float, deviation: float, size: int = 1) -> Selection:
    selection = Selection(Layout(size)).double().requires_grad_(False)
    selection.slope.fill_(slope / STEEPNESS)
    selection.offset.fill_(offset)
    selection.log_deviation.fill_(math.log(deviation))
    return selection


def integral(of: object, expected: float, deviation: float) -> float:
    density = norm(expected, deviation).pdf
    ends = expected - 12 * deviation, expected + 12 * deviation
    return float(integrate.quad(lambda x: of(x) * density(x), *ends, epsabs=1e-12, limit=400)[0])


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize(("slope", "offset", "deviation"), CASES)
def test_nats_are_those_of_the_joint_density(
    slope: float, offset: float, deviation: float, expected: float
) -> None:
    selection = selection_of(slope, offset, deviation)
    x = 0.4
    # Three rows: hidden, missing, and shown, of which only the first two cost something.
    values = torch.tensor([[x], [0.0], [x]], dtype=torch.float64)
    target = Batch(values, torch.tensor([[True], [False], [True]]))
    hidden = torch.tensor([[True], [False], [False]])
    means = torch.full((3, 1), expected, dtype=torch.float64)
    nats = selection.nll(means, target, hidden)[:, 0].tolist()
    seen = norm.pdf(x, expected, deviation) * norm.cdf(-(slope * x + offset))
    lost = integral(lambda x: norm.cdf(slope * x + offset), expected, deviation)
    # Missing cells weigh as much as the half of the known ones that is hidden; all nats of
    # a column are multiplied by its variance.
    assert nats[0] == pytest.approx(-math.log(seen) * deviation**2, rel=1e-9)
    assert nats[1] == pytest.approx(-0.5 * math.log(lost) * deviation**2, rel=1e-7)
    assert nats[2] == 0


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize(("slope", "offset", "deviation"), CASES)
def test_means_are_those_of_the_joint_density(
    slope: float, offset: float, deviation: float, expected: float
) -> None:
    selection = selection_of(slope, offset, deviation)
    for missing, sign in ((True, 1), (False, -1)):
        found = selection.mean(torch.tensor([[expected]], dtype=torch.float64), missing=missing)

        def share(x: float, sign: int = sign) -> float:
            return float(norm.cdf(sign * (slope * x + offset)))

        total = integral(share, expected, deviation)
        mean = integral(lambda x, share=share: x * share(x), expected, deviation) / total
        assert float(found) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize(("slope", "offset", "deviation"), CASES)
def test_draws_are_those_of_rejection_sampling(
    slope: float, offset: float, deviation: float
) -> None:
    rng = np.random.default_rng(0)
    count, expected = 40_000, 0.3
    x = rng.normal(expected, deviation, 800_000)
    kept = x[rng.normal(size=len(x)) < slope * x + offset][:count]
    assert len(kept) > 2_000
    selection = selection_of(slope, offset, deviation, count)
    first, second = torch.from_numpy(rng.normal(size=(2, count)))
    drawn = selection.draw(torch.full((1, count), expected).double(), first, second)[0].numpy()
    levels = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
    shares = [(kept < place).mean() for place in np.quantile(drawn, levels)]
    np.testing.assert_allclose(shares, levels, atol=5 * np.sqrt(0.25 / len(kept)))
    assert drawn.mean() == pytest.approx(kept.mean(), abs=0.03)


def test_far_from_the_threshold_everything_is_finite() -> None:
    for dtype in (torch.float32, torch.float64):
        selection = Selection(Layout(6)).to(dtype)
        with torch.no_grad():
            selection.slope.copy_(torch.tensor([-20.0, -1, 0, 1, 20, 1e8]))
            selection.log_deviation.copy_(torch.tensor([-50.0, 0, 0, 0, 0, 50]))
        expected = torch.linspace(-30, 30, 6).to(dtype)[:, None].expand(6, 6).requires_grad_()
        observed = torch.arange(36).view(6, 6) % 2 == 0
        target = Batch(torch.randn(6, 6, generator=torch.Generator()).to(dtype), observed)
        nats = selection.nll(expected, target, observed)
        nats[:, :5].sum().backward()
        assert bool(nats.isfinite().all())
        for parameter in selection.parameters():
            assert bool(parameter.grad[:5].isfinite().all())
        for missing in (True, False):
            assert bool(selection.mean(expected, missing=missing).isfinite().all())


def test_it_starts_at_the_share_of_missing_ones() -> None:
    selection = Selection(Layout(4))
    with torch.no_grad():
        selection.slope.fill_(3)
    selection.start(torch.tensor([0.0, 0.2, 0.7, 1.0]))
    chance = norm.cdf(selection.offset.detach().numpy())
    np.testing.assert_allclose(chance, [0.01, 0.2, 0.7, 0.99], rtol=1e-5)
    assert not selection.slope.any()
    x = torch.randn(5, 4, generator=torch.Generator())
    for missing in (True, False):
        assert torch.equal(selection.mean(x, missing=missing), x)


def test_only_numbers_are_missing_by_their_value() -> None:
    layout = Layout(4, (Segment("gaussian", 0, 0, 1), Segment("categorical", 1, 1, 4)))
    selection = Selection(layout)
    with torch.no_grad():
        selection.slope.fill_(1)
    assert selection.numbers.tolist() == [True, False, False, False]
    x = torch.randn(5, 4, generator=torch.Generator())
    moved = selection.mean(x, missing=True)
    assert torch.equal(moved[:, 1:], x[:, 1:])
    assert bool((moved[:, 0] > x[:, 0]).all())
    observed = torch.zeros(5, 4, dtype=torch.bool)
    nats = selection.nll(x, Batch(x, observed), observed)
    assert not nats[:, 1:].any()


# In the loss.


def test_the_loss_has_a_term_of_its_own_with_gradients() -> None:
    network = Composition(
        "mlp", "plain", "none", "gaussian", (), (8,), (5,), nested=False, masked=True,
        informative=True,
    ).network(5, torch.Generator().manual_seed(0))  # fmt: skip
    objective = Objective()
    assert objective.terms(network) == ("reconstruction", "code", "missingness")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 5, generator=generator)
    observed = torch.rand(30, 5, generator=generator) < 0.8
    given = observed & (torch.rand(30, 5, generator=generator) < 0.6)
    target = Batch(torch.where(observed, x, 0.0), observed)
    batch = Batch(torch.where(given, x, 0.0), given)
    assert torch.equal(hidden_cells(batch, target), observed & ~given)
    result = network(batch, Context())
    loss = objective(network, result, target, None)
    loss.terms["missingness"].backward(retain_graph=True)
    for parameter in network.selection.parameters():
        assert float(parameter.grad.abs().max()) > 0
    # What is hidden counts there, what is shown in the reconstruction; nothing counts twice.
    squares = network.likelihood.nll(result.params, target.x)
    expected = (squares * given).sum(1).mean()
    torch.testing.assert_close(loss.terms["reconstruction"], expected)
    own = network.selection.nll(result.params[:, 0], target, observed & ~given).sum(1).mean()
    torch.testing.assert_close(loss.terms["missingness"], own)


def test_nothing_missing_costs_nothing() -> None:
    whole = Composition("mlp", "plain", "none", "gaussian", (), (8,), (5,), nested=False)
    plain = whole.network(5, torch.Generator().manual_seed(0))
    assert Objective().terms(plain) == ("reconstruction", "code")
    assert plain.selection is None


# Simulation.


def upper_tail_missing(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Make four correlated columns that lack the larger third of their values."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(count, 2))
    x = hidden @ rng.normal(size=(2, 4)) + 0.4 * rng.normal(size=(count, 4))
    lost = (x > np.quantile(x, 0.67, axis=0)) & (rng.random(x.shape) < 0.9)
    return x, np.where(lost, np.nan, x)


def test_informative_restores_an_upper_tail_that_ignorable_misses() -> None:
    x, holes = upper_tail_missing()
    lost = np.isnan(holes)
    errors, inside = {}, {}
    for kind in ("ignorable", "informative"):
        model = Autoencoder(
            None, hidden_layer_sizes=(16,), max_epochs=30, missing=kind, random_state=0
        ).fit(holes)
        left = model.impute(holes) - x
        errors[kind] = np.sqrt(np.square(left[lost]).mean())
        assert np.array_equal(model.impute(holes)[~lost], x[~lost])
        draws = np.stack(model.impute(holes, n_draws=49))
        low, high = np.quantile(draws, [0.05, 0.95], axis=0)
        inside[kind] = ((low <= x) & (x <= high))[lost].mean()
    assert errors["informative"] < 0.65 * errors["ignorable"]
    assert inside["informative"] > 0.8 > 0.5 > inside["ignorable"]
