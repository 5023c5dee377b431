"""Sources of training rows: in memory, or read a few batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from autoencode.interfaces import Batch

__all__ = ["Batches", "StreamedBatches", "TensorBatches", "batch_edges"]


class Batches(Protocol):
    """A source of training rows."""

    n_rows: int
    n_steps: int

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield (rows, what to reconstruct) once over all rows, in a new order."""


class TensorBatches:
    """Rows in memory: shuffled once per epoch, gathered into a reused buffer.

    Parameters
    ----------
    values : Tensor
        ``(n_rows, *shape)``, preprocessed.
    target : Tensor or None
        What to reconstruct; None: the values themselves.
    batch_size : int
        Rows per batch; a short last batch is spread over the others.
    """

    def __init__(self, values: Tensor, target: Tensor | None, batch_size: int) -> None:
        self.values = values
        self.target = target
        self.n_rows = len(values)
        self.edges = batch_edges(self.n_rows, batch_size)
        self.n_steps = len(self.edges) - 1

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield every row once, in a new order; a batch is valid until the next one."""
        order = torch.randperm(self.n_rows, generator=rng).to(self.values.device)
        longest = max(b - a for a, b in pairwise(self.edges))
        buffers = [self.values.new_empty(longest, *self.values.shape[1:])]
        if self.target is not None:
            buffers.append(torch.empty_like(buffers[0]))
        for start, stop in pairwise(self.edges):
            rows = order[start:stop]
            x = torch.index_select(self.values, 0, rows, out=buffers[0][: stop - start])
            y = x
            if self.target is not None:
                y = torch.index_select(self.target, 0, rows, out=buffers[1][: stop - start])
            yield Batch(x), Batch(y)


class StreamedBatches:
    """Rows too many for memory: a few batches at a time are read and shuffled.

    Parameters
    ----------
    read : callable
        From row numbers, sorted, to (values, target) tensors; target None: the values.
    n_rows : int
        Their number.
    batch_size : int
        Rows per batch.
    group : int
        Batches read at a time: more is faster on disk and takes more memory.
    """

    def __init__(
        self,
        read: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        n_rows: int,
        batch_size: int,
        group: int = 16,
    ) -> None:
        self.read = read
        self.n_rows = n_rows
        self.edges = batch_edges(n_rows, batch_size)
        self.n_steps = len(self.edges) - 1
        self.group = group

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield every row once, in a new order."""
        order = torch.randperm(self.n_rows, generator=rng)
        for first in range(0, self.n_steps, self.group):
            edges = self.edges[first : first + self.group + 1]
            chosen = order[edges[0] : edges[-1]]
            numbers, back = chosen.sort()
            values, target = self.read(numbers)
            place = back.argsort().to(values.device)
            for start, stop in pairwise(edge - edges[0] for edge in edges):
                rows = place[start:stop]
                x = values[rows]
                yield Batch(x), Batch(x if target is None else target[rows])


def batch_edges(n_rows: int, batch_size: int) -> list[int]:
    """Cut rows into batches of nearly equal size, none larger than 1.5 times asked."""
    count = max(1, round(n_rows / batch_size))
    return [n_rows * place // count for place in range(count + 1)]
