"""Counts: 0, 1, 2 and so on."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.errors import DataError
from autoencode.preprocess.column_kinds.block import (
    Block,
    FloatArray,
    number,
    quantile,
    refuse_unless,
    uniform,
)
from autoencode.preprocess.column_kinds.keys import from_floats
from autoencode.preprocess.column_kinds.numeric import Numeric, exact_numbers, type_range
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Count"]

# Up to here log1p tells neighbours apart in float64 with plenty to spare.
LARGEST = 2**40


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count(Block):
    """A count ``x``; the value is ``log1p(x)``.

    Attributes
    ----------
    low, high : float
        The range that was observed.
    """

    kind: ClassVar[str] = "count"

    low: float
    high: float

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse what is not made of non-negative whole numbers."""
        reason = Numeric.refusal(summary)
        if reason is not None:
            return reason
        if summary.family not in ("integer", "float") or not summary.is_whole:
            return f"it is {summary.type} and not made of whole numbers"
        if summary.numbers[0] < 0:
            return f"it goes down to {summary.numbers[0]:.6g}"
        if summary.numbers[-1] > LARGEST:
            return f"it goes up to {summary.numbers[-1]:.6g}; allowed is 2^40"
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit small whole numbers from 0 or 1 on, leaning to the right.

        Codes such as months, hours and days do not lean; prices and distances leave
        gaps between small numbers.
        """
        # A refusal looks through text, which can do without.
        if summary.family == "text" or cls.refusal(summary):
            return None
        if summary.numbers[0] > 1 or summary.n_distinct < 3:
            return None
        numbers, counts = summary.numbers, summary.counts
        shares = counts / counts.sum()
        mean = float(shares @ numbers)
        deviation = float(np.sqrt(shares @ (numbers - mean) ** 2))
        skewness = float(shares @ (numbers - mean) ** 3) / deviation**3
        most = numbers[np.searchsorted(np.cumsum(shares), 0.9)]
        dense = np.count_nonzero(numbers <= most) >= 0.8 * (most - numbers[0] + 1)
        zeros = float(shares[0]) if numbers[0] == 0 else 0.0
        leans = (skewness > 0.4 and zeros >= 0.02) or (skewness > 1 and mean < 10)
        return "small whole numbers leaning right" if dense and leans and most <= 100 else None

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Keep the range."""
        refuse_unless(cls, summary)
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            low=float(summary.numbers[0]),
            high=float(summary.numbers[-1]),
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """One ``log1p`` of a count."""
        return (("count", 1),)

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the counts."""
        numbers = exact_numbers(self.name, column, self.type)
        # NaN is neither.
        bad = (numbers < 0) | (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"column {self.name!r} holds counts, but has {numbers[row]:.6g} in row {row + 1}; "
                "correct the cell, or fit with the column as 'numeric'"
            )
        return numbers[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the counts in the column's type."""
        return from_floats(np.asarray(cells)[:, 0], self.type)

    def spread(self, cells: Tensor) -> Tensor:
        """Return ``log1p`` of the counts."""
        return torch.log1p(cells)

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the nearest count."""
        return self._valid(torch.expm1(values), clip=clip)

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-probability of the count.

        A normal distribution of ``log1p(x)``, cut into a proper one over 0, 1, 2 ...:
        the probability of ``x`` is what lies between ``log(x + 0.5)`` and
        ``log(x + 1.5)``, and that of 0 all below ``log(1.5)``.
        """
        upper = (torch.log(cells + 1.5) - values) / deviation
        lower = (torch.log(cells + 0.5) - values) / deviation
        lower = torch.where(cells < 0.5, -torch.inf, lower)
        return _log_between(lower, upper)[:, 0]

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Add a residual drawn by its quantiles."""
        return self.gather(values + quantile(residuals[0], uniform(normals)))

    def expected(self, values: Tensor, residuals: Tensor) -> Tensor:
        """Average counts over the residuals (see `Numeric.expected`), and round."""
        candidates = torch.expm1(values + residuals).clamp(self.low, self.high)
        return self._valid(candidates.mean(1, keepdim=True), clip=True)

    def describe(self) -> str:
        """Name the range."""
        return f"count, {self.low:.0f} to {self.high:.0f}"

    def _valid(self, numbers: Tensor, *, clip: bool) -> Tensor:
        high = self.high if clip else min(LARGEST, type_range(self.type)[1])
        low = self.low if clip else 0.0
        return torch.round(numbers).clamp(number(low, numbers), number(high, numbers))


def _log_between(lower: Tensor, upper: Tensor) -> Tensor:
    """Return the log of the standard normal probability between two numbers."""
    # In the right tail, where probabilities are close to 1, the mirror image is exact.
    flip = lower > 0
    low, high = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    below, upto = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    difference = upto + torch.log(-torch.expm1(below - upto))
    # Narrow or far out, the difference of the logarithms is lost to rounding.
    width = high - low
    middle = (high + low) / 2
    density = -0.5 * middle**2 - 0.5 * np.log(2 * np.pi) + torch.log(width)
    return torch.where(width < 1e-4, density, difference)
