"""Cells whose being missing depends on what they would have been.

The chance that a value ``x`` is missing is ``Phi(slope * x + offset)``. Together with a
normal error around the expected value it has closed forms: those of a probit selection
model (Heckman, 1979), here around a network's expectation. Columns that are not real
numbers are taken as missing at random.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autoencode.interfaces import Batch, Layout

__all__ = ["Selection"]

_STEEPNESS = 5.0
"""Slopes are learned in this unit: a sharp threshold is within reach of the usual rate."""

_SMALLEST, _LARGEST = math.log(1e-2), math.log(10.0)


class Selection(nn.Module):
    """How likely each value is to be missing, given what it is.

    Parameters
    ----------
    layout : Layout
        What the values are.
    """

    numbers: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(layout.n_values))
        self.offset = nn.Parameter(torch.zeros(layout.n_values))
        self.log_deviation = nn.Parameter(torch.zeros(layout.n_values))
        numbers = torch.zeros(layout.n_values, dtype=torch.bool, device="cpu")
        for part in layout.parts:
            numbers[part.start : part.stop] = part.likelihood == "gaussian"
        # Not in a model's file: it exists also where weights are only outlined (``meta``).
        self.register_buffer("numbers", numbers, persistent=False)

    @torch.no_grad()
    def start(self, shares: Tensor) -> None:
        """Start where the chance is each value's share of missing ones, whatever it is."""
        self.slope.zero_()
        self.log_deviation.zero_()
        self.offset.copy_(torch.special.ndtri(shares.double().clamp(0.01, 0.99)))

    def _terms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return slope, standard deviation, and the deviation of what is compared with 0."""
        slope = _STEEPNESS * self.slope
        deviation = self.log_deviation.clamp(_SMALLEST, _LARGEST).exp()
        return slope, deviation, torch.sqrt(1 + (slope * deviation) ** 2)

    def nll(self, expected: Tensor, target: Batch, hidden: Tensor) -> Tensor:
        """Return nats of cells that the network was not shown, of both sorts.

        Parameters
        ----------
        expected : Tensor
            ``(batch, n_values)``: what the network expects.
        target : Batch
            The truth; ``observed`` says where there is one.
        hidden : Tensor
            Boolean, same shape: where the truth is known, but was hidden.

        Returns
        -------
        Tensor
            Same shape. For a hidden cell: minus the log of its density times the chance
            that it was observed; for a missing one: minus the log of the chance that it
            is, weighted by the share of observed cells that are hidden.
        """
        assert target.observed is not None
        slope, deviation, joint = self._terms()
        residual = (target.x - expected) / deviation
        density = 0.5 * residual**2 + deviation.log() + 0.5 * math.log(2 * math.pi)
        seen = -torch.special.log_ndtr(-(slope * target.x + self.offset))
        lost = -torch.special.log_ndtr((slope * expected + self.offset) / joint)
        share = hidden.sum() / target.observed.sum().clamp_min(1)
        nats = torch.where(hidden, density + seen, 0.0)
        nats = nats + share * torch.where(target.observed, 0.0, lost)
        # The same weight for all nats of a column: errors count as under a unit scale.
        balanced: Tensor = nats * deviation.detach() ** 2 * self.numbers
        return balanced

    def mean(self, expected: Tensor, *, missing: bool) -> Tensor:
        """Return the expected value given that it is missing, or that it is observed."""
        slope, deviation, joint = self._terms()
        sign = 1.0 if missing else -1.0
        place = (slope * expected + self.offset) / joint
        ratio = _mills(sign * place)
        moved: Tensor = expected + sign * self.numbers * slope * deviation**2 / joint * ratio
        return moved

    def draw(self, expected: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return values drawn given that they are missing.

        Parameters
        ----------
        expected : Tensor
            ``(batch, n_values)``.
        first, second : Tensor
            ``(n_values,)``: standard-normal numbers.
        """
        slope, deviation, joint = self._terms()
        correlation = slope * deviation / joint
        place = (slope * expected + self.offset) / joint
        # What is compared with 0, given that it is above: a truncated normal number.
        below = torch.special.ndtr(place) * torch.special.ndtr(-first)
        above = -torch.special.ndtri(below.clamp_min(torch.finfo(below.dtype).tiny))
        rest = torch.sqrt(1 - correlation**2)
        drawn: Tensor = expected + deviation * (correlation * above + rest * second)
        return drawn


def _mills(place: Tensor) -> Tensor:
    """Return the normal density over the distribution function."""
    log_density = -0.5 * place**2 - 0.5 * math.log(2 * math.pi)
    ratio: Tensor = torch.exp(log_density - torch.special.log_ndtr(place))
    return ratio
