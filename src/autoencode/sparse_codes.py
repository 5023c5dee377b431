"""Codes of which most are zero, kept as what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from autoencode.data.rows import Rows
from autoencode.inference import hand_over

__all__ = ["sparse_codes"]


def sparse_codes(
    encode: Callable[[Tensor], Tensor],
    rows: Rows,
    n_components: int,
    piece: int,
    *,
    missing: Callable[[Tensor], Tensor] | None = None,
) -> Any:
    """Return codes as a CSR matrix, never dense as a whole.

    Parameters
    ----------
    encode : callable
        From ``(rows, n_features)`` to codes, ``(rows, n_components)``.
    rows : Rows
        What is encoded.
    n_components : int
        Length of a code.
    piece : int
        Rows at a time.
    missing : callable, optional
        Does the same for rows in which values are missing.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n_rows, n_components)
        Of the dtype of the rows; indices of a row ascend.
    """
    values: list[Any] = []
    places: list[Any] = []
    counts: list[Any] = [np.zeros(1, np.int64)]

    def keep(start: int, z: Tensor) -> None:
        row, column = torch.nonzero(z, as_tuple=True)
        values.append(z[row, column].numpy())
        places.append(column.to(torch.int32).numpy())
        counts.append(torch.bincount(row, minlength=len(z)).numpy())

    hand_over(encode, rows, keep, piece, missing=missing)
    edges = np.cumsum(np.concatenate(counts))
    data = np.concatenate(values) if values else np.zeros(0, rows.dtype)
    indices = np.concatenate(places) if places else np.zeros(0, np.int32)
    shape = (rows.n_rows, n_components)
    return sparse.csr_matrix((data.astype(rows.dtype, copy=False), indices, edges), shape=shape)
