"""From a text to a part: what is read, what is refused, and in which words."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from autoencode.corruptions import CORRUPTIONS, GaussianNoise
from autoencode.errors import SpecError
from autoencode.layout import Layout
from autoencode.spec import describe, make, module_of, parse

LAYOUT = Layout(3)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("mlp", ("mlp", {})),
        ("mlp:", ("mlp", {})),
        ("mask:level=0.5", ("mask", {"level": 0.5})),
        ("mlp: activation = relu , start='pca'", ("mlp", {"activation": "relu", "start": "pca"})),
        ("a:b=(1, 2),c=[3, 4],d={'e': 5}", ("a", {"b": (1, 2), "c": [3, 4], "d": {"e": 5}})),
        ("a:b=True,c=None,d=-1e-3", ("a", {"b": True, "c": None, "d": -1e-3})),
        ("my.parts:Class", ("my.parts:Class", {})),
        ("my.parts:Class:scale=2,name=x", ("my.parts:Class", {"scale": 2, "name": "x"})),
    ],
)
def test_a_spec_is_a_name_and_options(spec: str, expected: Any) -> None:
    assert parse(spec) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mask:level", "'level' should read key=value"),
        ("mask:0.5", "'0.5' should read key=value"),
        ("mask:level=__import__('os')", "the value of 'level' is not a plain value"),
        ("mask:level=1+", "the value of 'level' is not a plain value"),
        ("mask:level=[1", "the value of 'level' is not a plain value"),
    ],
)
def test_an_option_that_is_no_plain_value_is_refused(spec: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(f"{spec!r}: {message}")):
        parse(spec)


def test_module_of_an_outside_part() -> None:
    assert module_of("mask:level=0.5") is None
    assert module_of("a.b:Class:level=0.5") == "a.b"


def test_a_known_name_is_built_with_its_options() -> None:
    part = make("corruption", CORRUPTIONS, "gaussian:level=0.25", LAYOUT)
    assert isinstance(part, GaussianNoise)
    assert part.lowest == part.highest == 0.25


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("gausian", "corruption='gausian' is not known; choose from block, gaussian, hide, holes"),
        ("gausian", "did you mean 'gaussian'?"),
        ("zzz", "choose from block, gaussian, hide, holes, mask"),
        ("", "corruption='' is not known"),
        ("mask:depth=1", "got an unexpected keyword argument 'depth'"),
        (
            3,
            "corruption=3 is neither a name nor callable; choose from block, gaussian, hide, holes",
        ),
        ("no.such.module:Class", "corruption='no.such.module:Class' cannot be imported"),
        ("autoencode.spec:Missing", "cannot be imported"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is_allowed(spec: Any, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        make("corruption", CORRUPTIONS, spec, LAYOUT)
    assert "\n" not in str(caught.value)


def test_a_far_name_brings_no_hint() -> None:
    with pytest.raises(SpecError) as caught:
        make("corruption", CORRUPTIONS, "zzz", LAYOUT)
    assert "did you mean" not in str(caught.value)


def test_an_outside_part_is_imported_and_given_its_options(outside: str) -> None:
    part = make("corruption", CORRUPTIONS, f"{outside}:Shift:by=2.5", LAYOUT)
    assert part.by == 2.5
    with pytest.raises(SpecError, match="is not callable"):
        make("corruption", CORRUPTIONS, f"{outside}:number", LAYOUT)
    with pytest.raises(SpecError, match="unexpected keyword argument 'width'"):
        make("corruption", CORRUPTIONS, f"{outside}:Shift:width=1", LAYOUT)


def test_a_callable_is_called_with_the_sizes() -> None:
    assert make("bottleneck", {}, lambda *sizes: sizes, 1, 2) == (1, 2)


def test_an_importable_part_is_described_by_its_name() -> None:
    assert describe("mask:level=0.5") == "mask:level=0.5"
    assert describe(GaussianNoise) == "autoencode.corruptions:GaussianNoise"
    rebuilt = make("corruption", CORRUPTIONS, describe(GaussianNoise), LAYOUT)
    assert isinstance(rebuilt, GaussianNoise)


def _local() -> Any:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    "part",
    [lambda: None, _local(), GaussianNoise.__call__, functools.partial(GaussianNoise, 1), object()],
    ids=["lambda", "local function", "method", "partial", "object"],
)
def test_what_cannot_be_found_again_is_refused(part: Any) -> None:
    with pytest.raises(SpecError, match="has no importable name; define it at the top"):
        describe(part)
