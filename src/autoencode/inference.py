"""Running a fitted module over many rows, in pieces of one fixed size.

A piece is small enough to stay in the processor's cache from layer to layer, which is
several times faster than one large call. All pieces have the same number of rows (the
last one is padded), so the products are the same ones whatever else is in the table:
a row's result depends on nothing but the row.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode.data.finite import require_finite, require_no_infinity
from autoencode.data.rows import FloatArray, Rows
from autoencode.numerics import matrix_products

__all__ = ["apply", "chunk_rows", "hand_over"]

_CHUNK_BYTES = 4 << 20
_PIECES_AT_ONCE = 16
_INCOMPLETE_ROWS = 128


def chunk_rows(widest: int) -> int:
    """Return how many rows make one piece for layers of at most this width."""
    rows = _CHUNK_BYTES // (4 * max(widest, 1))
    return int(min(max(1 << max(rows.bit_length() - 1, 0), 64), 4096))


def apply(
    module: nn.Module | Callable[[Tensor], Tensor],
    rows: Rows,
    out: npt.NDArray[np.floating],
    piece: int,
    *,
    missing: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Fill ``out`` with the module's results, row by row; see `hand_over`.

    Parameters
    ----------
    module : nn.Module or callable
        From ``(rows, n_features)`` to ``(rows, n_outputs)``, of the blocks' dtype.
    rows : Rows
        Of the module's dtype.
    out : ndarray of shape (n_rows, n_outputs)
        Written to.
    piece : int
        Rows per call.
    missing : callable, optional
        Does the same for rows in which values are missing; without it they are refused.

    Raises
    ------
    DataError
        If a value is infinite (or missing), naming its column.
    """
    result = torch.from_numpy(out)

    def keep(start: int, found: Tensor) -> None:
        result[start : start + len(found)] = found

    hand_over(module, rows, keep, piece, missing=missing)


def hand_over(
    module: nn.Module | Callable[[Tensor], Tensor],
    rows: Rows,
    take: Callable[[int, Tensor], None],
    piece: int,
    *,
    missing: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Hand over the module's results, piece by piece, from the first row to the last.

    That all values are finite is checked on the way, while they are in the cache.

    Parameters
    ----------
    module, rows, piece, missing
        As in `apply`.
    take : callable
        Called with the number of the first row of a piece, and ``(rows, n_outputs)``, which
        is valid until it returns.

    Raises
    ------
    DataError
        As in `apply`.
    """
    total = torch.zeros(())
    with torch.inference_mode(), matrix_products("ieee"):
        for start, block in rows.blocks(_PIECES_AT_ONCE * piece):
            values = _tensor(block)
            for offset in range(0, len(block), piece):
                taken = values[offset : offset + piece]
                summed = taken.sum()
                if missing is not None and bool(torch.isnan(summed)):
                    summed, found = _of_incomplete(module, missing, taken, piece)
                else:
                    found = module(_padded(taken, piece))[: len(taken)]
                take(start + offset, found)
                total = total + summed
    # A sum is finite only if every term is; where it is not, each value is looked at.
    if not bool(torch.isfinite(total)):
        if missing is None:
            require_finite(rows)
        else:
            require_no_infinity(rows)


def _of_incomplete(
    module: nn.Module | Callable[[Tensor], Tensor],
    missing: Callable[[Tensor], Tensor],
    taken: Tensor,
    piece: int,
) -> tuple[Tensor, Tensor]:
    """Return the sum of the values of a piece that are not missing, and its results.

    Rows that are complete take the way that they always take; the others, as a rule few
    and each several times the work, go in small pieces of a fixed size of their own.
    """
    absent = torch.isnan(taken)
    lacking = absent.any(1)
    known = torch.where(absent, 0.0, taken)
    found: Tensor | None = None
    if not bool(lacking.all()):
        found = module(_padded(known, piece))[: len(taken)].clone()
    few = min(piece, _INCOMPLETE_ROWS)
    for places in torch.nonzero(lacking)[:, 0].split(few):
        results = missing(_padded(taken[places], few))
        if found is None:
            found = results.new_empty(len(taken), *results.shape[1:])
        found[places] = results[: len(places)]
    assert found is not None
    return known.sum(), found


def _padded(taken: Tensor, piece: int) -> Tensor:
    if len(taken) == piece:
        return taken
    padded = taken.new_zeros(piece, taken.shape[1])
    padded[: len(taken)] = taken
    return padded


def _tensor(block: FloatArray) -> Tensor:
    """Return a tensor over the same memory where it may be shared, else over a copy."""
    if block.flags.writeable:
        return torch.from_numpy(block)
    return torch.from_numpy(block.copy())
