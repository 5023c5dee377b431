"""Tables in which a fixed value stands for others: what is found, restored, left alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autoencode import DenoisingAutoencoder
from autoencode.data.arrays import open_array
from autoencode.interfaces import Layout
from autoencode.noise import Noise, Others, at_atoms, hit_cells, isolated, noise_of, put_there
from autoencode.noise_sample import Sample

N_ROWS, NAMES = 900, [f"Größe {place}" for place in range(9)]
UNITS = np.array([10.0, 25, 3, 100, 5, 1, 1, 2, 7])
MIDDLES = np.array([180.0, 170, 20, 1000, 50, 0, 0, 5, 3])
FAST = {"random_state": 0, "max_epochs": 8}


def numbers() -> np.ndarray:
    """Make rows of three factors in units far apart; about 1,000 in one column."""
    rng = np.random.default_rng(11)
    factors = rng.normal(size=(N_ROWS, 3)) @ rng.normal(size=(3, 9))
    return (factors + 0.05 * rng.normal(size=factors.shape)) * UNITS + MIDDLES


def table(values: np.ndarray) -> pd.DataFrame:
    """Make a table of the numbers, with dates and towns beside them."""
    frame = pd.DataFrame(values, columns=NAMES)
    frame.insert(0, "Tag", pd.date_range("2024-01-01", periods=N_ROWS))
    frame.insert(1, "Stadt", np.array(["Köln", "Zürich", "Bonn"])[np.arange(N_ROWS) % 3])
    return frame


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return numbers()


@pytest.fixture(scope="module")
def hit() -> np.ndarray:
    return np.random.default_rng(1).random((N_ROWS, 9)) < 0.08


@pytest.fixture(scope="module")
def blank(hit: np.ndarray) -> np.ndarray:
    return (np.random.default_rng(2).random((N_ROWS, 9)) < 0.03) & ~hit


def spoilt(truth: np.ndarray, hit: np.ndarray, blank: np.ndarray, value: float) -> np.ndarray:
    return np.where(blank, np.nan, np.where(hit, value, truth))


@pytest.mark.parametrize("value", [999.0, -1e6])
@pytest.mark.parametrize("situation", ["pairs", "clean", "noisy"])
def test_what_stands_for_unknown_is_restored_beside_missing_cells(
    truth: np.ndarray, hit: np.ndarray, blank: np.ndarray, situation: str, value: float
) -> None:
    """999 is an usual value of one column; -1e6 makes all others seem alike."""
    given = table(spoilt(truth, hit, blank, value))
    model = DenoisingAutoencoder(**FAST)
    if situation == "pairs":
        model.fit(given, target=table(truth))
    else:
        model.fit(table(truth) if situation == "clean" else given)
    assert model.situation_ == situation
    restored, noise = model.denoise_with_noise(given)
    assert noise.kind == "impulse"
    assert noise.level == pytest.approx(0.08, abs=0.01)
    errors = (restored[NAMES].to_numpy() - truth) / truth.std(0)
    usual = np.isin(np.arange(9), [3])
    assert np.sqrt(np.square(errors[hit & ~usual]).mean()) < 0.25
    assert np.sqrt(np.square(errors[blank]).mean()) < 0.25
    others = ~(hit | blank)
    np.testing.assert_array_equal(restored[NAMES].to_numpy()[others], truth[others])


@pytest.mark.parametrize("days", [900, 9])
def test_dates_and_towns_stay_as_they_are(truth: np.ndarray, days: int) -> None:
    """900 days show cycles of the year and the week, nine show none: a single number."""
    frame = table(truth + 0.3 * truth.std(0) * np.random.default_rng(0).normal(size=truth.shape))
    frame["Tag"] = frame["Tag"].iloc[np.arange(N_ROWS) % days].to_numpy()
    frame.loc[4, "Tag"] = pd.NaT
    model = DenoisingAutoencoder(**FAST).fit(frame)
    restored, noise = model.denoise_with_noise(frame)
    assert noise.kind == "gaussian"
    kept = np.arange(N_ROWS) != 4
    pd.testing.assert_frame_equal(restored[["Tag", "Stadt"]][kept], frame[["Tag", "Stadt"]][kept])
    assert restored["Tag"].notna().all()
    assert (restored[NAMES] != frame[NAMES]).to_numpy().mean() > 0.9


def test_a_value_far_beyond_all_others_stands_for_unknown(truth: np.ndarray) -> None:
    given = truth.copy()
    given[::20, :2] = -1e4
    assert [atom.values[0] for atom in isolated(given)] == [-1e4]
    # Of one column it may be a value as any other, and so may one among the others.
    given = truth.copy()
    given[::20, 0] = -1e4
    assert isolated(given) == ()
    given = truth.copy()
    given[::20, 3] = 999
    assert isolated(given) == ()
    given = np.where(truth > MIDDLES, 1.0, 0.0)
    assert isolated(given) == ()


@pytest.mark.parametrize("named", [False, True])
def test_a_value_apart_in_one_column_is_noise_if_the_rows_are_noisy(named: bool) -> None:
    """Else it may be a value of its own; rows with noise in all cells do not repeat one."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(500, 6))
    given = truth.copy()
    given[::25, 2] = -99
    rows = pd.DataFrame(given, columns=NAMES[:6]) if named else given
    model = DenoisingAutoencoder(rows="noisy", **FAST).fit(rows)
    assert (model.noise_.kind, model.noise_.columns_hit) == ("impulse", 1)
    restored = np.asarray(model.denoise(rows))
    np.testing.assert_array_equal(restored != given, given == -99)
    assert np.abs(restored[::25, 2] - truth[::25, 2]).max() < 6 * truth[:, 2].std()
    assert DenoisingAutoencoder(**FAST).fit(rows).situation_ == "clean"


