"""The best sparse codes of rows for given parts, one part after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = ["Pursued", "pursue", "pursued_codes"]

_PIECE = 2048
_LEAST_NEW = 1e-4
_CROWDED = 0.75
"""Rows are left out when fewer of those at hand are still active."""


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

    def matrix(self, n_components: int) -> Any:
        """Return codes as a SciPy CSR matrix, ``(rows, n_components)``."""
        unit, value = self.unit.cpu().numpy(), self.value.cpu().numpy()
        kept = value != 0
        edges = np.concatenate([np.zeros(1, np.int64), kept.sum(1).cumsum()])
        return sparse.csr_matrix((value[kept], unit[kept], edges), shape=(len(unit), n_components))


def pursue(
    x: Tensor,
    parts: Tensor,
    most: int,
    tolerance: float = 0.0,
    gram: Tensor | None = None,
    *,
    leaving: bool = False,
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
    leaving : bool
        Whether rows that are done are left out of further steps. This is faster, but then the
        last bits of a row's codes may depend on the other rows.

    Returns
    -------
    Pursued
        A row's codes depend on nothing but the row, unless rows leave.
    """
    rows, most = len(x), min(most, *parts.shape)
    gram = parts @ parts.t() if gram is None else gram
    start = x @ parts.t()
    unit = torch.zeros(rows, most, dtype=torch.int64, device=x.device)
    value, gain = x.new_zeros(rows, most), x.new_zeros(rows, most)
    going = _Going(start, start.clone(), unit, value, gain, x.new_zeros(rows, most, most))
    result, numbers = Pursued(unit, value, gain), None
    active = torch.ones(rows, dtype=torch.bool, device=x.device)
    for step in range(most):
        active = _step(going, step, active, gram, tolerance)
        left = int(active.sum())
        if not left:
            break
        if leaving and left < _CROWDED * len(active):
            _put(result, going, numbers)
            kept = torch.nonzero(active)[:, 0]
            numbers = kept if numbers is None else numbers[kept]
            going = _Going(*(part[kept] for part in going))
            active = active[kept]
    _put(result, going, numbers)
    return Pursued(unit, value.clamp_min_(0.0), gain)


class _Going(NamedTuple):
    """Rows that are not done: cosines with the parts at first and now, and their codes."""

    start: Tensor
    left: Tensor
    unit: Tensor
    value: Tensor
    gain: Tensor
    inverse: Tensor


def _step(going: _Going, step: int, active: Tensor, gram: Tensor, tolerance: float) -> Tensor:
    """Give each active row one more part; return which rows got one."""
    start, left, unit, value, gain, inverse = going
    nearest = _largest(left)
    best = left.gather(1, nearest[:, None])[:, 0]
    cross = gram[unit[:, :step], nearest[:, None]]
    solved = torch.bmm(inverse[:, :step, :step], cross[:, :, None])[:, :, 0]
    # What is new in a part, beside those that a row has.
    new = (1.0 - (cross * solved).sum(1)).clamp_min_(_LEAST_NEW)
    added = best / new
    gained = best * added
    active = active & (best > 0) & (gained > tolerance)
    added = added * active
    solved = solved * active[:, None]
    unit[:, step] = nearest * active
    gain[:, step] = gained * active
    value[:, :step] -= solved * added[:, None]
    value[:, step] = added
    _extend(inverse, solved, new, step)
    weights = value[:, : step + 1]
    explained = _weighted_sums(unit[:, : step + 1], weights, gram)
    torch.sub(start, explained, out=left)
    left.scatter_(1, unit[:, : step + 1], -1.0)
    return active


def _put(result: Pursued, going: _Going, numbers: Tensor | None) -> None:
    """Write what is known of rows to their places; without numbers it is there already."""
    if numbers is not None:
        for column, known in zip(result, (going.unit, going.value, going.gain), strict=True):
            column[numbers] = known


def _largest(left: Tensor) -> Tensor:
    """Return the place of each row's largest value; NumPy finds it ten times as fast."""
    if left.device.type != "cpu":
        return left.argmax(1)
    return torch.from_numpy(left.numpy().argmax(1))


def _extend(inverse: Tensor, solved: Tensor, new: Tensor, step: int) -> None:
    """Add a part to the inverse of the Gram matrix of those chosen, by its Schur complement."""
    inverse[:, :step, :step] += solved[:, :, None] * solved[:, None, :] / new[:, None, None]
    inverse[:, :step, step] = inverse[:, step, :step] = -solved / new[:, None]
    inverse[:, step, step] = 1.0 / new


def _weighted_sums(index: Tensor, weights: Tensor, matrix: Tensor) -> Tensor:
    """Return for each row the weighted sum of some rows of a matrix."""
    return embedding_bag(index, matrix, mode="sum", per_sample_weights=weights)


def pursued_codes(
    x: Tensor,
    parts: Tensor,
    most: int,
    tolerance: float,
    gram: Tensor | None = None,
) -> Pursued:
    """Return the same for any number of rows, a few hundred at a time; rows leave."""
    gram = parts @ parts.t() if gram is None else gram
    if not len(x):
        return pursue(x, parts, most, tolerance, gram)
    pieces = [
        pursue(piece, parts, most, tolerance, gram, leaving=True) for piece in x.split(_PIECE)
    ]
    return Pursued(*(torch.cat(columns) for columns in zip(*pieces, strict=True)))
