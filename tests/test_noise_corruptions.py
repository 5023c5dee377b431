"""Noise: what is hit, how strongly, what is said of it, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencode.corruptions import CORRUPTIONS, real_values
from autoencode.interfaces import Batch
from autoencode.layout import Layout, Segment

# A number, three levels, a yes or no, a count, and an angle.
SEGMENTS = (
    Segment("gaussian", 0, 0, 1),
    Segment("categorical", 2, 1, 4),
    Segment("bernoulli", 3, 4, 5),
    Segment("count", 4, 5, 6),
    Segment("gaussian", 6, 6, 8),
)
LAYOUT = Layout(8, SEGMENTS)
COLUMNS = [[0], [1, 2, 3], [4], [5], [6, 7]]
REAL = [0, 5]
WIDE = Layout(200)
NOISES = ["gaussian", "mask", "block", "salt_pepper", "swap"]
SHARES = NOISES[1:]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(count: int = 3000, missing: float = 0.0, layout: Layout = LAYOUT) -> Batch:
    """Make rows of distinct values, whose columns are missing as a whole."""
    x = torch.randn(count, layout.n_values, generator=seeded(1), dtype=torch.float64)
    if not missing:
        return Batch(x)
    seen = torch.rand(count, layout.n_columns, generator=seeded(2)) >= missing
    observed = seen[:, layout.columns()]
    return Batch(torch.where(observed, x, 0.0), observed)


def signs(count: int = 2000) -> Batch:
    """Make rows of variance 1 all of whose values are extreme."""
    return Batch(torch.where(rows(count, layout=WIDE).x > 0, 1.0, -1.0).double())


def hit(spoilt: Batch, given: Batch) -> torch.Tensor:
    return spoilt.x != given.x


# Every corruption.


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_target_and_missing_cells_stay_as_they_were(name: str, missing: float) -> None:
    given = rows(200, missing)
    before = [None if part is None else part.clone() for part in given]
    corrupt = CORRUPTIONS[name](LAYOUT)
    spoilt = corrupt(given, seeded())
    for part, copy in zip(given, before, strict=True):
        assert part is copy is None or torch.equal(part, copy)
    assert spoilt.x.shape == given.x.shape
    assert spoilt.x.dtype == given.x.dtype
    assert spoilt.told is None
    if given.observed is not None:
        assert torch.equal(spoilt.x[~given.observed], given.x[~given.observed])
        assert not bool((spoilt.observed & ~given.observed).any())
    if not corrupt.hides:
        assert spoilt.observed is given.observed


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_generator_alone_decides(name: str, missing: float) -> None:
    corrupt, given = CORRUPTIONS[name](LAYOUT), rows(200, missing)
    before = torch.random.get_rng_state()
    first, same, other = (corrupt(given, seeded(seed)) for seed in (0, 0, 1))
    for one, two in zip(first, same, strict=True):
        assert one is two is None or torch.equal(one, two)
    assert torch.equal(first.x, other.x) == (name == "none")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_told_where_it_differs_from_row_to_row(name: str) -> None:
    for level in (None, 0.2, (0.2, 0.2)):
        corrupt = CORRUPTIONS[name](LAYOUT, level=level)
        assert not corrupt.tells
        assert corrupt(rows(50), seeded()).level is None
    corrupt = CORRUPTIONS[name](LAYOUT, level=(0.1, 0.4))
    told = corrupt(rows(50), seeded()).level
    assert corrupt.tells
    assert told.shape == (50, 2)
    assert told.dtype == torch.float64
    assert len(told.unique(dim=0)) == 50


# How strong it is.


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_a_level_is_the_share_of_columns_that_are_hit(name: str, level: float) -> None:
    given = rows(400, layout=WIDE)
    found = hit(CORRUPTIONS[name](WIDE, level=level)(given, seeded()), given).double()
    # A value in 400 is another row's and yet its own, or is extreme itself.
    assert float(found.mean()) == pytest.approx(level, abs=0.01)
    if name != "block":
        assert float(found.mean(1).std()) < 2 * (level * (1 - level) / 200) ** 0.5 + 0.01


@pytest.mark.parametrize("name", SHARES)
def test_shares_are_spread_evenly_and_told(name: str) -> None:
    given = rows(1000, layout=WIDE)
    spoilt = CORRUPTIONS[name](WIDE, level=(0.2, 0.6))(given, seeded())
    level = 1 - spoilt.level[:, 0]
    expected = 0.2 + 0.4 * (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    torch.testing.assert_close(level.sort().values, expected)
    # In random order, and each row has what is told of it.
    assert abs(float(torch.corrcoef(torch.stack([level, torch.arange(1000.0)]))[0, 1])) < 0.1
    found = hit(spoilt, given).double().mean(1)
    assert float((found - level).abs().max()) < 0.17
    assert float((found - level).mean()) == pytest.approx(0, abs=0.005)


def test_normal_noise_is_spread_by_ratio_and_told() -> None:
    given = rows(1000, layout=WIDE)
    spoilt = CORRUPTIONS["gaussian"](WIDE, level=(0.1, 1.6))(given, seeded())
    assert bool((spoilt.level[:, 0] == 1).all())
    level = spoilt.level[:, 1].sqrt()
    shares = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    torch.testing.assert_close(level.sort().values, 0.1 * 16**shares)
    noise = (spoilt.x - given.x) / level[:, None]
    assert float((noise.std(1) - 1).abs().max()) < 0.25
    assert float(noise.std()) == pytest.approx(1, abs=0.01)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("name", NOISES)
def test_what_is_told_are_the_gain_and_the_variance(name: str) -> None:
    given = signs()
    spoilt = CORRUPTIONS[name](WIDE, level=(0.2, 0.7))(given, seeded())
    gain, variance = spoilt.level[:, :1], spoilt.level[:, 1:]
    slope = (spoilt.x * given.x).mean(1, keepdim=True)
    left = (spoilt.x - gain * given.x).square()
    assert float((slope - gain).mean()) == pytest.approx(0, abs=0.01)
    assert float((left - variance).mean()) == pytest.approx(0, abs=0.01)
    # Row by row: the noisier is told to be.
    assert float(torch.corrcoef(torch.stack([left.mean(1), variance[:, 0]]))[0, 1]) > 0.6


# What is hit.


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", SHARES)
def test_all_values_of_a_column_are_hit_together(name: str, missing: float) -> None:
    given = rows(missing=missing)
    spoilt = CORRUPTIONS[name](LAYOUT, level=0.4)(given, seeded())
    found = hit(spoilt, given)
    if name == "salt_pepper":
        # A value that is extreme already stays as it is.
        extreme = (given.x == given.x.amin(0)) | (given.x == given.x.amax(0))
        found = found[~extreme.any(1)]
    for places in COLUMNS:
        column = found[:, places]
        assert bool((column.all(1) == column.any(1)).all())
        assert 0.1 < float(column.double().mean()) < 0.7


def test_normal_noise_is_for_numbers_alone() -> None:
    given = rows()
    found = hit(CORRUPTIONS["gaussian"](LAYOUT, level=0.5)(given, seeded()), given)
    assert real_values(LAYOUT).tolist() == REAL
    assert bool(found[:, REAL].all())
    assert not bool(found[:, [1, 2, 3, 4, 6, 7]].any())


@pytest.mark.parametrize("name", ["mask", "block"])
def test_what_is_masked_is_zero(name: str) -> None:
    given = rows()
    spoilt = CORRUPTIONS[name](LAYOUT, level=0.4)(given, seeded())
    assert not bool(spoilt.x[hit(spoilt, given)].any())


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_salt_and_pepper_are_the_extremes_of_numbers(missing: float) -> None:
    given = rows(missing=missing)
    # Nowhere near zero, where missing values stand.
    x = given.x + 20
    given = Batch(x if given.observed is None else torch.where(given.observed, x, 0.0), *given[1:])
    spoilt = CORRUPTIONS["salt_pepper"](LAYOUT, level=0.5)(given, seeded())
    found = hit(spoilt, given)
    for place in REAL:
        seen = x[:, place] if given.observed is None else x[given.observed[:, place], place]
        values = spoilt.x[found[:, place], place]
        least = values == seen.min()
        assert bool((least | (values == seen.max())).all())
        assert float(least.double().mean()) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("name", ["swap", "salt_pepper"])
def test_exchanged_columns_are_whole_ones_of_other_rows(name: str, missing: float) -> None:
    given = rows(300, missing)
    spoilt = CORRUPTIONS[name](LAYOUT, level=0.5)(given, seeded())
    found = hit(spoilt, given)
    for places in COLUMNS if name == "swap" else [[1, 2, 3], [4]]:
        whole = np.unique(given.x[:, places].numpy(), axis=0)
        taken = spoilt.x[found[:, places[0]]][:, places].numpy()
        assert len(np.unique(np.concatenate([whole, taken]), axis=0)) == len(whole)
        # From many rows, and never what is missing there.
        assert len(np.unique(taken, axis=0)) > 30
        if given.observed is not None:
            assert bool((spoilt.x[given.observed] != 0).all())


@pytest.mark.parametrize("level", [0.1, 0.25, (0.1, 0.5)])
def test_a_block_is_one_run_of_neighbours(level: float | tuple[float, float]) -> None:
    layout = Layout(20)
    given = rows(layout=layout)
    spoilt = CORRUPTIONS["block"](layout, level=level)(given, seeded())
    found = hit(spoilt, given).long()
    lengths = found.sum(1)
    if isinstance(level, float):
        assert lengths.unique().tolist() == [round(20 * level)]
    else:
        expected = torch.round(20 * (1 - spoilt.level[:, 0])).long()
        assert torch.equal(lengths, expected)
        assert lengths.unique().tolist() == list(range(2, 11))
    edges = torch.nn.functional.pad(found, (1, 1)).diff(dim=1)
    assert bool((edges.abs().sum(1) == 2).all())
    starts = (edges == 1).long().argmax(1)
    shortest = int(lengths.min())
    assert sorted(starts.unique().tolist()) == list(range(20 - shortest + 1))


# Both ways at once.


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_restoring_makes_half_of_the_rows_noisy_and_hides_cells_of_the_others(
    missing: float,
) -> None:
    given = rows(missing=missing)
    corrupt = CORRUPTIONS["restoring"](LAYOUT, noise=(0.1, 0.5), swap=None, hidden=0.4)
    spoilt = corrupt(given, seeded())
    assert corrupt.tells
    assert corrupt.hides
    noisy = spoilt.level[:, 1] > 0
    assert int(noisy.sum()) == 1500
    seen = torch.ones_like(given.x, dtype=torch.bool) if given.observed is None else given.observed
    assert torch.equal(spoilt.observed[noisy], seen[noisy])
    assert bool((spoilt.x != given.x)[noisy][:, REAL][seen[noisy][:, REAL]].all())
    assert bool((spoilt.level[~noisy] == torch.tensor([1.0, 0.0])).all())
    kept = spoilt.observed[~noisy]
    assert torch.equal(spoilt.x[~noisy], torch.where(kept, given.x[~noisy], 0.0))
    assert float(kept[seen[~noisy]].double().mean()) == pytest.approx(0.6, abs=0.02)


def test_restoring_takes_ways_in_turn() -> None:
    given = rows()
    spoilt = CORRUPTIONS["restoring"](LAYOUT, noise=0.2, swap=(0.1, 0.3), hidden=0.4)(
        given, seeded()
    )
    noisy = spoilt.level[:, 1] > 0
    swapped = spoilt.level[:, 0] < 1
    assert [int(part.sum()) for part in (noisy & ~swapped, swapped, ~noisy)] == [1000] * 3
    assert bool(spoilt.observed[noisy].all())
    assert not bool(spoilt.observed[~noisy].all())
    changed = (spoilt.x != given.x)[swapped].double().mean()
    assert 0.1 < float(changed) < 0.3
    shares = 1 - spoilt.level[swapped, 0]
    assert 0.1 < float(shares.min()) < 0.11
    assert 0.29 < float(shares.max()) < 0.3


def test_restoring_may_be_one_alone() -> None:
    noise = CORRUPTIONS["restoring"](LAYOUT, swap=None, hidden=None)
    assert (noise.tells, noise.hides) == (True, False)
    assert bool((noise(rows(50), seeded()).level[:, 1] > 0).all())
    hide = CORRUPTIONS["restoring"](LAYOUT, noise=None, swap=None)
    assert (hide.tells, hide.hides) == (False, True)
    assert hide(rows(50), seeded()).level is None
    # One level for all rows is told as well, since other rows have none.
    fixed = CORRUPTIONS["restoring"](LAYOUT, noise=0.3, swap=None, hidden=None)(rows(50), seeded())
    torch.testing.assert_close(fixed.level[:, 1], torch.full((50,), 0.09).double())
