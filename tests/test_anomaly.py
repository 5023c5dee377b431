"""`AnomalyDetector`: what it finds, flags and says, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from autoencode import AnomalyDetector, load
from autoencode.anomaly_parts.neighbours import distances, nearest
from autoencode.anomaly_parts.restoring import LEVELS, fit_restorer
from autoencode.errors import DataError, ModelFileError, SpecError

QUICK = {"max_epochs": 2, "random_state": 0}


def curve(n: int, seed: int) -> np.ndarray:
    """Rows near a bent line in four dimensions, and one constant column."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(-2, 2, n)
    rows = np.column_stack([t, t**2, np.sin(2 * t), -t, np.full(n, 7.0)])
    rows[:, :4] += 0.1 * rng.normal(size=(n, 4))
    return rows


def odd(n: int, seed: int) -> np.ndarray:
    """Rows whose columns are as usual, each by itself, but do not go together."""
    rng = np.random.default_rng(seed)
    rows = curve(n, seed)
    return np.column_stack([rng.permutation(column) for column in rows.T])


def orders(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    shop = np.array(["food", "fuel", "books"])[rng.integers(3, size=n)]
    amount = rng.lognormal(4, 0.4, n) * np.where(shop == "fuel", 3, 1)
    amount[rng.random(n) < 0.1] = np.nan
    days = np.datetime64("2024-01-01") + rng.integers(0, 365, n).astype("timedelta64[D]")
    return pa.table(
        {
            "amount": pa.array(amount, from_pandas=True),
            "shop": shop,
            "items": rng.poisson(3, n),
            "country": ["de"] * n,
            "day": pa.array(days),
        }
    )


@pytest.fixture(scope="module")
def normal() -> AnomalyDetector:
    return AnomalyDetector(novelty=True, max_epochs=10, random_state=0).fit(curve(300, 0))


@pytest.fixture(scope="module")
def mixed() -> AnomalyDetector:
    return AnomalyDetector(novelty=True, **QUICK).fit(orders(200, 0))


def test_rows_that_do_not_go_together_are_found(normal: AnomalyDetector) -> None:
    rows = np.r_[curve(200, 1), odd(100, 2)]
    truth = np.r_[np.zeros(200), np.ones(100)]
    assert roc_auc_score(truth, -normal.score_samples(rows)) > 0.95
    found = normal.flag(rows, 0.2)
    assert found.flags[200:].mean() > 0.6
    assert found.flags[:200].sum() <= 0.35 * found.flags.sum()
    assert str(found).startswith(f"{found.flags.sum()} of 300 rows flagged")


def test_p_values_of_normal_rows_are_spread_evenly(normal: AnomalyDetector) -> None:
    p_values = normal.p_values(curve(500, 3))
    for rate in (0.05, 0.2, 0.5):
        assert np.mean(p_values <= rate) <= rate + 3 * np.sqrt(rate / 300)
    assert p_values.mean() == pytest.approx(0.5, abs=0.1)


def test_predictions_follow_the_p_values(normal: AnomalyDetector) -> None:
    rows = np.r_[curve(100, 1), odd(50, 2)]
    calls = np.where(normal.p_values(rows) <= 0.05, -1, 1)
    np.testing.assert_array_equal(normal.predict(rows), calls)
    decision = normal.score_samples(rows) - normal.offset_
    np.testing.assert_array_equal(normal.decision_function(rows), decision)


def test_a_constant_that_changes_is_flagged_with_the_reason(normal: AnomalyDetector) -> None:
    rows = curve(20, 4)
    rows[3, 4] = 7.5
    assert normal.p_values(rows)[3] < 1e-3
    assert normal.flag(rows, 0.1).flags[3]
    assert normal.reasons(rows)[3].startswith("4 7.5; expected 7")


def test_the_column_that_was_changed_comes_first(normal: AnomalyDetector) -> None:
    rows, rng = curve(100, 5), np.random.default_rng(0)
    changed = rng.integers(4, size=100)
    rows[np.arange(100), changed] = curve(100, 6)[np.arange(100), changed]
    cells = normal.explain(rows).to_pandas().groupby("row").first()
    odd_ones = normal.p_values(rows) <= 0.05
    assert odd_ones.sum() > 50
    right = cells["column"].astype(int).to_numpy() == changed
    assert right[odd_ones].mean() >= 0.8


def test_explanations_are_sorted_and_say_what_was_expected(normal: AnomalyDetector) -> None:
    rows = curve(3, 7)
    rows[1, 0] = np.nan
    table = normal.explain(rows)
    assert table.column_names == ["row", "column", "nats", "observed", "expected"]
    lines = table.to_pylist()
    assert [line["row"] for line in lines] == [0] * 4 + [1] * 3 + [2] * 4
    for row in range(3):
        nats = [line["nats"] for line in lines if line["row"] == row]
        assert nats == sorted(nats, reverse=True)
    first = next(line for line in lines if line["row"] == 0 and line["column"] == "3")
    expected = re.fullmatch(r"(-?[\d.]+) ± ([\d.]+)", first["expected"])
    assert expected is not None
    assert float(expected[1]) == pytest.approx(rows[0, 3], abs=0.5)


def test_anomalies_among_the_rows_are_found_without_being_told() -> None:
    rows = np.r_[curve(270, 0), odd(30, 1) + 0.5]
    rows[-30:, 4] = 7.0
    model = AnomalyDetector(**QUICK)
    calls = model.fit_predict(rows)
    np.testing.assert_array_equal(calls, model.predict(rows))
    truth = np.r_[np.zeros(270), np.ones(30)]
    assert roc_auc_score(truth, -model.score_samples(rows)) > 0.9
    assert (calls[-30:] == -1).mean() > 3 * (calls[:-30] == -1).mean()
    assert model.guarantee_.startswith("none")


def test_tables_of_any_columns_are_judged(mixed: AnomalyDetector) -> None:
    judged = pa.table(
        {
            "amount": [9400.0, 55.0, None, 70.0],
            "shop": ["food", "food", "casino", "books"],
            "items": [3, 2, None, 40],
            "country": ["de", "fr", "de", "de"],
            "day": orders(4, 1)["day"],
        }
    )
    assert (mixed.p_values(judged) <= 0.01).all()
    lines = mixed.reasons(judged)
    assert re.match(r"amount 9400; expected \d+ ± \d+", lines[0])
    assert lines[1].startswith("country fr; expected de")
    assert lines[2].startswith("shop casino; expected ")
    assert lines[3].startswith("items 40; expected ")
    assert np.mean(mixed.p_values(orders(200, 2)) <= 0.1) < 0.2


def test_a_file_gives_back_the_same_model(
    normal: AnomalyDetector, mixed: AnomalyDetector, tmp_path: Path
) -> None:
    for model, rows in ((normal, odd(30, 1)), (mixed, orders(30, 1))):
        model.save(tmp_path / "model")
        again = load(tmp_path / "model")
        assert type(again) is AnomalyDetector
        np.testing.assert_array_equal(again.p_values(rows), model.p_values(rows))
        np.testing.assert_array_equal(again.score_samples(rows), model.score_samples(rows))
        assert again.reasons(rows) == model.reasons(rows)
        assert again.get_params() == model.get_params()
        assert (again.offset_, again.guarantee_) == (model.offset_, model.guarantee_)


def test_a_file_with_parts_missing_is_refused(normal: AnomalyDetector, tmp_path: Path) -> None:
    from autoencode.model_file import read_model, write_model

    normal.save(tmp_path / "model")
    header, tensors = read_model(tmp_path / "model")
    del tensors["units.precision"]
    write_model(tmp_path / "broken", header, tensors)
    with pytest.raises(ModelFileError, match="does not fit together"):
        load(tmp_path / "broken")


def test_the_same_seed_gives_the_same_scores() -> None:
    rows, judged = curve(60, 0), odd(20, 1)
    first, again, other = (
        AnomalyDetector(novelty=True, max_epochs=1, random_state=seed).fit(rows)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.score_samples(judged), again.score_samples(judged))
    assert (first.score_samples(judged) != other.score_samples(judged)).any()


def test_split_and_confidence_are_named_and_more_careful() -> None:
    rows, judged = curve(200, 0), curve(50, 1)
    split = AnomalyDetector(novelty=True, calibration="split", **QUICK).fit(rows)
    sure = AnomalyDetector(novelty=True, calibration="split", confidence=0.9, **QUICK).fit(rows)
    assert split.n_calibration_ == 100
    assert split.guarantee_.startswith("proven; ")
    assert sure.guarantee_.startswith("proven with probability 0.9")
    assert (sure.p_values(judged) >= split.p_values(judged)).all()
    assert (sure.p_values(judged) > split.p_values(judged)).any()


@pytest.mark.parametrize("novelty", [False, True])
@pytest.mark.parametrize("name", ["equal", "five", "half", "holes", "huge"])
def test_bad_rows_are_judged_all_the_same(name: str, novelty: bool) -> None:
    rng = np.random.default_rng(0)
    rows = {
        "equal": np.ones((50, 3)),
        "five": rng.normal(size=(5, 3)),
        "half": np.r_[rng.normal(size=(20, 3)), rng.normal(6, 1, size=(30, 3))],
        "holes": np.where(rng.random((50, 4)) < 0.5, np.nan, rng.normal(size=(50, 4))),
        "huge": np.r_[rng.normal(size=(50, 2)), [[1e30, -1e30]]],
    }[name]
    model = AnomalyDetector(novelty=novelty, **QUICK).fit(rows)
    p_values = model.p_values(rows)
    assert np.isfinite(model.score_samples(rows)).all()
    assert ((p_values > 0) & (p_values <= 1)).all()
    if name == "equal":
        assert (model.predict(rows) == 1).all()
        changed = rows[:3].copy()
        changed[0, 1] = 2.0
        assert model.predict(changed).tolist() == [-1, 1, 1]
    if name == "huge" and not novelty:
        assert p_values.argmin() == 50


def test_pictures_are_judged_as_they_are() -> None:
    digits = load_digits()
    ones = digits.images[digits.target == 1].astype(np.float32)
    others = digits.images[digits.target == 4][:50].astype(np.float32)
    model = AnomalyDetector(novelty=True, **QUICK).fit(ones[:130])
    judged = np.r_[ones[130:], others]
    truth = np.r_[np.zeros(len(ones) - 130), np.ones(50)]
    assert roc_auc_score(truth, -model.score_samples(judged)) > 0.9


def test_further_rows_calibrate_and_streams_are_watched(normal: AnomalyDetector) -> None:
    model = AnomalyDetector(novelty=True, **QUICK).fit(curve(60, 0))
    before = model.n_calibration_
    assert model.partial_calibrate(curve(500, 8)).n_calibration_ == before + 500
    stream = normal.stream(0.2, random_state=0)
    flags = np.concatenate([stream.update(odd(3, 11) + 3), stream.update(curve(100, 10))])
    assert flags[:3].all()
    assert stream.n_flagged == flags.sum() <= 5
    assert not stream.drifted
    assert re.search(r"300 calibration rows .* normal rows would do", stream.advice)
    for seed in range(20):
        stream.update(curve(20, seed) + 0.3)
    assert stream.drifted


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"novelty": "yes"}, "novelty='yes' should be True or False"),
    ({"novelty": True, "calibration": "none"}, "choose from cross, split"),
    ({"novelty": True, "confidence": 1.0}, "confidence=1.0 should lie between 0 and 1"),
    ({"calibration": "split"}, "need rows that are all normal"),
    ({"confidence": 0.9}, "need rows that are all normal"),
    ({"false_alarm_rate": 0}, "false_alarm_rate=0 should lie between 0 and 1"),
    ({"max_epochs": 0}, "max_epochs=0 should be"),
    ({"random_state": "x"}, "random_state='x' cannot be used"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=range(len(REFUSED)))
