"""Errors of a network on held-out rows, at one or many sizes of the code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.interfaces import Batch, Context, Likelihood
from autoencode.network import Network
from autoencode.numerics import matrix_products

__all__ = ["column_errors", "row_errors"]

Array = npt.NDArray[np.float64]

_PIECE = 1024


def row_errors(
    network: Network,
    likelihood: Likelihood,
    values: Tensor,
    target: Tensor,
    sizes: Sequence[int],
) -> Array:
    """Return the squared error of every row at every size, in float32 products.

    Parameters
    ----------
    network : Network
        On the device of the values.
    likelihood : Likelihood
        Says what value its parameters mean.
    values, target : Tensor
        ``(rows, n_features)``, scaled: what is encoded, what is compared with.
    sizes : sequence of int
        Numbers of leading components; only the full length if the network was not
        trained nested.

    Returns
    -------
    ndarray of shape (rows, len(sizes))
        Sum of squares over values.
    """
    full = network.bottleneck.latent_shape[0]
    found = torch.empty(len(values), len(sizes), dtype=torch.float64)
    with torch.inference_mode(), matrix_products("ieee"):
        for start in range(0, len(values), _PIECE):
            x, y = values[start : start + _PIECE], target[start : start + _PIECE]
            code = network.encode(Batch(x), Context())
            for place, size in enumerate(sizes):
                cut = None if size == full else torch.full((len(x),), size, device=x.device)
                params = network.decode(code, Context(size=cut))
                error = (likelihood.mean(params).flatten(1) - y.flatten(1)).square()
                found[start : start + len(x), place] = error.sum(1)
    return found.numpy()


def column_errors(
    network: Network, likelihood: Likelihood, values: Tensor, target: Tensor, size: int
) -> Array:
    """Return the mean squared error of every column, ``(n_features,)``, scaled."""
    full = network.bottleneck.latent_shape[0]
    total = torch.zeros(target.shape[1], dtype=torch.float64)
    with torch.inference_mode(), matrix_products("ieee"):
        for start in range(0, len(values), _PIECE):
            x, y = values[start : start + _PIECE], target[start : start + _PIECE]
            cut = None if size == full else torch.full((len(x),), size, device=x.device)
            params = network(Batch(x), Context(size=cut)).params
            total += (likelihood.mean(params).flatten(1) - y).square().sum(0).cpu()
    return (total / max(len(values), 1)).numpy()
