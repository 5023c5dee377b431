"""Categorical, binary, ordered and constant columns: levels, probabilities and draws."""

from __future__ import annotations

import resource
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor

from autoencode.preprocess.columns import Schema

RNG = np.random.default_rng(0)
GRID = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)[:, None]


def fitted(column: Any, spec: str | None = None) -> Any:
    return Schema.look(pa.table({"x": column}), {"x": spec} if spec else None).blocks[0]


def cells_of(block: Any, column: Any) -> list[float]:
    return block.cells(pa.chunked_array([column]))[:, 0].tolist()


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def with_rare() -> list[str]:
    """10,000 rows of ten levels, three of them rare: once, twice and three times."""
    frequent = [f"level {i % 7}" for i in range(9994)]
    return [*frequent, "z1", "z2", "z2", "y3", "y3", "y3"]


def test_rare_levels_share_a_slot_with_unseen_ones() -> None:
    block = fitted(with_rare())
    assert block.describe() == "categorical, 10 levels, 3 rare"
    assert block.segments == (("categorical", 8),)
    places = cells_of(block, ["level 0", "level 6", "y3", "z1", "z2", "new", None])
    assert places[:6] == [0, 6, 7, 8, 9, 10]
    values = block.spread(column(*places))
    assert values[2:6].argmax(1).tolist() == [7, 7, 7, 7]
    assert torch.isnan(values[6]).all()
    # The slot goes back to the most frequent of them, and unseen is not missing.
    assert block.gather(values)[:6, 0].tolist() == [0, 6, 7, 7, 7, 7]
    assert block.column(np.array(places)[:, None]).to_pylist() == [
        "level 0",
        "level 6",
        "y3",
        "z1",
        "z2",
        None,
        None,
    ]


def test_small_tables_have_no_rare_levels() -> None:
    assert fitted(["a", "b", "c", "a", "a"] * 68 + ["d"]).rare == ()
    # Nor have tables in which they would be many.
    many = [f"a{i % 3}" for i in range(9000)] + [f"b{i}" for i in range(1000)] * 2
    block = fitted(many)
    assert block.rare == ()
    assert block.segments == (("categorical", 32),) * 2


def test_an_unseen_level_without_a_slot_is_missing_but_costs_nats() -> None:
    block = fitted(["a", "b", "c"] * 10)
    cells = column(*cells_of(block, ["a", "new", None]))
    values = block.spread(cells)
    assert torch.isnan(values[1]).all()
    nats = block.nats(cells, torch.eye(3).double(), torch.full((3,), 0.1).double())
    assert nats[1].item() == pytest.approx(-np.log(32))
    assert torch.isnan(nats[2])


def deviation(width: int) -> Tensor:
    return torch.linspace(0.05, 0.3, width, dtype=torch.float64)


