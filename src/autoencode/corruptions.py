"""Corruptions: what happens to the rows before they are encoded, never to the target."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Corruption

__all__ = ["CORRUPTIONS", "GaussianNoise", "Mask", "Nothing"]


class Nothing:
    """Leave the rows as they are."""

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return the rows themselves."""
        return batch


class GaussianNoise:
    """Add independent normal noise to every value.

    Parameters
    ----------
    level : float
        Standard deviation, in units of the preprocessed data (1 is about one
        standard deviation of a column).
    """

    def __init__(self, level: float = 0.1) -> None:
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
    level : float
        Share of values that are hidden, between 0 and 1.
    """

    def __init__(self, level: float = 0.25) -> None:
        if not 0 < level < 1:
            raise SpecError(f"corruption 'mask': level={level!r} should lie between 0 and 1")
        self.level = float(level)

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return rows with hidden values."""
        x = batch.x
        kept = torch.rand(x.shape, generator=rng, dtype=x.dtype, device=x.device) >= self.level
        return batch._replace(x=x * kept)


CORRUPTIONS: dict[str, Callable[..., Corruption]] = {
    "none": Nothing,
    "gaussian": GaussianNoise,
    "mask": Mask,
}
