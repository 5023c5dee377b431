"""Codes judged by what simple readers make of them: groups, wrong guesses, the gate."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from autoencode.preprocess.principal import principal_components
from autoencode.readers import Readers, groups_of, misread

CENTRES = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])


def clusters(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Make rows around three centres, and say around which."""
    rng = np.random.default_rng(0)
    own = rng.integers(3, size=count)
    return CENTRES[own] + rng.normal(size=(count, 3)), own


def test_groups_are_those_that_are_far_apart() -> None:
    rows, own = clusters()
    groups = groups_of(rows, 3, np.random.default_rng(1))
    pairs = set(zip(own.tolist(), groups.tolist(), strict=True))
    assert len(pairs) == 3
    assert {group for _, group in pairs} == {0, 1, 2}


def test_rows_that_are_all_alike_are_one_group() -> None:
    groups = groups_of(np.ones((20, 4)), 3, np.random.default_rng(0))
    assert len(np.unique(groups)) == 1


def test_codes_that_say_more_are_misread_less() -> None:
    rows, _ = clusters()
    noise = np.random.default_rng(2).normal(size=(len(rows), 2))
    wrong = [misread(rows, codes, 0).mean() for codes in (rows, rows[:, :1], noise)]
    assert wrong[0] + 0.1 < wrong[1]
    assert wrong[1] + 0.1 < wrong[2]
    # Of 3, 6 and 12 groups, chance finds a third at the very most.
    assert wrong[2] > 0.6


def test_a_bent_code_is_misread_by_the_linear_reader_alone() -> None:
    """One group lies between the others on a line: no linear map tells it from both."""
    own = np.tile([0, 1, 2, 0, 1], 60)
    line = np.array([0.0, 2.0, 1.0])[own][:, None]
    wrong = misread(CENTRES[own], line, 0)
    # One of two readers is wrong where the group is the rare one.
    assert np.array_equal(wrong, 0.5 * (own == 2))
    assert not misread(CENTRES[own], CENTRES[own], 0).any()


def test_what_is_misread_depends_on_the_seed_alone() -> None:
    rows, _ = clusters(90)
    before = torch.random.get_rng_state()
    first, same, other = (misread(rows, rows[:, :2], seed) for seed in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("scale", [0.0, 1e-9])
def test_a_component_that_hardly_varies_does_no_harm(scale: float) -> None:
    rows, _ = clusters()
    still = scale * np.random.default_rng(3).normal(size=(len(rows), 1))
    wrong = misread(rows, np.hstack([rows, still]), 0) - misread(rows, rows, 0)
    assert abs(wrong.mean()) < 0.01


class Fixed:
    """Stands for a network: its codes are given."""

    def __init__(self, codes: np.ndarray) -> None:
        self.codes = codes


class Known:
    """Stands for held rows: `HeldOut` as far as readers need it."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.principal = principal_components(lambda: iter([rows]), *rows.shape, 1, 0)

    def encoded(self) -> np.ndarray:
        return self.rows

    def codes(self, network: Fixed) -> np.ndarray:
        return network.codes


def test_codes_that_readers_take_for_pca_are_not_preferred() -> None:
    rows, _ = clusters()
    readers = Readers(cast(Any, Known(rows)), np.ones(1), 0)
    scores = rows @ readers.rows.principal.components.T
    assert not readers.prefer(cast(Any, Fixed(scores)))
    assert readers.prefer(cast(Any, Fixed(rows)))
    # A second one has to be better than the first.
    assert not readers.prefer(cast(Any, Fixed(rows)))
