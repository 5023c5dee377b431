"""One likelihood for each column: what tables have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Layout, Likelihood, LinkStart, Segment
from autoencode.likelihoods.discrete import Bernoulli, Categorical, Count
from autoencode.likelihoods.real import Gaussian, Huber

__all__ = ["Mixed"]

_MEMBERS: dict[str, Callable[..., Likelihood]] = {
    "gaussian": Gaussian,
    "huber": Huber,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "count": Count,
}


class Mixed(Likelihood):
    """Every segment of values under its own likelihood; scales are learned.

    Parameters
    ----------
    layout : Layout
        What the values are.
    numbers : str
        The likelihood of real numbers: ``"gaussian"`` or ``"huber"``.
    """

    order: Tensor

    def __init__(self, layout: Layout, numbers: str = "gaussian") -> None:
        super().__init__(layout)
        if numbers not in ("gaussian", "huber"):
            raise SpecError(f"likelihood 'mixed': numbers={numbers!r}; choose from gaussian, huber")
        runs: dict[str, list[Segment]] = {}
        for segment in layout.parts:
            runs.setdefault(segment.likelihood, []).append(segment)
        self.members = nn.ModuleDict()
        places = []
        for name, segments in runs.items():
            part: Any = _MEMBERS[numbers if name == "gaussian" else name]
            own = _own_layout(segments)
            located = name == "gaussian"
            self.members[name] = part(own, scale="learned") if located else part(own)
            index = _places(segments)
            self.register_buffer(f"index_{name}", index, persistent=False)
            places.append(index)
        self.register_buffer("order", torch.cat(places).argsort(), persistent=False)

    def _each(self) -> list[tuple[Likelihood, Tensor]]:
        return [
            (member, getattr(self, f"index_{name}"))
            for name, member in self.members.items()
            if isinstance(member, Likelihood)
        ]

    def _joined(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, -1).index_select(-1, self.order)

    @torch.no_grad()
    def set_units(self, center: Tensor, unit: Tensor) -> None:
        """Learn how values were centred and scaled."""
        super().set_units(center, unit)
        for member, index in self._each():
            member.set_units(self.center[index], self.unit[index])

    def start_scale(self, scale: float) -> None:
        """Set the scales of the numbers."""
        for member, _ in self._each():
            member.start_scale(scale)

    def densities(self) -> Tensor:
        """Return each value's own answer."""
        return self._joined([member.densities() for member, _ in self._each()])

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return each value's own nats."""
        return self._joined([part.nll(params[..., i], x[..., i]) for part, i in self._each()])

    def gradient(
        self, params: Tensor, target: Batch, weights: Tensor | None, *, balanced: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of the members' nats, and their slopes."""
        nats, slopes = [], []
        x, observed = target[:2]
        for part, index in self._each():
            seen = None if observed is None else observed.index_select(1, index)
            own = Batch(x.index_select(1, index), seen)
            cost, slope = part.gradient(
                params.index_select(2, index), own, weights, balanced=balanced
            )
            nats.append(cost)
            slopes.append(slope)
        return torch.stack(nats).sum(), self._joined(slopes)

    def mean(self, params: Tensor) -> Tensor:
        """Return each value's own mean."""
        return self._joined([part.mean(params[..., index]) for part, index in self._each()])

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw each value from its own distribution."""
        return self._joined([part.sample(params[..., index], rng) for part, index in self._each()])

    def balance(self) -> Tensor:
        """Return each value's own weight."""
        weights = []
        for part, index in self._each():
            own = part.balance()
            weights.append(torch.ones(len(index)).to(self.center) if own is None else own)
        return self._joined(weights)

    def link_start(self) -> LinkStart:
        """Return each value's own line."""
        gains, offsets = [], []
        for part, index in self._each():
            own = part.link_start()
            one = torch.ones(len(index)).to(self.center)
            gains.append(one if own is None else own.gain)
            offsets.append(torch.zeros_like(one) if own is None else own.offset)
        return LinkStart(self._joined(gains), self._joined(offsets))


def _places(segments: list[Segment]) -> Tensor:
    # On the CPU also where weights are only outlined (``meta``), since it is not loaded.
    return torch.cat([torch.arange(run.start, run.stop, device="cpu") for run in segments])


def _own_layout(segments: list[Segment]) -> Layout:
    """Return the layout of some segments, moved together."""
    moved, place = [], 0
    for segment in segments:
        width = segment.stop - segment.start
        moved.append(segment._replace(start=place, stop=place + width))
        place += width
    return Layout(place, tuple(moved))
