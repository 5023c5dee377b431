"""The bound is never broken: in exact arithmetic, on what is read, for every type."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoencode.compression import array_block
from autoencode.compression.effort import EFFORTS
from autoencode.compression.numbers import exceeds, from_bits, to_bits
from autoencode.compression.quantising import (
    absolute_bound,
    aligned,
    quantise,
    same_bits,
    shortened,
)

rng = np.random.default_rng(0)
TINY = float(np.finfo(np.float32).smallest_subnormal)
HARD: dict[str, tuple[Any, float]] = {
    "offset": ((1e5 + rng.normal(size=3000)).astype(np.float32), 5e-3),
    "lognormal": (np.exp(5 * rng.normal(size=3000)).astype(np.float32), 1e-3),
    "plain": (rng.normal(size=1000), 1e-3),
    "half": (rng.normal(size=1000).astype(np.float16), 1e-3),
    "decimals": (np.round(rng.normal(size=1000), 2), 0.01),
    "subnormal": ((rng.integers(0, 1000, 500) * TINY).astype(np.float32), 3 * TINY),
    "ties": (np.arange(200) / 4, 0.25),
    "bytes": (rng.integers(-128, 128, 500).astype(np.int8), 3),
    "long": (rng.integers(-(1 << 63), (1 << 63) - 1, 500), 1e17),
    "unsigned": (rng.integers(0, (1 << 64) - 1, 500, dtype=np.uint64), 5.0),
    "few": (np.arange(256).astype(np.uint8), 100),
    "scaled": (((rng.integers(0, 90, 900) - 31.7) / 13.4).astype(np.float32), 5e-3),
    "scaled, together": ((rng.integers(0, 90, 900) - 31.7) / 13.4, 0.12),
    "huge": (np.array([1e308, -1e308, 3.0]), 0.1),
    "special": (np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5, 2.5]), 0.1),
    "nothing": (np.zeros(0), 0.1),
    "all missing": (np.full(5, np.nan), 0.1),
}


def violations(values: Any, decoded: Any, error: float) -> int:
    """Count them in rational numbers."""
    bound, count = Fraction(error), 0
    for value, found in zip(values.tolist(), decoded.tolist(), strict=True):
        if not np.isfinite(value):
            count += repr(value) != repr(found)
        else:
            count += abs(Fraction(value) - Fraction(found)) > bound
    return count


@pytest.mark.parametrize("name", HARD)
def test_the_bound_holds_exactly(name: str) -> None:
    values, error = HARD[name]
    found = quantise(values, error)
    decoded = found.decoded(values.dtype)
    assert decoded.dtype == values.dtype
    assert violations(values, decoded, error) == 0
    kept = quantise(values, 0.0)
    assert same_bits(kept.decoded(values.dtype), values).all()


def test_rounding_to_the_type_alone_breaks_bounds_that_we_keep() -> None:
    values, error = HARD["offset"]
    low = float(values.min())
    naive = (low + np.rint((values.astype(np.float64) - low) / (2 * error)) * 2 * error).astype(
        np.float32
    )
    assert violations(values, naive, error) > 100


def test_what_is_special_keeps_its_bits() -> None:
    odd = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 0x7F800000], np.uint32).view(np.float32)
    values = np.concatenate([odd, np.linspace(0, 1, 50, dtype=np.float32)])
    for error in (0.0, 0.01):
        decoded = quantise(values, error).decoded(values.dtype)
        assert same_bits(decoded[:4], odd).all()


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.integers(0, 30),
        elements=st.floats(width=16, allow_nan=True, allow_infinity=True),
    ),
    st.floats(0, 100),
)
def test_any_floats_stay_within_any_bound(values: Any, error: float) -> None:
    decoded = quantise(values, error).decoded(values.dtype)
    assert violations(values, decoded, error) == 0


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(st.sampled_from([np.int8, np.uint16, np.int64, np.uint64]), st.integers(0, 30)),
    st.floats(0, 1e6),
)
def test_any_whole_numbers_stay_within_any_bound(values: Any, error: float) -> None:
    decoded = quantise(values, error).decoded(values.dtype)
    assert violations(values, decoded, error) == 0


@settings(max_examples=80, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0, 10))
def test_differences_are_judged_without_rounding(first: float, second: float, error: float) -> None:
    for bound in (error, abs(first - second)):
        judged = exceeds(np.array([first]), np.array([second]), bound)[0]
        assert judged == (abs(Fraction(first) - Fraction(second)) > Fraction(bound))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_numbered_in_their_order(dtype: Any) -> None:
    values = np.array([-np.inf, -2.5, -0.0, 0.0, 1e-7, 3.0, np.inf], dtype)
    numbers = to_bits(values)
    assert (np.diff(numbers) > 0).all()
    assert numbers[3] == 0
    assert same_bits(from_bits(numbers, np.dtype(dtype)), values).all()


def test_relative_bounds_are_shares_of_the_range_and_short() -> None:
    values = np.array([1.0, np.nan, 8.123456789, np.inf])
    for copies, share, length in ((1, 0.999, 7), (2000, 0.9999, 9)):
        bound = absolute_bound(np.tile(values, copies), 1e-3)
        assert share * 7.123456789e-3 < bound <= 7.123456789e-3
        assert len(repr(bound)) <= length
    assert absolute_bound(np.array([-1e308, 1e308]), 0.1) > 0
    assert shortened(0.1, 5) == 0.1


def test_columns_are_counted_from_the_same_number_where_that_costs_little() -> None:
    pixels = rng.integers(40, 100, (50, 3)).astype(np.float32)
    far = np.arange(50, dtype=np.float32) + 1e6
    odd = np.where(np.arange(50) == 7, np.nan, pixels[:, 0] - 30).astype(np.float32)
    given = [*pixels.T, far, odd]
    for error in (0.0, 0.2):
        found = aligned([quantise(values, error) for values in given])
        assert len({column.transform.low for column in found[:3]}) == 1
        assert found[3].transform.low != found[0].transform.low
        for values, column in zip(given, found, strict=True):
            decoded = column.decoded(np.dtype(np.float32))
            assert violations(values, decoded, error) == 0
            assert 0 <= column.integers.min() <= column.integers.max() < column.size


@pytest.mark.parametrize(
    ("error", "step", "size"), [(1e-4, 1, 90), (0.02, 1, 90), (0.1, 3, 31), (0.3, None, 12)]
)
def test_whole_numbers_that_were_scaled_are_counted(
    error: float, step: int | None, size: int
) -> None:
    drawn = np.random.default_rng(0).permutation(np.arange(900) % 90)
    values = ((drawn - 31.7) / 13.4).astype(np.float32)
    values[3] = np.nan
    found = quantise(values, error)
    assert found.size == size
    if step is not None:
        assert found.transform.kind == "decimal"
        assert found.integers[5] == (drawn[5] + step // 2) // step
    assert np.flatnonzero(found.special).tolist() == [3]
    assert violations(values[4:], found.decoded(values.dtype)[4:], error) == 0


def test_what_repeats_within_a_bound_may_be_kept_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = np.random.default_rng(0)
    windows = np.lib.stride_tricks.sliding_window_view(drawn.integers(0, 200, 900), 12)
    rows = windows[drawn.permutation(len(windows))] * np.arange(1.0, 13.0)
    bounds = [0.6 * scale for scale in range(1, 13)]
    effort = EFFORTS["fast"]
    exact = array_block._encode_exact(list(rows.T.copy()), bounds, effort)
    assert (array_block.decode_array(exact, len(rows), [12], rows.dtype, bounds) == rows).all()
    # It is looked at where the bytes of the numbers themselves take least.
    monkeypatch.setattr(array_block, "_encode_columns", lambda *_: [bytes(1 << 20)])
    monkeypatch.setattr(array_block, "_stored", lambda *_: [bytes(len(exact) + 1)])
    effort = EFFORTS["default"]
    found = array_block.encode_array(rows, [12], bounds, effort)
    assert found[0] == array_block._COLUMNS
    assert (array_block.decode_array(found, len(rows), [12], rows.dtype, bounds) == rows).all()
