"""Batches of rows that lack values, and of rows that are spoilt on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autoencode.batches import Prepare, StreamedBatches, TensorBatches, as_batch
from autoencode.composition import Composition
from autoencode.corruptions import Hide
from autoencode.guess import guessed, guessed_where_needed
from autoencode.interfaces import Batch, Context
from autoencode.layout import Layout
from autoencode.preprocess.filling import Fill

N_VALUES = 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_memory(values: torch.Tensor, target: Any, size: int, prepare: Prepare | None) -> Any:
    return TensorBatches(values, target, size, missing=True, prepare=prepare)


def streamed(values: torch.Tensor, target: Any, size: int, prepare: Prepare | None) -> Any:
    def read(numbers: torch.Tensor) -> Any:
        return values[numbers], None if target is None else target[numbers]

    return StreamedBatches(read, len(values), size, group=3, missing=True, prepare=prepare)


MAKERS = [in_memory, streamed]


def holed(n_rows: int) -> torch.Tensor:
    """Number the rows in their first value; the others lack some."""
    values = torch.arange(n_rows, dtype=torch.float32)[:, None].repeat(1, N_VALUES)
    values[:, 1:][torch.rand(n_rows, 2, generator=seeded(1)) < 0.3] = torch.nan
    return values


def test_missing_values_become_zeros_that_are_not_observed() -> None:
    x = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0]])
    batch = as_batch(x, missing=True)
    assert batch.x.tolist() == [[1, 0], [0, 2]]
    assert batch.observed.tolist() == [[True, False], [False, True]]
    assert batch.told is None
    # They are not looked for where there are none.
    assert as_batch(x, missing=False) == (x, None, None, None)
    part = Batch(batch.x, batch.observed, torch.eye(2)).rows(1, 2)
    assert [piece.tolist() for piece in part[:3]] == [[[0, 2]], [[False, True]], [[0, 1]]]
    assert Batch(batch.x).rows(0, 1)[1:] == (None, None, None)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("n_rows", "size"), [(1, 32), (33, 32), (100, 32), (97, 7), (9000, 100)])
def test_every_row_is_seen_once_and_the_target_is_not_spoilt(
    make: Callable[..., Any], paired: bool, n_rows: int, size: int
) -> None:
    values = holed(n_rows)
    asked = []

    def prepare(batch: Batch, rng: torch.Generator) -> Batch:
        asked.append(len(batch.x))
        noise = torch.rand(len(batch.x), 1, generator=rng)
        return Batch(batch.x + noise + 1, batch.observed, torch.ones_like(batch.x))

    batches = make(values, values + 0.25 if paired else None, size, prepare)
    seen = []
    for batch, target in batches.epoch(seeded()):
        number = target.x[:, 0] - (0.25 if paired else 0)
        rows = values[number.long()]
        assert torch.equal(target.observed, ~rows.isnan())
        assert torch.equal(target.x, torch.nan_to_num(rows + (0.25 if paired else 0)))
        assert torch.equal(batch.observed, ~rows.isnan())
        moved = batch.x - torch.nan_to_num(rows)
        assert bool(((moved >= 0.99) & (moved <= 2.01)).all())
        assert len(batch.told) == len(batch.x) <= 1.5 * size
        seen += number.long().tolist()
    assert sorted(seen) == list(range(n_rows))
    # Many batches are handed over at a time, but not all rows.
    assert sum(asked) == n_rows
    assert n_rows < 97 or len(asked) < batches.n_steps
    assert max(asked) < 5000


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_spoils_the_same_values(make: Callable[..., Any]) -> None:
    hide = Hide(Layout(N_VALUES), rows=1.0)
    runs = [
        torch.cat([b.x for b, _ in make(holed(500), None, 32, hide).epoch(seeded(seed))])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("linear_guess", [True, False])
def test_filled_rows_are_what_the_network_would_fill_in_itself(
    masked: bool, linear_guess: bool
) -> None:
    network = Composition(
        "mlp", "plain", "none", "gaussian", (), (8,), (N_VALUES,), nested=True, masked=masked
    ).network(2, seeded())
    if linear_guess:
        network.fill = Fill(torch.eye(N_VALUES) + 0.2)
    batch = as_batch(holed(20) + 1, missing=True)
    done = guessed(network, batch)
    assert torch.equal(done.told, (1 - batch.observed.float())[:, : N_VALUES * masked])
    assert torch.equal(done.x[batch.observed], batch.x[batch.observed])
    assert bool((done.x != batch.x)[~batch.observed].all()) == linear_guess
    several = guessed_where_needed(network, batch)
    torch.testing.assert_close(several.x, done.x)
    assert torch.equal(several.told, done.told)
    assert several.observed is batch.observed
    codes = [network.encode(rows, Context()).z for rows in (batch, done, several)]
    torch.testing.assert_close(codes[0], codes[1])
    torch.testing.assert_close(codes[0], codes[2])
    # Twice is once, and complete rows stay as they are.
    complete = Batch(torch.zeros(2, N_VALUES))
    for fill_in in (guessed, guessed_where_needed):
        assert fill_in(network, done) is done
        assert torch.equal(fill_in(network, complete).x, complete.x)
