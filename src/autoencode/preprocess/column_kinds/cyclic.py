"""Numbers that come round again: hours, months, directions of the wind."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.errors import DataError, SpecError
from autoencode.preprocess.column_kinds.angles import angle
from autoencode.preprocess.column_kinds.block import (
    Block,
    FloatArray,
    gaussian_nats,
    number,
    quantile,
    refuse_unless,
    uniform,
)
from autoencode.preprocess.column_kinds.keys import from_floats
from autoencode.preprocess.column_kinds.numeric import Numeric, exact_numbers
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Cyclic"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cyclic(Block):
    """A number on a circle, as sine and cosine; only where it is asked for.

    Attributes
    ----------
    period : float
        What the numbers come round after; 24 for hours.
    low, high : float
        The range that was observed, at most one period long.
    whole : bool
        Whether numbers come back as whole ones.
    """

    kind: ClassVar[str] = "cyclic"

    period: float
    low: float
    high: float
    whole: bool

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse what is no number."""
        return Numeric.refusal(summary)

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit nothing: numbers do not show that they come round."""
        return None

    @classmethod
    def fit(cls, summary: ColumnSummary, *, period: float | str = "auto") -> Self:
        """Measure the range; "auto" is one more than the range of whole numbers."""
        refuse_unless(cls, summary)
        low, high = float(summary.numbers[0]), float(summary.numbers[-1])
        whole = summary.family == "integer"
        if period == "auto" and whole:
            period = high - low + 1
        if isinstance(period, str) or not 0 < period < math.inf:
            raise SpecError(
                f"columns[{summary.name!r}]: period={period!r} should be a positive number, "
                "such as cyclic:period=360"
            )
        if high - low > period:
            raise DataError(
                f"column {summary.name!r} goes from {low:.6g} to {high:.6g}, which is more than "
                f"period={period:.6g}"
            )
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            period=float(period),
            low=low,
            high=high,
            whole=whole,
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """Sine and cosine."""
        return (("gaussian", 2),)

    @property
    def n_draws(self) -> int:
        """One number for each of them."""
        return 2

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the numbers."""
        return exact_numbers(self.name, column, self.type)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the numbers in the column's type."""
        return from_floats(np.asarray(cells)[:, 0], self.type)

    def spread(self, cells: Tensor) -> Tensor:
        """Return sine and cosine."""
        turns = (cells - number(self.low, cells)) / number(self.period, cells)
        angles = turns * number(2 * math.pi, cells)
        return torch.cat([torch.sin(angles), torch.cos(angles)], 1)

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the number in whose direction the values point."""
        steps = self._steps(values)
        if self.whole:
            steps = torch.round(steps)
        # What is nearer to the next round than to the end of this one is its beginning.
        period = number(self.period, steps)
        last = number(self.high - self.low, steps)
        beyond = steps > (last + period) / 2 if clip else steps >= period
        steps = torch.where(beyond, 0.0, steps)
        if clip:
            steps = torch.minimum(steps, last)
        return steps + number(self.low, steps)

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the normal density of the way around the circle, per unit of the column."""
        period = number(self.period, cells)
        ahead = cells - number(self.low, cells) - self._steps(values)
        shortest = ahead - period * torch.round(ahead / period)
        width = torch.linalg.vector_norm(deviation) * period / (2 * math.pi)
        return gaussian_nats(shortest, width)[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Add residuals drawn by their quantiles, and take the direction."""
        levels = uniform(normals)
        added = [quantile(residuals[place], levels[..., place]) for place in range(2)]
        return self.gather(values + torch.stack(added, -1))

    def describe(self) -> str:
        """Name the range and the period."""
        return f"cyclic, {self.low:.6g} to {self.high:.6g}, period {self.period:.6g}"

    def _steps(self, values: Tensor) -> Tensor:
        """Return how far from the lowest number values point, ``(n, 1)``, in [0, period)."""
        turns = angle(values[:, :1], values[:, 1:]) / (2 * math.pi)
        return (turns - torch.floor(turns)) * number(self.period, values)
