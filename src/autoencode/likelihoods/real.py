"""Likelihoods of real numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Layout, Likelihood

__all__ = ["Gaussian", "Huber"]

_SMALLEST_LOG_SCALE, _LARGEST_LOG_SCALE = math.log(1e-3), math.log(1e3)


class _Located(Likelihood):
    """A location and a scale; the scale is one number, or learned for every value.

    Under a learned scale, columns are balanced by its square, so that the location learns
    as under squared error, while the scale still finds its own optimum.
    """

    name = ""

    def __init__(self, layout: Layout, scale: float | str) -> None:
        super().__init__(layout)
        self.log_scale: nn.Parameter | None = None
        if scale == "learned":
            self.log_scale = nn.Parameter(torch.zeros(layout.n_values))
            self.scale: float | None = None
        else:
            self.scale = _positive(self.name, "scale", scale)

    def scales(self) -> Tensor | float:
        """Return the scale, or all scales."""
        if self.log_scale is None:
            return 1.0 if self.scale is None else self.scale
        return self.log_scale.clamp(_SMALLEST_LOG_SCALE, _LARGEST_LOG_SCALE).exp()

    @torch.no_grad()
    def start_scale(self, scale: float) -> None:
        """Set all scales that are learned."""
        if self.log_scale is not None:
            self.log_scale.fill_(min(max(math.log(scale), _SMALLEST_LOG_SCALE), _LARGEST_LOG_SCALE))

    def log_scales(self) -> Tensor | float:
        """Return the logarithm of the scale, or of all scales."""
        scales = self.scales()
        return scales.log() if isinstance(scales, Tensor) else math.log(scales)

    def balance(self) -> Tensor | None:
        """Return the squared scales where they are learned."""
        scales = self.scales()
        return scales.detach().square() if isinstance(scales, Tensor) else None

    def mean(self, params: Tensor) -> Tensor:
        """Return the location."""
        return params[:, 0]

    def add_scale_gradient(self, slope: Tensor) -> None:
        """Add to the gradient of the log-scales: ``(n_values,)``, as if nothing was clamped."""
        if self.log_scale is None:
            return
        inside = (self.log_scale > _SMALLEST_LOG_SCALE) & (self.log_scale < _LARGEST_LOG_SCALE)
        gradient = slope * inside
        if self.log_scale.grad is None:
            self.log_scale.grad = gradient
        else:
            self.log_scale.grad += gradient


class Gaussian(_Located):
    """Normal distribution: squared error, in nats.

    Parameters
    ----------
    layout : Layout
        What the values are.
    scale : float or "learned"
        Standard deviation, in units of the preprocessed data; learned: one for each value.
    """

    name = "gaussian"

    def __init__(self, layout: Layout, scale: float | str = 1.0) -> None:
        super().__init__(layout, scale)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return ``((x - mean) / scale)**2 / 2 + log(scale) + log(2 pi) / 2``."""
        constant = self.log_scales() + 0.5 * math.log(2 * math.pi)
        return 0.5 * ((params[:, 0] - x) / self.scales()) ** 2 + constant

    @torch.no_grad()
    def gradient(
        self, params: Tensor, target: Batch, weights: Tensor | None, *, balanced: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the same as the general way, in closed form."""
        weight = self.value_weights(target, weights, balanced)
        scales = self.scales()
        residual = (params[:, 0] - target.x) / scales
        constant = self.log_scales() + 0.5 * math.log(2 * math.pi)
        squares = residual.square()
        nats = ((0.5 * squares + constant) * weight).sum()
        if self.log_scale is not None:
            self.add_scale_gradient(((1.0 - squares) * weight).sum(0))
        return nats, (residual * (weight / scales))[:, None]

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw from the normal distribution."""
        location = params[:, 0]
        noise = torch.randn(
            location.shape, generator=rng, dtype=location.dtype, device=location.device
        )
        return location + self.scales() * noise


class Huber(_Located):
    """Normal in the middle, exponential beyond ``delta``: few rows cannot dominate.

    The density is ``exp(-huber(r)) / Z`` with ``r = (x - location) / scale``
    (Huber, 1964, eq. 2.1), normalised so that the result is in nats.

    Parameters
    ----------
    layout : Layout
        What the values are.
    delta : float
        Where the quadratic turns linear, in scales.
    scale : float or "learned"
        In units of the preprocessed data; learned: one for each value.
    """

    name = "huber"

    def __init__(self, layout: Layout, delta: float = 1.345, scale: float | str = 1.0) -> None:
        super().__init__(layout, scale)
        self.delta = _positive("huber", "delta", delta)

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return Huber's function of the residual plus ``log(Z)``."""
        middle = math.sqrt(2 * math.pi) * math.erf(self.delta / math.sqrt(2))
        tails = 2 / self.delta * math.exp(-0.5 * self.delta**2)
        residual = (params[:, 0] - x) / self.scales()
        bent = functional.huber_loss(
            residual, torch.zeros_like(residual), reduction="none", delta=self.delta
        )
        return bent + (self.log_scales() + math.log(middle + tails))

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
        return location + self.scales() * residual


def _positive(kind: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number > 0 or not math.isfinite(number):
        raise SpecError(
            f"likelihood {kind!r}: {name}={value!r} should be a positive number"
            + (" or learned" if name == "scale" else "")
        )
    return number
