"""The best linear guess of rows that are missing in part or noisy, and what goes with it.

The network starts at this guess and is told what it rests on: which columns are missing,
how strong the noise is, and the noisy values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from autoencode.interfaces import Batch, Layout
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.shrinking import Shrink

__all__ = [
    "Guess",
    "GuessParts",
    "guessed",
    "guessed_where_needed",
    "n_told",
    "rescaled",
    "restored",
    "trust",
]

_FEW_ROWS = 256
_FAINT = 1e-4
"""Variance below which noise of any strength is told alike."""


class GuessParts(Protocol):
    """What a guess needs: a network has it, and so has what is left of one."""

    @property
    def fill(self) -> Fill | None:
        """What stands for missing values; None: their mean, which is zero."""

    @property
    def shrink(self) -> Shrink | None:
        """What takes noise out; None: nothing does."""

    @property
    def masked(self) -> bool:
        """Whether it is told which columns are missing."""

    @property
    def noisy(self) -> bool:
        """Whether it is told how strong the noise is."""

    @property
    def first_values(self) -> Tensor:
        """The place of each column's first value, ``(n_columns,)``."""


class Restoring(Protocol):
    """What tells how far a network may move rows from their guess."""

    @property
    def rescales(self) -> bool:
        """Whether its outputs are values, so that steps can be scaled."""


@dataclass(frozen=True)
class Guess:
    """The same without a network; see `GuessParts`."""

    fill: Fill | None
    shrink: Shrink | None
    masked: bool
    noisy: bool
    first_values: Tensor


def n_told(layout: Layout, *, masked: bool, noisy: bool) -> int:
    """Return how many numbers the encoder is told beside the values."""
    return masked * layout.n_columns + noisy * (2 + layout.n_values)


def guessed(parts: GuessParts, batch: Batch) -> Batch:
    """Return the best linear guess of rows, and what it rests on.

    Parameters
    ----------
    parts : GuessParts
        How to guess.
    batch : Batch
        Rows; what stands at values that are not observed does not matter. Those for which
        there is a guess already are returned as they are.
    """
    x, observed, told, _ = batch
    if told is not None:
        return batch
    if observed is not None:
        x = x * observed if parts.fill is None else parts.fill(x, observed)
    return _explained(parts, batch._replace(x=x))


def guessed_where_needed(parts: GuessParts, batch: Batch) -> Batch:
    """Return the same; rows without missing values are left out of filling in."""
    x, observed, told, _ = batch
    if told is not None or observed is None:
        return guessed(parts, batch)
    values = x.clone()
    # A few rows at a time stay in the cache from step to step.
    for rows in (~observed.all(1)).nonzero()[:, 0].split(_FEW_ROWS):
        seen = observed[rows]
        values[rows] = x[rows] * seen if parts.fill is None else parts.fill(x[rows], seen)
    return _explained(parts, batch._replace(x=values))


def trust(level: Tensor) -> Tensor:
    """Return how far a network may move a noisy row from its guess, ``(batch, 1)``.

    The deviation of what is left of noise of this strength where nothing is known of the
    rows but that their variance is 1; Karras et al. (2022), table 1, for this scale. 1
    where there is no noise: what is missing may be anything.
    """
    gain, variance = level[:, :1], level[:, 1:]
    left = torch.sqrt(variance / (gain * gain + variance).clamp_min(_FAINT))
    return torch.where(variance > 0, left.clamp_min(_FAINT), torch.ones_like(left))


def restored(network: Restoring, mean: Tensor, batch: Batch) -> Tensor:
    """Return rows as a network restores them.

    Parameters
    ----------
    network : Restoring
        What the mean comes from.
    mean : Tensor
        ``(batch, n_values)``: what the network expects of the guessed rows.
    batch : Batch
        Those.

    Returns
    -------
    Tensor
        Of noisy rows, the guess and as much of the network's step away from it as the
        strength of the noise allows.
    """
    if batch.level is None or not network.rescales:
        return mean
    return batch.x + trust(batch.level) * (mean - batch.x)


def rescaled(network: Restoring, target: Batch, batch: Batch) -> Batch:
    """Return what a network has to expect so that `restored` gives the target."""
    if batch.level is None or not network.rescales:
        return target
    return target._replace(x=batch.x + (target.x - batch.x) / trust(batch.level))


def _explained(parts: GuessParts, batch: Batch) -> Batch:
    """Take the noise out of rows that are complete; say what was there before."""
    x, observed, _, level = batch
    told = []
    if parts.masked:
        if observed is None:
            told.append(x.new_zeros(len(x), len(parts.first_values)))
        else:
            told.append(1.0 - observed[:, parts.first_values].to(x.dtype))
    if parts.noisy:
        if level is None:
            level = torch.tensor([[1.0, 0.0]], dtype=x.dtype, device=x.device).expand(len(x), 2)
        gain, variance = level[:, :1], level[:, 1:]
        told += [gain, 0.25 * torch.log(variance + _FAINT)]
        told.append(x / torch.sqrt(gain * gain + variance))
        if parts.shrink is not None:
            x = parts.shrink(x, level)
    if not told:
        # The encoder hears nothing, yet there is a guess.
        told.append(x.new_zeros(len(x), 0))
    return Batch(x, observed, torch.cat(told, 1), level)
