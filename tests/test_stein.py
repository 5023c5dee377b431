"""Errors against clean rows, told from noisy ones: right on average, and exact for lines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from autoencode.composition import Composition
from autoencode.guess import Guess, guessed, noisy_rows, rescaled, restored
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.layout import Layout
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import Divergence
from autoencode.preprocess.shrinking import Shrink
from autoencode.stein import STEP, Stein, signs_like

WIDTH, COUNT, DEVIATION = 6, 6000, 0.5
LAYOUT = Layout(WIDTH)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def covariance() -> torch.Tensor:
    mixing = normal(WIDTH, 2, seed=9)
    return mixing @ mixing.T / 2 + 0.05 * torch.eye(WIDTH, dtype=torch.float64)


CLEAN = normal(COUNT, WIDTH) @ torch.linalg.cholesky(covariance()).T
NOISY = CLEAN + DEVIATION * normal(COUNT, WIDTH, seed=1)
LEVEL = torch.tensor([[1.0, DEVIATION**2]], dtype=torch.float64)


def level(count: int = COUNT) -> torch.Tensor:
    return LEVEL.expand(count, 2)


def network(seed: int = 0) -> Network:
    """Make one that is told of noise, and is not far from what it should be."""
    whole = Composition(
        "mlp", "plain", "known:level=0.5", "gaussian", (), (12,), (WIDTH,),
        nested=False, noisy=True,
    )  # fmt: skip
    made = whole.network(WIDTH, seeded(seed)).double()
    variances, axes = torch.linalg.eigh(covariance())
    made.start_linear(LinearStart(axes.T.flip(0), variances.flip(0).sqrt()))
    with torch.no_grad():
        for place, parameter in enumerate(made.parameters()):
            parameter.add_(0.15 * normal(*parameter.shape, seed=10 * seed + place + 20))
    made.shrink = Shrink(covariance())
    return made


def results(made: Network, batch: Batch) -> torch.Tensor:
    given = guessed(made, batch)
    with torch.no_grad():
        return restored(made, made.likelihood.mean(made(given, Context()).params).flatten(1), given)


def filtered(batch: Batch) -> torch.Tensor:
    return Shrink(covariance())(batch.x, level(len(batch.x)))


def bent(batch: Batch) -> torch.Tensor:
    return results(network(), batch)


def kept(batch: Batch) -> torch.Tensor:
    return batch.x


def risks(denoise: Callable[[Batch], torch.Tensor], observed: torch.Tensor | None) -> torch.Tensor:
    """Estimate each row's error a part of the rows at a time, as a fit does."""
    stein, batch = Stein(DEVIATION, NOISY, observed), Batch(NOISY, observed, None, level())
    before, after = denoise(batch), denoise(stein.move(batch))
    seen = 1.0 if observed is None else observed
    residual = ((before - NOISY) * seen).square().sum(1)
    parts = [
        stein.risk(residual[start : start + 2500], (after - before)[start : start + 2500], start)
        for start in range(0, COUNT, 2500)
    ]
    return torch.cat(parts)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("denoise", [kept, filtered, bent])
def test_the_estimate_is_right_on_average(
    denoise: Callable[[Batch], torch.Tensor], holes: bool
) -> None:
    observed = normal(COUNT, WIDTH, seed=2) > -1 if holes else None
    seen = 1.0 if observed is None else observed
    # Nothing is filled in here: missing values are known to what restores, but do not count.
    true = ((denoise(Batch(NOISY, None, None, level())) - CLEAN) * seen).square().sum(1)
    found = risks(lambda batch: denoise(batch._replace(observed=None)), observed)
    off = found - true
    error = float(off.std()) / COUNT**0.5
    assert error < 0.05 * float(true.mean())
    assert abs(float(off.mean())) < 3 * error
    # What counts without it is far off: the error against the noisy rows.
    against = ((denoise(Batch(NOISY, None, None, level())) - NOISY) * seen).square().sum(1)
    assert abs(float((against - true).mean())) > 10 * error


@pytest.mark.parametrize("holes", [False, True])
def test_the_linear_guess_has_the_exact_estimate(holes: bool) -> None:
    observed = normal(COUNT, WIDTH, seed=2) > -1 if holes else None
    seen = torch.ones_like(NOISY) if observed is None else observed.double()
    squares = ((filtered(Batch(NOISY)) - NOISY) * seen).square().sum(1)
    errors = np.stack([np.full(COUNT, 7.0), squares.numpy()], 1)
    stein = Stein(DEVIATION, NOISY, observed)
    found = stein.linear_risk(errors, Shrink(covariance()))
    noise = DEVIATION**2 * torch.eye(WIDTH, dtype=torch.float64)
    slopes = (covariance() @ torch.linalg.inv(covariance() + noise)).diagonal()
    expected = squares + DEVIATION**2 * (2 * seen @ slopes - seen.sum(1))
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-9)
    # Without a guess to follow, noise is just what is left of the error.
    np.testing.assert_allclose(found[:, 0], 7.0 - DEVIATION**2 * seen.sum(1))
    np.testing.assert_allclose(found[:, 1].mean(), risks(filtered, observed).mean(), rtol=0.1)
    assert errors[0, 0] == 7.0


