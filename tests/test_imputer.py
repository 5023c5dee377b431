"""The transformer that completes tables: what scikit-learn does with it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from autoencode import Imputer
from autoencode.errors import DataError, SpecError


def rows(count: int = 160) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make correlated rows, the same with holes, and what they tell of."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(count, 2))
    x = hidden @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(count, 5))
    return x, np.where(rng.random(x.shape) < 0.2, np.nan, x), hidden[:, 0]


@pytest.fixture(scope="module")
def fitted() -> Imputer:
    """An imputer of an array. Tests only read it."""
    return Imputer(random_state=0).fit(rows()[1])


def test_what_is_missing_is_restored_and_the_rest_stays(fitted: Imputer) -> None:
    x, holes, _ = rows()
    found = fitted.transform(holes)
    lost = np.isnan(holes)
    assert found[~lost].tobytes() == x[~lost].tobytes()
    assert (
        np.square(found - x)[lost].mean() < 0.3 * np.square(np.nanmean(holes, 0) - x)[lost].mean()
    )
    assert np.array_equal(fitted.impute(holes), found)
    assert fitted.n_features_in_ == 5
    assert fitted.model_.n_components_ == 5
    draws = fitted.impute(holes, n_draws=3)
    assert len(draws) == 3
    assert all(np.array_equal(drawn[~lost], x[~lost]) for drawn in draws)
    with pytest.raises(SpecError, match=r"^n_draws=0 should be"):
        fitted.impute(holes, n_draws=0)


def test_the_same_seed_restores_the_same(few_epochs: None) -> None:
    _, holes, _ = rows()
    fitted = Imputer(random_state=0).fit(holes)
    again = Imputer(random_state=0).fit_transform(holes)
    assert again.tobytes() == fitted.transform(holes).tobytes()
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "model_")
    copied = pickle.loads(pickle.dumps(fitted))  # noqa: S301 -- our own bytes
    assert copied.transform(holes).tobytes() == again.tobytes()


def test_in_a_pipeline_and_a_grid_search() -> None:
    _, holes, y = rows()
    chain = make_pipeline(Imputer(max_time=0.3, random_state=0), Ridge()).fit(holes[:120], y[:120])
    assert chain.score(holes[120:], y[120:]) > 0.6
    search = GridSearchCV(
        make_pipeline(Imputer(max_time=0.2, random_state=0), Ridge()),
        {"imputer__missing": ["ignorable", "informative"], "ridge__alpha": [1e-3, 1e6]},
        cv=2,
        error_score="raise",
    ).fit(holes, y)
    assert search.best_params_["ridge__alpha"] == 1e-3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_frame_in_a_pipeline(holed_frame: pd.DataFrame, complete_frame: pd.DataFrame) -> None:
    wanted = complete_frame["level"].astype(str)
    numbers = holed_frame[["x", "single", "small", "count"]].astype("float64")
    chain = make_pipeline(
        Imputer(max_time=0.3, random_state=0), RandomForestClassifier(10, random_state=0)
    )
    assert chain.fit(numbers[:200], wanted[:200]).score(numbers[200:], wanted[200:]) > 0.8


def test_names_of_the_features(holed_frame: pd.DataFrame) -> None:
    frame = holed_frame[["x", "text", "count"]]
    imputer = Imputer(columns={"count": "numeric"}, max_time=0.2, random_state=0).fit(frame)
    assert imputer.feature_names_in_.tolist() == ["x", "text", "count"]
    assert imputer.get_feature_names_out().tolist() == ["x", "text", "count"]
    kinds = [row["kind"] for row in imputer.model_._state.schema.describe()]
    assert kinds == ["numeric", "binary", "numeric"]
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(frame.rename(columns={"x": "z"}))
    with pytest.raises(DataError, match="'z'"):
        Imputer(columns={"z": "numeric"}).fit(frame)
    # A second fit forgets the names.
    imputer.set_params(columns=None).fit(rows()[1])
    assert not hasattr(imputer, "feature_names_in_")
    assert imputer.get_feature_names_out().tolist() == [f"x{place}" for place in range(5)]


def test_frames_come_back_as_given_or_as_asked_for(holed_frame: pd.DataFrame) -> None:
    frame = holed_frame[["x", "single", "text"]]
    imputer = Imputer(max_time=0.2, random_state=0).fit(frame)
    found = imputer.transform(frame)
    assert found.dtypes.equals(frame.dtypes)
    pd.testing.assert_index_equal(found.index, frame.index)
    pd.testing.assert_frame_equal(imputer.set_output(transform="pandas").transform(frame), found)
    as_polars = imputer.set_output(transform="polars").transform(pl.from_pandas(frame))
    assert isinstance(as_polars, pl.DataFrame)
    assert as_polars["text"].to_list() == found["text"].tolist()


def test_an_array_for_a_model_of_frames_comes_back_as_an_array() -> None:
    x, holes, _ = rows()
    imputer = Imputer(max_time=0.2, random_state=0).fit(pd.DataFrame(holes, columns=list("abcde")))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        found = imputer.transform(holes)
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found[~np.isnan(holes)], x[~np.isnan(holes)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "random"}, "^missing='random' should be 'ignorable' or 'informative'"),
        ({"max_time": 0}, "^max_time=0 should be"),
        ({"columns": {"a": "numeric"}}, "^columns= "),
        ({"dtype": "float16"}, "^dtype='float16' is not known"),
    ],
)
def test_a_bad_option_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Imputer(**options).fit(rows()[1])


def test_a_file_is_completed(tmp_path: Path) -> None:
    x, holes, _ = rows()
    path = tmp_path / "rows.csv"
    pd.DataFrame(holes, columns=list("abcde")).to_csv(path, index=False)
    found = Imputer(max_time=0.2, random_state=0).fit(path).transform(path)
    assert found.column_names == list("abcde")
    restored = np.stack([column.to_numpy() for column in found.columns], 1)
    assert np.array_equal(restored[~np.isnan(holes)], x[~np.isnan(holes)])
    assert np.isfinite(restored).all()
