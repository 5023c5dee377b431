"""Distances from rows to their nearest neighbours among others: exact, in pieces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["FEWEST", "distances", "nearest"]

Array = npt.NDArray[np.float64]

FEWEST = 8
"""Fewer rows go through other kernels, whose rounding is another."""
_ROUGH = 1e-5
"""The same below which single precision does not do."""
_PIECE_NUMBERS = 1 << 19
_SAME = {torch.float64: 1e-11, torch.float32: 1e-6}
"""Share of a row's squared length below which a squared distance is rounding."""


def distances(queries: Tensor, references: Tensor, count: int, *, others: bool = False) -> Tensor:
    """Return the distances from rows to the nearest references, ascending.

    Parameters
    ----------
    queries : Tensor
        ``(n, n_values)``.
    references : Tensor
        ``(m, n_values)``, of the same dtype.
    count : int
        How many neighbours; all references if there are fewer.
    others : bool
        Whether a reference that equals the row is the row itself, and left out once.

    Returns
    -------
    Tensor
        ``(n, min(count, m))``.
    """
    wanted = min(count + others, len(references))
    kept = max(1, min(count, len(references) - others))
    found = queries.new_empty(len(queries), wanted)
    lengths, turned = references.square().sum(1), references.T.contiguous()
    step = max(1, _PIECE_NUMBERS // max(1, len(references)) // FEWEST) * FEWEST
    for start in range(0, len(queries), step):
        piece = queries[start : start + step]
        # Without the row's own length the order is the same.
        table = torch.addmm(lengths, piece, turned, alpha=-2.0)
        found[start : start + len(piece)] = _smallest(table, wanted)
    own = queries.square().sum(1, keepdim=True)
    squares = (found + own).clamp_min_(0.0)
    squares.masked_fill_(squares <= _SAME[queries.dtype] * (1.0 + own), 0.0)
    if others:
        itself = squares[:, 0] == 0
        squares = torch.where(itself[:, None], squares[:, -kept:], squares[:, :kept])
    return squares[:, :kept].sqrt()


def nearest(queries: Tensor, references: Tensor) -> Tensor:
    """Return the distance from each row to the nearest reference, ``(n,)``, in float64.

    In single precision where that is exact to half a percent: twice as fast.
    """
    found = distances(queries.float(), references.float(), 1)[:, 0].double()
    near = found.square() < _ROUGH * (1.0 + queries.square().sum(1))
    rows = near.nonzero()[:, 0]
    if len(rows):
        found[rows] = distances(queries[rows].double(), references.double(), 1)[:, 0]
    return found


def _smallest(table: Tensor, count: int) -> Tensor:
    """Return the smallest numbers of each row, ascending; a minimum is far faster than a sort."""
    if count == 1:
        return table.amin(1, keepdim=True)
    return table.topk(count, dim=1, largest=False, sorted=True).values
