"""New rows like given ones, and whether they help."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from autoencode import Autoencoder, load, measure_augmentation
from autoencode.augmentation import AUGMENTATION_KINDS
from autoencode.augmentation_gain import AugmentationGain
from autoencode.errors import DataError, SpecError

Rows = tuple[np.ndarray, np.ndarray]


def linear(**options: Any) -> Autoencoder:
    return Autoencoder(**{"hidden_layer_sizes": (), "random_state": 0, **options})


@pytest.fixture(scope="module")
def wine() -> Rows:
    rows: Rows = load_wine(return_X_y=True)
    return rows


@pytest.fixture(scope="module")
def fitted(wine: Rows) -> Autoencoder:
    """A linear model of wine. Tests only read it."""
    return linear(scaling="standard").fit(wine[0])


@pytest.fixture(scope="module")
def mixed() -> pa.Table:
    """Numbers, whole numbers and levels that hang together, some missing; two groups."""
    rng = np.random.default_rng(0)
    group = rng.integers(2, size=120)
    size = 5 * group + rng.normal(size=120)
    count = rng.poisson(4 + 10 * group)
    colour = np.where(rng.random(120) < 0.9, group, 1 - group)
    lost = rng.random((3, 120)) < 0.1
    return pa.table(
        {
            "size": pa.array(size, mask=lost[0]),
            "count": pa.array(count, pa.int64(), mask=lost[1]),
            "colour": pa.array(np.array(["red", "blue"])[colour], mask=lost[2]),
            "group": pa.array(np.array(["a", "b"])[group]),
        }
    )


@pytest.fixture(scope="module")
def model_of_mixed(mixed: pa.Table) -> Autoencoder:
    """A linear model of the mixed table without its groups. Tests only read it."""
    return linear().fit(mixed.drop_columns(["group"]))


@pytest.mark.parametrize("kind", AUGMENTATION_KINDS)
def test_each_kind_draws_other_rows_like_the_given_ones(
    kind: str, fitted: Autoencoder, wine: Rows
) -> None:
    X, y = wine
    new, classes = fitted.augment(X, 2, y, kind=kind, random_state=0)
    assert new.shape == (2 * len(X), 13)
    assert np.array_equal(classes, np.concatenate([y, y]))
    first, second = new[: len(X)], new[len(X) :]
    assert not np.isclose(first, second).all(1).any()
    again, _ = fitted.augment(X, 2, y, kind=kind, random_state=0)
    assert again.tobytes() == new.tobytes()
    other, _ = fitted.augment(X, 2, y, kind=kind, random_state=1)
    assert not np.array_equal(other, new)
    classifier = LogisticRegression(max_iter=5000).fit(X / X.std(0), y)
    assert classifier.score(new / X.std(0), classes) > 0.93
    # Variants vary, but less than the rows do among each other.
    moved = (np.square(first - X) / X.var(0)).mean()
    assert 0.01 < moved < 1.0


def test_more_strength_moves_rows_further(fitted: Autoencoder, wine: Rows) -> None:
    X, y = wine
    for kind in AUGMENTATION_KINDS:
        moved = [
            np.abs(fitted.augment(X, 1, y, kind=kind, strength=s, random_state=0)[0] - X).sum()
            for s in (0.2, 0.4)
        ]
        assert moved[1] > 1.1 * moved[0], kind
        default = fitted.augment(X, 1, y, kind=kind, random_state=0)[0]
        assert np.abs(default - X).sum() > moved[1]


def test_what_is_asked_for_by_default(fitted: Autoencoder, wine: Rows) -> None:
    X, y = wine
    plain = fitted.augment(X, 1, random_state=3)
    assert np.array_equal(plain, fitted.augment(X, 1, kind="restore", random_state=3))
    labelled, _ = fitted.augment(X, 1, y, random_state=3)
    asked, _ = fitted.augment(X, 1, y, kind="differences", random_state=3)
    assert np.array_equal(labelled, asked)


def test_interpolation_stays_between_rows_of_a_class(fitted: Autoencoder, wine: Rows) -> None:
    X, y = wine
    new, classes = fitted.augment(X, 3, y, kind="interpolate", random_state=0)
    for label in np.unique(y):
        own, found = X[y == label], new[classes == label]
        assert (found >= own.min(0) - 1e-9).all()
        assert (found <= own.max(0) + 1e-9).all()
    alone = np.where(np.arange(len(y)) == 0, 9, y)
    kept, _ = fitted.augment(X, 1, alone, kind="interpolate", random_state=0)
    assert np.allclose(kept[0], X[0])
    moved, _ = fitted.augment(X, 1, alone, kind="differences", random_state=0)
    assert not np.allclose(moved[0], X[0])


def test_differences_are_those_within_classes() -> None:
    """Two classes far apart along the first column alone: no row crosses over."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2
    X = np.column_stack([100.0 * y, rng.normal(size=100), rng.normal(size=100)])
    model = linear(n_components=2).fit(X)
    new, classes = model.augment(X, 4, y, strength=1.0, random_state=0)
    assert np.allclose(new[:, 0], 100.0 * classes)
    assert new[:, 1].std() > 1.1


