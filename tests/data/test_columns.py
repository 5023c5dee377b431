from __future__ import annotations

import pytest

from autoencode.data.columns import select_columns
from autoencode.errors import DataError

NAMES = ("species", "age", "height", "weight")


def refused(*args, **options):
    with pytest.raises(DataError) as caught:
        select_columns(*args, **options)
    return str(caught.value)


def test_the_rest_becomes_numbers_in_order():
    assert select_columns(NAMES) == list(NAMES)
    assert select_columns(NAMES, drop=["age"], keep=["species"]) == ["height", "weight"]


def test_expected_columns_are_put_in_their_order():
    expected = ("weight", "age")
    chosen = select_columns(NAMES, drop=["height"], keep=["species"], expected_names=expected)
    assert chosen == ["weight", "age"]


def test_a_kept_column_may_be_expected():
    expected = ("age", "height", "weight")
    chosen = select_columns(NAMES, drop=["species"], keep=["age"], expected_names=expected)
    assert chosen == list(expected)


def test_unknown_names_get_a_guess_and_a_list():
    assert refused(NAMES, drop=["specie"]) == (
        "there is no column 'specie' (did you mean 'species'?); "
        "the columns are 'species', 'age', 'height', 'weight'"
    )
    assert "did you mean" not in refused(NAMES, keep=["zzz"])


def test_one_name_one_fate():
    assert refused(NAMES, drop=["age"], keep=["age"]) == (
        "column 'age' is both dropped and kept; choose one"
    )
    assert refused(("a", "b", "a")) == "column name 'a' appears 2 times; rename the columns"


def test_missing_and_unexpected_columns_are_named():
    assert refused(NAMES, expected_names=("age", "length", "width")) == (
        "columns 'length', 'width' that the model was fitted with are missing; "
        "the data has 'species', 'age', 'height', 'weight'"
    )
    assert refused(NAMES, expected_names=("age", "height", "weight")) == (
        "the model was fitted without column 'species'; leave it out with --drop species, "
        "or carry along with --keep"
    )


def test_something_must_be_left():
    assert "no column is left" in refused(("a", "b"), drop=["a"], keep=["b"])


def test_many_columns_are_quick():
    names = [f"c{number}" for number in range(100_000)]
    assert select_columns(names, expected_names=names[::-1]) == names[::-1]
