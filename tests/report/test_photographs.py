"""The report of a model of pictures of any size."""

import numpy as np
import pytest

from autoencode import PictureDenoiser, PictureRestorer
from autoencode.commands.photograph_reporting import photograph_report_data
from autoencode.errors import DataError

TINY = {"hidden_layer_sizes": (4, 4), "max_epochs": 1, "batch_size": 2, "random_state": 0}


@pytest.fixture(scope="module", autouse=True)
def short():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autoencode.pictures.wishes._LEAST_STEPS", 3)
        patch.setattr("autoencode.pictures.hole_fit._JUDGED", 8)
        patch.setattr("autoencode.commands.photograph_reporting._SIDE", 16)
        yield


def waves(count, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :36]
    return [100 + 50 * np.sin(rows / rng.uniform(2, 5) + columns / 3) for _ in range(count)]


def noisy(pictures, level=40.0):
    rng = np.random.default_rng(1)
    return [picture + rng.normal(0, level, picture.shape) for picture in pictures]


@pytest.fixture
def reported(written):
    def report(model, *pictures, **more):
        data = photograph_report_data(model, *pictures, model_path="m.safetensors", **more)
        return data, written(data)

    return report


def test_a_model_of_clean_pictures(reported):
    pictures = waves(5)
    model = PictureDenoiser(rows="clean", **TINY).fit(pictures)
    data, page = reported(model, pictures, names=[f"{n}.png" for n in "abcde"])
    number, top, left, height, width = model._model.facts["held_out_areas"][0]
    assert (top, left, height, width) == (0, 0, 32, 36)
    assert len(data.shown.parts) == 4, "the grid of one held-out picture"
    assert f"{'abcde'[number]}.png, at (0, 16)" in data.shown.names
    for original, given, restored in data.shown.parts:
        assert original.shape == given.shape == restored.shape == (16, 16, 1)
    (quality,) = data.quality
    # As they are: PSNR of noise is known.
    expected = -20 * np.log10(np.array([5, 15, 25, 50, 75]) / 255)
    np.testing.assert_allclose(quality.lines["as it is"], expected, atol=0.5)
    assert quality.lines["Wiener filter"][3] > quality.lines["as it is"][3] + 3
    assert [level.told for level in data.levels] == [5, 15, 25, 50, 75]
    assert set(page.figures) == {"quality-noise", "history"}
    assert len(page.all("div", class_="strip")) == 4
    assert "4 filters" not in page.text
    assert "convolutions of 6 x 6 pixels" in page.text
    assert "true deviation" in page.text
    assert page.text.count("than a Wiener filter, in the mean.") == 1


def test_a_model_of_noisy_pictures_knows_no_truth(reported):
    pictures = noisy(waves(5))
    model = PictureDenoiser(rows="noisy", **TINY).fit(pictures)
    data, page = reported(model, pictures)
    assert data.quality == []
    assert len(page.all("div", class_="strip three")) == len(data.shown.parts)
    assert "taken out" in page.text
    assert "not known" in page.text
    assert "estimated without clean pictures" in page.text
    given, restored = data.shown.parts[0]
    assert not np.array_equal(given, restored)


def test_a_model_of_pairs_shows_their_own_noise(reported):
    clean = [np.stack([p, 0.5 * p, p], -1) for p in waves(5)]
    given = noisy(clean)
    model = PictureDenoiser(**TINY).fit(given, target=clean)
    data, page = reported(model, given, clean)
    (quality,) = data.quality
    assert quality.strengths == [pytest.approx(40, rel=0.1)]
    assert set(page.figures) == {"history"}, "one strength is no curve"
    original, shown, _ = data.shown.parts[0]
    assert np.std(shown - original) == pytest.approx(40, rel=0.15)
    with pytest.raises(DataError, match="not the pictures of the fit"):
        photograph_report_data(model, given[:0], clean)
    with pytest.raises(DataError, match="not the pictures of the fit"):
        photograph_report_data(model, [p[:20] for p in given], clean)


def test_a_model_that_fills_holes(reported):
    pictures = [np.rint(p).astype(np.uint8) for p in waves(5)]
    model = PictureRestorer(**TINY).fit(pictures)
    data, page = reported(model, pictures)
    assert [quality.name for quality in data.quality] == ["blocks", "pixels"]
    for quality in data.quality:
        assert quality.lines["smooth filling"][0] > quality.lines["mean of what is known"][0]
    assert set(page.figures) == {"quality-blocks", "quality-pixels", "history"}
    assert data.levels == []
    for (original, given, restored), notes in zip(data.shown.parts, data.shown.notes, strict=True):
        opaque = given[..., 1] == 255
        # Of what was filled alone.
        error = np.square((restored - original)[~opaque] / 255).mean()
        assert notes[2] == f"{-10 * np.log10(error):.1f} dB"
        assert 0.5 < opaque.mean() < 0.9
        np.testing.assert_array_equal(restored[opaque], original[opaque])
    assert "model.restore(picture, mask)" in page.text
