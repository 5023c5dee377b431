from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from autoencode.data.finite import drop_options, quoted_list, require_finite, require_no_infinity
from autoencode.data.rows import Rows
from autoencode.data.tables import TableData
from autoencode.errors import DataError
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.table_rows import TableRows


def message(matrix, names=None):
    with pytest.raises(DataError) as caught:
        require_finite(Rows(matrix, kind="numpy", names=names))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_missing_values_of_a_table():
    matrix = np.zeros((20, 3))
    matrix[4:16, 1] = np.nan
    assert message(matrix, ["id", "age", "x"]) == (
        "column 'age' has 12 missing values (first in row 5); drop it with --drop age "
        "(no value may be missing here)"
    )
    matrix[7, 2] = np.nan
    text = message(matrix, ["id", "my age", "x"])
    assert "(so have 'x'); drop them with --drop 'my age' --drop x (no value" in text


def test_one_missing_value_is_singular():
    matrix = np.zeros((20, 2))
    matrix[0, 0] = np.nan
    assert "column 'a' has 1 missing value (first in row 1); drop it" in message(matrix, "ab")


def test_a_column_without_any_value():
    matrix = np.full((6, 1), np.nan)
    assert message(matrix, ["age"]).startswith("column 'age' has no values at all (6 missing); ")


def test_values_are_named_by_the_column_that_they_come_from():
    table = pa.table(
        {
            "id": [f"row {place}" for place in range(30)],  # left out: no value
            "group": [None, None, *"abcdefg" * 4],  # a value for each level
            "size": [None, *range(29)],
            "day": pa.array([None, *range(0, 870, 30)], pa.timestamp("s")),
        }
    )
    shuffled = TableData(table.select(["size", "day", "group", "id"]), "arrow")
    rows = TableRows(Schema.look(table), shuffled)
    with pytest.raises(DataError) as caught:
        require_finite(rows)
    assert str(caught.value) == (
        "column 'group' has 2 missing values (first in row 1) (so have 'size', 'day'); drop "
        "them with --drop group --drop size --drop day (no value may be missing here)"
    )


def test_infinite_values_of_a_table():
    matrix = np.zeros((20, 3))
    matrix[[2, 5, 7], 1] = np.inf, -np.inf, np.inf
    assert message(matrix, ["id", "age", "x"]) == (
        "column 'age' has 3 infinite values (first in row 3); "
        "replace them or drop the column with --drop age"
    )


def test_bare_arrays_name_the_column_by_number():
    matrix = np.zeros((20, 3))
    matrix[5, 2] = np.nan
    assert message(matrix) == (
        "Input X contains NaN: column 2 has 1 missing value, the first in row 5 "
        "(both counted from 0); no value may be missing here"
    )
    matrix[5, 2] = np.inf
    text = message(matrix)
    assert text.startswith("Input X contains infinity: column 2 has 1 infinite value,")
    matrix[:, 0] = matrix[:, 1] = np.inf
    assert ", and 2 more columns likewise;" in message(matrix)


def test_pictures_name_the_pixel():
    pictures = np.zeros((3, 4, 5))
    pictures[1, 2, 3] = np.nan
    assert "pixel (2, 3) has 1 missing value, the first in row 1" in message(pictures)


@pytest.mark.parametrize("place", [0, 149_999, 300_000 - 1])
def test_every_block_is_looked_at(place):
    matrix = np.zeros((300_000, 4))  # 9.6 MB: three blocks
    matrix[place, 3] = np.inf
    assert f"the first in row {place} " in message(matrix)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_finite_values_pass(dtype):
    # The sums of these overflow; nothing else does.
    require_finite(Rows(np.full((50, 3), np.finfo(dtype).max), kind="numpy"))


def test_missing_values_pass_where_only_infinity_is_refused():
    matrix = np.zeros((20, 3))
    matrix[4:6, 1] = np.nan
    rows = Rows(matrix, kind="numpy", names=["id", "age", "x"])
    require_no_infinity(rows)
    matrix[7, 2] = -np.inf
    with pytest.raises(DataError, match=r"^column 'x' has 1 infinite value \(first in row 8\)"):
        require_no_infinity(Rows(matrix, kind="numpy", names=["id", "age", "x"]))


def test_no_temporary_of_the_size_of_the_matrix():
    rows = Rows(np.zeros((1_000_000, 4)), kind="numpy")
    tracemalloc.start()
    require_finite(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # a mask of it all would be 4 MB


def test_lists_in_messages_are_cut():
    assert quoted_list(["a", "b"]) == "'a', 'b'"
    assert quoted_list("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"
    assert drop_options(["a b", "it's"]) == """--drop 'a b' --drop 'it'"'"'s'"""
    assert drop_options("abcdefg").endswith("--drop e ...")
