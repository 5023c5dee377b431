"""`AnomalyDetector` over a fitted autoencoder, and reasons that outlandish values do not turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score

from autoencode import AnomalyDetector, Autoencoder, ConvolutionalAutoencoder, load
from autoencode.errors import SpecError
from autoencode.opening import open_for_fit


def purchases(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    shop = np.array(["food", "fuel"])[rng.integers(2, size=n)]
    amount = rng.lognormal(4, 0.3, n) * np.where(shop == "fuel", 3, 1)
    amount[rng.random(n) < 0.1] = np.nan
    return pa.table({"amount": pa.array(amount, from_pandas=True), "shop": shop})


@pytest.fixture(scope="module")
def digits() -> dict[int, np.ndarray]:
    found = load_digits()
    return {digit: found.images[found.target == digit] for digit in (1, 4)}


@pytest.fixture(scope="module")
def table_model() -> Autoencoder:
    return Autoencoder(1, max_epochs=2, random_state=0).fit(purchases(80, 0))


def judged(digits: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    ones, fours = digits[1][140:], digits[4][:30]
    return np.r_[ones, fours], np.r_[np.zeros(len(ones)), np.ones(len(fours))]


@pytest.mark.parametrize("kind", [Autoencoder, ConvolutionalAutoencoder])
def test_any_fitted_autoencoder_finds_odd_pictures(
    kind: Any, digits: dict[int, np.ndarray], tmp_path: Path
) -> None:
    model = kind(4, max_epochs=1, random_state=0).fit(digits[1][:70])
    detector = AnomalyDetector(novelty=True, estimator=model, random_state=0).fit(digits[1][70:140])
    rows, odd = judged(digits)
    assert roc_auc_score(odd, -detector.score_samples(rows)) > 0.9
    assert detector.n_calibration_ == 70
    assert detector.guarantee_.endswith("if the autoencoder was fitted to other rows than these")
    detector.save(tmp_path / "detector")
    again = load(tmp_path / "detector")
    np.testing.assert_array_equal(again.score_samples(rows), detector.score_samples(rows))
    np.testing.assert_array_equal(again.estimator.transform(rows), model.transform(rows))
    assert again.guarantee_ == detector.guarantee_


def test_what_the_autoencoder_says_counts(digits: dict[int, np.ndarray]) -> None:
    """Over other models the scores are others; a frozen one survives a clone."""
    rows = judged(digits)[0]
    models = [Autoencoder(n, hidden_layer_sizes=()).fit(digits[1][:70]) for n in (2, 10)]
    first, second = (
        AnomalyDetector(novelty=True, estimator=model, random_state=0).fit(digits[1][70:140])
        for model in models
    )
    assert not np.allclose(first.score_samples(rows), second.score_samples(rows))
    frozen = AnomalyDetector(novelty=True, estimator=FrozenEstimator(models[0]), random_state=0)
    same = clone(frozen).fit(digits[1][70:140]).score_samples(rows)
    np.testing.assert_array_equal(same, first.score_samples(rows))


def test_tables_are_read_as_the_autoencoder_reads_them(
    table_model: Autoencoder, tmp_path: Path
) -> None:
    detector = AnomalyDetector(
        novelty=True, calibration="split", estimator=table_model, random_state=0
    ).fit(purchases(60, 1))
    rows = pa.table({"amount": [9400.0, 60.0, None], "shop": ["food", "casino", "fuel"]})
    assert (detector.p_values(rows)[:2] <= 1 / 31).all()
    assert detector.p_values(rows)[2] > 0.05
    assert detector.guarantee_.startswith("proven; ")
    detector.save(tmp_path / "detector")
    np.testing.assert_array_equal(
        load(tmp_path / "detector").p_values(rows), detector.p_values(rows)
    )
    with pytest.raises(ValueError, match="amount"):
        detector.fit(rows.rename_columns(["sum", "shop"]))


def test_what_does_not_go_with_an_autoencoder_is_said(table_model: Autoencoder) -> None:
    rows = purchases(30, 2)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"estimator": table_model}, "pass novelty=True"),
        ({"estimator": "pca", "novelty": True}, "should be a fitted autoencoder"),
        ({"estimator": table_model, "novelty": True, "max_epochs": 3}, "leave them out"),
    ]
    for options, message in refused:
        with pytest.raises(SpecError, match=message):
            AnomalyDetector(**options).fit(rows)
    with pytest.raises(NotFittedError):
        AnomalyDetector(novelty=True, estimator=Autoencoder()).fit(rows)


def test_an_outlandish_value_is_the_reason_itself() -> None:
    detector = AnomalyDetector(novelty=True, max_epochs=1, random_state=0).fit(purchases(60, 3))
    row = pa.table({"amount": [9400.0], "shop": ["food"]})
    assert detector.reasons(row)[0].startswith("amount 9400; expected ")


@pytest.mark.parametrize("columns", [None, {"b": "numeric:transform=asinh"}])
def test_numbers_far_out_in_a_table_are_not_bent_in(columns: dict[str, str] | None) -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(5, 1, (120, 4)), columns=list("abcd"))
    table.loc[7, "b"] = 16.0
    detector = AnomalyDetector(columns=columns, random_state=0).fit(table)
    assert detector.flag(table).flags[7] == (columns is None)
    opened = open_for_fit(table, columns)
    again = AnomalyDetector(columns=columns, random_state=0).fit(opened)
    for rows in (opened, table):
        assert np.array_equal(again.p_values(rows), detector.p_values(table))
