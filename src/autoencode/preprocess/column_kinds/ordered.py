"""Levels with an order."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.preprocess.column_kinds.block import (
    SMOOTHING,
    Block,
    FloatArray,
    novelty,
    refuse_unless,
    uniform,
)
from autoencode.preprocess.column_kinds.levels import Levels
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Ordered"]

MOST_LEVELS = 257


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ordered(Block):
    """A level on a scale: its place is the cell, the number of levels an unseen one.

    The values say for each level but the last whether the cell lies above it, so that
    neighbours differ in one value (Frank and Hall, 2001, section 2).

    Attributes
    ----------
    levels : Levels
        In the dictionary's order; of other columns, ascending.
    """

    kind: ClassVar[str] = "ordered"

    levels: Levels

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse a single level, or so many that they are numbers."""
        if summary.keys is None:
            return f"it is {summary.type}"
        known = summary.n_distinct if summary.dictionary is None else len(summary.dictionary)
        if not (summary.n_observed and 2 <= known <= MOST_LEVELS):
            return f"it has {known} levels; allowed are 2 to {MOST_LEVELS}"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit dictionaries that say they are ordered."""
        if not (pa.types.is_dictionary(summary.type) and summary.type.ordered):
            return None
        return None if cls.refusal(summary) else "ordered levels"

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Keep the levels and their order."""
        refuse_unless(cls, summary)
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            levels=Levels.of(summary)[0],
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """The probability of lying above each level but the last."""
        return (("bernoulli", len(self.levels) - 1),)

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the levels' places; their number for an unseen one."""
        return self.levels.places(self.name, column)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the levels; null for an unseen one."""
        return self.levels.take(np.asarray(cells)[:, 0])

    def spread(self, cells: Tensor) -> Tensor:
        """Return 1 for each level that the cell lies above; an unseen one is missing."""
        known = torch.where(cells < len(self.levels), cells, torch.nan)
        places = torch.arange(len(self.levels) - 1, dtype=cells.dtype, device=cells.device)
        return torch.where(torch.isnan(known), known, (known > places).to(cells.dtype))

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the median level: count the levels that it more likely lies above."""
        return (values > 0.5).to(values).sum(1, keepdim=True) + 0 * values[:, :1]

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-probability of the level; see `novelty`.

        It is the difference of two neighbouring values, with a tenth of their mean
        squared errors added (see `smoothed`).
        """
        above = _falling(values)
        ends = above.new_ones(len(above), 1), above.new_zeros(len(above), 1)
        shares = torch.cat([ends[0], above], 1) - torch.cat([above, ends[1]], 1)
        squares = deviation.square()
        none = squares.new_zeros(1)
        off = (torch.cat([none, squares]) + torch.cat([squares, none])) / 2
        shares = shares + SMOOTHING * off
        shares = shares / shares.sum(1, keepdim=True)
        known, new = novelty(self.n_rows - self.n_missing)
        place = torch.nan_to_num(cells).clamp(max=len(self.levels) - 1).to(torch.int64)
        found = shares.gather(1, place).log() + known
        found = torch.where(cells < len(self.levels), found, new)
        return torch.where(torch.isnan(cells), torch.nan, found)[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Draw by the probabilities."""
        above = (1 - uniform(normals) < _falling(values)).to(values)
        return above.sum(1, keepdim=True) + 0 * values[:, :1]

    def describe(self) -> str:
        """Count the levels and name the ends."""
        count = len(self.levels)
        return f"ordered, {count} levels, {self.levels.text(0)} to {self.levels.text(count - 1)}"


def _falling(values: Tensor) -> Tensor:
    """Return probabilities of lying above ever higher levels, which cannot rise."""
    return values.clamp(0.0, 1.0).cummin(1).values