def test_options_that_are_not_allowed_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        AnomalyDetector(**options).fit(curve(20, 0))


def test_what_cannot_be_done_is_said(normal: AnomalyDetector) -> None:
    with pytest.raises(DataError, match="a minimum of 2 is required"):
        AnomalyDetector().fit(np.ones((1, 2)))
    with pytest.raises(DataError, match="in 1500 at most"):
        AnomalyDetector().fit(np.random.default_rng(0).normal(size=(5, 1501)))
    with pytest.raises(DataError, match="X has 2 features"):
        normal.predict(np.ones((3, 2)))
    with pytest.raises(SpecError, match="fdr=2 should lie between 0 and 1"):
        normal.flag(curve(5, 0), fdr=2)
    loose = AnomalyDetector(**QUICK).fit(curve(20, 0))
    for refused in (lambda: loose.stream(), lambda: loose.partial_calibrate(curve(5, 0))):
        with pytest.raises(SpecError, match="pass novelty=True"):
            refused()


def test_a_row_is_scored_alike_alone_and_among_others(normal: AnomalyDetector) -> None:
    rows = np.r_[curve(20, 1), odd(20, 2)]
    together = normal.score_samples(rows)
    alone = np.concatenate([normal.score_samples(row[None]) for row in rows])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-7)
    again = normal.score_samples(rows.astype(np.float32))
    np.testing.assert_allclose(again, together, rtol=0, atol=1e-3)


