"""Pictures in which noise puts black or white pixels: told by the pixels around."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoencode import DenoisingAutoencoder
from autoencode.data.arrays import open_array
from autoencode.interfaces import Layout
from autoencode.noise import Around, Noise, Others
from autoencode.noise_parts.shares import evenness
from autoencode.noise_sample import Sample
from autoencode.situation import situation_of

SIZE, N_PICTURES = 20, 150


def strokes() -> np.ndarray:
    """Make soft rings on black, fewer of them than they have pixels."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    middle = rng.uniform(7, 13, (N_PICTURES, 2, 1, 1))
    radius = rng.uniform(3, 6, (N_PICTURES, 1, 1))
    distance = np.hypot(rows - middle[:, 0], columns - middle[:, 1])
    return np.clip(1.6 - np.abs(distance - radius) / 1.4, 0, 1)


def spoilt(clean: np.ndarray, kind: str, share: float) -> np.ndarray:
    rng = np.random.default_rng(5)
    put = np.zeros(clean.shape) if kind == "mask" else rng.integers(0, 2, clean.shape) * clean.max()
    return np.where(rng.random(clean.shape) < share, put, clean)


def noise_in(pictures: np.ndarray) -> Noise:
    rows = open_array(np.ascontiguousarray(pictures, dtype=float))
    return Sample(rows, Layout(rows.n_features), "common").noise("auto")[0]


@pytest.mark.parametrize("kind", ["mask", "salt_pepper"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("name", ["strokes", "digits"])
def test_how_many_pixels_are_hit_is_seen_in_noisy_pictures_alone(
    name: str, share: float, kind: str
) -> None:
    clean = strokes() if name == "strokes" else load_digits().images[:600]
    found = noise_in(spoilt(clean, kind, share))
    assert found.kind == "impulse"
    assert found.level == pytest.approx(share, rel=0.2)
    assert len(found.atoms) == (1 if kind == "mask" else 2)
    black = next(atom for atom in found.atoms if atom.values[0] == 0)
    assert black.share == pytest.approx(share if kind == "mask" else share / 2, rel=0.25)


@pytest.mark.parametrize(
    "pictures",
    [
        strokes(),
        np.round(strokes()),
        np.round(strokes(), 1),
        strokes()[:, ::2, ::2],
        np.stack([strokes(), 1 - strokes(), 0.5 * strokes()], axis=3)[:60],
        load_digits().images,
        load_digits().images > 4,
    ],
    ids=["rings", "black and white", "few grays", "coarse", "colour", "digits", "digits, bits"],
)
def test_pictures_without_noise_have_none(pictures: np.ndarray) -> None:
    """Black stands beside white in them as well, but the less often the more white there is."""
    assert noise_in(pictures).kind == "none"


def test_black_pixels_of_few_noisy_pictures_are_filled_in() -> None:
    clean = strokes()
    noisy = spoilt(clean, "mask", 0.2)
    model = DenoisingAutoencoder(random_state=0, max_epochs=2).fit(noisy)
    assert model.situation_ == "noisy"
    restored = model.denoise(noisy)
    assert np.square(restored - clean).mean() < 0.25 * np.square(noisy - clean).mean()
    changed = restored != noisy
    assert (noisy[changed] == 0).all()


@pytest.mark.parametrize("seed", range(2))
def test_margins_with_nothing_but_noise_show_it(seed: int) -> None:
    """Few axes of few pictures have variances that are alike; many pixels have the noise's."""
    clean = np.pad(strokes(), ((0, 0), (3, 3), (3, 3)))
    noisy = clean + 0.03 * np.random.default_rng(seed).standard_normal(clean.shape)
    for pictures, name in ((noisy, "noisy"), (clean, "clean")):
        rows = open_array(pictures)
        found = situation_of(rows, None, Layout(rows.n_features), "common", "auto", "auto")
        assert found.name == name


@pytest.mark.parametrize("kind", ["mask", "salt_pepper"])
def test_pairs_show_how_many_pixels_are_hit(kind: str) -> None:
    """Also of those that were black before, which noise does not change."""
    clean = strokes()
    noisy = spoilt(clean, kind, 0.2)
    rows, target = (open_array(part) for part in (noisy, clean))
    found = situation_of(rows, target, Layout(rows.n_features), "common", "auto", "auto").noise
    assert found.kind == "impulse"
    shares = {atom.values[0]: atom.share for atom in found.atoms}
    wanted = {0.0: 0.2} if kind == "mask" else {0.0: 0.1, 1.0: 0.1}
    assert shares == pytest.approx(wanted, rel=0.1)


def test_the_pixels_around_say_what_a_few_pictures_cannot() -> None:
    pictures = np.stack([strokes(), strokes()[::-1]], axis=3)
    values = pictures.reshape(N_PICTURES, -1)
    center, scale = values.mean(0), np.full(values.shape[1], 0.5)
    scaled = (values - center) / scale
    around = Around(pictures.shape[1:], center, scale)
    plain = Others.across(scaled)
    alone = np.square(plain.expected(scaled) - scaled).mean()
    both = Others(plain.parts, around).expected(scaled)
    assert np.square(both - scaled).mean() < 0.5 * alone
    # What is suspect says nothing of any other pixel, whatever it is.
    suspect = np.random.default_rng(0).random(scaled.shape) < 0.3
    others = Others(plain.parts, around)
    found = others.restored(scaled, suspect)
    np.testing.assert_allclose(others.restored(np.where(suspect, 9.0, scaled), suspect), found)
    assert np.square(found - scaled)[suspect].mean() < alone


def test_nothing_known_around_a_pixel_leaves_what_is_usual() -> None:
    around = Around((3, 3), np.full(9, 2.0), np.full(9, 4.0))
    values = np.random.default_rng(0).normal(size=(5, 9))
    found = around.beside(values, values, np.ones((5, 9), dtype=bool))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(around.widths(values), around.widths(values)[0])


def test_what_noise_puts_is_as_frequent_however_far_off() -> None:
    rng = np.random.default_rng(0)
    distances = np.linspace(0, 16, 20_000)
    assert evenness(rng.random(20_000) < 0.2, distances) > 0.95
    assert evenness(rng.random(20_000) < 0.9 * np.exp(-distances / 3), distances) < 0.6
    assert evenness(rng.random(20_000) < 0.2, distances / 8) == 0.0
