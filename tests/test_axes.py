"""What every part on the five axes promises, for every name in its dictionary."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import autoencode
from autoencode import Autoencoder
from autoencode.architectures import ARCHITECTURES
from autoencode.bottlenecks import BOTTLENECKS, Sparse
from autoencode.composition import Composition
from autoencode.corruptions import CORRUPTIONS
from autoencode.errors import SpecError
from autoencode.guess import guessed
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.layout import Segment
from autoencode.likelihoods import LIKELIHOODS
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import PENALTIES
from autoencode.spec import parse

AXES: dict[str, dict[str, Callable[..., Any]]] = {
    "architecture": ARCHITECTURES,
    "bottleneck": BOTTLENECKS,
    "corruption": CORRUPTIONS,
    "likelihood": LIKELIHOODS,
    "penalty": PENALTIES,
}
KINDS = [(axis, name) for axis, parts in AXES.items() for name in parts]
DTYPES = [torch.float32, torch.float64]
VARIATIONAL = {"n_samples": 3, "posterior": "flow", "free_bits": 9.0, "warmup": 0.5}
# Another value of every option; sizes, which a part is told, are none.
OPTIONS = {
    ("architecture", "mlp"): {"activation": "relu", "start": "random", "dropout": 0.3},
    ("architecture", "dictionary"): {"start": "random", "positive": True},
    ("architecture", "conv"): {"start": "random", "blocks": 2, "dense": 8, "code": "spatial"},
    ("bottleneck", "plain"): {},
    ("bottleneck", "topk"): {"active": 2},
    ("bottleneck", "batchtopk"): {"active": 0.5},
    ("bottleneck", "jumprelu"): {"active": 0.5},
    ("bottleneck", "relu"): {},
    ("bottleneck", "gaussian"): VARIATIONAL,
    ("corruption", "none"): {},
    ("corruption", "gaussian"): {"level": 0.5, "numbers": False},
    ("corruption", "mask"): {"level": 0.5},
    ("corruption", "block"): {"level": 0.5},
    ("corruption", "salt_pepper"): {"level": 0.5},
    ("corruption", "swap"): {"level": 0.5},
    ("corruption", "hide"): {"level": 0.1, "rows": 0.9, "together": False},
    ("corruption", "holes"): {"level": (0.3, 0.4), "blocks": 0.0},
    ("corruption", "restoring"): {"noise": 0.5, "swap": 0.3, "hidden": 0.1},
    ("likelihood", "gaussian"): {"scale": 0.5},
    ("likelihood", "huber"): {"delta": 0.3, "scale": "learned"},
    ("likelihood", "bernoulli"): {},
    ("likelihood", "categorical"): {},
    ("likelihood", "count"): {},
    ("likelihood", "mixed"): {"numbers": "huber"},
    ("penalty", "l1"): {"weight": 0.5, "activity": 0.2},
    ("penalty", "l2"): {"weight": 0.5},
    ("penalty", "decoder_l2"): {"weight": 0.5},
    ("penalty", "kl_sparsity"): {"weight": 0.5, "activity": 0.2},
    ("penalty", "contractive"): {"weight": 0.5},
    ("penalty", "steady"): {"weight": 0.5},
}
SPARSE = ("topk", "batchtopk", "jumprelu", "relu")
SIZES = {"shape", "hidden_layer_sizes", "n_told", "n_hidden", "n_linear", "n_components", "layout"}
N_VALUES, N_COMPONENTS = 7, 4
# A number, a level of three, a count, a yes or no, and a column of two segments.
SEGMENTS = (
    Segment("gaussian", 0, 0, 1),
    Segment("categorical", 1, 1, 4),
    Segment("count", 2, 4, 5),
    Segment("bernoulli", 3, 5, 6),
    Segment("gaussian", 4, 6, 7),
)


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
        "segments": SEGMENTS if spec.startswith("mixed") else (),
        "masked": spec in ("hide", "holes", "restoring"),
        "noisy": spec == "restoring",
        **changes,
    }
    return Composition(**choices | choice(axis, spec))


def choice(axis: str, spec: str) -> dict[str, Any]:
    return {"penalties": (spec,)} if axis == "penalty" else {axis: spec}


def rows(dtype: torch.dtype = torch.float32, count: int = 6) -> Batch:
    return Batch(torch.randn(count, N_VALUES, generator=seeded(1), dtype=dtype))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network_of(axis: str, name: str, dtype: torch.dtype = torch.float32) -> Network:
    return composition(axis, name).network(N_COMPONENTS, seeded()).to(dtype)


def spoilt(whole: Composition, network: Network, batch: Batch) -> Batch:
    """Give rows as a step of training gets them."""
    corrupt = whole.corrupter()
    return guessed(network, batch if corrupt is None else corrupt(batch, seeded()))


def options(part: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(part).parameters) - SIZES


def data_for(name: str) -> Any:
    """Make a small curved table of what a kind is for."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 6, 150)
    hidden = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)
    X = hidden @ rng.normal(size=(3, N_VALUES)) + 0.02 * rng.normal(size=(150, N_VALUES))
    if name == "bernoulli":
        bends = np.outer(angle, [1, 1, 1, 1, 2, 2, 2]) + np.arange(N_VALUES)
        return np.where(np.sin(bends) > 0, 1.0, 0.0)
    if name == "categorical":
        return np.eye(N_VALUES)[X.argmax(1)]
    if name == "count":
        return np.log1p(rng.poisson(np.exp(X)))
    if name == "mixed":
        columns = {f"x{place}": X[:, place] for place in range(3)}
        columns["level"] = np.array(["a", "b", "c", "d"])[X[:, 3:].argmax(1)]
        columns["count"] = rng.poisson(np.exp(X[:, 4]))
        return pd.DataFrame(columns | {"yes": X[:, 5] > 0})
    if name == "hide":
        return np.where(rng.random(X.shape) < 0.1, np.nan, X)
    return X


