"""P-values, false-discovery rates, streams: known answers and simulations."""

from __future__ import annotations

import numpy as np
import pytest

from autoencode.anomaly_parts.conformal import (
    Calibration,
    conditional,
    conformal_p_values,
    flagged,
    null_share,
    rows_needed,
)
from autoencode.anomaly_parts.streams import DriftTest, OnlineControl
from autoencode.errors import SpecError


def test_p_values_count_calibration_rows_at_least_as_odd() -> None:
    known = np.array([1.0, 2.0, 2.0, 3.0])
    found = conformal_p_values(known, np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(found, [1.0, 1.0, 0.8, 0.4, 0.2])


@pytest.mark.parametrize("kind", ["cross", "split"])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.001])
def test_the_threshold_is_where_p_values_reach_the_rate(kind: str, rate: float) -> None:
    scores = np.sort(np.random.default_rng(0).normal(size=99))
    calibration = Calibration(scores, kind)
    judged = np.linspace(-4, 4, 400)
    # Where no p-value is so small, rows are called odd that are odder than all.
    least = 0.01 if kind == "split" else 0.0
    expected = calibration.p_values(judged) <= max(rate, least)
    np.testing.assert_array_equal(judged > calibration.threshold(rate), expected)


def test_the_threshold_of_an_estimated_null_is_where_p_values_reach_the_rate() -> None:
    calibration = Calibration(np.sort(np.random.default_rng(0).normal(size=99)), "estimated")
    at = calibration.threshold(0.05)
    assert calibration.p_values(np.array([at])) == pytest.approx(0.05)
    assert at == pytest.approx(1.64, abs=0.5)


def test_p_values_in_an_exponential_tail_are_exact_whatever_its_scale() -> None:
    rng = np.random.default_rng(0)
    rates = np.array([0.08, 0.02, 0.005, 0.001])
    below, count = np.zeros(4), 2000
    for scale in rng.uniform(0.1, 10, count):
        calibration = Calibration(np.sort(rng.exponential(scale, 100)), "cross")
        found = calibration.p_values(rng.exponential(scale, 20))
        below += (found[:, None] <= rates).sum(0)
    shares = below / (20 * count)
    # Rows of one set hang together: the errors allow for a few sets that are off.
    assert (np.abs(shares - rates) < 4 * np.sqrt(rates / (5 * count))).all()
    plain = Calibration(np.sort(rng.exponential(1, 100)), "split")
    assert plain.p_values(np.array([50.0]))[0] == 1 / 101


def test_a_tail_goes_on_where_counting_ends_and_never_turns_back() -> None:
    scores = np.sort(np.random.default_rng(0).normal(size=200))
    calibration, judged = Calibration(scores, "cross"), np.linspace(-4, 8, 1000)
    found, counted = calibration.p_values(judged), calibration.counted(judged)
    assert (np.diff(found) <= 0).all()
    inner = judged <= scores[-21]
    np.testing.assert_array_equal(found[inner], counted[inner])
    assert counted.min() == 1 / 201
    assert found[-1] < 1e-6
    few, alike = Calibration(scores[:40], "cross"), Calibration(np.ones(200), "cross")
    assert few.p_values(np.array([50.0]))[0] == 1 / 41
    assert alike.p_values(np.array([50.0]))[0] == 1 / 201


def test_conditional_p_values_hold_for_most_calibration_sets() -> None:
    rng = np.random.default_rng(0)
    n, failed, plain_failed = 100, 0, 0
    ranks = np.arange(1, n + 1) / (n + 1)
    adjusted = conditional(ranks, n, 0.9)
    assert (adjusted >= ranks).all()
    assert (np.diff(adjusted) >= 0).all()
    assert adjusted[0] == pytest.approx(1 - 0.1 ** (1 / 50))
    for _ in range(400):
        # Uniform scores: the true chance of a score above the r-th highest is known.
        true = 1 - np.sort(rng.random(n))[::-1]
        failed += bool((true > adjusted).any())
        plain_failed += bool((true > ranks).any())
    assert failed / 400 < 0.1 + 3 * np.sqrt(0.1 * 0.9 / 400)
    assert plain_failed / 400 > 0.5


