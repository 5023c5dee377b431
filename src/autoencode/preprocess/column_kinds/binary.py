"""Two different values, whatever their type."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.preprocess.column_kinds.block import (
    Block,
    FloatArray,
    novelty,
    refuse_unless,
    smoothed,
    uniform,
)
from autoencode.preprocess.column_kinds.levels import Levels
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Binary"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Binary(Block):
    """One of two values; the cell is 0 or 1, and 2 for any other.

    Attributes
    ----------
    levels : Levels
        The two values in ascending order or that of the dictionary.
    """

    kind: ClassVar[str] = "binary"

    levels: Levels

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse anything but two values, and dictionaries that know more."""
        if summary.keys is None:
            return f"it is {summary.type}"
        if summary.n_distinct != 2:
            return f"it has {summary.n_distinct} different values, not 2"
        if summary.dictionary is not None and len(summary.dictionary) != 2:
            return f"its dictionary has {len(summary.dictionary)} levels, not 2"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit two values."""
        return None if cls.refusal(summary) else "two values"

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Keep the two values."""
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
        """The probability of the second value."""
        return (("bernoulli", 1),)

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return 0, 1, or 2 for a value that is neither."""
        return self.levels.places(self.name, column)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the two values; null for any other."""
        return self.levels.take(np.asarray(cells)[:, 0])

    def spread(self, cells: Tensor) -> Tensor:
        """Return 0 or 1; a value that is neither counts as missing."""
        return torch.where(cells > 1, torch.nan, cells)

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the likelier value."""
        return torch.where(torch.isnan(values), values, (values > 0.5).to(values))

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-probability of the value; see `smoothed` and `novelty`."""
        both = smoothed(torch.cat([1 - values, values], 1), deviation.expand(2))
        known, new = novelty(self.n_rows - self.n_missing)
        found = torch.where(cells == 1, both[:, 1:], both[:, :1]).log() + known
        found = torch.where(cells > 1, new, found)
        return torch.where(torch.isnan(cells), torch.nan, found)[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Draw by the probability."""
        return self.gather((1 - uniform(normals) < values).to(values) + 0 * values)

    def describe(self) -> str:
        """Name the two values."""
        return f"binary, {self.levels.text(0)} or {self.levels.text(1)}"
