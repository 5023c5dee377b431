"""Which cells are missing, counted and shown."""

from collections import Counter

import numpy as np
import pytest

from autoencode.report_parts.missing import Missingness, find_missing


def test_columns_and_patterns_are_counted():
    rng = np.random.default_rng(0)
    missing = rng.random((500, 11)) < np.linspace(0, 0.3, 11)
    missing[:, 7] = missing[:, 3]
    names = [f"x{place}" for place in range(11)]
    found = find_missing(missing, names, 9000)
    counts = {name: int(count) for name, count in zip(names, missing.sum(axis=0), strict=True)}
    assert dict(found.columns) == {name: count for name, count in counts.items() if count}
    assert [count for _, count in found.columns] == sorted(counts.values(), reverse=True)[:10]
    expected = Counter(frozenset(np.flatnonzero(row)) for row in missing)
    assert found.n_patterns == len(expected)
    assert (found.n_rows, found.n_seen) == (9000, 500)
    assert len(found.patterns) == 12
    assert [count for _, count in found.patterns] == [c for _, c in expected.most_common(12)]
    for holes, count in found.patterns:
        columns = frozenset(names.index(found.columns[place][0]) for place in holes)
        assert expected[columns] == count


def test_a_column_without_any_cell_is_in_no_pattern():
    missing = np.zeros((6, 3), dtype=bool)
    missing[:, 1] = True
    missing[:2, 2] = True
    found = find_missing(missing, "abc", 6)
    assert found.columns == (("b", 6), ("c", 2))
    assert found.patterns == (((), 4), ((1,), 2))


def test_nothing_is_missing():
    assert find_missing(np.zeros((5, 2), dtype=bool), "ab", 5) is None


def test_the_section_shows_shares_and_patterns(written, make_table):
    found = Missingness(
        n_rows=900,
        n_seen=100,
        columns=(("age", 30), ("sex", 20), ("income", 5)),
        patterns=(((), 60), ((0,), 20), ((1,), 12), ((0, 2), 5)),
        n_patterns=6,
    )
    page = written(make_table(missing=found))
    assert "a sample of 100 of the 900 rows" in page.text
    assert "3 columns have missing cells; 60.0% of the rows are complete" in page.text
    assert page.table("Share missing by column, most first")[1:] == [
        ["age", "30", "30.0%"],
        ["sex", "20", "20.0%"],
        ["income", "5", "5.0%"],
    ]
    widths = [i["style"] for i in page.all("i") if "meters" in str(i["path"]) and "style" in i]
    assert {"width:30%", "width:20%", "width:5%"} <= set(widths)
    table = page.table("Columns missing together, the commonest patterns first: 4 of 6, 97.0%")
    assert [line[0] for line in table] == ["rows", "60 60.0%", "20 20.0%", "12 12.0%", "5 5.0%"]
    assert table[0][1:] == ["age", "sex", "income"]
    squares = [i["aria-label"] for i in page.all("i", role="img")]
    drawn = np.array(squares).reshape(4, 3) == "missing"
    assert drawn.tolist() == [[False] * 3, [True, False, False], [False, True, False], [1, 0, 1]]


def test_all_rows_that_were_seen_are_no_sample(written, make_table):
    page = written(make_table())
    assert "Counted over the 60 rows: 2 columns have missing cells" in page.text
    assert "a sample of" not in page.text


def test_many_columns_are_cut_with_a_count(written, make_table):
    missing = np.zeros((50, 2000), dtype=bool)
    missing[:25] = True
    missing[0, 1500] = False
    names = [f"x{place}" for place in range(2000)]
    page = written(make_table(missing=find_missing(missing, names, 50)))
    caption = "Share missing by column, most first: 20 of 2,000 columns with missing cells"
    assert len(page.table(caption)) == 21
    table = page.table("Columns missing together")
    assert len(table[0]) == 18
    assert [line[-1] for line in table] == ["more columns", "", "1984", "1983"]


def test_rows_that_all_differ_have_no_matrix(written, make_table):
    missing = np.eye(20, dtype=bool)
    found = find_missing(missing, [f"x{place}" for place in range(20)], 20)
    page = written(make_table(missing=found))
    assert "No two rows miss the same columns." in page.text
    assert "Columns missing together" not in page.text


@pytest.mark.parametrize("extra", [[], [True]])
def test_columns_without_any_cell_are_said_to_be_left_out(written, make_table, extra):
    row = np.array([True, *extra])
    missing = np.stack([row, row, np.array([True, *([False] * len(extra))])])
    page = written(make_table(missing=find_missing(missing, "ab", 3)))
    assert "Columns without any cell (1) are left out of the patterns" in page.text
    assert "are complete" not in page.text
    assert ("Columns missing together" in page.text) == bool(extra)


def test_missing_values_of_an_array(written, make):
    data = make(columns=40, names=None)
    data.rows[:, 3] = np.nan
    data.rows[::7, 8] = np.nan
    found = find_missing(np.isnan(data.rows), [f"column {n}" for n in range(40)], 60)
    page = written(make(columns=40, names=None, rows=data.rows, missing=found))
    assert page.table("Share missing")[1:] == [
        ["column 3", "60", "100.0%"],
        ["column 8", "9", "15.0%"],
    ]
    error = ((data.reconstructions - data.rows) / data.column_scale)[:, 8]
    bars = page.figures["columns"]["data"][0]
    place = page.figures["columns"]["layout"]["yaxis"]["ticktext"].index("column 8")
    assert bars["x"][place] == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-5)
    assert "column 3" not in [line[0] for line in page.table("Best row")]


def test_a_missing_value_stands_beside_what_the_model_puts_there(written, make):
    data = make(5)
    data.rows[:, 2] = np.nan
    _, *lines = written(data).table("Worst row")
    assert lines[-1][0] == "name_2"
    assert lines[-1][1] == "missing"
    assert lines[-1][2] not in ("–", "missing")
    assert lines[-1][3] == "filled in"