def test_the_models_own_corruption_is_used(wine: Rows) -> None:
    X = wine[0]
    own = linear(corruption="gaussian:level=0.05").fit(X)
    asked = own.augment(X, 1, strength=0.05, random_state=0)
    assert np.array_equal(own.augment(X, 1, random_state=0), asked)
    masked = linear(corruption="mask").fit(X)
    assert not np.array_equal(masked.augment(X, 1, random_state=0), asked)


def test_pictures_stay_pictures() -> None:
    digits = load_digits()
    images, y = digits.images[:150].astype(np.float32), digits.target[:150]
    model = linear().fit(images)
    new, _ = model.augment(images, 2, y, random_state=0)
    assert new.shape == (300, 8, 8)
    assert new.dtype == np.float32
    assert new.min() >= 0
    assert new.max() <= 16
    assert model.augment(images, 1, random_state=0).shape == images.shape


@pytest.mark.parametrize("kind", AUGMENTATION_KINDS)
@pytest.mark.parametrize("frame", ["pandas", "polars", "arrow"])
def test_mixed_tables_come_back_complete_and_as_given(
    kind: str, frame: str, mixed: pa.Table, model_of_mixed: Autoencoder
) -> None:
    table, y = mixed.drop_columns(["group"]), mixed["group"].to_pylist()
    given = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table}[frame]
    data = {"pandas": table.to_pandas, "polars": lambda: pl.from_arrow(table)}.get(
        frame, lambda: table
    )()
    new, classes = model_of_mixed.augment(data, 2, y, kind=kind, random_state=0)
    assert type(new) is given
    assert classes.tolist() == [*y, *y]
    found = new if frame == "arrow" else pa.table(new)
    assert len(found) == 240
    assert found.column_names == table.column_names
    for column, name in zip(found.columns, table.column_names, strict=True):
        assert column.null_count == 0, name
    assert set(found["colour"].to_pylist()) == {"red", "blue"}
    counts = found["count"].to_numpy().astype(float)
    assert np.array_equal(counts, counts.round())
    assert np.corrcoef(found["size"].to_numpy(), classes == "b")[0, 1] > 0.6


def test_restoring_hides_cells_and_leaves_the_others(
    mixed: pa.Table, model_of_mixed: Autoencoder
) -> None:
    table = mixed.drop_columns(["group"]).drop_null()
    new = model_of_mixed.augment(table, 1, strength=0.3, random_state=0)
    same = np.isclose(new["size"].to_numpy(), table["size"].to_numpy())
    assert 0.6 < same.mean() < 0.8
    with pytest.raises(SpecError, match=r"^strength=1.5 is a share of hidden cells"):
        model_of_mixed.augment(table, 1, strength=1.5)


def test_missing_cells_of_arrays_and_of_an_informative_model(wine: Rows) -> None:
    rng = np.random.default_rng(0)
    X, y = wine
    X, y = X[::2, :5] / X[::2, :5].std(0), y[::2]
    holes = np.where((rng.random(X.shape) < 0.3) & (X.mean(0) < X), np.nan, X)
    for missing in ("ignorable", "informative"):
        model = Autoencoder(None, missing=missing, max_epochs=1, random_state=0).fit(holes)
        for kind in AUGMENTATION_KINDS:
            new, _ = model.augment(holes, 1, y, kind=kind, random_state=0)
            assert np.isfinite(new).all()
    complete = linear().fit(X)
    with pytest.raises(DataError, match="missing"):
        complete.augment(holes, 1)


def test_a_saved_model_draws_the_same(fitted: Autoencoder, wine: Rows, tmp_path: Any) -> None:
    fitted.save(tmp_path / "model")
    X, y = wine
    here, _ = fitted.augment(X, 1, y, random_state=0)
    there, _ = load(tmp_path / "model").augment(X, 1, y, random_state=0)
    assert np.allclose(here, there)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, SpecError, r"^n=0 should be"),
        ({"n": 1.5}, SpecError, r"^n=1.5 should be"),
        ({"kind": "smote"}, SpecError, r"^kind='smote' should be 'auto' or one of"),
        ({"kind": "differences"}, SpecError, r"needs y"),
        ({"strength": -1}, SpecError, r"^strength=-1 should be"),
        ({"y": "all", "kind": "interpolate", "strength": 2}, SpecError, r"at most 1"),
        ({"random_state": "x"}, SpecError, r"^random_state='x' cannot"),
        ({"y": [1, 2]}, DataError, r"^y has shape \(2,\)"),
        ({"y": "own"}, DataError, r"^every class of y has one row only"),
        ({"y": "nan"}, DataError, r"^y has missing classes"),
    ],
)
def test_what_cannot_be_done_is_said(
    options: dict[str, Any], error: type[Exception], message: str, fitted: Autoencoder, wine: Rows
) -> None:
    X, y = wine
    made = {"all": y, "own": np.arange(len(y)), "nan": np.where(y == 0, np.nan, y)}
    named = options.get("y")
    labels = made[named] if isinstance(named, str) else named
    with pytest.raises(error, match=message):
        fitted.augment(X, **{"n": 1, **options, "y": labels})