@functools.cache
def fitted(axis: str, spec: str, data: str = "", run: int = 0) -> Autoencoder:
    """Fit one kind on what it is for, or on other data; ``run`` tells equal fits apart."""
    del run
    name = data or parse(spec)[0]
    rows = data_for(name)
    options = {"corruption": "none", "penalties": (), "learning_rate": 0.01}
    options |= {"random_state": 0, **choice(axis, spec)}
    options["max_epochs"] = {"bernoulli": 40, "hide": 40, "conv": 2}.get(name, 20)
    if options.get("architecture", "").startswith("dictionary"):
        options["bottleneck"] = "topk:active=1"  # with a plain one it is PCA, and not trained
    model = Autoencoder(4 if parse(spec)[0] == "conv" else 2, hidden_layer_sizes=(16,), **options)
    model.rows = rows
    return model.fit(rows)


def told(model: Autoencoder) -> dict[str, Any]:
    """Give a fit's history without its times."""
    return {name: column for name, column in model.history_.items() if name != "seconds"}


# Every kind.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_a_pass_has_the_promised_shapes_and_dtype(axis: str, name: str, dtype: Any) -> None:
    whole = composition(axis, name)
    network, batch = network_of(axis, name, dtype), rows(dtype)
    objective, given = whole.objective(), spoilt(whole, network, batch)
    sizes = torch.tensor([1, 2, 3, 4, 4, 2])
    result = network(given, Context(size=sizes, rng=seeded()))
    assert result.code.z.shape == (6, N_COMPONENTS)
    assert network.bottleneck.latent_shape == (N_COMPONENTS,)
    assert result.code.cost.shape == (6,)
    assert result.params.shape == (6, network.likelihood.n_params, N_VALUES)
    loss = objective(network, result, batch, torch.ones(6, dtype=dtype))
    assert tuple(loss.terms) == objective.terms(network)
    assert len(loss.terms) == (3 if axis == "penalty" or network.bottleneck.sparse else 2)
    for value in (result.code.z, result.code.cost, result.params, loss.total, *loss.terms.values()):
        assert value.dtype == dtype
        assert bool(value.isfinite().all())
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))
    kept = torch.arange(N_COMPONENTS) < sizes[:, None]
    assert bool((result.code.z[~kept] == 0).all())


