"""The importance-weighted bound on how likely rows are, by the same draws for every row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autoencode.bottlenecks import GaussianCode
from autoencode.interfaces import Batch, Context, Likelihood
from autoencode.network import EncodingParts, Network, encode_observed

__all__ = ["N_DRAWS", "Bound", "Coder", "measure_bound", "rows_at_once", "standard_draws"]

N_DRAWS = 500
"""Draws of the code by which a row's likelihood is measured."""

_MOST_VALUES = 1 << 21
_MOST_DRAWS, _MOST_ROWS = 50, 256
"""Values that are decoded at a time, and draws of a row and rows among them."""


@dataclass(frozen=True)
class Coder:
    """The parts of a fitted network that tell how likely rows are.

    Attributes
    ----------
    encoder : EncodingParts
        From rows to codes, by a `GaussianCode`.
    decode : callable
        From codes and a context to parameters.
    likelihood : Likelihood
        What these mean.
    """

    encoder: EncodingParts
    decode: Callable[[Tensor, Context], Tensor]
    likelihood: Likelihood

    @classmethod
    def of(cls, network: Network) -> Coder:
        """Return those of a network."""
        return cls(network, network.decoder, network.likelihood)


@dataclass(frozen=True)
class Bound:
    """What draws of the code say of each row, in nats, ``(batch,)``, scaled units.

    Attributes
    ----------
    elbo : Tensor
        The mean log-weight: the evidence lower bound.
    importance : Tensor
        The logarithm of the mean weight: nearer to the row's log-likelihood.
    rate : Tensor
        What the code costs: KL(q || p), the mean over draws where there is no closed form.
    """

    elbo: Tensor
    importance: Tensor
    rate: Tensor

    @property
    def distortion(self) -> Tensor:
        """What the values cost given the code."""
        return -self.elbo - self.rate


def standard_draws(count: int, n_components: int, seed: int, like: Tensor) -> Tensor:
    """Return standard normal numbers, ``(count, 1, n_components)``, the same for every row.

    Each is there with its negative: what is odd in them does not add to the noise, which
    rows that share draws do not average out.
    """
    rng = torch.Generator().manual_seed(seed)
    half = torch.randn((count + 1) // 2, 1, n_components, generator=rng, dtype=torch.float64)
    return torch.stack([half, -half], 1).flatten(0, 1)[:count].to(like)


def measure_bound(
    coder: Coder, batch: Batch, target: Batch, draws: Tensor, *, size: int | None = None
) -> Bound:
    """Measure bounds on the log-likelihood of rows.

    Burda et al. (2016), eq. 8, with as many draws as there are; each row's result depends on
    nothing but the row.

    Parameters
    ----------
    coder : Coder
        The model.
    batch : Batch
        What is encoded.
    target : Batch
        What is to be likely; missing values do not count.
    draws : Tensor
        ``(n_draws, 1, n_components)``: standard normal numbers.
    size : int or None
        How many leading components there are; None: all.
    """
    with torch.inference_mode():
        parts = [
            _few_rows(coder, batch.rows(*rows), target.rows(*rows), draws, size)
            for rows in _pieces(target.x)
        ]
        return Bound(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def rows_at_once(n_values: int) -> int:
    """Return how many rows are measured together."""
    return min(max(1, _MOST_VALUES // (_MOST_DRAWS * max(1, n_values))), _MOST_ROWS)


def _pieces(x: Tensor) -> Iterator[tuple[int, int]]:
    count = rows_at_once(math.prod(x.shape[1:]))
    for start in range(0, len(x), count):
        yield start, start + count


def _few_rows(
    coder: Coder, batch: Batch, target: Batch, draws: Tensor, size: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    code = encode_observed(coder.encoder, batch, Context())
    neck = coder.encoder.bottleneck
    assert isinstance(neck, GaussianCode)
    # Draws in groups of one size, so that sums are rounded alike for any number of rows.
    pieces = [
        _log_weights(coder, neck, code.stats, target, few, size) for few in draws.split(_MOST_DRAWS)
    ]
    log_weights = torch.cat([piece[0] for piece in pieces])
    costs = torch.cat([piece[1] for piece in pieces])
    importance = log_weights.logsumexp(0) - math.log(len(log_weights))
    rate = costs.mean(0) if code.costs is None else code.costs[:, :size].sum(1)
    return log_weights.mean(0), importance, rate


def _log_weights(
    coder: Coder,
    neck: GaussianCode,
    stats: Mapping[str, Tensor],
    target: Batch,
    draws: Tensor,
    size: int | None,
) -> tuple[Tensor, Tensor]:
    """Return ``log p(x, z) - log q(z)`` and the cost of each draw, ``(n_draws, batch)``."""
    code = neck.drawn(stats, draws)
    context = Context()
    if size is not None and size < neck.latent_shape[0]:
        context = Context(size=torch.full((len(code.z),), size, device=code.z.device))
        code = Network.cut(code, context)
    goal = target.repeated(len(draws))
    nats = coder.likelihood.nll(coder.decode(code.z, context), goal.x)
    if goal.observed is not None:
        nats = nats * goal.observed
    cost = code.cost.view(len(draws), -1)
    return -(nats.flatten(1).sum(1).view(len(draws), -1) + cost), cost
