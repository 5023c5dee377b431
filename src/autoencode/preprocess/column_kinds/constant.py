"""One value throughout, or none."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.preprocess.column_kinds.block import Block, FloatArray, novelty, refuse_unless
from autoencode.preprocess.column_kinds.levels import Levels
from autoencode.preprocess.column_kinds.port import Port
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Constant"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant(Block):
    """Always the same value; it needs no code and comes back by itself.

    The cell is 0 for the value and 1 for any other, which scores as an anomaly.

    Attributes
    ----------
    levels : Levels
        The value, among the unused ones of a dictionary; empty if there was none.
    place : int
        Its place among them; -1 if there was no value.
    """

    kind: ClassVar[str] = "constant"

    levels: Levels
    place: int

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse different values."""
        if summary.n_observed and summary.keys is None:
            return f"it is {summary.type}"
        if summary.n_distinct > 1:
            return f"it has {summary.n_distinct} different values"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit one value or none."""
        return None if cls.refusal(summary) else "one value"

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Keep the value."""
        refuse_unless(cls, summary)
        levels, counts = Levels.of(summary)
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            levels=levels,
            place=int(np.argmax(counts)) if summary.n_observed else -1,
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """Nothing to learn."""
        return ()

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return 0 for the value and 1 for any other."""
        places = self.levels.places(self.name, column)
        return np.where(np.isnan(places), np.nan, places != self.place)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the value; null where there was another."""
        return self.levels.take(np.where(np.asarray(cells)[:, 0] == 0, self.place, np.nan))

    def spread(self, cells: Tensor) -> Tensor:
        """Return no values."""
        return cells[:, :0]

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the value, or missing if there never was one."""
        expected = torch.nan if self.place < 0 else 0.0
        return torch.full((values.shape[0], 1), expected, dtype=values.dtype, device=values.device)

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return ``log((n + 1) / (n + 2))`` for the value and ``-log(n + 2)`` for another.

        Laplace's rule of succession after the ``n`` rows that were fitted.
        """
        known, new = novelty(self.n_rows)
        found = known + (new - known) * (cells != 0).to(cells.dtype)
        return torch.where(torch.isnan(cells), torch.nan, found)[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Return the value."""
        return self.gather(values)

    def describe(self) -> str:
        """Name the value."""
        return (
            "constant, no values" if self.place < 0 else f"constant, {self.levels.text(self.place)}"
        )

    @property
    def port(self) -> Port | None:
        """Only what has a value leaves a graph."""
        return None if self.place < 0 else super().port

    def port_from_cells(self, cells: Tensor) -> Tensor:
        """Return the value's place."""
        return torch.full_like(cells[:, 0], self.place, dtype=torch.int64)
