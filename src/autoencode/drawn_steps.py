"""The step of many draws: all are weighed, and few of them go backward."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from autoencode.bottlenecks import GaussianCode
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Code, Context, Pass
from autoencode.network import Network
from autoencode.objective import Objective

__all__ = ["ManyDrawsStep", "has_many_draws"]

N_KEPT = 5
"""Draws of each row that go backward."""

_MOST_VALUES = 1 << 20
"""Values that are decoded at a time: they stay near the processor."""


def has_many_draws(network: Network, objective: Objective) -> bool:
    """Say whether `ManyDrawsStep` estimates the gradient of a network, and is the faster."""
    neck = network.bottleneck
    return (
        type(neck) is GaussianCode
        and neck.n_samples >= 2 * N_KEPT
        and neck.free_bits is None
        and network.selection is None
        and not getattr(network.encoder, "dropout", 0.0)
        and not getattr(network.decoder, "dropout", 0.0)
        and not objective.penalties
    )


class ManyDrawsStep:
    """The importance-weighted bound, its gradient from draws that are drawn by their weights.

    The gradient is a mean over draws, weighted by their importance (Burda et al., 2016, eq. 14;
    through codes by its square: Tucker et al., 2019, eq. 8). Here the draws are weighed without
    a gradient, a few are drawn by these weights, and their plain mean (through codes: weighted
    once) has the same expectation: backward passes and memory for all draws are saved.

    Parameters
    ----------
    network : Network
        For which `has_many_draws` holds.
    objective : Objective
        Without penalties.
    flat : FlatParameters or None
        Whose gradients are overwritten; None: gradients are added to those that are there.
    """

    def __init__(self, network: Network, objective: Objective, flat: FlatParameters | None) -> None:
        if not isinstance(network.bottleneck, GaussianCode):
            raise TypeError("ManyDrawsStep needs a gaussian bottleneck")
        self.network, self.neck = network, network.bottleneck
        self.objective, self.flat = objective, flat
        self.terms = objective.terms(network)

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""
        if self.flat is not None:
            self.flat.gradients.zero_()
        stats = self.network.encode(batch, replace(context, rng=None)).stats
        shape = (self.neck.n_samples, *stats["mean"].shape)
        like = stats["mean"].detach()
        noise = torch.randn(shape, generator=context.rng, dtype=like.dtype, device=like.device)

        def rows(code: Code) -> dict[str, Tensor]:
            """Return the terms of every draw, ``(n_draws, batch)``."""
            told = context.repeated(code.n_draws)
            code = Network.cut(code, told)
            result = Pass(batch, told, code, self.network.decoder(code.z, told))
            found = self.objective.rows(self.network, result, target, weights)
            return {name: row.view(code.n_draws, -1) for name, row in found.items()}

        with torch.no_grad():
            few = max(1, _MOST_VALUES // max(1, target.x.numel()))
            parts = [rows(self.neck.drawn(stats, some)) for some in noise.split(few)]
            log_weights = -torch.cat([torch.stack([*part.values()]).sum(0) for part in parts])
            shares = log_weights.softmax(0)
            kept = drawn_by(shares, N_KEPT, context.rng)
            places = kept[..., None].expand(-1, -1, shape[2])
        code = self.neck.drawn(stats, noise.gather(0, places), reparameterized=True)
        slopes = shares.gather(0, kept)[..., None]
        code.stats["bound"].register_hook(lambda slope: slope * slopes)
        terms = {name: row.mean() for name, row in rows(code).items()}
        torch.stack(list(terms.values())).sum().backward()
        bound = math.log(len(noise)) - log_weights.logsumexp(0).mean()
        terms["code"] = bound - sum(term for name, term in terms.items() if name != "code")
        return torch.stack([terms[name] for name in self.terms]).detach()


def drawn_by(shares: Tensor, count: int, rng: torch.Generator | None) -> Tensor:
    """Return places drawn by their shares, evenly spread: each as often as its share says.

    Parameters
    ----------
    shares : Tensor
        ``(n_draws, batch)``; each column sums to 1.
    count : int
        How many are drawn of each column.
    rng : torch.Generator or None
        The source of randomness.

    Returns
    -------
    Tensor
        ``(count, batch)`` int64.
    """
    start = torch.rand(shares.shape[1], 1, generator=rng, dtype=shares.dtype, device=shares.device)
    steps = torch.arange(count, device=shares.device)
    edges = shares.t().contiguous().cumsum(1)
    asked = (steps + start) / count * edges[:, -1:]
    return torch.searchsorted(edges, asked, right=True).clamp_max(len(shares) - 1).t()
