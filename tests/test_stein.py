"""Errors against clean rows, told from noisy ones: right on average, and exact for lines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from autoencode.composition import Composition
from autoencode.guess import guessed, restored
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.network import Network
from autoencode.preprocess.shrinking import Shrink
from autoencode.stein import unbiased_risk

WIDTH, COUNT, DEVIATION = 6, 6000, 0.5
RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(WIDTH, 2))
COVARIANCE = MIXING @ MIXING.T / 2 + 0.05 * np.eye(WIDTH)
CLEAN = RNG.normal(size=(COUNT, WIDTH)) @ np.linalg.cholesky(COVARIANCE).T
NOISY = CLEAN + DEVIATION * RNG.normal(size=(COUNT, WIDTH))
WIENER = COVARIANCE @ np.linalg.inv(COVARIANCE + DEVIATION**2 * np.eye(WIDTH))


def network() -> Network:
    """Make one that is told of noise, and is not far from what it should be."""
    whole = Composition(
        "mlp", "plain", "gaussian", "gaussian", (), (12,), (WIDTH,), nested=False, noisy=True
    )
    generator = torch.Generator().manual_seed(0)
    made = whole.network(WIDTH, generator).double()
    variances, axes = torch.linalg.eigh(torch.from_numpy(COVARIANCE))
    made.start_linear(LinearStart(axes.T.flip(0), variances.flip(0).sqrt()))
    with torch.no_grad():
        for parameter in made.parameters():
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.15 * drawn)
    made.shrink = Shrink(torch.from_numpy(COVARIANCE))
    return made


def kept(rows: np.ndarray) -> np.ndarray:
    return rows


def filtered(rows: np.ndarray) -> np.ndarray:
    return rows @ WIENER.T


def bent(rows: np.ndarray) -> np.ndarray:
    made = network()
    level = torch.tensor([[1.0, DEVIATION**2]], dtype=torch.float64).expand(len(rows), 2)
    batch = guessed(made, Batch(torch.from_numpy(rows), None, None, level))
    with torch.no_grad():
        mean = made.likelihood.mean(made(batch, Context()).params).flatten(1)
        return restored(made, mean, batch).numpy()


@pytest.mark.parametrize("restore", [kept, filtered, bent])
def test_the_estimate_is_right_on_average(restore: Callable[[np.ndarray], np.ndarray]) -> None:
    true = np.square(restore(NOISY) - CLEAN).sum(1)
    found = unbiased_risk(restore, NOISY, DEVIATION)
    assert found.shape == (COUNT,)
    off = found - true
    error = off.std() / COUNT**0.5
    assert error < 0.03 * true.mean()
    assert abs(off.mean()) < 3 * error
    # The error against the noisy rows is far off.
    against = np.square(restore(NOISY) - NOISY).sum(1)
    assert abs((against - true).mean()) > 10 * error


def test_the_estimate_ranks_filters_as_the_true_error_does() -> None:
    strengths = np.array([0.2, 0.35, 0.5, 0.7, 1.0])
    true, found = [], []
    for strength in strengths:
        noise = strength**2 * np.eye(WIDTH)
        matrix = COVARIANCE @ np.linalg.inv(COVARIANCE + noise)
        true.append(np.square(NOISY @ matrix.T - CLEAN).sum(1).mean())
        found.append(unbiased_risk(lambda rows, m=matrix: rows @ m.T, NOISY, DEVIATION).mean())
    np.testing.assert_allclose(found, true, rtol=0.05)
    assert strengths[int(np.argmin(found))] == DEVIATION


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_the_estimate_of_a_multiple_is_the_formula(factor: float) -> None:
    # The divergence is the same in every direction: nothing is left to chance.
    found = unbiased_risk(lambda rows: factor * rows, NOISY, DEVIATION)
    squares = (1 - factor) ** 2 * np.square(NOISY).sum(1)
    np.testing.assert_allclose(found, squares + DEVIATION**2 * WIDTH * (2 * factor - 1), atol=1e-8)


def test_units_do_not_matter_and_chance_does_not_either() -> None:
    found = unbiased_risk(np.tanh, NOISY, DEVIATION)
    assert np.array_equal(found, unbiased_risk(np.tanh, NOISY, DEVIATION))
    in_thousands = unbiased_risk(
        lambda rows: 1e3 * np.tanh(rows / 1e3), 1e3 * NOISY, 1e3 * DEVIATION
    )
    np.testing.assert_allclose(in_thousands / 1e6, found, rtol=1e-6, atol=1e-9)
    assert np.isfinite(unbiased_risk(kept, np.zeros((3, 2)), DEVIATION)).all()
