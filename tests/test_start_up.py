"""A fit does without the slow imports that PyTorch makes late."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = """
import sys

import numpy as np
import pandas as pd

from autoencode import {name}, load

rng = np.random.default_rng(0)
X = {data}
model = {name}(2, max_epochs=1{options}).fit(X)
assert model.history_["epoch"]
model.save("m")
load("m").transform(X)
slow = {{"sympy", "torch._dynamo"}} & sys.modules.keys()
assert not slow, slow
"""
NUMBERS = "rng.normal(size=(80, 4))"
TABLE = (
    "pd.DataFrame({'a': rng.normal(size=80), 'b': rng.integers(0, 2, 80), 'c': ['x', 'y'] * 40})"
)


@pytest.mark.parametrize(
    ("name", "data", "options"),
    [
        ("Autoencoder", NUMBERS, ", hidden_layer_sizes=(4,)"),
        ("ConvolutionalAutoencoder", "rng.normal(size=(60, 8, 8))", ""),
        ("VariationalAutoencoder", TABLE, ""),
    ],
)
def test_a_fit_imports_neither_pytorchs_compiler_nor_sympy(
    name: str,
    data: str,
    options: str,
    run: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    text = PROGRAM.format(name=name, data=data, options=options)
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    done = run(program=tmp_path / "program.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
