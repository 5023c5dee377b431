"""What every part on the five axes promises, for every name in its dictionary."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autoencode
from autoencode import Autoencoder
from autoencode.architectures import ARCHITECTURES
from autoencode.bottlenecks import BOTTLENECKS
from autoencode.composition import Composition
from autoencode.corruptions import CORRUPTIONS
from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.likelihoods import LIKELIHOODS, Gaussian
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import PENALTIES

AXES: dict[str, dict[str, Callable[..., Any]]] = {
    "architecture": ARCHITECTURES,
    "bottleneck": BOTTLENECKS,
    "corruption": CORRUPTIONS,
    "likelihood": LIKELIHOODS,
    "penalty": PENALTIES,
}
KINDS = [(axis, name) for axis, parts in AXES.items() for name in parts]
DTYPES = [torch.float32, torch.float64]
# Another value of every option; sizes, which a part is told, are none.
OPTIONS = {
    ("architecture", "mlp"): {"activation": "relu", "start": "random"},
    ("bottleneck", "plain"): {},
    ("corruption", "none"): {},
    ("corruption", "gaussian"): {"level": 0.5},
    ("corruption", "mask"): {"level": 0.5},
    ("likelihood", "gaussian"): {"scale": 0.5},
    ("likelihood", "huber"): {"delta": 0.3, "scale": 0.5},
    ("penalty", "l1"): {"weight": 0.5},
    ("penalty", "contractive"): {"weight": 0.5},
}
SIZES = {"shape", "hidden_layer_sizes", "n_hidden", "n_linear", "n_components"}
N_VALUES, N_COMPONENTS = 7, 4


def composition(axis: str = "bottleneck", spec: str = "plain", **changes: Any) -> Composition:
    """Give the plainest composition with one kind in it."""
    choices = {
        "architecture": "mlp",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (12, 8),
        "sample_shape": (N_VALUES,),
        "nested": True,
        **changes,
    }
    choices["penalties" if axis == "penalty" else axis] = (spec,) if axis == "penalty" else spec
    return Composition(**choices)


def rows(dtype: torch.dtype = torch.float32, count: int = 6) -> Batch:
    return Batch(torch.randn(count, N_VALUES, generator=seeded(1), dtype=dtype))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network_of(axis: str, name: str, dtype: torch.dtype = torch.float32) -> Network:
    return composition(axis, name).network(N_COMPONENTS, seeded()).to(dtype)


def options(part: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(part).parameters) - SIZES


@functools.cache
def fitted(axis: str, spec: str, run: int = 0) -> Autoencoder:
    """Fit one kind on a small curved table; ``run`` tells equal fits apart."""
    del run
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 6, 150)
    hidden = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)
    X = hidden @ rng.normal(size=(3, N_VALUES)) + 0.02 * rng.normal(size=(150, N_VALUES))
    named = {"penalties": (spec,)} if axis == "penalty" else {axis: spec}
    model = Autoencoder(
        2, hidden_layer_sizes=(16,), max_epochs=20, learning_rate=0.01, random_state=0, **named
    )
    model.rows = X
    return model.fit(X)


def told(model: Autoencoder) -> dict[str, Any]:
    """Give a fit's history without its times."""
    return {name: column for name, column in model.history_.items() if name != "seconds"}


# Every kind.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_a_pass_has_the_promised_shapes_and_dtype(axis: str, name: str, dtype: Any) -> None:
    whole = composition(axis, name)
    network, batch = network_of(axis, name, dtype), rows(dtype)
    corrupt, objective = whole.corrupter(), whole.objective()
    spoilt = batch if corrupt is None else corrupt(batch, seeded())
    sizes = torch.tensor([1, 2, 3, 4, 4, 2])
    result = network(spoilt, Context(size=sizes, rng=seeded()))
    assert result.code.z.shape == (6, N_COMPONENTS)
    assert network.bottleneck.latent_shape == (N_COMPONENTS,)
    assert result.code.cost.shape == (6,)
    assert result.params.shape == (6, objective.likelihood.n_params, N_VALUES)
    loss = objective(network, result, batch, torch.ones(6, dtype=dtype))
    assert tuple(loss.terms) == objective.terms
    assert len(loss.terms) == (3 if axis == "penalty" else 2)
    for value in (result.code.z, result.code.cost, result.params, loss.total, *loss.terms.values()):
        assert value.dtype == dtype
        assert bool(value.isfinite().all())
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))
    kept = torch.arange(N_COMPONENTS) < sizes[:, None]
    assert bool((result.code.z[~kept] == 0).all())


