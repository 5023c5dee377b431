"""The estimator on data of every form and size: the same rows give the same codes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

import autoencode
from autoencode import Autoencoder
from autoencode.errors import DataError, ModelFileError
from autoencode.model_file import read_model, write_model

QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
LINEAR = {"hidden_layer_sizes": (), "random_state": 0}


def close(mine: np.ndarray, reference: np.ndarray, share: float = 1e-6) -> bool:
    """Whether two sets of codes differ by less than a share of the largest."""
    assert mine.shape == reference.shape
    return float(np.abs(mine - reference).max()) <= share * float(np.abs(reference).max())


# A row's code depends on nothing but the row.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_rows_are_coded_independently(
    kind: str, dtype: Any, bent: np.ndarray, request: pytest.FixtureRequest
) -> None:
    model, X = request.getfixturevalue(kind), bent.astype(dtype)
    codes = model.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    assert close(model.transform(X[order]), codes[order])
    assert close(model.transform(X[7:20]), codes[7:20])
    alone = np.concatenate([model.transform(X[place : place + 1]) for place in range(20)])
    assert close(alone, codes[:20])
    many = np.tile(X, (12, 1))
    assert close(model.transform(many)[-400:], codes)
    rows = model.inverse_transform(codes)
    assert close(model.inverse_transform(codes[5:6]), rows[5:6])
    assert close(model.reconstruct(X[order]), rows[order])


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_the_dtype_comes_back(kind: str, bent: np.ndarray, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    for dtype in (np.float32, np.float64):
        codes = model.transform(bent.astype(dtype))
        assert codes.dtype == dtype
        assert model.inverse_transform(codes).dtype == dtype
        assert model.reconstruct(bent.astype(dtype)).dtype == dtype
        assert close(codes, model.transform(bent), 1e-5)
    assert model.transform(bent.round().astype(np.int64)).dtype == np.float64
    assert model.transform(bent.round().astype(np.int16)).dtype == np.float32


def test_nothing_given_is_written_to(bent: np.ndarray) -> None:
    before = bent.copy()
    model = Autoencoder(2, corruption="gaussian", **QUICK).fit(bent)
    codes = model.transform(bent)
    kept = codes.copy()
    model.inverse_transform(codes)
    assert np.array_equal(bent, before)
    assert np.array_equal(codes, kept)


# Forms of data.


@pytest.mark.parametrize("options", [QUICK, LINEAR], ids=["network", "pca"])
def test_arrays_of_every_form_give_the_same(
    options: dict[str, Any], bent: np.ndarray, tmp_path: Path
) -> None:
    X = np.where(bent > 22, bent, 0.0)
    np.save(tmp_path / "rows.npy", X)
    forms = {
        "list": X.tolist(),
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
        "memmap": np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "path": tmp_path / "rows.npy",
        "sparse": sparse.csr_matrix(X),
        "sparse array": sparse.csr_array(X),
        "csc": sparse.csc_matrix(X),
    }
    model = Autoencoder(3, **options).fit(X)
    codes = model.transform(X)
    for name, form in forms.items():
        assert close(model.transform(form), codes), name
        assert close(Autoencoder(3, **options).fit(form).transform(X), codes), name
        assert model.score(form) == pytest.approx(model.score(X)), name
        np.testing.assert_allclose(model.score_samples(form), model.score_samples(X), rtol=1e-6)


def test_frames_are_standardised_and_arrays_keep_their_units(bent: np.ndarray) -> None:
    X = bent * 10.0 ** np.arange(-4, 5)
    frame = pd.DataFrame(X, columns=list("abcdefghi"))
    standard = StandardScaler().fit_transform(X)

    def equal(codes: np.ndarray, expected: np.ndarray) -> bool:
        return close(codes * np.sign((codes * expected).sum(0)), expected, 1e-9)

    named, bare = (Autoencoder(3, **LINEAR).fit(data) for data in (frame, X))
    assert equal(named.transform(frame), PCA(3).fit_transform(standard))
    assert equal(bare.transform(X), PCA(3).fit_transform(X))
    assert named.feature_names_in_.tolist() == list("abcdefghi")
    assert not hasattr(bare, "feature_names_in_")
    from_polars = Autoencoder(3, **LINEAR).fit(pl.from_pandas(frame))
    assert from_polars.feature_names_in_.tolist() == list("abcdefghi")
    assert np.array_equal(from_polars.transform(pl.from_pandas(frame)), named.transform(frame))
    decoded = named.inverse_transform(named.transform(frame))
    pd.testing.assert_frame_equal(decoded, named.reconstruct(frame))
    assert (decoded.min() >= frame.min()).all()
    assert isinstance(from_polars.reconstruct(pl.from_pandas(frame)), pl.DataFrame)


def test_a_second_fit_forgets_the_names(bent: np.ndarray) -> None:
    model = Autoencoder(2, **LINEAR).fit(pd.DataFrame(bent, columns=list("abcdefghi")))
    model.fit(bent[:, :5])
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 5


def test_frames_come_back_when_asked_for(bent: np.ndarray) -> None:
    index = pd.Index([f"row {place}" for place in range(400)])
    frame = pd.DataFrame(bent, columns=list("abcdefghi"), index=index)
    model = Autoencoder(2, **LINEAR).fit(frame)
    codes = model.transform(frame)
    pandas = model.set_output(transform="pandas").transform(frame)
    assert pandas.columns.tolist() == ["autoencoder0", "autoencoder1"]
    assert pandas.index.equals(index)
    assert np.array_equal(pandas.to_numpy(), codes)
    polars = model.set_output(transform="polars").fit_transform(pl.from_pandas(frame))
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == ["autoencoder0", "autoencoder1"]
    assert close(polars.to_numpy(), codes)


def test_pictures_come_back_as_pictures(digits: np.ndarray, tmp_path: Path) -> None:
    pictures = digits[:200].reshape(-1, 8, 8)
    for options in (QUICK, LINEAR):
        model = Autoencoder(4, **options).fit(pictures)
        codes = model.transform(pictures)
        assert codes.shape == (200, 4)
        assert model.n_features_in_ == 64
        assert model.inverse_transform(codes).shape == (200, 8, 8)
        assert model.reconstruct(pictures).shape == (200, 8, 8)
        assert np.array_equal(
            Autoencoder(4, **options).fit(digits[:200]).transform(pictures), codes
        )
        model.save(tmp_path / "model.safetensors")
        loaded = autoencode.load(tmp_path / "model.safetensors")
        assert np.array_equal(loaded.inverse_transform(codes), model.inverse_transform(codes))
        assert loaded.reconstruct(pictures).shape == (200, 8, 8)


def test_other_columns_than_those_of_the_fit(network_model: Autoencoder, bent: np.ndarray) -> None:
    with pytest.raises(DataError, match="X has 8 features, but Autoencoder is expecting 9"):
        network_model.transform(bent[:, :8])
    with pytest.raises(DataError, match="codes have 2 components, but the model has 3"):
        network_model.inverse_transform(np.zeros((4, 2)))


# Held-out rows and targets.


def test_held_out_rows_may_be_given(bent: np.ndarray) -> None:
    own = Autoencoder(2, **QUICK).fit(bent[:300])
    given = Autoencoder(2, **QUICK).fit(bent[:300], X_held_out=bent[300:])
    assert "300 rows: 300 to train, 50 to choose, 50 to measure" in given.summary()
    assert "300 rows: 270 to train, 15 to choose, 15 to measure" in own.summary()
    # With so few rows, these alone let the gate open.
    few = Autoencoder(2, hidden_layer_sizes=(32,), max_epochs=100, random_state=0)
    assert few.fit(bent[:45]).gate_ == 0
    assert few.fit(bent[:45], X_held_out=bent[45:]).n_iter_ > 0
    with pytest.raises(DataError, match="X_held_out has 8 features, X has 9"):
        own.fit(bent, X_held_out=bent[:, :8])


@pytest.mark.parametrize("hidden", [(), (32,)])
def test_clean_targets_help_against_noise(bent: np.ndarray, hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    noisy = bent + rng.normal(size=bent.shape) * rng.uniform(0.5, 8, 9)
    options = {"hidden_layer_sizes": hidden, "max_epochs": 40, "random_state": 0}
    with_target = Autoencoder(4, **options).fit(noisy[:300], target=bent[:300])
    without = Autoencoder(4, **options).fit(noisy[:300])
    errors = [
        np.square(model.reconstruct(noisy[300:]) - bent[300:]).mean()
        for model in (with_target, without)
    ]
    assert errors[0] < 0.9 * errors[1]
    assert with_target.transform(noisy).shape == (400, 4)


def test_a_target_has_the_rows_and_columns_of_x(bent: np.ndarray) -> None:
    with pytest.raises(DataError, match="target has 399 rows, X has 400"):
        Autoencoder(2, **QUICK).fit(bent, target=bent[1:])
    with pytest.raises(DataError, match="target has 8 features, X has 9"):
        Autoencoder(2, **QUICK).fit(bent, target=bent[:, 1:])
    itself = Autoencoder(2, **QUICK).fit(bent, target=bent)
    assert close(itself.transform(bent), Autoencoder(2, **QUICK).fit(bent).transform(bent))


def test_y_is_ignored(bent: np.ndarray) -> None:
    codes = Autoencoder(2, **QUICK).fit(bent).transform(bent)
    for y in (bent, np.zeros(400), ["a"] * 400):
        assert np.array_equal(Autoencoder(2, **QUICK).fit(bent, y).transform(bent), codes)


# Small, wide and degenerate tables.


def check_usable(model: Autoencoder, X: np.ndarray) -> None:
    codes = model.transform(X)
    assert codes.shape == (len(X), model.n_components_)
    assert np.isfinite(codes).all()
    assert np.isfinite(np.asarray(model.reconstruct(X))).all()
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.score(X))
    assert np.isfinite(model.explained_variance_ratio_).all()
    assert model.summary()


@pytest.mark.parametrize("n_rows", [2, 3, 30, 49, 50, 51])
@pytest.mark.parametrize("n_components", [1, 0.9])
def test_few_rows(n_rows: int, n_components: float) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 4)) * [4, 2, 1, 0.1]
    model = Autoencoder(n_components, **QUICK).fit(X)
    check_usable(model, X)
    if n_rows < 50:
        best = PCA(model.n_components_).fit(X)
        expected = best.inverse_transform(best.transform(X))
        np.testing.assert_allclose(model.reconstruct(X), expected, atol=1e-9)
        assert "too few rows to hold some out" in model.summary()


def test_one_row_is_not_enough() -> None:
    with pytest.raises(DataError, match="1 sample"):
        Autoencoder(1).fit(np.ones((1, 4)))


@pytest.mark.parametrize("n_rows", [20, 120])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("constant", [1, 3, 4])
def test_constant_columns_stay_what_they_are(n_rows: int, named: bool, constant: int) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 4)) + 100
    X[:, :constant] = [0.1, 7.0, -1e6, 3.0][:constant]
    data = pd.DataFrame(X, columns=list("abcd")) if named else X
    if named and constant == 4:
        with pytest.raises(DataError, match="none of the 4 columns can be learned from: 'a' is"):
            Autoencoder(1, **QUICK).fit(data)
        return
    for n_components in (1, 0.95):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = Autoencoder(n_components, **QUICK).fit(data)
        check_usable(model, data)
        rebuilt = np.asarray(model.reconstruct(data))[:, :constant]
        # What is constant in a table takes no part in learning.
        tolerance = {"rtol": 0} if named else {"rtol": 1e-5, "atol": 0.3}
        np.testing.assert_allclose(rebuilt, X[:, :constant], **tolerance)
        if constant == 4:
            np.testing.assert_allclose(model.reconstruct(data), X, rtol=1e-6)
            assert model.score(data) == pytest.approx(1.0)


@pytest.mark.parametrize("n_rows", [20, 120])
def test_one_column(n_rows: int) -> None:
    X = np.random.default_rng(0).normal(size=(n_rows, 1)) * 5 + 3
    for n_components in (1, 0.5):
        model = Autoencoder(n_components, **QUICK).fit(X)
        assert model.n_components_ == 1
        check_usable(model, X)
        assert model.score(X) > 0.99


def test_more_columns_than_rows() -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(60, 3)) @ rng.normal(size=(3, 20_000))).astype(np.float32)
    X += 0.1 * rng.normal(size=X.shape).astype(np.float32)
    for options in ({"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}, LINEAR):
        model = Autoencoder(3, **options).fit(X)
        check_usable(model, X)
        assert model.score(X) > 0.95
    assert Autoencoder(0.98, **LINEAR).fit(X).n_components_ == 3


def test_rows_beyond_the_memory_limit_are_streamed(
    bent: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Autoencoder(3, **{**QUICK, "max_epochs": 30}).fit(bent)
    monkeypatch.setattr("autoencode.training_rows.MEMORY_LIMIT", 0)
    monkeypatch.setattr(
        "autoencode.training_rows.TensorBatches",
        lambda *_, **__: pytest.fail("rows were in memory"),
    )
    streamed = Autoencoder(3, **{**QUICK, "max_epochs": 30}).fit(bent)
    assert streamed.gate_ == whole.gate_ == 1
    assert abs(streamed.score(bent) - whole.score(bent)) < 0.05


def test_a_file_that_names_weights_it_lacks_is_refused(
    network_model: Autoencoder, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    network_model.save(path)
    header, tensors = read_model(path)
    header["sources"][0] = "elsewhere"
    write_model(path, header, tensors)
    with pytest.raises(ModelFileError, match="no weights for elsewhere"):
        autoencode.load(path)