def test_rows_are_moved_by_a_small_step_where_they_are_observed() -> None:
    observed = normal(COUNT, WIDTH, seed=2) > 0
    moved = Stein(DEVIATION, NOISY, observed).move(Batch(NOISY, observed)).x - NOISY
    assert not bool(moved[~observed].any())
    torch.testing.assert_close(
        moved[observed].abs(), torch.full((int(observed.sum()),), STEP).to(moved)
    )
    signs = signs_like(NOISY, seeded())
    assert signs.unique().tolist() == [-1.0, 1.0]
    assert float(signs.mean()) == pytest.approx(0, abs=0.02)
    assert torch.equal(signs, signs_like(NOISY, seeded()))
    assert signs_like(torch.zeros(2, 2), seeded()).dtype == torch.float32


def test_only_numbers_are_taken_to_be_noisy() -> None:
    real = torch.arange(WIDTH) < 4
    given = torch.where(real, NOISY, CLEAN)
    stein = Stein(DEVIATION, given, None, real)
    assert not bool((stein.move(Batch(given)).x - given)[:, 4:].any())
    # Halfway to zero: whole rows count, the noise of their first values alone.
    found = stein.risk((given / 2).square().sum(1), (stein.move(Batch(given)).x - given) / 2, 0)
    off = found - (given / 2 - CLEAN).square().sum(1)
    assert abs(float(off.mean())) < 3 * float(off.std()) / COUNT**0.5
    # Rows that stay as they are miss by the noise.
    kept = stein.linear_risk(np.zeros((COUNT, 1)), None)
    np.testing.assert_allclose(kept, 4 * DEVIATION**2)


# The penalty.


@pytest.mark.parametrize("holes", [False, True])
def test_the_penalty_is_the_divergence_of_the_result(holes: bool) -> None:
    made, few = network(), NOISY[:5]
    observed = normal(5, WIDTH, seed=2) > -1 if holes else None

    def result(x: torch.Tensor) -> torch.Tensor:
        batch = guessed(made, Batch(x, observed, None, level(5)))
        return made.likelihood.mean(made(batch, Context()).params).flatten(1)

    seen = torch.ones(5, WIDTH) if observed is None else observed
    if observed is not None:
        few = few * observed
    jacobian = torch.autograd.functional.jacobian(result, few)
    slopes = torch.stack([jacobian[i, :, i].diagonal() for i in range(5)])
    # The network's own output is in units of what noise leaves.
    scale = (DEVIATION**2 / (1 + DEVIATION**2)) ** 0.5
    expected = DEVIATION**2 / scale * float((slopes * seen).sum(1).mean())
    copies = 4000
    many = Batch(few, observed, None, level(5)).repeated(copies)
    given = guessed(made, many)
    found = Divergence(DEVIATION)(made, made(given, Context(rng=seeded())))
    assert float(found.detach()) == pytest.approx(expected, rel=0.03)
    torch.testing.assert_close(noisy_rows(given), many.x)


def test_with_the_penalty_noisy_targets_rank_networks_as_clean_ones_do() -> None:
    losses: dict[str, list[torch.Tensor]] = {"clean": [], "noisy": [], "plain": []}
    for seed in range(2):
        made = network(seed)
        batch = guessed(made, Batch(NOISY, None, None, level()))
        result = made(batch, Context(rng=seeded()))
        penalty = Objective([Divergence(DEVIATION)])
        for name, target, objective in (
            ("clean", CLEAN, Objective()),
            ("noisy", NOISY, penalty),
            ("plain", NOISY, Objective()),
        ):
            wanted = rescaled(made, Batch(target), batch)
            losses[name].append(objective(made, result, wanted, None).total.detach())
    clean, noisy, plain = (float(two[1] - two[0]) for two in losses.values())
    assert noisy == pytest.approx(clean, abs=0.1 * abs(clean - plain))


def test_a_guess_without_a_network_may_be_moved_too() -> None:
    parts = Guess(None, Shrink(covariance()), False, True, LAYOUT.first_values())
    stein = Stein(DEVIATION, NOISY, None)
    given = Batch(NOISY, None, None, level())
    before, after = guessed(parts, given).x, guessed(parts, stein.move(given)).x
    torch.testing.assert_close(before, filtered(Batch(NOISY)))
    found = stein.risk((before - NOISY).square().sum(1), after - before, 0)
    torch.testing.assert_close(found, risks(filtered, None))