@pytest.mark.parametrize(
    "block",
    [
        fitted(["a", "b", "c"] * 10),
        fitted(with_rare()),
        fitted(pa.DictionaryArray.from_arrays([0, 2, 3] * 9, ["d", "unused", "b", "a", "no"])),
        fitted(["no", "yes"] * 5),
        fitted(pa.DictionaryArray.from_arrays([0, 1, 2] * 9, ["x", "y", "z"], ordered=True)),
        fitted(["only"] * 9),
    ],
    ids=["categorical", "rare", "unused", "binary", "ordered", "constant"],
)
def test_probabilities_of_all_levels_and_of_new_ones_sum_to_one(block: Any) -> None:
    unused = getattr(block, "unused", ())
    n_levels = 1 if block.kind == "constant" else len(block.levels)
    every = [place for place in range(n_levels + 1) if place not in unused]
    for seed in range(3):
        # As PCA has them: below 0, above 1, and not summing to 1.
        rng = torch.Generator().manual_seed(seed)
        values = 0.3 + torch.randn(1, block.n_values, generator=rng, dtype=torch.float64)
        nats = block.nats(column(*every), values.expand(len(every), -1), deviation(block.n_values))
        assert torch.isfinite(nats).all()
        assert nats.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_likelier_levels_score_higher() -> None:
    block = fitted(["a", "b", "c"] * 100)
    shares = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    nats = block.nats(column(0, 1, 2), shares.expand(3, 3), torch.full((3,), 1e-6).double())
    wanted = shares.log() + np.log(301 / 302)
    torch.testing.assert_close(nats, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("block", "values", "shares"),
    [
        (fitted(["a", "b", "c"] * 10), [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]),
        (fitted(["a", "b", "c"] * 10), [1.2, 0.5, -0.3], [2 / 3, 1 / 3, 0]),
        (fitted(["a", "b", "c"] * 10), [-1.0, -1.0, -1.0], [1 / 3, 1 / 3, 1 / 3]),
        (
            fitted(with_rare()),
            [0.4, 0, 0, 0, 0, 0, 0, 0.6],
            [0.4, 0, 0, 0, 0, 0, 0, 0.3, 0.1, 0.2],
        ),
        (fitted(["no", "yes"] * 5), [0.3], [0.7, 0.3]),
        (fitted(["no", "yes"] * 5), [1.3], [0.0, 1.0]),
        (
            fitted(pa.DictionaryArray.from_arrays([0, 1, 2] * 9, list("xyz"), ordered=True)),
            [0.9, 0.25],
            [0.1, 0.65, 0.25],
        ),
        (
            fitted(pa.DictionaryArray.from_arrays([0, 1, 2] * 9, list("xyz"), ordered=True)),
            [0.4, 0.6],
            [0.6, 0.0, 0.4],
        ),
    ],
)
def test_draws_have_the_frequencies_of_the_probabilities(
    block: Any, values: list[float], shares: list[float]
) -> None:
    means = torch.tensor([values], dtype=torch.float64).expand(len(GRID), -1)
    drawn = block.draw(means, GRID, torch.zeros(block.n_values, 3).double())
    found = np.bincount(drawn[:, 0].long(), minlength=len(shares)) / len(GRID)
    np.testing.assert_allclose(found, shares, atol=1e-3)


def test_the_nearest_level_is_the_likeliest() -> None:
    assert fitted(["a", "b", "c"]).gather(torch.tensor([[0.2, 0.9, -3]])).tolist() == [[1]]
    assert fitted(["a", "b"]).gather(torch.tensor([[0.4], [0.6], [torch.nan]]))[:2].tolist() == [
        [0],
        [1],
    ]
    ordered = fitted(pa.array(["low", "high", "mid"]), "ordered")
    assert ordered.gather(torch.tensor([[0.9, 0.8], [0.8, 0.3], [0.1, 0]])).tolist() == [
        [2],
        [1],
        [0],
    ]


def test_dictionaries_keep_their_order_and_their_unused_levels() -> None:
    levels = ["c", "never", "a", "b"]
    for ordered, kind in ((False, "categorical"), (True, "ordered")):
        for index in (pa.int8(), pa.uint16(), pa.int64()):
            given = pa.DictionaryArray.from_arrays(
                pa.array([0, 2, 3, None], index), levels, ordered=ordered
            )
            block = fitted(given)
            assert block.kind == kind
            assert cells_of(block, given)[:3] == [0, 2, 3]
            back = block.column(block.cells(pa.chunked_array([given])))
            assert back.type == given.type
            assert back.dictionary.to_pylist() == levels
            assert back.to_pylist() == ["c", "a", "b", None]
    # What was never seen in fitting still comes back.
    block = fitted(pa.DictionaryArray.from_arrays([0, 2, 3], levels))
    assert block.column(np.array([[1.0]])).to_pylist() == ["never"]
    assert block.segments == (("categorical", 3),)
    assert torch.isnan(block.spread(column(1))).all()


