"""Which noise rows have, how strong it is, and which cells it hit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from autoencode import DenoisingAutoencoder, noise
from autoencode.data.arrays import open_array
from autoencode.interfaces import Layout
from autoencode.noise import (
    Around,
    Atom,
    LevelCurve,
    Noise,
    Others,
    apparent_levels,
    floor_apart,
    hit_cells,
    is_normal,
    noise_floor,
    noise_of,
    suspects,
    usual,
    variances_apart,
)
from autoencode.noise_parts.shares import widths
from autoencode.preprocess.filling import Moments, fit_moments
from autoencode.preprocess.scaling import choose_scaling
from autoencode.situation import situation_of

N_ROWS, N_VALUES = 1500, 16
Rows = Callable[..., np.ndarray]


def centred(x: np.ndarray) -> np.ndarray:
    return x - x.mean(0)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.8])
def test_the_floor_of_the_variances_is_the_noise(clean: Rows, spoilt: Rows, level: float) -> None:
    moments = fit_moments(centred(spoilt(clean(), "gaussian", level)))
    found, error, share = noise_floor(moments, N_ROWS)
    assert found == pytest.approx(level, rel=0.05)
    assert 0 < error < 0.02 * level
    assert share >= 0.5


def test_there_is_no_floor_where_an_axis_has_no_variance() -> None:
    moments = Moments(np.zeros(3), np.diag([1.0, 1.0, 0.0]))
    assert noise_floor(moments, 100) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("kind", "level", "found"),
    [
        ("gaussian", 0.3, "gaussian"),
        ("impulse", 0.05, "impulse"),
        ("impulse", 0.2, "impulse"),
        ("extremes", 0.1, "impulse"),
        ("swap", 0.1, "swap"),
        ("swap", 0.3, "swap"),
    ],
)
def test_the_kind_of_noise_is_told(
    clean: Rows, spoilt: Rows, kind: str, level: float, found: str
) -> None:
    truth = clean()
    noisy = spoilt(truth, kind, level)
    values = centred(noisy)
    noise, chance = noise_of(Others.across(values), values, noisy, level)
    assert noise.kind == found
    if not noise.replaces:
        assert noise.level == level
        assert not chance.any()
        return
    holed = np.where(chance > 0.5, np.nan, values)
    noise, chance, mean = hit_cells(Others.across(holed), noise, values, noisy, chance)
    hit = noisy != truth
    assert noise.level == pytest.approx(float(hit.mean()), rel=0.25)
    sure = chance > 0.5
    assert hit[sure].mean() > 0.85
    assert sure[hit].mean() > 0.5
    # What the others say is nearer to the truth than what stands there.
    wanted = truth - noisy.mean(0)
    assert (
        np.square(mean - wanted)[hit & sure].mean() < 0.1 * np.square(values - wanted)[hit].mean()
    )
    if kind == "extremes":
        return
    # What was measured once is enough for other rows.
    other = spoilt(clean(300, seed=5), kind, level)
    again, chances, _ = hit_cells(
        Others([(None, fit_moments(holed))]), noise, other - noisy.mean(0), other
    )
    assert again.kind == noise.kind
    assert kind == "swap" or again == noise
    assert 0.5 * level < chances.mean() < 2 * level


def test_rows_without_noise_have_none(clean: Rows) -> None:
    values = centred(clean())
    noise, chance = noise_of(Others.across(values), values, values, 0.0)
    assert noise == Noise("none")
    assert not chance.any()
    assert not noise.replaces


def exchanged(x: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    other = (np.arange(len(x))[:, None] + rng.integers(1, len(x), x.shape)) % len(x)
    return np.where(rng.random(x.shape) < share, np.take_along_axis(x, other, 0), x)


@pytest.mark.parametrize("every", [1, 3, 6])
def test_normal_noise_is_told_however_few_rows_are(digits: np.ndarray, every: int) -> None:
    x = digits[::every]
    noisy = x + np.random.default_rng(0).normal(0, 3, x.shape)
    scaled = centred(noisy) / digits.std()
    found, chance = noise_of(Others.across(scaled), scaled, noisy, 0.4)
    assert found == Noise("gaussian", 0.4)
    assert not chance.any()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("n_rows", [250, 569])
def test_exchanged_values_are_told_however_few_rows_are(n_rows: int, share: float) -> None:
    x = load_breast_cancer().data[:n_rows]
    noisy = exchanged((x - x.mean(0)) / x.std(0), share)
    scaled = centred(noisy) / noisy.std(0)
    found, _ = noise_of(Others.across(scaled), scaled, noisy, 0.4)
    assert found.kind == "swap"
    assert 0.5 * share < found.level < 1.7 * share


def test_correlations_by_chance_are_not_believed(digits: np.ndarray) -> None:
    noisy = digits[::6] + np.random.default_rng(0).normal(0, 3, digits[::6].shape)
    scaled = centred(noisy) / noisy.std()
    of_halves = scaled - Others.across(scaled).expected(scaled)
    of_shrunk = scaled - Others.shrunk(scaled).expected(scaled)
    assert (of_halves**2).mean() > (scaled**2).mean() > 1.15 * (of_shrunk**2).mean()


@pytest.mark.parametrize("kind", ["impulse", "swap"])
def test_noise_becomes_plain_values_and_back(clean: Rows, spoilt: Rows, kind: str) -> None:
    noisy = spoilt(clean(), kind, 0.1)
    noise, _ = noise_of(Others.across(centred(noisy)), centred(noisy), noisy, None)
    assert Noise.from_header(json.loads(json.dumps(noise.header()))) == noise


def test_how_strong_noise_seems_tells_how_strong_it_is(clean: Rows, spoilt: Rows) -> None:
    x = centred(clean())
    moments = fit_moments(x)
    curve = LevelCurve.measure([(moments, x[:500])])
    assert curve.levels[0] == 0
    middle = [quantiles[1] for quantiles in curve.quantiles]
    assert middle == sorted(middle)
    for level in (0.1, 0.3, 1.0):
        rows = spoilt(x[500:], "gaussian", level)
        levels, overall, error = curve.levels_of(apparent_levels(moments, rows))
        assert overall == pytest.approx(level, rel=0.05)
        assert 0 < error < 0.1 * level
        # Rows alike are treated alike.
        assert set(levels) == {overall}
    mixed = np.concatenate([x[500:700], spoilt(x[700:900], "gaussian", 1.0)])
    levels, _, _ = curve.levels_of(apparent_levels(moments, mixed))
    assert np.median(levels[:200]) < 0.05
    assert np.median(levels[200:]) == pytest.approx(1.0, rel=0.1)
    assert curve.levels_of(apparent_levels(moments, x[500:]))[1] < 0.02


def test_a_row_counts_for_itself_alone(clean: Rows) -> None:
    x = centred(clean())
    moments = fit_moments(x)
    some = apparent_levels(moments, x[:50])
    np.testing.assert_allclose(apparent_levels(moments, x[:1]), some[:1])


def test_noise_looks_normal_and_rows_do_not(clean: Rows, spoilt: Rows) -> None:
    x = centred(clean())
    noisy = spoilt(x, "gaussian", 0.5)
    assert is_normal(fit_moments(noisy), noisy)
    odd = x + np.random.default_rng(0).standard_t(2.5, size=x.shape)
    assert not is_normal(fit_moments(odd), odd)


def test_what_others_say_is_what_regression_says(clean: Rows) -> None:
    x = centred(clean(400))
    moments = fit_moments(x)
    mean = Others([(None, moments)]).expected(x)
    rest = np.delete(x, 3, axis=1)
    weights, *_ = np.linalg.lstsq(rest, x[:, 3], rcond=None)
    np.testing.assert_allclose(mean[:, 3], rest @ weights, atol=0.1)
    nothing = np.zeros(x.shape, dtype=bool)
    restored = Others([(None, moments)]).restored(x, nothing)
    assert np.square(restored - x).mean() < 0.1
    # A suspect cell says nothing of the others.
    changed = x.copy()
    changed[0, 2] = 1e3
    suspect = nothing.copy()
    suspect[0, 2] = True
    again = Others([(None, moments)]).restored(changed, suspect)
    assert np.abs(again[0]).max() < 10


@pytest.mark.parametrize("level", [0.05, 0.1, 0.4])
def test_shares_of_impulses_are_right_for_few_rows(clean: Rows, spoilt: Rows, level: float) -> None:
    x = clean(600)
    rows = spoilt(clean(150, seed=5), "extremes", level)
    others = Others.noisy(fit_moments(x), rows)
    noise, chance = noise_of(others, rows, rows, None)
    noise, chance, _ = hit_cells(Others([(None, fit_moments(x))]), noise, rows, rows, chance)
    hit = rows != clean(150, seed=5)
    assert noise.level == pytest.approx(hit.mean(), rel=0.15)
    assert (chance > 0.5)[hit].mean() > 0.85


def test_cells_are_drawn_as_hit_by_their_chance() -> None:
    chance = np.repeat([[0.0, 0.05, 0.4, 0.6, 0.95]], 4000, axis=0)
    drawn = suspects(Noise("impulse"), chance, 2)
    np.testing.assert_allclose(drawn.mean((0, 1)), [0, 0, 0.4, 0.6, 1], atol=0.02)
    assert (drawn[0] != drawn[1]).any()
    np.testing.assert_array_equal(suspects(Noise("swap"), chance, 1)[0], chance > 0.5)


def test_what_does_not_count_in_a_column_is_kept() -> None:
    atom = Atom((1.0, np.nan), 0.1, (0.5, np.nan), (0.2,), (1.0,))
    noise = Noise("impulse", 0.1, atoms=(atom,), scales=(np.nan, 1.0))
    header = json.loads(json.dumps(noise.header(), allow_nan=False))
    again = Noise.from_header(header)
    assert repr(again) == repr(noise)


def test_a_common_value_is_noise_where_it_is_out_of_place_more_often_than_usual() -> None:
    """Most cells are 0, and many of those where the rest of the row expects more."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(900, 6)) @ rng.normal(size=(6, 70)) - 1, 0)
    x[rng.random(x.shape) < 0.08] = 0
    masked = np.where(rng.random(x.shape) < 0.1, 0, x)
    centre = x[:600].mean(0)
    clean = fit_moments(x[:600] - centre)

    def seen(rows: np.ndarray) -> tuple[Others, np.ndarray, np.ndarray]:
        return Others.noisy(clean, rows - centre), rows - centre, rows

    parts = Others.folded(x[:600] - centre).parts
    places = np.concatenate([rows for rows, _ in parts])
    raw, values = x[places], x[places] - centre
    apart = [Others.noisy(moments, x[rows] - centre) for rows, moments in parts]
    expected = [one.expected(x[rows] - centre) for one, (rows, _) in zip(apart, parts, strict=True)]
    mean = np.concatenate(expected)
    known = usual(mean, values, raw, widths(values - mean, None))
    assert known[0.0] > 0.1
    assert noise_of(*seen(masked[600:]), 0.3)[0].kind != "impulse"
    found, chance = noise_of(*seen(masked[600:]), 0.3, known=known)
    assert found.kind == "impulse"
    assert found.level == pytest.approx(0.1, abs=0.04)
    hit = (masked != x)[600:]
    assert chance[hit].mean() > 1.5 * chance[(x[600:] == 0)].mean()
    assert noise_of(*seen(x[600:]), 0.3, known=known)[0].kind != "impulse"


