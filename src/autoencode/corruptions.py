"""Corruptions: what happens to the rows before they are encoded, never to the target."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.errors import SpecError
from autoencode.holes import Holes, blocks
from autoencode.interfaces import Batch, Corruption, Layout

__all__ = [
    "CORRUPTIONS",
    "Block",
    "GaussianNoise",
    "Hide",
    "Holes",
    "Mask",
    "Nothing",
    "Restoring",
    "SaltPepper",
    "Swap",
    "real_values",
]

_REAL = ("gaussian", "huber", "count")

Level = float | Sequence[float]


class Nothing(Corruption):
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


class _Noise(Corruption):
    """Noise of one strength, or of a range of them: then each row has its own, and it is told.

    Parameters
    ----------
    layout : Layout
        What the values are. Noise is added to numbers alone, anything else happens to all
        values of a column together, and nothing to values that are missing.
    level : float or pair of float
        The strength, or the range that it is drawn from.
    """

    name = ""
    default: Level = 0.1
    most = 1.0
    logarithmic = False

    def __init__(self, layout: Layout, level: Level | None = None) -> None:
        level = self.default if level is None else level
        self.lowest, self.highest = _range(self.name, level, self.most)
        self.tells = self.lowest < self.highest
        self.columns, self.n_columns = layout.columns(), layout.n_columns
        self.shape = layout.shape if layout.is_picture else None
        real = torch.zeros(layout.n_values, dtype=torch.bool)
        real[real_values(layout)] = True
        self.real = None if bool(real.all()) else real

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return noisy rows, and how noisy they are where it is told."""
        level = self.levels(batch.x, rng)
        x = self.spoil(batch, level, rng)
        if batch.observed is not None:
            x = torch.where(batch.observed, x, batch.x)
        if not self.tells:
            return batch._replace(x=x)
        gain, variance = self.moments(level)
        return batch._replace(x=x, level=torch.cat([gain, variance], 1))

    def levels(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Return each row's strength, ``(batch, 1)``: evenly spread, in random order."""
        count = len(x)
        order = torch.randperm(count, generator=rng, device=x.device)
        share = ((order + 0.5) / count)[:, None].to(x.dtype)
        if not self.logarithmic:
            return self.lowest + (self.highest - self.lowest) * share
        ratio = self.highest / self.lowest
        return self.lowest * torch.exp(share * math.log(ratio))

    def chosen(self, x: Tensor, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return which values are hit, each column with the chance ``level``."""
        coins = torch.rand(len(x), self.n_columns, generator=rng, device=x.device)
        return (coins < level)[:, self.columns.to(x.device)]

    def moments(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return by how much values of variance 1 shrink, and the variance that is added."""
        return 1.0 - level, 1.0 - (1.0 - level) ** 2

    def spoil(self, batch: Batch, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return noisy values."""
        raise TypeError(f"{type(self).__name__} does not say what it does to values")


class GaussianNoise(_Noise):
    """Add independent normal noise to every number.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float or pair of float
        Standard deviation, in units of the preprocessed data (1 is about one standard
        deviation of a column), or the range that each row's is drawn from.
    numbers : bool
        Whether other values than numbers are left alone; else every value of a row gets
        noise as the network sees it, those of categories too.
    """

    name, default, most, logarithmic = "gaussian", 0.1, math.inf, True

    def __init__(self, layout: Layout, level: Level | None = None, numbers: bool = True) -> None:
        super().__init__(layout, level)
        if not numbers:
            self.real = None

    def spoil(self, batch: Batch, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return values with noise."""
        x = batch.x
        noise = torch.randn(x.shape, generator=rng, dtype=x.dtype, device=x.device)
        if self.real is not None:
            noise = noise * self.real.to(x.device)
        return torch.addcmul(x, noise, level.to(x.dtype))

    def moments(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 and the noise's variance."""
        return torch.ones_like(level), level.square()


class Mask(_Noise):
    """Set columns to zero (the mean of the preprocessed data), each by chance.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float or pair of float
        Share of columns that are hidden, or the range that each row's is drawn from.
    """

    name, default = "mask", 0.25

    def spoil(self, batch: Batch, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return values some of which are zero."""
        return batch.x.masked_fill(self.chosen(batch.x, level, rng), 0.0)

    def moments(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Return the share that is left, and what its randomness adds."""
        return 1.0 - level, level * (1.0 - level)


class Block(Mask):
    """Set a run of neighbouring columns to zero, of a picture a block of pixels; see `Mask`."""

    name, default = "block", 0.25

    def chosen(self, x: Tensor, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return one run in each row, which starts anywhere and ends within the row."""
        if self.shape is not None:
            return blocks(self.shape, level, rng)
        length = torch.round(level * self.n_columns)
        coins = torch.rand(len(x), 1, generator=rng, device=x.device)
        first = torch.floor(coins * (self.n_columns - length + 1))
        places = self.columns.to(x.device)
        return (places >= first) & (places < first + length)


class SaltPepper(_Noise):
    """Set numbers to the least or the greatest value of their column.

    Other columns take the value of another row.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float or pair of float
        Share of columns that are hit, or the range that each row's is drawn from.
    """

    name, default = "salt_pepper", 0.1

    def spoil(self, batch: Batch, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return values some of which are extreme."""
        x = batch.x
        least, most = x, x
        if batch.observed is not None:
            least = x.masked_fill(~batch.observed, math.inf)
            most = x.masked_fill(~batch.observed, -math.inf)
        coins = torch.rand(x.shape, generator=rng, dtype=x.dtype, device=x.device)
        extreme = torch.where(coins < 0.5, least.amin(0), most.amax(0))
        if self.real is not None:
            extreme = torch.where(self.real.to(x.device), extreme, _others(self, batch, rng))
        return torch.where(self.chosen(x, level, rng), extreme, x)


class Swap(_Noise):
    """Exchange a column's value for that of another row, each by chance.

    Parameters
    ----------
    layout : Layout
        What the values are.
    level : float or pair of float
        Share of columns that are exchanged, or the range that each row's is drawn from.
    """

    name, default = "swap", 0.1

    def spoil(self, batch: Batch, level: Tensor, rng: torch.Generator) -> Tensor:
        """Return values some of which are another row's."""
        return torch.where(self.chosen(batch.x, level, rng), _others(self, batch, rng), batch.x)


def _others(noise: _Noise, batch: Batch, rng: torch.Generator) -> Tensor:
    """Return for every column the value of a row drawn for it; its own where that has none."""
    x = batch.x
    shape = (len(x), noise.n_columns)
    rows = torch.randint(len(x), shape, generator=rng, device=x.device)
    places = rows[:, noise.columns.to(x.device)]
    other = x.gather(0, places)
    if batch.observed is None:
        return other
    return torch.where(batch.observed.gather(0, places), other, x)


class Hide(Corruption):
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

    hides = True

    def __init__(
        self,
        layout: Layout,
        level: Level = (0.0, 0.5),
        rows: float = 0.5,
        together: bool = True,
    ) -> None:
        self.lowest, self.highest = _range("hide", level, 1.0)
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
        return batch._replace(x=x * kept, observed=kept)


class Restoring(Corruption):
    """Spoil rows in the ways from which a network learns to restore them, in turn.

    Rows get normal noise, or values of other rows, of a strength that is told; or lose cells.

    Parameters
    ----------
    layout : Layout
        What the values are.
    noise, swap, hidden : float or pair of float or None
        As the levels of ``gaussian``, ``swap`` and ``hide``; None: not this way.
    """

    def __init__(
        self,
        layout: Layout,
        noise: Level | None = (0.05, 2.5),
        swap: Level | None = (0.02, 0.5),
        hidden: Level | None = (0.0, 0.6),
    ) -> None:
        self.parts: list[Corruption] = []
        for part, level in ((GaussianNoise, noise), (Swap, swap)):
            if level is not None:
                told = part(layout, level)
                told.tells = True
                self.parts.append(told)
        if hidden is not None:
            self.parts.append(Hide(layout, hidden, rows=1.0, together=False))
        if not self.parts:
            raise SpecError("corruption 'restoring': noise, swap and hidden should not all be None")
        self.tells = any(part.tells for part in self.parts)
        self.hides = hidden is not None
        levels = {"noise": noise, "swap": swap, "missing": hidden}
        self.ways = tuple(way for way, level in levels.items() if level is not None)

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return rows, each spoilt in one of the ways."""
        turn = torch.randperm(len(batch.x), generator=rng, device=batch.x.device)[:, None]
        turn = turn % len(self.parts)
        result = self._complete(batch)
        for place, part in enumerate(self.parts):
            spoilt = self._complete(part(batch, rng))
            parts = [
                None if new is None or old is None else torch.where(turn == place, new, old)
                for new, old in zip(spoilt, result, strict=True)
            ]
            result = Batch(*parts)  # type: ignore[arg-type]
        return result

    def _complete(self, batch: Batch) -> Batch:
        """Return rows with all that any of them is told."""
        x, observed, _, level = batch
        if self.hides and observed is None:
            observed = torch.ones_like(x, dtype=torch.bool)
        if self.tells and level is None:
            clean = torch.tensor([[1.0, 0.0]], dtype=x.dtype, device=x.device)
            level = clean.expand(len(x), 2)
        return Batch(x, observed, None, level)


def real_values(layout: Layout) -> npt.NDArray[np.intp]:
    """Return the places of the values that are numbers: those that noise can be added to.

    Several values of one column (a date, an angle) are bound to each other.
    """
    widths = Counter(layout.columns().tolist())
    alone = np.array([widths[column] == 1 for column in layout.columns().tolist()], dtype=bool)
    real = [part.likelihood in _REAL for part in layout.parts for _ in range(*part[2:])]
    places: npt.NDArray[np.intp] = np.flatnonzero(alone & np.array(real, dtype=bool))
    return places


def _range(name: str, level: Any, most: float) -> tuple[float, float]:
    try:
        lowest, highest = (level, level) if isinstance(level, int | float) else level
        if not (0 <= lowest <= highest <= most and highest > 0 and math.isfinite(highest)):
            raise ValueError
        if most == math.inf and lowest == 0:
            raise ValueError
    except (TypeError, ValueError):
        wanted = "a share, or a range of shares, between 0 and 1"
        if most == math.inf:
            wanted = "a positive number, or a range of them"
        raise SpecError(f"corruption {name!r}: level={level!r} should be {wanted}") from None
    return float(lowest), float(highest)


CORRUPTIONS: dict[str, Callable[..., Corruption]] = {
    "none": Nothing,
    "gaussian": GaussianNoise,
    "mask": Mask,
    "block": Block,
    "salt_pepper": SaltPepper,
    "swap": Swap,
    "hide": Hide,
    "restoring": Restoring,
    "holes": Holes,
}
