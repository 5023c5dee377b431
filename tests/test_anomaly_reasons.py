"""Reasons: what is expected of a cell, and which cell of a row is the likeliest error."""

from __future__ import annotations

import numpy as np
import pytest

from autoencode.anomaly_parts.reasons import Reasons, reasons
from autoencode.anomaly_parts.scaled_values import Units, plain_values
from autoencode.opening import open_for_fit


def explained(rows: np.ndarray, judged: np.ndarray) -> Reasons:
    opened = open_for_fit(rows, None)
    values, novel = plain_values(opened)
    units = Units.fit(values, opened)
    references = units.numbers(values, novel).values
    found = plain_values(open_for_fit(judged, None))
    return reasons(units, references, units.numbers(*found), len(rows))


def normal_rows(n: int, seed: int) -> np.ndarray:
    """Two columns of correlation 0.9, and one by itself; deviations 1, 2 and 3."""
    first, second, third = np.random.default_rng(seed).normal(size=(3, n))
    return np.column_stack([first, 2 * (0.9 * first + np.sqrt(0.19) * second), 3 * third])


def test_what_is_expected_of_normal_rows_is_their_conditional_mean() -> None:
    judged = normal_rows(30, 1)
    found = explained(normal_rows(800, 0), judged)
    exact = np.column_stack([0.45 * judged[:, 1], 1.8 * judged[:, 0], np.zeros(30)])
    away = np.abs(found.expected - exact) / [1, 2, 3]
    assert away.mean() < 0.12
    np.testing.assert_allclose(found.deviation, [0.436, 0.872, 3.0], rtol=0.15)


def test_nats_are_those_of_bayes_rule_for_normal_rows() -> None:
    """The ratio of N(0, 1), mixed with N(0, 9), to N(mean, 0.19) for the first column."""
    judged = normal_rows(30, 1)
    judged[:, 0] += np.linspace(-2, 2, 30)
    found = explained(normal_rows(800, 0), judged).nats[:, 0]
    x, mean = judged[:, 0], 0.45 * judged[:, 1]
    error = 0.5 * np.exp(-(x**2) / 2) + 0.5 * np.exp(-(x**2) / 18) / 3
    exact = np.log(error) + (x - mean) ** 2 / 0.38 + 0.5 * np.log(0.19)
    usual = np.abs(exact) < 6
    assert np.abs(found - exact)[usual].mean() < 0.5
    assert np.corrcoef(found, exact)[0, 1] > 0.95


def test_columns_that_hang_together_otherwise_than_linearly_are_understood() -> None:
    rng = np.random.default_rng(0)
    first = rng.uniform(-2, 2, 600)
    rows = np.column_stack([first, first**2, rng.normal(size=600)])
    rows[:, 1] += 0.1 * rng.normal(size=600)
    judged = np.array([[1.5, 0.3, 0.0], [0.0, 2.5, 1.0], [1.0, 1.0, 6.0]])
    found = explained(rows, judged)
    assert found.nats.argmax(1)[2] == 2
    assert (found.nats[:2, :2] > 3).all()
    assert found.nats[:2, 2].max() < found.nats[:2, :2].min()
    assert found.expected[0, 1] == pytest.approx(2.25, abs=0.3)


def test_a_cell_far_out_comes_first_and_drags_nothing_along() -> None:
    judged = normal_rows(4, 2)
    judged[:, 1] = [40.0, -40.0, 1e6, -1e6]
    rows = normal_rows(300, 0)
    found = explained(rows, judged)
    assert (found.nats.argmax(1) == 1).all()
    assert (found.expected <= rows.max(0)).all()
    assert (found.expected >= rows.min(0)).all()
    assert np.isfinite(found.nats).all()


def test_an_odd_row_of_the_fit_does_not_vouch_for_itself() -> None:
    rows = normal_rows(300, 0)
    rows[7, 1] = 40.0
    found = explained(rows, rows)
    assert found.nats[7].argmax() == 1
    assert found.nats[7, 1] > 5.0
    assert found.expected[7, 1] < 5.0
