"""The estimator on tables of mixed columns: codes, decoded tables, scores, bad cells."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.decomposition import PCA

import autoencode
from autoencode import Autoencoder
from autoencode.errors import DataError

QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 10, "random_state": 0}


@pytest.fixture(scope="module")
def coded(complete_frame: pd.DataFrame) -> Autoencoder:
    """A model with a short code, whose gate is open. Tests only read it."""
    model = Autoencoder(3, **QUICK).fit(complete_frame)
    assert model.gate_ == 1
    return model


@pytest.fixture(scope="module")
def few(complete_frame: pd.DataFrame) -> Autoencoder:
    """A model of too few rows for a network. Tests only read it."""
    model = Autoencoder(3, **QUICK).fit(complete_frame[:45])
    assert model.gate_ == 0
    return model


MODELS = ["coded", "few"]


# There and back.


@pytest.mark.parametrize("kind", MODELS)
def test_a_decoded_table_is_like_the_one_given(
    kind: str, complete_frame: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model, frame = request.getfixturevalue(kind), complete_frame[:40]
    codes = model.transform(frame)
    assert codes.shape == (40, 3)
    assert codes.dtype == np.float64
    rebuilt = model.reconstruct(frame)
    assert rebuilt.dtypes.equals(frame.dtypes)
    pd.testing.assert_index_equal(rebuilt.index, frame.index)
    decoded = model.inverse_transform(codes)
    pd.testing.assert_frame_equal(decoded, rebuilt.reset_index(drop=True))
    # What names the rows is not in the codes; what never changes need not be.
    assert rebuilt["name"].isna().all()
    assert (rebuilt["same"] == "same").all()
    assert (rebuilt["level"].astype(str) == frame["level"].astype(str)).mean() > 0.7
    assert np.corrcoef(rebuilt["x"], frame["x"])[0, 1] > 0.8
    table = model.reconstruct(pa.Table.from_pandas(frame, preserve_index=False))
    given = pa.Table.from_pandas(frame, preserve_index=False)
    assert table.schema.equals(given.schema)


def test_values_stay_in_the_range_that_was_seen_unless_asked(
    coded: Autoencoder, complete_frame: pd.DataFrame
) -> None:
    codes = 3 * coded.transform(complete_frame)
    numbers = ["x", "single", "small", "count", "when"]
    low, high = complete_frame[numbers].min(), complete_frame[numbers].max()
    kept = coded.inverse_transform(codes)[numbers]
    assert ((kept >= low) & (kept <= high)).all(axis=None)
    free = coded.inverse_transform(codes, clip=False)
    assert ((free[numbers] < low) | (free[numbers] > high)).any(axis=None)
    assert free.dtypes.equals(complete_frame.dtypes)
    near = coded.reconstruct(complete_frame, clip=False)
    assert near.dtypes.equals(complete_frame.dtypes)


def test_the_floor_is_pca_of_the_scaled_values(complete_frame: pd.DataFrame) -> None:
    frame = complete_frame[["x", "single", "level", "count"]]
    model = Autoencoder(2, hidden_layer_sizes=()).fit(frame)
    x, single = (frame[name].to_numpy(np.float64) for name in ("x", "single"))
    onehot = pd.get_dummies(frame["level"].astype(str)).to_numpy(np.float64)
    onehot = onehot / np.sqrt(onehot.var(0).sum())
    counts = np.log1p(frame["count"].to_numpy(np.float64))
    assert [row["kind"] for row in model._state.schema.describe()] == [
        *["numeric"] * 2, "categorical", "count"
    ]  # fmt: skip
    values = np.column_stack([x / x.std(), single / single.std(), onehot, counts / counts.std()])
    expected = PCA(2, svd_solver="full").fit_transform(values)
    codes = model.transform(frame)
    signs = np.sign((codes * expected).sum(0))
    np.testing.assert_allclose(codes * signs, expected, atol=2e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_row_with_holes_is_coded_near_the_complete_one(
    kind: str, complete_frame: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model, frame = request.getfixturevalue(kind), complete_frame[:40]
    whole = model.transform(frame)
    lacking = frame.assign(x=np.nan)
    codes = model.transform(lacking)
    assert np.isfinite(codes).all()
    assert not np.array_equal(codes, whole)
    assert np.square(codes - whole).mean() < 0.3 * whole.var()
    # Rows are coded by themselves, with holes or without.
    mixed = pd.concat([frame[:5], lacking[5:9]])
    both = model.transform(mixed)
    np.testing.assert_allclose(both[:5], whole[:5], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(both[5:], codes[5:9], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_a_saved_model_is_the_same(
    kind: str, holed_frame: pd.DataFrame, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "model.safetensors")
    loaded = autoencode.load(tmp_path / "model.safetensors")
    assert loaded.transform(holed_frame).tobytes() == model.transform(holed_frame).tobytes()
    pd.testing.assert_frame_equal(loaded.reconstruct(holed_frame), model.reconstruct(holed_frame))
    assert np.array_equal(loaded.score_samples(holed_frame), model.score_samples(holed_frame))
    assert loaded.summary() == model.summary()
    assert loaded.get_params() == model.get_params()
    shorter = loaded.truncate(2)
    assert shorter.reconstruct(holed_frame).dtypes.equals(holed_frame.dtypes)
    model.save(tmp_path / "half.safetensors", encoder_only=True)
    half = autoencode.load(tmp_path / "half.safetensors")
    assert half.transform(holed_frame).tobytes() == model.transform(holed_frame).tobytes()


def test_the_same_seed_gives_the_same_bits(holed_frame: pd.DataFrame) -> None:
    first, same, other = (
        Autoencoder(3, **{**QUICK, "random_state": seed}).fit(holed_frame) for seed in (0, 0, 1)
    )
    codes = first.transform(holed_frame)
    assert codes.tobytes() == same.transform(holed_frame).tobytes()
    assert codes.tobytes() != other.transform(holed_frame).tobytes()


def test_one_dtype_of_training_is_as_good_as_the_other(complete_frame: pd.DataFrame) -> None:
    scores = [
        Autoencoder(3, **QUICK, dtype=dtype).fit(complete_frame).score(complete_frame)
        for dtype in ("float32", "float64")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_tables_beyond_the_memory_limit_are_streamed(
    holed_frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Autoencoder(3, **QUICK).fit(holed_frame)
    monkeypatch.setattr("autoencode.training_rows.MEMORY_LIMIT", 0)
    monkeypatch.setattr(
        "autoencode.training_rows.TensorBatches",
        lambda *_, **__: pytest.fail("rows were in memory"),
    )
    streamed = Autoencoder(3, **QUICK).fit(holed_frame)
    assert streamed.gate_ == whole.gate_ == 1
    assert streamed.score(holed_frame) == pytest.approx(whole.score(holed_frame), abs=0.05)


def test_a_target_and_held_out_rows_may_be_tables(
    complete_frame: pd.DataFrame, holed_frame: pd.DataFrame
) -> None:
    model = Autoencoder(3, **QUICK).fit(
        holed_frame[:200], target=complete_frame[:200], X_held_out=holed_frame[200:]
    )
    assert model.transform(holed_frame).shape == (300, 3)
    assert "200 rows: 200 to train, 50 to choose, 50 to measure" in model.summary()
    with pytest.raises(DataError, match="'x'"):
        Autoencoder(3, **QUICK).fit(holed_frame, target=complete_frame.drop(columns="x"))


# Scores.


def odd(name: str, cell: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what puts one cell into every row."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.astype({name: "object"}).assign(**{name: cell})

    return change


ODD = {
    "constant": odd("same", "other"),
    "unseen level": odd("level", "d"),
    "unused level": odd("level", "unused"),
    "unseen text": odd("text", "perhaps"),
    "large number": odd("x", 40.0),
    "large count": odd("count", 5000),
    "late": odd("when", pd.Timestamp("2034-01-01")),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("kind", MODELS)
def test_odd_cells_lower_the_score(
    kind: str, what: str, complete_frame: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model, frame = request.getfixturevalue(kind), complete_frame[:30]
    usual, strange = model.score_samples(frame), model.score_samples(ODD[what](frame))
    assert np.isfinite(strange).all()
    assert (strange < usual - 1).all()


@pytest.mark.parametrize("kind", MODELS)
def test_a_departure_from_a_constant_costs_what_its_rows_say(
    kind: str, complete_frame: pd.DataFrame, request: pytest.FixtureRequest
) -> None:
    model, frame = request.getfixturevalue(kind), complete_frame[:30]
    n_rows = model._state.facts["n_rows"]
    lost = model.score_samples(frame) - model.score_samples(frame.assign(same="other"))
    np.testing.assert_allclose(lost, math.log(n_rows + 1), rtol=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_scores_are_sums_over_observed_cells(
    kind: str,
    complete_frame: pd.DataFrame,
    holed_frame: pd.DataFrame,
    request: pytest.FixtureRequest,
) -> None:
    model = request.getfixturevalue(kind)
    for frame in (complete_frame[:40], holed_frame[:40]):
        cells = model.explain(frame).to_pandas()
        assert cells.columns.tolist() == ["row", "column", "nats", "observed", "expected"]
        known = frame.notna().drop(columns="name")
        assert set(zip(cells["row"], cells["column"], strict=True)) == {
            (row, name) for row in range(40) for name in known if known[name].iloc[row]
        }
        sums = cells.groupby("row")["nats"].sum()
        np.testing.assert_allclose(model.score_samples(frame), sums, rtol=1e-9)
        # The oddest cell of a row comes first.
        assert all(part["nats"].is_monotonic_increasing for _, part in cells.groupby("row"))
    # A row of which nothing is known has no score at all.
    nothing = complete_frame[:3].mask(np.ones((3, complete_frame.shape[1]), dtype=bool))
    assert model.score_samples(nothing.astype(object)).tolist() == [0, 0, 0]
    assert model.explain(nothing.astype(object)).num_rows == 0


def test_explain_names_the_odd_cell(coded: Autoencoder, complete_frame: pd.DataFrame) -> None:
    for name, cell in (("x", 40.0), ("same", "other"), ("level", "d")):
        strange = complete_frame[:1].astype({name: "object"}).assign(**{name: cell})
        first = coded.explain(strange).slice(0, 1).to_pylist()[0]
        assert first["column"] == name
        assert first["observed"] == str(cell).removesuffix(".0")
        assert first["expected"] != first["observed"]
        assert first["nats"] < -4


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_scores_of_tables_are_in_the_datas_units(hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 4)) + 0.1 * rng.normal(size=(200, 4))
    frame = pd.DataFrame(x, columns=list("abcd"))
    options = {**QUICK, "hidden_layer_sizes": hidden}
    scores = Autoencoder(2, **options).fit(frame).score_samples(frame)
    larger = Autoencoder(2, **options).fit(8 * frame).score_samples(8 * frame)
    np.testing.assert_allclose(larger, scores - 4 * np.log(8), rtol=1e-6)
    # Arrays are scored alike, but for the scaling that they are learned in.
    bare = Autoencoder(2, **options, scaling="standard").fit(x)
    np.testing.assert_allclose(bare.score_samples(x), scores, rtol=1e-6)


def test_explain_of_arrays_adds_up_too(bent: np.ndarray, network_model: Autoencoder) -> None:
    cells = network_model.explain(bent[:5]).to_pandas()
    sums = cells.groupby("row")["nats"].sum()
    np.testing.assert_allclose(sums, network_model.score_samples(bent[:5]), rtol=1e-9)
    assert sorted(cells["column"].unique()) == [str(place) for place in range(9)]


# Bad input.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="x"), "missing:\n- x"),
        (lambda f: f.assign(more=1), "unseen at fit time:\n- more"),
        (lambda f: f.assign(x=["1.5"] * 4 + ["many"]), r"'x'.*row 5"),
        (lambda f: f.assign(x="many"), "'x' held numbers.*'many' in row 1 is not"),
        (lambda f: f.assign(x=np.inf), "'x'"),
        (lambda f: f.assign(count=2**60), "'count'.*row 1"),
        (lambda f: f.assign(when="tomorrow"), "'when' held dates.*'tomorrow' in row 1 is not"),
        (lambda f: f.assign(n=pd.array([1, 2, 3, 4, 2**60])), r"'n'.*row 5"),
        (lambda f: pd.concat([f, f[["x"]]], axis=1), "'x'"),
        (lambda f: f.assign(x=[1.0, "a", None, [2], 3]), "'x'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_column_and_row(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
    coded: Autoencoder,
    complete_frame: pd.DataFrame,
) -> None:
    for use in (coded.transform, coded.score_samples, coded.impute):
        with pytest.raises((DataError, ValueError), match=message):
            use(change(complete_frame[:5]))


def test_numbers_as_text_and_columns_of_another_type_are_read(
    coded: Autoencoder, complete_frame: pd.DataFrame
) -> None:
    frame = complete_frame[:20]
    expected = coded.transform(frame)
    alike = frame.astype({"x": str, "count": "float64", "small": "int64", "level": str})
    assert not alike.dtypes.equals(frame.dtypes)
    np.testing.assert_allclose(coded.transform(alike), expected, rtol=1e-6)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    np.testing.assert_allclose(coded.transform(table), expected, rtol=1e-6)


@pytest.mark.parametrize("column", ["numbers", "levels"])
def test_a_fit_of_one_usable_column(column: str) -> None:
    rng = np.random.default_rng(0)
    cells = rng.normal(size=80) if column == "numbers" else rng.choice(["a", "b", "c"], 80)
    frame = pd.DataFrame({"only": cells, "same": 1, "name": [f"row {i}" for i in range(80)]})
    model = Autoencoder(0.9, **QUICK).fit(frame)
    assert model.transform(frame).shape == (80, model.n_components_)
    if column == "numbers":
        np.testing.assert_allclose(model.reconstruct(frame)["only"], cells, rtol=0.05, atol=0.05)


def test_names_of_codes_and_columns(coded: Autoencoder) -> None:
    assert coded.get_feature_names_out().tolist() == [f"autoencoder{place}" for place in range(3)]
    assert coded.feature_names_in_.tolist()[:2] == ["x", "single"]
    assert coded.n_features_in_ == 12


@functools.cache
def wide_frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    levels = np.array([f"level {place}" for place in range(20_000)])
    code = rng.integers(0, 20_000, 30_000)
    return pd.DataFrame({"zip": levels[code], "x": code / 1000 + rng.normal(size=30_000)})


def test_very_many_levels_make_few_values() -> None:
    frame = wide_frame()
    model = Autoencoder(4, hidden_layer_sizes=(16,), max_epochs=1, random_state=0).fit(frame)
    assert model._state.n_values < 200
    found = model.reconstruct(frame[:50])
    assert found["zip"].isin(frame["zip"]).all()
    strange = frame[:50].assign(zip="elsewhere")
    assert (model.score_samples(strange) < model.score_samples(frame[:50])).mean() > 0.8
