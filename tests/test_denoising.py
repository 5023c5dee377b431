"""Denoising in three situations: what is detected, what comes out, what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from autoencode import Autoencoder, DenoisingAutoencoder, load
from autoencode.data.arrays import open_array
from autoencode.denoising import swap_weight
from autoencode.errors import DataError, SpecError

N_VALUES = 16
Rows = Callable[..., np.ndarray]
FAST = {"random_state": 0, "max_epochs": 8}
KINDS = {"gaussian": 0.3, "impulse": 0.1, "swap": 0.15}


def error(x: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(np.asarray(x) - truth).mean())


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("situation", ["pairs", "clean", "noisy"])
def test_noise_goes_in_every_situation(
    clean: Rows, spoilt: Rows, situation: str, kind: str
) -> None:
    level = KINDS[kind]
    x, truth = clean(), clean(300, seed=5)
    given, rows = spoilt(x, kind, level), spoilt(truth, kind, level)
    model = DenoisingAutoencoder(**FAST)
    if situation == "pairs":
        model.fit(given, target=x)
    else:
        model.fit(x if situation == "clean" else given)
    assert model.situation_ == situation
    assert model.noise_.kind == ("none" if situation == "clean" else kind)
    restored, noise = model.denoise_with_noise(rows)
    assert noise.kind == kind
    assert noise.level == pytest.approx(level, rel=0.05 if kind == "gaussian" else 0.35)
    assert restored.shape == rows.shape
    assert restored.dtype == rows.dtype
    assert error(restored, truth) < 0.5 * error(rows, truth)
    if kind == "impulse":
        # A cell with any other value is not touched.
        others = rows != 2.5
        np.testing.assert_array_equal(restored[others], rows[others])


def test_the_network_is_better_than_the_linear_guess_where_it_is_used() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 1200)
    rings = np.stack([np.cos(k * angle + k) for k in range(1, 9)], axis=1)
    noisy = rings + 0.4 * rng.normal(size=rings.shape)
    outcomes = {}
    for name, sizes in (("network", "auto"), ("linear", ())):
        model = DenoisingAutoencoder(
            rows="clean", hidden_layer_sizes=sizes, noise="gaussian", random_state=0, max_epochs=60
        ).fit(rings[:900])
        model._state.prior = None  # What it adds is tested in test_row_prior.py.
        outcomes[name] = error(model.denoise(noisy[900:], level=0.4), rings[900:])
    assert outcomes["network"] < 0.6 * outcomes["linear"]
    assert outcomes["linear"] < 0.8 * error(noisy[900:], rings[900:])


def test_rows_without_noise_come_back_as_they_are(clean: Rows) -> None:
    model = DenoisingAutoencoder(**FAST).fit(clean())
    rows = clean(200, seed=9)
    restored, noise = model.denoise_with_noise(rows)
    assert noise.kind == "none"
    np.testing.assert_array_equal(restored, rows)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_rows_without_noise_are_told_where_columns_are_few(clean: Rows, count: int) -> None:
    x = clean(2000)[:, :count]
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(x[:600])
    some = x[600:].reshape(-1, 100, count)
    assert [model.denoise_with_noise(rows)[1].kind for rows in some] == ["none"] * len(some)
    single = x[600:620]
    np.testing.assert_array_equal([model.denoise(row[None])[0] for row in single], single)
    noise = model.denoise_with_noise(some[0] + np.random.default_rng(0).normal(size=(100, count)))
    # One column says nothing of its noise.
    assert (noise[1].kind == "gaussian") == (count > 1)


def test_a_few_noisy_rows_among_others_are_restored(clean: Rows, spoilt: Rows) -> None:
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(clean())
    truth = clean(10, seed=5)
    rows = truth.copy()
    rows[:2] = spoilt(truth[:2], "gaussian", 0.4)
    restored, noise = model.denoise_with_noise(rows)
    assert noise.kind == "gaussian"
    assert noise.level == pytest.approx(0.4, rel=0.4)
    assert error(restored[:2], truth[:2]) < 0.5 * error(rows[:2], truth[:2])
    np.testing.assert_array_equal(restored[2:], truth[2:])


def test_constant_columns_hide_no_noise(clean: Rows, spoilt: Rows) -> None:
    rows = spoilt(clean(800), "gaussian", 0.3)
    padded = np.pad(rows.reshape(-1, 4, 4), ((0, 0), (1, 1), (1, 1)))
    for given in (np.insert(rows, [0, 7, 16, 16], 1.0, axis=1), padded, padded[:100]):
        model = DenoisingAutoencoder(**FAST).fit(given)
        assert model.situation_ == "noisy"
        assert model.noise_.level == pytest.approx(0.3, rel=0.1)


def test_few_rows_and_columns_apart_are_taken_as_they_are() -> None:
    for count in (2, 10, 30, 300):
        rows = np.random.default_rng(count).normal(size=(count, 4))
        model = DenoisingAutoencoder(**FAST).fit(rows)
        assert (model.situation_, model.noise_.kind) == ("clean", "none")
        np.testing.assert_array_equal(model.denoise(rows), rows)
    with pytest.raises(DataError, match="seem to be noise alone"):
        DenoisingAutoencoder(rows="noisy", noise="gaussian", **FAST).fit(rows)


def test_what_is_odd_in_real_rows_is_no_impulse() -> None:
    rows = load_wine().data
    model = DenoisingAutoencoder(**FAST).fit(rows)
    assert (model.situation_, model.noise_.kind) == ("clean", "none")


@pytest.mark.parametrize("asked", ["swap", "impulse", "gaussian"])
def test_noise_may_be_said_of_rows_to_come(clean: Rows, asked: str) -> None:
    model = DenoisingAutoencoder(noise=asked, **FAST).fit(clean(300))
    assert model.situation_ == "clean"


def test_cells_that_were_hardly_exchanged_stay(clean: Rows, spoilt: Rows) -> None:
    model = DenoisingAutoencoder(rows="clean", noise="swap", **FAST).fit(clean())
    truth = clean(300, seed=5)
    rows = spoilt(truth, "swap", 0.1)
    restored, _ = model.denoise_with_noise(rows)
    assert model._state.facts["swap_weight"] > 0
    assert (restored != rows).mean() < 0.3
    assert error(restored, truth) < 0.5 * error(rows, truth)
    restored, noise = model.denoise_with_noise(truth)
    assert noise.kind == "none"
    np.testing.assert_array_equal(restored, truth)


def test_infinite_values_are_named(clean: Rows) -> None:
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(clean(300))
    rows = clean(60)
    rows[3, 2] = np.inf
    for given in (rows, rows[:5]):
        with pytest.raises(DataError, match="column 2 has 1 infinite value, the first in row 3"):
            model.denoise(given)


def test_rows_of_which_nothing_is_known_become_the_mean(clean: Rows) -> None:
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(clean(300))
    for count in (2, 30):
        restored, noise = model.denoise_with_noise(np.full((count, N_VALUES), np.nan))
        assert noise.kind == "none"
        np.testing.assert_allclose(restored, restored[:1].repeat(count, 0))
        assert np.abs(restored).max() < 0.5


def test_too_long_rows_are_refused_before_the_fit() -> None:
    with pytest.raises(DataError, match="rows of 1501 values are too long"):
        DenoisingAutoencoder(rows="clean").fit(np.eye(60, 1501))


def test_a_level_that_is_given_is_used(clean: Rows, spoilt: Rows) -> None:
    model = DenoisingAutoencoder(**FAST).fit(clean())
    rows = spoilt(clean(100, seed=5), "gaussian", 0.3)
    weak, right = (model.denoise(rows, level=level) for level in (0.01, 0.3))
    assert error(weak, rows) < 0.1 * error(right, rows)
    assert error(right, clean(100, seed=5)) < error(weak, clean(100, seed=5))
    single = model.denoise(rows[:1])
    assert single.shape == (1, N_VALUES)
    np.testing.assert_array_equal(model.denoise(rows, level=np.float64(0.3)), right)
    for bad in (0, -1, float("nan"), 1e200, True, "much"):
        with pytest.raises(SpecError, match="level="):
            model.denoise(rows, level=bad)


def test_a_level_that_cannot_be_used_is_refused(clean: Rows) -> None:
    x = clean(300)
    stripes = x + 0.4 * np.random.default_rng(0).normal(size=(300, 1))
    for model, said in (
        (DenoisingAutoencoder(3, **FAST).fit(x), "level has no effect"),
        (DenoisingAutoencoder(noise="impulse", rows="clean", **FAST).fit(x), "for normal noise"),
        (DenoisingAutoencoder(**FAST).fit(stripes, target=x), "for normal noise"),
    ):
        with pytest.raises(DataError, match=said):
            model.denoise(x, level=0.3)


def test_a_model_keeps_what_it_knows(clean: Rows, spoilt: Rows, tmp_path: Path) -> None:
    given = spoilt(clean(), "impulse", 0.1)
    model = DenoisingAutoencoder(**FAST).fit(given)
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert isinstance(again, DenoisingAutoencoder)
    assert (again.situation_, again.noise_) == (model.situation_, model.noise_)
    rows = spoilt(clean(100, seed=5), "impulse", 0.1)
    np.testing.assert_array_equal(again.denoise(rows), model.denoise(rows))


def test_tables_are_freed_from_noise_in_their_numbers(clean: Rows) -> None:
    x = clean(600)[:, :8]
    frame = pd.DataFrame(x, columns=list("abcdefgh"))
    frame["sign"] = np.where(x[:, 0] > 0, "größer", "kleiner")
    frame.loc[3, "a"] = np.nan
    noisy = frame.copy()
    noisy[list("abcdefgh")] += 0.4 * np.random.default_rng(0).normal(size=x.shape)
    model = DenoisingAutoencoder(rows="clean", noise="gaussian", **FAST).fit(frame)
    restored = model.denoise(noisy)
    assert list(restored.dtypes) == list(frame.dtypes)
    assert (restored["sign"] == noisy["sign"]).all()
    assert restored.notna().all(axis=None)
    kept = np.arange(600) != 3
    before, after = (
        error(f[list("abcdefgh")].to_numpy()[kept], x[kept]) for f in (noisy, restored)
    )
    assert after < before


def test_pictures_keep_their_shape(clean: Rows, spoilt: Rows) -> None:
    x = clean().reshape(-1, 4, 4)
    model = DenoisingAutoencoder(**FAST).fit(x)
    rows = spoilt(clean(50, seed=5), "gaussian", 0.3).reshape(-1, 4, 4)
    assert model.denoise(rows).shape == rows.shape


def test_missing_cells_are_restored_too(clean: Rows, spoilt: Rows) -> None:
    x = clean()
    x[5, 2] = np.nan
    model = DenoisingAutoencoder(**FAST).fit(x)
    rows = spoilt(clean(100, seed=5), "gaussian", 0.3)
    rows[7, 1] = np.nan
    assert np.isfinite(model.denoise(rows)).all()


def test_noise_that_goes_along_with_neighbours_is_refused(clean: Rows, spoilt: Rows) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N_VALUES, N_VALUES)) * 0.8 ** np.abs(
        np.subtract.outer(np.arange(N_VALUES), np.arange(N_VALUES))
    )
    rows = 0.3 * clean() + rng.normal(size=(1500, N_VALUES)) @ noise
    with pytest.raises(DataError, match="go along with"):
        DenoisingAutoencoder(rows="noisy", **FAST).fit(rows)
    with pytest.raises(DataError, match="there is no noise to learn from"):
        DenoisingAutoencoder(**FAST).fit(clean(), target=clean())
    with pytest.raises(DataError, match="looks like 'gaussian'"):
        DenoisingAutoencoder(noise="swap", rows="noisy", **FAST).fit(
            spoilt(clean(), "gaussian", 0.3)
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": "pink"}, "noise='pink' is not known"),
        ({"rows": "dirty"}, "rows='dirty' is not known"),
    ],
)
def test_options_are_checked(clean: Rows, options: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        DenoisingAutoencoder(**options).fit(clean(60))


def test_noise_of_pairs_that_cannot_be_drawn_is_learned_from_them(clean: Rows) -> None:
    x = clean()
    rng = np.random.default_rng(0)
    stripes = x + 0.4 * rng.normal(size=(len(x), 1))
    model = DenoisingAutoencoder(random_state=0, max_epochs=30).fit(stripes, target=x)
    assert model.situation_ == "pairs"
    truth = clean(300, seed=5)
    rows = truth + 0.4 * rng.normal(size=(300, 1))
    assert error(model.denoise(rows), truth) < 0.7 * error(rows, truth)


def test_codes_of_a_size_are_learned_from_noisy_rows(clean: Rows) -> None:
    model = DenoisingAutoencoder(3, **FAST).fit(clean())
    assert model.transform(clean(10)).shape == (10, 3)
    assert model.denoise(clean(10)).shape == (10, N_VALUES)


def corners(count: int = 600) -> np.ndarray:
    """Make rows around four places, of which one straight line tells two."""
    rng = np.random.default_rng(0)
    first, second = 2 * rng.integers(2, size=(2, count, 1)) - 1
    noise = 0.2 * rng.normal(size=(count, 6))
    return (
        np.hstack([3 * first, 3 * first, 3 * first, 2.5 * second, 2.5 * second, 2 * second]) + noise
    )


def test_the_network_gives_codes_where_readers_are_wrong_less_often() -> None:
    x = corners()
    codes = {}
    for kind, made in (("network", x), ("linear", np.random.default_rng(1).normal(size=x.shape))):
        model = DenoisingAutoencoder(1, random_state=0, max_epochs=60).fit(made)
        codes[kind] = model.gate_, model.transform(made)
        linear = Autoencoder(1, hidden_layer_sizes=()).fit(made).transform(made)
        assert np.allclose(codes[kind][1], linear) == (kind == "linear")
    assert (codes["network"][0], codes["linear"][0]) == (1, 0)


def test_codes_that_are_no_better_are_those_of_principal_components(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At no size, even where a network restores rows better, and to the last bit."""
    x = corners()
    monkeypatch.setattr("autoencode.readers.Readers.prefer", lambda *_: False)
    options = {"n_components": 2, "random_state": 0, "max_epochs": 60, "scaling": "standard"}
    model = DenoisingAutoencoder(**options).fit(x)
    linear = Autoencoder(**options, hidden_layer_sizes=()).fit(x)
    assert set(model._state.sources) == {"pca"}
    np.testing.assert_array_equal(model.transform(x), linear.transform(x))
    usual = Autoencoder(**options, corruption="gaussian:level=0.6").fit(x)
    assert set(usual._state.sources) != {"pca"}


