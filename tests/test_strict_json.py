"""JSON that comes back as it went in, and nothing that the standard leaves open."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoencode.errors import SpecError
from autoencode.strict_json import read_json, write_json

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(math.isfinite)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(values)
def test_what_is_written_is_read_back(value: object) -> None:
    read = read_json(write_json(value, "value"))
    assert read == value
    assert repr(read) == repr(value) or isinstance(value, dict | list)


def test_key_order_does_not_show() -> None:
    assert write_json({"b": 1, "a": {"d": 2, "c": 3}}, "value") == '{"a":{"c":3,"d":2},"b":1}'


def test_numpy_scalars_tuples_and_mappings_become_plain() -> None:
    value = {
        "float32": np.float32(0.5),
        "float64": np.float64(0.1),
        "int64": np.int64(7),
        "bool": np.bool_(True),
        "text": np.str_("a"),
        "tuple": (1, 2),
        "mapping": MappingProxyType({"x": None}),
    }
    assert read_json(write_json(value, "value")) == {
        "float32": 0.5,
        "float64": 0.1,
        "int64": 7,
        "bool": True,
        "text": "a",
        "tuple": [1, 2],
        "mapping": {"x": None},
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1.0, math.nan]}, r"value\['a'\]\[1\] is nan; only finite"),
        ([math.inf], r"value\[0\] is inf"),
        (np.float32("-inf"), "value is -inf"),
        ({"a": {1: "b"}}, r"value\['a'\] has the key 1; only text"),
        ({"a": b"bytes"}, r"value\['a'\] is a bytes; allowed are"),
        ({"a": np.zeros(2)}, r"value\['a'\] is a ndarray"),
        ({"a": {1, 2}}, "is a set"),
        (10**5000, "value cannot be written as JSON"),
    ],
    ids=range(8),
)
def test_what_cannot_be_stored_is_named(value: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        write_json(value, "value")


def test_a_value_inside_itself_is_an_error() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(SpecError, match="nested more than 64 levels deep"):
        write_json(circle, "value")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a":1,"a":2}',
        '[{"a":1,"a":1}]',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "1" * 5000,
        "[" * 100_000,
        '{"a":' * 100_000,
        "[1,]",
        "'a'",
        "\ufeff1",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_the_standard_leaves_open_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)
