"""Columns that arrive with another type than they were fitted with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autoencode.errors import DataError
from autoencode.preprocess.columns import Schema

WHOLE = pa.array([3, 1, 2, 10, None], pa.int64())
SMALL = pa.array([3, 1, 2, 10, None], pa.int8())
REAL = pa.array([3.5, 1.0, 2.0, 10.0, None], pa.float32())
MONEY = pa.array([Decimal("1.25"), Decimal("2.50"), Decimal("3.00")], pa.decimal128(6, 2))
CODES = pa.array(["3", "1", "2", "10", None], pa.string())
FLAGS = pa.array([True, False, None])
DAYS = pa.array([0, 5, 11], pa.int32()).view(pa.date32())
SECONDS = pa.array([0, 5, 11], pa.timestamp("s"))
ZONED = pa.array([0, 5, 11], pa.timestamp("s", "UTC"))
DATED = pa.array(["1.2.2020", "3.2.2020", "29.2.2020"])
CLOCK = pa.array([0, 60, 3600], pa.time32("s"))
SPANS = pa.array([0, 60, 3600], pa.duration("s"))


def fitted(column: pa.Array) -> Schema:
    return Schema.look(pa.table({"x": column}))


def cells(schema: Schema, column: Any) -> list[list[float]]:
    return schema.cells(pa.table({"x": column})).tolist()


@pytest.mark.parametrize(
    ("column", "given", "like"),
    [
        (WHOLE, [2.0, None, 3.0], [2, None, 3]),
        (WHOLE, pa.array([2.0, float("nan")], pa.float32()), [2, None]),
        (WHOLE, pa.array([2, 3], pa.uint64()), [2, 3]),
        (FLAGS, pa.array([1, 0], pa.float16()), [True, False]),
        (CODES, pa.array([3.0, float("nan")]), ["3", None]),
        (WHOLE, ["2", " 3 ", "", "  ", None], [2, 3, None, None, None]),
        (WHOLE, ["2.0", "1e1"], [2, 10]),
        (WHOLE, pa.array(["2", "3", "2"]).dictionary_encode(), [2, 3, 2]),
        (WHOLE, pa.array(["2", "3", "2"], pa.string_view()), [2, 3, 2]),
        (WHOLE, [Decimal("2"), Decimal("3")], [2, 3]),
        (WHOLE, [True, False], [1, 0]),
        (SMALL, pa.array([2, 3], pa.int64()), [2, 3]),
        (WHOLE, ["2,0", "10"], [2, 10]),
        (REAL, [1, 2], [1.0, 2.0]),
        (REAL, ["3,5", " -1,25e-3", "2", None], [3.5, -0.00125, 2.0, None]),
        # The second tells that commas are not for thousands.
        (REAL, ["1,500", "0,125"], [1.5, 0.125]),
        (REAL, ["3.5", "-1e-3"], [3.5, -0.001]),
        (REAL, pa.array([0.1, 1e300]), [0.1, 1e300]),
        (REAL, pa.array([2, 3, 2]).dictionary_encode(), [2.0, 3.0, 2.0]),
        (MONEY, [1.25, 3.0], MONEY.take([0, 2])),
        (MONEY, ["1.25", "3"], MONEY.take([0, 2])),
        (MONEY, ["1,25", "3"], MONEY.take([0, 2])),
        (MONEY, [3], MONEY.take([2])),
        (CODES, [3, 1], ["3", "1"]),
        (CODES, [3.0, None, 1.0], ["3", None, "1"]),
        (CODES, pa.array(["3", "1"], pa.large_string()), ["3", "1"]),
        (CODES, pa.array(["3", "1"]).dictionary_encode(), ["3", "1"]),
        (CODES.dictionary_encode(), ["3", "1"], ["3", "1"]),
        (CODES.dictionary_encode(), [3, 1], ["3", "1"]),
        (FLAGS, [1, 0], [True, False]),
        (FLAGS, [1.0, 0.0, None], [True, False, None]),
        (FLAGS, ["true", "False", ""], [True, False, None]),
        (DAYS, DAYS.cast(pa.timestamp("ns")), DAYS),
        (DAYS, ["1970-01-01", "1970-01-06", ""], pa.array([0, 5, None], pa.date32())),
        (SECONDS, DAYS, DAYS.cast(pa.timestamp("s"))),
        (SECONDS, SECONDS.cast(pa.timestamp("ns")), SECONDS),
        (SECONDS, ["1970-01-01T00:00:05", None], pa.array([5, None], pa.timestamp("s"))),
        (ZONED, ZONED.cast(pa.timestamp("ms", "Europe/Berlin")), ZONED),
        (DATED, pa.array([18293], pa.int32()).view(pa.date32()), ["1.2.2020"]),
        (DATED, pa.array(["3.2.2020", " "], pa.string_view()), ["3.2.2020", None]),
        (CLOCK, CLOCK.cast(pa.time64("ns")), CLOCK),
        (CODES, CLOCK.slice(1), ["00:01:00", "01:00:00"]),
        (SPANS, SPANS.cast(pa.duration("ms")), SPANS),
    ],
)
def test_cells_with_an_obvious_equal(column: pa.Array, given: Any, like: Any) -> None:
    schema = fitted(column)
    wanted = like if isinstance(like, pa.Array) else pa.array(like)
    found = cells(schema, given)
    np.testing.assert_array_equal(found, cells(schema, wanted))
    back = schema.table(np.array(found)).column("x")
    assert back.type == column.type


@pytest.mark.parametrize(
    ("column", "given", "message"),
    [
        (
            WHOLE,
            [2.0, None, 2.5],
            "held whole numbers (int64) when the model was fitted, but '2.5'",
        ),
        (WHOLE, ["2", "", "two"], "but 'two' in row 3 is not one of these; correct"),
        (WHOLE, ["2", "2.5"], "held whole numbers (int64) when the model was fitted, but '2.5' in"),
        (SMALL, pa.array([2, 300]), "'300' in row 2"),
        (WHOLE, SECONDS, "(int64) when the model was fitted but is timestamp[s] now: '1970-01-01"),
        (WHOLE, [2.0, float("inf")], "has 1 infinite value (in row 2); replace"),
        (WHOLE, [2, 2**53 + 1], "column 'x' has '9007199254740993' in row 2, which float64 does"),
        (
            REAL,
            ["1,5", "groß"],
            "held numbers (float) when the model was fitted, but 'groß' in row 2",
        ),
        (REAL, ["171,01", "ca. 3", "1,5"], "but 'ca. 3' in row 2 is not one of these"),
        (REAL, ["171,01x", "1,5"], "but '171,01x' in row 1 is not one of these"),
        (WHOLE, ["2,0", "2,50"], "but '2,50' in row 2 is not one of these"),
        # A comma may set off thousands, or be written beside a point.
        (REAL, ["2", "1,500", "2,000"], "but '1,500' in row 2 is not one of these"),
        (REAL, ["1.5", "1,5"], "but '1,5' in row 2 is not one of these"),
        (REAL, [[1.5]], "when the model was fitted but is list<item: double> now: '[1.5]' in"),
        (MONEY, ["1.255"], "held decimal numbers (decimal128(6, 2)) when the model was fitted"),
        (CODES, [["3"]], "held text (string) when the model was fitted but is list"),
        (FLAGS, ["maybe"], "held true or false (bool) when the model was fitted, but 'maybe' in"),
        (DAYS, SECONDS, "'1970-01-01 00:00:05' in row 2, which is finer than date32[day], as"),
        (DAYS, [5], "held dates (date32[day]) when the model was fitted but is int64 now: '5' in"),
        (
            DAYS,
            ["1970-01-01", "soon"],
            "held dates (date32[day]) when the model was fitted, but 'so",
        ),
        (SECONDS, pa.array([1], pa.timestamp("ms")), "which is finer than timestamp[s], as"),
        (SECONDS, ZONED, "had no time zone when the model was fitted but has UTC now; convert it"),
        (ZONED, SECONDS, "had the time zone UTC when the model was fitted but has none now"),
        (SECONDS.cast(pa.timestamp("ns")), SECONDS.take([0]).cast(pa.timestamp("s")), None),
        (
            SECONDS.cast(pa.timestamp("ns")),
            pa.array([0, 2**40], pa.timestamp("s")),
            "in row 2, which is out of the range of timestamp[ns], as the model was fitted with",
        ),
        (
            DATED,
            ["1.2.2020", "30.2.2020"],
            "holds dates written as D.M.YYYY, but has '30.2.2020' in",
        ),
        (DATED, ["01.02.2020"], "but has '01.02.2020' in row 1; correct the cell or leave it"),
        (DATED, SECONDS, "in row 2, which is finer than D.M.YYYY, as the model was fitted with"),
        (CLOCK, ["00:01:00"], "when the model was fitted but is string now: '00:01:00' in row 1"),
        (CLOCK, [1.5], "held times of day (time32[s]) when the model was fitted but is double now"),
        (SPANS, [1], "held durations (duration[s]) when the model was fitted but is int64 now"),
    ],
)
def test_cells_without_an_equal(column: pa.Array, given: Any, message: str | None) -> None:
    schema = fitted(column)
    if message is None:
        assert cells(schema, given)
        return
    with pytest.raises(DataError) as caught:
        cells(schema, given)
    assert message in str(caught.value)
    assert str(caught.value).startswith("column 'x' ")
    assert "\n" not in str(caught.value)


def test_the_row_named_is_the_first_bad_one() -> None:
    texts = ["1"] * 1000
    texts[700] = texts[701] = texts[900] = "?"
    pieces = pa.chunked_array([texts[:300], texts[300:720], texts[720:]])
    with pytest.raises(DataError, match=r"'\?' in row 701 "):
        fitted(WHOLE).cells(pa.table({"x": pieces}))


def test_mixed_text_makes_whole_numbers_of_what_arrives_as_floats_only_if_all_are() -> None:
    schema = fitted(pa.array(["1", "2", "1.5"]))
    assert cells(schema, [1.0, 2.0]) == [[0.0], [2.0]]
    assert cells(schema, [1.5, 2.0]) == [[1.0], [2.0]]
