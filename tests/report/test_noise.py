"""The report on a model that takes noise out: what is collected, and the page."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits

from autoencode import DenoisingAutoencoder
from autoencode.commands.noise_reporting import noise_report_data
from autoencode.errors import DataError
from autoencode.report import NoiseReportData, write_report

NOISE = 3.0
SMALL = {"hidden_layer_sizes": (16,), "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:300]


@pytest.fixture(scope="module")
def grainy(digits):
    return digits + np.random.default_rng(0).normal(0, NOISE, digits.shape)


@pytest.fixture(scope="module")
def reports(digits, grainy):
    """Reports of the three situations, and of noise that takes the place of values."""
    dotted = np.where(np.random.default_rng(1).random(digits.shape) < 0.2, 16.0, digits)
    table = pa.table(
        {
            "größe": grainy[:, 3, 3],
            "<b>": grainy[:, 3, 4],
            "c": grainy[:, 4, 4],
            "kind": np.where(digits[:, 4, 4] > 8, "dark", "light"),
        }
    )
    fits = {
        "clean": (digits, None, {"rows": "clean"}),
        "noisy": (grainy, None, {"rows": "noisy", "noise": "gaussian"}),
        "pairs": (grainy, digits, {}),
        "dotted": (dotted, digits, {}),
        "swapped": (digits, None, {"rows": "clean", "noise": "swap"}),
        "columns": (digits.reshape(300, 64)[:, 20:40], None, {"rows": "clean"}),
        "table": (table, None, {"rows": "clean"}),
    }
    return {
        name: noise_report_data(
            DenoisingAutoencoder(**SMALL, **options).fit(rows, target=target),
            rows, target=target, title=name, data_path="x.npy", model_path="m",
        )
        for name, (rows, target, options) in fits.items()
    }  # fmt: skip


ALL = ["clean", "noisy", "pairs", "dotted", "swapped", "columns", "table"]


@pytest.mark.parametrize("name", ALL)
def test_a_page_of_each_situation(reports, written, name):
    data = reports[name]
    page = written(data)
    assert f"takes noise out of {4 if name == 'table' else 20 if name == 'columns' else 64}" in (
        page.text
    )
    assert "restored = model.denoise('x.npy')" in page.text
    menu = [link["href"] for link in page.all("a") if link["inside"][-1:] == ["li"]]
    shown = [element["id"] for element in page.all("section")]
    assert menu == [f"#{name}" for name in shown]
    assert ("levels" in shown) == ("levels" in page.figures) == (name not in ("noisy", "dotted"))
    assert ("residuals" in shown) == (name not in ("dotted", "swapped"))
    for figure in page.figures:
        assert page.all("div", data_figure=figure) or page.all("div", **{"data-figure": figure})


def test_errors_fall_and_are_between_nothing_and_the_noise(reports):
    for name in ("clean", "pairs", "dotted", "columns"):
        errors = reports[name].errors
        assert 0 < errors["model"] < errors["noisy"]
        assert 0 < errors["linear"] < errors["noisy"]
    noisy = reports["noisy"]
    assert noisy.errors["noisy"] == pytest.approx(NOISE, rel=0.1)
    assert "clean rows are not known" in noisy.measured


def test_noise_that_is_asked_for_is_shown():
    pictures = load_digits().images[:900]
    model = DenoisingAutoencoder(noise="impulse", rows="clean", **SMALL).fit(pictures)
    shown = noise_report_data(model, pictures)
    assert "the greatest value of all in place of 20% of the cells" in shown.shown_noise
    assert shown.errors["model"] < 0.8 * shown.errors["noisy"]


def test_errors_by_level(reports):
    for name in ("clean", "swapped", "columns", "table"):
        levels = reports[name].levels
        assert list(levels.levels) == sorted(levels.levels)
        assert list(levels.noisy) == sorted(levels.noisy)
    clean = reports["clean"].levels
    np.testing.assert_allclose(clean.noisy, clean.levels, rtol=0.1)
    assert all(np.less(clean.linear, clean.noisy))
    pairs = reports["pairs"].levels
    assert min(pairs.levels) < NOISE < max(pairs.levels)


def test_what_is_taken_out_is_measured_in_deviations_of_the_noise(reports):
    for name in ("noisy", "pairs"):
        residuals = reports[name].residuals
        assert 0.5 < np.std(residuals.values) < 1
        assert [words for words, _, _ in residuals.neighbours] == [
            "the pixel to the right",
            "the pixel below",
        ]
        assert all(taken < rows for _, taken, rows in residuals.neighbours)
        assert residuals.by_chance == pytest.approx(1 / math.sqrt(15))


def test_rows_before_and_after(reports, grainy, digits):
    shown = reports["pairs"].examples
    assert shown.headings == ("noisy", "restored", "clean")
    for part, truth in ((0, grainy), (2, digits)):
        expected = truth[list(shown.numbers)].reshape(len(shown.numbers), -1)
        np.testing.assert_allclose(shown.pictures[part], expected)
    assert reports["noisy"].examples.headings == ("noisy", "restored")
    names = [cells[0] for cells in reports["table"].examples.texts[0]]
    assert names == ["größe", "<b>", "c", "kind"]
    for row in reports["table"].examples.texts:
        assert len({*row[3][1:]}) == 1
        assert row[0][1] != row[0][3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errors": {"linear": 1.0}}, "no 'model'"),
        ({"examples": {"numbers": [1]}}, "pictures have shape"),
        ({"levels": {"model": [1.0]}}, "not of one length"),
    ],
    ids=["errors", "examples", "levels"],
)
def test_parts_that_do_not_fit_are_refused(reports, tmp_path, change, message):
    data = reports["clean"]
    ((name, value),) = change.items()
    if name != "errors":
        value = dataclasses.replace(getattr(data, name), **value)
    with pytest.raises(DataError, match=message):
        write_report(tmp_path / "r.html", dataclasses.replace(data, **{name: value}))
    assert isinstance(data, NoiseReportData)
    assert not list(tmp_path.iterdir())
