"""What the parts on the five axes promise each other.

Everything here speaks of preprocessed data: centred and scaled tensors whose first
axis is rows. Shapes are written ``(batch, *shape)``.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from autoencode.layout import Layout, Segment
from autoencode.passes import (
    Batch,
    Code,
    Context,
    Features,
    LinearStart,
    LinkStart,
    Loss,
    Pass,
)

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
    cuts = True
    """Whether the leading components of a code are a code, with a cost of their own."""
    warmup = 0.0
    """Share of the training over which the weight of the code's cost rises to 1."""
    sparse = False
    """Whether most of a code is zero: then there may be more components than values."""

    def n_active(self) -> int:
        """Return how many components of a code are not zero, on average."""
        return self.latent_shape[0]

    def charge(self, code: Code) -> Tensor:
        """Return what training pays for codes, ``(n_draws * batch,)``: what they cost."""
        return code.cost

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

    def start_scale(self, scale: float) -> None:
        """Start where all values are this far from their means, if that is learned."""

    def densities(self) -> Tensor:
        """Return which values' nats are of a density and not of a probability, ``(n_values,)``.

        A density is per unit of the scaled value.
        """
        return torch.ones_like(self.center, dtype=torch.bool)

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
