from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoencode.data.text_columns import TextColumn


def column(*blocks, **options):
    one = TextColumn(**options)
    for cells in blocks:
        one.add(pa.array(cells, pa.string()))
    return one


KINDS = {
    "whole numbers": (["1", "-20", None, "0"], pa.int64(), [1, -20, None, 0]),
    "all bits": ([str(-(2**63)), str(2**63 - 1)], pa.int64(), [-(2**63), 2**63 - 1]),
    "spaces": ([" 1", "2 ", " "], pa.int64(), [1, 2, None]),
    "real numbers": (["1", "-2.5", "1e3", ".5"], pa.float64(), [1, -2.5, 1000, 0.5]),
    "zeros before a point": (["0.5", "00.5"], pa.float64(), [0.5, 0.5]),
    "minus zero": (["-0", "1"], pa.float64(), [0, 1]),
    "plus": (["+1", "2"], pa.float64(), [1, 2]),
    "NaN": (["1.5", "nan", "NaN", "-nan"], pa.float64(), [1.5, None, None, None]),
    "infinity": (["inf", "-Infinity"], pa.float64(), [np.inf, -np.inf]),
    "codes": (["01", "12"], pa.string(), ["01", "12"]),
    "negative codes": (["-01", "12"], pa.string(), ["-01", "12"]),
    "hexadecimal": (["0x10", "12"], pa.string(), ["0x10", "12"]),
    "too many digits": (["12345678901234567890", "1"], pa.string(), ["12345678901234567890", "1"]),
    "text": (["1", "x", None, "NA", "", " "], pa.string(), ["1", "x", None, None, None, None]),
    "truth": (["true", "false"], pa.string(), ["true", "false"]),
    "nothing": ([None, "NA", ""], pa.null(), [None, None, None]),
    "no cells": ([], pa.null(), []),
}


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.parametrize("split", [False, True])
def test_kinds(case, split):
    cells, kind, values = KINDS[case]
    blocks = [[cell] for cell in cells] if split else [cells]
    found = column(*blocks)
    if found.lost:
        found = column(*blocks, is_text=True)
    assert found.finished().type == kind
    assert found.finished().to_pylist() == values


def test_what_was_real_numbers_and_then_text_is_lost():
    assert column(["1.50"], ["x"]).lost
    assert not column(["1"], ["x"]).lost
    assert not column(["1.50", "x"]).lost
    assert column(["1.50"], ["x"], is_text=True).finished().to_pylist() == ["1.50", "x"]


def test_decimal_commas():
    assert column(["1,5", "2", ",5"], decimal_point=",").finished().to_pylist() == [1.5, 2, 0.5]
    assert column(["1", "2,5"]).has_decimal_comma
    assert column(["1", "x", "2,5"]).finished().to_pylist() == ["1", "x", "2,5"]
    assert not column(["1", "x", "2,5"]).has_decimal_comma
    # A point may stand before three zeros of a thousand.
    assert column(["1.000", "2,5"], decimal_point=",").finished().to_pylist() == ["1.000", "2,5"]


def test_columns_carried_along_are_not_interpreted():
    found = column(["NA", None, " ", "x"], verbatim=True).finished()
    assert found.to_pylist() == ["NA", "", " ", "x"]
    assert column(["7", None], verbatim=True).finished().to_pylist() == [7, None]
    found = column(["7", None, "NA"], [" 8"], verbatim=True).finished()
    assert found.to_pylist() == ["7", "", "NA", " 8"]
    assert column(["7", None], ["x"], verbatim=True).finished().to_pylist() == ["7", "", "x"]


@given(st.lists(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=5), max_size=5))
def test_whole_numbers_are_told_from_codes(blocks):
    texts = [[None if value is None else str(value) for value in block] for block in blocks]
    found = column(*texts).finished()
    assert found.to_pylist() == [value for block in blocks for value in block]
    assert found.type in (pa.int64(), pa.null())
    for value in (value for block in blocks for value in block if value is not None):
        padded = f"{'-' if value < 0 else ''}0{abs(value)}"
        assert column(*texts, [padded]).finished().to_pylist()[-1] == padded
        break
