"""Any Arrow table goes to cells and values and comes back the same."""

from __future__ import annotations

import decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from autoencode.preprocess.column_kinds.keys import family
from autoencode.preprocess.columns import Schema
from autoencode.strict_json import read_json, write_json

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
UNSIGNED = [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = {pa.float16(): 16, pa.float32(): 32, pa.float64(): 64}
# Rounds nothing.
WIDE = decimal.Context(prec=80)
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
UNITS = ["s", "ms", "us", "ns"]
ZONES = [None, "UTC", "Europe/Berlin", "+05:30"]
WHOLE = st.integers(-(2**63), 2**63 - 1)


def storage(arrow_type: pa.DataType, elements: st.SearchStrategy[int]) -> Any:
    """Values of a type that is stored as integers, through those integers."""
    integer = pa.int32() if arrow_type.bit_width == 32 else pa.int64()

    def build(values: list[int | None]) -> pa.Array:
        return pa.array(values, integer).view(arrow_type)

    return st.tuples(st.just(elements), st.just(build))


def plain(arrow_type: pa.DataType, elements: st.SearchStrategy[Any]) -> Any:
    return st.tuples(st.just(elements), st.just(lambda values: pa.array(values, arrow_type)))


def time_type(unit: str) -> Any:
    arrow_type = pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    per_second = 1000 ** UNITS.index(unit)
    return storage(arrow_type, st.integers(0, 86_400 * per_second - 1))


def decimals(precision: int, scale: int) -> Any:
    make = pa.decimal128 if precision <= 38 else pa.decimal256
    largest = 10**precision - 1
    elements = st.integers(-largest, largest).map(
        lambda units: decimal.Decimal(units).scaleb(-scale, WIDE)
    )
    return plain(make(precision, scale), elements)


TYPES = st.one_of(
    st.sampled_from(INTEGERS).flatmap(
        lambda t: plain(t, st.integers(-(2 ** (t.bit_width - 1)), 2 ** (t.bit_width - 1) - 1))
    ),
    st.sampled_from(UNSIGNED).flatmap(lambda t: plain(t, st.integers(0, 2**t.bit_width - 1))),
    st.sampled_from(list(FLOATS)).flatmap(
        lambda t: plain(t, st.floats(width=FLOATS[t], allow_nan=False, allow_infinity=False))
    ),
    plain(pa.bool_(), st.booleans()),
    st.sampled_from(TEXTS).flatmap(lambda t: plain(t, st.text(max_size=5))),
    plain(pa.string(), st.dates().map(str)),
    plain(pa.string(), st.datetimes().map(lambda when: when.strftime("%d/%m/%y %H:%M"))),
    st.tuples(st.integers(1, 70), st.integers(0, 10)).flatmap(
        lambda sizes: decimals(max(sizes), sizes[1])
    ),
    st.just(decimals(5, -2)).flatmap(lambda strategy: strategy),
    storage(pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    storage(pa.date64(), WHOLE),
    st.tuples(st.sampled_from(UNITS), st.sampled_from(ZONES)).flatmap(
        lambda pair: storage(pa.timestamp(*pair), WHOLE | st.integers(0, 2**31))
    ),
    st.sampled_from(UNITS).flatmap(time_type),
    st.sampled_from(UNITS).flatmap(lambda unit: storage(pa.duration(unit), WHOLE)),
    st.tuples(st.none(), st.just(lambda values: pa.nulls(len(values)))),
    plain(pa.list_(pa.int8()), st.lists(st.integers(0, 9), max_size=2)),
)


@st.composite
def columns(draw: st.DrawFn, n_rows: int) -> pa.Array:
    elements, build = draw(TYPES)
    if elements is None:
        return build([None] * n_rows)
    pool = draw(st.lists(elements, min_size=1, max_size=n_rows))
    values = draw(st.lists(st.sampled_from(pool) | st.none(), min_size=n_rows, max_size=n_rows))
    if any(isinstance(value, list) for value in pool) or not draw(st.booleans()):
        return build(values)
    # A dictionary whose levels are in no order and need not be used.
    levels = list(dict.fromkeys(pool))
    places = [None if value is None else levels.index(value) for value in values]
    index_type = draw(st.sampled_from([pa.int8(), pa.uint16(), pa.int64()]))
    return pa.DictionaryArray.from_arrays(
        pa.array(places, index_type), build(levels), ordered=draw(st.booleans())
    )


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    n_rows = draw(st.integers(1, 30))
    arrays = draw(st.lists(columns(n_rows), min_size=1, max_size=3))
    return pa.table({f"c{i}": array for i, array in enumerate(arrays)})


@settings(max_examples=400, deadline=None)
@given(tables())
def test_every_table_comes_back(table: pa.Table) -> None:
    schema = Schema.look(table)
    again = Schema.from_header(read_json(write_json(schema.header(), "header")))
    assert again.fields.equals(table.schema, check_metadata=True)
    cells = schema.cells(table)
    np.testing.assert_array_equal(again.cells(table), cells)
    exact = schema.table(cells)
    values = schema.spread(cells)
    gathered = schema.gather(values)
    returned = again.table(gathered)
    assert exact.schema.equals(table.schema)
    for block in schema.blocks:
        column = table.column(block.name)
        if block.kind == "identifier":
            assert exact.column(block.name).null_count == len(column)
            continue
        assert exact.column(block.name).equals(column), block
        if block.kind == "constant":
            continue
        if family(block.type) == "float" and block.kind == "numeric":
            span = schema.spans[schema.names.index(block.name)]
            np.testing.assert_allclose(
                gathered[:, span.cells], cells[:, span.cells], rtol=1e-12, atol=0
            )
        else:
            assert returned.column(block.name).equals(column), block
