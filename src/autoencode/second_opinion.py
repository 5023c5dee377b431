"""How much a network counts where rows have normal noise, beside how rows were spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch
from autoencode.noise import Noise
from autoencode.row_prior import Blend, RowPrior, fit_prior, known_errors, unbiased_risks
from autoencode.row_restoring import complete_rows, restored_values
from autoencode.state import State

__all__ = ["row_prior"]

Array = npt.NDArray[np.float64]

_FITTED_ROWS, _JUDGING_ROWS = 5000, 500
_FEWEST_ROWS = 20
_LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def row_prior(state: State, rows: Rows, noise: Noise, *, clean: bool, seed: int) -> RowPrior | None:
    """Fit a second opinion on rows with normal noise, and find out how much it counts.

    On rows that neither was fitted to, though they chose when to stop; None where there are
    too few.

    Parameters
    ----------
    state : State
        A model that was fitted to restore rows.
    rows : Rows
        Clean ones, or those with the noise.
    noise : Noise
        What there will be, in the network's units; of kind "none": noise of any strength.
    clean : bool
        Which of both the rows are.
    seed : int
        Of whatever is random.
    """
    real = real_values(state.composition.layout)
    places = sorted({*state.facts["claim_rows"], *state.facts["choose_rows"]})
    others = np.setdiff1d(np.arange(rows.n_rows), places)
    if min(len(places), len(others)) < _FEWEST_ROWS or not len(real):
        return None
    others = others[:: -(-len(others) // _FITTED_ROWS)]
    held, kept = (
        complete_rows(state, rows.take(at).astype(np.float64, copy=False))
        for at in (np.array(places, dtype=np.intp)[:_JUDGING_ROWS], others)
    )
    level = noise.level if noise.kind == "gaussian" else 0.0
    prior = fit_prior(kept[:, real], 0.0 if clean else level, seed)

    def opinions(values: Array, level: float) -> Array:
        levels = np.full(len(values), level)
        spoilt = held.copy()
        spoilt[:, real] = values
        strength = torch.from_numpy(np.stack([np.ones_like(levels), np.square(levels)], axis=1))
        batch = Batch(torch.from_numpy(spoilt), level=strength)
        network = restored_values(state, batch, "noise")[:, real]
        return np.concatenate([network[None], prior.opinions(values, levels)])

    judge = (known_errors if clean else unbiased_risks)(held[:, real], opinions, seed)
    blend = Blend.choosing([level] if level else _LEVELS, judge)
    return replace(prior, blend=blend)
