"""Penalties and dropout: what each does to a fit, and how strengths are found."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autoencode
from autoencode import Autoencoder
from autoencode.composition import Composition
from autoencode.errors import SpecError
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context
from autoencode.network import Network, spared
from autoencode.penalties import ACTIVE, PENALTIES, active_share, relative_codes
from autoencode.steps import AutogradStep, DenseStep, choose_step

SIZES = (16,)


def curved(n_rows: int, noise: float, n_columns: int = 9) -> np.ndarray:
    """Rows on a curved surface, with noise."""
    rng = np.random.default_rng(0)
    angle, height = rng.uniform(0, 2 * np.pi, n_rows), rng.normal(size=n_rows)
    hidden = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), height], 1)
    mixed = hidden @ np.random.default_rng(1).normal(size=(4, n_columns))
    return mixed + noise * rng.normal(size=mixed.shape)


@functools.cache
def fitted(*penalties: str, architecture: str = "mlp", run: int = 0) -> Autoencoder:
    """Fit to curved rows; ``run`` tells equal fits apart."""
    del run
    options: dict[str, Any] = {"hidden_layer_sizes": SIZES, "random_state": 0, "max_epochs": 40}
    options |= {"learning_rate": 0.01, "nested": False, "architecture": architecture}
    return Autoencoder(4, penalties=penalties, **options).fit(curved(600, 0.05))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(1))


def composition(**changes: Any) -> Composition:
    choices = {
        "architecture": "mlp",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (12, 8),
        "sample_shape": (7,),
        "nested": True,
    }
    return Composition(**(choices | changes))


def trained(penalty: Any, architecture: str = "mlp") -> Network:
    """Train a small network on curved rows for a while."""
    whole = composition(architecture=architecture, nested=False, hidden_layer_sizes=SIZES)
    network = whole.network(4, seeded())
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    batch = Batch(torch.from_numpy(curved(200, 0.05, 7)).float())
    generator = seeded(1)
    for _ in range(150):
        optimizer.zero_grad()
        result = network(batch, Context(rng=generator))
        loss = network.likelihood.nll(result.params, batch.x).sum(1).mean()
        (loss + penalty(network, result)).backward()
        optimizer.step()
        getattr(penalty, "adjust", lambda result: None)(result)
    return network


def codes_of(network: Network) -> torch.Tensor:
    return network.encode(Batch(torch.from_numpy(curved(200, 0.05, 7)).float()), Context()).z


def squares(module: torch.nn.Module) -> float:
    named = module.named_parameters()
    return sum(float(p.detach().square().sum()) for n, p in named if not spared(n, p))


def jacobian(network: Network) -> float:
    x = torch.from_numpy(curved(200, 0.05, 7)).float().requires_grad_()
    z = network.encode(Batch(x), Context()).z
    parts = [torch.autograd.grad(z[:, i].sum(), x, retain_graph=True)[0] for i in range(4)]
    return sum(float(part.square().sum(1).mean()) for part in parts)


def wander(network: Network) -> float:
    """How far codes go when rows move along themselves."""
    batch = Batch(torch.from_numpy(curved(200, 0.05, 7)).float())
    penalty = PENALTIES["steady"](weight=1.0)
    with torch.no_grad():
        return float(penalty(network, network(batch, Context(rng=seeded()))))


EFFECTS = {
    "steady": wander,
    "l2": lambda network: squares(network.encoder) + squares(network.decoder),
    "decoder_l2": lambda network: squares(network.decoder),
    "contractive": jacobian,
    "l1": lambda network: active_share(codes_of(network)),
    "kl_sparsity": lambda network: active_share(codes_of(network)),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_a_larger_weight_has_more_of_its_effect(name: str) -> None:
    # Sparse codes cost about as much as a few nats of error.
    weights = (1e-4, 3.0, 30.0) if name in ("l1", "kl_sparsity") else (1e-4, 0.3, 30.0)
    effects = [EFFECTS[name](trained(PENALTIES[name](weight=w))) for w in weights]
    assert effects[0] > 1.05 * effects[1] > 1.1 * effects[2]


@pytest.mark.parametrize("name", ["l1", "kl_sparsity"])
@pytest.mark.parametrize("activity", [0.2, 0.3])
def test_the_asked_activity_is_reached_by_the_networks_codes(name: str, activity: float) -> None:
    model = fitted(f"{name}:activity={activity}")
    codes = model.transform(curved(600, 0.05))
    units = np.abs(codes) / np.sqrt(np.square(codes).mean(0))
    active = units > ACTIVE if name == "l1" else units**2 / (units**2 + ACTIVE**2)
    assert abs(active.mean() / activity - 1) < 0.2
    (fact,) = model._state.facts["penalties"]
    assert fact["reached"] == pytest.approx(active.mean(), rel=0.1)
    assert fact["aim"] == activity
    assert fact["weight"] > 0
    assert model.gate_ == 1
    assert f"{name} weight" in model.summary()
    assert f"{activity} asked" in model.summary()


def test_a_shorter_code_counts_only_what_is_kept() -> None:
    z = torch.tensor([[3.0, 1.0], [0.1, 0.0], [3.0, -1.0]])
    relative, kept = relative_codes(z, torch.tensor([2, 1, 2]))
    assert kept.tolist() == [[True, True], [True, False], [True, True]]
    torch.testing.assert_close(relative[:, 1], torch.tensor([1.0, 0.0, -1.0]))
    assert active_share(z, torch.tensor([2, 1, 2])) == pytest.approx(4 / 5)


def test_kl_sparsity_is_the_divergence_of_mean_activations() -> None:
    network = composition().network(4, seeded())
    batch = Batch(torch.randn(50, 7, generator=seeded(1)))
    result = network(batch, Context())
    z = result.code.z.detach().double().numpy()
    units = np.abs(z) / np.sqrt(np.square(z).mean(0))
    q = (1 / (1 + np.exp(-2 * np.log(units / ACTIVE)))).mean(0)
    expected = 2 * (0.2 * np.log(0.2 / q) + 0.8 * np.log(0.8 / (1 - q))).sum()
    penalty = PENALTIES["kl_sparsity"](weight=2, activity=0.2)
    assert float(penalty(network, result).detach()) == pytest.approx(expected, rel=1e-4)


def test_l2_spares_biases_and_the_linear_path() -> None:
    network = composition().network(4, seeded())
    result = network(Batch(torch.zeros(2, 7)), Context())
    for name in ("l2", "decoder_l2"):
        network.zero_grad()
        PENALTIES[name](weight=0.5)(network, result).backward()
        for key, parameter in network.named_parameters():
            inside = not spared(key, parameter) and (name == "l2" or key.startswith("decoder"))
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(grad, parameter.detach() * float(inside))


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_proportional_to_its_weight(name: str) -> None:
    network = composition().network(4, seeded())
    one, three = (
        PENALTIES[name](weight=w)(network, network(Batch(normal(6, 7)), Context(rng=seeded())))
        for w in (1, 3)
    )
    torch.testing.assert_close(3 * one, three)


def test_contractive_equals_the_jacobian_in_expectation() -> None:
    network = composition().network(4, seeded()).double()
    batch = Batch(normal(6, 7).double())

    def encode(x: torch.Tensor) -> torch.Tensor:
        return network.encode(Batch(x), Context()).z

    jacobian = torch.autograd.functional.jacobian(encode, batch.x)
    exact = torch.stack([jacobian[i, :, i].square().sum() for i in range(6)]).mean()
    many = Batch(batch.x.repeat(4000, 1))
    estimate = PENALTIES["contractive"](weight=0.5)(network, network(many, Context(rng=seeded())))
    assert float(estimate.detach()) == pytest.approx(0.5 * float(exact), rel=0.02)


def test_l1_is_the_sum_of_absolute_codes_in_root_mean_squares() -> None:
    network = composition().network(4, seeded())
    result = network(Batch(normal(6, 7)), Context(size=torch.tensor([1, 2, 3, 4, 1, 2])))
    codes = result.code.z.detach().numpy()
    kept = np.array([6, 4, 2, 1])
    units = np.sqrt(np.square(codes).sum(0) / kept)
    expected = 0.5 * np.abs(codes / units).sum() / 6
    assert float(PENALTIES["l1"](weight=0.5)(network, result).detach()) == pytest.approx(expected)


# Dropout.


def test_dropout_changes_training_and_not_prediction() -> None:
    whole = composition(architecture="mlp:dropout=0.4")
    network, plain = whole.network(4, seeded()), composition().network(4, seeded())
    batch = Batch(torch.randn(50, 7, generator=seeded(1)))
    before = torch.random.get_rng_state()
    one, two = (network(batch, Context(rng=seeded(s))).params for s in (1, 2))
    again = network(batch, Context(rng=seeded(1))).params
    assert not torch.equal(one, two)
    assert torch.equal(one, again)
    assert torch.equal(torch.random.get_rng_state(), before)
    told = plain(batch, Context()).params
    assert torch.equal(network(batch, Context()).params, told)
    assert torch.equal(network.eval()(batch, Context(rng=seeded(1))).params, told)


def test_dropout_keeps_the_mean_of_units() -> None:
    hidden = torch.ones(400, 50)
    dropped = autoencode.architectures.mlp.dropped(hidden, 0.3, seeded())
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.3, abs=0.02)


def test_the_step_by_hand_is_not_taken_with_dropout() -> None:
    network = composition(architecture="mlp:dropout=0.1").network(4, seeded())
    flat, objective = FlatParameters(network), composition().objective()
    assert type(choose_step([network], objective, flat)) is AutogradStep
    with pytest.raises(TypeError, match="dropout"):
        DenseStep(network, objective, flat)


@pytest.mark.parametrize("likelihood", ["gaussian", "huber"])
def test_the_step_by_hand_knows_squared_weights(likelihood: str) -> None:
    whole = composition(penalties=("l2:weight=0.3",), likelihood=likelihood)
    batch = Batch(torch.randn(30, 7, generator=seeded(1)))
    found = []
    for kind in (DenseStep, AutogradStep):
        network = whole.network(4, seeded())
        flat = FlatParameters(network)
        step = kind(network, whole.objective(), flat)
        found.append((step(batch, batch, Context(), None), flat.gradients))
    for mine, reference in zip(*found, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-5)
    assert type(choose_step([network], whole.objective(), flat)) is DenseStep
    both = composition(penalties=("l2", "contractive")).objective()
    assert type(choose_step([network], both, flat)) is AutogradStep


@pytest.mark.parametrize("share", [1, -0.1, 2])
def test_a_dropout_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(SpecError, match=r"dropout=.* should lie in \[0, 1\)"):
        composition(architecture=f"mlp:dropout={share}").check()


# Strengths that are found.


@functools.cache
def chosen(n_rows: int, noise: float, penalty: str, run: int = 0) -> Autoencoder:
    """Fit to curved rows with a strength that is chosen."""
    del run
    options = {"hidden_layer_sizes": (64,), "nested": False, "random_state": 0}
    # Few rows are few steps: the more epochs.
    options["max_epochs"] = 40 if n_rows > 300 else 240
    model = Autoencoder(3, penalties=(penalty,), learning_rate=0.01, **options)
    return model.fit(curved(n_rows, noise))


def weight_of(model: Autoencoder) -> float:
    (fact,) = model._state.facts["penalties"]
    assert fact["chosen"] is True
    return float(fact["weight"])


def test_a_chosen_strength_is_zero_where_it_does_not_help() -> None:
    model = chosen(600, 0.0, "l2:weight=auto")
    assert weight_of(model) == 0
    assert model._state.composition.penalties == ()


def test_a_chosen_strength_is_positive_for_few_noisy_rows() -> None:
    model = chosen(120, 0.7, "l2:weight=auto")
    assert weight_of(model) > 0
    assert model._state.composition.penalties == (f"l2:weight={weight_of(model)!r}",)
    assert "(chosen on held-out rows)" in model.summary()


def test_the_same_seed_gives_the_same_strength_and_bits() -> None:
    one, two = (chosen(120, 0.7, "l2:weight=auto", run=run) for run in (0, 1))
    assert one._state.facts["penalties"] == two._state.facts["penalties"]
    X = curved(120, 0.7)
    assert one.transform(X).tobytes() == two.transform(X).tobytes()
    aims = [fitted("l1:activity=0.3", run=run) for run in (0, 1)]
    assert aims[0]._state.facts["penalties"] == aims[1]._state.facts["penalties"]
    assert aims[0].transform(X).tobytes() == aims[1].transform(X).tobytes()


def test_a_file_keeps_weights(tmp_path: Path) -> None:
    for model in (chosen(120, 0.7, "l2:weight=auto"), fitted("l1:activity=0.3")):
        model.save(tmp_path / "model.safetensors")
        loaded = autoencode.load(tmp_path / "model.safetensors")
        assert loaded._state.facts["penalties"] == model._state.facts["penalties"]
        assert loaded._state.composition == model._state.composition
        assert loaded.summary() == model.summary()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("l1:weight=auto", "would always be zero, as sparse codes never lower"),
        ("kl_sparsity:weight=auto", "ask for a share: 'kl_sparsity:activity=0.1'"),
        ("l1:weight=0.1,activity=0.1", "give weight or activity, not both"),
        ("l1:activity=1", "activity=1 should lie between 0 and 1"),
        ("kl_sparsity:activity=0", "activity=0 should lie between 0 and 1"),
        ("l2:weight=0", "weight=0 should be a positive number"),
        ("decoder_l2:weight=-1", "weight=-1 should be a positive number"),
    ],
)
def test_strengths_without_a_sense_are_refused(spec: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Autoencoder(2, penalties=(spec,)).fit(curved(60, 0.1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_few_rows_are_not_learned_by_heart_and_no_worse_than_pca() -> None:
    X = curved(900, 1.5)
    train, test = X[:150], X[150:]
    model = Autoencoder(3, random_state=0, max_epochs=40).fit(train)
    pca = Autoencoder(3, hidden_layer_sizes=()).fit(train)
    errors = [np.square(m.reconstruct(test) - test).mean() for m in (model, pca)]
    assert errors[0] <= 1.001 * errors[1]
    assert errors[0] <= 1.4 * np.square(model.reconstruct(train) - train).mean()
