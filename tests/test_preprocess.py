"""Scaling and PCA, against NumPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from autoencode.errors import SpecError
from autoencode.preprocess import principal
from autoencode.preprocess.principal import PrincipalComponents, principal_components, residuals
from autoencode.preprocess.scaling import choose_scaling, fit_scaling


def cut(rows: np.ndarray, sizes: tuple[int, ...] = (1, 7, 2, 40)) -> Iterator[np.ndarray]:
    """Cut rows into blocks of odd sizes, the last as long as it comes."""
    start = 0
    for size in (*sizes, len(rows)):
        if start < len(rows):
            yield rows[start : start + size]
        start += size


def table(n_rows: int = 90, n_features: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_rows, n_features)) @ rng.normal(size=(n_features, n_features)) + 5


# Scaling.


@pytest.mark.parametrize("offset", [0.0, 1e9])
@pytest.mark.parametrize("sizes", [(1, 7, 2, 40), (90,), (89, 1), (1,) * 90])
def test_means_and_deviations_are_numpys(offset: float, sizes: tuple[int, ...]) -> None:
    X = np.random.default_rng(0).normal(size=(90, 4)) * [1, 1, 2, 0.5] + offset
    standard = fit_scaling(cut(X, sizes), "standard")
    # The spacing of floats at 1e9 is 1e-7: sums of squares cannot know more.
    tolerance = 1e-12 if offset == 0 else 1e-7
    np.testing.assert_allclose(standard.center, X.mean(0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(standard.scale, X.std(0), rtol=tolerance)
    common = fit_scaling(cut(X, sizes), "common")
    np.testing.assert_allclose(common.scale, np.sqrt(X.var(0).mean()), rtol=tolerance)
    assert len(set(common.scale)) == 1


@pytest.mark.parametrize("kind", ["standard", "common"])
def test_scaled_rows_are_centred_and_come_back(kind: str) -> None:
    X = table()
    scaling = fit_scaling(cut(X), kind)
    scaled = scaling.forward(X)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-13)
    assert np.square(scaled).mean() == pytest.approx(1)
    np.testing.assert_allclose(scaling.backward(scaled), X, rtol=1e-13)
    if kind == "standard":
        np.testing.assert_allclose(scaled.std(0), 1)


def test_float32_rows_are_scaled_in_float64() -> None:
    X = (np.random.default_rng(0).normal(size=(90, 2)) + 1e6).astype(np.float32)
    scaling = fit_scaling(cut(X), "standard")
    np.testing.assert_allclose(scaling.center, X.astype(np.float64).mean(0), rtol=1e-14)
    assert scaling.forward(X).dtype == np.float64
    assert X.dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e9])
def test_constant_columns_get_the_scale_one(value: float) -> None:
    X = table()
    X[:, 2] = value
    scaling = fit_scaling(cut(X), "standard")
    assert scaling.scale[2] == 1
    assert np.abs(scaling.forward(X)[:, 2]).max() <= 1e-12 * max(1, abs(value))
    alone = fit_scaling(cut(X[:, 2:3]), "common")
    assert alone.scale.tolist() == [1]


def test_unit_is_the_common_scale() -> None:
    X = table()
    common, standard = (fit_scaling([X], kind) for kind in ("common", "standard"))
    assert common.unit == common.scale[0] != 1
    assert standard.unit == 1


def test_names_decide_the_scaling() -> None:
    assert choose_scaling("auto", named=True) == "standard"
    assert choose_scaling("auto", named=False) == "common"
    for named in (True, False):
        assert choose_scaling("common", named=named) == "common"
        assert choose_scaling("standard", named=named) == "standard"
    with pytest.raises(SpecError, match="scaling='minmax' is not known; choose from auto, common"):
        choose_scaling("minmax", named=True)


# PCA.


REGIMES: dict[str, dict[str, Any]] = {
    "covariance": {},
    "gram": {"_SQUARE_LIMIT": 40},
    "randomised": {"_SQUARE_LIMIT": 10, "_WHOLE_VALUES": 10},
}
SHAPES = {"covariance": (90, 6), "gram": (30, 60), "randomised": (80, 50)}
STEPS = {"covariance": "_by_covariance", "gram": "_by_gram", "randomised": "_randomised"}


@pytest.fixture(params=REGIMES)
def regime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lower the limits so that a small table takes each way; make sure that it does."""
    for name, value in REGIMES[request.param].items():
        monkeypatch.setattr(principal, name, value)
    for other, step in STEPS.items():
        if other != request.param:
            monkeypatch.setattr(principal, step, None)
    return str(request.param)


