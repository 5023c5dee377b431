"""Corruptions: what happens to the rows before they are encoded, never to the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Corruption, Layout

__all__ = ["CORRUPTIONS", "GaussianNoise", "Hide", "Mask", "Nothing"]


class Nothing:
    """Leave the rows as they are.

    Parameters
    ----------
    layout : Layout
        What the values are.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return the rows themselves."""
        return batch


class GaussianNoise:
    """Add independent normal noise to every value.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float
        Standard deviation, in units of the preprocessed data (1 is about one
        standard deviation of a column).
    """

    def __init__(self, layout: Layout, level: float = 0.1) -> None:
        if not (level > 0 and math.isfinite(level)):
            raise SpecError(f"corruption 'gaussian': level={level!r} should be a positive number")
        self.level = float(level)

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return noisy rows."""
        x = batch.x
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype, device=x.device)
        return batch._replace(x=torch.add(x, noise, alpha=self.level))


class Mask:
    """Set values to zero (the mean of the preprocessed data), each by chance.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float
        Share of values that are hidden, between 0 and 1.
    """

    def __init__(self, layout: Layout, level: float = 0.25) -> None:
        if not 0 < level < 1:
            raise SpecError(f"corruption 'mask': level={level!r} should lie between 0 and 1")
        self.level = float(level)

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return rows with hidden values."""
        x = batch.x
        kept = torch.rand(x.shape, generator=rng, dtype=x.dtype, device=x.device) >= self.level
        return batch._replace(x=x * kept)


class Hide:
    """Make cells missing, all values of a column together, so that they must be restored.

    Of the rows that are to lose cells each has a share of its own, drawn evenly from
    ``level``. Cells which are often missing together are hidden together, since a row
    loses, besides, what is missing in another one.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float or pair of float
        Share of a row's cells that are hidden, or the range of this share.
    rows : float
        Share of the rows that lose cells.
    together : bool
        Whether they lose, besides, what is missing in another row.
    """

    def __init__(
        self,
        layout: Layout,
        level: float | Sequence[float] = (0.0, 0.5),
        rows: float = 0.5,
        together: bool = True,
    ) -> None:
        self.lowest, self.highest = _range(level)
        if not 0 < rows <= 1:
            raise SpecError(f"corruption 'hide': rows={rows!r} should lie in (0, 1]")
        self.rows = float(rows)
        self.together = together
        self.columns, self.n_columns = layout.columns(), layout.n_columns

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return rows in which fewer values are observed; hidden ones are zero."""
        x = batch.x
        count, device = len(x), x.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=rng, device=device)

        share = self.lowest + (self.highest - self.lowest) * uniform(count, 1)
        share = share * (uniform(count, 1) < self.rows)
        kept = (uniform(count, self.n_columns) >= share)[:, self.columns.to(device)]
        if batch.observed is not None:
            kept = kept & batch.observed
            if self.together:
                kept = kept & (batch.observed.roll(1, 0) | (share == 0))
        return Batch(x * kept, kept)


def _range(level: Any) -> tuple[float, float]:
    try:
        lowest, highest = (level, level) if isinstance(level, int | float) else level
        if not (0 <= lowest <= highest <= 1 and highest > 0):
            raise ValueError
    except (TypeError, ValueError):
        raise SpecError(
            f"corruption 'hide': level={level!r} should be a share, or a range of shares, "
            "between 0 and 1"
        ) from None
    return float(lowest), float(highest)


CORRUPTIONS: dict[str, Callable[..., Corruption]] = {
    "none": Nothing,
    "gaussian": GaussianNoise,
    "mask": Mask,
    "hide": Hide,
}