@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_every_loss_term_has_a_gradient(axis: str, name: str) -> None:
    network, objective = network_of(axis, name), composition(axis, name).objective()
    for term in objective.terms:
        network.zero_grad()
        loss = objective(network, network(rows(), Context(rng=seeded())), rows(), None)
        value = loss.terms[term]
        if not value.requires_grad:
            # A code that costs nothing whatever it is.
            assert term == "code"
            assert float(value) == 0
            continue
        value.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_the_same_seed_gives_the_same_bits_and_a_file_keeps_them(
    axis: str, name: str, tmp_path: Path
) -> None:
    first, second = fitted(axis, name), fitted(axis, name, run=1)
    codes = first.transform(first.rows)
    assert np.isfinite(codes).all()
    assert told(first) == told(second)
    assert codes.tobytes() == second.transform(first.rows).tobytes()
    first.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert loaded.gate_ == first.gate_
    assert loaded.transform(first.rows).tobytes() == codes.tobytes()
    assert loaded.reconstruct(first.rows).tobytes() == first.reconstruct(first.rows).tobytes()


def test_every_option_is_listed() -> None:
    assert OPTIONS.keys() == set(KINDS)
    for (axis, name), values in OPTIONS.items():
        assert options(AXES[axis][name]) == set(values), (axis, name)


@pytest.mark.parametrize(
    ("axis", "name", "option", "value"),
    [(*kind, option, value) for kind, made in OPTIONS.items() for option, value in made.items()],
)
def test_every_option_changes_the_fit(axis: str, name: str, option: str, value: Any) -> None:
    assert told(fitted(axis, f"{name}:{option}={value}")) != told(fitted(axis, name))


@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_every_kind_but_the_default_changes_the_fit(axis: str, name: str) -> None:
    usual = {
        "architecture": "mlp",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
    }
    same = told(fitted(axis, name)) == told(fitted("bottleneck", "plain"))
    assert same == (usual.get(axis) == name)


@pytest.mark.parametrize(
    ("axis", "spec", "message"),
    [
        ("architecture", "mlp:activation=tanh", "choose from silu, relu"),
        ("architecture", "mlp:start=zero", "choose from pca, random"),
        ("architecture", "mpl", "choose from mlp; did you mean 'mlp'?"),
        ("bottleneck", "plane", "choose from plain; did you mean 'plain'?"),
        ("bottleneck", "plain:k=3", "unexpected keyword argument 'k'"),
        ("corruption", "salt", "choose from gaussian, mask, none"),
        ("corruption", "gaussian:level=0", "level=0 should be a positive number"),
        ("corruption", "mask:level=1", "level=1 should lie between 0 and 1"),
        ("corruption", "none:level=1", "unexpected keyword argument 'level'"),
        ("likelihood", "normal", "choose from gaussian, huber"),
        ("likelihood", "gaussian:scale=-1", "scale=-1 should be a positive number"),
        ("likelihood", "huber:delta=0", "delta=0 should be a positive number"),
        ("penalty", "l2", "penalty='l2' is not known; choose from contractive, l1"),
        ("penalty", "l1:weight=0", "weight=0 should be a positive number"),
        ("penalty", "contractive:weight=-2", "weight=-2 should be a positive number"),
        ("corruption", "gaussian:level=high", "'gaussian:level=high': an option has the wrong"),
        ("corruption", "mask:level=half", "an option has the wrong type"),
        ("likelihood", "gaussian:scale=wide", "an option has the wrong type"),
        ("penalty", "l1:weight=big", "an option has the wrong type"),
    ],
)
def test_a_bad_option_is_refused_before_the_fit(axis: str, spec: str, message: str) -> None:
    named = {"penalties": (spec,)} if axis == "penalty" else {axis: spec}
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        Autoencoder(2, **named).fit(np.random.default_rng(0).normal(size=(60, 4)))
    assert "\n" not in str(caught.value)


