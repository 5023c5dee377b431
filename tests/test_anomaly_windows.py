"""`AnomalyDetector` on series: windows, and what is said of their last steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autoencode import AnomalyDetector, load
from autoencode.anomaly import Given, Wishes, _Search
from autoencode.anomaly_parts.windows import Windows
from autoencode.errors import DataError, SpecError
from autoencode.opening import open_for_fit

PERIOD = 25


def waves(n: int, seed: int) -> np.ndarray:
    rng, t = np.random.default_rng(seed), 2 * np.pi * np.arange(n) / PERIOD
    return np.column_stack([np.sin(t), np.cos(t) ** 3]) + 0.1 * rng.normal(size=(n, 2))


def held(n: int, seed: int) -> np.ndarray:
    """The first column stands still for six steps, at a value that is usual elsewhere."""
    rows = waves(n, seed)
    rows[200:206, 0] = 0.0
    return rows


@pytest.fixture(scope="module")
def detector() -> AnomalyDetector:
    model = AnomalyDetector(novelty=True, window="auto", max_epochs=2, random_state=0)
    return model.fit(waves(600, 0))


def test_the_period_is_found_and_what_stands_still_is_flagged(
    detector: AnomalyDetector, tmp_path: Path
) -> None:
    assert detector.window_ == PERIOD
    assert detector.n_features_in_ == 2
    assert detector.guarantee_.startswith("empirical; steps of a series")
    rows = held(400, 1)
    p_values = detector.p_values(rows)
    assert p_values.shape == (400,)
    flags = np.flatnonzero(detector.flag(rows, 0.1).flags)
    inside = (flags >= 200) & (flags < 206 + PERIOD)
    assert inside.sum() >= 20
    assert inside.mean() >= 0.7
    detector.save(tmp_path / "detector")
    again = load(tmp_path / "detector")
    np.testing.assert_array_equal(again.p_values(rows), p_values)
    assert again.window_ == PERIOD


def test_reasons_name_the_column_and_the_step(detector: AnomalyDetector) -> None:
    reasons = detector.reasons(held(400, 1)[170:206])
    assert len(reasons) == 36
    assert reasons[: PERIOD - 1] == [""] * (PERIOD - 1)
    assert re.match(r"0( \(\d+ before\))? 0; expected ", reasons[-1])


def test_steps_have_the_score_of_the_window_that_ends_there(detector: AnomalyDetector) -> None:
    rows = waves(60, 2)
    scores = detector.score_samples(rows)
    np.testing.assert_allclose(scores[:PERIOD], scores[PERIOD - 1])
    last = detector.score_samples(rows[-PERIOD:])
    np.testing.assert_allclose(last, scores[-1], rtol=0, atol=1e-7)


def test_numbers_of_a_table_count_and_time_has_to_ascend() -> None:
    days = np.datetime64("2024-01-01") + np.arange(120).astype("timedelta64[D]")
    first, second = waves(120, 0).T
    table = pa.table({"day": pa.array(days), "x": first, "who": ["a", "b"] * 60, "y": second})
    windows = Windows.fit(open_for_fit(table, None), 10)
    assert (windows.columns, windows.names) == ([1, 3], ["x", "y"])
    cut = windows.of_fit(open_for_fit(table, None))
    np.testing.assert_array_equal(cut.dense()[0].reshape(10, 2)[:, 1], second[:10])
    assert cut.names is not None
    assert cut.names[:2] == ("x (9 before)", "y (9 before)")
    assert cut.names[-2:] == ("x", "y")
    with pytest.raises(DataError, match="not in the order of column 'day'"):
        Windows.fit(open_for_fit(table.take(list(range(119, -1, -1))), None), 10)


def test_windows_of_a_fold_share_no_step_with_those_that_a_model_sees() -> None:
    rows = open_for_fit(waves(400, 0), None)
    windows = Windows.fit(rows, 20)
    cut = windows.of_fit(rows)
    wishes = Wishes(True, "cross", None, 0, 1, gap=windows.gap)
    search = _Search(cut, Given.of(cut, None), wishes)
    places = np.arange(cut.n_rows)
    held_out = []
    for fold in range(5):
        apart, others = search._apart(places, places, fold, 5)
        steps = windows.stride * np.abs(apart[:, None] - others[None])
        assert steps.min() >= windows.width
        assert len(others) > 0.5 * len(places)
        held_out.append(apart)
    np.testing.assert_array_equal(np.concatenate(held_out), places)


REFUSED: list[tuple[dict[str, Any], type, str]] = [
    ({"window": 1}, SpecError, "window=1 should be None, 'auto', or a number of steps from 2 up"),
    ({"window": "week"}, SpecError, "window='week' should be"),
    ({"window": 60}, DataError, "at most 50"),
    ({"window": 5, "novelty": True, "confidence": 0.9}, SpecError, "leave out window"),
]


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED, ids=range(len(REFUSED)))
def test_windows_that_cannot_be_are_refused(
    options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        AnomalyDetector(**options).fit(waves(200, 0))


def test_what_a_series_cannot_do_is_said(detector: AnomalyDetector) -> None:
    with pytest.raises(DataError, match="a step is judged with the 24 before it"):
        detector.p_values(waves(24, 0))
    for refused in (lambda: detector.stream(), lambda: detector.partial_calibrate(waves(50, 0))):
        with pytest.raises(SpecError, match="pass windows as rows"):
            refused()
    with pytest.raises(DataError, match="has no windows of 4 steps"):
        AnomalyDetector(window="auto").fit(waves(10, 0))
