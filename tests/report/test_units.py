"""The report on a sparse model: what is collected of its parts, and the page."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits

from autoencode import Autoencoder, SparseAutoencoder
from autoencode.commands.companions import companions
from autoencode.commands.reporting import report_data
from autoencode.data.reading import open_data
from autoencode.errors import DataError
from autoencode.opening import open_for_fit
from autoencode.report import write_report

SMALL = {"max_epochs": 2, "random_state": 0, "validation_fraction": 0.3}
NAMES = [f"größe {number}" for number in range(8)]


@pytest.fixture(scope="module")
def digits():
    return load_digits().images[:400]


@pytest.fixture(scope="module")
def table(digits):
    """Numbers, a name with markup, and levels."""
    columns = dict(zip(NAMES, digits.reshape(400, 64)[:, 18:26].T, strict=True))
    return pa.table(columns | {"<b>": np.where(digits[:, 4, 4] > 8, "dark", "light")})


@pytest.fixture(scope="module")
def models(digits, table):
    """Models of pictures, positive and with pursuit; of columns; of a table."""
    options = {
        "positive": (digits, {"n_components": 30, "n_active": 3, "positive": True}),
        "signed": (digits, {"n_components": 30, "n_active": 3, "refine": None}),
        "columns": (
            digits.reshape(400, 64)[:, 20:40],
            {"n_components": 10, "n_active": 2, "sparse_output": False},
        ),
        "table": (table, {"n_components": 12, "n_active": 2, "bottleneck": "topk"}),
    }
    return {
        name: (SparseAutoencoder(**SMALL, **given).fit(rows), rows)
        for name, (rows, given) in options.items()
    }


@pytest.fixture(scope="module")
def reports(models):
    return {name: report_data(model, rows, title=name) for name, (model, rows) in models.items()}


ALL = ["positive", "signed", "columns", "table"]


@pytest.mark.parametrize("name", ALL)
def test_the_commonest_parts_come_first(models, reports, name):
    model, _ = models[name]
    units = reports[name].units
    count = min(24, (model.unit_frequency_ > 0).sum())
    assert len(units.numbers) == len(set(units.numbers)) == count
    np.testing.assert_array_equal(units.frequency, np.sort(model.unit_frequency_)[::-1][:count])
    np.testing.assert_array_equal(units.frequency, model.unit_frequency_[units.numbers])
    assert units.n_active == model.n_active_
    assert units.n_dead == (model.unit_frequency_ == 0).sum()
    if name in ("positive", "columns"):
        np.testing.assert_array_equal(units.stability, model.unit_stability_[units.numbers])
    else:
        assert units.stability is units.stable_share is None


@pytest.mark.parametrize("name", ALL)
def test_rows_with_most_of_a_part_and_what_it_adds(models, reports, name):
    model, rows = models[name]
    units = reports[name].units
    shown = units.row_numbers
    given = rows.take(pa.array(shown)) if name == "table" else rows[shown]
    codes = model.transform(given)
    codes = codes if isinstance(codes, np.ndarray) else codes.toarray()
    np.testing.assert_allclose(reports[name].codes, codes, rtol=1e-6)
    for place, number in enumerate(units.numbers):
        column = codes[:, number]
        tops = list(units.tops[place])
        assert tops == list(np.argsort(-column, kind="stable")[:3][: (column > 0).sum()])
        if tops:
            added = column[column > 0].mean() * model.components_[number]
            deviations = added / model._state.scaling.scale
            np.testing.assert_allclose(units.sizes[place], deviations, rtol=1e-5, atol=1e-9)
            expected = deviations if name == "table" else added
            np.testing.assert_allclose(units.additions[place], expected, rtol=1e-5, atol=1e-9)


def test_values_of_a_table_have_the_names_of_columns_and_levels(reports):
    assert reports["table"].units.names[: len(NAMES)] == tuple(NAMES)
    levels = reports["table"].units.names[len(NAMES) :]
    assert levels == ("<b>",)
    assert reports["columns"].units.names[:2] == ("column 0", "column 1")


def test_each_level_of_several_has_its_name(table, digits):
    shades = np.array(["dark", "light", "red"])[np.digitize(digits[:, 4, 4], [5, 11])]
    model = SparseAutoencoder(12, n_active=2, **SMALL)
    model.fit(table.set_column(8, "shade", pa.array(shades)))
    found = report_data(model, table.set_column(8, "shade", pa.array(shades))).units
    assert found.names[8:] == ("shade: dark", "shade: light", "shade: red")


@pytest.mark.parametrize("name", ALL)
def test_the_page_shows_every_part(reports, written, name):
    data = reports[name]
    page, units = written(data), data.units
    cards = [e for e in page.all("div") if e.get("class") == "card part"]
    assert len(cards) == len(units.numbers)
    for place, card in enumerate(cards):
        assert f"Part {units.numbers[place]}" in card["text"]
        assert f"{units.frequency[place]:.1%} of rows" in card["text"]
        rows = ", ".join(str(units.row_numbers[row]) for row in units.tops[place])
        assert rows in card["text"]
        assert ("stability" in card["text"]) == (units.stability is not None)
    pictures = [e for e in page.all("img") if "card part" in e["path"]]
    drawn = len(cards) + sum(map(len, units.tops)) if units.shape else 0
    assert len(pictures) == drawn
    assert all(e["src"].startswith("data:image/png;base64,") and e["alt"] for e in pictures)
    assert f"{units.n_active:.3g}" in page.all("header")[0]["text"]
    assert not [e for e in page.all("a") if e["href"] == "#curve"]
    assert "Parts of a row" in page.all("header")[0]["text"]


def test_bars_are_of_the_columns_that_change_most(reports, written):
    data = reports["table"]
    first = written(data).table(f"Part {data.units.numbers[0]}: ")
    sizes = np.abs(data.units.sizes[0])
    order = np.argsort(-sizes, kind="stable")[:5]
    expected = [data.units.names[column] for column in order if sizes[column]]
    assert [line[0] for line in first[1:]] == expected


def test_parts_that_take_nothing_away_are_grey(reports, written):
    assert "from black (nothing) to white" in written(reports["positive"]).text
    assert "Red is added, blue is taken away" in written(reports["signed"]).text


def test_nothing_of_it_for_other_models(digits, written):
    data = report_data(Autoencoder(2, max_epochs=1, random_state=0).fit(digits), digits)
    assert data.units is None
    page = written(data)
    assert not [e for e in page.all("section") if e["id"] == "parts"]
    assert [e for e in page.all("section") if e["id"] == "curve"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frequency", np.zeros(1)),
        ("stability", np.zeros(2)),
        ("additions", np.zeros((2, 2))),
        ("sizes", np.zeros((2, 2))),
        ("tops", ()),
        ("rows", np.zeros((1, 1))),
    ],
)
def test_parts_that_do_not_fit(reports, tmp_path, name, value):
    data = reports["positive"]
    units = dataclasses.replace(data.units, **{name: value})
    with pytest.raises(DataError, match=f"the report's {name} of parts has shape"):
        write_report(tmp_path / "r.html", dataclasses.replace(data, units=units))


def test_parts_are_compared_with_columns_that_were_carried_along(models):
    codes = np.abs(np.random.default_rng(0).normal(size=(200, 3)))
    codes[:, 2] = 0.5
    kind = np.where(codes[:, 1] > 0.7, "größer", "klein").astype(object)
    kind[:20] = None
    kept = pa.table(
        {
            "weight": pa.array(-2 * codes[:, 0] + 1, mask=np.arange(200) < 5),
            "kind": kind,
            "id": [f"row {number}" for number in range(200)],
            "level": pa.array(kind).dictionary_encode(),
        }
    )
    first, second, third = companions(codes, kept)
    assert (first.name, first.level, third) == ("weight", None, None)
    assert first.correlation == pytest.approx(-1)
    assert (second.name, second.level) == ("kind", "größer")
    known = slice(20, None)
    wanted = np.corrcoef(codes[known, 1], kind[known] == "größer")[0, 1]
    assert second.correlation == pytest.approx(wanted)
    assert companions(codes, None) == (None, None, None)


def test_the_page_says_what_parts_go_with(table, models, tmp_path):
    kept = table.append_column("seen", pa.array(np.arange(400) % 7))
    rows = open_for_fit(open_data(kept, keep=["seen"]), None)
    data = report_data(models["table"][0], rows)
    assert len(data.units.companions) == len(data.units.numbers)
    found = data.units.companions[0]
    codes = models["table"][0].transform(table).toarray()[data.units.row_numbers]
    place = data.units.numbers[0]
    wanted = np.corrcoef(codes[:, place], data.units.row_numbers % 7)[0, 1]
    assert found.correlation == pytest.approx(wanted)
    write_report(tmp_path / "r.html", data)
    assert "goes with seen: r " in (tmp_path / "r.html").read_text()
    short = dataclasses.replace(data.units, companions=(found,))
    with pytest.raises(DataError, match="companions of parts"):
        write_report(tmp_path / "s.html", dataclasses.replace(data, units=short))
