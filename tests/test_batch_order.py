"""Every row is seen once per epoch, in an order that the seed decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autoencode.batches import StreamedBatches, TensorBatches


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensor_batches(values: torch.Tensor, target: Any, size: int) -> TensorBatches:
    return TensorBatches(values, target, size)


def streamed_batches(values: torch.Tensor, target: Any, size: int) -> StreamedBatches:
    def read(numbers: torch.Tensor) -> Any:
        assert torch.equal(numbers, numbers.sort().values)
        return values[numbers], None if target is None else target[numbers]

    return StreamedBatches(read, len(values), size, group=3)


@pytest.mark.parametrize("make", [tensor_batches, streamed_batches])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("n_rows", "size"), [(1, 32), (2, 2), (31, 32), (33, 32), (47, 32), (100, 32), (97, 7)]
)
def test_every_row_is_seen_once_per_epoch(
    make: Callable[..., Any], paired: bool, n_rows: int, size: int
) -> None:
    values = torch.arange(n_rows, dtype=torch.float32)[:, None].repeat(1, 3)
    batches = make(values, -values if paired else None, size)
    rng = seeded()
    orders = []
    for _ in range(2):
        seen, lengths = [], []
        for batch, target in batches.epoch(rng):
            assert torch.equal(target.x, -batch.x if paired else batch.x)
            seen += batch.x[:, 0].int().tolist()
            lengths.append(len(batch.x))
        assert sorted(seen) == list(range(n_rows))
        assert len(lengths) == batches.n_steps
        # No short batch at the end: it is spread over the others.
        assert max(lengths) - min(lengths) <= 1
        assert max(lengths) <= 1.5 * size
        orders.append(seen)
    assert batches.n_rows == n_rows
    assert n_rows < 31 or orders[0] != orders[1]


@pytest.mark.parametrize("make", [tensor_batches, streamed_batches])
def test_the_same_seed_gives_the_same_order(make: Callable[..., Any]) -> None:
    values = torch.arange(50.0)[:, None]
    runs = [
        [batch.x.flatten().tolist() for batch, _ in make(values, None, 16).epoch(seeded(seed))]
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]
