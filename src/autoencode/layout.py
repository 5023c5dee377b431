"""What the values of a row are: which of them belong to one column, and how likely they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Layout", "Segment"]


class Segment(NamedTuple):
    """A run of values that belong together.

    Attributes
    ----------
    likelihood : str
        What they are: ``"gaussian"``, ``"bernoulli"``, ``"categorical"`` (one-hot) or
        ``"count"`` (log(1 + count)).
    column : int
        The column that they come from.
    start, stop : int
        Their places among the values.
    """

    likelihood: str
    column: int
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """What the values of a row are.

    Attributes
    ----------
    n_values : int
        Their number.
    segments : tuple of Segment
        All of them, in order. Empty: every value is a real number and a column by itself.
    shape : tuple of int
        Of pictures: ``(height, width)`` or ``(height, width, colours)``; else of one axis.
    """

    n_values: int
    segments: tuple[Segment, ...] = ()
    shape: tuple[int, ...] = ()

    @property
    def is_picture(self) -> bool:
        """Whether values have neighbours in two directions."""
        return len(self.shape) > 1 and not self.segments

    @property
    def parts(self) -> tuple[Segment, ...]:
        """The segments, spelled out."""
        return self.segments or tuple(
            Segment("gaussian", place, place, place + 1) for place in range(self.n_values)
        )

    @property
    def n_columns(self) -> int:
        """The number of columns that values come from."""
        return len({segment.column for segment in self.segments}) or self.n_values

    def first_values(self) -> Tensor:
        """Return each column's first value: a column is missing where that is; (n_columns,).

        On the CPU also where weights are only outlined (``meta``), since it is not loaded.
        """
        if not self.segments:
            return torch.arange(self.n_values, device="cpu")
        first: dict[int, int] = {}
        for part in self.segments:
            first.setdefault(part.column, part.start)
        return torch.tensor(list(first.values()), dtype=torch.long, device="cpu")

    def columns(self) -> Tensor:
        """Return each value's column, counted without columns that have no values; (n_values,)."""
        if not self.segments:
            return torch.arange(self.n_values)
        numbers = {
            column: place
            for place, column in enumerate(dict.fromkeys(part.column for part in self.segments))
        }
        return torch.tensor(
            [numbers[part.column] for part in self.segments for _ in range(part.start, part.stop)]
        )
