"""How much a network counts where rows have normal noise, beside how rows were spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch
from autoencode.noise import Noise, Others, are_few, variances_apart, variances_left
from autoencode.patch_prior import has_windows
from autoencode.preprocess.filling import Moments, fit_moments
from autoencode.row_prior import Blend, RowPrior, fit_prior, known_errors, unbiased_risks
from autoencode.row_restoring import complete_rows, restored_values
from autoencode.state import State

__all__ = ["row_prior"]

Array = npt.NDArray[np.float64]

_FITTED_ROWS, _JUDGING_ROWS, _JUDGING_VALUES = 5000, 500, 200_000
_FEWEST_ROWS, _FEWEST_PICTURES = 20, 4
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
    shape = state.composition.sample_shape
    fewest = _FEWEST_PICTURES if has_windows(shape) else _FEWEST_ROWS
    if len(places) < fewest or len(others) < _FEWEST_ROWS or not len(real):
        return None
    others = others[:: -(-len(others) // _FITTED_ROWS)]
    judging = min(_JUDGING_ROWS, max(_FEWEST_ROWS, _JUDGING_VALUES // len(real)))
    held, kept = (
        complete_rows(state, rows.take(at).astype(np.float64, copy=False))
        for at in (np.array(places, dtype=np.intp)[:judging], others)
    )
    level = noise.level if noise.kind == "gaussian" else 0.0
    prior = fit_prior(kept[:, real], 0.0 if clean else level, seed, shape, _offset(state))

    judged = _without(state, kept, 0.0 if clean else level)

    def opinions(values: Array, level: float) -> Array:
        levels = np.full(len(values), level)
        spoilt = held.copy()
        spoilt[:, real] = values
        strength = torch.from_numpy(np.stack([np.ones_like(levels), np.square(levels)], axis=1))
        batch = Batch(torch.from_numpy(spoilt), level=strength)
        network = restored_values(judged, batch, "noise")[:, real]
        return np.concatenate([network[None], prior.opinions(values, levels)])

    judge = (known_errors if clean else unbiased_risks)(held[:, real], opinions, seed)
    blend = Blend.choosing([level] if level else _LEVELS, judge)
    return replace(prior, blend=blend)


def _without(state: State, kept: Array, level: float) -> State:
    """Return the model of pictures as if it had not seen the rows that are to judge it.

    A linear guess alone is fitted to all rows; the noise of those that it was fitted to is part
    of what it expects, where rows are few for their columns.

    Parameters
    ----------
    state : State
        The model.
    kept : ndarray of shape (rows, n_values)
        Other rows, scaled.
    level : float
        Deviation of the normal noise in them.
    """
    if state.networks or len(state.composition.sample_shape) < 2:
        return state
    moments = fit_moments(kept)
    apart = Others.apart(kept) if level and are_few(*kept.shape) else None
    seen = None if apart is None else variances_apart(apart, kept)
    _, left, axes = variances_left(moments, level, seen)
    precision = Moments(moments.mean, (axes * left) @ axes.T).precision()
    return replace(state, precision=precision, _fills={})


def _offset(state: State) -> Array | None:
    """Return by how much values of pictures are less than brightnesses in the same unit.

    None where places have units of their own.
    """
    scale = state.scaling.scale
    if np.ptp(scale) > 0:
        return None
    offset: Array = state.scaling.center / scale
    return offset