def test_what_most_cells_have_is_usual() -> None:
    """In the margin of pictures nearly all is black, and what is not is much brighter."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((600, 30)) < np.linspace(0.005, 0.45, 30), rng.uniform(0.9, 1, 30), 0)
    x += (x > 0) * 0.02 * rng.random(x.shape)
    assert isolated(x) == ()
    assert DenoisingAutoencoder(**FAST).fit(x).situation_ == "clean"


def test_far_from_what_is_expected_all_is_noise(truth: np.ndarray, hit: np.ndarray) -> None:
    """Whichever bin of distances has more than its share by chance."""
    scale = truth.std(0)
    raw = np.where(hit, 999.0, truth)
    values = (raw - truth.mean(0)) / scale
    others = Others.across(np.where(hit, np.nan, values))
    found, chance = noise_of(others, values, raw, None)
    found, chance, mean = hit_cells(others, found, values, raw, chance)
    assert found.kind == "impulse"
    far = hit & (np.arange(9) != 3)
    np.testing.assert_array_equal(chance[far], 1.0)
    np.testing.assert_array_equal(at_atoms(found, mean, values, raw)[far], 1.0)
    assert not chance[~hit].any()


def test_what_stands_in_for_missing_cells_says_nothing(truth: np.ndarray, hit: np.ndarray) -> None:
    blank = np.random.default_rng(2).random(hit.shape) < 0.2
    values = (np.where(hit, 999.0, truth) - truth.mean(0)) / truth.std(0)
    raw = np.where(blank, np.nan, np.where(hit, 999.0, truth))
    others = Others.across(np.where(hit | blank, np.nan, values))
    found, chance = noise_of(others, values, raw, None, "impulse")
    results = []
    for filler in (0.0, 50.0):
        filled = np.where(blank, filler, values)
        results.append(hit_cells(others, found, filled, raw, chance)[1:])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one[~blank], other[~blank])


def test_units_are_those_of_the_cells_that_were_not_hit(
    truth: np.ndarray, hit: np.ndarray, blank: np.ndarray
) -> None:
    rows = open_array(spoilt(truth, hit, blank, -1e6), checked=False)
    sample = Sample(rows, Layout(9), "standard")
    before = sample.scaling.scale.copy()
    holed = sample.without(hit)
    np.testing.assert_allclose(
        sample.scaling.scale, np.nanstd(np.where(hit | blank, np.nan, truth), 0)
    )
    assert (before > 100 * sample.scaling.scale).all()
    assert np.isnan(holed[hit | blank]).all()
    assert np.isfinite(sample.values).all()
    assert (sample.values[hit] < -100).all()
    # What is missing is guessed from cells that were not hit.
    guessed = sample.values[blank] - ((truth - sample.scaling.center) / sample.scaling.scale)[blank]
    assert np.sqrt(np.square(guessed).mean()) < 0.3


@pytest.mark.parametrize(("columns", "words"), [([2], " of 1 column"), ([1, 2], " of 2 columns")])
def test_the_share_is_that_of_the_columns_that_were_hit(
    truth: np.ndarray, hit: np.ndarray, columns: list[int], words: str
) -> None:
    given = truth.copy()
    for column in columns:
        given[hit[:, column], column] = -99.0
    model = DenoisingAutoencoder(noise="impulse", **FAST).fit(table(given))
    assert model.noise_.kind == "impulse"
    assert model.noise_.columns_hit == len(columns)
    assert model.noise_.level == pytest.approx(hit[:, columns].mean(), abs=0.01)
    assert f"of the cells{words} (standard error" in model.summary()


def test_the_share_is_of_all_cells_where_all_columns_were_hit(
    truth: np.ndarray, hit: np.ndarray
) -> None:
    model = DenoisingAutoencoder(**FAST).fit(table(np.where(hit, -99.0, truth)))
    assert model.noise_.columns_hit is None
    assert "of the cells (standard error" in model.summary()
    assert Noise("gaussian", 0.3).columns_hit is None
    assert Noise("none").columns_hit is None


@pytest.mark.parametrize("columns", [[2], [5, 6, 7]])
def test_values_beyond_all_that_clean_rows_have_are_noise(
    truth: np.ndarray, hit: np.ndarray, columns: list[int]
) -> None:
    given, chosen = truth.copy(), np.isin(np.arange(9), columns)
    given[hit & chosen] = -99.0
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(table(truth))
    restored, noise = model.denoise_with_noise(table(given))
    assert (noise.kind, noise.columns_hit) == ("impulse", len(columns))
    errors = (restored[NAMES].to_numpy() - truth) / truth.std(0)
    assert np.sqrt(np.square(errors[hit & chosen]).mean()) < 0.25
    assert not errors[~(hit & chosen)].any()
    # Noise in whole numbers leaves the range as well, but without a gap.
    noisy = np.rint(truth + 0.5 * truth.std(0) * np.random.default_rng(0).normal(size=truth.shape))
    assert model.denoise_with_noise(table(noisy))[1].kind != "impulse"


def test_a_value_apart_in_one_column_is_noise_if_that_is_said(
    truth: np.ndarray, hit: np.ndarray
) -> None:
    given = truth.copy()
    given[hit[:, 2], 2] = -99.0
    assert DenoisingAutoencoder(**FAST).fit(table(given)).noise_.kind == "none"
    model = DenoisingAutoencoder(noise="impulse", **FAST).fit(table(given))
    assert (model.noise_.kind, model.noise_.columns_hit) == ("impulse", 1)
    errors = (model.denoise(table(given))[NAMES].to_numpy() - truth) / truth.std(0)
    assert np.sqrt(np.square(errors[hit[:, 2], 2]).mean()) < 0.25


@pytest.mark.parametrize("count", [1, 5, 300])
def test_what_no_noise_could_do_is_taken_for_missing(truth: np.ndarray, count: int) -> None:
    """Else a typing error counts as strong noise, for which its row is smeared."""
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(table(truth))
    rows = truth[:count] + 0.2 * truth.std(0) * np.random.default_rng(0).normal(size=(count, 9))
    spoiled = rows.copy()
    spoiled[0, 2] = 2_000.0
    frames = [
        table(truth).iloc[:count].assign(**dict(zip(NAMES, x.T, strict=True)))
        for x in (rows, spoiled)
    ]
    without, restored = (
        (model.denoise(frame, level=0.2)[NAMES].to_numpy() - truth[:count]) / truth.std(0)
        for frame in frames
    )
    assert abs(restored[0, 2]) < 0.5
    assert np.abs(restored - without)[0].max() < 0.5
    np.testing.assert_allclose(restored[1:], without[1:])
    errors = (model.denoise(frames[1])[NAMES].to_numpy() - truth[:count]) / truth.std(0)
    assert np.abs(errors[0]).max() < 1.0


def test_pairs_say_which_values_noise_puts_there() -> None:
    """Most pixels are black anyway, so that nothing is odd about those that noise made black."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(300, 5)) @ rng.normal(size=(5, 60)) - 2, 0)
    masked = np.where(rng.random(x.shape) < 0.2, 0, x)
    model = DenoisingAutoencoder(**FAST).fit(masked, target=x)
    assert model.noise_.kind == "impulse"
    assert model.noise_.atoms[0].values[0] == 0
    restored = model.denoise(masked)
    assert np.square(restored - x).mean() < 0.8 * np.square(masked - x).mean()
    raw = rng.normal(size=(200, 4))
    hit = rng.random(raw.shape) < 0.2
    assert put_there(np.where(hit, np.roll(raw, 1, 0), raw), hit) == ()
    two = np.where(raw > 0, 1.0, 0.0)
    assert put_there(np.where(hit, 1 - two, two), hit) == ()
    assert [atom.values[0] for atom in put_there(np.where(hit, 9.0, raw), hit)] == [9.0]