def decaying(regime: str) -> np.ndarray:
    """Make rows whose variances fall fast, so that few components say much."""
    n_rows, n_features = SHAPES[regime]
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    return rng.normal(size=(n_rows, n_features)) * 0.7 ** np.arange(n_features) @ basis + 3


def pca_of(X: np.ndarray, limit: int, seed: int = 0) -> PrincipalComponents:
    return principal_components(lambda: cut(X), len(X), X.shape[1], limit, seed)


def test_pca_is_scikit_learns(regime: str) -> None:
    X = decaying(regime)
    found, reference = pca_of(X, 5), PCA(5, svd_solver="full").fit(X)
    tolerance = 1e-10 if regime != "randomised" else 1e-6
    np.testing.assert_allclose(found.mean, X.mean(0), rtol=1e-12)
    signs = np.sign(np.einsum("ij,ij->i", found.components, reference.components_))
    np.testing.assert_allclose(
        found.components, signs[:, None] * reference.components_, atol=tolerance
    )
    variances = reference.explained_variance_ * (len(X) - 1) / len(X)
    np.testing.assert_allclose(found.variances, variances, rtol=tolerance)
    np.testing.assert_allclose(found.deviations, np.sqrt(variances), rtol=tolerance)
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(5), atol=1e-10)


def test_signs_are_fixed_and_blocks_do_not_matter(regime: str) -> None:
    X = decaying(regime)
    found, mirrored = pca_of(X, 4), pca_of(-X, 4)
    for components in (found.components, mirrored.components):
        largest = np.abs(components).argmax(1)
        assert (components[np.arange(4), largest] > 0).all()
    np.testing.assert_allclose(mirrored.components, found.components, atol=1e-8)
    assert np.array_equal(pca_of(X, 4).components, found.components)
    whole = principal_components(lambda: iter([X]), *X.shape, 4, 0)
    np.testing.assert_allclose(whole.components, found.components, atol=1e-8)


def test_there_are_no_more_components_than_rows_and_columns(regime: str) -> None:
    X = decaying(regime)
    found = pca_of(X, 10_000)
    assert found.components.shape == (min(X.shape), X.shape[1])
    assert (found.variances >= 0).all()
    assert (np.diff(found.variances) <= 1e-12).all()
    assert (found.deviations > 0).all()
    assert found.variances.sum() == pytest.approx(X.var(0).sum())


def test_the_seed_matters_only_to_rounding() -> None:
    X = table(60, 30)
    first, other = (
        principal._randomised(lambda: cut(X), 60, 30, X.mean(0), 3, seed) for seed in (0, 1)
    )
    np.testing.assert_allclose(first[1], other[1], rtol=1e-3)


def test_pca_of_constant_rows_can_divide() -> None:
    found = pca_of(np.full((20, 3), 7.0), 3)
    assert np.array_equal(found.variances, np.zeros(3))
    assert (found.deviations > 0).all()
    assert np.isfinite(1 / found.deviations).all()


# What PCA leaves over.


@pytest.mark.parametrize("paired", [False, True])
def test_residuals_are_those_of_the_reconstruction(paired: bool) -> None:
    X, held = table(), table(25, seed=1)
    target = held + np.random.default_rng(2).normal(size=held.shape) if paired else None
    found = pca_of(X, 4)
    left = residuals(found, held, target)
    wanted = held if target is None else target
    assert left.shape == (25, 5)
    for size in range(5):
        head = found.head(size)
        scores = (held - head.mean) @ head.components.T
        rebuilt = scores @ head.components + head.mean
        np.testing.assert_allclose(left[:, size], np.square(wanted - rebuilt).sum(1), atol=1e-9)


def test_residuals_never_fall_below_zero() -> None:
    X = table(50, 3) * 1e6
    left = residuals(pca_of(X, 3), X)
    assert (left >= 0).all()
    assert (left[:, 3] <= 1e-12 * left[:, 0].max()).all()
