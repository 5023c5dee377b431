"""What every column kind promises, checked for each one in the dictionary."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from autoencode import kinds
from autoencode.errors import DataError, SpecError
from autoencode.preprocess.column_kinds import COLUMN_KINDS, Block
from autoencode.preprocess.column_kinds.keys import family
from autoencode.preprocess.columns import Schema
from autoencode.strict_json import read_json, write_json

START = datetime.datetime(2020, 3, 1, 6, 30)


class Example(NamedTuple):
    """A column of a kind, the cells of one that does not fit in, and whether it is asked for."""

    column: pa.Array
    departure: list[float]
    asked: bool = False


def numbers() -> list[Any]:
    values = np.random.default_rng(0).normal(50, 10, 200).round(3).tolist()
    return [None, *values, None]


EXAMPLES = {
    "constant": Example(pa.array([7, None, 7, 7]), [1.0]),
    "binary": Example(pa.array(["no", "yes", None, "no"] * 10), [2.0]),
    "ordered": Example(
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, None, 2, 1, 0], pa.int8()), ["low", "mid", "high"], ordered=True
        ),
        [3.0],
    ),
    "datetime": Example(
        pa.array([START + datetime.timedelta(hours=5 * i) for i in range(2000)] + [None]),
        [30000.0, 0.0],
    ),
    "identifier": Example(pa.array([f"row {i}" for i in range(50)]), []),
    "count": Example(pa.array([0, 0, 1, 2, 0, 5, 3, None, 1, 0, 4, 1, 9] * 5), [400.0]),
    "numeric": Example(pa.array(numbers()), [500.0]),
    "categorical": Example(pa.array(["red", "green", None, "blue", "green"] * 10), [3.0]),
    "cyclic": Example(pa.array([*range(14), *range(20, 24), None, 5, 5, 6]), [17.0], asked=True),
}


@pytest.fixture(params=COLUMN_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def column(kind: str) -> pa.ChunkedArray:
    return pa.chunked_array([EXAMPLES[kind].column])


@pytest.fixture
def block(kind: str, column: pa.ChunkedArray) -> Block:
    overrides = {"x": kind} if EXAMPLES[kind].asked else None
    (block,) = Schema.look(pa.table({"x": column}), overrides).blocks
    assert block.kind == kind
    return block


@pytest.fixture
def cells(block: Block, column: pa.ChunkedArray) -> Tensor:
    return torch.from_numpy(block.cells(column))


@pytest.fixture
def residuals(block: Block) -> Tensor:
    """Quantiles of residuals, the same for every value."""
    levels = (torch.arange(20, dtype=torch.float64) + 0.5) / 20
    return torch.special.ndtri(levels).expand(block.n_values, 20) * 0.2


def test_the_names_are_those_in_the_dictionary() -> None:
    assert tuple(COLUMN_KINDS) == kinds.COLUMN_KINDS
    assert {name: kind.kind for name, kind in COLUMN_KINDS.items()} == {
        name: name for name in kinds.COLUMN_KINDS
    }
    assert EXAMPLES.keys() == COLUMN_KINDS.keys()


def test_cells_bring_the_column_back(block: Block, column: pa.ChunkedArray) -> None:
    cells = block.cells(column)
    assert cells.shape == (len(column), block.n_cells)
    assert cells.dtype == np.float64
    back = block.column(cells)
    assert back.type == column.type == block.type
    if block.kind == "identifier":
        assert back.null_count == len(column)
    else:
        assert back.equals(column.chunk(0))
        assert np.isnan(cells).any(1).sum() == column.null_count == block.n_missing


def test_pieces_of_a_column_have_the_same_cells(block: Block, column: pa.ChunkedArray) -> None:
    whole = column.chunk(0)
    pieces = pa.chunked_array([whole.slice(1, 2), whole.slice(3)])
    np.testing.assert_array_equal(block.cells(pieces), block.cells(column)[1:])
    assert block.cells(column.slice(0, 0)).shape == (0, block.n_cells)
    assert block.cells(pa.chunked_array([], column.type)).shape == (0, block.n_cells)
    assert block.column(np.empty((0, block.n_cells))).equals(whole.slice(0, 0))


def test_values_go_back_to_the_same_cells(block: Block, cells: Tensor) -> None:
    values = block.spread(cells)
    assert values.shape == (len(cells), block.n_values)
    assert values.dtype == torch.float64
    assert sum(width for _, width in block.segments) == block.n_values
    for clip in (True, False):
        back = block.gather(values, clip=clip)
        if block.kind == "constant":
            assert (back == 0).all()
        else:
            torch.testing.assert_close(back, cells, rtol=0, atol=0, equal_nan=True)


def test_all_values_of_a_missing_cell_are_missing(block: Block, cells: Tensor) -> None:
    missing = torch.isnan(cells).any(1)
    values = block.spread(cells)
    if block.n_values:
        assert missing.any()
        assert torch.isnan(values[missing]).all()
        assert not torch.isnan(values[~missing]).any()


def test_a_column_that_is_all_missing_later(block: Block, column: pa.ChunkedArray) -> None:
    nan, blank = pa.array([float("nan")] * 4), pa.array(["", " ", None, ""])
    # Blank text is missing where something else was fitted; in text it is a level.
    is_text = family(column.type) == "text"
    never_blank = is_text or block.kind == "constant"
    for absent in (pa.nulls(4, column.type), pa.nulls(4), nan, nan if never_blank else blank):
        cells = block.cells(pa.chunked_array([absent]))
        assert np.isnan(cells).all()
        assert torch.isnan(block.spread(torch.from_numpy(cells))).all()
        assert block.column(cells).null_count == 4


def test_nothing_changes_the_block(block: Block) -> None:
    with pytest.raises(AttributeError):
        block.name = "y"  # type: ignore[misc]


def test_the_header_brings_the_block_back(block: Block, cells: Tensor) -> None:
    text = write_json(block.header(), "header")
    again = COLUMN_KINDS[block.kind].from_header(read_json(text))
    assert again == block
    assert write_json(again.header(), "header") == text
    torch.testing.assert_close(again.spread(cells), block.spread(cells), equal_nan=True)
    assert again.column(cells.numpy()).equals(block.column(cells.numpy()))
    assert again.describe() == block.describe()


def test_the_description_is_one_line_that_begins_with_the_kind(block: Block) -> None:
    assert block.describe().startswith(f"{block.kind}, ")
    assert "\n" not in block.describe()


def test_a_departure_costs_nats(block: Block, cells: Tensor) -> None:
    values = block.gather(block.spread(cells))
    values = block.spread(torch.nan_to_num(values))
    deviation = torch.full((block.n_values,), 0.1, dtype=torch.float64)
    nats = block.nats(cells, values, deviation)
    assert nats.shape == (len(cells),)
    if block.kind == "identifier":
        assert torch.isnan(nats).all()
        return
    assert torch.equal(torch.isnan(nats), torch.isnan(cells).any(1))
    departure = torch.tensor(EXAMPLES[block.kind].departure, dtype=torch.float64)
    unlikely = block.nats(departure.expand(len(cells), -1), values, deviation)
    assert torch.isfinite(unlikely).all()
    observed = ~torch.isnan(nats)
    assert torch.isfinite(nats[observed]).all()
    assert (unlikely[observed] < nats[observed] - 1).all()


def test_draws_depend_on_the_normals_and_on_nothing_else(
    block: Block, cells: Tensor, residuals: Tensor
) -> None:
    values = block.spread(cells)
    values = torch.where(torch.isnan(values), values, 0.7 * values + 0.1)
    rng = torch.Generator().manual_seed(0)
    normals = torch.randn(8, block.n_draws, generator=rng, dtype=torch.float64)
    drawn = [block.draw(values, normal, residuals) for normal in normals]
    for again, first in zip(normals, drawn, strict=True):
        assert first.shape == cells.shape
        torch.testing.assert_close(
            block.draw(values, again, residuals), first, rtol=0, atol=0, equal_nan=True
        )
    if block.n_draws:
        assert any(not torch.equal(drawn[0].nan_to_num(), x.nan_to_num()) for x in drawn[1:])
        assert all(torch.equal(torch.isnan(x), torch.isnan(cells)) for x in drawn)
    # One set of normals for each row, and for each alone.
    each = normals[torch.arange(len(cells)) % 8]
    together = block.draw(values, each, residuals)
    for row in range(min(8, len(cells))):
        alone = block.draw(values[row : row + 1], each[row], residuals)
        torch.testing.assert_close(together[row : row + 1], alone, equal_nan=True)


def test_drawn_and_expected_cells_are_those_of_a_column(
    block: Block, cells: Tensor, residuals: Tensor
) -> None:
    values = block.spread(cells)
    values = torch.where(torch.isnan(values), values, values + 0.3)
    normals = torch.full((block.n_draws,), 1.5, dtype=torch.float64)
    for found in (block.draw(values, normals, residuals), block.expected(values, residuals)):
        assert found.shape == cells.shape
        array = block.column(found.numpy())
        if block.kind not in ("identifier", "constant"):
            assert array.null_count == block.n_missing
        np.testing.assert_array_equal(block.cells(pa.chunked_array([array])), found.numpy())


class Spread(nn.Module):
    """A block's way from cells to values as a module."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.block = block

    def forward(self, cells: Tensor) -> Tensor:
        return self.block.spread(cells)


