"""Levels without an order, few or very many of them."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
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

__all__ = ["Categorical"]

# A level is rare if it has fewer rows than each of these ...
RARE_ROWS = 5
RARE_SHARE = 0.001
# ... and rare levels share a slot if all of them together are still few.
LARGEST_RARE_SHARE = 0.05
LARGEST_ONE_HOT = 256
LARGEST_BASE = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Categorical(Block):
    """A level: its place is the cell, and the number of levels stands for an unseen one.

    Up to 256 levels are one-hot, where rare ones share the last slot, which an unseen
    one falls into, too. More levels are written as a number: the digits of a level's
    place, each of them one-hot, so that 100,000 levels take 3 times 47 values.

    Attributes
    ----------
    levels : Levels
        In ascending order or that of the dictionary.
    unused : tuple of int
        Places of the dictionary's levels that no row had.
    rare : tuple of int
        Places of the levels that share a slot.
    rare_counts : tuple of int
        How many rows each of them had.
    base : int
        Of the digits; 0 if the levels are one-hot.
    n_digits : int
        1 if the levels are one-hot.
    """

    kind: ClassVar[str] = "categorical"

    levels: Levels
    unused: tuple[int, ...]
    rare: tuple[int, ...]
    rare_counts: tuple[int, ...]
    base: int
    n_digits: int

    @classmethod
    def refusal(cls, summary: ColumnSummary) -> str | None:
        """Refuse nested values and columns without any."""
        if summary.keys is None:
            return f"it is {summary.type}"
        return None if summary.n_observed else "it has no values"

    @classmethod
    def look(cls, summary: ColumnSummary) -> str | None:
        """Suit whatever has different values."""
        return None if cls.refusal(summary) else "levels"

    @classmethod
    def fit(cls, summary: ColumnSummary) -> Self:
        """Collect the levels, find rare ones and choose between one-hot and digits."""
        refuse_unless(cls, summary)
        levels, counts = Levels.of(summary)
        used = counts > 0
        rare = used & (counts < min(RARE_ROWS, RARE_SHARE * summary.n_observed))
        if counts[rare].sum() > LARGEST_RARE_SHARE * summary.n_observed:
            rare = np.zeros_like(used)
        n_slots = int((used & ~rare).sum()) + int(rare.any())
        base, n_digits = 0, 1
        if n_slots > LARGEST_ONE_HOT:
            base, n_digits = _digits(len(levels))
            rare = np.zeros_like(used)
        return cls(
            name=summary.name,
            type=summary.type,
            n_rows=summary.n_rows,
            n_missing=summary.n_missing,
            levels=levels,
            unused=tuple(np.flatnonzero(~used).tolist()),
            rare=tuple(np.flatnonzero(rare).tolist()),
            rare_counts=tuple(counts[rare].tolist()),
            base=base,
            n_digits=n_digits,
        )

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """One choice among the slots, or one for each digit."""
        if self.base:
            return (("categorical", self.base),) * self.n_digits
        return (("categorical", len(self._own) + bool(self.rare)),)

    @property
    def n_draws(self) -> int:
        """One for each digit."""
        return self.n_digits

    def cells(self, column: pa.ChunkedArray) -> FloatArray:
        """Return the levels' places; their number for an unseen one."""
        return self.levels.places(self.name, column)[:, None]

    def column(self, cells: FloatArray) -> pa.Array:
        """Return the levels; null for an unseen one."""
        return self.levels.take(np.asarray(cells)[:, 0])

    def spread(self, cells: Tensor) -> Tensor:
        """Return one-hot slots or digits; an unseen level without a slot is missing."""
        if self.base:
            places = torch.where(cells < len(self.levels), cells, torch.nan)
            return torch.cat([_one_hot(digit, self.base) for digit in self._split(places)], 1)
        slots = cells
        if self.rare or self.unused:
            index = torch.nan_to_num(cells).to(torch.int64)
            slots = torch.where(torch.isnan(cells), cells, self._table(self._slots, cells)[index])
        return _one_hot(slots, self.segments[0][1])

    def gather(self, values: Tensor, *, clip: bool = True) -> Tensor:
        """Return the likeliest level; of the rare ones, the most frequent."""
        if self.base:
            pieces = values.split(self.base, 1)
            return self._join([_likeliest(piece) for piece in pieces])
        slots = _likeliest(values)
        index = torch.nan_to_num(slots).to(torch.int64)
        return torch.where(torch.isnan(slots), slots, self._table(self._places, values)[index])

    def nats(self, cells: Tensor, values: Tensor, deviation: Tensor) -> Tensor:
        """Return the log-probability of the level; see `smoothed` and `novelty`.

        The slot of rare levels is shared out by their frequencies, with one more row for
        whatever is new. Of several digits, the log-probabilities are summed.
        """
        observed = ~torch.isnan(cells[:, 0])
        index = torch.nan_to_num(cells).to(torch.int64)[:, 0]
        weights = self._table(self._weights, values)
        if self.base:
            places = torch.nan_to_num(cells).clamp(max=len(self.levels) - 1)
            slots = torch.cat(self._split(places), 1)
            known = values.new_zeros(len(values))
            for digit, (piece, off) in enumerate(
                zip(values.split(self.base, 1), deviation.split(self.base), strict=True)
            ):
                known = known + _chosen(smoothed(piece, off), slots[:, digit])
        else:
            slot = torch.nan_to_num(self._table(self._slots, values)[index])
            known = _chosen(smoothed(values, deviation), slot)
        has_slot = self._table(self._has_slot, values)[index] > 0
        found = torch.where(has_slot, known, 0.0 * known) + weights[index]
        return torch.where(observed, found, torch.nan)

    def draw(self, values: Tensor, normals: Tensor, residuals: Tensor) -> Tensor:
        """Draw by the probabilities; among rare levels, by their frequencies."""
        levels = uniform(normals).expand(len(values), self.n_draws)
        if self.base:
            pieces = values.split(self.base, 1)
            return self._join(
                [_drawn(piece, levels[:, i : i + 1])[0] for i, piece in enumerate(pieces)]
            )
        slots, rest = _drawn(values, levels)
        index = torch.nan_to_num(slots).to(torch.int64)
        places = self._table(self._places, values)[index]
        if self.rare:
            shares = np.cumsum(self.rare_counts) / np.sum(self.rare_counts)
            which = (rest > self._table(shares[:-1], values)).sum(1, keepdim=True)
            among = self._table(np.array(self.rare, dtype=np.float64), values)[which]
            places = torch.where(slots == len(self._own), among, places)
        return torch.where(torch.isnan(slots), slots, places)

    def describe(self) -> str:
        """Count the levels."""
        text = f"categorical, {len(self.levels)} levels"
        if self.levels.words:
            text += f", numbers but for {self.levels.words}"
        if self.rare:
            text += f", {len(self.rare)} rare"
        if self.base:
            text += f" as {self.n_digits} digits of {self.base}"
        return text

    def _split(self, places: Tensor) -> list[Tensor]:
        """Return the digits of places, the most significant one first."""
        digits: list[Tensor] = []
        for power in reversed(range(self.n_digits)):
            digit = torch.floor(places / self.base**power)
            places = places - digit * self.base**power
            digits.append(digit)
        return digits

    def _join(self, digits: list[Tensor]) -> Tensor:
        places = digits[0]
        for digit in digits[1:]:
            places = places * self.base + digit
        return places.clamp(max=len(self.levels) - 1)

    @staticmethod
    def _table(numbers: npt.NDArray[Any], like: Tensor) -> Tensor:
        return torch.as_tensor(numbers, dtype=torch.float64, device=like.device)

    @cached_property
    def _own(self) -> npt.NDArray[np.int64]:
        """The places of the levels that have a slot of their own."""
        return np.setdiff1d(np.arange(len(self.levels)), [*self.rare, *self.unused])

    @cached_property
    def _slots(self) -> FloatArray:
        """The slot of each place, and of an unseen level; NaN for none."""
        slots = np.full(len(self.levels) + 1, len(self._own) if self.rare else np.nan)
        slots[self._own] = np.arange(len(self._own))
        return slots

    @cached_property
    def _places(self) -> FloatArray:
        """The place that each slot stands for."""
        rare = [self.rare[int(np.argmax(self.rare_counts))]] if self.rare else []
        return np.concatenate([self._own, np.array(rare)]).astype(np.float64)

    @cached_property
    def _has_slot(self) -> FloatArray:
        """Whether each place, and an unseen level, gets a probability from the values."""
        has_slot = np.ones(len(self.levels) + 1)
        if not self.rare:
            has_slot[[*self.unused, len(self.levels)]] = 0
        return has_slot

    @cached_property
    def _weights(self) -> FloatArray:
        """What is added to the log-probability of each place's slot."""
        if self.rare:
            total = sum(self.rare_counts) + 1
            weights = np.full(len(self.levels) + 1, -math.log(total))
            weights[self._own] = 0.0
            weights[list(self.rare)] = np.log(self.rare_counts) - math.log(total)
            return weights
        known, new = novelty(self.n_rows - self.n_missing)
        return np.where(self._has_slot > 0, known, new)


