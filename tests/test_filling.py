"""The best linear guess of missing values, and the moments that it rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencode.layout import Layout, Segment
from autoencode.preprocess.filling import Fill, Moments, fit_moments


def covariance_of(size: int, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Make a covariance whose eigenvalues span a factor of exp(2 * spread)."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    return (basis * np.exp(np.linspace(-spread, spread, size))) @ basis.T


def conditional_means(x: np.ndarray, observed: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Solve for each row by itself what missing values are expected to be."""
    result = np.where(observed, x, 0.0)
    for row, seen in zip(result, observed, strict=True):
        if not seen.all() and seen.any():
            between = covariance[np.ix_(~seen, seen)]
            row[~seen] = between @ np.linalg.solve(covariance[np.ix_(seen, seen)], row[seen])
    return result


def rows_of(
    covariance: np.ndarray, count: int, missing: float, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(np.zeros(len(covariance)), covariance, size=count)
    return x, rng.random(x.shape) >= missing


def filled(covariance: np.ndarray, x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    fill = Fill(torch.from_numpy(np.linalg.inv(covariance)).to(torch.from_numpy(x).dtype))
    return fill(torch.from_numpy(x), torch.from_numpy(observed)).numpy()


# One fill.


@pytest.mark.parametrize("missing", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("size", [1, 2, 7, 20])
def test_missing_values_become_their_conditional_means(size: int, missing: float) -> None:
    covariance = covariance_of(size)
    x, observed = rows_of(covariance, 200, missing)
    expected = conditional_means(x, observed, covariance)
    np.testing.assert_allclose(filled(covariance, x, observed), expected, atol=1e-6)
    assert size == 1 or np.abs(expected[~observed]).max() > 0.1
    single = filled(covariance, x.astype(np.float32), observed)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=1e-4)


def test_values_far_apart_in_scale_are_solved_too() -> None:
    scales = 10.0 ** np.linspace(-3, 3, 12)
    covariance = covariance_of(12) * np.outer(scales, scales)
    x, observed = rows_of(covariance, 100, 0.4)
    expected = conditional_means(x, observed, covariance)
    np.testing.assert_allclose(
        filled(covariance, x, observed) / scales, expected / scales, atol=1e-6
    )


def test_many_missing_values_are_close_after_few_steps() -> None:
    covariance = covariance_of(120, spread=3.0)
    x, observed = rows_of(covariance, 50, 0.5)
    expected = conditional_means(x, observed, covariance)
    found = filled(covariance, x, observed)
    assert Fill(torch.eye(120)).steps < 60
    error = np.square(found - expected).sum() / np.square(expected[~observed]).sum()
    assert 0 < error < 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_observed_stays_bit_by_bit(dtype: type) -> None:
    covariance = covariance_of(9)
    x, observed = rows_of(covariance, 100, 0.3)
    observed[::2] = True
    x = x.astype(dtype)
    found = filled(covariance, x, observed)
    assert found[observed].tobytes() == x[observed].tobytes()
    assert not np.array_equal(found, x)


def test_values_of_a_column_that_are_missing_together() -> None:
    # The parts of a one-hot column add up: their covariance is next to singular.
    layout = Layout(9, (Segment("gaussian", 0, 0, 1), Segment("categorical", 1, 1, 5),
                        Segment("gaussian", 2, 5, 6), Segment("categorical", 4, 6, 9)))  # fmt: skip
    covariance = covariance_of(9)
    for part in layout.segments:
        sums = np.eye(9)
        sums[part.start : part.stop, part.start : part.stop] -= 0.99 / (part.stop - part.start)
        if part.likelihood == "categorical":
            covariance = sums @ covariance @ sums.T
    x, seen = rows_of(covariance, 200, 0.4)
    observed = seen[:, layout.first_values().numpy()][:, layout.columns().numpy()]
    expected = conditional_means(x, observed, covariance)
    precision = torch.from_numpy(np.linalg.inv(covariance))
    for dtype, limit in ((torch.float64, 1e-7), (torch.float32, 2e-2)):
        fill = Fill(precision.to(dtype), layout)
        found = fill(torch.from_numpy(x).to(dtype), torch.from_numpy(observed)).numpy()
        np.testing.assert_allclose(found, expected, atol=limit)


def test_what_stands_at_missing_places_does_not_matter() -> None:
    covariance = covariance_of(9)
    x, observed = rows_of(covariance, 60, 0.4)
    other = np.where(observed, x, 1e6)
    assert np.array_equal(filled(covariance, other, observed), filled(covariance, x, observed))


def test_a_row_does_not_depend_on_the_others() -> None:
    covariance = covariance_of(9)
    x, observed = rows_of(covariance, 60, 0.4)
    found = filled(covariance, x, observed)
    changed, seen = 100 * x, ~observed
    changed[:5], seen[:5] = x[:5], observed[:5]
    assert np.array_equal(filled(covariance, changed, seen)[:5], found[:5])
    for place in range(5):
        alone = filled(covariance, x[place : place + 1], observed[place : place + 1])
        np.testing.assert_allclose(alone[0], found[place], rtol=0, atol=1e-12)


def test_nothing_observed_is_the_mean() -> None:
    covariance = covariance_of(5)
    x = np.random.default_rng(0).normal(size=(4, 5))
    assert np.array_equal(filled(covariance, x, np.zeros((4, 5), dtype=bool)), np.zeros((4, 5)))


# Moments.


def test_moments_of_complete_rows_are_the_plain_ones() -> None:
    x, _ = rows_of(covariance_of(6), 1000, 0.0)
    x += 3
    found = fit_moments(x)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T, bias=True), rtol=1e-10, atol=1e-12)