def test_categories_alone_have_codes() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(3, size=200)
    table = pd.DataFrame({name: np.array(list("abc"))[kind] for name in "pqrs"})
    table["t"] = np.array(list("xyz"))[rng.integers(3, size=200)]
    model = DenoisingAutoencoder(2, **FAST).fit(table)
    assert model.noise_.kind == "none"
    assert model.transform(table).shape == (200, 2)


def test_tables_without_numbers_are_restored() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(3, size=200)
    table = pd.DataFrame({name: np.array(list("abc"))[kind] for name in "pqrs"})
    model = DenoisingAutoencoder(**FAST).fit(table)
    holed = table.copy()
    holed.loc[:19, "q"] = None
    pd.testing.assert_frame_equal(model.denoise(holed), table)
    with pytest.raises(DataError, match="needs a column of numbers"):
        DenoisingAutoencoder(rows="noisy", **FAST).fit(table)
    with pytest.raises(DataError, match="target has no value that is a number"):
        DenoisingAutoencoder(**FAST).fit(holed, target=table)


def test_only_the_noise_that_is_asked_for_is_taken_out(clean: Rows, spoilt: Rows) -> None:
    truth = clean(300, seed=5)
    rows = spoilt(truth, "gaussian", 0.3)
    for asked, found in (("gaussian", "gaussian"), ("impulse", "none"), ("swap", "swap")):
        model = DenoisingAutoencoder(noise=asked, rows="clean", **FAST).fit(clean())
        assert model.denoise_with_noise(rows)[1].kind == found