def test_spread_can_be_exported(block: Block, cells: Tensor) -> None:
    if not block.n_values:
        return
    program = torch.export.export(
        Spread(block), (cells[:3],), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)
    )
    torch.testing.assert_close(program.module()(cells), block.spread(cells), equal_nan=True)
    # Tracing leaves nothing behind.
    assert type(block.spread(cells)) is Tensor


def test_numbers_on_a_circle_come_round() -> None:
    column = pa.chunked_array([pa.array([0.0, 90.0, 350.0, 180.0, None])])
    table = pa.table({"wind": column})
    (block,) = Schema.look(table, {"wind": "cyclic:period=360"}).blocks
    north = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    cells = torch.tensor([[350.0], [180.0]], dtype=torch.float64)
    deviation = torch.full((2,), 0.2, dtype=torch.float64)
    near, far = block.nats(cells, north.expand(2, 2), deviation).tolist()
    assert near > far  # 350 is 10 from north, not 350
    # Halfway between 350 and 10 lies north, not 180.
    halves = block.spread(torch.tensor([[350.0], [10.0]], dtype=torch.float64)).mean(0)
    np.testing.assert_allclose(block.gather(halves[None]).numpy(), [[0.0]], atol=1e-9)
    with pytest.raises(SpecError, match=r"period='auto' should be a positive number"):
        Schema.look(table, {"wind": "cyclic"})
    with pytest.raises(DataError, match=r"'wind' goes from 0 to 350, which is more than period=9"):
        Schema.look(table, {"wind": "cyclic:period=90"})
