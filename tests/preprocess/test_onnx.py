"""The way to values and back as an ONNX graph: the same numbers, in float64."""

from __future__ import annotations

import datetime
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from autoencode.preprocess.column_kinds import COLUMN_KINDS
from autoencode.preprocess.columns import Schema

pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")
N = 3000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    start = datetime.datetime(2019, 5, 1)
    levels = pa.array(["low", "mid", "high"])
    return pa.table(
        {
            "one": ["a"] * N,
            "two": pa.array([0, 1, None] * 1000),
            "few": pa.DictionaryArray.from_arrays(np.arange(N) % 3, levels, ordered=True),
            "when": [start + datetime.timedelta(hours=7 * i) for i in range(N)],
            "name": [f"row {i}" for i in range(N)],
            "events": rng.poisson(2, N),
            "plain": rng.normal(size=N),
            "heavy": np.exp(2 * rng.normal(size=N)),
            "money": pa.array([Decimal(int(x)).scaleb(-2) for x in rng.integers(0, 10**6, N)]),
            "colour": ["rare", *(["red", "green", "blue", "grey"] * N)[: N - 1]],
            "many": [f"user {i % 1000}" for i in range(N)],
            "hour": rng.integers(0, 24, N),
        }
    )


class Whole(nn.Module):
    """All blocks of a schema side by side, in one direction."""

    def __init__(self, schema: Schema, back: bool) -> None:
        super().__init__()
        self.schema, self.back = schema, back

    def forward(self, numbers: Tensor) -> Tensor:
        if not self.back:
            return self.schema.spread_tensor(numbers)
        spans = self.schema.spans
        return torch.cat([span.block.gather(numbers[:, span.values]) for span in spans], 1)


def exported(module: nn.Module, numbers: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            (torch.from_numpy(numbers[:3]),),
            dynamo=True,
            verbose=False,
            input_names=["in"],
            output_names=["out"],
            dynamic_shapes=({0: "batch"},),
        )
    assert program is not None
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    return session.run(None, {"in": numbers})[0]


@pytest.mark.parametrize("back", [False, True], ids=["spread", "gather"])
def test_the_graph_gives_the_same_numbers(table: pa.Table, back: bool) -> None:
    schema = Schema.look(table, {"hour": "cyclic"})
    assert {block.kind for block in schema.blocks} == set(COLUMN_KINDS)
    cells = schema.cells(table)
    values = schema.spread(cells)
    given, wanted = (values, schema.gather(values)) if back else (cells, values)
    found = exported(Whole(schema, back), given)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
