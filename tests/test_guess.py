"""What the encoder is told, and how far a network may move rows from their guess."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
import torch

from autoencode.guess import (
    Guess,
    guessed,
    guessed_where_needed,
    n_told,
    rescaled,
    restored,
    trust,
)
from autoencode.interfaces import Batch
from autoencode.layout import Layout
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.shrinking import Shrink

WIDTH, COUNT = 5, 12
LAYOUT = Layout(WIDTH)


@dataclass(frozen=True)
class Moving:
    """What has outputs that are values, or not."""

    rescales: bool


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def covariance() -> torch.Tensor:
    mixing = normal(WIDTH, WIDTH, seed=9)
    return mixing @ mixing.T / WIDTH + 0.1 * torch.eye(WIDTH, dtype=torch.float64)


def guess_of(*, masked: bool, noisy: bool) -> Guess:
    fill, shrink = Fill(torch.linalg.inv(covariance()), LAYOUT), Shrink(covariance())
    return Guess(fill, shrink if noisy else None, masked, noisy, LAYOUT.first_values())


def batch_of(*, holes: bool, levels: bool) -> Batch:
    """Make rows; every fourth is without noise, and the first two are complete."""
    x, observed, level = normal(COUNT, WIDTH), None, None
    if holes:
        observed = normal(COUNT, WIDTH, seed=1) > -0.5
        observed[:2] = True
        x = torch.where(observed, x, 0.0)
    if levels:
        variance = normal(COUNT, 1, seed=2).square()
        gain = torch.linspace(0.5, 1, COUNT, dtype=torch.float64)[:, None]
        level = torch.cat([gain, variance], 1)
        level[::4] = torch.tensor([1.0, 0.0])
    return Batch(x, observed, None, level)


FLAGS = [True, False]
CASES = list(itertools.product(FLAGS, FLAGS, FLAGS, FLAGS))


@pytest.mark.parametrize(("masked", "noisy", "holes", "levels"), CASES)
def test_a_guess_says_what_it_rests_on(
    masked: bool, noisy: bool, holes: bool, levels: bool
) -> None:
    parts, batch = guess_of(masked=masked, noisy=noisy), batch_of(holes=holes, levels=levels)
    found = guessed(parts, batch)
    assert found.told.shape == (COUNT, n_told(LAYOUT, masked=masked, noisy=noisy))
    assert bool(found.x.isfinite().all())
    # Once is enough, and where nothing is missing nothing is filled in.
    assert guessed(parts, found) is found
    again = guessed_where_needed(parts, batch)
    torch.testing.assert_close(again.x, found.x)
    torch.testing.assert_close(again.told, found.told)
    if masked:
        seen = torch.ones(COUNT, WIDTH, dtype=torch.bool) if batch.observed is None else found[1]
        assert torch.equal(found.told[:, :WIDTH], 1.0 - seen.double())
    filled = parts.fill(batch.x, batch.observed) if holes else batch.x
    if not noisy:
        assert torch.equal(found.x, filled)
        assert torch.equal(found.level, batch.level) if levels else found.level is None
        return
    unit = (found.level[:, :1].square() + found.level[:, 1:]).sqrt()
    torch.testing.assert_close(found.told[:, -WIDTH:] * unit, filled)
    torch.testing.assert_close(found.x, parts.shrink(filled, found.level))
    told = found.told[:, -WIDTH - 2 : -WIDTH]
    assert torch.equal(told[:, 0], found.level[:, 0])
    # The more noise, the larger the second number; rows that are said nothing of have none.
    order = found.level[:, 1].argsort()
    assert bool((told[order, 1].diff() >= 0).all())
    if not levels:
        assert found.level.unique(dim=0).tolist() == [[1.0, 0.0]]
        assert torch.equal(found.x, filled)
    elif not holes:
        assert torch.equal(found.x[::4], batch.x[::4])
        assert not torch.equal(found.x[1::4], batch.x[1::4])


def test_noisy_values_are_told_at_about_unit_variance() -> None:
    clean = normal(4000, WIDTH)
    for gain, variance in ((1.0, 0.01), (1.0, 9.0), (0.5, 0.3)):
        level = torch.tensor([[gain, variance]], dtype=torch.float64).expand(4000, 2)
        noisy = gain * clean + variance**0.5 * normal(4000, WIDTH, seed=1)
        told = guessed(guess_of(masked=False, noisy=True), Batch(noisy, None, None, level)).told
        assert float(told[:, 2:].std()) == pytest.approx(1, rel=0.02)


def test_trust_is_the_deviation_that_noise_leaves() -> None:
    level = torch.tensor([[1.0, 0.04], [1.0, 1.0], [0.5, 0.3]], dtype=torch.float64)
    clean, shrink = normal(20_000, 1), Shrink(torch.eye(1, dtype=torch.float64))
    for row, expected in zip(level, trust(level)[:, 0], strict=True):
        noisy = row[0] * clean + row[1].sqrt() * normal(20_000, 1, seed=1)
        left = shrink(noisy, row.expand(20_000, 2)) - clean
        assert float(left.std()) == pytest.approx(float(expected), rel=0.02)
    assert trust(torch.tensor([[1.0, 0.0], [0.3, 0.0]])).tolist() == [[1.0], [1.0]]
    assert float(trust(torch.tensor([[1.0, 1e-30]]))) > 0


@pytest.mark.parametrize("holes", FLAGS)
def test_what_is_expected_for_a_target_restores_it(holes: bool) -> None:
    batch = guessed(guess_of(masked=holes, noisy=True), batch_of(holes=holes, levels=True))
    target = Batch(normal(COUNT, WIDTH, seed=5), batch.observed)
    wanted = rescaled(Moving(True), target, batch)
    assert wanted.observed is target.observed
    assert not torch.allclose(wanted.x, target.x)
    torch.testing.assert_close(restored(Moving(True), wanted.x, batch), target.x)
    # Where there is no noise the network has the last word.
    torch.testing.assert_close(wanted.x[::4], target.x[::4])


def test_a_network_that_changes_nothing_gives_the_guess() -> None:
    batch = guessed(guess_of(masked=False, noisy=True), batch_of(holes=False, levels=True))
    assert torch.equal(restored(Moving(True), batch.x, batch), batch.x)
    # Of the same step away from it, less is taken the weaker the noise is.
    moved = (restored(Moving(True), batch.x + 1, batch) - batch.x)[:, 0]
    torch.testing.assert_close(moved, trust(batch.level)[:, 0])


@pytest.mark.parametrize(("rescales", "levels"), [(False, True), (True, False)])
def test_nothing_is_rescaled_without_levels_or_values(rescales: bool, levels: bool) -> None:
    batch = guessed(guess_of(masked=True, noisy=levels), batch_of(holes=True, levels=levels))
    target = Batch(normal(COUNT, WIDTH, seed=5))
    assert rescaled(Moving(rescales), target, batch) is target
    assert restored(Moving(rescales), target.x, batch) is target.x
