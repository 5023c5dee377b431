"""Products with sparse codes: few active components per row, never the whole code matrix.

A code is given by its entries: ``index`` and ``value``, either ``(batch, count)`` with
the same number for every row, or flat ``(n_entries,)`` beside ``row``, ascending, where
the number differs. Entries of value 0 are allowed and change nothing.

Every function has two ways of the same result: over the entries alone, by embedding
bags, or through a dense code matrix and ordinary products. `is_sparse_faster` chooses by
shape, dtype and device alone. No gradient flows through any of them; see
`autoencode.sparse_coding` for that.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = [
    "Transposed",
    "code_gradient",
    "decode",
    "dense_code",
    "is_sparse_faster",
    "part_gradient",
    "sums_by_component",
    "transposed",
    "transposed_where_used",
]

_SHARE = 8
_FEWEST_COMPONENTS = 128


class Transposed(NamedTuple):
    """Entries in the order of their components.

    Attributes
    ----------
    order : Tensor
        Place of each entry in the flat ``index``, ``(n_entries,)``.
    component, row : Tensor
        Of each entry, int32.
    offsets : Tensor
        First entry of each component, int32, ``(n_components,)``.
    """

    order: Tensor
    component: Tensor
    row: Tensor
    offsets: Tensor


def is_sparse_faster(n_entries: int, n_rows: int, n_components: int, like: Tensor) -> bool:
    """Say whether products over entries beat those of dense code matrices.

    An embedding bag does about an eighth of a matrix product's operations per second, so
    it pays where at most an eighth of the components is active. Small layers and devices
    other than the CPU multiply dense matrices.

    Parameters
    ----------
    n_entries, n_rows, n_components : int
        Of the code.
    like : Tensor
        Its dtype and device are those of the values.
    """
    return (
        like.device.type == "cpu"
        and like.dtype in (torch.float32, torch.float64)
        and n_components >= _FEWEST_COMPONENTS
        and n_entries * _SHARE <= n_rows * n_components
    )


def dense_code(
    index: Tensor, value: Tensor, n_rows: int, n_components: int, row: Tensor | None = None
) -> Tensor:
    """Return the code as a matrix, ``(n_rows, n_components)``; equal places are summed."""
    code = value.new_zeros(n_rows, n_components)
    if row is None:
        return code.scatter_add_(1, index, value)
    return code.index_put_((row, index), value, accumulate=True)


@torch.no_grad()
def decode(
    index: Tensor,
    value: Tensor,
    parts: Tensor,
    bias: Tensor | None,
    row: Tensor | None = None,
    n_rows: int | None = None,
) -> Tensor:
    """Return ``code @ parts + bias``, ``(batch, n_values)``.

    Parameters
    ----------
    index, value : Tensor
        The code's entries, ``(batch, count)``, or ``(n_entries,)`` with ``row``.
    parts : Tensor
        ``(n_components, n_values)``.
    bias : Tensor or None
        ``(n_values,)``.
    row : Tensor, optional
        Row of each entry of a flat code, ascending.
    n_rows : int, optional
        Rows of a flat code.
    """
    rows = len(index) if row is None else _number(n_rows)
    if is_sparse_faster(index.numel(), rows, len(parts), parts):
        result = embedding_bag(
            index.flatten().int(),
            parts,
            _row_offsets(index, row, rows),
            mode="sum",
            per_sample_weights=value.flatten(),
        )
        return result if bias is None else result.add_(bias)
    code = dense_code(index, value, rows, len(parts), row)
    return code @ parts if bias is None else torch.addmm(bias, code, parts)


@torch.no_grad()
def transposed(index: Tensor, n_components: int, row: Tensor | None = None) -> Transposed:
    """Sort a code's entries by component, and those of one component by row."""
    flat = index.flatten().int()
    component, order = torch.sort(flat, stable=True)
    starts = torch.arange(n_components, dtype=torch.int32, device=index.device)
    offsets = torch.searchsorted(component, starts, out_int32=True)
    rows = _rows_of(index, row)
    return Transposed(order, component, rows[order], offsets)