def test_exchanged_common_values_are_not_taken_for_impulses(
    clean: Rows, spoilt: Rows, tmp_path: Path
) -> None:
    # A third of each column is one and the same value, as none of something is.
    x, truth = (np.maximum(clean(count, seed=seed), -0.4) for count, seed in ((900, 0), (200, 5)))
    x[:, 2] = np.where(np.arange(900) % 50 == 0, 9.0, 0.0)
    truth[:, 2] = 0.0
    model = DenoisingAutoencoder(**FAST).fit(spoilt(x, "swap", 0.4), target=x)
    assert model.noise_.kind == "swap"
    rows = spoilt(truth, "swap", 0.4)
    restored = model.denoise(rows)
    assert error(restored, truth) < 0.5 * error(rows, truth)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "model.safetensors").denoise(rows), restored)


def test_the_weight_of_the_two_ways_is_the_better_one(clean: Rows, spoilt: Rows) -> None:
    x, truth = clean(800), clean(200, seed=5)
    model = DenoisingAutoencoder(rows="clean", noise="swap", **FAST).fit(x)
    facts = model._state.facts
    found = facts["swap_weight"]
    assert 0 <= found <= 1
    rows = spoilt(truth, "swap", 0.2)
    errors = {}
    for weight in (0.0, found, 1.0):
        facts["swap_weight"] = weight
        errors[weight] = error(model.denoise(rows), truth)
    assert errors[found] < 1.02 * min(errors.values())
    assert errors[1.0] > 1.2 * errors[found]
    facts["swap_weight"] = found
    rows_of = open_array(x)
    assert swap_weight(model._state, rows_of) == found
    # Without rows that were held out there is nothing to choose by.
    facts["claim_rows"] = facts["claim_rows"][:10]
    assert swap_weight(model._state, rows_of) == 0.0
    facts["exchanges"], facts["used_for"] = None, {"swap": True}
    assert swap_weight(model._state, rows_of) == 0.5
    facts["used_for"] = {"swap": False}
    assert swap_weight(model._state, rows_of) == 0.0
