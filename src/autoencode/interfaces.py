"""What the parts on the five axes promise each other.

Everything here speaks of preprocessed data: centred and scaled tensors whose first
axis is rows. Shapes are written ``(batch, *shape)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

__all__ = [
    "Architecture",
    "Batch",
    "Bottleneck",
    "Code",
    "Context",
    "Corruption",
    "Features",
    "Likelihood",
    "LinearStart",
    "Loss",
    "Pass",
    "Penalty",
]


class Batch(NamedTuple):
    """Rows as the network sees them.

    Attributes
    ----------
    x : Tensor
        Values, ``(batch, *shape)``.
    observed : Tensor or None
        Boolean, same shape; False where a value is missing. None: all observed.
    """

    x: Tensor
    observed: Tensor | None = None


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
    """

    size: Tensor | None = None
    rng: torch.Generator | None = None


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
    """A batch of codes.

    Attributes
    ----------
    z : Tensor
        ``(batch, n_components)``.
    cost : Tensor
        ``(batch,)``: what the code itself costs, in nats if the bottleneck is
        Gaussian; zero for a plain one.
    stats : mapping of str to Tensor
        Whatever else the bottleneck knows (mean, log_var, index ...).
    """

    z: Tensor
    cost: Tensor
    stats: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass:
    """One way through the network: what went in, the code, and what came out.

    Attributes
    ----------
    batch : Batch
        The (possibly corrupted) rows that were encoded.
    context : Context
        What the network was told.
    code : Code
        Their codes, after the prefix mask.
    params : Tensor
        ``(batch, n_params, *shape)``: the likelihood's parameters.
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


@dataclass(frozen=True)
class LinearStart:
    """Where the linear path starts: the PCA of the training rows.

    Attributes
    ----------
    components : Tensor
        ``(n_components, n_values)``, orthonormal rows.
    deviations : Tensor
        ``(n_components,)``: standard deviation of each score, all positive.
    """

    components: Tensor
    deviations: Tensor


class Bottleneck(nn.Module):
    """Base of all bottlenecks; owns the projection from features to codes.

    Attributes
    ----------
    latent_shape : tuple of int
        The shape of one code.
    """

    latent_shape: tuple[int, ...]

    def forward(self, features: Features, context: Context) -> Code:
        """Turn features into codes."""
        raise TypeError(f"{type(self).__name__} does not say how features become codes")

    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to PCA with unit-variance scores; the rest to zero."""

    def copy_prefix(self, longer: Bottleneck) -> None:
        """Take over the leading components of a bottleneck with more of them."""
        raise TypeError(f"{type(self).__name__} cannot be shortened")


class Architecture(Protocol):
    """Makes the encoder and the decoder for one sample shape."""

    n_hidden: int
    n_linear: int
    start: str

    def encoder(self) -> nn.Module:
        """Return a module from ``(batch, *shape)`` to `Features`."""

    def decoder(self, latent_shape: tuple[int, ...], n_params: int, *, sized: bool) -> nn.Module:
        """Return a module from codes (and sizes) to the likelihood's parameters."""


class Likelihood(Protocol):
    """How far a value is from what the parameters say, in nats per value."""

    n_params: int

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Negative log-likelihood in nats, element by element; the shape of ``x``."""

    def mean(self, params: Tensor) -> Tensor:
        """Return the expected value, the shape of ``x``."""

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw values, the shape of ``x``."""


class Corruption(Protocol):
    """Spoils rows; never touches the target."""

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return corrupted rows of the same shape."""


class Penalty(Protocol):
    """A further term of the loss; may have weights of its own."""

    name: str

    def __call__(self, network: Any, result: Pass) -> Tensor:
        """Return a scalar, mean over rows, with its weight already in it."""