@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_every_loss_term_has_a_gradient(axis: str, name: str) -> None:
    whole, network = composition(axis, name), network_of(axis, name)
    objective, batch = whole.objective(), spoilt(whole, network, rows())
    for term in objective.terms(network):
        network.zero_grad()
        context = Context(rng=seeded())
        if term == "revival" and isinstance(network.bottleneck, Sparse):
            network.bottleneck.idle.fill_(100.0)
            context = Context()  # where nothing is learned, being active does not wake a unit
        loss = objective(network, network(batch, context), rows(), None)
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
    rebuilt, expected = loaded.reconstruct(first.rows), first.reconstruct(first.rows)
    assert type(rebuilt) is type(expected) is type(first.rows)
    assert np.array_equal(rebuilt, expected)


def test_every_option_is_listed() -> None:
    assert OPTIONS.keys() == set(KINDS)
    for (axis, name), values in OPTIONS.items():
        assert options(AXES[axis][name]) == set(values), (axis, name)


@pytest.mark.parametrize(
    ("axis", "name", "option", "value"),
    [(*kind, option, value) for kind, made in OPTIONS.items() for option, value in made.items()],
)
def test_every_option_changes_the_fit(axis: str, name: str, option: str, value: Any) -> None:
    data = "mixed" if (axis, option) == ("corruption", "numbers") else ""
    assert told(fitted(axis, f"{name}:{option}={value}", data)) != told(fitted(axis, name, data))


def test_some_fits_use_the_network() -> None:
    """Otherwise what is said of codes and files would be said of PCA alone."""
    kinds = ["gaussian", "mixed", "count", "bernoulli", "categorical", "huber"]
    assert all(fitted("likelihood", name).gate_ for name in kinds)
    assert fitted("corruption", "hide").gate_


@pytest.mark.parametrize(("axis", "name"), KINDS)
def test_every_kind_but_the_default_changes_the_fit(axis: str, name: str) -> None:
    axes = ("architecture", "bottleneck", "corruption", "likelihood")
    usual = dict(zip(axes, ("mlp", "plain", "none", "gaussian"), strict=True))
    plainest = "corruption" if axis != "likelihood" else axis
    plain = fitted(plainest, usual[plainest], data=name)
    same = told(fitted(axis, name)) == told(plain)
    assert same == (usual.get(axis) == name)