def test_a_gain_is_found_where_there_is_one() -> None:
    """A tree with large leaves has too few rows to tell two classes apart."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, 3)) + 3.0 * y[:, None]
    tree = DecisionTreeClassifier(min_samples_leaf=30)
    options = {"ways": [("differences", 0.3)], "n_repeats": 1, "random_state": 0}
    found = measure_augmentation(linear(), X, y, tree, amounts=[1, 4], **options)
    assert found.amount in (1, 4)
    assert found.score_without < 0.6
    assert found.score_with > 0.8
    assert 0 < found.standard_error < found.gain
    assert str(found).startswith(f"{found.amount} x {found.kind} at {found.strength:g}: score 0.")
    again = measure_augmentation(linear(), X, y, tree, amounts=[1, 4], **options)
    assert again == found
    more, labels = found.enlarge(linear().fit(X), X, y, random_state=0)
    assert np.array_equal(more[:40], X)
    assert len(more) == len(labels) == 40 * (1 + found.amount)


class Lucky(DummyClassifier):
    """Right about one row more, the first, once it has more than 100 rows to learn from."""

    def fit(self, X: Any, y: Any) -> Any:
        self.many_ = len(X) > 100
        return super().fit(X, y)

    def predict(self, X: Any) -> Any:
        guess = np.full(len(X), 0)
        guess[X[:, 0] == 1000.0] = int(self.many_)
        return guess


def test_one_row_more_is_no_gain() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 3))
    X[1, 0] = 1000.0
    found = measure_augmentation(linear(), X, y, Lucky(), amounts=[5], random_state=0)
    assert found.gain == pytest.approx(1 / 60)
    assert found.standard_error == pytest.approx(1 / 60)
    assert found.amount == 0


def test_no_gain_is_said_and_adds_nothing(wine: Rows) -> None:
    X, y = wine
    found = measure_augmentation(linear(), X, y, DummyClassifier(), random_state=0, n_repeats=1)
    assert found.amount == 0
    assert found.gain == 0
    assert str(found).startswith("no gain: score ")
    assert len(found.tried) == 4
    kept, labels = found.enlarge(linear().fit(X), X, y)
    assert kept is X
    assert labels is y


class Watched(Autoencoder):
    """Remembers how many rows it was fitted to."""

    seen: list[int] = []  # noqa: RUF012

    def fit(self, X: Any, y: Any = None, **options: Any) -> Any:
        self.seen.append(len(X))
        return super().fit(X, y, **options)


def test_the_model_is_fitted_within_each_split_or_used_as_it_is(wine: Rows) -> None:
    X, y = wine
    options = {"ways": [("restore", 0.5)], "amounts": [1], "n_repeats": 2, "random_state": 0}
    model = Watched(hidden_layer_sizes=(), random_state=0)
    Watched.seen.clear()
    measure_augmentation(model, X, y, DummyClassifier(), **options)
    assert len(Watched.seen) == 15
    assert max(Watched.seen) < 0.85 * len(X)
    model.fit(X)
    Watched.seen.clear()
    measure_augmentation(model, X, y, DummyClassifier(), **options)
    assert Watched.seen == []


@pytest.mark.parametrize("frame", ["pandas", "polars", "arrow"])
def test_frames_are_joined_in_their_kind(
    frame: str, mixed: pa.Table, model_of_mixed: Autoencoder
) -> None:
    table, y = mixed.drop_columns(["group"]), np.array(mixed["group"].to_pylist())
    made = {"pandas": table.to_pandas(), "polars": pl.from_arrow(table), "arrow": table}[frame]
    found = measure_augmentation(
        model_of_mixed, made, y, DummyClassifier(), amounts=[1], n_repeats=1, random_state=0
    )
    asked = AugmentationGain(1, "differences", 0.5, 0.5, 0.6, 0.01, found.tried)
    more, labels = asked.enlarge(model_of_mixed, made, y, random_state=0)
    assert type(more) is type(made)
    assert len(more) == len(labels) == 240


def test_what_cannot_be_measured_is_said(wine: Rows) -> None:
    X, y = wine
    classifier = DummyClassifier()
    with pytest.raises(DataError, match="one row only"):
        measure_augmentation(linear(), X, np.where(np.arange(len(y)) == 0, 9, y), classifier)
    with pytest.raises(SpecError, match="kind='nothing'"):
        measure_augmentation(linear(), X, y, classifier, ways=[("nothing", 1.0)])
    with pytest.raises(SpecError, match="not empty"):
        measure_augmentation(linear(), X, y, classifier, amounts=[])
