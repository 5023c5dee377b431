"""Arrays with missing values through the whole estimator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import autoencode
from autoencode import Autoencoder
from autoencode.errors import DataError

QUICK = {"hidden_layer_sizes": (32,), "max_epochs": 30, "random_state": 0}
LINEAR = {"hidden_layer_sizes": (), "random_state": 0}


@pytest.fixture(scope="module")
def holes(bent: np.ndarray) -> np.ndarray:
    """Curved rows with a tenth of the values missing. Tests only read them."""
    lost = np.random.default_rng(1).random(bent.shape) < 0.1
    return np.where(lost, np.nan, bent)


@pytest.fixture(scope="module")
def model(holes: np.ndarray) -> Autoencoder:
    """A model whose gate is open. Tests only read it."""
    fitted = Autoencoder(3, **QUICK).fit(holes)
    assert fitted.gate_ == 1
    return fitted


@pytest.fixture(scope="module")
def linear(holes: np.ndarray) -> Autoencoder:
    """PCA of rows with missing values. Tests only read it."""
    return Autoencoder(3, **LINEAR).fit(holes)


MODELS = ["model", "linear"]


@pytest.mark.parametrize("kind", MODELS)
def test_codes_of_rows_with_holes_are_near_those_of_complete_rows(
    kind: str, holes: np.ndarray, bent: np.ndarray, request: pytest.FixtureRequest
) -> None:
    fitted = request.getfixturevalue(kind)
    codes, whole = fitted.transform(holes), fitted.transform(bent)
    assert np.isfinite(codes).all()
    assert np.square(codes - whole).mean() < 0.2 * whole.var()
    complete = ~np.isnan(holes).any(1)
    assert 50 < complete.sum() < 300
    np.testing.assert_allclose(codes[complete], whole[complete], rtol=1e-9)
    restored = fitted.reconstruct(holes)
    lost = np.isnan(holes)
    left, usual = (
        np.square(guess - bent)[lost].mean() for guess in (restored, np.nanmean(holes, 0))
    )
    assert left < 0.35 * usual


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", MODELS)
def test_a_row_with_holes_is_coded_by_itself(
    kind: str, dtype: Any, holes: np.ndarray, request: pytest.FixtureRequest
) -> None:
    fitted, X = request.getfixturevalue(kind), holes.astype(dtype)
    codes = fitted.transform(X)
    assert codes.dtype == dtype
    limit = (1e-5 if dtype == np.float32 else 1e-9) * np.abs(codes).max()
    alone = np.concatenate([fitted.transform(X[place : place + 1]) for place in range(12)])
    order = np.random.default_rng(0).permutation(len(X))
    many = np.tile(X, (12, 1))
    assert np.abs(alone - codes[:12]).max() <= limit
    assert np.abs(fitted.transform(X[order]) - codes[order]).max() <= limit
    assert np.abs(fitted.transform(many)[-400:] - codes).max() <= limit
    assert np.abs(fitted.reconstruct(X[order]) - fitted.reconstruct(X)[order]).max() < 1e-3


def test_holes_may_come_in_every_form(
    holes: np.ndarray, model: Autoencoder, tmp_path: Path
) -> None:
    np.save(tmp_path / "rows.npy", holes)
    objects = holes.astype(object)
    objects[np.isnan(holes)] = None
    codes = model.transform(holes)
    forms = {
        "list": holes.tolist(),
        "objects": objects,
        "memmap": np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "path": tmp_path / "rows.npy",
        "sparse": sparse.csr_matrix(holes),
        "masked": np.asfortranarray(holes),
    }
    for name, form in forms.items():
        np.testing.assert_allclose(model.transform(form), codes, rtol=1e-9, err_msg=name)
        again = Autoencoder(3, **QUICK).fit(form)
        np.testing.assert_allclose(again.transform(holes), codes, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", MODELS)
def test_scores_leave_out_what_is_missing(
    kind: str, holes: np.ndarray, request: pytest.FixtureRequest
) -> None:
    fitted = request.getfixturevalue(kind)
    rebuilt, scale = fitted.reconstruct(holes), fitted._state.scaling.scale
    left = np.nansum(np.square((holes - rebuilt) / scale))
    total = np.nansum(np.square((holes - np.nanmean(holes, 0)) / scale))
    assert fitted.score(holes) == pytest.approx(1 - left / total, rel=1e-9)
    deviation = fitted._state.raw_deviations()
    density = -0.5 * np.square((holes - rebuilt) / deviation) - np.log(
        deviation * np.sqrt(2 * np.pi)
    )
    np.testing.assert_allclose(fitted.score_samples(holes), np.nansum(density, 1), rtol=1e-9)
    nothing = np.full((2, 9), np.nan)
    assert fitted.score_samples(nothing).tolist() == [0, 0]
    np.testing.assert_allclose(fitted.impute(nothing), fitted.reconstruct(nothing))


@pytest.mark.parametrize("kind", MODELS)
def test_a_saved_model_is_the_same(
    kind: str, holes: np.ndarray, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fitted = request.getfixturevalue(kind)
    fitted.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert loaded.transform(holes).tobytes() == fitted.transform(holes).tobytes()
    assert loaded.impute(holes).tobytes() == fitted.impute(holes).tobytes()
    assert np.array_equal(loaded.impute(holes, 2), fitted.impute(holes, 2))
    fitted.save(tmp_path / "half.safetensors", encoder_only=True)
    half = autoencode.load(tmp_path / "half.safetensors")
    assert half.transform(holes).tobytes() == fitted.transform(holes).tobytes()
    with pytest.raises(DataError, match="encoder_only=True: it cannot decode"):
        half.impute(holes)


def test_the_same_seed_gives_the_same_bits(holes: np.ndarray, model: Autoencoder) -> None:
    again = Autoencoder(3, **QUICK).fit(holes)
    assert again.transform(holes).tobytes() == model.transform(holes).tobytes()
    other = Autoencoder(3, **{**QUICK, "random_state": 1}).fit(holes)
    assert other.transform(holes).tobytes() != model.transform(holes).tobytes()


def test_shorter_models_take_holes_too(holes: np.ndarray, model: Autoencoder) -> None:
    for size in (1, 2, 3):
        shorter = model.truncate(size)
        assert np.isfinite(shorter.transform(holes)).all()
        assert np.isfinite(shorter.impute(holes)).all()
    assert np.array_equal(model.truncate(3).transform(holes), model.transform(holes))


@pytest.mark.parametrize("corruption", ["none", "gaussian", "mask", "hide:rows=1.0"])
def test_holes_go_with_every_corruption(corruption: str, holes: np.ndarray) -> None:
    fitted = Autoencoder(3, **{**QUICK, "max_epochs": 5}, corruption=corruption).fit(holes)
    assert np.isfinite(fitted.history_["train_reconstruction"]).all()
    assert fitted.score(holes) > 0.5


def test_hiding_cells_teaches_to_restore_them() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 600)
    bends = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle), np.cos(3 * angle)]
    x = np.stack(bends, 1) + 0.02 * rng.normal(size=(600, 5))
    lost = rng.random(x.shape) < 0.15
    errors = {}
    for corruption in ("none", "hide:rows=1.0"):
        options = {**QUICK, "max_epochs": 40, "corruption": corruption}
        fitted = Autoencoder(4, **options).fit(np.where(lost, np.nan, x))
        assert fitted.gate_ == 1
        errors[corruption] = np.square(fitted.impute(np.where(lost, np.nan, x)) - x)[lost].mean()
    assert errors["hide:rows=1.0"] < 0.7 * errors["none"]


def test_a_share_of_variance_is_that_of_what_is_observed(holes: np.ndarray) -> None:
    fitted = Autoencoder(0.8, **QUICK).fit(holes)
    assert fitted.n_components_ <= 4
    assert fitted.score(holes) > 0.7


def test_held_out_rows_and_targets_may_have_holes(bent: np.ndarray, holes: np.ndarray) -> None:
    for rows, options in (
        (bent[:300], {"X_held_out": holes[300:]}),
        (holes[:300], {"X_held_out": bent[300:]}),
        (bent, {"target": holes}),
        (holes, {"target": bent}),
    ):
        fitted = Autoencoder(3, **{**QUICK, "max_epochs": 5}).fit(rows, **options)
        assert all(np.isfinite(column).all() for column in fitted.curve_.values())
        assert np.isfinite(fitted.transform(rows)).all()


@pytest.mark.parametrize("n_rows", [3, 30, 60])
@pytest.mark.parametrize("n_components", [2, None])
def test_few_rows_with_holes(n_rows: int, n_components: int | None, holes: np.ndarray) -> None:
    X = holes[:n_rows, :4]
    fitted = Autoencoder(n_components, **{**QUICK, "max_epochs": 3}).fit(X)
    for found in (fitted.transform(X), fitted.impute(X), *fitted.impute(X, 2)):
        assert np.isfinite(found).all()


def test_a_column_without_any_value(holes: np.ndarray) -> None:
    X = holes.copy()
    X[:, 4] = np.nan
    for n_components in (2, None):
        fitted = Autoencoder(n_components, **{**QUICK, "max_epochs": 5}).fit(X)
        assert np.isfinite(fitted.transform(X)).all()
        found = fitted.impute(X)
        assert np.isfinite(found).all()
        assert np.ptp(found[:, 4]) < 0.1
        assert np.isfinite(fitted.score_samples(X)).all()


def test_nothing_but_holes_is_refused() -> None:
    with pytest.raises(DataError):
        Autoencoder(1, **QUICK).fit(np.full((60, 3), np.nan))


@pytest.mark.parametrize("hidden", [(), (8,)])
def test_rows_too_wide_for_a_linear_guess_take_their_means(hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 1600)) + 0.1 * rng.normal(size=(120, 1600))
    X = np.where(rng.random(x.shape) < 0.05, np.nan, x)
    fitted = Autoencoder(2, hidden_layer_sizes=hidden, max_epochs=2, random_state=0).fit(X)
    assert fitted.score(X) > 0.8
    lost = np.isnan(X)
    assert np.square(fitted.impute(X) - x)[lost].mean() < 0.3 * x[lost].var()


def test_rows_beyond_the_memory_limit_are_streamed(
    holes: np.ndarray, model: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoencode.training_rows.MEMORY_LIMIT", 0)
    monkeypatch.setattr(
        "autoencode.training_rows.TensorBatches",
        lambda *_, **__: pytest.fail("rows were in memory"),
    )
    streamed = Autoencoder(3, **QUICK).fit(holes)
    assert streamed.gate_ == 1
    assert streamed.score(holes) == pytest.approx(model.score(holes), abs=0.05)