@pytest.mark.parametrize(
    ("axis", "spec", "message"),
    [
        ("architecture", "mlp:activation=tanh", "choose from silu, relu"),
        ("architecture", "mlp:start=zero", "choose from pca, random"),
        ("architecture", "mpl", "choose from conv, dictionary, mlp; did you mean 'mlp'?"),
        ("architecture", "dictionary:start=pca", "choose from data, random"),
        ("bottleneck", "plane", "relu, topk; did you mean 'plain'?"),
        ("bottleneck", "topk:active=0", "active=0 should be a positive number"),
        ("bottleneck", "jumprelu:active=few", "active='few' should be a positive number"),
        ("bottleneck", "plain:k=3", "unexpected keyword argument 'k'"),
        ("corruption", "salt", "choose from block, gaussian, hide, holes, mask"),
        ("corruption", "gaussian:level=0", "level=0 should be a positive number"),
        ("corruption", "gaussian:level=(0, 1)", "level=(0, 1) should be a positive number, or a"),
        ("corruption", "mask:level=1.5", "level=1.5 should be a share, or a range of shares"),
        ("corruption", "block:level=-0.1", "level=-0.1 should be a share, or a range of shares"),
        ("corruption", "swap:level=(0.5, 0.2)", "level=(0.5, 0.2) should be a share, or a range"),
        ("corruption", "restoring:noise=None,swap=None,hidden=None", "not all be None"),
        ("corruption", "none:level=1", "unexpected keyword argument 'level'"),
        ("corruption", "hide:level=2", "level=2 should be a share, or a range of shares"),
        ("corruption", "hide:level=0", "level=0 should be a share, or a range of shares"),
        ("corruption", "hide:level=(0.5, 0.2)", "level=(0.5, 0.2) should be a share, or a range"),
        ("corruption", "hide:level=(0.1,)", "level=(0.1,) should be a share, or a range"),
        ("corruption", "hide:level=much", "level='much' should be a share, or a range"),
        ("corruption", "hide:rows=0", "rows=0 should lie in (0, 1]"),
        ("corruption", "hide:rows=1.5", "rows=1.5 should lie in (0, 1]"),
        ("corruption", "hide:rows=all", "an option has the wrong type"),
        ("likelihood", "normal", "choose from bernoulli, categorical, count, gaussian, huber"),
        ("likelihood", "mixed:numbers=laplace", "numbers='laplace'; choose from gaussian, huber"),
        ("likelihood", "count:size=3", "unexpected keyword argument 'size'"),
        ("likelihood", "gaussian:scale=-1", "scale=-1 should be a positive number"),
        ("likelihood", "huber:delta=0", "delta=0 should be a positive number"),
        (
            "penalty",
            "l3",
            "penalty='l3' is not known; choose from contractive, decoder_l2, kl_sparsity",
        ),
        ("penalty", "l1:weight=0", "weight=0 should be a positive number"),
        ("penalty", "contractive:weight=-2", "weight=-2 should be a positive number"),
        ("corruption", "gaussian:level=high", "level='high' should be a positive number, or a"),
        ("corruption", "mask:level=half", "level='half' should be a share, or a range of shares"),
        (
            "likelihood",
            "gaussian:scale=wide",
            "scale='wide' should be a positive number or learned",
        ),
        ("likelihood", "huber:delta=learned", "delta='learned' should be a positive number"),
        ("penalty", "l1:weight=big", "an option has the wrong type"),
    ],
)
def test_a_bad_option_is_refused_before_the_fit(axis: str, spec: str, message: str) -> None:
    named = {"penalties": (spec,)} if axis == "penalty" else {axis: spec}
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        Autoencoder(2, **named).fit(np.random.default_rng(0).normal(size=(60, 4)))
    assert "\n" not in str(caught.value)


# Architectures and bottlenecks.


@pytest.mark.parametrize("name", [name for name in BOTTLENECKS if name not in SPARSE])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_start_is_exactly_pca(architecture: str, name: str) -> None:
    whole = composition("bottleneck", name, architecture=architecture)
    network = whole.network(3, seeded())
    x = rows(torch.float64, 50).x
    x = x - x.mean(0)
    _, singular, components = torch.linalg.svd(x, full_matrices=False)
    deviations = singular / 50**0.5
    if whole.unit_codes:
        deviations = torch.ones_like(deviations)
    network.double().start_linear(LinearStart(components[:3], deviations[:3]))
    for size in (1, 2, 3):
        result = network(Batch(x), Context(size=torch.full((50,), size)))
        projected = x @ components[:size].T @ components[:size]
        torch.testing.assert_close(result.params[:, 0], projected, rtol=0, atol=1e-12)
    expected = (x @ components[:3].T / deviations[:3]).square().mean(0)
    torch.testing.assert_close(result.code.z.square().mean(0), expected)
    if not whole.unit_codes:
        torch.testing.assert_close(expected, torch.ones(3).double())


# The largest of a prefix are others than those of the whole that lie in the prefix.
@pytest.mark.parametrize("name", [name for name in BOTTLENECKS if name != "topk"])
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


# Penalties.


def trained(penalty: Any) -> Network:
    network, objective = network_of("bottleneck", "plain"), Objective([penalty])
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
    # Measured in its units' root mean squares, l1 takes more before codes are sparser.
    for weight in (1e-4, 10.0 if name == "l1" else 1.0, 100.0):
        network = trained(PENALTIES[name](weight=weight))
        result = network(batch, Context(rng=seeded(7)))
        amounts.append(float(PENALTIES[name](weight=1.0)(network, result).detach()))
    assert amounts[0] > 1.2 * amounts[1] > 1.44 * amounts[2]
