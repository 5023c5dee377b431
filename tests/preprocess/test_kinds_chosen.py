"""Which kind a column gets: what a sensible analyst would choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autoencode.preprocess.columns import Schema

RNG = np.random.default_rng(0)
CODES = RNG.permutation(400)


def chosen(column: Any) -> str:
    return Schema.look(pa.table({"x": column})).blocks[0].kind


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        # Counts lean to the right and leave no gaps.
        (RNG.poisson(2, 300), "count"),
        (RNG.poisson(0.2, 300), "count"),
        (RNG.poisson(2, 300).astype(float), "count"),
        (RNG.geometric(0.3, 300), "count"),
        # Codes do not lean, amounts leave gaps.
        (RNG.integers(1, 13, 300), "numeric"),
        (RNG.integers(0, 24, 300), "numeric"),
        (RNG.integers(1, 32, 300), "numeric"),
        (RNG.integers(0, 60, 300), "numeric"),
        (RNG.integers(2001, 2010, 300), "numeric"),
        (RNG.integers(-3, 4, 300), "numeric"),
        (RNG.exponential(1000, 300).astype(int), "numeric"),
        (100 * RNG.poisson(2, 300), "numeric"),
        # Two values and one.
        (RNG.integers(0, 2, 300), "binary"),
        (RNG.integers(0, 2, 300).astype(bool), "binary"),
        (["yes", "no", None, "yes"], "binary"),
        ([1.5, 2.5, 1.5], "binary"),
        ([3, None, 3], "constant"),
        ([None, None], "constant"),
        (pa.nulls(3, pa.list_(pa.int8())), "constant"),
        # Names of rows.
        ([f"a{i}" for i in range(20)], "identifier"),
        ([f"a{i}" for i in range(19)], "categorical"),
        ([f"a{i % 70}" for i in range(100)], "categorical"),
        ([f"a{i}" for i in range(95)] + ["a1"] * 5 + [None] * 50, "identifier"),
        (np.arange(1, 51), "identifier"),
        (np.arange(1, 50), "numeric"),
        (CODES, "identifier"),
        (CODES[:399], "numeric" if CODES[399] not in (0, 399) else "identifier"),
        (np.arange(1950, 2020), "numeric"),
        (np.arange(100_000, 100_100), "identifier"),
        (pa.array([2**60 + 7 * i for i in range(40)]), "identifier"),
        (pa.array([2**60 + i % 7 for i in range(40)]), "categorical"),
        ([[1], [2]], "identifier"),
        ([{"a": 1}, {"a": 2}], "identifier"),
        ([b"a", b"b"], "identifier"),
        # Orders and dates.
        (pa.DictionaryArray.from_arrays([0, 1, 2], ["a", "b", "c"], ordered=True), "ordered"),
        (pa.DictionaryArray.from_arrays([0, 1, 2], ["a", "b", "c"]), "categorical"),
        (pa.DictionaryArray.from_arrays([0, 1], ["a", "b", "c"]), "categorical"),
        (pa.DictionaryArray.from_arrays([0, 1], ["a", "b"], ordered=True), "binary"),
        (pa.array([1, 2, 3], pa.timestamp("s")), "datetime"),
        ([f"2020-01-{day:02d}" for day in range(1, 32)], "datetime"),
        (pa.array([1, 2, 3], pa.duration("s")), "numeric"),
        (pa.array([1, 2, 3], pa.time32("s")), "numeric"),
    ],
)
def test_kind(column: Any, kind: str) -> None:
    assert chosen(column) == kind


def test_identifiers_say_why() -> None:
    table = pa.table(
        {
            "name": [f"a{i}" for i in range(49)] + ["a1"],
            "row": np.arange(3, 53),
            "parts": [[1]] * 50,
            "bytes": [b"a"] * 50,
        }
    )
    details = [row["detail"] for row in Schema.look(table).describe()]
    assert details == [
        "identifier, near-unique: 49 of 50 values differ",
        "identifier, row numbers: each of 3 to 52 once",
        "identifier, nested values: list<item: int64>",
        "identifier, other values: binary",
    ]


def reason(texts: list[Any]) -> str:
    (row,) = Schema.look(pa.table({"x": pa.array(texts, pa.string())})).describe()
    assert row["kind"] == "identifier"
    return str(row["detail"])


@pytest.mark.parametrize(
    ("first", "numbers"),
    [
        ([None, "1.5e-3", "groß"], [f"{place / 7:.4f}" for place in range(1, 138)]),
        ([None, "-0,25", "groß"], [f"{place},01" for place in range(1, 138)]),
    ],
)
def test_a_word_among_numbers_is_named(first: list[str | None], numbers: list[str]) -> None:
    found = reason([*first, *numbers, "?"])
    assert found == "identifier, text; 138 of 140 cells are numbers, 'groß' in row 3 is not"


def test_labels_that_are_numbers_only_in_part_are_near_unique() -> None:
    words, codes = [f"a{place}" for place in range(4)], [f"0{place}" for place in range(36)]
    near_unique = "identifier, near-unique: 40 of 40 values differ"
    assert reason([*words, *codes]) == near_unique
    assert reason([*codes, "036", "037", "038", "039"]) == near_unique
    assert "36 of 39 cells" in reason([*words[1:], *codes])


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (["groß"], "categorical, 31 levels, numbers but for 'groß'"),
        (["groß", "klein", "?"], "categorical, 33 levels, numbers but for '?' and 2 more"),
        (["groß", "klein", "?", "mittel"], "categorical, 34 levels"),
        (["30,5"], "categorical, 31 levels"),
    ],
)
def test_levels_that_are_numbers_but_for_a_word_say_so(words: list[str], detail: str) -> None:
    texts = [f"{place},5" for place in range(30)] * 3 + words
    assert Schema.look(pa.table({"x": texts})).describe()[0]["detail"] == detail
