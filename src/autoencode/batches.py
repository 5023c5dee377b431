"""Sources of training rows: in memory, or read a few batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from autoencode.interfaces import Batch

__all__ = [
    "Batches",
    "Move",
    "Prepare",
    "StreamedBatches",
    "TensorBatches",
    "as_batch",
    "batch_edges",
]


Prepare: TypeAlias = Callable[[Batch, torch.Generator], Batch]
Move: TypeAlias = Callable[[Tensor, Tensor | None, torch.Generator], tuple[Tensor, Tensor | None]]

_PREPARED_ROWS = 4096


class Batches(Protocol):
    """A source of training rows."""

    n_rows: int
    n_steps: int

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield (rows, what to reconstruct) once over all rows, in a new order."""


def as_batch(x: Tensor, *, missing: bool) -> Batch:
    """Return rows as the network takes them.

    Parameters
    ----------
    x : Tensor
        ``(batch, *shape)``; NaN where a value is missing.
    missing : bool
        Whether any may be; if not, they are not looked for.
    """
    if not missing:
        return Batch(x)
    observed = torch.isnan(x).logical_not_()
    return Batch(torch.nan_to_num(x, nan=0.0), observed)


class TensorBatches:
    """Rows in memory: shuffled once per epoch, gathered into a reused buffer.

    Parameters
    ----------
    values : Tensor
        ``(n_rows, *shape)``, preprocessed; NaN where missing.
    target : Tensor or None
        What to reconstruct; None: the values themselves.
    batch_size : int
        Rows per batch; a short last batch is spread over the others.
    missing : bool
        Whether values may be missing.
    prepare : callable or None
        Spoils rows and fills in what is missing before they are encoded; it is handed
        many batches at a time, since most of its cost is a call's.
    move : callable or None
        Changes rows and targets alike, before that.
    """

    def __init__(
        self,
        values: Tensor,
        target: Tensor | None,
        batch_size: int,
        *,
        missing: bool = False,
        prepare: Prepare | None = None,
        move: Move | None = None,
    ) -> None:
        self.values = values
        self.move = move
        self.target = target
        self.missing = missing
        self.prepare = prepare
        self.n_rows = len(values)
        self.edges = batch_edges(self.n_rows, batch_size)
        self.n_steps = len(self.edges) - 1
        self.group = _prepared_at_once(batch_size, prepare)

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield every row once, in a new order; a batch is valid until the next one."""
        order = torch.randperm(self.n_rows, generator=rng).to(self.values.device)
        grouped = list(_grouped(self.edges, self.group))
        longest = max(edges[-1] - edges[0] for edges in grouped)
        buffers = [self.values.new_empty(longest, *self.values.shape[1:])]
        if self.target is not None:
            buffers.append(torch.empty_like(buffers[0]))
        for edges in grouped:
            rows = order[edges[0] : edges[-1]]
            x = torch.index_select(self.values, 0, rows, out=buffers[0][: len(rows)])
            y = None
            if self.target is not None:
                y = torch.index_select(self.target, 0, rows, out=buffers[1][: len(rows)])
            if self.move is not None:
                x, y = self.move(x, y, rng)
            batch = goal = as_batch(x, missing=self.missing)
            if y is not None:
                goal = as_batch(y, missing=self.missing)
            if self.prepare is not None:
                batch = self.prepare(batch, rng)
            yield from _split(batch, goal, edges)


class StreamedBatches:
    """Rows too many for memory: a few batches at a time are read and shuffled.

    The batches are those of `TensorBatches`, bit by bit.

    Parameters
    ----------
    read : callable
        From row numbers, sorted, to (values, target) tensors; target None: the values.
    n_rows : int
        Their number.
    batch_size : int
        Rows per batch.
    group : int
        Batches read at a time, at least: more is faster on disk and takes more memory.
    missing : bool
        Whether values may be missing.
    prepare, move : callable or None
        As in `TensorBatches`.
    """

    def __init__(
        self,
        read: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        n_rows: int,
        batch_size: int,
        group: int = 16,
        *,
        missing: bool = False,
        prepare: Prepare | None = None,
        move: Move | None = None,
    ) -> None:
        self.read, self.move = read, move
        self.n_rows = n_rows
        self.edges = batch_edges(n_rows, batch_size)
        self.n_steps = len(self.edges) - 1
        self.missing = missing
        self.prepare = prepare
        self.prepared = _prepared_at_once(batch_size, prepare)
        # Whole groups of those that are prepared together: as they are of rows in memory.
        self.group = self.prepared * -(-group // self.prepared)

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield every row once, in a new order."""
        order = torch.randperm(self.n_rows, generator=rng)
        for edges in _grouped(self.edges, self.group):
            chosen = order[edges[0] : edges[-1]]
            numbers, back = chosen.sort()
            values, target = self.read(numbers)
            place = back.argsort().to(values.device)
            for few in _grouped(edges, self.prepared):
                rows = place[few[0] - edges[0] : few[-1] - edges[0]]
                x, y = values[rows], None if target is None else target[rows]
                if self.move is not None:
                    x, y = self.move(x, y, rng)
                batch = goal = as_batch(x, missing=self.missing)
                if y is not None:
                    goal = as_batch(y, missing=self.missing)
                if self.prepare is not None:
                    batch = self.prepare(batch, rng)
                yield from _split(batch, goal, few)
            # Not to be held while the next rows are read.
            del values, target


def _prepared_at_once(batch_size: int, prepare: Prepare | None) -> int:
    """Return how many batches are prepared together; randomness depends on it."""
    return 1 if prepare is None else max(1, _PREPARED_ROWS // batch_size)


def _grouped(edges: list[int], group: int) -> Iterator[list[int]]:
    """Yield the edges of a few batches at a time."""
    for first in range(0, len(edges) - 1, group):
        yield edges[first : first + group + 1]


def _split(batch: Batch, goal: Batch, edges: list[int]) -> Iterator[tuple[Batch, Batch]]:
    if len(edges) == 2:
        yield batch, goal
        return
    for start, stop in pairwise(edge - edges[0] for edge in edges):
        rows = batch.rows(start, stop)
        yield rows, rows if goal is batch else goal.rows(start, stop)


def batch_edges(n_rows: int, batch_size: int) -> list[int]:
    """Cut rows into batches of nearly equal size, none larger than 1.5 times asked."""
    count = max(1, round(n_rows / batch_size))
    return [n_rows * place // count for place in range(count + 1)]