def test_the_strength_of_noise_is_right_where_rows_are_few_for_their_columns() -> None:
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(80, 120)) / (2 * np.sqrt(np.arange(1, 81)))[:, None]
    x = rng.normal(size=(240, 80)) @ axes + 0.02 * rng.normal(size=(240, 120))
    fitted, later = x[:120], x[120:] + 0.2 * rng.normal(size=(120, 120))
    moments = fit_moments(fitted)
    seems = apparent_levels(moments, later)
    _, own, _ = LevelCurve.measure([(moments, fitted)]).levels_of(seems)
    parts = [(part, fitted[rows]) for rows, part in Others.apart(fitted).parts]
    _, apart, _ = LevelCurve.measure(parts).levels_of(seems)
    assert apart == pytest.approx(0.2, rel=0.15)
    assert own > 0.28


@pytest.mark.parametrize("n_rows", [100, 300, 600])
@pytest.mark.parametrize("level", [1.5, 3.0])
def test_the_floor_is_right_where_rows_are_few(
    digits: np.ndarray, n_rows: int, level: float
) -> None:
    clean = digits[:n_rows].reshape(n_rows, -1)
    x = centred(clean + np.random.default_rng(0).normal(0, level, clean.shape))
    apart = Others.apart(x)
    found, error, share = floor_apart(apart, x, variances_apart(apart, x))
    assert found == pytest.approx(level, rel=0.04)
    assert 0 < error < 0.03 * level
    assert share > 0.1
    x = centred(clean)
    apart = Others.apart(x)
    assert floor_apart(apart, x, variances_apart(apart, x))[0] == 0


