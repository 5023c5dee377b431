"""The best sparse codes of rows for given parts, one part after the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = ["Pursued", "pursue", "pursued_codes"]

_PIECE = 512
_LEAST_NEW = 1e-4


class Pursued(NamedTuple):
    """Codes as entries, in the order in which parts were taken.

    Attributes
    ----------
    unit : Tensor
        ``(rows, most)`` int64: which part; meaningless where the value is 0.
    value : Tensor
        ``(rows, most)``: how much of it, never negative.
    gain : Tensor
        ``(rows, most)``: by how much the part lowered the squared error when it was taken; 0
        from where no further part was taken.
    """

    unit: Tensor
    value: Tensor
    gain: Tensor

    def dense(self, n_components: int) -> Tensor:
        """Return codes, ``(rows, n_components)``."""
        z = self.value.new_zeros(len(self.value), n_components)
        return z.scatter_add_(1, self.unit, self.value)


def pursue(
    x: Tensor,
    parts: Tensor,
    most: int,
    tolerance: float = 0.0,
    gram: Tensor | None = None,
) -> Pursued:
    """Return sparse codes that are never negative, by orthogonal matching pursuit.

    In each step the part that lowers the error most, if it may only be added, joins those
    of the row, and all coefficients are fitted anew by least squares: Pati et al. (1993), by
    the inverse of the Gram matrix of the chosen parts as in Rubinstein et al. (2008), and
    without negative values as in Bruckstein et al. (2008). A row is done when nothing
    lowers its squared error by more than the tolerance.

    Parameters
    ----------
    x : Tensor
        ``(rows, n_values)``, less the offset.
    parts : Tensor
        ``(n_components, n_values)``, of unit length.
    most : int
        Parts of a row, at most.
    tolerance : float
        The least gain, in squared units of the values.
    gram : Tensor, optional
        ``parts @ parts.T``, if it is there already.

    Returns
    -------
    Pursued
        A row's codes depend on nothing but the row.
    """
    rows, most = len(x), min(most, *parts.shape)
    gram = parts @ parts.t() if gram is None else gram
    start = x @ parts.t()
    left = start.clone()
    unit = torch.zeros(rows, most, dtype=torch.int64, device=x.device)
    value, gain = x.new_zeros(rows, most), x.new_zeros(rows, most)
    inverse = x.new_zeros(rows, most, most)
    active = torch.ones(rows, dtype=torch.bool, device=x.device)
    for step in range(most):
        best, nearest = left.max(1)
        cross = gram[unit[:, :step], nearest[:, None]]
        solved = torch.bmm(inverse[:, :step, :step], cross[:, :, None])[:, :, 0]
        # What is new in a part, beside those that a row has.
        new = (1.0 - (cross * solved).sum(1)).clamp_min_(_LEAST_NEW)
        added = best / new
        gained = best * added
        active = active & (best > 0) & (gained > tolerance)
        if not bool(active.any()):
            break
        added = added * active
        solved = solved * active[:, None]
        unit[:, step] = nearest * active
        gain[:, step] = gained * active
        value[:, :step] -= solved * added[:, None]
        value[:, step] = added
        _extend(inverse, solved, new, step)
        weights = value[:, : step + 1]
        explained = _weighted_sums(unit[:, : step + 1], weights, gram)
        left = torch.sub(start, explained, out=left)
        left.scatter_(1, unit[:, : step + 1], -1.0)
    return Pursued(unit, value.clamp_min_(0.0), gain)


def _extend(inverse: Tensor, solved: Tensor, new: Tensor, step: int) -> None:
    """Add a part to the inverse of the Gram matrix of those chosen, by its Schur complement."""
    inverse[:, :step, :step] += solved[:, :, None] * solved[:, None, :] / new[:, None, None]
    inverse[:, :step, step] = inverse[:, step, :step] = -solved / new[:, None]
    inverse[:, step, step] = 1.0 / new


def _weighted_sums(index: Tensor, weights: Tensor, matrix: Tensor) -> Tensor:
    """Return for each row the weighted sum of some rows of a matrix."""
    return embedding_bag(index, matrix, mode="sum", per_sample_weights=weights)


def pursued_codes(
    x: Tensor, parts: Tensor, most: int, tolerance: float, gram: Tensor | None = None
) -> Pursued:
    """Return the same for any number of rows, a few hundred at a time."""
    gram = parts @ parts.t() if gram is None else gram
    pieces = [pursue(piece, parts, most, tolerance, gram) for piece in x.split(_PIECE)]
    if not pieces:
        return pursue(x, parts, most, tolerance, gram)
    return Pursued(*(torch.cat(columns) for columns in zip(*pieces, strict=True)))
