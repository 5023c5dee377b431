"""Likelihoods: how far values are from what the parameters say, in nats per value.

Parameters have shape ``(batch, n_params, *shape)``, values ``(batch, *shape)``. The
scale is that of the preprocessed data; jobs that report nats in the data's units
replace it by one measured on held-out rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from autoencode.errors import SpecError
from autoencode.interfaces import Likelihood

__all__ = ["LIKELIHOODS", "Gaussian", "Huber"]


class Gaussian:
    """Normal distribution with a fixed scale: squared error, in nats.

    Parameters
    ----------
    scale : float
        Standard deviation, in units of the preprocessed data.
    """

    n_params = 1

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = _positive("gaussian", "scale", scale)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return ``((x - mean) / scale)**2 / 2 + log(scale) + log(2 pi) / 2``."""
        constant = math.log(self.scale) + 0.5 * math.log(2 * math.pi)
        return 0.5 * ((params[:, 0] - x) / self.scale) ** 2 + constant

    def mean(self, params: Tensor) -> Tensor:
        """Return the location."""
        return params[:, 0]

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw from the normal distribution."""
        location = params[:, 0]
        noise = torch.randn(
            location.shape, generator=rng, dtype=location.dtype, device=location.device
        )
        return location + self.scale * noise


class Huber:
    """Normal in the middle, exponential beyond ``delta``: few rows cannot dominate.

    The density is ``exp(-huber(r)) / Z`` with ``r = (x - location) / scale``
    (Huber, 1964, eq. 2.1), normalised so that the result is in nats.

    Parameters
    ----------
    delta : float
        Where the quadratic turns linear, in scales.
    scale : float
        In units of the preprocessed data.
    """

    n_params = 1

    def __init__(self, delta: float = 1.345, scale: float = 1.0) -> None:
        self.delta = _positive("huber", "delta", delta)
        self.scale = _positive("huber", "scale", scale)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return Huber's function of the residual plus ``log(Z)``."""
        middle = math.sqrt(2 * math.pi) * math.erf(self.delta / math.sqrt(2))
        tails = 2 / self.delta * math.exp(-0.5 * self.delta**2)
        constant = math.log(self.scale * (middle + tails))
        residual = (params[:, 0] - x) / self.scale
        bent = torch.nn.functional.huber_loss(
            residual, torch.zeros_like(residual), reduction="none", delta=self.delta
        )
        return bent + constant

    def mean(self, params: Tensor) -> Tensor:
        """Return the location."""
        return params[:, 0]

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw from the middle or from a tail, by their shares."""
        location = params[:, 0]
        middle = math.sqrt(2 * math.pi) * math.erf(self.delta / math.sqrt(2))
        tails = 2 / self.delta * math.exp(-0.5 * self.delta**2)
        place = torch.rand(
            3, *location.shape, generator=rng, dtype=location.dtype, device=location.device
        )
        edge = math.erf(self.delta / math.sqrt(2))
        inner = math.sqrt(2) * torch.erfinv((2 * place[0] - 1) * edge)
        outer = self.delta - torch.log1p(-place[0]) / self.delta
        outer = torch.where(place[2] < 0.5, outer, -outer)
        residual = torch.where(place[1] < middle / (middle + tails), inner, outer)
        return location + self.scale * residual


def _positive(kind: str, name: str, value: float) -> float:
    if not value > 0 or not math.isfinite(value):
        raise SpecError(f"likelihood {kind!r}: {name}={value!r} should be a positive number")
    return float(value)


LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {"gaussian": Gaussian, "huber": Huber}
