"""From nats per scaled value to nats in the data's own units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from autoencode.preprocess.columns import Schema, Span

__all__ = ["cell_nats", "scale_nats"]

Array = npt.NDArray[np.float64]

_CERTAIN = 1e-9


def scale_nats(scale: Array, densities: npt.NDArray[np.bool_], observed: npt.ArrayLike) -> Array:
    """Return what densities of scaled values gain in each row by being of values as they are.

    Parameters
    ----------
    scale : ndarray of shape (n_values,)
        What values were divided by.
    densities : ndarray of bool of shape (n_values,)
        Which have a density, and not a probability.
    observed : array-like of bool of shape (n_rows, n_values)
        False where a value is missing.
    """
    gained = np.where(densities, -np.log(scale), 0.0)
    result: Array = np.asarray(observed, dtype=np.float64) @ gained
    return result


def cell_nats(schema: Schema, cells: Array) -> Array:
    """Return what each row of a table gains by being of cells and not of their values.

    Numbers with heavy tails have the slope of their transform; levels that share a slot
    their shares of it; and levels that were never seen their small probability. Dates and
    cycles count as the numbers that they are spread into.

    Parameters
    ----------
    schema : Schema
        What the columns are.
    cells : ndarray of shape (n_rows, n_cells)
        NaN where one is missing: it does not count.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    total = np.zeros(len(cells))
    for span in schema.spans:
        total += np.nan_to_num(_gained(span, cells[:, span.cells]), nan=0.0)
    return total


def _gained(span: Span, cells: Array) -> Array:
    block, given = span.block, torch.from_numpy(np.ascontiguousarray(cells))
    kinds = {kind for kind, _ in block.segments}
    count = sum(width for _, width in block.segments)
    if kinds == {"count"} or (kinds == {"gaussian"} and block.kind != "numeric"):
        return np.zeros(len(cells))
    # What is expected is what there is: no more than the units are left.
    values = torch.nan_to_num(block.spread(given), nan=1.0)
    if kinds == {"gaussian"}:
        nats = block.nats(given, values, torch.ones(count, dtype=torch.float64))
        return nats.numpy() + 0.5 * math.log(2 * math.pi)
    off = torch.full((count,), _CERTAIN, dtype=torch.float64)
    result: Array = block.nats(given, values, off).numpy()
    return result