# Architectures and bottlenecks.


@pytest.mark.parametrize("name", BOTTLENECKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_start_is_exactly_pca(architecture: str, name: str) -> None:
    network = composition("bottleneck", name, architecture=architecture).network(3, seeded())
    x = rows(torch.float64, 50).x
    x = x - x.mean(0)
    _, singular, components = torch.linalg.svd(x, full_matrices=False)
    deviations = singular / 50**0.5
    network.double().start_linear(LinearStart(components[:3], deviations[:3]))
    for size in (1, 2, 3):
        result = network(Batch(x), Context(size=torch.full((50,), size), rng=seeded()))
        projected = x @ components[:size].T @ components[:size]
        torch.testing.assert_close(result.params[:, 0], projected, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.code.z.square().mean(0), torch.ones(3).double())


@pytest.mark.parametrize("name", BOTTLENECKS)
@pytest.mark.parametrize("hidden", [(), (12, 8)])
@pytest.mark.parametrize("nested", [True, False])
def test_a_shortened_network_is_the_longer_one_cut(
    name: str, hidden: tuple[int, ...], nested: bool
) -> None:
    whole = composition("bottleneck", name, hidden_layer_sizes=hidden, nested=nested)
    longer, shorter = whole.network(N_COMPONENTS, seeded(3)), whole.network(2, seeded(4))
    shorter.copy_prefix(longer)
    cut = longer(rows(), Context(size=torch.full((6,), 2)))
    short = shorter(rows(), Context())
    torch.testing.assert_close(short.code.z, cut.code.z[:, :2])
    torch.testing.assert_close(short.params, cut.params)


# Corruptions.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_leaves_its_input_alone(name: str, dtype: Any) -> None:
    corrupt, batch = CORRUPTIONS[name](), rows(dtype, 200)
    before = batch.x.clone()
    spoilt = corrupt(batch, seeded())
    assert torch.equal(batch.x, before)
    assert spoilt.x.shape == before.shape
    assert spoilt.x.dtype == dtype
    assert torch.equal(spoilt.x, before) == (name == "none")
    assert torch.equal(spoilt.x, corrupt(batch, seeded()).x)
    assert torch.equal(spoilt.x, corrupt(batch, seeded(1)).x) == (name == "none")


def test_levels_of_corruption_are_what_they_say() -> None:
    batch = rows(torch.float64, 20_000)
    noise = CORRUPTIONS["gaussian"](level=0.3)(batch, seeded()).x - batch.x
    assert float(noise.std()) == pytest.approx(0.3, rel=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.004)
    masked = CORRUPTIONS["mask"](level=0.3)(batch, seeded()).x
    assert float((masked == 0).double().mean()) == pytest.approx(0.3, abs=0.005)
    assert torch.equal(masked[masked != 0], batch.x[masked != 0])


# Likelihoods.


@pytest.mark.parametrize("spec", ["plain", "options"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_densities_integrate_to_one_and_samples_follow_them(name: str, spec: str) -> None:
    likelihood = LIKELIHOODS[name](**(OPTIONS["likelihood", name] if spec == "options" else {}))
    generator = seeded(5)
    params = torch.randn(1, likelihood.n_params, 1, generator=generator, dtype=torch.float64)
    x = torch.linspace(-60, 60, 240_001, dtype=torch.float64)
    every = params.expand(len(x), -1, -1)
    nats = likelihood.nll(every, x[:, None])
    assert nats.shape == (len(x), 1)
    density = torch.exp(-nats[:, 0])
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-7)
    mean = float(likelihood.mean(params))
    assert float(torch.trapezoid(density * x, x)) == pytest.approx(mean, abs=1e-7)
    drawn = likelihood.sample(params.expand(100_000, -1, -1), generator)
    assert drawn.shape == (100_000, 1)
    deviation = float(torch.trapezoid(density * (x - mean) ** 2, x)) ** 0.5
    assert float(drawn.mean()) == pytest.approx(mean, abs=5 * deviation / 100_000**0.5)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.03)
    found = np.quantile(drawn.numpy(), [0.01, 0.1, 0.5, 0.9, 0.99])
    cumulated = torch.cumulative_trapezoid(density, x).numpy()
    shares = np.interp(found, x[1:].numpy(), cumulated)
    np.testing.assert_allclose(shares, [0.01, 0.1, 0.5, 0.9, 0.99], atol=0.006)


def test_the_gaussian_equals_torch_distributions() -> None:
    params, x = rows(torch.float64).x[:, None], rows(torch.float64).x.flip(0)
    for scale in (1.0, 0.3):
        normal = torch.distributions.Normal(params[:, 0], scale)
        torch.testing.assert_close(Gaussian(scale).nll(params, x), -normal.log_prob(x))


def test_huber_is_the_gaussian_in_the_middle_and_linear_beyond() -> None:
    huber = LIKELIHOODS["huber"](delta=2.0)
    x = torch.tensor([0.0, 1.0, 2.0, 3.0, 10.0], dtype=torch.float64)
    nats = huber.nll(torch.zeros(5, 1, dtype=torch.float64), x)
    expected = torch.tensor([0.0, 0.5, 2.0, 4.0, 18.0], dtype=torch.float64)
    torch.testing.assert_close(nats - nats[0], expected)
    wide = LIKELIHOODS["huber"](delta=30.0).nll(torch.zeros(5, 1), x)
    torch.testing.assert_close(wide, Gaussian().nll(torch.zeros(5, 1), x))


# Penalties.


def trained(penalty: Any) -> Network:
    network, objective = network_of("bottleneck", "plain"), Objective(Gaussian(), [penalty])
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    generator = seeded(6)
    for _ in range(100):
        optimizer.zero_grad()
        batch = rows(count=64)
        result = network(batch, Context(rng=generator))
        objective(network, result, batch, None).total.backward()
        optimizer.step()
    return network


@pytest.mark.parametrize("name", PENALTIES)
def test_a_larger_weight_makes_the_penalised_quantity_smaller(name: str) -> None:
    batch = rows(count=64)
    amounts = []
    for weight in (1e-4, 1.0, 100.0):
        network = trained(PENALTIES[name](weight=weight))
        result = network(batch, Context(rng=seeded(7)))
        amounts.append(float(PENALTIES[name](weight=1.0)(network, result).detach()))
    assert amounts[0] > 1.2 * amounts[1] > 1.44 * amounts[2]


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_proportional_to_its_weight(name: str) -> None:
    network = network_of("bottleneck", "plain")
    one, three = (
        PENALTIES[name](weight=w)(network, network(rows(), Context(rng=seeded()))) for w in (1, 3)
    )
    torch.testing.assert_close(3 * one, three)


def test_contractive_equals_the_jacobian_in_expectation() -> None:
    network = network_of("bottleneck", "plain", torch.float64)
    batch = rows(torch.float64)

    def encode(x: torch.Tensor) -> torch.Tensor:
        return network.encode(Batch(x), Context()).z

    jacobian = torch.autograd.functional.jacobian(encode, batch.x)
    exact = torch.stack([jacobian[i, :, i].square().sum() for i in range(6)]).mean()
    many = Batch(batch.x.repeat(4000, 1))
    estimate = PENALTIES["contractive"](weight=0.5)(network, network(many, Context(rng=seeded())))
    assert float(estimate.detach()) == pytest.approx(0.5 * float(exact), rel=0.02)


def test_l1_is_the_sum_of_absolute_codes() -> None:
    network = network_of("bottleneck", "plain")
    result = network(rows(), Context(size=torch.tensor([1, 2, 3, 4, 1, 2])))
    expected = 0.5 * np.abs(result.code.z.detach().numpy()).sum() / 6
    assert float(PENALTIES["l1"](weight=0.5)(network, result).detach()) == pytest.approx(expected)