def test_normal_noise_in_more_columns_than_rows_is_not_taken_for_exchanges() -> None:
    rng = np.random.default_rng(0)
    pixels = np.maximum(rng.normal(size=(150, 8)) @ rng.normal(size=(8, 196)) - 1, 0)
    pixels[:, rng.permutation(196)[:30]] = 0
    noisy = (pixels + rng.normal(0, 0.8, pixels.shape)).reshape(150, 14, 14)
    rows = open_array(noisy)
    scaling = choose_scaling("auto", named=False)
    found = situation_of(rows, None, Layout(196, None), scaling, "auto", "auto")
    assert (found.name, found.noise.kind) == ("noisy", "gaussian")
    # Rows to learn from are as spread as clean ones, without what few noisy rows have by chance.
    learned = found.rows.dense().reshape(150, 196)
    assert 0.85 < learned.var(0).sum() / pixels.var(0).sum() < 1.0


def test_exchanged_values_are_copies_of_others_and_not_in_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows that are few for their columns may look exchanged where noise was added."""
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(400, 8)) @ rng.normal(size=(8, 70))
    model = DenoisingAutoencoder(rows="clean", random_state=0, max_epochs=2).fit(clean[100:])
    search = noise.noise_of

    def deceived(*given: Any, **options: Any) -> tuple[Noise, np.ndarray]:
        found, chance = search(*given, **options)
        return (Noise("swap", 0.3), chance) if found.kind == "gaussian" else (found, chance)

    for module in ("autoencode.noise", "autoencode.denoising", "autoencode.noise_finding"):
        monkeypatch.setattr(f"{module}.noise_of", deceived)
    rows = clean[:100] + rng.normal(size=(100, 70))
    assert model.denoise_with_noise(rows)[1].kind == "gaussian"
    values = centred(exchanged(clean, 0.3))
    about = Others.across(values), values, values, 0.5
    assert noise.noise_or_copies(*about)[0].kind == "swap"
    pictures = Others.across(values, Around((10, 7), np.zeros(70), np.ones(70)))
    assert noise.noise_or_copies(pictures, *about[1:])[0].kind != "swap"
