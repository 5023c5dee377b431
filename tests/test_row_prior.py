"""The second opinion on rows with normal noise: known answers, judging, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import autoencode
from autoencode import DenoisingAutoencoder
from autoencode.column_densities import ColumnDensities
from autoencode.patch_prior import PatchPrior
from autoencode.row_mixture import RowMixture, first_parts, fit_mixture, likeliest_mixture
from autoencode.row_prior import Blend, RowPrior, fit_prior, known_errors, unbiased_risks

LEVEL = 0.3


def _error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.square(found - wanted).mean())


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """Return rows of two kinds, one value of which is 0 or 1 and nothing else."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 600)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    flat = rng.standard_normal((600, 6)) * np.where(
        kind[:, None], [2, 1, 0, 0, 0, 0], [0] * 4 + [1, 2]
    )
    values = flat @ turn + np.where(kind[:, None], 1.5, -1.5)
    return np.column_stack([values, rng.integers(0, 2, 600)])


@pytest.fixture(scope="module")
def noisy(rows: np.ndarray) -> np.ndarray:
    """Return the same rows with normal noise."""
    return rows + LEVEL * np.random.default_rng(1).standard_normal(rows.shape)


@pytest.fixture(scope="module")
def prior(noisy: np.ndarray) -> RowPrior:
    """Return what was learned from noisy rows alone."""
    return fit_prior(noisy[:400], LEVEL, 0)


def test_one_part_gives_the_best_linear_guess() -> None:
    rng = np.random.default_rng(0)
    clean = rng.standard_normal((3000, 3)) * [2.0, 1.0, 0.1]
    spoilt = clean + LEVEL * rng.standard_normal(clean.shape)
    labels = np.zeros(len(spoilt), dtype=np.intp)
    found = fit_mixture(spoilt, LEVEL, labels, 5).restored(spoilt, np.full(3000, LEVEL))
    center, covariance = spoilt.mean(0), np.cov(spoilt.T)
    gain = (covariance - LEVEL**2 * np.eye(3)) @ np.linalg.inv(covariance)
    assert np.allclose(found, center + (spoilt - center) @ gain.T, atol=5e-3)


def test_parts_are_found_under_the_noise(rows: np.ndarray, noisy: np.ndarray) -> None:
    mixture = likeliest_mixture(noisy, LEVEL, np.random.default_rng(0))
    assert len(mixture.shares) > 1
    levels = np.full(len(noisy), LEVEL)
    one = fit_mixture(noisy, LEVEL, np.zeros(len(noisy), dtype=np.intp), 1)
    error = _error(mixture.restored(noisy, levels), rows)
    assert error < 0.8 * _error(one.restored(noisy, levels), rows) < _error(noisy, rows)


def test_axes_beyond_the_leading_ones_are_shrunk() -> None:
    rng = np.random.default_rng(0)
    clean = np.linspace(2, 0.05, 140) * rng.standard_normal((500, 140))
    spoilt = clean + LEVEL * rng.standard_normal(clean.shape)
    labels = first_parts(spoilt, LEVEL, 2, rng)
    mixture = fit_mixture(spoilt, LEVEL, labels, 2)
    assert mixture.centers.shape == (2, 128)
    assert mixture.rest.shape == (12,)
    assert _error(mixture.restored(spoilt, np.full(500, LEVEL)), clean) < _error(spoilt, clean)


def test_each_row_has_a_level_of_its_own(prior: RowPrior, noisy: np.ndarray) -> None:
    levels = np.where(np.arange(len(noisy)) % 2, 0.1, 0.6)
    both = prior.opinions(noisy, levels)
    for place in (0, 1):
        alone = prior.opinions(noisy[place::2], levels[place::2])
        assert np.allclose(both[:, place::2], alone)
    steps = np.abs(both - noisy).mean((0, 2))
    assert steps[1::2].mean() < steps[::2].mean()


def test_values_that_are_common_in_a_column_are_preferred(
    prior: RowPrior, rows: np.ndarray, noisy: np.ndarray
) -> None:
    mixture, columns = prior.opinions(noisy[400:], np.full(200, LEVEL))
    assert _error(columns[:, 6], rows[400:, 6]) < 0.8 * _error(mixture[:, 6], rows[400:, 6])
    assert _error(columns[:, :6], rows[400:, :6]) < 1.1 * _error(mixture[:, :6], rows[400:, :6])


