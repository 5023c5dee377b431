"""Restored rows are bounded by what can be true."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from autoencode import DenoisingAutoencoder
from autoencode.data.arrays import open_array
from autoencode.plausibility import ranges_of, within_noise, within_ranges
from autoencode.preprocess.scaling import Scaling

RNG = np.random.default_rng(0)


def test_what_noise_can_explain_is_taken_out_whole() -> None:
    clean = RNG.normal(size=(500, 40))
    noisy = clean + 0.3 * RNG.normal(size=clean.shape)
    found = within_noise(noisy, clean, np.full(500, 0.3))
    assert (np.abs(found - clean).max(1) < 1e-9).mean() > 0.98


def test_a_step_is_no_longer_than_noise_is() -> None:
    noisy, level = np.zeros((3, 40)), np.array([0.1, 0.1, 0.0])
    restored = np.full((3, 40), 5.0)
    restored[1, 1:] = 0.0
    steps = np.abs(within_noise(noisy, restored, level))
    longest = 0.1 * np.sqrt(40 + 3 * np.sqrt(80))
    assert np.linalg.norm(steps[0]) == pytest.approx(longest**2 / (5 * np.sqrt(40)))
    of_row = longest**2 / 5
    assert steps[1, 0] == pytest.approx(min(of_row, 0.4**2 / of_row))
    assert not steps[1, 1:].any()
    assert not steps[2].any()


def test_ranges_bound_what_was_restored_and_nothing_else() -> None:
    rows = open_array(np.array([[1.0, np.nan], [3.0, np.nan], [2.0, np.nan]]))
    ranges = ranges_of(Scaling(np.zeros(2), np.array([2.0, 1.0])), rows, np.arange(2))
    assert ranges == {"low": [0.5, None], "high": [1.5, None]}
    given = np.array([[9.0, 9.0], [9.0, 9.0]])
    found = within_ranges(given, np.array([[9.0, 7.0], [4.0, 9.0]]), ranges)
    assert found.tolist() == [[9.0, 7.0], [1.5, 9.0]]
    assert within_ranges(given, found, None) is found


def test_rows_far_from_all_others_are_hardly_touched() -> None:
    x = load_breast_cancer().data
    x = (x - x.mean(0)) / x.std(0)
    model = DenoisingAutoencoder(rows="clean", noise="gaussian", max_epochs=5, random_state=0)
    model.fit(x)
    clean = 10 * RNG.normal(size=(20, 30))
    noisy = clean + 0.1 * RNG.normal(size=clean.shape)
    restored = model.denoise(noisy, level=0.1)
    assert (restored != noisy).any()
    assert np.square(restored - clean).mean() < 1.05 * np.square(noisy - clean).mean()
