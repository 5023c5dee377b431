"""Which cells are another row's, on the scale on which columns are normal."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from autoencode.noise import Exchanges, Others, noise_beside
from autoencode.preprocess.filling import Moments

Rows = Callable[..., np.ndarray]


def skewed(x: np.ndarray) -> np.ndarray:
    """Columns as those of many tables are: with a few values far out."""
    return np.exp(1.5 * x)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_share_and_the_cells_are_found(clean: Rows, spoilt: Rows, share: float) -> None:
    found = Exchanges.fitting(skewed(clean(600)))
    assert found is not None
    truth = skewed(clean(200, seed=5))
    rows = spoilt(truth, "swap", share)
    hit = rows != truth
    scores = found.scores(rows)
    estimate, _ = found.share(scores, 0.1)
    assert estimate == pytest.approx(hit.mean(), rel=0.15)
    chance, drawn = found.hits(scores, estimate)
    assert roc_auc_score(hit.ravel(), chance.ravel()) > (0.85 if share > 0.3 else 0.93)
    # Chances are what they say, and draws are by them.
    assert chance.mean() == pytest.approx(hit.mean(), rel=0.15)
    sure = chance > 0.9
    assert hit[sure].mean() > 0.85
    np.testing.assert_allclose(drawn.mean((0, 2)).mean(), chance.mean(), rtol=0.05)
    again, _ = found.hits(scores, estimate)
    np.testing.assert_array_equal(again, chance)


def test_what_goes_together_is_found_among_exchanged_values(clean: Rows, spoilt: Rows) -> None:
    x = skewed(clean(800))
    wanted = np.array(Exchanges.measure(x).correlation)
    noisy = spoilt(x, "swap", 0.2)
    naive = np.array(Exchanges.measure(noisy).correlation)
    found, share = Exchanges.before(noisy, 0.2)
    off = np.abs(np.array(found.correlation) - wanted).mean()
    assert off < 0.4 * np.abs(naive - wanted).mean()
    assert share == pytest.approx(0.19, abs=0.03)


def test_columns_become_normal_and_go_on_beyond_what_was_seen(clean: Rows) -> None:
    x = skewed(clean(600))
    x[:, 3] = 7.0
    found = Exchanges.measure(x)
    scores = found.scores(x)
    free = np.delete(scores, 3, axis=1)
    np.testing.assert_allclose(free.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(free.std(0), 1, atol=0.03)
    assert not scores[:, 3].any()
    order = np.argsort(x[:, 0])
    assert (np.diff(scores[order, 0]) >= 0).all()
    farther = found.scores(x.max(0)[None] * 2)
    assert (np.delete(farther, 3, axis=1) > np.delete(scores.max(0), 3)).all()
    assert np.isnan(found.scores(np.full((1, 16), np.nan))).all()
    assert Exchanges.from_header(json.loads(json.dumps(asdict(found)))) == found


def test_columns_of_few_values_or_too_many_columns_do_not_suit(clean: Rows) -> None:
    x = clean(300)
    assert Exchanges.fitting(x) is not None
    assert Exchanges.fitting(x.round()) is None
    assert Exchanges.fitting(np.tile(x, 5)) is None
    assert Exchanges.fitting(x[:, :1]) is None


@pytest.mark.parametrize(
    ("kind", "level", "found"),
    [
        ("gaussian", 0.1, "gaussian"),
        ("gaussian", 0.8, "gaussian"),
        ("impulse", 0.1, "impulse"),
        ("extremes", 0.05, "impulse"),
        ("extremes", 0.3, "impulse"),
        ("swap", 0.07, "swap"),
        ("swap", 0.4, "swap"),
    ],
)
def test_the_kind_is_told_of_few_rows(
    clean: Rows, spoilt: Rows, kind: str, level: float, found: str
) -> None:
    x = clean(600)
    exchanges = Exchanges.measure(x)
    rows = spoilt(clean(150, seed=5), kind, level)
    moments = Moments(x.mean(0), np.cov(x.T))
    others = Others.noisy(moments, rows)
    noise, chance = noise_beside(exchanges, exchanges.scores(rows), rows, rows, others, level)
    assert noise.kind == found
    assert noise.level == pytest.approx(level, rel=0.2)
    assert bool(chance.any()) == (found == "impulse")


def test_rows_without_exchanged_values_are_not_said_to_have_any(clean: Rows) -> None:
    x = clean(600)
    exchanges, rows = Exchanges.measure(x), clean(150, seed=5)
    others = Others.noisy(Moments(x.mean(0), np.cov(x.T)), rows)
    noise, _ = noise_beside(exchanges, exchanges.scores(rows), rows, rows, others, 0.0)
    assert noise.kind == "none"