def test_distances_are_those_of_all_pairs() -> None:
    import torch

    rng = np.random.default_rng(0)
    rows, references = (torch.from_numpy(rng.normal(size=(n, 3))) for n in (40, 70))
    exact = torch.cdist(rows, references).sort(1).values
    for count in (1, 2, 5):
        found = distances(rows, references, count)
        torch.testing.assert_close(found, exact[:, :count])
    own = torch.cdist(references, references).sort(1).values
    found = distances(references, references, 3, others=True)
    torch.testing.assert_close(found, own[:, 1:4])
    assert distances(rows, references[:2], 5).shape == (40, 2)


def test_the_nearest_is_exact_where_rows_are_far_out_and_close() -> None:
    """Single precision alone would be off by as much as rows of length 100 are apart."""
    import torch

    rng = np.random.default_rng(0)
    references = torch.from_numpy(rng.normal(size=(60, 3)) + 60.0)
    rows = references[:30] + 1e-2 * torch.from_numpy(rng.normal(size=(30, 3)))
    rows = torch.cat([rows, references[:1], references[:9] + 5.0])
    exact = torch.cdist(rows, references, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    torch.testing.assert_close(nearest(rows, references), exact, rtol=5e-3, atol=1e-6)


def test_a_restorer_moves_rows_along_the_slope_of_their_density() -> None:
    """Of normal rows of covariance C it is ``-s (C + s)^-1 x`` for noise of variance s."""
    rng = np.random.default_rng(0)
    mix = np.array([[1.0, 0.0], [0.9, 0.44]])
    rows = rng.normal(size=(1500, 2)) @ mix.T
    covariance = rows.T @ rows / len(rows)
    restorer = fit_restorer(rows, covariance, 0, 30)
    moves = restorer.read(rows).moves
    for level, found in zip(LEVELS, moves, strict=True):
        variance = level**2
        exact = -variance * rows @ np.linalg.inv(covariance + variance * np.eye(2))
        error = np.square(found - exact).mean() / np.square(exact).mean()
        assert error < 0.05
