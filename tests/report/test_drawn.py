"""What the page shows of new rows and of the meaning of codes."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoencode import Autoencoder, VariationalAutoencoder
from autoencode.commands.reporting import report_data
from autoencode.errors import DataError
from autoencode.report_parts.drawn import check_drawn, drawn_section
from autoencode.report_parts.explored import check_explored
from autoencode.report_parts.shown_rows import ShownRows, changes

from .test_reporting import mixed_table

PICTURES = load_digits().images[:420]


@pytest.fixture(scope="module")
def pictures():
    """Data of the report on a small variational model of pictures, and the model."""
    model = VariationalAutoencoder(3, hidden_layer_sizes=(8,), max_epochs=3, random_state=0)
    model.fit(PICTURES)
    return model, report_data(model, PICTURES, title="digits")


@pytest.fixture(scope="module")
def cells():
    """Data of the report on a small model of a table."""
    table = mixed_table(480)
    model = Autoencoder(2, hidden_layer_sizes=(8,), max_epochs=2, random_state=0).fit(table)
    return table, report_data(model, table, title="t")


def test_cards_say_how_likely_rows_are(pictures, written):
    model, data = pictures
    page = written(data)
    shown = [strong["text"] for strong in page.all("strong")]
    facts = model.bounds_
    assert shown[0] == f"{facts['bound']:,.1f}".replace("-", "−")
    assert shown[2] == f"{facts['elbo']:,.1f}".replace("-", "−")
    assert shown[4] == str(facts["active"])
    assert "no better than PCA" not in page.text
    assert "probabilistic PCA" in page.all("dl")[0]["text"]


def test_drawn_pictures_stand_beside_held_out_ones(pictures, written):
    _, data = pictures
    page = written(data)
    assert len(page.all("img", alt="21 drawn pictures")) == 1
    assert len(page.all("img", alt="21 held-out pictures")) == 1
    lines = {line[0]: line for line in page.table("Figures on 21 held-out rows")[1:]}
    quality = data.drawn.quality
    assert lines["Coverage"][1:3] == [
        f"{quality.drawn.coverage:.3f}",
        f"{quality.real.coverage:.3f}",
    ]
    assert lines["Told from real rows (AUC)"][1] == f"{quality.auc:.3f}"
    assert lines["Memorisation"][1] == f"{quality.memorisation:.3f}"
    assert "distances in values as they are" in page.text
    assert "training rows being 399" in page.text


def test_what_figures_are_measured_by_was_not_drawn_from(pictures):
    model, _ = pictures
    claimed = model._state.facts["claim_rows"]
    again = VariationalAutoencoder(3, hidden_layer_sizes=(8,), max_epochs=3, random_state=0)
    changed = PICTURES.copy()
    changed[claimed] = changed[claimed].mean()
    again.fit(changed)
    np.testing.assert_array_equal(
        again._state.sampler.mixture.means, model._state.sampler.mixture.means
    )


def test_ways_between_pictures_end_at_real_ones(pictures):
    _, data = pictures
    drawn = data.drawn
    assert drawn.n_steps == 11
    for place, (first, last) in enumerate(drawn.way_numbers):
        way = drawn.ways.pictures[11 * place : 11 * place + 11]
        np.testing.assert_array_equal(way[0], PICTURES[first].ravel())
        np.testing.assert_array_equal(way[-1], PICTURES[last].ravel())


def test_a_map_of_pictures_has_them_behind_the_points(pictures, written):
    _, data = pictures
    page = written(data)
    figure = page.figures["map"]
    (image,) = figure["layout"]["images"]
    assert image["source"].startswith("data:image/png;base64,")
    assert image["layer"] == "below"
    assert figure["data"][0]["customdata"] == data.row_numbers.tolist()
    assert len([e for e in page.all("img") if "from low to high" in (e.get("alt") or "")]) == 3


def test_tables_are_shown_as_cells(cells, written):
    table, data = cells
    page = written(data)
    header, *lines = page.table("Real, held out: all 6 columns")
    assert header[1:] == table.column_names
    assert len(lines) == 8
    assert page.table("Drawn: all 6 columns")[0] == header
    first, last = data.drawn.way_numbers[0]
    way = page.table(f"From row {first} to row {last}")
    assert way[0] == ["column", f"row {first}", "0%", "25%", "50%", "75%", "100%", f"row {last}"]
    colour = next(line for line in way if line[0] == "colour")
    for cell, row in ((colour[1], first), (colour[-1], last)):
        assert cell == (table["colour"][row].as_py() or "missing")
    heats = [trace for trace in page.figures["map"]["data"] if trace["type"] == "heatmap"]
    assert [trace["visible"] for trace in heats] == [True] + [False] * (len(heats) - 1)
    assert len(heats[0]["z"]) == 12
    assert page.table("Component 1")[0] == ["column", "−2", "itself", "+2"]


def test_too_few_rows_give_no_figures_but_a_reason(cells):
    _, data = cells
    without = dataclasses.replace(data.drawn, quality=None, rows_said="9 rows are <too> few")
    assert "No figures: 9 rows are &lt;too&gt; few." in drawn_section(without)


def test_parts_that_do_not_fit_together_are_refused(pictures):
    _, data = pictures
    with pytest.raises(DataError, match="ways have 44 rows, not 36"):
        check_drawn(dataclasses.replace(data.drawn, n_steps=9))
    with pytest.raises(DataError, match="steps have 27 rows, not 9"):
        check_explored(dataclasses.replace(data.explored, n_steps=3))


def test_changes_are_in_deviations():
    import pyarrow as pa

    rows = ShownRows(table=pa.table({"x": [0.0, 0.0, 2.0, 2.0], "k": ["a", "b", "b", "b"]}))
    np.testing.assert_allclose(changes(rows, [[0, 1], [1, 2], [2, 3]]), [[0, 2], [2, 0], [0, 0]])
