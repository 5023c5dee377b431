"""Tables and fields of integers: what comes back, and that a second decoder agrees."""

from __future__ import annotations

import hashlib
import importlib.util
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoencode.compression import table_planning
from autoencode.compression.field_model import field_shape
from autoencode.compression.field_part import decode_fields, encode_fields
from autoencode.compression.frequencies import FAMILIES, TOTAL, normalised, shape_tables
from autoencode.compression.packing import (
    join,
    pack,
    pack_integers,
    split,
    unpack,
    unpack_integers,
)
from autoencode.compression.plans import ColumnPlan, Source, check_order
from autoencode.compression.range_coder import BitReader, BitWriter, SymbolReader, SymbolWriter
from autoencode.compression.stored_integers import load_integers, store_integers
from autoencode.compression.stored_plans import store_plans
from autoencode.compression.stored_weights import LARGEST_WEIGHT, load_weights, store_weights
from autoencode.compression.table_model import Layout
from autoencode.compression.table_part import decode_table, encode_table
from autoencode.compression.table_planning import Column, plan_table
from autoencode.errors import DataError

found = importlib.util.spec_from_file_location(
    "slow_decoder", Path(__file__).with_name("slow_decoder.py")
)
assert found is not None
assert found.loader is not None
slow_decoder = importlib.util.module_from_spec(found)
found.loader.exec_module(slow_decoder)

