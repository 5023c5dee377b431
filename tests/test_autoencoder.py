"""The estimator: known answers, sizes, scores, files, and what scikit-learn does with it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autoencode
from autoencode import Autoencoder
from autoencode.errors import AutoencodeError, DataError, SpecError
from autoencode.training import History

STOP_REASONS = {"reached the asked level", "no further gain", "budget", "interrupted"}


def flat(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).reshape(len(values), -1)


def squared_error(model: Any, X: np.ndarray) -> float:
    return float(np.square(flat(X) - flat(model.inverse_transform(model.transform(X)))).sum())


def told(model: Autoencoder) -> dict[str, Any]:
    return {name: column for name, column in model.history_.items() if name != "seconds"}


# The linear autoencoder is PCA.


@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_without_hidden_layers_it_is_pca_on_all_rows(load: Any, size: int) -> None:
    X = load().data
    model, reference = Autoencoder(size, hidden_layer_sizes=()).fit(X), PCA(size).fit(X)
    assert model.gate_ == 0
    mine, best = squared_error(model, X), squared_error(reference, X)
    assert abs(mine - best) <= 1e-9 * np.square(X - X.mean(0)).sum()
    codes, expected = model.transform(X), reference.transform(X)
    signs = np.sign((codes * expected).sum(0))
    np.testing.assert_allclose(codes, signs * expected, atol=1e-9 * np.abs(expected).max())


def test_points_near_a_plane() -> None:
    rng = np.random.default_rng(42)
    angles = rng.random(1000) * 3 * np.pi / 2 - 0.5
    noise = rng.normal(size=(1000, 3)) * 0.1
    plane = [np.cos(angles) + np.sin(angles) / 2, np.sin(angles) * 0.7]
    X = np.stack([*plane, plane[0] * 0.1 + plane[1] * 0.3], 1) + noise
    model = Autoencoder(2, hidden_layer_sizes=()).fit(X)
    assert squared_error(model, X) == pytest.approx(squared_error(PCA(2).fit(X), X), rel=1e-6)
    assert model.score(X) == pytest.approx(PCA(2).fit(X).explained_variance_ratio_.sum())


def test_ratios_add_up_to_the_curve(bent: np.ndarray) -> None:
    model = Autoencoder(5, hidden_layer_sizes=()).fit(bent)
    curve = model.curve_
    assert curve["size"].tolist() == [1, 2, 3, 4, 5]
    assert not curve["network"].any()
    np.testing.assert_allclose(
        np.cumsum(model.explained_variance_ratio_), curve["explained_variance"], rtol=1e-12
    )
    np.testing.assert_array_equal(curve["error"], curve["pca_error"])


def test_ratios_of_a_network_end_where_the_curve_does(network_model: Autoencoder) -> None:
    curve = network_model.curve_
    assert network_model.explained_variance_ratio_.shape == (3,)
    assert curve["size"].tolist() == [1, 2, 3]
    assert curve["network"][-1]
    total = network_model.explained_variance_ratio_.sum()
    assert total == pytest.approx(curve["explained_variance"][-1], abs=1e-6)
    assert (curve["error"] <= curve["pca_error"] * 1.05).all()
    assert curve["error"][-1] < 0.5 * curve["pca_error"][-1]
    np.testing.assert_allclose(
        1 - curve["explained_variance"],
        curve["error"] / curve["pca_error"] * (1 - curve["pca_explained_variance"]),
    )


# Sizes.


def test_every_shorter_model_is_hardly_worse_than_pca(digits: np.ndarray) -> None:
    train, test = digits[:1200], digits[1200:]
    model = Autoencoder(12, hidden_layer_sizes=(64,), max_epochs=15, random_state=0).fit(train)
    assert model.gate_ == 1
    ratios = []
    for size in range(1, 13):
        shorter = model.truncate(size)
        assert shorter.n_components_ == size
        assert shorter.transform(test).shape == (len(test), size)
        assert shorter.explained_variance_ratio_.shape == (size,)
        best = squared_error(PCA(size, random_state=0).fit(train), test)
        ratios.append(squared_error(shorter, test) / best)
    assert max(ratios) <= 1.03
    assert min(ratios) < 0.9
    assert np.array_equal(model.truncate(12).transform(test), model.transform(test))
    for bad in (0, 13, 2.5):
        with pytest.raises(SpecError, match="should lie between 1 and 12"):
            model.truncate(bad)


def test_a_share_of_variance_is_reached(bent: np.ndarray) -> None:
    options = {"hidden_layer_sizes": (32,), "max_epochs": 30, "random_state": 0}
    model = Autoencoder(0.9, **options).fit(bent[:300])
    assert model.score(bent[300:]) > 0.85
    assert 1 <= model.n_components_ <= 4
    assert model.stop_reason_ in STOP_REASONS
    more = Autoencoder(0.99, **options).fit(bent[:300])
    assert more.n_components_ > model.n_components_
    assert more.score(bent[300:]) > 0.97
    linear = Autoencoder(0.9, hidden_layer_sizes=()).fit(bent[:300])
    assert linear.stop_reason_ == "reached the asked level"
    assert linear.n_components_ >= model.n_components_


def test_a_share_that_no_size_reaches_brings_a_warning() -> None:
    X = np.random.default_rng(0).normal(size=(60, 200))
    for hidden in ((), (8,)):
        model = Autoencoder(0.95, hidden_layer_sizes=hidden, max_epochs=2, random_state=0)
        with pytest.warns(UserWarning, match="no size reaches n_components=0.95; the best is 0."):
            model.fit(X)
        assert 1 <= model.n_components_ <= 60
        assert model.stop_reason_ != "reached the asked level"


# Scores.


@pytest.mark.parametrize("named", [True, False])
def test_score_is_the_variance_weighted_r2(bent: np.ndarray, named: bool) -> None:
    X = bent * [1, 10, 100, 1, 1, 1, 1, 1, 0.1]
    data = pd.DataFrame(X, columns=list("abcdefghi")) if named else X
    for hidden in ((), (16,)):
        model = Autoencoder(2, hidden_layer_sizes=hidden, max_epochs=10, random_state=0).fit(data)
        scale = model._state.scaling.scale
        # What is decoded, before cells of a table are held to the range that was seen.
        with torch.no_grad():
            rows = torch.from_numpy(X).to(next(model.encoder_.buffers()).dtype)
            decoded = model.decoder_(model.encoder_(rows)).double().numpy()
        expected = r2_score(X / scale, decoded / scale, multioutput="variance_weighted")
        assert model.score(data) == pytest.approx(expected, abs=1e-6 if hidden else 1e-9)
        assert model.score(data, np.zeros(len(X))) == model.score(data)


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_outliers_score_lower(kind: str, bent: np.ndarray, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    scores = model.score_samples(bent)
    assert scores.shape == (len(bent),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    far = bent[:50] + np.random.default_rng(0).normal(size=(50, 9)) * 20
    assert np.median(model.score_samples(far)) < scores.min()


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_scores_and_codes_are_in_the_datas_units(bent: np.ndarray, hidden: tuple[int, ...]) -> None:
    model = Autoencoder(3, hidden_layer_sizes=hidden, max_epochs=20, random_state=0)
    first = clone(model).fit(bent)
    scores = first.score_samples(bent)
    assert first.gate_ == bool(hidden)
    # A power of two scales without rounding, so training takes the same course.
    eightfold = clone(model).fit(8 * bent)
    expected = scores - 9 * np.log(8)
    np.testing.assert_allclose(eightfold.score_samples(8 * bent), expected, rtol=1e-9)
    # Codes of bare arrays are in the data's units too, as PCA's are.
    np.testing.assert_allclose(eightfold.transform(8 * bent), 8 * first.transform(bent), rtol=1e-9)
    if not hidden:
        tenfold = clone(model).fit(10 * bent).score_samples(10 * bent)
        np.testing.assert_allclose(tenfold, scores - 9 * np.log(10), rtol=1e-9)


# scikit-learn's ways.


def test_pipeline_grid_search_clone_and_pickle(bent: np.ndarray) -> None:
    model = Autoencoder(hidden_layer_sizes=(), random_state=0)
    chain = make_pipeline(StandardScaler(), model).fit(bent)
    assert chain.transform(bent).shape[1] == chain[-1].n_components_
    assert chain.score(bent) > 0.9
    search = GridSearchCV(model, {"n_components": [1, 3]}, cv=2).fit(bent)
    assert search.best_params_ == {"n_components": 3}
    assert not hasattr(clone(search.best_estimator_), "n_components_")
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_a_pickled_estimator_is_the_same(
    kind: str, bent: np.ndarray, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301 -- our own bytes
    assert np.array_equal(again.transform(bent), model.transform(bent))
    assert np.array_equal(again.score_samples(bent), model.score_samples(bent))
    assert again.get_params() == model.get_params()


# The same seed.


def test_the_same_seed_gives_the_same_bits(bent: np.ndarray) -> None:
    def fitted(seed: int) -> Autoencoder:
        options = {"corruption": "gaussian:level=0.05", "max_epochs": 15}
        return Autoencoder(3, hidden_layer_sizes=(32,), random_state=seed, **options).fit(bent)

    first, same, other = fitted(0), fitted(0), fitted(1)
    assert first.gate_ == 1
    assert first.transform(bent).tobytes() == same.transform(bent).tobytes()
    assert told(first) == told(same)
    assert first.transform(bent).tobytes() != other.transform(bent).tobytes()


def test_a_random_state_object_is_drawn_from(bent: np.ndarray) -> None:
    state = np.random.RandomState(0)
    model = Autoencoder(2, hidden_layer_sizes=(8,), max_epochs=2, random_state=state)
    first, second = told(model.fit(bent)), told(model.fit(bent))
    assert first != second


# Files.


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_a_saved_model_is_the_same(
    kind: str, bent: np.ndarray, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    codes = model.transform(bent)
    assert loaded.transform(bent).tobytes() == codes.tobytes()
    assert np.array_equal(loaded.inverse_transform(codes), model.inverse_transform(codes))
    assert np.array_equal(loaded.score_samples(bent), model.score_samples(bent))
    assert loaded.get_params() == model.get_params()
    assert loaded.summary() == model.summary()
    assert (loaded.gate_, loaded.stop_reason_) == (model.gate_, model.stop_reason_)
    assert loaded.history_ == model.history_
    for name, column in model.curve_.items():
        assert np.array_equal(loaded.curve_[name], column)
    shorter = loaded.truncate(2).transform(bent)
    assert np.array_equal(shorter, model.truncate(2).transform(bent))
    # Rows of another dtype than those of the fit.
    single = loaded.transform(bent.astype(np.float32))
    assert single.dtype == np.float32
    assert np.abs(single - codes).max() <= 1e-5 * np.abs(codes).max()


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_an_encoder_alone_still_encodes(
    kind: str, bent: np.ndarray, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    model.save(whole)
    model.save(half, encoder_only=True)
    assert half.stat().st_size < whole.stat().st_size
    loaded = autoencode.load(half)
    codes = model.transform(bent)
    assert np.array_equal(loaded.transform(bent), codes)
    assert loaded.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()
    assert loaded.summary()
    for use in (
        lambda: loaded.inverse_transform(codes),
        lambda: loaded.decode(codes),
        lambda: loaded.reconstruct(bent),
        lambda: loaded.score(bent),
        lambda: loaded.score_samples(bent),
    ):
        with pytest.raises(DataError, match="encoder_only=True: it cannot decode"):
            use()
    # Saved again, it stays what it is.
    loaded.save(tmp_path / "again.safetensors")
    again = autoencode.load(tmp_path / "again.safetensors")
    assert np.array_equal(again.transform(bent), codes)


def test_names_go_into_the_file_and_back(bent: np.ndarray, tmp_path: Path) -> None:
    frame = pd.DataFrame(bent, columns=[f"größe {place}" for place in range(9)])
    model = Autoencoder(2, hidden_layer_sizes=()).fit(frame)
    model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert loaded.feature_names_in_.tolist() == model.feature_names_in_.tolist()
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert np.array_equal(loaded.transform(frame), model.transform(frame))
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(frame.rename(columns={"größe 0": "other"}))


def test_parts_from_outside_need_trust(outside: str, bent: np.ndarray, tmp_path: Path) -> None:
    parts = {
        "corruption": f"{outside}:Shift:by=0.01",
        "likelihood": f"{outside}:Narrow:width=0.5",
        "bottleneck": f"{outside}:Doubled",
        "penalties": (f"{outside}:Small:weight=0.001",),
    }
    for name, part in parts.items():
        path = tmp_path / f"{name}.safetensors"
        options = {"hidden_layer_sizes": (16,), "max_epochs": 15, "random_state": 0}
        model = Autoencoder(3, **options, **{name: part}).fit(bent)
        model.save(path)
        for trusted in ((), ("outside",), ("outside_parts.other",)):
            with pytest.raises(AutoencodeError, match=r"trusted=\('outside_parts',\)"):
                autoencode.load(path, trusted=trusted)
        for trusted in (("outside_parts",), ("other", "outside_parts.parts")):
            loaded = autoencode.load(path, trusted=trusted)
            assert np.array_equal(loaded.transform(bent), model.transform(bent))


def test_a_part_without_a_name_cannot_be_saved(bent: np.ndarray, tmp_path: Path) -> None:
    model = Autoencoder(
        2, hidden_layer_sizes=(8,), max_epochs=2, corruption=lambda layout: lambda batch, rng: batch
    ).fit(bent)
    assert model.transform(bent).shape == (400, 2)
    with pytest.raises(SpecError, match="has no importable name"):
        model.save(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


# Interrupts.


@pytest.mark.parametrize("at", [("nested", 3), ("final", 2)])
def test_an_interrupted_fit_leaves_a_usable_model(bent: np.ndarray, at: tuple[str, int]) -> None:
    def interrupt(phase: str, history: History) -> None:
        if (phase, history.columns["epoch"][-1]) == at:
            raise KeyboardInterrupt

    options = {"hidden_layer_sizes": (32,), "max_epochs": 20, "random_state": 0}
    model = Autoencoder(3, verbose=interrupt, **options)
    with pytest.raises(KeyboardInterrupt):
        model.fit(bent)
    assert model.stop_reason_ == "interrupted"
    assert model.transform(bent).shape == (400, 3)
    best = squared_error(PCA(3).fit(bent), bent)
    assert squared_error(model, bent) <= 1.02 * best
    whole = Autoencoder(3, **options).fit(bent)
    assert 0 < model.n_iter_ < whole.n_iter_


def test_a_fit_says_nothing(bent: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Autoencoder(2, hidden_layer_sizes=(8,), max_epochs=2).fit(bent).transform(bent)
    assert capfd.readouterr() == ("", "")
