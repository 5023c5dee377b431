"""How columns of every type enter and leave graphs, without one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from autoencode.errors import DataError
from autoencode.preprocess.column_kinds import Block
from autoencode.preprocess.column_kinds.port import MISSING_INTEGER, Port
from autoencode.preprocess.columns import Schema

DAY = datetime.date(1969, 12, 30)
NOON = datetime.datetime(1969, 12, 31, 12, 0, 0, 250_000)
UNITS = ["s", "ms", "us", "ns"]
WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def whole(array: Any) -> list[int | None]:
    """Give what Arrow stores for dates and times."""
    return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_pylist()


def written(pattern: str) -> pa.Array:
    days = [NOON + datetime.timedelta(days=i, seconds=7 * i) for i in range(40)]
    return pa.array([*(day.strftime(pattern) for day in days), None])


def numbers(arrow_type: pa.DataType) -> pa.Array:
    steps = pa.array([*(37 * i for i in range(60)), None], pa.int64())
    return (
        steps.cast(pa.int32()).cast(arrow_type)
        if arrow_type.bit_width == 32
        else (steps.cast(arrow_type))
    )


DATES = pa.array([*(DAY + datetime.timedelta(days=i) for i in range(30)), None])
TIMES = {
    "date32": (DATES, "days since 1970-01-01"),
    "date64": (DATES.cast(pa.date64()), "milliseconds since 1970-01-01T00:00:00"),
    "zoned": (
        numbers(pa.timestamp("ms", tz="Europe/Oslo")),
        "milliseconds since 1970-01-01T00:00:00Z",
    ),
    **{
        unit: (numbers(pa.timestamp(unit)), f"{WORDS[unit]} since 1970-01-01T00:00:00")
        for unit in UNITS
    },
    **{f"{unit} long": (numbers(pa.duration(unit)), WORDS[unit]) for unit in UNITS},
    "clock": (numbers(pa.time32("ms")), "milliseconds since midnight"),
}


def block_of(column: Any, kind: str | None = None) -> Block:
    (block,) = Schema.look(pa.table({"x": column}), {"x": kind} if kind else None).blocks
    return block


def entered(block: Block, given: list[Any]) -> np.ndarray:
    """Give the cells of what enters, after the lookup that the graph does."""
    port = block.port
    assert port is not None
    plain = [port.missing if value is None else value for value in given]
    if port.levels is not None:
        known = {level: place for place, level in enumerate(port.levels)}
        known |= {port.missing: MISSING_INTEGER}
        plain = [known.get(value, len(port.levels)) for value in plain]
    dtype = torch.float64 if port.type == "double" and port.levels is None else torch.int64
    return block.cells_from_port(torch.tensor(plain, dtype=dtype)).numpy()


@pytest.mark.parametrize(("column", "unit"), TIMES.values(), ids=TIMES)
def test_times_are_the_integers_that_arrow_has(column: pa.Array, unit: str) -> None:
    block = block_of(column)
    assert block.port == Port("int64", MISSING_INTEGER, unit)
    cells = block.cells(pa.chunked_array([column]))
    assert np.array_equal(entered(block, whole(column)), cells, equal_nan=True)
    back = block.port_from_cells(torch.from_numpy(cells))
    assert back.dtype == torch.int64
    assert back.tolist() == [MISSING_INTEGER if x is None else x for x in whole(column)]


@pytest.mark.parametrize(
    ("pattern", "arrow_type", "unit"),
    [
        ("%d.%m.%Y", pa.date32(), "days since 1970-01-01"),
        ("%Y-%m-%d %H:%M", pa.timestamp("s"), "seconds since 1970-01-01T00:00:00"),
        ("%Y-%m-%dT%H:%M:%SZ", pa.timestamp("s"), "seconds since 1970-01-01T00:00:00Z"),
        ("%Y-%m-%dT%H:%M:%S+02:00", pa.timestamp("s"), "seconds since 1970-01-01T00:00:00+02:00"),
        ("%Y-%m-%d %H:%M:%S.%f", pa.timestamp("us"), "microseconds since 1970-01-01T00:00:00"),
    ],
)
def test_dates_that_are_text_are_integers_too(
    pattern: str, arrow_type: pa.DataType, unit: str
) -> None:
    column = written(pattern)
    block = block_of(column)
    assert block.kind == "datetime"
    assert block.port == Port("int64", MISSING_INTEGER, unit)
    read = [
        None if x is None else datetime.datetime.strptime(x, pattern) for x in column.to_pylist()
    ]
    plain = [None if x is None else x.replace(tzinfo=None) for x in read]
    given = whole(pa.array(plain, pa.timestamp("us")).cast(arrow_type))
    cells = block.cells(pa.chunked_array([column]))
    assert np.array_equal(entered(block, given), cells, equal_nan=True)
    assert block.port_from_cells(torch.from_numpy(cells)).tolist()[:-1] == given[:-1]


LOOKED_UP: dict[str, tuple[Any, Callable[[Any], Any], str]] = {
    "text": (pa.array(["b", "a", None, "c"] * 9), str, "string"),
    "dictionary": (pa.array(["b", "a", None, "c"] * 9).dictionary_encode(), str, "string"),
    "integers": (pa.array([7, -7, None, 7]), int, "int64"),
    "booleans": (pa.array([True, False, None, True]), int, "int64"),
    "floats": (pa.array([0.5, -1.5, None, 0.5]), float, "double"),
    "decimals": (pa.array([Decimal("0.10"), Decimal("2.50"), None]), float, "double"),
    "days": (pa.array([DAY, None, DAY + datetime.timedelta(days=1)]), None, "int64"),
}


@pytest.mark.parametrize("name", LOOKED_UP)
def test_levels_are_looked_up(name: str) -> None:
    column, plain, kind = LOOKED_UP[name]
    block = block_of(column, "categorical" if name == "days" else None)
    port = block.port
    assert port is not None
    assert port.type == kind
    assert port.levels is not None
    if plain is None:
        given: list[Any] = whole(column)
    else:
        given = [None if x is None else plain(x) for x in column.to_pylist()]
    cells = block.cells(pa.chunked_array([column]))
    assert np.array_equal(entered(block, given), cells, equal_nan=True)
    # The place leaves; what has none is missing.
    places = block.port_from_cells(torch.from_numpy(cells)).tolist()
    left = [None if place == MISSING_INTEGER else port.levels[place] for place in places]
    assert left == given
    unseen = {"string": "?", "int64": 99, "double": 99.5}[kind]
    assert entered(block, [unseen]).tolist() == [[len(port.levels)]]


@pytest.mark.parametrize(
    ("levels", "missing"),
    [
        (["a", "b"], ""),
        (["", "b"], "<missing>"),
        (["", "<missing>"], "<<missing>>"),
        (["b", "<missing>"], ""),
    ],
)
def test_what_stands_for_missing_text_is_no_level(levels: list[str], missing: str) -> None:
    port = block_of(pa.array(levels * 20)).port
    assert port is not None
    assert port.missing == missing


def test_constants_leave_and_identifiers_do_not() -> None:
    block = block_of(pa.array(["same", None, "same"]))
    assert block.kind == "constant"
    assert block.port == Port("string", "", None, ("same",))
    assert block.port_from_cells(torch.tensor([[0.0], [1.0]])).tolist() == [0, 0]
    assert block_of(pa.nulls(5)).port is None
    assert block_of(pa.array([f"row {i}" for i in range(50)])).port is None


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array([2**63, 5], pa.uint64()), "its level 9223372036854775808 is not between"),
        (pa.array([-(2**63), 5]), "its level -9223372036854775808 is not between"),
        (
            pa.array([Decimal("0.10000000000000000001"), Decimal("0.1")], pa.decimal128(30, 20)),
            "as doubles, some of its levels are equal",
        ),
    ],
    ids=["large", "missing", "equal"],
)
def test_levels_that_would_be_confused_are_refused(column: pa.Array, reason: str) -> None:
    block = block_of(column)
    with pytest.raises(DataError, match=f"^column 'x' cannot be exported: {reason}") as caught:
        _ = block.port
    assert str(caught.value).endswith("; fit with it as 'identifier'")
    assert "\n" not in str(caught.value)
