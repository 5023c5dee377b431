"""Rows that are missing in part or noisy -> what a fitted model makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from autoencode.guess import Guess, guessed_where_needed, restored
from autoencode.interfaces import Batch, Context
from autoencode.network import encode_observed
from autoencode.numerics import matrix_products
from autoencode.state import State

__all__ = ["complete_rows", "restored_values", "with_holes"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_PIECE = 2048


def with_holes(values: Array, missing: Flags) -> Batch:
    """Return rows, scaled, as a batch in which some values are missing."""
    return Batch(torch.from_numpy(np.where(missing, 0.0, values)), torch.from_numpy(~missing))


def complete_rows(state: State, raw: Array) -> Array:
    """Return rows scaled, with what the model restores where values are missing.

    Parameters
    ----------
    state : State
        A model that was fitted to restore rows.
    raw : ndarray of shape (rows, n_values)
        In the data's units; NaN is missing.
    """
    missing = np.isnan(raw)
    values = state.scaling.forward(raw)
    if not missing.any():
        return values
    found = restored_values(state, with_holes(values, missing), "missing")
    complete: Array = np.where(missing, found, values)
    return complete


def restored_values(state: State, batch: Batch, use: str) -> Array:
    """Return what a model that restores rows makes of spoilt ones.

    Parameters
    ----------
    state : State
        The model.
    batch : Batch
        Rows, scaled, in float64.
    use : str
        "noise" or "missing": what is to be taken out or restored. The linear guess does
        it where the network was no better at this.
    """
    fitted = state.fitted(torch.float64)
    encoder, decoder = fitted.encoder, fitted.decoder
    composition = state.composition
    guess = Guess(
        encoder.fill,
        encoder.shrink,
        composition.masked,
        composition.noisy,
        composition.layout.first_values(),
    )
    network = state.networks.get(state.source(state.n_components))
    if not state.facts["used_for"].get(use, False):
        network = None
    result: Array = np.empty(tuple(batch.x.shape))
    with torch.inference_mode(), matrix_products("ieee"):
        for start in range(0, len(result), _PIECE):
            piece = guessed_where_needed(guess, batch.rows(start, start + _PIECE))
            values = piece.x
            if network is not None:
                code = encode_observed(encoder, piece, Context())
                params = decoder.decoder(code.z, Context())
                mean = decoder.likelihood.mean(params).flatten(1)
                values = restored(network, mean, piece)
            result[start : start + _PIECE] = values.numpy()
    return result
