"""What is chosen on held-out rows: rows themselves, sizes, network or PCA."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autoencode.selection import (
    evaluation_sizes,
    gate_opens,
    size_pattern,
    smallest_size,
    split_rows,
)

# Rows.


@pytest.mark.parametrize("n_rows", [50, 51, 99, 1000])
@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 0.9])
def test_the_parts_are_disjoint_and_cover_all_rows(n_rows: int, fraction: float) -> None:
    split = split_rows(n_rows, fraction, np.random.default_rng(0))
    parts = (split.train, split.choose, split.claim)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n_rows))
    for part in parts:
        assert (np.diff(part) > 0).all()
    held_out = len(split.choose) + len(split.claim)
    assert abs(held_out - fraction * n_rows) <= 1
    assert 0 <= len(split.choose) - len(split.claim) <= 1
    assert min(map(len, parts)) > 0


def test_the_parts_are_drawn_from_the_generator() -> None:
    first, same, other = (split_rows(200, 0.2, np.random.default_rng(s)) for s in (0, 0, 1))
    assert np.array_equal(first.choose, same.choose)
    assert not np.array_equal(first.choose, other.choose)
    # No stretch of neighbours: the table may be sorted.
    assert (np.diff(first.choose) > 1).any()


@pytest.mark.parametrize(("n_rows", "fraction"), [(2, 0.5), (30, 0.3), (49, 0.5), (60, 0.05)])
def test_too_few_rows_are_all_for_training(n_rows: int, fraction: float) -> None:
    split = split_rows(n_rows, fraction, np.random.default_rng(0))
    assert split.train.tolist() == list(range(n_rows))
    assert len(split.choose) == len(split.claim) == 0


def test_no_more_are_held_out_than_a_figure_needs() -> None:
    split = split_rows(30_000, 0.5, np.random.default_rng(0))
    assert (len(split.choose), len(split.claim)) == (4096, 4096)
    assert len(split.train) == 30_000 - 8192


# Sizes.


@pytest.mark.parametrize("largest", [1, 2, 63, 64, 65, 100, 784, 5000])
def test_evaluation_sizes_are_all_to_64_then_sparser(largest: int) -> None:
    sizes = evaluation_sizes(largest)
    assert sizes[: min(largest, 64)] == list(range(1, min(largest, 64) + 1))
    assert sizes[-1] == largest
    assert all(a < b <= np.ceil(1.1 * a) for a, b in itertools.pairwise(sizes[63:]))
    assert len(sizes) < 64 + 60


@pytest.mark.parametrize("largest", [1, 2, 5, 48, 300])
@pytest.mark.parametrize("full_share", [0.1, 0.5, 0.8])
def test_any_beginning_of_a_pattern_is_balanced(largest: int, full_share: float) -> None:
    pattern = size_pattern(largest, 512, full_share)
    assert pattern.shape == (512,)
    assert (pattern.min(), pattern.max()) == (1, largest)
    others = np.arange(1, largest + 1)
    expected = (1 - full_share) * np.log1p(1 / others) / np.log(largest + 1)
    expected[-1] += full_share
    for length in (32, 57, 128, 256, 511):
        for some in (others <= max(1, largest // 4), others <= max(1, largest // 2)):
            share = np.isin(pattern[:length], others[some]).mean()
            assert share == pytest.approx(expected[some].sum(), abs=2.5 / length + 1e-9)
        assert np.isclose((pattern[:length] == largest).mean(), expected[-1], atol=3 / length)


def test_a_pattern_is_always_the_same() -> None:
    assert np.array_equal(size_pattern(9, 100, 0.3), size_pattern(9, 200, 0.3)[:100])


@pytest.mark.parametrize(
    ("level", "expected"), [(0.05, 1), (0.5, 2), (0.500001, 4), (0.9, 8), (0.91, None)]
)
def test_the_smallest_size_that_reaches_the_level(level: float, expected: int | None) -> None:
    explained = np.array([0.1, 0.5, 0.8, 0.9])
    assert smallest_size([1, 2, 4, 8], explained, level) == expected


def test_the_smallest_size_of_a_curve_that_is_not_monotone() -> None:
    assert smallest_size([1, 2, 3], np.array([0.2, 0.9, 0.7]), 0.7) == 2


# The gate.


def test_the_gate_needs_more_than_one_standard_error() -> None:
    pca = np.array([1.0, 1.0, 1.0, 1.0])
    # Gains -1, 1, 1, 1: mean 0.5, standard error 1 / 2.
    assert not gate_opens(pca - [-1, 1, 1, 1], pca)
    assert gate_opens(pca - [-0.9, 1, 1, 1], pca)


@pytest.mark.parametrize("gain", [0.0, -0.1])
def test_the_gate_stays_shut_without_a_gain(gain: float) -> None:
    rng = np.random.default_rng(0)
    pca = rng.uniform(1, 2, 100)
    assert not gate_opens(pca - gain, pca)
    assert not gate_opens(pca - gain - rng.normal(0, 1e-9, 100) * (gain < 0), pca)


def test_the_gate_pairs_the_rows() -> None:
    rng = np.random.default_rng(0)
    pca = 10 ** rng.uniform(-3, 3, 100)
    assert gate_opens(0.99 * pca, pca)
    # The same errors in another order: their spread hides the gain.
    assert not gate_opens(0.99 * rng.permutation(pca), pca)


@pytest.mark.parametrize("rows", [0, 1])
def test_one_row_is_no_evidence(rows: int) -> None:
    assert not gate_opens(np.zeros(rows), np.ones(rows))
