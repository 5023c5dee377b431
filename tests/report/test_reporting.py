"""From fitted models to what a report shows."""

import numpy as np
import pyarrow as pa
import pytest

from autoencode import Autoencoder
from autoencode.commands.reporting import report_data
from autoencode.data.reading import open_data
from autoencode.errors import DataError
from autoencode.report import ReportData, TableReportData
from autoencode.report_parts import table_content
from autoencode.report_parts.cells import cell_text, column_style
from autoencode.report_parts.table_content import grouping_candidates

COLOURS = ("red", "green", "blue")


def mixed_table(count=240, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    place = np.digitize(x, [-0.5, 0.5])
    holes = rng.random((count, 3)) < 0.15
    holes[:, 2] = holes[:, 1]

    def with_holes(values, column):
        return [None if lacks else v for v, lacks in zip(values, holes[:, column], strict=True)]

    return pa.table(
        {
            "key": [f"key-{row}" for row in range(count)],
            "length": with_holes((x * 3 + 20).round(1).tolist(), 0),
            "colour": with_holes([COLOURS[p] for p in place], 1),
            "visits": pa.array(with_holes(rng.poisson(np.exp(x)).tolist(), 2)),
            "big": (x > 0).tolist(),
            "unit": ["mm"] * count,
        }
    )


@pytest.fixture(scope="module")
def table():
    return mixed_table()


@pytest.fixture(scope="module")
def model(table):
    return Autoencoder(n_components=2, max_epochs=3, random_state=0).fit(table)


@pytest.fixture(scope="module")
def data(model, table):
    return report_data(model, table, title="t", data_path="d/x.csv", model_path="d/m.safetensors")


def test_rows_that_the_fit_never_saw_are_shown(data, model, table, written):
    claimed = model._state.facts["claim_rows"]
    assert isinstance(data, TableReportData)
    assert data.row_numbers.tolist() == claimed
    assert data.original.equals(table.take(claimed))
    np.testing.assert_array_equal(data.codes, model.transform(table.take(claimed)))
    page = written(data)
    assert "6 columns into 2 numbers" in page.text
    assert "model.impute('x.csv')" in page.text
    assert "6: " in page.text
    assert "1 identifier" in page.text


def test_cells_are_the_reconstructed_ones_and_missing_ones_the_imputed(data, model):
    reconstructed, imputed = model.reconstruct(data.original), model.impute(data.original)
    for name in ("length", "colour", "visits", "big", "unit"):
        rows = zip(
            data.original[name].to_pylist(),
            data.rebuilt[name].to_pylist(),
            reconstructed[name].to_pylist(),
            imputed[name].to_pylist(),
            strict=True,
        )
        for was, now, expected, restored in rows:
            assert now == (restored if was is None else expected)
    assert data.rebuilt["key"].null_count == len(data.rebuilt)
    assert data.original["colour"].null_count > 0


def test_errors_are_in_deviations_or_right_and_wrong(data, table):
    was = np.array(data.original["length"].to_pylist(), dtype=float)
    now = np.array(data.rebuilt["length"].to_pylist(), dtype=float)
    deviation = np.nanstd(np.array(table["length"].to_pylist(), dtype=float))
    np.testing.assert_allclose(data.errors[:, 1], (now - was) / deviation)
    for column, name in ((2, "colour"), (4, "big"), (5, "unit")):
        pairs = zip(data.original[name].to_pylist(), data.rebuilt[name].to_pylist(), strict=True)
        expected = [np.nan if a is None else float(a != b) for a, b in pairs]
        np.testing.assert_array_equal(data.errors[:, column], expected)
    assert np.isnan(data.errors[:, 0]).all()


def test_columns_have_the_quality_that_was_measured(data, model):
    facts = model._state.facts["columns"]
    for column, found, described in zip(
        data.columns, facts, model._state.schema.describe(), strict=True
    ):
        assert column.quality == found.get("quality")
        assert (column.kind, column.detail) == (described["kind"], described["detail"])
        assert column.missing_share == described["missing_share"]
    assert [column.measure for column in data.columns][::5] == [None, None]


def test_missing_cells_are_counted_over_all_rows(data, table):
    counts = {name: table[name].null_count for name in table.column_names}
    assert dict(data.missing.columns) == {name: n for name, n in counts.items() if n}
    assert (data.missing.n_rows, data.missing.n_seen) == (240, 240)
    names = [name for name, _ in data.missing.columns]
    patterns = [{names[place] for place in holes} for holes, _ in data.missing.patterns]
    assert {"colour", "visits"} in patterns
    assert {"colour"} not in patterns


def test_many_rows_are_sampled(model, table, monkeypatch):
    monkeypatch.setattr("autoencode.commands.reporting._MOST_LOOKED_AT", 100)
    first, second = (report_data(model, table).missing for _ in range(2))
    assert (first.n_rows, first.n_seen) == (240, 100)
    assert first == second


def test_wide_rows_are_few(model, table, monkeypatch):
    monkeypatch.setattr("autoencode.commands.reporting._MOST_VALUES", 3 * model._state.n_values)
    assert len(report_data(model, table).codes) == 3


def test_missing_identifiers_count(model, table):
    key = pa.array([None if row % 3 else f"key-{row}" for row in range(240)])
    found = report_data(model, table.set_column(0, "key", key)).missing
    assert dict(found.columns)["key"] == 160


@pytest.mark.parametrize("kind", ["table", "reordered", "TableData", "frame", "path"])
def test_rows_may_be_anything_that_can_be_opened(model, table, data, kind, tmp_path):
    given = table
    if kind == "reordered":
        given = open_data(table.select(table.column_names[::-1]))
    elif kind == "TableData":
        given = open_data(table)
    elif kind == "frame":
        given = pytest.importorskip("pandas").DataFrame(table.to_pydict())
    elif kind == "path":
        from pyarrow import parquet

        given = tmp_path / "t.parquet"
        parquet.write_table(table, given)
    again = report_data(model, given)
    np.testing.assert_array_equal(again.errors, data.errors)
    assert again.missing == data.missing


def test_held_out_rows_are_shown_when_they_were_given(table):
    other = mixed_table(90, seed=1)
    colours = ["violet", *other["colour"].to_pylist()[1:]]
    other = other.set_column(2, "colour", pa.array(colours))
    model = Autoencoder(n_components=2, max_epochs=2, random_state=0)
    model.fit(table, X_held_out=other)
    found = report_data(model, table, held_out=other)
    assert found.row_numbers.tolist() == list(range(90))
    assert found.original.equals(other)
    # A level that was never seen is wrong, and shown as it is.
    assert found.errors[0, 2] == 1
    style = column_style(found.original["colour"])
    assert cell_text(found.original["colour"][0], style) == "violet"
    assert found.missing.n_rows == 240
    assert "training rows" not in found.sentence


def test_targets_are_what_is_compared(table):
    target = table.set_column(1, "length", pa.array(np.full(240, 25.0)))
    model = Autoencoder(n_components=2, max_epochs=2, random_state=0).fit(table, target=target)
    found = report_data(model, table, target=target)
    assert set(found.original["length"].to_pylist()) == {25.0}
    assert not np.isnan(found.errors[:, 1]).any()


def test_quality_of_few_rows_is_measured_on_those_that_are_shown(written, monkeypatch):
    small = mixed_table(12)
    model = Autoencoder(n_components=2, max_epochs=2, random_state=0).fit(small)
    model._state.facts.pop("columns", None)
    found = report_data(model, small)
    big = next(column for column in found.columns if column.name == "big")
    assert big.quality == 1 - found.errors[:, 4].mean()
    assert sum(column.error_share for column in found.columns) == pytest.approx(1)
    assert "training rows" in found.sentence
    assert written(found).table("Quality by column")


def test_columns_of_few_levels_colour_the_codes(data, model, monkeypatch):
    names = {grouping.name for grouping in data.groupings}
    assert names <= {"colour", "big"}
    assert "big" in names
    grouping = next(grouping for grouping in data.groupings if grouping.name == "big")
    levels = [grouping.levels[place] for place in grouping.places]
    assert levels == [str(value).lower() for value in data.original["big"].to_pylist()]
    schema = model._state.schema
    cells = schema.cells(data.original)
    monkeypatch.setattr(table_content, "_MOST_LEVELS", 2)
    assert [found.name for found in grouping_candidates(schema, cells)] == ["big"]


def test_other_columns_are_refused(model, table):
    with pytest.raises(DataError, match="colour"):
        report_data(model, table.drop_columns(["colour"]))


def test_arrays_with_missing_values(written):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    model = Autoencoder(n_components=2, max_epochs=2, random_state=0).fit(rows)
    found = report_data(model, rows)
    assert isinstance(found, ReportData)
    assert dict(found.missing.columns) == {
        f"column {n}": int(np.isnan(rows[:, n]).sum()) for n in range(5)
    }
    np.testing.assert_array_equal(found.rows, rows[found.row_numbers])
    assert written(found).table("Share missing by column")


def test_arrays_without_missing_values_have_no_such_section():
    rows = np.random.default_rng(0).normal(size=(60, 4))
    model = Autoencoder(n_components=2, max_epochs=1, random_state=0).fit(rows)
    found = report_data(model, rows)
    assert found.missing is None
    assert "impute" not in found.loading
