"""A sparse dictionary's encoder and decoder as one function with a sparse backward pass.

``x -> value at index -> reconstruction``, where only the active entries of the code exist.
`SparseCoding` serves autograd; `sparse_gradients` is the same step for squared error,
written out into given gradient tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autoencode.numerics import Products
from autoencode.sparse_products import (
    code_gradient,
    decode,
    part_gradient,
    sums_by_component,
    transposed_where_used,
)
from autoencode.sparse_selection import largest

__all__ = [
    "CodingGradients",
    "SparseCoding",
    "project_off_parts",
    "renormalize_parts",
    "sparse_coding",
    "sparse_gradients",
]


class CodingGradients(NamedTuple):
    """Where gradients are written.

    Attributes
    ----------
    weight, weight_bias : Tensor
        Of the encoder, ``(n_components, n_values)`` and ``(n_components,)``.
    parts, bias : Tensor
        Of the decoder, ``(n_components, n_values)`` and ``(n_values,)``.
    """

    weight: Tensor
    weight_bias: Tensor
    parts: Tensor
    bias: Tensor


class SparseCoding(torch.autograd.Function):
    """Reconstruct rows from chosen entries of their code, with all gradients.

    ``apply(x, weight, weight_bias, parts, bias, index, value, row)`` returns
    ``(reconstruction, value)``. ``index`` and ``value`` are what `largest` or
    `largest_of_batch` returned for ``x, weight, weight_bias`` (``row`` is None for the
    former): that the value depends on these three is what the backward pass knows.
    It keeps ``x`` and the entries, no matrix as wide as the dictionary. Entries of value
    0 pass no gradient, as under a ReLU.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        weight_bias: Tensor,
        parts: Tensor,
        bias: Tensor,
        index: Tensor,
        value: Tensor,
        row: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the reconstruction, ``(batch, n_values)``, and the value itself."""
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, parts, index, value, row)
        return decode(index, value, parts, bias, row, len(x)), value.clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, slope: Tensor | None, value_slope: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, weight, weight_bias, parts and bias."""
        x, weight, parts, index, value, row = ctx.saved_tensors
        of_x, of_weight, of_weight_bias, of_parts, of_bias = ctx.needs_input_grad[:5]
        results: list[Tensor | None] = [None] * 8
        n_components = len(parts)
        entries = transposed_where_used(index, len(x), n_components, x, row)
        if slope is not None and of_parts:
            results[3] = part_gradient(index, value, slope, n_components, row, entries=entries)
        if slope is not None and of_bias:
            results[4] = slope.sum(0)
        if (slope is None and value_slope is None) or not (of_x or of_weight or of_weight_bias):
            return tuple(results)
        code_slope = torch.zeros_like(value) if value_slope is None else value_slope
        if slope is not None:
            code_slope = code_slope + code_gradient(slope, parts, index, row, entries=entries)
        code_slope = code_slope * (value > 0)
        if of_x:
            results[0] = decode(index, code_slope, weight, None, row, len(x))
        if of_weight:
            results[1] = part_gradient(index, code_slope, x, n_components, row, entries=entries)
        if of_weight_bias:
            results[2] = sums_by_component(index, code_slope, n_components)
        return tuple(results)


def sparse_coding(
    x: Tensor,
    weight: Tensor,
    weight_bias: Tensor,
    parts: Tensor,
    bias: Tensor,
    count: int,
    sizes: Tensor | None = None,
    products: Products = "ieee",
) -> tuple[Tensor, Tensor, Tensor]:
    """Encode rows by their ``count`` largest components and reconstruct them.

    Parameters
    ----------
    x : Tensor
        ``(batch, n_values)``.
    weight, weight_bias : Tensor
        Of the encoder, ``(n_components, n_values)`` and ``(n_components,)``.
    parts, bias : Tensor
        Of the decoder, ``(n_components, n_values)`` and ``(n_values,)``.
    count, sizes, products
        As in `largest`.

    Returns
    -------
    reconstruction, index, value : Tensor
        ``(batch, n_values)``, and the entries of the code, ``(batch, count)`` each. All but
        ``index`` have gradients, equal to those of the same function of dense matrices.
    """
    index, value = largest(x, weight, weight_bias, count, sizes=sizes, products=products)
    arguments = (x, weight, weight_bias, parts, bias, index, value, None)
    reconstruction, value = SparseCoding.apply(*arguments)  # type: ignore[no-untyped-call]
    return reconstruction, index, value


@torch.no_grad()
def sparse_gradients(
    x: Tensor,
    target: Tensor,
    weights: Tensor | None,
    parts: Tensor,
    bias: Tensor,
    index: Tensor,
    value: Tensor,
    out: CodingGradients,
    row: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Write the gradients of half the squared error, averaged over rows, summed over values.

    That of the parts is without its component along the parts, whose rows are taken to
    have norm 1: a step along it would be undone by `renormalize_parts`.

    Parameters
    ----------
    x, target : Tensor
        What was encoded and what it should give, ``(batch, n_values)``.
    weights : Tensor or None
        Weight of each row, ``(batch,)``; 1 unless given.
    parts, bias : Tensor
        Of the decoder, ``(n_components, n_values)`` and ``(n_values,)``.
    index, value, row : Tensor
        What `largest` or `largest_of_batch` returned for ``x``.
    out : CodingGradients
        Overwritten.

    Returns
    -------
    energy : Tensor
        Half the weighted squared error, averaged over rows, a scalar.
    residual : Tensor
        Reconstruction minus target, ``(batch, n_values)``.
    """
    n_components, n_rows = len(parts), len(x)
    residual = decode(index, value, parts, bias, row, n_rows).sub_(target)
    slope = residual / n_rows if weights is None else residual * (weights / n_rows)[:, None]
    energy = 0.5 * torch.dot(residual.view(-1), slope.view(-1))
    entries = transposed_where_used(index, n_rows, n_components, x, row)
    torch.sum(slope, 0, out=out.bias)
    gradient = part_gradient(index, value, slope, n_components, row, entries=entries)
    code_slope = code_gradient(slope, parts, index, row, entries=entries).mul_(value > 0)
    # <gradient of a part, part> = sum over its entries of value times slope.
    along = sums_by_component(index, value * code_slope, n_components)
    torch.addcmul(gradient, parts, along[:, None], value=-1, out=out.parts)
    part_gradient(index, code_slope, x, n_components, row, entries=entries, out=out.weight)
    sums_by_component(index, code_slope, n_components, out=out.weight_bias)
    return energy, residual


@torch.no_grad()
def project_off_parts(gradient: Tensor, parts: Tensor) -> Tensor:
    """Remove from each row of the gradient its component along a part of norm 1, in place."""
    along = torch.linalg.vecdot(gradient, parts)
    return gradient.addcmul_(parts, along[:, None], value=-1)


@torch.no_grad()
def renormalize_parts(parts: Tensor) -> Tensor:
    """Divide each part by its Euclidean norm, in place; a part of zeros stays."""
    norm = torch.linalg.vector_norm(parts, dim=1, keepdim=True)
    return parts.div_(norm.clamp_min_(torch.finfo(parts.dtype).tiny))