def test_a_column_that_is_coarser_than_the_noise_is_left_to_the_mixture() -> None:
    values = np.random.default_rng(0).standard_normal((200, 2))
    values[0, 1] = 1e4
    mixture = fit_mixture(values, LEVEL, np.zeros(200, dtype=np.intp), 1)
    columns = ColumnDensities.fitting(mixture, values, LEVEL, np.random.default_rng(0))
    levels = np.full(200, LEVEL)
    found, plain = (
        columns.restored(mixture.weighed(values, levels), levels),
        mixture.restored(values, levels),
    )
    assert np.allclose(found[:, 1], plain[:, 1])
    assert not np.allclose(found[:, 0], plain[:, 0])


def test_a_constant_column_stays() -> None:
    values = np.random.default_rng(0).standard_normal((100, 3))
    values[:, 1] = 2.0
    found = fit_prior(values, 0.0, 0).opinions(values, np.full(100, LEVEL))
    assert np.isfinite(found).all()
    assert np.abs(found[..., 1] - 2.0).max() < 0.01


def test_risks_of_noisy_rows_are_those_of_clean_ones(
    prior: RowPrior, rows: np.ndarray, noisy: np.ndarray
) -> None:
    def opinions(values: np.ndarray, level: float) -> np.ndarray:
        levels = np.full(len(values), level)
        return np.concatenate([values[None], prior.opinions(values, levels)])

    many = np.tile(rows[400:], (20, 1))
    spoilt = many + LEVEL * np.random.default_rng(2).standard_normal(many.shape)
    truth = known_errors(many, opinions, 3)(LEVEL)
    guess = unbiased_risks(spoilt, opinions, 3)(LEVEL)
    for shares in np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.25, 0.25]]):
        assert shares @ guess @ shares == pytest.approx(shares @ truth @ shares, abs=0.006)


def test_shares_go_to_the_better_opinion_and_follow_the_level() -> None:
    right = {0.1: 0, 0.4: 1}

    def judge(level: float) -> np.ndarray:
        products = np.eye(2) + 1.0
        products[right[level], right[level]] = 0.5
        products[0, 1] = products[1, 0] = 0.5
        return products

    blend = Blend.choosing((0.1, 0.4), judge)
    assert blend.weights == ((1.0, 0.0), (0.0, 1.0))
    opinions = np.array([[[1.0]] * 4, [[3.0]] * 4])
    found = blend.blended(opinions, np.array([0.0, 0.1, 0.2, 9.0]))
    assert np.allclose(found[:, 0], [1.0, 1.0, 2.0, 3.0])


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return clean digits and noisy ones."""
    clean = load_digits().data[:500] / 16
    return clean, clean + 0.15 * np.random.default_rng(0).standard_normal(clean.shape)


def test_it_counts_and_is_kept_in_files(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    clean, spoilt = digits
    model = DenoisingAutoencoder(random_state=0, max_epochs=2).fit(spoilt)
    state = model._state
    assert state.prior is not None
    assert state.prior.blend is not None
    weights = state.prior.blend.weights[0]
    assert sum(weights) == pytest.approx(1.0)
    assert weights[0] < 1.0
    found = model.denoise(spoilt)
    model.save(tmp_path / "model.safetensors")
    again = autoencode.load(tmp_path / "model.safetensors")
    assert np.array_equal(again.denoise(spoilt), found)
    state.prior = None
    assert _error(found, clean) < 0.97 * _error(model.denoise(spoilt), clean)


def test_pairs_teach_it_what_is_clean(digits: tuple[np.ndarray, np.ndarray]) -> None:
    clean, spoilt = digits
    model = DenoisingAutoencoder(random_state=0, max_epochs=2).fit(spoilt, target=clean)
    found = model.denoise(spoilt)
    alone = DenoisingAutoencoder(random_state=0, max_epochs=2).fit(spoilt).denoise(spoilt)
    assert model._state.prior is not None
    assert _error(found, clean) < 0.97 * _error(alone, clean)


def test_other_noise_needs_no_second_opinion(digits: tuple[np.ndarray, np.ndarray]) -> None:
    clean = digits[0].copy()
    clean[np.random.default_rng(1).random(clean.shape) < 0.2] = 1.5
    model = DenoisingAutoencoder(random_state=0, max_epochs=2).fit(clean)
    assert model.noise_.kind == "impulse"
    assert model._state.prior is None


def test_mixtures_are_plain_arrays(prior: RowPrior) -> None:
    tensors = prior.mixture.tensors()
    again = RowMixture(**tensors)
    values, levels = np.ones((2, 7)), np.full(2, LEVEL)
    assert np.array_equal(again.restored(values, levels), prior.mixture.restored(values, levels))


@pytest.fixture(scope="module")
def rings() -> tuple[np.ndarray, np.ndarray]:
    """Return clean rings on black, fewer than they have pixels, and noisy ones."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:16, :14]
    middle = rng.uniform(5, 9, (120, 2, 1, 1))
    distance = np.hypot(rows - middle[:, 0], columns - middle[:, 1])
    clean = np.clip(1.6 - np.abs(distance - rng.uniform(3, 5, (120, 1, 1))) / 1.4, 0, 1)
    return clean, clean + 0.15 * rng.standard_normal(clean.shape)


