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

from autoencode.layout import Layout, Segment

__all__ = [
    "Architecture",
    "Batch",
    "Bottleneck",
    "Code",
    "Context",
    "Corruption",
    "Features",
    "Layout",
    "Likelihood",
    "LinearStart",
    "LinkStart",
    "Loss",
    "Pass",
    "Penalty",
    "Segment",
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
        return Batch(*(None if part is None else part.repeat(copies, 1) for part in parts))  # type: ignore[arg-type]


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
    """

    components: Tensor
    deviations: Tensor
    link: LinkStart | None = None
    center: Tensor | None = None
    encoder: tuple[Tensor, Tensor] | None = None


class Bottleneck(nn.Module):
    """Base of all bottlenecks; owns the projection from features to codes.

    Attributes
    ----------
    latent_shape : tuple of int
        The shape of one code.
    """

    latent_shape: tuple[int, ...]
    costs_nats = False
    """Whether the code has a cost in nats, beside which columns must not be reweighted."""
    sparse = False
    """Whether most of a code is zero: then there may be more components than values."""

    def n_active(self) -> int:
        """Return how many components of a code are not zero, on average."""
        return self.latent_shape[0]

    def revival(self, code: Code, residual: Tensor, decoder: Any) -> Tensor | None:
        """Return a term of the loss that wakes units that are never active; None: no such term.

        Parameters
        ----------
        code : Code
            Of the batch.
        residual : Tensor
            ``(batch, n_values)``: what is not reconstructed, detached.
        decoder : nn.Module
            Has ``linear_part``, what codes add to the values directly.
        """
        return None

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


class Likelihood(nn.Module):
    """How far a value is from what the parameters say, in nats per value.

    Parameters
    ----------
    layout : Layout
        What the values are.

    Attributes
    ----------
    n_params : int
        Parameters per value.
    center, unit : Tensor
        ``(n_values,)``: values are ``(raw - center) / unit``, where raw ones are 0 and 1,
        logarithms of counts and the like.
    """

    n_params = 1
    center: Tensor
    unit: Tensor

    def __init_subclass__(cls, **options: Any) -> None:
        """Take the general slope where the nats are new and no slope comes with them.

        A closed form that is inherited would be that of other nats.
        """
        super().__init_subclass__(**options)
        if "nll" in vars(cls) and "gradient" not in vars(cls):
            cls.gradient = Likelihood.gradient  # type: ignore[method-assign]

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("center", torch.zeros(layout.n_values))
        self.register_buffer("unit", torch.ones(layout.n_values))

    @torch.no_grad()
    def set_units(self, center: Tensor, unit: Tensor) -> None:
        """Learn how values were centred and scaled."""
        self.center.copy_(center)
        self.unit.copy_(unit)

    def balance(self) -> Tensor | None:
        """Return ``(n_values,)`` weights under which columns count alike; None: all ones."""
        return None

    def gradient(
        self, params: Tensor, target: Batch, weights: Tensor | None, *, balanced: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted nats of a batch and their slope; add those of own parameters.

        Parameters
        ----------
        params : Tensor
            ``(batch, n_params, *shape)``.
        target : Batch
            What to reconstruct; missing values do not count.
        weights : Tensor or None
            ``(batch,)``: a weight for each row.
        balanced : bool
            Whether columns are balanced.

        Returns
        -------
        nats : Tensor
            Summed over rows and values.
        slope : Tensor
            By the parameters, in their shape.
        """
        leaf = params.detach().requires_grad_()
        with torch.enable_grad():
            nats = self.nll(leaf, target.x) * self.value_weights(target, weights, balanced)
            total = nats.sum()
        total.backward()
        assert leaf.grad is not None
        return total.detach(), leaf.grad

    def value_weights(
        self, target: Batch, weights: Tensor | None, balanced: bool
    ) -> Tensor | float:
        """Return the weight of each value: its row's, times its column's, 0 if it is missing."""
        result: Tensor | float = 1.0 if weights is None else weights[:, None]
        balance = self.balance() if balanced else None
        if balance is not None:
            result = result * balance
        return result if target.observed is None else result * target.observed

    def link_start(self) -> LinkStart | None:
        """Return the straight line nearest to the link; None: the parameters are the means."""
        return None

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Negative log-likelihood in nats, element by element; the shape of ``x``."""
        raise TypeError(f"{type(self).__name__} does not say how likely values are")

    def mean(self, params: Tensor) -> Tensor:
        """Return the expected value, the shape of ``x``."""
        raise TypeError(f"{type(self).__name__} does not say what value is expected")

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw values, the shape of ``x``."""
        raise TypeError(f"{type(self).__name__} does not say how to draw")


class Corruption:
    """Spoils rows; never touches the target.

    Attributes
    ----------
    hides : bool
        Whether values may be missing afterwards.
    tells : bool
        Whether the encoder is told how noisy each row is: then ``level`` is set.
    ways : tuple of str
        In which ways rows are spoilt so that a network learns to restore them: "noise",
        "swap" and "missing".
    """

    hides = False
    tells = False
    ways: tuple[str, ...] = ()

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return corrupted rows of the same shape."""
        raise TypeError(f"{type(self).__name__} does not say what it does to rows")


class Penalty(Protocol):
    """A further term of the loss; may have weights of its own."""

    name: str

    def __call__(self, network: Any, result: Pass) -> Tensor:
        """Return a scalar, mean over rows, with its weight already in it."""
