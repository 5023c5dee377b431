"""Figures of drawn rows whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autoencode import evaluate_samples
from autoencode.errors import DataError, SpecError
from autoencode.near_rows import overlap


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = rng.normal(size=n)
    kind = np.where(size + rng.normal(size=n) > 0, "large", "small")
    return pd.DataFrame({"size": size, "weight": size + rng.normal(size=n), "kind": kind})


def test_rows_of_the_same_kind_are_as_good_as_real_ones() -> None:
    real, drawn, training = frame(600, 0), frame(600, 1), frame(600, 2)
    found = evaluate_samples(real, drawn, training=training)
    assert found.auc == pytest.approx(0.5, abs=0.06)
    assert found.drawn == pytest.approx(found.real, abs=0.07)
    assert found.memorisation == pytest.approx(0.5, abs=0.05)
    assert found.copies == 0
    assert max(drawn for drawn, _ in found.columns.values()) < 0.1
    assert max(drawn for drawn, _ in found.pairs.values()) < 0.1
    text = str(found)
    assert "standardised columns" in text
    assert "coverage" in text


def test_copies_are_told() -> None:
    training = frame(300, 0)
    found = evaluate_samples(frame(300, 1), training, training=training)
    assert found.memorisation == 1
    assert found.copies == 1
    assert found.real_copies == 0


def test_a_column_that_is_shifted_is_named() -> None:
    drawn = frame(500, 1)
    drawn["weight"] += 2
    found = evaluate_samples(frame(500, 0), drawn)
    assert found.worst_columns[0] == "weight"
    assert found.columns["weight"][0] > 0.4
    assert found.columns["size"][0] < 0.1
    assert found.auc > 0.75
    assert found.drawn.coverage < found.real.coverage - 0.1
    assert found.memorisation is None


def test_columns_that_do_not_hang_together_any_more_are_named() -> None:
    drawn = frame(1000, 1)
    drawn["weight"] = drawn["weight"].to_numpy()[::-1]
    found = evaluate_samples(frame(1000, 0), drawn)
    assert found.worst_pairs[0] == ("size", "weight")
    assert found.columns["weight"][0] < 0.1


def test_a_part_of_the_data_that_is_never_drawn_costs_recall_and_coverage() -> None:
    rng = np.random.default_rng(0)
    real = np.repeat([[0.0, 0.0], [50.0, 0.0]], 200, axis=0) + rng.normal(size=(400, 2))
    drawn = rng.normal(size=(400, 2))
    found = evaluate_samples(real, drawn)
    assert found.drawn.precision > 0.9
    assert found.drawn.recall == pytest.approx(0.5, abs=0.08)
    assert found.drawn.coverage == pytest.approx(0.5, abs=0.08)
    assert found.columns == {}


def test_the_overlap_is_that_of_a_few_points_by_hand() -> None:
    # The fifth neighbour is the farthest point: each of the six reaches all.
    line = np.arange(6.0)[:, None]
    found = overlap(line, line)
    assert found == (1.0, 1.0, pytest.approx(6 / 5), 1.0)
    assert overlap(line, line + 100.0) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("drawn", "options", "error", "message"),
    [
        (frame(10, 0), {}, DataError, "drawn has 10 rows"),
        (frame(50, 0).drop(columns="kind"), {}, DataError, "kind"),
        (frame(50, 0), {"random_state": -1}, SpecError, "random_state"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    drawn: pd.DataFrame, options: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate_samples(frame(50, 1), drawn, **options)
