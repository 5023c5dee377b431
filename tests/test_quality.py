"""The quality of each column: known answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from autoencode import Autoencoder
from autoencode.preprocess.columns import Schema
from autoencode.quality import column_quality

N = 60
COLUMNS = {
    "x": np.linspace(-1, 1, N),
    "level": ["a", "b", "b", "c"] * 15,
    "flag": [True, False, False] * 20,
    "count": [0, 0, 1, 3, 0, 9] * 10,
    "same": ["s"] * N,
    "name": [f"row {place}" for place in range(N)],
}


def measured(
    guess_of: Any = None, lost: Any = None, columns: dict[str, Any] = COLUMNS
) -> dict[str, dict[str, Any]]:
    """Measure a guess that is the truth, changed by ``guess_of`` or missing where ``lost``."""
    schema = Schema.look(pa.table(columns))
    truth = schema.spread(schema.cells(pa.table(columns)))
    guess = truth.copy()
    if guess_of is not None:
        guess_of(schema, guess)
    if lost is not None:
        truth[lost] = np.nan
    errors = np.arange(1.0, 1 + schema.n_values)
    found = column_quality(schema, truth, guess, ~np.isnan(truth), errors)
    assert [entry["name"] for entry in found] == list(columns)
    return {entry["name"]: entry for entry in found}


def where(schema: Schema, name: str) -> slice:
    return schema.spans[schema.names.index(name)].values


def test_a_perfect_guess_is_worth_one_beside_its_baseline() -> None:
    found = measured()
    qualities = {name: entry.get("quality") for name, entry in found.items()}
    assert qualities == {"x": 1, "level": 1, "flag": 1, "count": 1, "same": None, "name": None}
    measures = [found[name]["measure"] for name in COLUMNS]
    assert measures == [
        "explained_variance", "accuracy", "accuracy", "explained_variance", None, None
    ]  # fmt: skip
    assert found["level"]["baseline"] == 0.5
    assert found["flag"]["baseline"] == pytest.approx(2 / 3)
    assert found["x"]["baseline"] == found["count"]["baseline"] == 0
    assert "quality" not in found["same"]


def test_shares_of_the_error_add_up() -> None:
    found = measured()
    # Six values, with errors 1, 2 to 4, 5 and 6.
    shares = [found[name]["error_share"] for name in ("x", "level", "flag", "count")]
    assert shares == pytest.approx([1 / 21, 9 / 21, 5 / 21, 6 / 21])
    assert "error_share" not in found["name"]


def test_the_mean_is_worth_nothing_and_the_commonest_its_share() -> None:
    def usual(schema: Schema, guess: np.ndarray) -> None:
        guess[:] = guess.mean(0)

    found = measured(usual)
    assert found["x"]["quality"] == pytest.approx(0, abs=1e-12)
    assert found["count"]["quality"] == pytest.approx(0, abs=1e-12)
    assert found["level"]["quality"] == found["level"]["baseline"]
    assert found["flag"]["quality"] == found["flag"]["baseline"]


def test_half_the_deviation_explains_three_quarters() -> None:
    def halved(schema: Schema, guess: np.ndarray) -> None:
        guess[:, where(schema, "x")] *= 0.5

    assert measured(halved)["x"]["quality"] == pytest.approx(0.75)


def test_a_guess_worse_than_the_mean_is_negative() -> None:
    def mirrored(schema: Schema, guess: np.ndarray) -> None:
        guess[:, where(schema, "x")] *= -1

    assert measured(mirrored)["x"]["quality"] == pytest.approx(-3)


def test_accuracy_counts_the_likeliest_level() -> None:
    def wrong_for_a(schema: Schema, guess: np.ndarray) -> None:
        levels = guess[:, where(schema, "level")]
        a = levels[:, 0] == 1
        levels[a] = [0.3, 0.4, 0.3]
        levels[~a] *= 0.7

    assert measured(wrong_for_a)["level"]["quality"] == pytest.approx(0.75)


def test_only_rows_that_have_the_cell_count() -> None:
    lost = np.zeros((N, 6), dtype=bool)
    lost[::2, 1:4] = True
    lost[10:, 0] = True

    def off_where_lost(schema: Schema, guess: np.ndarray) -> None:
        guess[::2, where(schema, "level")] = [1, 0, 0]
        guess[10:, 0] = 99

    found = measured(off_where_lost, lost)
    assert found["level"]["quality"] == found["x"]["quality"] == 1
    # Every second row: b and c in turn.
    assert found["level"]["baseline"] == 0.5


def test_a_column_without_any_cell_has_no_quality() -> None:
    lost = np.zeros((N, 6), dtype=bool)
    lost[:, :4] = True
    found = measured(lost=lost)
    assert found["x"]["quality"] is found["level"]["quality"] is None
    assert found["level"]["baseline"] is None
    assert found["flag"]["quality"] == 1


def test_a_held_out_column_that_does_not_vary_is_right_or_wrong() -> None:
    lost = np.zeros((N, 6), dtype=bool)
    lost[1:, 0] = True
    assert measured(lost=lost)["x"]["quality"] == 1

    def off(schema: Schema, guess: np.ndarray) -> None:
        guess[0, 0] = 2

    assert measured(off, lost)["x"]["quality"] == 0


def test_a_fit_tells_the_quality_of_each_column(complete_frame: pd.DataFrame) -> None:
    options = {"hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}
    model = Autoencoder(3, **options).fit(complete_frame)
    found = {entry["name"]: entry for entry in model._state.facts["columns"]}
    assert list(found) == list(complete_frame)
    assert found["x"]["quality"] > 0.5
    assert found["level"]["quality"] > found["level"]["baseline"]
    shares = [entry.get("error_share", 0) for entry in found.values()]
    assert sum(shares) == pytest.approx(1)
    # No column dominates the rest.
    assert max(shares) < 0.6
    few = Autoencoder(3, **options).fit(complete_frame[:40])
    assert "columns" not in few._state.facts