def test_chunks_may_have_dictionaries_of_their_own() -> None:
    pieces = [pa.array(["b", "a"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
    table = pa.table({"x": pa.chunked_array(pieces)})
    schema = Schema.look(table)
    cells = schema.cells(table)
    assert cells[:, 0].tolist() == [0, 1, 2, 1]
    assert schema.table(cells).column("x").to_pylist() == ["b", "a", "c", "a"]


def test_a_hundred_thousand_levels_stay_narrow() -> None:
    levels = [f"user {i:06d}" for i in range(100_000)]
    table = pa.table({"x": levels + levels[:60_000]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    schema = Schema.look(table)
    (block,) = schema.blocks
    assert block.describe() == "categorical, 100000 levels as 3 digits of 47"
    assert block.segments == (("categorical", 47),) * 3
    cells = schema.cells(table)
    assert schema.table(cells).column("x").equals(table.column("x"))
    some = cells[::7]
    values = schema.spread(some)
    assert np.array_equal(schema.gather(values), some)
    # Digits of no level go to the last one.
    nowhere = block.spread(column(99_999)).flip(1)
    assert block.gather(torch.ones(1, 141).double().cumsum(1))[0, 0] == 99_999
    assert 0 <= block.gather(nowhere)[0, 0] <= 99_999
    nats = block.nats(column(0, 100_000), block.spread(column(0, 0)), deviation(141))
    assert nats[0] > -3
    assert nats[1].item() == pytest.approx(-np.log(160_002))
    header = schema.header()
    assert Schema.from_header(header).cells(table.slice(5, 3)).tolist() == cells[5:8].tolist()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, f"{grown} kB"


def test_empty_text_is_a_level_like_any_other() -> None:
    given = pa.array(["", "a", " ", None])
    block = fitted(given)
    assert block.column(block.cells(pa.chunked_array([given]))).equals(given)


def test_levels_of_other_types() -> None:
    for given in (
        pa.array([2**63 - 1, -(2**63), 5, 5]),
        pa.array([2**64 - 1, 2**63, 5, 5], pa.uint64()),
        pa.array([1.5, -0.5, 0.1, None]),
        pa.array([3, 1, 2], pa.timestamp("ns", "UTC")),
        pa.array([3, 1, 2], pa.time64("us")),
    ):
        block = fitted(given, "categorical")
        cells = block.cells(pa.chunked_array([given]))
        assert block.column(cells).equals(given)
        distinct = given.drop_null().unique()
        ascending = distinct.take(pc.sort_indices(distinct))
        places = np.arange(len(ascending), dtype=np.float64)
        assert block.column(places[:, None]).equals(ascending)


def test_a_constant_column_notices_departures() -> None:
    block = fitted(pa.array([7, None, 7, 7], pa.int32()))
    cells = block.cells(pa.chunked_array([[7, 8, None]]))
    assert cells[:2].tolist() == [[0], [1]]
    assert block.column(cells).to_pylist() == [7, None, None]
    nats = block.nats(torch.from_numpy(cells), torch.empty(3, 0), torch.empty(0))
    np.testing.assert_allclose(nats[:2], [np.log(5 / 6), -np.log(6)])
    assert torch.isnan(nats[2])
    never = fitted(pa.nulls(3, pa.float64()))
    assert never.describe() == "constant, no values"
    assert never.cells(pa.chunked_array([[1.5, float("nan")]]))[0].tolist() == [1]
    assert torch.isnan(never.gather(torch.empty(2, 0))).all()
    assert never.column(np.array([[np.nan], [1.0]])).null_count == 2


def test_binary_columns_notice_a_third_value() -> None:
    block = fitted([0, 1, 1, 0])
    assert cells_of(block, [1, 0, 5]) == [1, 0, 2]
    assert torch.isnan(block.spread(column(2))).all()
    assert block.column(np.array([[1.0], [2.0]])).to_pylist() == [1, None]
