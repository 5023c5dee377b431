"""A table's columns together: choice, order, errors, headers and metadata."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from autoencode.errors import DataError, ModelFileError, SpecError
from autoencode.preprocess.columns import Schema
from autoencode.strict_json import read_json, write_json

N = 60


@pytest.fixture
def table() -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "id": [f"a{i}" for i in range(N)],
            "size": rng.normal(size=N),
            "colour": pa.array(["red", "blue", None] * 20).dictionary_encode(),
            "weight": rng.normal(size=N).astype(np.float32),
            "unit": ["kg"] * N,
            "day": pa.array(range(N), pa.int32()).view(pa.date32()),
            "kind": (["x", "y", "z"] * N)[:N],
        }
    )


@pytest.fixture
def schema(table: pa.Table) -> Schema:
    return Schema.look(table)


def test_sizes_and_segments_follow_the_columns(table: pa.Table, schema: Schema) -> None:
    assert schema.names == tuple(table.column_names)
    assert schema.n_columns == 7
    assert [block.kind for block in schema.blocks] == [
        "identifier",
        "numeric",
        "binary",
        "numeric",
        "constant",
        "datetime",
        "categorical",
    ]
    assert schema.n_cells == 0 + 1 + 1 + 1 + 1 + 2 + 1
    assert schema.segments == (
        ("gaussian", 1, 0, 1),
        ("bernoulli", 2, 1, 2),
        ("gaussian", 3, 2, 3),
        ("gaussian", 5, 3, 4),
        ("gaussian", 5, 4, 6),
        ("categorical", 6, 6, 9),
    )
    assert schema.n_values == 9
    assert schema.cells(table).shape == (N, schema.n_cells)


def test_columns_are_found_by_name(table: pa.Table, schema: Schema) -> None:
    shuffled = table.select(table.column_names[::-1])
    np.testing.assert_array_equal(schema.cells(shuffled), schema.cells(table))


def test_values_are_those_of_the_blocks_side_by_side(table: pa.Table, schema: Schema) -> None:
    cells = schema.cells(table)
    values = schema.spread(cells)
    for span in schema.spans:
        alone = span.block.spread(torch.from_numpy(cells[:, span.cells])).numpy()
        np.testing.assert_array_equal(values[:, span.values], alone)
    np.testing.assert_array_equal(schema.spread_tensor(torch.from_numpy(cells)).numpy(), values)
    gathered = schema.gather(values)
    np.testing.assert_array_equal(gathered, cells)
    # As a view, or read-only, or in pieces.
    frozen = cells.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(schema.spread(frozen), values)
    np.testing.assert_array_equal(schema.spread(cells[::2]), values[::2])


def test_many_rows_are_taken_in_pieces(table: pa.Table, schema: Schema) -> None:
    cells = np.tile(schema.cells(table), (1000, 1))
    values = schema.spread(cells)
    np.testing.assert_array_equal(values[-N:], values[:N])
    deviation = np.full(schema.n_values, 0.1)
    nats = schema.nats(cells, values, deviation)
    assert nats.shape == (len(cells), schema.n_columns)
    np.testing.assert_array_equal(nats[-N:], schema.nats(cells[:N], values[:N], deviation))
    np.testing.assert_array_equal(np.isnan(nats)[:, 1:], schema.missing(cells)[:, 1:])
    assert np.isnan(nats[:, 0]).all()
    normals = np.random.default_rng(1).normal(size=(len(cells), schema.n_draws))
    residuals = np.tile(np.linspace(-0.1, 0.1, 9), (schema.n_values, 1))
    drawn = schema.draw(values, normals, residuals)
    np.testing.assert_array_equal(drawn[-N:], schema.draw(values[-N:], normals[-N:], residuals))
    np.testing.assert_array_equal(
        schema.draw(values[:N], normals[7], residuals),
        schema.draw(values[:N], np.tile(normals[7], (N, 1)), residuals),
    )
    assert schema.expected(values, residuals).shape == cells.shape


def test_missing_cells_are_told_by_column(table: pa.Table, schema: Schema) -> None:
    missing = schema.missing(schema.cells(table))
    assert missing.shape == (N, schema.n_columns)
    assert missing.sum(0).tolist() == [0, 0, 20, 0, 0, 0, 0]


def test_the_table_keeps_types_nullability_and_metadata(table: pa.Table) -> None:
    fields = [
        pa.field(field.name, field.type, nullable=field.name != "size", metadata={"unit": "m²"})
        for field in table.schema
    ]
    table = table.cast(pa.schema(fields, {"source": "here", b"raw": b"\xff"}))
    header = read_json(write_json(Schema.look(table).header(), "header"))
    schema = Schema.from_header(header)
    back = schema.table(schema.cells(table))
    without_raw = table.schema.with_metadata({"source": "here"})
    assert back.schema.equals(without_raw, check_metadata=True)
    assert back.drop_columns("id").equals(table.drop_columns("id"))
    assert back.column("id").null_count == N
    # A field without nulls that has some now is declared with them.
    cells = schema.cells(table)
    cells[0] = np.nan
    assert schema.table(cells).schema.field("size").nullable


def test_metadata_of_pandas_stay_only_while_they_are_true() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [1.5, 2.5, 3.0]}, index=["x", "y", "z"])
    table = pa.Table.from_pandas(frame)
    schema = Schema.look(table)
    back = schema.table(schema.cells(table))
    assert back.schema.equals(table.schema, check_metadata=True)
    fewer = Schema.look(table.select(["a"]))
    returned = fewer.table(fewer.cells(table.select(["a"])))
    assert returned.schema.metadata in (None, {})
    damaged = table.replace_schema_metadata({"pandas": "{", "k": "v"})
    assert Schema.look(damaged).fields.metadata == {b"k": b"v"}


def test_a_kind_can_be_chosen_by_name(table: pa.Table) -> None:
    overrides = {
        "id": "categorical",
        "size": "numeric:transform=asinh",
        "weight": "identifier",
        "colour": "ordered",
    }
    schema = Schema.look(table, overrides)
    kinds = {block.name: block.kind for block in schema.blocks}
    assert {name: kinds[name] for name in overrides} == {
        name: spec.partition(":")[0] for name, spec in overrides.items()
    }
    assert schema.blocks[1].transform == "asinh"  # type: ignore[attr-defined]
    assert schema.describe()[3]["detail"] == "identifier, left out on request"
    np.testing.assert_array_equal(schema.cells(table)[:, 1], Schema.look(table).cells(table)[:, 0])


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ({"siez": "numeric"}, DataError, "no column 'siez' (did you mean 'size'?)"),
        ({"size": "numerik"}, SpecError, "'numerik' is not known"),
        ({"size": "numerik"}, SpecError, "did you mean 'numeric'?"),
        ({"size": "os.path:join"}, SpecError, "columns['size']='os.path:join' is not known"),
        ({"size": "numeric:transform=log"}, SpecError, "transform='log' is not known; choose"),
        ({"size": "numeric:bins=3"}, SpecError, "bins"),
        ({"size": 3}, SpecError, "columns['size']=3 is not known; choose from constant, "),
        ({"kind": "numeric"}, DataError, "column 'kind' cannot be numeric: it is string"),
        ({"size": "count"}, DataError, "cannot be count: it is double and not made of whole"),
        ({"kind": "binary"}, DataError, "cannot be binary: it has 3 different values, not 2"),
        ({"kind": "datetime"}, DataError, "its text, such as 'x', is not made of dates"),
        ({"colour": "datetime"}, DataError, "cannot be datetime: it is dictionary<"),
        ({"colour": "numeric"}, DataError, "cannot be numeric: it is dictionary<"),
        ({"kind": "constant"}, DataError, "cannot be constant: it has 3 different values"),
        ({"unit": "ordered"}, DataError, "cannot be ordered: it has 1 levels; allowed are 2 to"),
    ],
)
def test_what_cannot_be_chosen(
    table: pa.Table, overrides: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Schema.look(table, overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cell_that_is_no_date_is_named() -> None:
    days = [f"{day:02}.{month:02}.2024" for month in range(1, 13) for day in range(1, 29)]
    days[41] = "31.02.2024"
    table = pa.table({"day": days, "x": range(len(days))})
    block = Schema.look(table).blocks[0]
    assert "nearly all cells are dates, '31.02.2024' is not" in getattr(block, "reason", "")
    with pytest.raises(DataError, match=r"made of dates but for '31\.02\.2024'; correct that"):
        Schema.look(table, {"day": "datetime"})


@pytest.mark.parametrize("kind", ["numeric", "count"])
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([None, "1,5", "2", "groß"], "not numbers: 'groß' in row 4"),
        (["1.5", "1,5"], "not numbers: '1,5' in row 2"),
        (["01", "1.5"], "not numbers, though every cell is one; convert it first"),
    ],
)
def test_text_that_should_be_numbers_names_the_cell_that_is_none(
    texts: list[str | None], kind: str, reason: str
) -> None:
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        with pytest.raises(DataError) as caught:
            Schema.look(pa.table({"x": column}), {"x": kind})
        assert str(caught.value) == f"column 'x' cannot be {kind}: it is {column.type}, {reason}"


def test_numbers_that_float64_does_not_hold_are_no_numbers() -> None:
    big = pa.array([2**53 + 1, 2, 5] * 5)
    table = pa.table({"big": big})
    assert Schema.look(table).blocks[0].kind == "categorical"
    with pytest.raises(DataError, match="cannot be numeric: it has numbers beyond 2\\^53"):
        Schema.look(table, {"big": "numeric"})


def test_columns_must_be_those_of_the_fit(table: pa.Table, schema: Schema) -> None:
    with pytest.raises(DataError, match="fitted with 'kind', which the data lacks"):
        schema.cells(table.drop_columns("kind"))
    with pytest.raises(DataError, match="fitted without 'more'"):
        schema.cells(table.append_column("more", table.column("kind")))
    twice = pa.Table.from_arrays([table.column("kind")] * 2, names=["kind", "kind"])
    with pytest.raises(DataError, match="'kind' appears 2 times"):
        Schema.look(twice)
    with pytest.raises(DataError, match="'kind' appears 2 times"):
        schema.cells(twice)


def test_infinite_values_are_refused_with_their_row() -> None:
    ages = [1.0, 2.0, 3.0] * 5 + [None, float("inf"), float("-inf"), float("inf")]
    message = (
        r"^column 'age' has 3 infinite values \(first in row 17\); "
        r"replace them or pass them as missing$"
    )
    with pytest.raises(DataError, match=message):
        Schema.look(pa.table({"age": ages}))
    schema = Schema.look(pa.table({"age": ages[:15]}))
    with pytest.raises(DataError, match=r"'age' has 1 infinite value \(in row 2\)"):
        schema.cells(pa.table({"age": [1.0, float("inf")]}))


def test_text_that_is_not_utf8_is_refused() -> None:
    buffers = [None, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"\xffab")]
    damaged = pa.Array.from_buffers(pa.string(), 3, buffers)
    with pytest.raises(DataError, match="column 'x' has text that is not UTF-8; write it anew"):
        Schema.look(pa.table({"x": damaged}))


def test_nan_counts_as_missing() -> None:
    values = pa.array([1.5, float("nan"), None, 2.5, 3.5] * 3, from_pandas=False)
    for column in (values, values.dictionary_encode()):
        schema = Schema.look(pa.table({"x": column}))
        assert schema.describe()[0]["missing"] == 6
        back = schema.table(schema.cells(pa.table({"x": column})))
        assert back.column("x").null_count == 6


def test_descriptions_tell_what_is_missing(schema: Schema) -> None:
    assert schema.describe()[2] == {
        "name": "colour",
        "type": "dictionary<values=string, indices=int32, ordered=0>",
        "kind": "binary",
        "detail": "binary, red or blue",
        "missing": 20,
        "missing_share": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda header: header.pop("nullable"),
        lambda header: header["nullable"].pop(),
        lambda header: header.pop("blocks"),
        lambda header: header["blocks"].pop(),
        lambda header: header["blocks"][1].pop("low"),
        lambda header: header["blocks"][1].update(more=1),
        lambda header: header["blocks"][1].update(kind="unheard"),
        lambda header: header["blocks"][1].update(kind="count"),
        lambda header: header["blocks"][1].update(type="int65"),
        lambda header: header["blocks"][2].update(type={"name": "x", "arrow": "AAAA"}),
        lambda header: header["blocks"][2].update(type={"name": "x", "arrow": "%"}),
        lambda header: header["blocks"][2].update(levels=[1, 2]),
        lambda header: header["blocks"].__setitem__(0, 3),
    ],
)
def test_a_damaged_header_is_refused(schema: Schema, damage: Any) -> None:
    header = read_json(write_json(schema.header(), "header"))
    damage(header)
    with pytest.raises(ModelFileError):
        Schema.from_header(header)


def test_no_column_and_no_row() -> None:
    empty = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.list_(pa.int8()))})
    schema = Schema.look(empty)
    assert [block.kind for block in schema.blocks] == ["constant", "constant"]
    assert schema.table(schema.gather(schema.spread(schema.cells(empty)))).equals(empty)
    assert Schema.look(pa.table({})).n_values == 0


def test_pandas_is_not_imported() -> None:
    program = """
import sys
import pyarrow as pa
from autoencode.preprocess.columns import Schema
offsets = pa.py_buffer(bytes(range(0, 8 * 30, 8)))
plain = pa.Array.from_buffers(pa.int64(), 20, [None, pa.py_buffer(bytes(range(160)))])
text = plain.cast(pa.string())
floats = pa.Array.from_buffers(pa.float64(), 20, [pa.py_buffer(bytes(3)), plain.buffers()[1]])
days = pa.Array.from_buffers(pa.date32(), 40, [None, plain.buffers()[1]])
days = days.slice(0, 20)
arrays = [plain, text, floats, text.dictionary_encode(), days, days.cast(pa.string())]
table = pa.Table.from_arrays(arrays, names=list("abcdef"))
schema = Schema.look(table, {"b": "categorical", "a": "categorical"})
cells = schema.cells(table)
schema.table(schema.gather(schema.spread(cells)))
Schema.from_header(schema.header()).describe()
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