def test_the_share_of_normal_rows_is_estimated() -> None:
    rng = np.random.default_rng(0)
    p_values = np.r_[rng.random(8000), np.full(2000, 1e-4)]
    assert null_share(p_values) == pytest.approx(0.8, abs=0.03)
    assert null_share(np.ones(5)) == 1.0


def test_flagged_rows_keep_the_rate_and_storeys_share_gains_power() -> None:
    rng = np.random.default_rng(0)
    shares, powers = [], []
    for _ in range(200):
        calibration = Calibration(np.sort(rng.normal(size=1000)), "split")
        scores = np.r_[rng.normal(size=150), rng.normal(3.5, 1, size=150)]
        found = flagged(calibration.p_values(scores), calibration, 0.1)
        shares.append(found.flags[:150].sum() / max(1, found.flags.sum()))
        powers.append(found.flags[150:].mean())
        assert "proven" in found.guarantee
        assert found.p_values[found.flags].max(initial=0.0) == found.threshold
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares) / np.sqrt(200)
    assert np.mean(shares) > 0.05  # without Storey's share it would be half of the rate
    assert np.mean(powers) > 0.8


def test_weights_let_some_rows_be_flagged_more_readily() -> None:
    calibration = Calibration(np.arange(999.0), "split")
    p_values = np.r_[np.full(5, 0.01), np.linspace(0.4, 1, 15)]
    assert not flagged(p_values, calibration, 0.02).flags.any()
    weights = np.r_[np.full(5, 10.0), np.ones(15)]
    assert flagged(p_values, calibration, 0.02, weights).flags[:5].all()
    with pytest.raises(SpecError, match="20 positive numbers"):
        flagged(p_values, calibration, 0.02, [1.0, -1.0])


def test_too_few_calibration_rows_are_said_with_how_many_would_do() -> None:
    calibration = Calibration(np.arange(20.0), "cross")
    judged = calibration.p_values(np.r_[np.full(98, 10.0), 99.0, 99.0])
    with pytest.warns(UserWarning, match="about 999 normal rows would do"):
        found = flagged(judged, calibration, 0.05)
    assert found.advice is not None
    assert not found.flags.any()
    enough = Calibration(np.arange(float(rows_needed(100, 0.05, 2))), "cross")
    judged = enough.p_values(np.r_[np.full(98, 10.0), 1e6, 1e6])
    assert flagged(judged, enough, 0.05).flags.sum() == 2


def test_online_control_keeps_the_rate_and_finds_anomalies() -> None:
    rng = np.random.default_rng(0)
    shares, powers = [], []
    for _ in range(50):
        odd = rng.random(500) < 0.2
        p_values = np.where(odd, rng.random(500) * 1e-4, rng.random(500))
        control = OnlineControl(0.1)
        flags = np.array([control.test(float(p)) for p in p_values])
        shares.append((flags & ~odd).sum() / max(1, flags.sum()))
        powers.append(flags[odd].mean())
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares) / np.sqrt(50)
    assert np.mean(powers) > 0.9
    quiet = OnlineControl(0.1)
    levels = [quiet.level()]
    for _ in range(50):
        quiet.test(0.9)
        levels.append(quiet.level())
    assert levels[-1] < 0.1 * levels[0]  # waiting costs, and a flagged row pays for it
    assert quiet.test(1e-9)
    assert quiet.level() > levels[-1]


def test_a_shifted_stream_is_noticed_and_another_is_not() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(60):
        test = DriftTest(rng.normal(size=200), 0.1, seed)
        for score in rng.normal(size=200):
            test.update(score)
        alarms += test.drifted
    assert alarms / 60 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 60)
    shifted = DriftTest(rng.normal(size=200), 0.01, 0)
    for score in np.r_[rng.normal(size=100), rng.normal(1.0, 1, size=200)]:
        shifted.update(score)
    assert shifted.drifted_at is not None
    assert shifted.drifted_at > 100
    assert shifted.capital >= 100