def test_moments_are_recovered_where_cells_are_missing_at_random() -> None:
    # Whether others are missing depends on the first column, which is always there.
    rng = np.random.default_rng(0)
    truth = np.full((4, 4), 0.8) + 0.2 * np.eye(4)
    x = rng.multivariate_normal(np.zeros(4), truth, size=20_000)
    holes = np.where((x[:, :1] > 0.3) & (np.arange(4) > 0) & (rng.random(x.shape) < 0.8), np.nan, x)
    found = fit_moments(holes)
    there = np.nanmean(holes, 0)
    assert np.abs(there[1:]).min() > 0.25
    assert np.abs(found.mean).max() < 0.05
    available = np.ma.cov(np.ma.masked_invalid(holes).T).data
    assert np.abs(available - truth).max() > 0.15
    assert np.abs(found.covariance - truth).max() < 0.06
    assert np.array_equal(found.covariance, found.covariance.T)


@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_moments_with_cells_missing_completely_at_random(rate: float) -> None:
    truth = covariance_of(8)
    x, observed = rows_of(truth, 6000, rate)
    found = fit_moments(np.where(observed, x, np.nan))
    np.testing.assert_allclose(found.covariance, np.cov(x.T, bias=True), atol=0.12)
    np.testing.assert_allclose(found.mean, x.mean(0), atol=0.05)
    assert np.linalg.eigvalsh(found.covariance)[0] > 0


@pytest.mark.parametrize("column", ["missing", "constant"])
def test_columns_without_variance_do_no_harm(column: str) -> None:
    x, observed = rows_of(covariance_of(4), 400, 0.2)
    holes = np.where(observed, x, np.nan)
    holes[:, 1] = np.nan if column == "missing" else 0.0
    found = fit_moments(holes)
    precision = found.precision()
    assert np.isfinite(found.mean).all()
    assert np.isfinite(precision).all()
    assert np.array_equal(precision, precision.T)
    assert np.linalg.eigvalsh(precision)[0] > 0
    others = np.delete(np.arange(4), 1)
    alone = fit_moments(holes[:, others])
    np.testing.assert_allclose(
        found.covariance[np.ix_(others, others)], alone.covariance, atol=0.02
    )


def test_moments_of_levels_that_are_missing_at_random() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=6000)
    levels = np.eye(4)[np.digitize(hidden + 0.7 * rng.normal(size=6000), [-0.8, 0, 0.8])]
    x = np.column_stack([hidden, levels - levels.mean(0), hidden + rng.normal(size=6000)])
    layout = Layout(6, (Segment("gaussian", 0, 0, 1), Segment("categorical", 1, 1, 5),
                        Segment("gaussian", 2, 5, 6)))  # fmt: skip
    lost = (rng.random((6000, 3)) < 0.3)[:, layout.columns().numpy()]
    found = fit_moments(np.where(lost, np.nan, x), layout).covariance
    truth = np.cov(x.T, bias=True)
    # What is unsure of a level is not what is unsure of it given the other levels.
    np.testing.assert_allclose(np.diag(found)[1:5], np.diag(truth)[1:5], rtol=0.05)
    np.testing.assert_allclose(found, truth, atol=0.08)


def test_precision_is_the_inverse_up_to_a_small_ridge() -> None:
    covariance = covariance_of(6)
    precision = Moments(np.zeros(6), covariance).precision()
    np.testing.assert_allclose(precision @ covariance, np.eye(6), atol=0.01)
    twice = np.ones((5, 5))
    singular = Moments(np.zeros(5), twice).precision()
    # Five equal columns: each is the mean of the others.
    x, observed = np.full((1, 5), 2.0), np.arange(5)[None] != 3
    guess = Fill(torch.from_numpy(singular))(torch.from_numpy(x), torch.from_numpy(observed))
    assert float(guess[0, 3]) == pytest.approx(2.0, rel=1e-3)
