"""Densities over codes: known answers, a choice by held-out codes, kept in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from autoencode import Autoencoder, VariationalAutoencoder, load
from autoencode.code_prior import FlowPrior, SecondPrior, new_flow, prior_from_file
from autoencode.errors import DataError, SpecError
from autoencode.prior_choice import Coordinates, choose_prior
from autoencode.prior_fit import fit_flow, fit_second
from autoencode.prior_summary import describe_prior

NONE = np.zeros(0, np.intp)


def ring(n: int = 400, seed: int = 0) -> np.ndarray:
    """Make codes around a ring, which no normal distribution is like."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([3 * np.cos(angle), np.sin(angle)], 1) + 0.05 * rng.normal(size=(n, 2))


def zeros(codes: np.ndarray) -> Any:
    return np.zeros(len(codes), np.intp)


@pytest.fixture(scope="module")
def flow() -> FlowPrior:
    codes = ring()
    return fit_flow(codes, zeros(codes), 0, np.random.default_rng(0), 15)


@pytest.fixture(scope="module")
def second() -> SecondPrior:
    return fit_second(ring(), np.random.default_rng(0), 40)


def test_a_flow_before_training_is_a_normal_distribution() -> None:
    prior = FlowPrior(np.array([1.0, -2.0]), np.array([0.5, 3.0]), new_flow(2, 0), 0)
    codes = np.random.default_rng(0).normal(size=(20, 2))
    expected = multivariate_normal([1.0, -2.0], np.diag([0.25, 9.0])).logpdf(codes)
    np.testing.assert_allclose(prior.log_density(codes, zeros(codes)), expected, rtol=1e-9)


def test_the_density_of_a_flow_integrates_to_one(flow: FlowPrior) -> None:
    side = [np.linspace(-8, 8, 400), np.linspace(-4, 4, 400)]
    points = np.stack(np.meshgrid(*side), -1).reshape(-1, 2)
    cell = (side[0][1] - side[0][0]) * (side[1][1] - side[1][0])
    total = float(np.exp(flow.log_density(points, zeros(points))).sum() * cell)
    assert total == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["flow", "second"])
def test_networks_learn_what_no_normal_distribution_is_like(
    kind: str, flow: FlowPrior, second: SecondPrior
) -> None:
    prior = flow if kind == "flow" else second
    codes, other = ring(), ring(300, seed=1)
    normal = multivariate_normal(codes.mean(0), np.cov(codes.T)).logpdf(other).mean()
    assert prior.log_density(other, zeros(other)).mean() > normal + 0.1
    drawn = prior.draw(np.zeros(3000, np.intp), np.random.default_rng(0))
    np.testing.assert_allclose(drawn.std(0), codes.std(0), rtol=0.2)


@pytest.mark.parametrize("kind", ["flow", "second"])
def test_files_keep_what_is_drawn(kind: str, flow: FlowPrior, second: SecondPrior) -> None:
    prior = flow if kind == "flow" else second
    tensors = prior.tensors()
    assert all(part.dtype in (np.float32, np.float64) for part in tensors.values())
    again = prior_from_file(prior.header(), tensors)
    draws = [p.draw(np.zeros(9, np.intp), np.random.default_rng(3)) for p in (prior, again)]
    np.testing.assert_array_equal(*draws)
    with pytest.raises(KeyError, match="prior 'other'"):
        prior_from_file({"kind": "other"}, tensors)


def test_a_flow_is_told_the_class() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], 200)
    codes = np.where(groups[:, None] == 1, 4.0, -4.0) + rng.normal(size=(400, 2))
    prior = fit_flow(codes, groups, 2, rng, 30)
    drawn = prior.draw(np.repeat([0, 1], 50), rng)
    assert drawn[:50].mean() < -2
    assert drawn[50:].mean() > 2


