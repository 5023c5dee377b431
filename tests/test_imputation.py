"""Restoring missing cells: what is observed stays, what is not becomes plausible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import autoencode
from autoencode import Autoencoder
from autoencode.errors import DataError, SpecError
from autoencode.imputation import normal_numbers

QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}
LEFT_OUT = "name"


def linear_rows(count: int, missing: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3)) @ rng.normal(size=(3, 6)) + 0.5 * rng.normal(size=(count, 6))
    return x, np.where(rng.random(x.shape) < missing, np.nan, x)


def same_where_observed(given: pd.DataFrame, found: pd.DataFrame) -> None:
    """Compare dtypes, index and every observed cell exactly."""
    assert list(found.columns) == list(given.columns)
    pd.testing.assert_index_equal(found.index, given.index)
    for name in given:
        assert found[name].dtype == given[name].dtype, name
        known = given[name].notna()
        pd.testing.assert_series_equal(
            found[name][known], given[name][known], check_exact=True, obj=name
        )


# Frames and tables.


def test_a_pandas_frame_is_completed(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame
) -> None:
    before = holed_frame.copy()
    found = restoring_model.impute(holed_frame)
    same_where_observed(holed_frame, found)
    pd.testing.assert_frame_equal(holed_frame, before)
    assert found.drop(columns=LEFT_OUT).notna().all(axis=None)
    # Nothing is known of what names the rows.
    assert found[LEFT_OUT].isna().equals(holed_frame[LEFT_OUT].isna())
    numbers = found[["x", "single", "n"]]
    assert (numbers.max() <= holed_frame[["x", "single", "n"]].max()).all()
    assert set(found["level"].unique()) == {"a", "b", "c"}
    assert (found["same"] == "same").all()


def test_what_is_restored_is_better_than_the_mean_and_the_commonest(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame, complete_frame: pd.DataFrame
) -> None:
    found = restoring_model.impute(holed_frame)
    for name in ("x", "single", "n", "when", "zoned"):
        lost = holed_frame[name].isna()
        given, truth, guess = (
            frame[name].astype("int64" if name in ("when", "zoned") else "float64")
            for frame in (holed_frame[~lost], complete_frame[lost], found[lost])
        )
        left, usual = ((other - truth) ** 2 for other in (guess, given.mean()))
        assert left.mean() < 0.8 * usual.mean(), name
    for name in ("level", "text", "flag"):
        lost = holed_frame[name].isna()
        right = (found[name][lost] == complete_frame[name][lost]).mean()
        assert right > (holed_frame[name].mode()[0] == complete_frame[name][lost]).mean(), name


def test_polars_and_arrow_come_back_as_such(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame
) -> None:
    expected = restoring_model.impute(holed_frame)
    given = pl.from_pandas(holed_frame)
    found = restoring_model.impute(given)
    assert isinstance(found, pl.DataFrame)
    assert found.schema == given.schema
    table = pa.Table.from_pandas(holed_frame, preserve_index=False)
    completed = restoring_model.impute(table)
    assert isinstance(completed, pa.Table)
    assert completed.schema.equals(table.schema)
    for name in holed_frame:
        known = given[name].is_not_null()
        assert found[name].filter(known).equals(given[name].filter(known)), name
        assert found[name].null_count() == expected[name].isna().sum(), name
        # Codes of the model are the same whatever the table is.
        assert found[name].to_list() == completed[name].to_pylist(), name
    restored = found["x"].to_numpy()
    assert restored.tobytes() == expected["x"].to_numpy().tobytes()


def test_a_model_of_polars_rows_keeps_its_categories(complete_frame: pd.DataFrame) -> None:
    frame = pl.from_pandas(complete_frame[["x", "small", "text"]]).with_columns(
        pl.Series("grade", complete_frame["level"].astype(str), dtype=pl.Enum(["a", "b", "c", "d"]))
    )
    holes = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 5 == place).then(None).otherwise(pl.col(name)).alias(name)
        for place, name in enumerate(frame.columns)
    )
    found = Autoencoder(None, **QUICK).fit(holes).impute(holes)
    assert found.schema == frame.schema
    assert found.null_count().sum_horizontal()[0] == 0
    for name in frame.columns:
        known = holes[name].is_not_null()
        assert found[name].filter(known).equals(frame[name].filter(known))


def test_chunks_with_dictionaries_of_their_own() -> None:
    rng = np.random.default_rng(0)
    chunks = [pa.array([*letters, None] * 20).dictionary_encode() for letters in ("ab", "cb")]
    x = rng.normal(size=120)
    table = pa.table({"level": pa.chunked_array(chunks), "x": x, "y": x + rng.normal(size=120)})
    found = Autoencoder(None, **QUICK).fit(table).impute(table)
    assert found.schema.equals(table.schema)
    given, restored = table["level"].to_pylist(), found["level"].to_pylist()
    assert all(old in (None, new) for old, new in zip(given, restored, strict=True))
    assert set(restored) == {"a", "b", "c"}


def test_nothing_missing_changes_nothing(
    restoring_model: Autoencoder, complete_frame: pd.DataFrame
) -> None:
    pd.testing.assert_frame_equal(restoring_model.impute(complete_frame), complete_frame)
    for drawn in restoring_model.impute(complete_frame, n_draws=2):
        pd.testing.assert_frame_equal(drawn, complete_frame)


@pytest.mark.parametrize("name", ["x", "n", "level", "text", "flag", "when", "same"])
def test_a_column_may_be_missing_only_later(
    name: str, complete_frame: pd.DataFrame, restoring_model: Autoencoder
) -> None:
    fitted_without_holes = Autoencoder(3, **QUICK).fit(complete_frame)
    later = complete_frame.copy()
    later[name] = later[name].mask(np.ones(len(later), dtype=bool))
    assert later[name].isna().all()
    for model in (fitted_without_holes, restoring_model):
        found = model.impute(later)
        same_where_observed(later, found)
        assert found[name].notna().all()
        if name not in ("x", "same"):
            continue
        assert found[name].nunique() > 1 or name == "same"
    assert np.isfinite(fitted_without_holes.transform(later)).all()
    assert np.isfinite(fitted_without_holes.score_samples(later)).all()


# Cells of another type than that of the fit.


OTHER_TYPES = [
    ("x", pa.array([1, None, None, 4], pa.int64())),
    ("x", pa.array(["1.5", None, None, "4"])),
    ("x", pa.nulls(4)),
    ("small", pa.array([1, None, None, 4], pa.int8())),
    ("small", pa.array([1, None, None, 4], pa.float32())),
    ("when", pa.array(["2024-01-02", None, None, "2024-03-05 10:00"])),
    ("when", pa.array([1_704_200_000, None, None, 1_704_300_000], pa.timestamp("s"))),
    ("level", pa.array(["c", None, None, "c"]).dictionary_encode()),
    ("level", pa.array(["c", None, None, "other"])),
    ("level", pa.array([None, None, None, None], pa.string())),
    ("level", pa.nulls(4)),
]


@pytest.mark.parametrize(
    ("name", "cells"), OTHER_TYPES, ids=lambda part: str(getattr(part, "type", part))
)
def test_cells_of_another_type_stay_and_the_rest_is_restored(
    name: str, cells: pa.Array, restoring_model: Autoencoder, complete_frame: pd.DataFrame
) -> None:
    table = pa.Table.from_pandas(complete_frame[:4], preserve_index=False)
    place = table.column_names.index(name)
    given = table.set_column(place, name, cells)
    for found in (restoring_model.impute(given), *restoring_model.impute(given, n_draws=2)):
        assert found[name].null_count == 0
        for old, new in zip(cells.to_pylist(), found[name].to_pylist(), strict=True):
            assert old is None or old == new
        if not pa.types.is_null(cells.type):
            assert found[name].type == cells.type or pa.types.is_integer(cells.type)
        assert found.drop_columns([name]).equals(given.drop_columns([name]))


# Arrays.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [(), (16,)])
def test_an_array_is_completed(hidden: tuple[int, ...], dtype: Any) -> None:
    x, holes = linear_rows(400, 0.2)
    holes = holes.astype(dtype)
    model = Autoencoder(None, **{**QUICK, "hidden_layer_sizes": hidden}).fit(holes)
    found = model.impute(holes)
    assert found.dtype == dtype
    lost = np.isnan(holes)
    assert found[~lost].tobytes() == holes[~lost].tobytes()
    assert np.isfinite(found).all()
    left, usual = (np.square(other - x)[lost].mean() for other in (found, np.nanmean(holes, 0)))
    assert left < 0.6 * usual
    assert np.isfinite(model.transform(holes)).all()
    assert np.isfinite(model.score_samples(holes)).all()


def test_an_array_without_holes_makes_a_model_that_refuses_them() -> None:
    x, holes = linear_rows(200, 0.1)
    model = Autoencoder(3, **QUICK).fit(x)
    for use in (model.transform, model.impute, model.reconstruct):
        with pytest.raises(DataError, match="column 0"):
            use(holes)
    full = Autoencoder(None, **QUICK).fit(x)
    assert np.isfinite(full.impute(holes)).all()


def test_pictures_with_holes_stay_pictures() -> None:
    x, holes = linear_rows(200, 0.1)
    model = Autoencoder(None, **QUICK).fit(holes.reshape(-1, 2, 3))
    assert model.impute(holes.reshape(-1, 2, 3)).shape == (200, 2, 3)
    assert np.array_equal(model.impute(x.reshape(-1, 2, 3)).reshape(-1, 6), x)


def test_infinity_is_refused_where_holes_are_not() -> None:
    _, holes = linear_rows(200, 0.1)
    model = Autoencoder(None, **QUICK).fit(holes)
    holes[7, 2] = np.inf
    with pytest.raises(DataError, match="column 2"):
        model.impute(holes)


# Draws.


def test_draws_differ_only_where_cells_are_missing(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame
) -> None:
    draws = restoring_model.impute(holed_frame, n_draws=5)
    assert len(draws) == 5
    for drawn in draws:
        same_where_observed(holed_frame, drawn)
        assert drawn.drop(columns=LEFT_OUT).notna().all(axis=None)
    for name in ("x", "single", "n", "level", "text", "flag", "when", "zoned"):
        lost = holed_frame[name].isna()
        different = np.mean([draws[0][name][lost] != other[name][lost] for other in draws[1:]])
        assert different > 0.05, name


def test_a_row_has_the_same_draws_in_any_company(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame
) -> None:
    whole = restoring_model.impute(holed_frame, n_draws=3)
    part = restoring_model.impute(holed_frame.iloc[[40, 7, 250]], n_draws=3)
    for all_rows, some in zip(whole, part, strict=True):
        pd.testing.assert_frame_equal(some, all_rows.iloc[[40, 7, 250]], rtol=1e-6)
    x, holes = linear_rows(300, 0.2)
    model = Autoencoder(None, **QUICK).fit(holes)
    for all_rows, some in zip(model.impute(holes, 4), model.impute(holes[5:9], 4), strict=True):
        np.testing.assert_allclose(some, all_rows[5:9], rtol=1e-6)
        assert not np.array_equal(all_rows, x)


def test_draws_are_the_same_again_and_after_loading(
    restoring_model: Autoencoder, holed_frame: pd.DataFrame, tmp_path: Any
) -> None:
    restoring_model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    first, again, other = (
        model.impute(holed_frame, n_draws=2) for model in (restoring_model, restoring_model, loaded)
    )
    for one, two, three in zip(first, again, other, strict=True):
        pd.testing.assert_frame_equal(one, two)
        pd.testing.assert_frame_equal(one, three)
    pd.testing.assert_frame_equal(loaded.impute(holed_frame), restoring_model.impute(holed_frame))


def test_the_mean_of_many_draws_is_the_expected_value() -> None:
    _, holes = linear_rows(600, 0.2)
    model = Autoencoder(None, **QUICK).fit(holes)
    lost = np.isnan(holes)
    draws = np.stack(model.impute(holes, n_draws=200))[:, lost]
    middle = model.impute(holes)[lost]
    assert np.abs(draws.mean(0) - middle).max() < 0.4 * draws.std(0).mean()
    assert draws.std(0).min() > 0.1


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_nine_in_ten_intervals_of_draws_hold_the_truth(hidden: tuple[int, ...]) -> None:
    x, holes = linear_rows(3000, 0.2)
    lost = np.isnan(holes)
    model = Autoencoder(None, **{**QUICK, "hidden_layer_sizes": hidden}).fit(holes)
    assert model.gate_ == bool(hidden)
    low, high = np.quantile(np.stack(model.impute(holes, n_draws=99)), [0.05, 0.95], axis=0)
    inside = ((low <= x) & (x <= high))[lost]
    assert len(inside) > 3500
    assert 0.88 <= inside.mean() <= 0.92


@pytest.mark.parametrize("bad", [0, -1, 2.5, "many", np.nan, np.inf])
def test_a_number_of_draws_is_a_positive_whole_number(
    bad: Any, restoring_model: Autoencoder, holed_frame: pd.DataFrame
) -> None:
    with pytest.raises(SpecError, match=r"^n_draws=.* positive whole number"):
        restoring_model.impute(holed_frame, n_draws=bad)


def test_normal_numbers_are_evenly_spread_and_seeded() -> None:
    numbers = normal_numbers(100, 7, seed=3)
    assert numbers.shape == (100, 7)
    assert numbers.mean(0) == pytest.approx(0, abs=1e-12)
    assert numbers.std(0) == pytest.approx(1, abs=0.02)
    assert len({column.tobytes() for column in numbers.T}) == 7
    assert len({np.sort(column).tobytes() for column in numbers.T}) == 1
    assert np.array_equal(numbers, normal_numbers(100, 7, seed=3))
    assert not np.array_equal(numbers, normal_numbers(100, 7, seed=4))
    assert normal_numbers(5, 0, seed=0).shape == (5, 0)
    assert normal_numbers(1, 3, seed=0).tolist() == [[0, 0, 0]]
