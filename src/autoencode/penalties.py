"""Penalties: further terms of the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoencode.errors import SpecError
from autoencode.guess import guessed, noisy_rows, trust
from autoencode.interfaces import Batch, Context, Pass, Penalty
from autoencode.stein import STEP, signs_like

if TYPE_CHECKING:
    from autoencode.network import Network

__all__ = ["L1", "PENALTIES", "Contractive", "Divergence"]


class L1:
    """Sum of absolute code values, mean over rows.

    Parameters
    ----------
    weight : float
        Nats per unit of code.
    """

    name = "l1"

    def __init__(self, weight: float = 1e-3) -> None:
        self.weight = _weight(self.name, weight)

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        return self.weight * result.code.z.abs().flatten(1).sum(1).mean()


class Contractive:
    """Squared Frobenius norm of the encoder's Jacobian, mean over rows.

    Estimated without bias from one random projection per row (Hutchinson):
    ``E |v^T J|^2 = |J|_F^2`` for random signs ``v``; Rifai et al. (2011), eq. 2.

    Parameters
    ----------
    weight : float
        Nats per unit of the squared norm.
    """

    name = "contractive"

    def __init__(self, weight: float = 1e-3) -> None:
        self.weight = _weight(self.name, weight)

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        x = result.batch.x.detach().requires_grad_()
        z = network.encode(Batch(x, result.batch.observed), Context()).z
        coins = torch.rand(z.shape, generator=result.context.rng, dtype=z.dtype, device=z.device)
        signs = torch.where(coins < 0.5, -1.0, 1.0)
        (slope,) = torch.autograd.grad((z * signs).sum(), x, create_graph=True)
        return self.weight * slope.flatten(1).square().sum(1).mean()


class Divergence:
    """What makes squared error against noisy rows one against the rows without noise.

    The noise's variance times the divergence of the result, from one random direction and
    a small step (Ramani, Blu and Unser, 2008); see `autoencode.stein.Stein`. For rows that
    are told to be noisy: ``corruption="known:level=..."``.

    Parameters
    ----------
    level : float
        Standard deviation of the noise, in units of the preprocessed data.
    """

    name = "divergence"

    def __init__(self, level: float) -> None:
        if not (level > 0 and math.isfinite(level)):
            raise SpecError(f"penalty 'divergence': level={level!r} should be a positive number")
        self.variance = float(level) ** 2

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the penalty, in the units of the reconstruction's nats."""
        batch = result.batch
        if batch.level is None or result.context.rng is None:
            raise SpecError("penalty 'divergence' needs corruption='known:level=...'")
        rows = noisy_rows(batch)
        signs = signs_like(rows, result.context.rng)
        if batch.observed is not None:
            signs = signs * batch.observed
        moved = Batch(rows + STEP * signs, batch.observed, None, batch.level)
        with torch.no_grad():
            moved = guessed(network, moved)
        mean = network.likelihood.mean
        change = mean(network(moved, result.context).params) - mean(result.params)
        slope = (signs * change.flatten(1)).sum(1) / STEP
        scale = trust(batch.level)[:, 0] if network.rescales else 1.0
        return (self.variance / scale * slope).mean()


def _weight(name: str, weight: float) -> float:
    if not (weight > 0 and math.isfinite(weight)):
        raise SpecError(f"penalty {name!r}: weight={weight!r} should be a positive number")
    return float(weight)


PENALTIES: dict[str, Callable[..., Penalty]] = {
    "l1": L1,
    "contractive": Contractive,
    "divergence": Divergence,
}
