"""The linear guess of noisy rows is Wiener's, at any level of each row."""

from __future__ import annotations

import pytest
import torch

from autoencode.preprocess.shrinking import Shrink

WIDTH = 5
LEVELS = [(1.0, 0.01), (1.0, 0.25), (1.0, 4.0), (0.7, 0.2), (0.3, 0.5)]


def normal(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def covariance() -> torch.Tensor:
    """Make one of rank two and a little in all directions."""
    mixing = normal(WIDTH, 2, seed=0)
    return mixing @ mixing.T + 0.05 * torch.eye(WIDTH, dtype=torch.float64)


def levels(*pairs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=torch.float64)


def clean_rows(count: int) -> torch.Tensor:
    return normal(count, WIDTH, seed=1) @ torch.linalg.cholesky(covariance()).T


def test_the_guess_is_the_closed_form() -> None:
    whole, x = covariance(), normal(len(LEVELS), WIDTH, seed=2)
    found = Shrink(whole)(x, levels(*LEVELS))
    for row, guess, (gain, variance) in zip(x, found, LEVELS, strict=True):
        noisy = gain * gain * whole + variance * torch.eye(WIDTH, dtype=torch.float64)
        torch.testing.assert_close(guess, gain * whole @ torch.linalg.solve(noisy, row))


def test_rows_without_noise_stay_bit_by_bit() -> None:
    x = normal(4, WIDTH, seed=3)
    found = Shrink(covariance())(x, levels((1, 0), (1, 0.1), (1, 0), (0.9, 0)))
    assert torch.equal(found[[0, 2]], x[[0, 2]])
    assert not torch.equal(found[1], x[1])
    # What was only made smaller is made larger again.
    torch.testing.assert_close(found[3], x[3] / 0.9)


@pytest.mark.parametrize(("gain", "variance"), LEVELS)
def test_the_guess_is_nearer_than_the_noisy_rows_and_than_other_guesses(
    gain: float, variance: float
) -> None:
    clean = clean_rows(4000)
    noisy = gain * clean + variance**0.5 * normal(4000, WIDTH, seed=4)
    shrink = Shrink(covariance())

    def error(guess: torch.Tensor) -> float:
        return float((guess - clean).square().sum(1).mean())

    mine = error(shrink(noisy, levels((gain, variance)).expand(4000, 2)))
    assert mine < error(noisy)
    # Any other strength is worse, and the error is the one that theory says.
    for factor in (0.5, 2.0):
        assert mine < error(shrink(noisy, levels((gain, factor * variance)).expand(4000, 2)))
    values = torch.linalg.eigvalsh(covariance())
    expected = values * variance / (gain * gain * values + variance)
    assert mine == pytest.approx(float(expected.sum()), rel=0.05)


def test_directions_without_variance_are_no_trouble() -> None:
    flat = torch.diag(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    x = torch.ones(3, 3, dtype=torch.float64)
    found = Shrink(flat)(x, levels((1, 0.5), (1, 1e-12), (1, 0)))
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[0], torch.tensor([2 / 3, 0, 0], dtype=torch.float64))
    assert torch.equal(found[2], x[2])


def test_axes_and_variances_are_no_part_of_a_file() -> None:
    assert not Shrink(covariance()).state_dict()
