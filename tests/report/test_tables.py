"""What the page shows of a table: its cells, the quality of its columns, the codes' groups."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from autoencode.errors import DataError
from autoencode.report import write_report
from autoencode.report_parts.groups import Grouping, best_separated
from autoencode.report_parts.table_data import ColumnFacts

EXAMPLES = ("Best row", "Median row", "Worst row", "With missing cells")


def shown_row(page, title):
    """The number of the row in a card, and its table's lines by column."""
    name = title.removesuffix(" row")
    heading = next(h["text"] for h in page.all("h3") if h["text"].startswith(name))
    number = int(heading.removeprefix(name).split()[1])
    return number, {line[0]: line[1:] for line in page.table(title)[1:]}


def test_examples_are_the_best_median_and_worst_rows_and_one_with_missing_cells(
    written, make_table
):
    data = make_table()
    page = written(data)
    errors = np.sqrt(np.nanmean(np.square(data.errors[:, :4]), axis=1))
    order = np.argsort(errors, kind="stable")
    numbers = [shown_row(page, title)[0] for title in EXAMPLES]
    chosen = data.row_numbers[order[[0, 29, 59]]].tolist()
    assert numbers[:3] == chosen
    assert numbers[3] not in chosen
    assert np.isnan(data.errors[(numbers[3] - 1000) // 3, :4]).any()


def test_cells_stand_beside_what_the_model_makes_of_them(written, make_table):
    data = make_table()
    page = written(data)
    original, rebuilt = data.original.to_pylist(), data.rebuilt.to_pylist()
    seen = set()
    for title in EXAMPLES:
        number, lines = shown_row(page, title)
        row = (number - 1000) // 3
        assert len(lines) == 6
        was, now = original[row], rebuilt[row]
        length = ["missing", "filled in"]
        if was["length"] is not None:
            error = f"{data.errors[row, 0]:+.2f}".replace("-", "−")
            length = [f"{was['length']:.0f}", error]
        assert [lines["length"][0], lines["length"][2]] == length
        assert lines["length"][1] == f"{now['length']:.0f}"
        assert lines["visits"] == [f"{was['visits']}", f"{now['visits']}", "+0.25"]
        mark = "✓ right" if was["colour"] == now["colour"] else "✗ wrong"
        mark = "filled in" if was["colour"] is None else mark
        assert lines["colour"] == [was["colour"] or "missing", now["colour"], mark]
        assert lines["sold"] == ["true", "true", "✓ right"]
        assert lines["unit"] == ["mm", "mm", "✓ right"]
        assert lines["key"] == [was["key"], "–", "left out"]
        seen |= {mark, length[1]}
    assert {"✓ right", "✗ wrong", "filled in"} <= seen


def test_no_card_of_missing_cells_without_any(written, make_table):
    page = written(make_table(missing_share=0.0))
    assert [h["text"].split()[0] for h in page.all("h3")] == ["Best", "Median", "Worst"]
    assert "would put there" not in page.text
    assert [e["id"] for e in page.all("section") if e["id"] == "missing"] == []


def test_columns_are_listed_from_the_worst_to_the_best(written, make_table):
    page = written(make_table())
    header, *lines = page.table("Quality by column: 1 numeric, 1 count, 1 categorical, 1 binary")
    assert header == ["column", "quality", "missing", "share of the error"]
    assert [line[0] for line in lines] == [
        "colourcategorical, 3 levels",
        "soldbinary, false or true",
        "lengthnumeric, 20 to 80",
        "visitscount, 0 to 59",
    ]
    assert [line[1] for line in lines] == [
        "50.0% rightcommonest: 40.0%",
        "90.0% rightcommonest: 85.0%",
        "R² 0.900",
        "R² 0.999",
    ]
    assert [line[3] for line in lines] == ["25.0%"] * 4
    bars = [e["style"] for e in page.all("i") if "meter" in e["path"] and "quality" in str(e)]
    marks = [e["style"] for e in page.all("b")]
    assert bars == ["width:50%", "width:90%", "width:90%", "width:100%"]
    assert marks == ["left:40%", "left:85%"]


def test_columns_left_out_are_listed_with_the_reason(written, make_table):
    _, *lines = written(make_table()).table("Columns without a part in the code")
    assert lines == [
        ["unit", "constant, mm", "its value"],
        ["key", "identifier, near-unique: 60 of 60 values differ", "missing"],
    ]


def test_a_column_that_could_not_be_measured_is_last_and_says_so(written, make_table):
    columns = list(make_table().columns)
    columns[2] = dataclasses.replace(columns[2], quality=None, baseline=None)
    _, *lines = written(make_table(columns=tuple(columns))).table("Quality by column")
    assert lines[-1][:2] == ["colourcategorical, 3 levels", "not measured"]


@pytest.mark.parametrize(
    ("quality", "baseline", "skill"),
    [(0.8, 0.6, 0.5), (0.5, 0.6, -0.25), (1.0, 1.0, 1.0), (0.9, 1.0, 0.0), (0.7, 0.0, 0.7)],
)
def test_skill_is_what_lies_beyond_the_baseline(quality, baseline, skill):
    column = ColumnFacts(
        name="x", kind="binary", detail="", missing_share=0.0, quality=quality, baseline=baseline
    )
    assert column.skill == pytest.approx(skill)


def test_a_table_of_categories_only(written, make_table):
    data = make_table()
    keep = [2, 3]
    page = written(
        dataclasses.replace(
            data,
            columns=tuple(data.columns[place] for place in keep),
            original=data.original.select(["colour", "sold"]),
            rebuilt=data.rebuilt.select(["colour", "sold"]),
            errors=data.errors[:, keep],
        )
    )
    _, *lines = page.table("Worst row: all 2 columns")
    assert lines[0][0] == "colour"
    assert lines[0][3] == "✗ wrong"
    assert page.table("Quality by column: 1 categorical, 1 binary")
    assert "Columns without a part" not in page.text


def test_a_column_that_is_missing_in_every_row_that_is_shown(written, make_table):
    data = make_table()
    errors = data.errors.copy()
    errors[:, 0] = np.nan
    nothing = pa.nulls(60, pa.float64())
    page = written(
        dataclasses.replace(
            data, errors=errors, original=data.original.set_column(0, "length", nothing)
        )
    )
    for title in EXAMPLES:
        _, lines = shown_row(page, title)
        assert lines["length"][0] == "missing"
        assert lines["length"][2] == "filled in"


def test_a_row_without_any_cell_is_no_example(written, make_table):
    data = make_table()
    errors = data.errors.copy()
    errors[7, :4] = np.nan
    page = written(dataclasses.replace(data, errors=errors))
    assert 1021 not in [shown_row(page, title)[0] for title in EXAMPLES]


def wide_table(make_table, width=2000, count=40):
    rng = np.random.default_rng(0)
    data = make_table(count)
    errors = rng.normal(size=(count, width))
    errors[rng.random(errors.shape) < 0.2] = np.nan
    names = [f"column_{place}" for place in range(width)]
    values = pa.table({name: rng.normal(size=count) for name in names})
    columns = tuple(
        ColumnFacts(
            name=name,
            kind="numeric",
            detail="numeric",
            missing_share=0.2,
            measure="explained_variance",
            quality=place / width,
            baseline=0.0,
            error_share=1 / width,
        )
        for place, name in enumerate(names)
    )
    original = values.set_column(
        int(np.flatnonzero(np.isnan(errors[0]))[0]), "x", pa.nulls(count, pa.float64())
    ).rename_columns(names)
    return dataclasses.replace(
        data, columns=columns, errors=errors, original=original, rebuilt=values
    )


def test_wide_tables_are_cut_with_a_count(written, make_table):
    data = wide_table(make_table)
    page = written(data)
    for title in EXAMPLES:
        lines = page.table(f"{title}: 12 of 2,000 columns, largest error first")[1:]
        assert len(lines) == 12
        number, _ = shown_row(page, title)
        sizes = -np.sort(-np.abs(data.errors[(number - 1000) // 3]))
        shown = [abs(float(line[3].replace("−", "-"))) for line in lines[:9]]
        np.testing.assert_allclose(shown, sizes[:9], atol=0.006)
    _, *lines = page.table("Quality by column: the worst 40 of 2,000, 2,000 numeric")
    assert [line[0] for line in lines] == [f"column_{place}numeric" for place in range(40)]
    assert "half of all 2,000 columns go 50.0% or more" in page.text
    assert len(page.source) < len(written(make_table()).source) + 50_000


def test_many_columns_left_out_are_cut_with_a_count(written, make_table):
    data = wide_table(make_table, width=60)
    columns = [
        dataclasses.replace(column, kind="constant", detail=f"constant, {place}", measure=None)
        for place, column in enumerate(data.columns[1:])
    ]
    page = written(dataclasses.replace(data, columns=(data.columns[0], *columns)))
    assert len(page.table("Columns without a part in the code: 20 of 59")) == 21


def test_codes_can_be_coloured_by_a_column(written, make_table):
    data = make_table()
    page = written(data)
    traces = page.figures["codes"]["data"]
    assert [trace["name"] for trace in traces[1:]] == ["red", "green", "blue", "missing"]
    places = data.groupings[0].places
    for trace, place in zip(traces[1:], (0, 1, 2, -1), strict=True):
        assert trace["visible"] is False
        assert trace["customdata"] == data.row_numbers[places == place].tolist()
        np.testing.assert_allclose(trace["x"], data.codes[places == place, 0], rtol=1e-4)
    settings = {
        button["text"]: json.loads(button["data-setting"])
        for button in page.all("button")
        if "visible" in button.get("data-setting", "")
    }
    assert settings == {
        "error": {"visible": [True, False, False, False, False]},
        "colour": {"visible": [False, True, True, True, True]},
    }
    assert "visible" in page.all("script")[2]["text"]


def test_further_levels_share_a_trace(written, make_table):
    places = np.repeat(np.arange(10), [12, 11, 10, 9, 8, 4, 3, 1, 1, 1])
    many = Grouping("many", tuple(f"level {place}" for place in range(9)), places)
    traces = written(make_table(groupings=(many,))).figures["codes"]["data"][1:]
    assert [trace["name"] for trace in traces] == [
        *(f"level {place}" for place in range(5)),
        "further levels",
    ]
    assert len(traces[-1]["x"]) == 10


def test_the_best_separated_columns_are_offered():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(300, 3))
    side, half = (codes[:, 0] > 0).astype(int), (codes[:, 1] > 0.5).astype(int)
    candidates = [
        Grouping("noise", tuple("abcdefghij"), rng.integers(0, 10, 300)),
        Grouping("third", ("a", "b"), (codes[:, 2] > 0).astype(int)),
        Grouping("half", ("a", "b"), half),
        Grouping("both", tuple("abcd"), 2 * side + half),
        Grouping("one", ("a", "b"), np.zeros(300, dtype=int)),
        Grouping("missing", ("a", "b"), np.full(300, -1)),
        Grouping("each", ("a",) * 300, np.arange(300)),
    ]
    assert [grouping.name for grouping in best_separated(candidates, codes)] == ["both", "half"]
    assert len(best_separated(candidates[3:4] * 9, codes)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"errors": np.zeros((60, 5))}, "errors"),
        ({"original": pa.table({"a": [1.0] * 60})}, "original"),
        ({"rebuilt": pa.table({"a": [1.0]})}, "rebuilt"),
        ({"row_numbers": np.arange(3)}, "row_numbers"),
        ({"groupings": (Grouping("a", ("x",), np.zeros(5, dtype=int)),)}, "grouping 'a'"),
        ({"columns": ()}, "one column that was learned"),
        ({"codes": np.zeros((0, 2))}, "one row"),
        ({"chosen_size": 99}, "chosen size 99"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, make_table, changes, message):
    path = tmp_path / "report.html"
    with pytest.raises(DataError, match=message):
        write_report(path, make_table(**changes))
    assert not path.exists()
