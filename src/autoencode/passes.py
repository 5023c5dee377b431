"""What goes through a network: rows, what it is told, codes, and where training starts.

Everything here speaks of preprocessed data: centred and scaled tensors whose first
axis is rows. Shapes are written ``(batch, *shape)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Batch",
    "Code",
    "Context",
    "Features",
    "LinearStart",
    "LinkStart",
    "Loss",
    "Pass",
]


class Batch(NamedTuple):
    """Rows as the network sees them.

    Attributes
    ----------
    x : Tensor
        Values, ``(batch, *shape)``.
    observed : Tensor or None
        Boolean, same shape; False where a value is missing. None: all observed.
    told : Tensor or None
        ``(batch, n_told)``: what the encoder is told beside the values, which are then the
        best linear guess; see `autoencode.guess`. None: there is no guess yet.
    level : Tensor or None
        ``(batch, 2)``: what noise there is in each row, as the factor by which it shrinks
        the values and the variance that it adds. None: nothing is said of it.
    """

    x: Tensor
    observed: Tensor | None = None
    told: Tensor | None = None
    level: Tensor | None = None

    def rows(self, start: int, stop: int) -> Batch:
        """Return some of the rows."""
        return Batch(*(None if part is None else part[start:stop] for part in self))  # type: ignore[arg-type]

    def repeated(self, copies: int) -> Batch:
        """Return all rows a few times over, before any guess."""
        parts = (self.x, self.observed, None, self.level)
        ones = (1,) * (self.x.ndim - 1)
        return Batch(*(None if p is None else p.repeat(copies, *ones) for p in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Context:
    """What the network may be told beside the rows.

    Attributes
    ----------
    size : Tensor or None
        ``(batch,)`` int64: how many leading components of each row's code are
        kept. None: all.
    rng : torch.Generator or None
        The only source of randomness.
    cost_weight : float
        What a nat of the code's cost counts in training: less than 1 while it warms up.
    """

    size: Tensor | None = None
    rng: torch.Generator | None = None
    cost_weight: float = 1.0

    def repeated(self, copies: int) -> Context:
        """Return what is told of all rows a few times over."""
        if self.size is None or copies == 1:
            return self
        return replace(self, size=self.size.repeat(copies))


class Features(NamedTuple):
    """What an encoder hands to the bottleneck.

    Attributes
    ----------
    hidden : Tensor or None
        ``(batch, n_hidden)``; None for a linear encoder.
    linear : Tensor or None
        ``(batch, n_values)``: the values themselves, for the linear path.
    """

    hidden: Tensor | None
    linear: Tensor | None


@dataclass(frozen=True)
class Code:
    """A batch of codes, or several draws of each row's code.

    Attributes
    ----------
    z : Tensor
        ``(n_draws * batch, n_components)``: the first draw of every row, then the next.
    cost : Tensor
        ``(n_draws * batch,)``: what the code itself costs, in nats if the bottleneck is
        Gaussian; zero for a plain one.
    stats : mapping of str to Tensor
        Whatever else the bottleneck knows (mean, log_var, index ...).
    costs : Tensor or None
        ``(n_draws * batch, n_components)``: the cost of each component; None: it is not a
        sum over them.
    n_draws : int
        How many draws of each row's code there are.
    """

    z: Tensor
    cost: Tensor
    stats: Mapping[str, Tensor] = field(default_factory=dict)
    costs: Tensor | None = None
    n_draws: int = 1


@dataclass(frozen=True)
class Pass:
    """One way through the network: what went in, the code, and what came out.

    Attributes
    ----------
    batch : Batch
        The (possibly corrupted) rows that were encoded.
    context : Context
        What the network was told, of each draw.
    code : Code
        Their codes, after the prefix mask.
    params : Tensor
        ``(n_draws * batch, n_params, *shape)``: the likelihood's parameters.
    """

    batch: Batch
    context: Context
    code: Code
    params: Tensor


class Loss(NamedTuple):
    """A number to minimise and what it is made of.

    Attributes
    ----------
    total : Tensor
        Scalar, mean over rows.
    terms : dict of str to Tensor
        Every term by name, each a scalar that has its weight already.
    """

    total: Tensor
    terms: dict[str, Tensor]


class LinkStart(NamedTuple):
    """The straight line that comes nearest to a likelihood's link, at the columns' means.

    A parameter of ``offset + gain * value`` has about ``value`` as its mean.

    Attributes
    ----------
    gain, offset : Tensor
        ``(n_values,)``.
    """

    gain: Tensor
    offset: Tensor


@dataclass(frozen=True)
class LinearStart:
    """Where the linear path starts: the PCA of the training rows, or a dictionary.

    Attributes
    ----------
    components : Tensor
        ``(n_components, n_values)``, unit rows; orthogonal ones from PCA.
    deviations : Tensor
        ``(n_components,)``: the unit of each score, all positive.
    link : LinkStart or None
        Of the likelihood; None: the parameters are the means.
    center : Tensor or None
        ``(n_values,)``: where codes are zero; None: at zero.
    encoder : tuple of Tensor or None
        Weights ``(n_components, n_values)`` and biases ``(n_components,)`` of the encoder; None:
        the scores of the components around the center.
    log_var : Tensor or None
        ``(n_components,)``: logarithm of the variance of codes given a row; None: not known.
    scale : float or None
        Deviation of values given their code; None: not known.
    """

    components: Tensor
    deviations: Tensor
    link: LinkStart | None = None
    center: Tensor | None = None
    encoder: tuple[Tensor, Tensor] | None = None
    log_var: Tensor | None = None
    scale: float | None = None
