"""Linear encoder and decoder: rows are sums of parts, each as strong as the code says."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoencode.architectures.mlp import MlpEncoder
from autoencode.errors import SpecError
from autoencode.interfaces import Context, LinearStart
from autoencode.sparse_coding import project_off_parts, renormalize_parts

__all__ = ["Dictionary", "DictionaryDecoder"]


class DictionaryDecoder(nn.Module):
    """A sum of parts of unit length, and a bias.

    Parameters
    ----------
    n_components : int
        Number of parts.
    shape : tuple of int
        Shape of the outputs of one row.
    positive : bool
        Whether no part has a negative value.
    """

    def __init__(self, n_components: int, shape: tuple[int, ...], *, positive: bool) -> None:
        super().__init__()
        self.shape = shape
        self.positive = positive
        self.parts = nn.Parameter(torch.empty(n_components, math.prod(shape)))
        self.bias = nn.Parameter(torch.zeros(math.prod(shape)))

    def forward(self, z: Tensor, context: Context) -> Tensor:
        """Return ``(batch, *shape)``."""
        result: Tensor = torch.addmm(self.bias, z, self.parts).unflatten(1, self.shape)
        return result

    def linear_part(self, z: Tensor) -> Tensor:
        """Return what codes add to the values, ``(batch, n_outputs)``: all but the bias."""
        return z @ self.parts

    @torch.no_grad()
    def spread(self, rng: torch.Generator) -> None:
        """Draw parts, uniformly on the sphere."""
        nn.init.normal_(self.parts, generator=rng)
        self.settle()

    @torch.no_grad()
    def project(self) -> None:
        """Take from the gradient what would only change the parts' lengths."""
        if self.parts.grad is not None:
            project_off_parts(self.parts.grad, self.parts)

    @torch.no_grad()
    def settle(self) -> None:
        """Give parts unit length again, and no negative values if they are to have none."""
        if self.positive:
            self.parts.clamp_(min=0.0)
        renormalize_parts(self.parts)

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set parts to the start's components, and the bias to its center."""
        n_values = start.components.shape[1]
        self.parts.zero_()
        parts = start.components
        self.bias.zero_()
        if start.link is not None:
            parts = parts * start.link.gain
            self.bias[:n_values] = start.link.offset
        if start.center is not None:
            self.bias[:n_values] += start.center
        self.parts[:, :n_values] = parts

    @torch.no_grad()
    def copy_prefix(self, longer: DictionaryDecoder) -> None:
        """Take over the leading parts of a longer dictionary."""
        self.parts.copy_(longer.parts[: len(self.parts)])
        self.bias.copy_(longer.bias)


class Dictionary:
    """No hidden layers: parts of unit length, of which each row is a sum.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row.
    hidden_layer_sizes : sequence of int
        Not used: there are none.
    start : str
        ``"data"``: parts start in the directions of rows, or as PCA's under a bottleneck that
        keeps all of the code; ``"random"``: in directions that are drawn.
    positive : bool
        Whether no part may have a negative value.
    n_told : int
        Not used: there is no hidden layer to be told anything.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_layer_sizes: Sequence[int],
        start: str = "data",
        positive: bool = False,
        n_told: int = 0,
    ) -> None:
        if start not in ("data", "random"):
            raise SpecError(f"start={start!r} is not known; choose from data, random")
        if not isinstance(positive, bool):
            raise SpecError(f"positive={positive!r} should be True or False")
        self.shape = tuple(shape)
        self.start = start
        self.positive = positive
        self.n_linear = math.prod(shape)
        self.n_hidden = 0

    def encoder(self) -> MlpEncoder:
        """Return a module from ``(batch, *shape)`` to features: the values themselves."""
        return MlpEncoder((self.n_linear,), "relu")

    def decoder(
        self, latent_shape: tuple[int, ...], n_params: int, *, sized: bool
    ) -> DictionaryDecoder:
        """Return a module from codes to ``(batch, n_params, n_values)``."""
        shape = (n_params, self.n_linear)
        return DictionaryDecoder(math.prod(latent_shape), shape, positive=self.positive)
