"""Cells written as people write them."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from autoencode.report_parts.cells import cell_text, column_style, tidy_times

DAY = datetime.datetime(2024, 2, 29)
MICRO = datetime.timedelta(microseconds=1)


def texts(cells, arrow_type=None):
    column = pa.chunked_array([pa.array(cells, arrow_type)])
    style = column_style(column)
    return [cell_text(cell, style) for cell in column]


@pytest.mark.parametrize(
    ("cells", "arrow_type", "expected"),
    [
        ([1, -20, 12345, None], pa.int64(), ["1", "−20", "12,345", None]),
        ([39.1, 40.0, None, float("nan")], None, ["39.1", "40.0", None, None]),
        ([326.0, 1234567.0], None, ["326", "1,234,567"]),
        ([0.1, -0.25], pa.float32(), ["0.10", "−0.25"]),
        ([1 / 3, 2e-9, 1e300], None, ["0.33333", "2e−09", "1e+300"]),
        ([True, False, None], None, ["true", "false", None]),
        ([Decimal("12.50"), Decimal("-1.00")], None, ["12.50", "−1.00"]),
        ([DAY.date(), None], None, ["2024-02-29", None]),
        ([DAY, DAY + datetime.timedelta(days=1)], None, ["2024-02-29", "2024-03-01"]),
        (
            [DAY, DAY + datetime.timedelta(hours=5, microseconds=250000)],
            pa.timestamp("ns"),
            ["2024-02-29 00:00:00", "2024-02-29 05:00:00.25"],
        ),
        ([DAY], pa.timestamp("us", "Asia/Tokyo"), ["2024-02-29 09:00:00+0900"]),
        ([datetime.time(5, 30)], pa.time64("us"), ["05:30:00"]),
        ([90061], pa.duration("s"), ["1 day, 1:01:01"]),
        ([-1], pa.duration("ms"), ["−1 day, 23:59:59.999000"]),
        ([2**62], pa.duration("s"), ["4,611,686,018,427,387,904 s"]),
        (["a", "", None], pa.large_string(), ["a", "", None]),
        ([[1, 2]], None, ["[1, 2]"]),
        ([None], None, [None]),
    ],
)
def test_cells_of_every_type(cells, arrow_type, expected):
    assert texts(cells, arrow_type) == expected


def test_dictionaries_are_seen_through():
    column = pa.chunked_array([pa.array(["b", None, "a"]).dictionary_encode()])
    assert [cell_text(cell, column_style(column)) for cell in column] == ["b", None, "a"]


def test_a_reconstruction_is_written_as_its_column():
    style = column_style(pa.chunked_array([pa.array([3750.0, 3800.0])]))
    assert cell_text(pa.scalar(3871.237), style) == "3871"
    assert cell_text(pa.scalar(-0.2), style) == "0"
    times = column_style(pa.chunked_array([pa.array([datetime.time(5)])]))
    assert cell_text(pa.scalar(datetime.time(5, 1, 2, 30)), times) == "05:01:02"
    days = column_style(pa.chunked_array([pa.array([DAY])]))
    assert cell_text(pa.scalar(DAY + MICRO), days) == "2024-02-29"


def test_text_that_is_not_utf8_can_be_shown():
    data = np.frombuffer(b"\xff\xfea", dtype=np.uint8)
    offsets = np.array([0, 3], dtype=np.int32)
    column = pa.chunked_array(
        [pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)])]
    )
    assert cell_text(column[0], column_style(column)) == "��a"


def test_fractions_of_seconds_are_cut():
    words = "datetime, 2020-01-01 01:24:17.000000-0500 to 2021-01-01 00:00:00.120000000, v1.50"
    tidy = "datetime, 2020-01-01 01:24:17-0500 to 2021-01-01 00:00:00.12, v1.50"
    assert tidy_times(words) == tidy
    assert tidy_times("01:02:03.1299", 2) == "01:02:03.12"
