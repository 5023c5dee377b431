"""Variational autoencoders as estimators: bounds, floor, likelihoods of rows, collapse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

import autoencode
from autoencode import Autoencoder, VariationalAutoencoder
from autoencode.defaults import hidden_layer_sizes
from autoencode.errors import DataError, SpecError
from autoencode.opening import open_for_fit
from autoencode.planning import make_plan
from autoencode.steps import AutogradStep

FAST: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_epochs": 40, "random_state": 0}


def ring(count: int = 600, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Make rows around a ring, which no normal distribution is like."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, count)
    rows = 3 * np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)
    mixing = np.random.default_rng(7).normal(size=(3, 6))
    return rows @ mixing + noise * rng.normal(size=(count, 6)) + 5


def flat(count: int = 300) -> np.ndarray:
    """Make rows that are normal: nothing is better than probabilistic PCA."""
    rng = np.random.default_rng(0)
    mixing = np.random.default_rng(7).normal(size=(2, 5))
    return 4 * rng.normal(size=(count, 2)) @ mixing + rng.normal(size=(count, 5))


@pytest.fixture(scope="module")
def model() -> VariationalAutoencoder:
    """A fitted model whose gate is open. Tests only read it."""
    fitted = VariationalAutoencoder(2, **FAST | {"max_epochs": 80}).fit(ring())
    assert fitted.gate_ == 1
    return fitted


@pytest.fixture(scope="module")
def linear() -> VariationalAutoencoder:
    """A fitted model whose gate is shut. Tests only read it."""
    fitted = VariationalAutoencoder(2, **FAST).fit(flat())
    assert fitted.gate_ == 0
    return fitted


# What is claimed.


def test_the_facts_agree_with_one_another(model: VariationalAutoencoder) -> None:
    found = model.bounds_
    assert found["bound"] > found["floor"] + 0.5
    assert found["elbo"] < found["bound"]
    assert found["gap"] == pytest.approx(found["bound"] - found["elbo"])
    assert found["rate"] + found["distortion"] == pytest.approx(-found["elbo"])
    assert found["rate"] > 0.5
    assert found["active"] == model.n_active_ == 2
    assert found["collapse"] is None
    assert found["n_draws"] == 500
    text = model.summary()
    assert f"log-likelihood {found['bound']:.2f} nats per row" in text
    assert "probabilistic PCA, exact" in text
    assert "2 of 2 units active" in text
    assert "by network" in text


def test_what_is_claimed_is_what_rows_that_nothing_saw_score(
    model: VariationalAutoencoder,
) -> None:
    claim = ring()[model._state.facts["claim_rows"]]
    assert model.bounds_["n_rows"] == len(claim) == 30
    # The claim is measured in float32, by other draws than the score.
    scores = model.score_samples(claim)
    assert scores.mean() == pytest.approx(model.bounds_["bound"], abs=0.1)
    assert model.score_samples(ring(2000, seed=1)).mean() > model.bounds_["floor"]


def test_the_floor_is_the_density_of_probabilistic_pca(model: VariationalAutoencoder) -> None:
    X, facts = ring(), model._state.facts
    claim = facts["claim_rows"]
    # Of a tenth that is held out, half chooses and half is the claim.
    assert facts["n_train"] == 540
    others = np.delete(np.arange(600), claim)
    expected = density(X[others], 2).logpdf(X[claim]).mean()
    assert model.bounds_["floor"] == pytest.approx(expected, abs=0.1)


def density(X: np.ndarray, n_components: int) -> Any:
    """Return probabilistic PCA by scikit-learn, whose variances divide by n - 1."""
    pca = PCA(n_components).fit(X)
    return multivariate_normal(pca.mean_, pca.get_covariance() * (len(X) - 1) / len(X))


def test_a_shut_gate_is_probabilistic_pca_exactly(linear: VariationalAutoencoder) -> None:
    X = flat()
    np.testing.assert_allclose(linear.score_samples(X), density(X, 2).logpdf(X), rtol=1e-8)
    found = linear.bounds_
    assert found["elbo"] == found["bound"] == found["floor"]
    assert found["gap"] == 0
    assert "by probabilistic PCA (the network did not pay)" in linear.summary()


def test_without_hidden_layers_it_is_probabilistic_pca() -> None:
    X = ring()
    fitted = VariationalAutoencoder(2, hidden_layer_sizes=()).fit(X)
    np.testing.assert_allclose(fitted.score_samples(X), density(X, 2).logpdf(X), rtol=1e-8)


def test_few_rows_are_probabilistic_pca_too() -> None:
    X = flat(30)
    fitted = VariationalAutoencoder(2, **FAST).fit(X)
    np.testing.assert_allclose(fitted.score_samples(X), density(X, 2).logpdf(X), rtol=1e-8)
    assert fitted.bounds_["n_rows"] == 30
    assert fitted.bounds_["bound_error"] is not None


# Scores.


def test_a_score_is_the_same_in_any_company(model: VariationalAutoencoder) -> None:
    X = ring(300, seed=2)
    every = model.score_samples(X)
    assert every.dtype == np.float64
    order = np.random.default_rng(0).permutation(300)
    np.testing.assert_allclose(model.score_samples(X[order]), every[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.score_samples(X[17:18]), every[17:18], rtol=0, atol=1e-12)
    assert np.array_equal(model.score_samples(X), every)


@pytest.mark.parametrize("scaling", ["common", "standard"])
def test_a_score_is_in_the_units_of_the_data(scaling: str) -> None:
    X = ring()
    own = np.array([1.0, 10.0, 0.1, 5.0, 2.0, 1.0]) if scaling == "standard" else np.full(6, 8.0)
    plain, other = (
        VariationalAutoencoder(2, scaling=scaling, **FAST).fit(data) for data in (X, X * own)
    )
    moved = plain.score_samples(X) - other.score_samples(X * own)
    np.testing.assert_allclose(moved, np.log(own).sum(), atol=0.3)
    assert plain.gate_ == 1


def test_far_rows_are_less_likely_than_near_ones(model: VariationalAutoencoder) -> None:
    X = ring(50, seed=3)
    middle = ring().mean(0, keepdims=True)
    assert model.score_samples(X).mean() > model.score_samples(middle)[0] + 3
    assert model.score_samples(X).mean() > model.score_samples(X + 5).mean() + 3


def test_codes_are_not_random_and_near_their_prior(model: VariationalAutoencoder) -> None:
    X = ring()
    codes = model.transform(X)
    assert codes.tobytes() == model.transform(X).tobytes()
    assert np.array_equal(model.transform(X[5:9]), codes[5:9])
    assert 0.3 < codes.std() < 2.0
    rebuilt = model.inverse_transform(codes)
    assert np.square(rebuilt - X).mean() < np.square(X - X.mean(0)).mean() / 5


def test_a_file_keeps_bounds_codes_and_scores(
    model: VariationalAutoencoder, linear: VariationalAutoencoder, tmp_path: Path
) -> None:
    for place, (fitted, X) in enumerate([(model, ring()), (linear, flat())]):
        path = tmp_path / f"{place}.safetensors"
        fitted.save(path)
        loaded = autoencode.load(path)
        assert isinstance(loaded, VariationalAutoencoder)
        assert loaded.bounds_ == fitted.bounds_
        assert loaded.summary() == fitted.summary()
        assert np.array_equal(loaded.score_samples(X), fitted.score_samples(X))
        fitted.save(tmp_path / "encoder.safetensors", encoder_only=True)
        encoder = autoencode.load(tmp_path / "encoder.safetensors")
        assert np.array_equal(encoder.transform(X), fitted.transform(X))
        with pytest.raises(DataError, match="encoder_only=True"):
            encoder.score_samples(X)
        (tmp_path / "encoder.safetensors").unlink()


def test_a_truncated_model_scores_and_claims_no_bound(model: VariationalAutoencoder) -> None:
    shorter = model.truncate(1)
    assert "bound" not in shorter.bounds_
    assert "log-likelihood" not in shorter.summary()
    X = ring(100, seed=4)
    assert shorter.score_samples(X).mean() < model.score_samples(X).mean()


# Choices.


def test_as_many_units_as_pca_needs() -> None:
    X = ring(noise=0.05)
    auto = VariationalAutoencoder(**FAST | {"max_epochs": 2}).fit(X)
    share = VariationalAutoencoder(0.95, **FAST | {"max_epochs": 2}).fit(X)
    # Two components explain 94% of all rows, three 99.98%.
    assert auto.n_components_ == share.n_components_ in (2, 3)
    assert VariationalAutoencoder(0.99, **FAST | {"max_epochs": 2}).fit(X).n_components_ == 3
    assert VariationalAutoencoder(0.5, **FAST | {"max_epochs": 2}).fit(X).n_components_ == 1


@pytest.mark.parametrize(
    "choice", [{"n_samples": 5}, {"posterior": "flow"}, {"free_bits": 3.0}], ids=str
)
def test_every_choice_changes_the_fit(choice: dict[str, Any], model: Any) -> None:
    other = VariationalAutoencoder(2, **FAST | {"max_epochs": 80} | choice).fit(ring())
    assert other.history_["held_out"] != model.history_["held_out"]
    if "free_bits" in choice:
        # More than units need: they are made to hold it.
        assert other.bounds_["rate"] > model.bounds_["rate"] + 0.5
        return
    assert other.gate_ == 1
    assert other.bounds_["bound"] > other.bounds_["floor"]


@pytest.mark.parametrize(
    ("n_features", "n_rows", "sizes"),
    [(64, 1437, (64, 32)), (64, 5750, (256, 128)), (13, 142, (64, 32)), (4, 9000, (32, 16))],
)
def test_layers_are_as_wide_as_rows_are_many(
    n_features: int, n_rows: int, sizes: tuple[int, ...]
) -> None:
    assert hidden_layer_sizes("auto", n_features, n_rows) == sizes
    assert hidden_layer_sizes((500,), n_features, n_rows) == (500,)
    given = VariationalAutoencoder().get_params() | {
        "n_components": 0.95,
        "bottleneck": "gaussian",
    }
    rows = open_for_fit(np.random.default_rng(0).normal(size=(n_rows, n_features)), None)
    everything = Autoencoder().get_params() | given
    assert make_plan(everything, rows).composition.hidden_layer_sizes == sizes
    assert make_plan(Autoencoder().get_params(), rows).composition.hidden_layer_sizes != sizes


def test_an_autoencoder_may_have_the_bottleneck_too() -> None:
    X = ring(300)
    fitted = Autoencoder(2, bottleneck="gaussian", **FAST | {"max_epochs": 10}).fit(X)
    same = VariationalAutoencoder(2, **FAST | {"max_epochs": 10}).fit(X)
    assert np.array_equal(fitted.score_samples(X), same.score_samples(X))


def test_shorter_codes_can_be_trained_too() -> None:
    X = ring(300)
    fitted = Autoencoder(2, bottleneck="gaussian", nested=True, **FAST).fit(X)
    assert list(dict.fromkeys(fitted.history_["phase"])) == ["nested", "final"]
    assert len(set(fitted.history_["train_code"])) > 10
    shorter = fitted.truncate(1)
    assert shorter.n_components_ == 1
    assert np.isfinite(shorter.score_samples(X)).all()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"n_components": "all"}, "n_components='all' should be 'auto', a whole number or a share"),
        ({"n_components": True}, "n_components=True should be 'auto', a whole number"),
        ({"n_components": 9}, "n_components=9 must be a whole number between 1 and"),
        ({"n_samples": 0}, "n_samples=0 should be one or a positive whole number"),
        ({"n_samples": 1.5}, "n_samples=1.5 should be one or a positive whole number"),
        ({"posterior": "normal"}, "posterior='normal' should be 'gaussian' or 'flow'"),
        ({"free_bits": -1}, "free_bits=-1 should be None or a positive number"),
    ],
)
def test_a_bad_choice_is_refused(choice: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        VariationalAutoencoder(**choice).fit(ring(100))


def test_a_flow_cannot_be_nested() -> None:
    with pytest.raises(SpecError, match="nested=True needs codes that can be shortened"):
        Autoencoder(2, bottleneck="gaussian:posterior=flow", nested=True).fit(ring(100))


# Warm-up.


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_weight_of_the_cost_rises_to_one(warmup: float, monkeypatch: Any) -> None:
    weights, step = [], AutogradStep.__call__

    def noted(self: AutogradStep, batch: Any, target: Any, context: Any, others: Any) -> Any:
        weights.append(context.cost_weight)
        return step(self, batch, target, context, others)

    monkeypatch.setattr(AutogradStep, "__call__", noted)
    spec = f"gaussian:warmup={warmup}"
    Autoencoder(2, bottleneck=spec, **FAST | {"max_epochs": 20}).fit(ring(300))
    assert weights == sorted(weights)
    assert weights[0] == (0.0 if warmup else 1.0)
    assert weights[-1] == 1.0
    assert np.mean(np.array(weights) < 1.0) == pytest.approx(warmup, abs=0.01)


# Collapse.


def test_a_collapse_is_named_and_mended() -> None:
    """Values are taken to be so far from their means that no unit can pay for itself."""
    X = np.random.default_rng(0).normal(size=(300, 1)) @ np.ones((1, 8))
    X = X + 0.7 * np.random.default_rng(1).normal(size=(300, 8))
    fitted = VariationalAutoencoder(
        1, likelihood="gaussian:scale=5.0", batch_size=8, **FAST | {"learning_rate": 0.01}
    ).fit(X)
    found = fitted.bounds_["collapse"]
    assert found is not None
    assert found["active"] == 0
    assert found["needed"] == 1
    assert found["free_bits"] > 0
    assert "posterior collapse: 0 units active where probabilistic PCA has 1" in fitted.summary()
    assert set(fitted.history_["phase"]) == {"final", "cured"}
    assert found["after"] == 1
    assert ": 1 active, " in fitted.summary()


def test_rows_without_anything_to_code_are_no_collapse() -> None:
    X = np.random.default_rng(0).normal(size=(300, 5))
    fitted = VariationalAutoencoder(1, **FAST).fit(X)
    assert fitted.bounds_["collapse"] is None


# Tables.


def table(count: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=count)
    frame = pd.DataFrame(
        {
            "x": hidden + 0.2 * rng.normal(size=count),
            "wide": np.sinh(2 * hidden + 0.1 * rng.normal(size=count)),
            "level": np.array(["a", "b", "c"])[np.digitize(hidden, [-0.5, 0.5])],
            "yes": hidden + 0.3 * rng.normal(size=count) > 0,
            "count": rng.poisson(np.exp(hidden)),
        }
    )
    for name in ("x", "level"):
        frame[name] = frame[name].mask(rng.random(count) < 0.1)
    return frame


@pytest.fixture(scope="module")
def mixed() -> VariationalAutoencoder:
    """A model of a mixed table with missing cells. Tests only read it."""
    fitted = VariationalAutoencoder(1, **FAST).fit(table())
    assert fitted.gate_ == 1
    return fitted


def test_a_mixed_table_has_likelihoods(mixed: VariationalAutoencoder) -> None:
    found, frame = mixed.bounds_, table()
    assert found["floor_kind"] == "independent"
    assert found["bound"] > found["floor"] + 0.5
    assert "columns by themselves" in mixed.summary()
    scores = mixed.score_samples(frame)
    assert np.isfinite(scores).all()
    assert scores[mixed._state.facts["claim_rows"]].mean() == pytest.approx(found["bound"], abs=0.3)
    np.testing.assert_allclose(mixed.score_samples(frame[100:140]), scores[100:140], atol=1e-12)
    assert type(mixed.reconstruct(frame)) is pd.DataFrame


def test_missing_cells_do_not_count(mixed: VariationalAutoencoder) -> None:
    frame = table().iloc[:20].astype({"yes": "boolean", "count": "Int64"})
    frame.loc[:, :] = frame.mask(np.ones(frame.shape, dtype=bool))
    scores = mixed.score_samples(frame)
    # A bound on the probability of anything at all, which is 1.
    assert (scores == scores[0]).all()
    assert -1 < scores[0] < 0.01


def test_a_level_that_was_never_seen_is_unlikely(mixed: VariationalAutoencoder) -> None:
    frame = table().dropna().iloc[:20]
    gone = mixed.score_samples(frame.assign(level=None))
    new = mixed.score_samples(frame.assign(level="z"))
    assert (new < gone - 5).all()


def test_a_score_of_a_table_is_in_its_units(mixed: VariationalAutoencoder) -> None:
    frame = table()
    other = VariationalAutoencoder(1, **FAST).fit(frame.assign(x=frame["x"] * 10))
    moved = mixed.score_samples(frame) - other.score_samples(frame.assign(x=frame["x"] * 10))
    expected = np.where(frame["x"].isna(), 0.0, np.log(10.0))
    np.testing.assert_allclose(moved, expected, atol=0.05)