def test_windows_tell_more_of_few_pictures_than_whole_ones(
    rings: tuple[np.ndarray, np.ndarray],
) -> None:
    clean, spoilt = (part.reshape(120, -1) for part in rings)
    offset = spoilt[:90].mean(0)
    prior = fit_prior(spoilt[:90] - offset, 0.15, 0, (16, 14), offset)
    levels = np.full(30, 0.15)
    found = prior.opinions(spoilt[90:] - offset, levels) + offset
    mixture, columns, windows = (_error(one, clean[90:]) for one in found)
    assert windows < 0.4 * min(mixture, columns) < 0.4 * _error(spoilt[90:], clean[90:])
    # Each picture by itself, with a level of its own; more noise, more is taken out.
    patches = prior.patches
    assert patches is not None
    both = np.where(np.arange(30) % 2, 0.05, 0.15)
    alone = patches.restored(spoilt[91::2] - offset, both[1::2])
    np.testing.assert_allclose(patches.restored(spoilt[90:] - offset, both)[1::2], alone)
    assert np.abs(alone - (spoilt[91::2] - offset)).mean() < np.abs(found[2] - spoilt[90:]).mean()


def test_windows_have_all_channels(rings: tuple[np.ndarray, np.ndarray]) -> None:
    """Of two channels the second has hardly any noise of its own: it says what the first is."""
    pure, spoilt = (part[:30] for part in rings)
    clean = np.stack([pure, pure], axis=3).reshape(30, -1)
    apart = np.stack([spoilt, pure[::-1]], axis=3)
    aligned = np.stack([spoilt, 0.5 * spoilt + 0.5 * pure], axis=3)
    offset = np.zeros(clean.shape[1])
    errors = []
    for given in (apart, aligned):
        values = given.reshape(30, -1)
        prior = PatchPrior.fitting(values, 0.15, (16, 14, 2), offset, np.random.default_rng(0))
        found = prior.restored(values, np.full(30, 0.15))
        errors.append(_error(found[:, ::2], clean[:, ::2]))
    assert errors[1] < 0.95 * errors[0]


def test_few_noisy_pictures_are_restored_by_their_windows(
    rings: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """The linear guess has seen all rows; judged by these it would seem to be the best."""
    clean, spoilt = rings
    model = DenoisingAutoencoder(rows="noisy", random_state=0, max_epochs=2).fit(spoilt)
    assert model.noise_.kind == "gaussian"
    blend = model._state.prior.blend
    assert blend.weights[0][3] >= 0.7
    found = model.denoise(spoilt)
    assert _error(found, clean) < 0.25 * _error(spoilt, clean)
    model.save(tmp_path / "model.safetensors")
    again = autoencode.load(tmp_path / "model.safetensors")
    assert np.array_equal(again.denoise(spoilt), found)


def test_pictures_smaller_than_a_window_have_none() -> None:
    values = np.random.default_rng(0).standard_normal((60, 12))
    assert fit_prior(values, LEVEL, 0, (4, 3), np.zeros(12)).patches is None
    assert fit_prior(values, LEVEL, 0, (12,), np.zeros(12)).patches is None
    assert len(fit_prior(values, LEVEL, 0).opinions(values, np.full(60, LEVEL))) == 2
