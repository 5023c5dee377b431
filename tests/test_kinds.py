"""The torch-free names and the parts themselves agree, on every axis."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from autoencode import kinds
from autoencode.architectures import ARCHITECTURES
from autoencode.bottlenecks import BOTTLENECKS
from autoencode.corruptions import CORRUPTIONS
from autoencode.likelihoods import LIKELIHOODS
from autoencode.penalties import PENALTIES

PARTS = {
    "architecture": ARCHITECTURES,
    "bottleneck": BOTTLENECKS,
    "corruption": CORRUPTIONS,
    "likelihood": LIKELIHOODS,
    "penalty": PENALTIES,
}


@pytest.mark.parametrize("axis", PARTS)
def test_names_equal_the_keys_of_the_dictionary(axis: str) -> None:
    assert kinds.AXES[axis] == tuple(PARTS[axis])


def test_the_axes_are_the_five() -> None:
    assert kinds.AXES.keys() == PARTS.keys()
    names = [name for axis in kinds.AXES.values() for name in axis]
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize("axis", PARTS)
def test_names_of_penalties_are_those_of_their_terms(axis: str) -> None:
    for name, part in PARTS[axis].items():
        assert callable(part)
        if axis == "penalty":
            assert part().name == name


def test_the_names_need_no_import() -> None:
    tree = ast.parse(Path(kinds.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [node.module for node in imports] == ["__future__"]
