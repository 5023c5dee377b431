"""What a fitted autoencoder of another kind says of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from autoencode.anomaly_parts.restoring import Reading
from autoencode.data.rows import Rows

__all__ = ["read_by"]


def read_by(model: Any, rows: Rows) -> Reading:
    """Return how a model reconstructs rows, and their codes.

    Parameters
    ----------
    model : Autoencoder
        Fitted, of this package.
    rows : Rows
        Under its schema.

    Returns
    -------
    Reading
        Of one level, in the data's units; zero where a cell is missing.
    """
    values = np.asarray(rows.dense(), dtype=np.float64).reshape(rows.n_rows, -1)
    restored = np.asarray(model._reconstructed(rows), dtype=np.float64).reshape(values.shape)
    codes = np.asarray(model.transform(rows), dtype=np.float64).reshape(rows.n_rows, -1)
    moves = np.nan_to_num(restored - values, nan=0.0)
    return Reading(moves[None], torch.from_numpy(codes))