def test_columns_of_one_value_cannot_be_measured_for_exchanges() -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.random((300, 30)) < 0.1, rng.normal(size=(300, 30)), 0)
    hit = rng.random(x.shape) < 0.2
    model = DenoisingAutoencoder(**FAST).fit(np.where(hit, np.roll(x, 7, 0), x), target=x)
    assert model.noise_.kind == "swap"
    assert np.isfinite(model.denoise(x)).all()


@pytest.mark.parametrize("noise", ["auto", "impulse"])
def test_a_wrong_number_among_a_few_rows(truth: np.ndarray, noise: str) -> None:
    model = DenoisingAutoencoder(rows="clean", noise=noise, **FAST).fit(table(truth))
    given = table(truth).iloc[:3].copy()
    given.loc[1, NAMES[4]] = 7e5
    errors = (model.denoise(given)[NAMES].to_numpy() - truth[:3]) / truth.std(0)
    assert np.abs(errors).max() < 0.5


def test_a_far_value_that_was_exchanged_is_no_fixed_value(truth: np.ndarray) -> None:
    """Of 300 rows one lies beyond all of the fit, and others got its value."""
    model = DenoisingAutoencoder(rows="clean", **FAST).fit(truth[300:] / UNITS)
    rows = truth[:300] / UNITS
    rows[7, 0] = rows[:, 0].max() + 12 * rows[:, 0].std()
    rng = np.random.default_rng(4)
    other = (np.arange(300)[:, None] + rng.integers(1, 300, rows.shape)) % 300
    given = np.where(rng.random(rows.shape) < 0.4, np.take_along_axis(rows, other, 0), rows)
    given[10:60:10, 0] = rows[7, 0]
    assert model.denoise_with_noise(given)[1].kind == "swap"
