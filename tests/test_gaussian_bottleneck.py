"""The bottleneck of variational autoencoders: closed forms, bounds and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from autoencode.bottlenecks import GaussianCode
from autoencode.composition import Composition
from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Context, Features
from autoencode.network import Network
from autoencode.objective import Objective

N_VALUES, N_COMPONENTS = 5, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(options: str = "", *, hidden: tuple[int, ...] = (8,), seed: int = 0) -> Network:
    whole = Composition(
        architecture="mlp",
        bottleneck=f"gaussian:{options}" if options else "gaussian",
        corruption="none",
        likelihood="gaussian:scale=learned",
        penalties=(),
        hidden_layer_sizes=hidden,
        sample_shape=(N_VALUES,),
        nested=False,
    )
    return whole.network(N_COMPONENTS, seeded(seed)).double()


def neck_of(whole: Network) -> GaussianCode:
    assert isinstance(whole.bottleneck, GaussianCode)
    return whole.bottleneck


def rows(count: int = 6) -> Batch:
    return Batch(torch.randn(count, N_VALUES, generator=seeded(1), dtype=torch.float64))


def posterior(code: Any) -> Normal:
    return Normal(code.stats["mean"], (0.5 * code.stats["log_var"]).exp())


def normal_log(z: Tensor) -> Tensor:
    return Normal(0.0, 1.0).log_prob(z).sum(-1)


# What a code is and costs.


@pytest.mark.parametrize("rng", [None, seeded()])
def test_the_cost_of_one_draw_is_the_divergence(rng: torch.Generator | None) -> None:
    code = network().encode(rows(), Context(rng=rng))
    expected = kl_divergence(posterior(code), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(code.cost, expected)
    assert code.costs is not None
    torch.testing.assert_close(code.costs.sum(1), expected)


def test_the_code_is_the_mean_without_a_generator_and_drawn_with_one() -> None:
    whole = network()
    one = Batch(rows(1).x.expand(20_000, -1))
    still = whole.encode(one, Context())
    assert torch.equal(still.z, still.stats["mean"])
    drawn = whole.encode(one, Context(rng=seeded())).z
    deviation = (0.5 * still.stats["log_var"][0]).exp()
    assert ((drawn.mean(0) - still.z[0]).abs() < 5 * deviation / math.sqrt(20_000)).all()
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.03, atol=0)
    again = whole.encode(one, Context(rng=seeded())).z
    assert torch.equal(drawn, again)


def test_the_logarithm_of_the_variance_is_clamped() -> None:
    neck = GaussianCode(0, N_VALUES, N_COMPONENTS)
    far = Features(None, torch.full((1, N_VALUES), 1e6))
    code = neck(far, Context(rng=seeded()))
    assert code.stats["log_var"].abs().max() <= 14
    assert bool(code.z.isfinite().all())


@pytest.mark.parametrize("kind", ["gaussian", "flow"])
@pytest.mark.parametrize("hidden", [(8,), ()])
def test_the_cost_of_several_draws_is_that_of_their_densities(
    kind: str, hidden: tuple[int, ...]
) -> None:
    whole = network(f"n_samples=4,posterior={kind}", hidden=hidden)
    neck = neck_of(whole)
    disturb(neck)
    code = whole.encode(rows(), Context(rng=seeded()))
    z = code.z.view(4, 6, N_COMPONENTS)
    assert code.n_draws == 4
    base, growth = z, torch.zeros(4, 6)
    if neck.flow is not None:
        base, growth = neck.flow.inverse(z, code.stats.get("hidden"))
        assert growth.abs().min() > 0
    density = posterior(code).log_prob(base).sum(-1) - growth
    torch.testing.assert_close(code.cost.view(4, 6), density - normal_log(z))
    # With or without the detour that the doubly reparameterized gradient takes.
    noise = torch.randn(4, 6, N_COMPONENTS, generator=seeded(), dtype=torch.float64)
    for detour in (True, False):
        same = neck.drawn(code.stats, noise, reparameterized=detour)
        torch.testing.assert_close(same.z, code.z)
        torch.testing.assert_close(same.cost, code.cost)


def disturb(neck: GaussianCode) -> None:
    """Make a flow other than the identity, which it starts as."""
    with torch.no_grad():
        for parameter in () if neck.flow is None else neck.flow.parameters():
            noise = torch.randn(parameter.shape, generator=seeded(5), dtype=parameter.dtype)
            parameter.add_(0.3 * noise)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_flow_can_be_inverted_and_knows_its_growth(count: int) -> None:
    neck = GaussianCode(4, 0, count, posterior="flow").double()
    flow = neck.flow
    assert flow is not None
    hidden = torch.randn(1, 4, generator=seeded(), dtype=torch.float64)
    z = torch.randn(1, 1, count, generator=seeded(1), dtype=torch.float64)
    assert torch.equal(flow(z, hidden)[0], z)
    disturb(neck)
    moved, growth = flow(z, hidden)
    assert bool(((moved - z).abs() > 1e-3).all())
    back, same = flow.inverse(moved, hidden)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(same, growth)
    jacobian = torch.autograd.functional.jacobian(
        lambda one: flow(one[None, None], hidden)[0][0, 0], z[0, 0]
    )
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], growth[0, 0])


def test_a_prefix_costs_what_its_components_do() -> None:
    whole = network()
    sizes = torch.tensor([1, 2, 3, 3, 2, 1])
    cut = whole(rows(), Context(size=sizes, rng=seeded())).code
    full = whole.encode(rows(), Context(rng=seeded())).costs
    assert full is not None
    for place, size in enumerate(sizes.tolist()):
        torch.testing.assert_close(cut.cost[place], full[place, :size].sum())


# What training pays.


def test_free_bits_are_free_and_push_nothing() -> None:
    whole = network("free_bits=0.5")
    neck = neck_of(whole)
    code = whole.encode(rows(), Context(rng=seeded()))
    assert code.costs is not None
    each = code.costs.detach().mean(0)
    least = float(each.sort().values[1] + each.sort().values[0]) / 2
    neck.free_bits = least
    paid = neck.charge(code)
    torch.testing.assert_close(paid.mean(), each.clamp_min(least).sum())
    (slope,) = torch.autograd.grad(paid.mean(), code.stats["mean"])
    idle = each < least
    assert int(idle.sum()) == 1
    assert bool((slope[:, idle] == 0).all())
    assert bool((slope[:, ~idle] != 0).all())


def test_the_weight_of_the_cost_is_that_of_the_context() -> None:
    whole, objective = network(), Objective()
    for weight in (0.0, 0.25, 1.0):
        context = Context(rng=seeded(), cost_weight=weight)
        result = whole(rows(), context)
        terms = objective(whole, result, rows(), None).terms
        torch.testing.assert_close(terms["code"], weight * result.code.cost.mean())


# The importance-weighted bound.


def log_weights(whole: Network, batch: Batch, noise: Tensor) -> Tensor:
    """Work out the weights plainly, with all gradients as autograd gives them."""
    code = whole.encode(batch, Context())
    own = posterior(code)
    z = own.mean + own.stddev * noise
    params = whole.decoder(z.flatten(0, 1), Context())
    nats = whole.likelihood.nll(params, batch.x.repeat(len(noise), 1)).sum(1)
    likely: Tensor = normal_log(z) - own.log_prob(z).sum(-1) - nats.view(len(noise), -1)
    return likely


def test_the_loss_of_several_draws_is_the_importance_weighted_bound() -> None:
    whole = network("n_samples=4")
    noise = torch.randn(4, 6, N_COMPONENTS, generator=seeded(2), dtype=torch.float64)
    result = whole(rows(), Context(rng=seeded(2)))
    loss = Objective()(whole, result, rows(), None)
    expected = math.log(4) - log_weights(whole, rows(), noise).logsumexp(0)
    torch.testing.assert_close(loss.total, expected.mean())
    assert float(loss.terms["reconstruction"].detach()) != 0
    assert result.params.shape == (24, 1, N_VALUES)


@pytest.mark.parametrize("kind", ["gaussian", "flow"])
def test_the_doubly_reparameterized_gradient_has_the_plain_ones_mean(kind: str) -> None:
    """Of one row, over many draws: within five standard errors for every weight."""
    count, repeats, draws = 400, 40, 3
    whole = network(f"n_samples={draws},posterior={kind}", hidden=())
    neck = neck_of(whole)
    disturb(neck)
    one = Batch(rows(1).x.expand(count, -1))
    found: dict[str, list[Tensor]] = {"double": [], "plain": []}
    rng = seeded(3)
    for _ in range(repeats):
        result = whole(one, Context(rng=rng))
        found["double"].append(gradients(whole, Objective()(whole, result, one, None).total))
        noise = torch.randn(draws, count, N_COMPONENTS, generator=rng, dtype=torch.float64)
        code = neck.drawn(whole.encode(one, Context()).stats, noise)
        nats = whole.likelihood.nll(whole.decoder(code.z, Context()), one.x.repeat(draws, 1))
        likely = -(nats.sum(1) + code.cost).view(draws, -1)
        found["plain"].append(gradients(whole, math.log(draws) - likely.logsumexp(0).mean()))
    double, plain = (torch.stack(found[name]) for name in ("double", "plain"))
    error = ((double.var(0) + plain.var(0)) / repeats).sqrt()
    assert bool(((double.mean(0) - plain.mean(0)).abs() <= 5 * error + 1e-12).all())
    # It is another estimate, and of the encoder's weights the quieter one.
    names = [name for name, _ in whole.named_parameters()]
    assert any(name.startswith("bottleneck") for name in names)
    assert not torch.allclose(double[0], plain[0])
    own = encoder_places(whole)
    assert double.var(0)[own].sum() < plain.var(0)[own].sum()


def gradients(whole: Network, loss: Tensor) -> Tensor:
    parameters = list(whole.parameters())
    slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if slope is None else slope.flatten()
            for p, slope in zip(parameters, slopes, strict=True)
        ]
    )


def encoder_places(whole: Network) -> Tensor:
    return torch.cat(
        [
            torch.full((p.numel(),), name.startswith("bottleneck"))
            for name, p in whole.named_parameters()
        ]
    )


def test_penalties_see_codes_with_their_own_gradients() -> None:
    """The weights of draws are those of the bound alone."""

    class Length:
        name = "length"

        def __call__(self, network: Any, result: Any) -> Tensor:
            total: Tensor = result.code.z.sum(1).mean()
            return total

    whole = network("n_samples=3", hidden=())
    result = whole(rows(), Context(rng=seeded()))
    term = Objective([Length()])(whole, result, rows(), None).terms["length"]
    (slope,) = torch.autograd.grad(term, result.code.stats["mean"])
    torch.testing.assert_close(slope, torch.full_like(slope, 1 / 6))


# Options.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 0}, "n_samples=0 should be a positive whole number"),
        ({"n_samples": True}, "n_samples=True should be a positive whole number"),
        ({"posterior": "iaf"}, "posterior='iaf' is not known; choose from gaussian, flow"),
        ({"free_bits": 0}, "free_bits=0 should be None or a positive number"),
        ({"free_bits": "few"}, "free_bits='few' should be None or a positive number"),
        ({"warmup": 1.0}, r"warmup=1.0 should lie in \[0, 1\)"),
        ({"warmup": "slow"}, r"warmup='slow' should lie in \[0, 1\)"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        GaussianCode(4, 0, 2, **options)
