"""Columns that are kept out: near-unique labels, row numbers, nested values."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.preprocess.column_kinds.block import Block, FloatArray
from autoencode.preprocess.column_kinds.conversion import cell_text
from autoencode.preprocess.column_kinds.date_texts import first_odd
from autoencode.preprocess.column_kinds.number_texts import misspelling
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Identifier"]

NEAR_UNIQUE = 0.9
FEWEST_LABELS = 20
FEWEST_NUMBERS = 50
# Consecutive integers in this range are years.
YEARS = (1500, 2200)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identifier(Block):
    """A column that names its rows: left out, and null when it comes back.

    Attributes
    ----------
    reason : str
        Why it is left out.
    """

    kind: ClassVar[str] = "identifier"
    n_cells: ClassVar[int] = 0

    reason: str

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse nothing: any column can be left out."""
        return None

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit near-unique labels, row numbers and what no other kind can take."""
        if summary.keys is None:
            what = "nested" if pa.types.is_nested(summary.type) else "other"
            return f"{what} values: {summary.type}"
        observed, distinct = summary.n_observed, summary.n_distinct
        is_label = summary.family == "text" or not (
            summary.is_exact or summary.family in ("date", "bool")
        )
        if is_label and observed >= FEWEST_LABELS and distinct > NEAR_UNIQUE * observed:
            return _misspelled(summary) or f"near-unique: {distinct} of {observed} values differ"
        if summary.family == "integer" and observed >= FEWEST_NUMBERS and distinct == observed:
            low, high = (summary.distinct[place].as_py() for place in (0, -1))
            are_years = YEARS[0] <= low and high <= YEARS[1]
            if high - low + 1 == distinct and not are_years:
                return f"row numbers: each of {low} to {high} once"
        return None

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Keep the reason only."""
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            reason=cls.look(summary) or "left out on request",
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """Nothing to learn."""
        return ()

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return no cells."""
        return np.empty((len(column), 0))

    def column(self, cells: FloatArray) -> pa.Array:
        """Return nulls."""
        return pa.nulls(len(cells), self.type)

    def spread(self, cells: Tensor) -> Tensor:
        """Return no values."""
        return cells

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return no cells."""
        return values

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return NaN: nothing is known about it."""
        return torch.full((cells.shape[0],), torch.nan, dtype=cells.dtype, device=cells.device)

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Return no cells."""
        return values

    def describe(self) -> str:
        """Give the reason."""
        return f"identifier, {self.reason}"

    @property
    def port(self) -> None:
        """Neither enter nor leave a graph."""


def _misspelled(summary: ColumnSummary) -> str | None:
    """Name the cell because of which numbers or dates are text, if a column seems to be that."""
    found = misspelling(summary.keys) if summary.family == "text" else None
    if found is None:
        odd = first_odd(summary.distinct) if summary.family == "text" else None
        return None if odd is None else f"text; nearly all cells are dates, {odd!r} is not"
    count, row = found
    cell = cell_text(summary.keys, row)
    return (
        f"text; {count} of {summary.n_observed} cells are numbers, {cell} in row {row + 1} is not"
    )
