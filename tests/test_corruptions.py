"""Hiding cells: whole columns, as many as asked for, and never in the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoencode.corruptions import GaussianNoise, Hide
from autoencode.interfaces import Batch
from autoencode.layout import Layout, Segment

# Two numbers, three levels, and a column of two segments.
SEGMENTS = (
    Segment("gaussian", 0, 0, 1),
    Segment("gaussian", 1, 1, 2),
    Segment("categorical", 4, 2, 5),
    Segment("gaussian", 6, 5, 6),
    Segment("gaussian", 6, 6, 8),
)
LAYOUT = Layout(8, SEGMENTS)
COLUMNS = np.array([0, 1, 2, 2, 2, 3, 3, 3])
FIRST = [0, 1, 2, 5]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(count: int = 4000, missing: float = 0.0, dtype: torch.dtype = torch.float32) -> Batch:
    """Make rows whose columns are missing as a whole."""
    x = torch.randn(count, 8, generator=seeded(1), dtype=dtype)
    if not missing:
        return Batch(x)
    observed = (torch.rand(count, 4, generator=seeded(2)) >= missing)[:, COLUMNS]
    return Batch(torch.where(observed, x, 0.0), observed)


def shown(hidden: Batch) -> np.ndarray:
    """Return which columns are left, ``(rows, 4)``."""
    assert hidden.observed is not None
    return hidden.observed[:, FIRST].numpy()


def test_a_layout_knows_its_columns() -> None:
    assert LAYOUT.columns().tolist() == COLUMNS.tolist()
    assert LAYOUT.first_values().tolist() == FIRST
    assert LAYOUT.n_columns == 4
    plain = Layout(3)
    assert plain.columns().tolist() == plain.first_values().tolist() == [0, 1, 2]
    assert plain.n_columns == 3
    assert [part.likelihood for part in plain.parts] == ["gaussian"] * 3


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_all_values_of_a_column_are_hidden_together(missing: float) -> None:
    given = rows(missing=missing)
    hidden = Hide(LAYOUT)(given, seeded())
    assert hidden.observed.dtype == torch.bool
    left = shown(hidden)
    assert np.array_equal(hidden.observed.numpy(), left[:, COLUMNS])
    assert left.mean() < 0.95
    # What is left is as it was, and the rest is zero; nothing comes back.
    assert torch.equal(hidden.x, torch.where(hidden.observed, given.x, 0.0))
    if given.observed is not None:
        assert not bool((hidden.observed & ~given.observed).any())


def test_the_rows_given_stay_as_they_were() -> None:
    given = rows(100, missing=0.3)
    before = [part.clone() for part in given[:2]]
    Hide(LAYOUT, rows=1.0)(given, seeded())
    assert torch.equal(given.x, before[0])
    assert torch.equal(given.observed, before[1])


def test_a_level_is_the_share_that_is_hidden() -> None:
    for level in (0.2, (0.2, 0.2), 0.9):
        left = shown(Hide(LAYOUT, level=level, rows=1.0)(rows(), seeded()))
        share = level if isinstance(level, float) else level[0]
        assert 1 - left.mean() == pytest.approx(share, abs=0.02)
        # Cells are hidden independently.
        assert np.abs(np.corrcoef(left.T) - np.eye(4)).max() < 0.06


def test_a_range_of_levels_is_spread_over_the_rows() -> None:
    many = Layout(400)
    x = Batch(torch.ones(3000, 400))
    shares = 1 - Hide(many, level=(0.2, 0.6), rows=1.0)(x, seeded()).observed.double().mean(1)
    assert float(shares.min()) > 0.1
    assert float(shares.max()) < 0.7
    found = np.quantile(shares.numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found, [0.3, 0.4, 0.5], atol=0.02)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_only_a_share_of_the_rows_loses_cells(share: float, missing: float) -> None:
    given = rows(missing=missing)
    hidden = Hide(LAYOUT, level=(0.999, 1.0), rows=share)(given, seeded())
    before = np.ones((4000, 4), bool) if given.observed is None else shown(given)
    changed = (shown(hidden) != before).any(1)
    full = before.any(1)
    assert changed[full].mean() == pytest.approx(share, abs=0.03)


def test_together_takes_what_another_row_lacks() -> None:
    given = rows(missing=0.3)
    # Next to nothing is hidden by chance.
    apart = Hide(LAYOUT, level=1e-9, rows=1.0, together=False)(given, seeded())
    assert torch.equal(apart.observed, given.observed)
    joined = Hide(LAYOUT, level=1e-9, rows=1.0, together=True)(given, seeded())
    assert torch.equal(joined.observed, given.observed & given.observed.roll(1, 0))
    # Rows that are to lose nothing do not lose that either.
    some = Hide(LAYOUT, level=1e-9, rows=0.5, together=True)(given, seeded())
    kept = (some.observed == given.observed).all(1)
    taken = (some.observed == joined.observed).all(1)
    assert bool((kept | taken).all())
    assert 0.3 < float((kept & ~taken).double().mean()) < 0.7


def test_nothing_missing_means_nothing_together() -> None:
    one, other = (Hide(LAYOUT, together=value)(rows(50), seeded()) for value in (True, False))
    assert torch.equal(one.observed, other.observed)


def test_the_same_generator_hides_the_same_cells() -> None:
    first, same, other = (Hide(LAYOUT)(rows(50), seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.observed, same.observed)
    assert not torch.equal(first.observed, other.observed)


@pytest.mark.parametrize(("numbers", "places"), [(True, [0, 1]), (False, [*range(8)])])
def test_normal_noise_is_for_numbers_or_for_all(numbers: bool, places: list[int]) -> None:
    """A column of several values, such as a date, is no number."""
    given = rows()
    noise = GaussianNoise(LAYOUT, 0.6, numbers=numbers)(given, seeded()).x - given.x
    expected = [0.6 if place in places else 0.0 for place in range(8)]
    assert noise.std(0).tolist() == pytest.approx(expected, abs=0.03)