def test_auto_keeps_the_mixture_unless_a_network_is_likelier(monkeypatch: Any) -> None:
    codes = ring(300)
    monkeypatch.setattr("autoencode.prior_choice._ENOUGH_CODES", 100)
    found = Coordinates(codes, codes, zeros(codes), 0, None)
    chosen, prior = choose_prior(found, "auto", 2, np.random.default_rng(0))
    kinds = {note["kind"]: note for note in chosen.candidates}
    assert set(kinds) == {"normal", "mixture", "flow", "variational"}
    assert prior is None
    assert sum(note["chosen"] for note in chosen.candidates) == 1

    class Sure:
        kind = "flow"

        def log_density(self, codes: Any, classes: Any) -> Any:
            return np.full(len(codes), 50.0)

    monkeypatch.setattr("autoencode.prior_choice.fit_flow", lambda *given: Sure())
    chosen, prior = choose_prior(found, "auto", 2, np.random.default_rng(0))
    assert isinstance(prior, Sure)
    assert [note["kind"] for note in chosen.candidates if note["chosen"]] == ["flow"]
    assert describe_prior(chosen.candidates).startswith("new codes are drawn from a coupling flow;")
    assert "alike but for chance" not in describe_prior(chosen.candidates)
    least = [note | {"held_out": -1e9 if note["chosen"] else 0.0} for note in chosen.candidates]
    assert describe_prior(least).endswith(
        "(alike but for chance: what follows rows most closely is taken)"
    )
    # A model that was not trained is given no network by itself.
    assert choose_prior(found, "auto", 0, np.random.default_rng(0))[1] is None


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    """PCA of rows around a ring in four columns, with classes."""
    rows = ring() @ np.random.default_rng(1).normal(size=(2, 4))
    fitted = Autoencoder(2, hidden_layer_sizes=(), conditional=True, random_state=0)
    return fitted.fit(rows, np.where(rows[:, 0] > 0, "right", "left"))


@pytest.mark.parametrize("prior", ["normal", "mixture", "flow"])
def test_every_prior_draws_by_class_and_is_kept(
    prior: str, model: Autoencoder, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("autoencode.prior_choice.MOST_EPOCHS", 15)
    rows = ring() @ np.random.default_rng(1).normal(size=(2, 4))
    model.fit_prior(rows, np.where(rows[:, 0] > 0, "right", "left"), prior=prior, random_state=0)
    sampler = model._state.sampler
    assert sampler is not None
    assert (sampler.prior is not None) == (prior == "flow")
    drawn, classes = model.sample(200, y="right", random_state=0)
    assert set(classes) == {"right"}
    assert np.mean(drawn[:, 0] > 0) > 0.7
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    np.testing.assert_array_equal(again.sample(20, random_state=0)[0],
        model.sample(20, random_state=0)[0])  # fmt: skip
    told = next(line for line in again.summary().splitlines() if "codes are drawn from" in line)
    assert {"normal": "a normal", "mixture": "a mixture", "flow": "a coupling flow"}[prior] in told


def test_a_second_autoencoder_and_the_own_prior_of_a_variational_model(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("autoencode.prior_choice.MOST_EPOCHS", 4)
    bent = np.concatenate([ring(), np.square(ring())], 1)
    rows = bent @ np.random.default_rng(1).normal(size=(4, 6)) + 0.1 * np.tile(ring(seed=2), 3)
    model = VariationalAutoencoder(2, hidden_layer_sizes=(16,), max_epochs=30, random_state=0)
    model.fit(rows)
    assert model.gate_ == 1
    assert "held-out codes: N(0, I) " in model.summary()
    model.fit_prior(rows, prior="variational", random_state=0)
    assert "drawn from a second autoencoder" in model.summary()
    drawn = model.sample(500, random_state=0)
    np.testing.assert_allclose(drawn.std(0), rows.std(0), rtol=0.2)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").sample(500, random_state=0), drawn)
    model.fit_prior(rows, prior="normal", random_state=0)
    sampler = model._state.sampler
    assert sampler is not None
    # N(0, I) of the network, whatever units and directions coordinates have.
    codes = sampler.mixture.draw(np.zeros(20_000, np.intp), np.random.default_rng(0))[:, :2]
    codes = sampler.code_mean + codes @ sampler.code_basis
    scale = model.encoder_.code_scale.numpy()
    np.testing.assert_allclose(codes.mean(0) / scale, 0, atol=0.03)
    np.testing.assert_allclose(np.cov((codes / scale).T), np.eye(2), atol=0.05)


def test_what_cannot_be_fitted_is_refused(model: Autoencoder) -> None:
    rows = ring() @ np.random.default_rng(1).normal(size=(2, 4))
    classes = np.where(rows[:, 0] > 0, "right", "left")
    with pytest.raises(SpecError, match="prior='best' is not known; choose from auto, normal"):
        model.fit_prior(rows, classes, prior="best")
    with pytest.raises(SpecError, match="prior='variational' knows no classes"):
        model.fit_prior(rows, classes, prior="variational")
    with pytest.raises(DataError, match="prior='flow' needs 50 rows at least, these are 30"):
        model.fit_prior(rows[:30], classes[:30], prior="flow")
