"""The step of a dictionary, backward by hand over what is active alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from autoencode.architectures.dictionary import DictionaryDecoder
from autoencode.bottlenecks import BatchTopK, Sparse, TopK
from autoencode.interfaces import Batch, Context
from autoencode.likelihoods import Gaussian
from autoencode.network import Network
from autoencode.numerics import Products
from autoencode.sparse_coding import CodingGradients, project_off_parts, sparse_gradients
from autoencode.sparse_selection import largest, largest_of_batch

__all__ = ["SparseStep", "is_plain_dictionary", "settle"]


def is_plain_dictionary(network: Network, *, penalised: bool) -> bool:
    """Say whether `SparseStep` computes the loss of a network."""
    likelihood = network.likelihood
    return (
        isinstance(network.decoder, DictionaryDecoder)
        and type(network.bottleneck) in (TopK, BatchTopK)
        and type(likelihood) is Gaussian
        and likelihood.scale == 1.0
        and network.selection is None
        and not penalised
    )


def settle(networks: Sequence[Network]) -> None:
    """Put weights back where they may be, after an update."""
    for network in networks:
        if isinstance(network.decoder, DictionaryDecoder):
            network.decoder.settle()


class Reference(Protocol):
    """A step that computes the same, whatever the rows are."""

    terms: tuple[str, ...]

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""


class SparseStep:
    """Squared error of codes of which the largest units are active, and revival of dead units.

    All gradients of the weights are overwritten; those of parts are already without what would
    only change their lengths.

    Parameters
    ----------
    network : Network
        For which `is_plain_dictionary` holds; its gradients are in place.
    reference : callable
        Computes the same for rows in which values are missing; has ``terms``.
    products : {"ieee", "bf16"}
        How the encoder multiplies.
    """

    def __init__(self, network: Network, reference: Reference, products: Products) -> None:
        decoder, neck = network.decoder, network.bottleneck
        if not (isinstance(decoder, DictionaryDecoder) and isinstance(neck, Sparse)):
            raise TypeError("SparseStep needs a dictionary and a sparse bottleneck")
        path = neck.projection.linear_path
        assert path is not None
        self.terms, self.reference, self.products = reference.terms, reference, products
        self.network, self.decoder, self.neck = network, decoder, neck
        self.encoder = path
        self.constant = 0.5 * math.log(2 * math.pi) * decoder.parts.shape[1]

    @torch.no_grad()
    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``."""
        if target.observed is not None or batch.observed is not None:
            with torch.enable_grad():
                return self.reference(batch, target, context, weights)
        x, goal = batch.x.flatten(1), target.x.flatten(1)
        row, index, value = self._chosen(x)
        self._note(index, value)
        if context.size is not None:
            allowed = context.size[:, None] if row is None else context.size[row]
            value = value * (index < allowed)
        parts, bias = self.decoder.parts.detach(), self.decoder.bias.detach()
        energy, residual = sparse_gradients(
            x, goal, weights, parts, bias, index, value, self._gradients(), row
        )
        constant = self.constant if weights is None else self.constant * weights.mean()
        revival = self._revival(x, residual.neg_())
        if not self.decoder.parts.requires_grad:
            for parameter in self.decoder.parameters():
                _slope(parameter).zero_()
        return torch.stack([energy + constant, torch.zeros_like(energy), revival])

    def _chosen(self, x: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        weight, bias = self.encoder.weight.detach(), self.encoder.bias.detach()
        if not isinstance(self.neck, BatchTopK):
            count = self.neck.n_active()
            return None, *largest(x, weight, bias, count, products=self.products)
        threshold = float(self.neck.threshold)
        row, index, value = largest_of_batch(
            x,
            weight,
            bias,
            self.neck.active,
            threshold if math.isfinite(threshold) else 0.0,
            products=self.products,
        )
        self.neck.follow(value)
        return row, index, value

    def _note(self, index: Tensor, value: Tensor) -> None:
        """Count for how many steps each unit has not been active."""
        self.neck.idle.add_(1.0)
        self.neck.idle[index[value > 0]] = 0.0

    def _gradients(self) -> CodingGradients:
        found = (self.encoder.weight, self.encoder.bias, self.decoder.parts, self.decoder.bias)
        return CodingGradients(*(_slope(parameter) for parameter in found))

    def _revival(self, x: Tensor, residual: Tensor) -> Tensor:
        """Return the term that wakes dead units, and add its slope to their gradients."""
        dead = self.neck.dead()
        if not len(dead):
            return residual.new_zeros(())
        sources = (self.encoder.weight, self.encoder.bias, self.decoder.parts)
        leaves = [source.detach()[dead].requires_grad_() for source in sources]
        with torch.enable_grad():
            before = torch.addmm(leaves[1], x, leaves[0].t())
            term = self.neck.revived(before, residual, lambda z: z @ leaves[2])
        slopes = torch.autograd.grad(term, leaves)
        for source, slope in zip(sources[:2], slopes[:2], strict=True):
            _slope(source).index_add_(0, dead, slope)
        turned = project_off_parts(slopes[2], leaves[2].detach())
        _slope(self.decoder.parts).index_add_(0, dead, turned)
        return term.detach()


def _slope(parameter: Any) -> Tensor:
    if parameter.grad is None:
        raise TypeError("SparseStep needs flat parameters with gradients in place")
    slope: Tensor = parameter.grad
    return slope