def transposed_where_used(
    index: Tensor, n_rows: int, n_components: int, like: Tensor, row: Tensor | None = None
) -> Transposed | None:
    """Return `transposed` entries for several products, None where those are of matrices.

    Parameters
    ----------
    index, row : Tensor
        As in `decode`.
    n_rows, n_components, like
        As in `is_sparse_faster`.
    """
    if is_sparse_faster(index.numel(), n_rows, n_components, like):
        return transposed(index, n_components, row)
    return None


@torch.no_grad()
def code_gradient(
    slope: Tensor,
    parts: Tensor,
    index: Tensor,
    row: Tensor | None = None,
    *,
    entries: Transposed | None = None,
) -> Tensor:
    """Return ``(slope @ parts.T)`` at the code's entries alone, in the shape of ``index``.

    Parameters
    ----------
    slope : Tensor
        ``(batch, n_values)``.
    parts : Tensor
        ``(n_components, n_values)``.
    index, row : Tensor
        As in `decode`.
    entries : Transposed, optional
        What `transposed_where_used` returned for them, to sort them once only.
    """
    if is_sparse_faster(index.numel(), len(slope), len(parts), parts):
        entries = entries or transposed(index, len(parts), row)
        # The slope of an embedding bag in its weights is this sampled product. A bag is a
        # component here: each part is read once, and a batch's rows stay in the cache.
        products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            parts.contiguous(),
            slope.contiguous(),
            entries.row,
            entries.offsets,
            entries.component,
            0,
        )
        return torch.empty_like(products).index_copy_(0, entries.order, products).view(index.shape)
    products = slope @ parts.t()
    return products.gather(1, index) if row is None else products[row, index]


@torch.no_grad()
def part_gradient(
    index: Tensor,
    value: Tensor,
    x: Tensor,
    n_components: int,
    row: Tensor | None = None,
    *,
    entries: Transposed | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return ``code.T @ x``, ``(n_components, n_values)``.

    That is the gradient of the parts where ``x`` is the slope of the reconstruction, and
    that of the encoder's weights where ``value`` are slopes of the code and ``x`` its input.

    Parameters
    ----------
    index, value, row : Tensor
        As in `decode`.
    x : Tensor
        ``(batch, n_values)``.
    n_components : int
        Of the code.
    entries : Transposed, optional
        What `transposed_where_used` returned for them, to sort them once only.
    out : Tensor, optional
        Written into and returned.
    """
    if is_sparse_faster(index.numel(), len(x), n_components, x):
        entries = entries or transposed(index, n_components, row)
        weights = value.flatten()[entries.order]
        result = embedding_bag(
            entries.row, x, entries.offsets, mode="sum", per_sample_weights=weights
        )
        return result if out is None else out.copy_(result)
    code = dense_code(index, value, len(x), n_components, row)
    return torch.mm(code.t(), x, out=out)


@torch.no_grad()
def sums_by_component(
    index: Tensor, value: Tensor, n_components: int, *, out: Tensor | None = None
) -> Tensor:
    """Return the sum of the code over its rows, ``(n_components,)``."""
    sums = value.new_zeros(n_components) if out is None else out.zero_()
    return sums.index_add_(0, index.flatten(), value.flatten())


def _row_offsets(index: Tensor, row: Tensor | None, n_rows: int) -> Tensor:
    if row is None:
        starts = torch.arange(n_rows, dtype=torch.int32, device=index.device)
        return starts.mul_(index.shape[1])
    starts = torch.arange(n_rows, dtype=row.dtype, device=row.device)
    return torch.searchsorted(row, starts, out_int32=True)


def _rows_of(index: Tensor, row: Tensor | None) -> Tensor:
    if row is not None:
        return row.int()
    rows = torch.arange(len(index), dtype=torch.int32, device=index.device)
    return rows.repeat_interleave(index.shape[1])


def _number(n_rows: int | None) -> int:
    if n_rows is None:
        raise TypeError("a flat code needs its number of rows: give n_rows")
    return n_rows
