"""Running a fitted module over many rows, in pieces of one fixed size.

A piece is small enough to stay in the processor's cache from layer to layer, which is
several times faster than one large call. All pieces have the same number of rows (the
last one is padded), so the products are the same ones whatever else is in the table:
a row's result depends on nothing but the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode.data.rows import FloatArray
from autoencode.numerics import matrix_products

__all__ = ["apply", "chunk_rows"]

_CHUNK_BYTES = 512 * 1024


def chunk_rows(widest: int) -> int:
    """Return how many rows make one piece for layers of at most this width."""
    rows = _CHUNK_BYTES // (4 * max(widest, 1))
    return int(min(max(1 << max(rows.bit_length() - 1, 0), 64), 2048))


def apply(
    module: nn.Module | Callable[[Tensor], Tensor],
    blocks: Iterable[tuple[int, FloatArray]],
    out: npt.NDArray[np.floating],
    piece: int,
    device: torch.device | None = None,
) -> None:
    """Fill ``out`` with the module's results, row by row.

    Parameters
    ----------
    module : nn.Module
        From ``(rows, n_features)`` to ``(rows, n_outputs)``, of the blocks' dtype.
    blocks : iterable of (int, ndarray)
        First row and rows, as from ``Rows.blocks``.
    out : ndarray of shape (n_rows, n_outputs)
        Written to.
    piece : int
        Rows per call.
    device : torch.device, optional
        Where the module lives.
    """
    padded: Tensor | None = None
    result = torch.from_numpy(out)
    on_cpu = device is None or device.type == "cpu"
    with torch.inference_mode(), matrix_products("ieee"):
        for start, block in blocks:
            values = _tensor(block)
            for offset in range(0, len(block), piece):
                rows = values[offset : offset + piece]
                count = len(rows)
                if count < piece:
                    if padded is None:
                        padded = values.new_zeros(piece, values.shape[1])
                    padded[:count] = rows
                    rows = padded
                done = module(rows if on_cpu else rows.to(device))
                result[start + offset : start + offset + count] = done[:count]


def _tensor(block: FloatArray) -> Tensor:
    """Return a tensor over the same memory where it may be shared, else over a copy."""
    if block.flags.writeable:
        return torch.from_numpy(block)
    return torch.from_numpy(block.copy())
