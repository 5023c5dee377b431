"""Chosen rows of a source, scaled: as float64 blocks for PCA, as tensors for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.data.rows import FloatArray, Rows
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.scaling import Scaling

__all__ = ["Pairs", "ScaledRows"]

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

_BLOCK_BYTES = 8 << 20
_FILLED_ROWS = 512


@dataclass(frozen=True)
class Pairs:
    """Where rows come from: what is encoded, and what is reconstructed.

    Attributes
    ----------
    rows : Rows
        What is encoded.
    target : Rows or None
        What is reconstructed; None: the rows themselves.
    """

    rows: Rows
    target: Rows | None = None

    @property
    def goal(self) -> Rows:
        """What is reconstructed."""
        return self.rows if self.target is None else self.target

    @property
    def has_missing(self) -> bool:
        """Whether any value is missing."""
        return self.rows.has_missing or self.goal.has_missing

    @property
    def mapped(self) -> bool:
        """Whether any rows are read from files whenever they are asked for."""
        return self.rows.mapped or self.goal.mapped

    def raw(self, numbers: Numbers) -> Iterator[FloatArray]:
        """Yield the goal's rows with these numbers, in blocks, in the data's units."""
        return _blocks(self.goal, numbers)


@dataclass(frozen=True)
class ScaledRows:
    """Some rows of a source, in the network's units.

    Attributes
    ----------
    pairs : Pairs
        The source.
    numbers : ndarray of int
        Which rows, ascending.
    scaling : Scaling
        From the data's units.
    dtype : torch.dtype
        Of the tensors.
    device : torch.device
        Of the tensors.
    fill : Fill or None
        In float64: what stands for missing values where a method takes none; None: zero.
    longest : float or None
        Longer rows of `tensors` are brought to this length; None: none are.
    """

    pairs: Pairs
    numbers: Numbers
    scaling: Scaling
    dtype: torch.dtype
    device: torch.device
    fill: Fill | None = None
    longest: float | None = None

    def lengths(self) -> Array:
        """Return the Euclidean length of each row, over its values that are not missing."""
        found = [np.sqrt(np.nansum(np.square(block), 1)) for block in self.blocks_with_missing()]
        return np.concatenate(found) if found else np.zeros(0)

    def __len__(self) -> int:
        return len(self.numbers)

    def blocks(self) -> Iterator[Array]:
        """Yield what is to be reconstructed, in float64, without missing values."""
        for block in self.blocks_with_missing():
            yield self.filled(block)

    def blocks_with_missing(self) -> Iterator[Array]:
        """Yield what is to be reconstructed, in float64; NaN where it is missing."""
        for block in self.pairs.raw(self.numbers):
            yield self.scaling.forward(block)

    def missing_shares(self) -> Array:
        """Return each value's share of missing ones in what is to be reconstructed."""
        missing: Array = np.zeros(self.pairs.goal.n_features)
        for block in self.blocks_with_missing():
            missing += np.isnan(block).sum(0)
        return missing / len(self)

    def filled(self, values: Array) -> Array:
        """Return scaled rows with their best linear guess where values are missing."""
        missing = np.isnan(values)
        rows = np.flatnonzero(missing.any(1))
        if not len(rows):
            return values
        result = np.where(missing, 0.0, values)
        if self.fill is not None:
            for start in range(0, len(rows), _FILLED_ROWS):
                chosen = rows[start : start + _FILLED_ROWS]
                known = torch.from_numpy(result[chosen])
                with torch.inference_mode():
                    guess = self.fill(known, torch.from_numpy(~missing[chosen]))
                result[chosen] = guess.numpy()
        return result

    def values(self) -> tuple[Array, Array | None]:
        """Return all at once in float64: what is encoded; what is reconstructed if not that.

        NaN where a value is missing.
        """
        rows, target = self.pairs.rows, self.pairs.target
        encoded = self.scaling.forward(rows.take(self.numbers))
        if target is None:
            return encoded, None
        return encoded, self.scaling.forward(target.take(self.numbers))

    def bytes_needed(self) -> int:
        """Return the size of one of the tensors of all rows."""
        return len(self) * self.pairs.rows.n_features * self.dtype.itemsize

    def tensors(self, places: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return rows by their places among these (all by default), and their targets.

        NaN where a value is missing.
        """
        numbers = self.numbers if places is None else self.numbers[places.numpy()]
        target = self.pairs.target
        return (
            self._filled(self.pairs.rows, numbers),
            None if target is None else self._filled(target, numbers),
        )

    def _filled(self, rows: Rows, numbers: Numbers) -> Tensor:
        values = torch.empty(len(numbers), rows.n_features, dtype=self.dtype)
        start = 0
        for block in _blocks(rows, numbers):
            values[start : start + len(block)] = torch.from_numpy(self.scaling.forward(block))
            start += len(block)
        if self.longest is not None:
            lengths = values.nan_to_num(nan=0.0).square().sum(1, keepdim=True).sqrt_()
            values *= (self.longest / lengths.clamp_min_(self.longest)).to(values.dtype)
        return values.to(self.device)


def _blocks(rows: Rows, numbers: Numbers) -> Iterator[FloatArray]:
    """Yield the rows with these ascending numbers in blocks of a few megabytes."""
    count = max(1, _BLOCK_BYTES // (8 * rows.n_features))
    everything = len(numbers) == rows.n_rows
    for start in range(0, len(numbers), count):
        if everything:
            yield rows.block(start, start + count)
        else:
            yield rows.take(numbers[start : start + count])