def _digits(n_levels: int) -> tuple[int, int]:
    """Return the base and the number of digits in which places are written."""
    n_digits = 1
    while LARGEST_BASE**n_digits < n_levels:
        n_digits += 1
    base = 2
    while base**n_digits < n_levels:
        base += 1
    return base, n_digits


def _one_hot(slots: Tensor, width: int) -> Tensor:
    places = torch.arange(width, dtype=slots.dtype, device=slots.device)
    # A missing slot, or one that is none of these, leaves NaN throughout.
    nothing = torch.where((slots >= 0) & (slots < width), 0.0, torch.nan)
    return (slots == places).to(slots.dtype) + nothing


def _likeliest(values: Tensor) -> Tensor:
    best = torch.nan_to_num(values, nan=-math.inf).argmax(1, keepdim=True).to(values.dtype)
    return torch.where(torch.isnan(values).any(1, keepdim=True), torch.nan, best)


def _chosen(probabilities: Tensor, slots: Tensor) -> Tensor:
    return probabilities.gather(1, slots.to(torch.int64)[:, None])[:, 0].log()


def _drawn(values: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Draw slots at levels in (0, 1), and say how far into its slot each level is."""
    positive = values.clamp(0.0, 1.0)
    total = positive.sum(1, keepdim=True)
    even = torch.full_like(positive, 1 / values.shape[1])
    shares = torch.where(total > 0, positive / total, even)
    upto = shares.cumsum(1)
    slots = (levels * upto[:, -1:] > upto).sum(1, keepdim=True).clamp(max=values.shape[1] - 1)
    width = shares.gather(1, slots)
    start = upto.gather(1, slots) - width
    rest = ((levels * upto[:, -1:] - start) / width.clamp(min=1e-300)).clamp(0, 1)
    missing = torch.isnan(values).any(1, keepdim=True)
    return torch.where(missing, torch.nan, slots.to(values.dtype)), rest