# Of all frequencies, as eight bytes each: these tables may never change.
FROZEN = {
    "logistic": "2489a630f4f3c028",
    "laplace": "3536928064ff62e9",
    "normal": "43ac4f9e6b4d69b4",
    "heavy": "57dc42830e869a57",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tables_are_the_frozen_ones(family: str) -> None:
    tables = shape_tables(family)
    starts = tables.starts
    for place in (0, 57, 119):
        own = tables.frequencies[starts[place] : starts[place + 1]]
        assert own.sum() == TOTAL
        assert own.min() >= 1
        slow, radius = slow_decoder.shape(family, place // 4, place % 4)
        assert own.tolist() == slow
        assert radius == tables.radii[place]
    raw = tables.frequencies.astype("<i8").tobytes()
    assert hashlib.sha256(raw).hexdigest()[:16] == FROZEN[family]


def test_frequencies_sum_up_and_are_never_zero() -> None:
    weights = np.array([[0, 0, 1], [1 << 40, 1, 0], [5, 5, 5]])
    frequencies = normalised(weights)
    assert (frequencies.sum(1) == TOTAL).all()
    assert frequencies.min() == 1


@pytest.mark.parametrize(
    ("lanes", "count", "tail"), [(1, 500, 0), (4, 500, 0), (64, 500, 0), (64, 20_000, 8)]
)
def test_symbols_come_back_and_every_damage_is_seen(lanes: int, count: int, tail: int) -> None:
    rng = np.random.default_rng(lanes)
    tables = shape_tables("laplace")
    chosen = rng.integers(0, 120, count)
    places = np.empty(count, np.int64)
    tables.locate(tables.bases(chosen), rng.integers(0, TOTAL, count), places)
    assert ((tables.starts[chosen] <= places) & (places < tables.starts[chosen + 1])).all()
    writer = SymbolWriter(lanes)
    for piece in (slice(0, 7), slice(7, None)):
        writer.put(tables, places[piece])
    data = writer.finish()
    assert writer.lanes == (32 if lanes == 64 and not tail else lanes)

    def read(coded: bytes) -> Any:
        reader = SymbolReader(coded, writer.lanes)
        parts = [reader.take(tables, chosen[piece]) for piece in (slice(0, 7), slice(7, None))]
        reader.finish()
        return np.concatenate(parts)

    assert (read(data) == places).all()
    slow, cuts = slow_decoder.Symbols(data, writer.lanes), tables.starts.tolist()
    for at, (table, place) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
        frequencies = tables.frequencies[cuts[table] : cuts[table + 1]].tolist()
        assert slow.take(at - 7 * (at >= 7), frequencies) == place - cuts[table]
    assert slow.narrow == tail
    with pytest.raises(DataError, match="symbols"):
        read(data[:-2])
    with pytest.raises(DataError, match="symbols"):
        read(data + b"\0\0")
    for place in range(0, len(data), max(11, len(data) // 50)):
        with pytest.raises(DataError, match="symbols"):
            read(data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :])


def test_bits_come_back() -> None:
    rng = np.random.default_rng(0)
    widths = rng.integers(0, 57, 300)
    values = rng.integers(0, 1 << 62, 300) & ((1 << widths) - 1)
    writer = BitWriter()
    writer.put(values, widths)
    reader = BitReader(writer.finish())
    assert (np.concatenate([reader.take(widths[:9]), reader.take(widths[9:])]) == values).all()
    with pytest.raises(DataError, match="too early"):
        reader.take(np.array([20]))


def test_packed_bytes_and_integers_come_back() -> None:
    for data in (b"", b"x", bytes(5000), np.random.default_rng(0).bytes(300), b"ab" * 400):
        assert unpack(pack(data)) == data
        assert unpack(pack(data, fast=True)) == data
        assert split(join([data, b"", data])) == [data, b"", data]
    values = np.array([0, -1, 1, -(1 << 63), (1 << 63) - 1, 300])
    assert (unpack_integers(pack_integers(values), 6) == values).all()
    with pytest.raises(DataError, match="at most 10 can be"):
        unpack(pack(bytes(1000)), 10)
    with pytest.raises(DataError, match="damaged"):
        unpack_integers(pack_integers(values), 5)


@pytest.mark.parametrize("largest", [1, 200, 60_000, 1 << 40])
def test_stored_integers_come_back(largest: int) -> None:
    values = np.random.default_rng(0).integers(0, largest, 500)
    assert (load_integers(store_integers(values), 500, largest) == values).all()
    with pytest.raises(DataError, match=r"damaged|length|claim"):
        load_integers(store_integers(values), 499, largest)


def mixed(n_rows: int = 300) -> list[Column]:
    """Columns of every kind: few levels, predicted, wide, of rare extremes, with a mask."""
    rng = np.random.default_rng(0)
    base = np.cumsum(rng.integers(-3, 4, n_rows)) + 400
    levels = rng.integers(0, 4, n_rows)
    near = 3 * base + levels * 20 + rng.integers(0, 3, n_rows)
    extreme = np.where(rng.random(n_rows) < 0.03, 1 << 44, near) + rng.integers(0, 9, n_rows)
    mask = (rng.random(n_rows) < 0.3).astype(np.int64)
    masked = np.where(mask == 0, near // 2, 0)
    told = np.array([2, 0, 3, 1])[levels]
    columns = (base, levels, near, extreme, mask, masked, np.zeros(n_rows, np.int64), told)
    return [
        Column(values.astype(np.int64), int(values.max()) + 1, 4 if place == 5 else -1)
        for place, values in enumerate(columns)
    ]


def expected(columns: list[Column], values: Any) -> None:
    for place, column in enumerate(columns):
        stored = columns[column.mask].values == 0 if column.mask >= 0 else slice(None)
        assert (values[place][stored] == column.values[stored]).all()


@pytest.mark.parametrize("layout", [Layout(300), Layout(300, 1, 40), Layout(300, 2, 300)])
def test_a_second_decoder_agrees_bit_by_bit(layout: Layout) -> None:
    columns = mixed()
    planned = plan_table(columns, layout)
    assert {plan.mode for plan in planned.plans} >= {"levels", "residual"}
    assert any(plan.regressors for plan in planned.plans)
    assert any(plan.sources for plan in planned.plans)
    data = encode_table(columns, planned, layout)
    values = decode_table(data, len(columns), 300)
    expected(columns, values)
    assert slow_decoder.Decoder(data, len(columns), 300).run() == values.tolist()
    with pytest.raises(DataError, match=r"damaged|too"):
        decode_table(data[:-1], len(columns), 300)


def test_columns_stored_otherwise_tell_the_others() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(0, 5000, 400)
    second = np.arange(400) // 4
    columns = [Column(first + second, 6000), Column(second, 100, -1, 1.0)]
    planned = plan_table(columns, Layout(400))
    assert [plan.mode for plan in planned.plans][1] == "given"
    assert (decode_table(encode_table(columns, planned, Layout(400)), 2, 400) == [
        first + second, second]).all()  # fmt: skip


@pytest.mark.parametrize("shape", [(700,), (3, 9, 8), (9, 8, 3), (150, 4, 4), (1, 6, 1)])
def test_fields_come_back(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.integers(-2, 3, shape), axis=-1).ravel()
    values -= values.min()
    mask = (rng.random(values.shape) < 0.2).astype(np.int64)
    columns = [Column(mask, 2), Column(values, int(values.max()) + 1, 0)]
    layout = field_shape(shape)
    assert layout is not None
    data = encode_fields(columns, layout)
    expected(columns, decode_fields(data, 2, len(values), layout))
    with pytest.raises(DataError, match=r"damaged|too|pieces"):
        decode_fields(data[:-1], 2, len(values), layout)


def test_a_plan_may_not_look_ahead_or_overflow() -> None:
    late = ColumnPlan("residual", 9, regressors=[1], weights=[1], scales=[0])
    plain = ColumnPlan("levels", 9)
    with pytest.raises(DataError, match="not known yet"):
        check_order([late, plain], 0)
    with pytest.raises(DataError, match="overflows"):
        check_order([plain, ColumnPlan("levels", 9, regressors=[0], weights=[1 << 52])], 0)
    with pytest.raises(DataError, match="later surprise"):
        check_order([ColumnPlan("levels", 9, sources=(Source("surprise", 0, [1]),))], 0)


def test_a_plan_may_not_claim_large_tables() -> None:
    context = Source("value", 0, list(range(1, 4096)))
    plain, large = ColumnPlan("levels", 4096), ColumnPlan("levels", 4096, sources=(context,))
    head = store_plans([plain, large], range(2), (0, 0, 4))
    forged = join([head, bytes(20), b""])
    tracemalloc.start()
    with pytest.raises(DataError, match="adaptive tables claim to be too large"):
        decode_table(forged, 2, 10)
    # The tables would have 2 ** 24 entries.
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_adaptive_tables_of_many_columns_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    columns = [Column(rng.choice([0, 7, 99], 300), 100) for _ in range(4)]
    modes = [plan.mode for plan in plan_table(columns, Layout(300)).plans]
    assert modes == ["levels"] * 4
    monkeypatch.setattr(table_planning, "LARGEST_TABLES", 200)
    planned = plan_table(columns, Layout(300))
    assert [plan.mode for plan in planned.plans] == ["levels", "levels", "residual", "residual"]
    expected(columns, decode_table(encode_table(columns, planned, Layout(300)), 4, 300))


def test_weights_come_back_by_the_table_that_suits_them() -> None:
    rng = np.random.default_rng(0)
    drawn = np.rint(rng.normal(scale=20, size=3000)).astype(np.int64)
    group = np.where(rng.random(3000) < 0.1, drawn, 0)
    group[:4] = (LARGEST_WEIGHT, -LARGEST_WEIGHT, 12, -11)
    data = store_weights([group, drawn[:9]])
    found = load_weights(data, [3000, 9])
    assert (found[0] == group).all()
    assert (found[1] == drawn[:9]).all()
    assert split(data)[0][1] == len(FAMILIES)
    assert split(data)[0][3] < len(FAMILIES)
    with pytest.raises(DataError):
        load_weights(data[:-1], [3000, 9])
    with pytest.raises(DataError, match="another number of weights"):
        load_weights(data, [3000])
