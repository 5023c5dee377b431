"""How likely a fitted variational model makes rows, in the data's units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.codec import Encoder
from autoencode.data.rows import Rows
from autoencode.importance import N_DRAWS, Coder, measure_bound, rows_at_once, standard_draws
from autoencode.inference import apply
from autoencode.interfaces import Batch
from autoencode.preprocess.own_units import cell_nats, scale_nats
from autoencode.preprocess.probabilistic import ProbabilisticPca
from autoencode.preprocess.table_rows import TableRows
from autoencode.state import State

__all__ = ["has_likelihood", "row_likelihoods"]

Array = npt.NDArray[np.float64]

_CELL_ROWS = 65_536


def has_likelihood(state: State) -> bool:
    """Say whether a model makes rows likely, and not only reconstructs them.

    One with a shut gate does where it is probabilistic PCA.
    """
    fact = state.facts.get("likelihood")
    if fact is None:
        return False
    return state.source(state.n_components) != "pca" or fact["floor_kind"] == "ppca"


def row_likelihoods(state: State, rows: Rows) -> Array:
    """Return the log-likelihood of each row, ``(n_rows,)``, in nats; higher: more normal.

    The importance-weighted bound by 500 draws of the code, the same for every row, in float64;
    exact where the model is probabilistic PCA. Missing values do not count.

    Parameters
    ----------
    state : State
        Of a model for which `has_likelihood` is true.
    rows : Rows
        In the data's units.
    """
    found = np.empty((rows.n_rows, 1))
    if state.source(state.n_components) == "pca":
        densities = np.ones(state.n_values, dtype=bool)
        _by_pca(state, rows, found)
    else:
        densities = _by_network(state, rows, found)
    total: Array = found[:, 0]
    for start, block in rows.blocks():
        observed = ~np.isnan(block)
        total[start : start + len(block)] += scale_nats(state.scaling.scale, densities, observed)
    if isinstance(rows, TableRows):
        for start in range(0, rows.n_rows, _CELL_ROWS):
            some = slice(start, start + _CELL_ROWS)
            total[some] += cell_nats(rows.schema, rows.cells[some])
    return total


def _by_network(state: State, rows: Rows, found: Array) -> npt.NDArray[np.bool_]:
    """Write bounds in scaled units; return which values have densities."""
    fitted = state.fitted(torch.float64)
    encoder, likelihood = fitted.encoder, fitted.decoder.likelihood
    decoder: Any = fitted.decoder.decoder
    coder = Coder(encoder, decoder, likelihood)
    draws = standard_draws(N_DRAWS, state.n_components, 0, encoder.center)

    def complete(x: Tensor) -> Tensor:
        batch = Batch(_scaled(encoder, x))
        return measure_bound(coder, batch, batch, draws).importance[:, None]

    def incomplete(x: Tensor) -> Tensor:
        scaled = _scaled(encoder, x)
        batch = Batch(torch.nan_to_num(scaled, nan=0.0), ~torch.isnan(scaled))
        return measure_bound(coder, batch, batch, draws).importance[:, None]

    missing = incomplete if encoder.takes_missing else None
    apply(complete, rows, found, rows_at_once(state.n_values), missing=missing)
    densities: npt.NDArray[np.bool_] = likelihood.densities().numpy()
    return densities


def _by_pca(state: State, rows: Rows, found: Array) -> None:
    """Write exact log-likelihoods in scaled units."""
    total = state.facts["likelihood"]["total"]
    model = ProbabilisticPca.fit(state.principal.head(state.n_components), total)
    takes_missing = state.composition.masked or state.schema is not None

    def likely(x: Tensor) -> Tensor:
        values = state.scaling.forward(x.double().numpy())
        return torch.from_numpy(model.measure(values)[0])[:, None]

    apply(
        likely, rows, found, rows_at_once(state.n_values), missing=likely if takes_missing else None
    )


def _scaled(encoder: Encoder, x: Tensor) -> Tensor:
    return encoder.scaled(x.double())
