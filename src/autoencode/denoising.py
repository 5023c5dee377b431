"""Noisy rows -> rows without the noise, by a fitted model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.finite import require_no_infinity
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch
from autoencode.noise import FEWEST_ROWS, Noise, Others, hit_cells, noise_of, suspects
from autoencode.noise_finding import (
    UNLIKELY,
    Seen,
    beyond,
    examined,
    known_ranges,
    seen_by,
)
from autoencode.noise_sample import numbers_of
from autoencode.plausibility import within_noise, within_ranges
from autoencode.preprocess.scaling import Scaling
from autoencode.row_restoring import complete_rows, restored_values, with_holes
from autoencode.state import State

__all__ = ["Denoised", "denoised", "swap_weight"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_DRAWS = 8
_EXCHANGED, _WEIGHED_ROWS = 0.2, 400
_FAR, _MOST_WRONG = 8.0, 0.15
"""Deviations of the noise that it never reaches, and share of a row's numbers that may be wrong."""


@dataclass(frozen=True)
class Denoised:
    """Rows without noise, and what was found of it.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_values)
        In the data's units.
    changed : ndarray of bool, same shape
        Which values are not as they were given.
    noise : Noise
        In the network's units.
    levels : ndarray of shape (n_rows,)
        Of normal noise, the deviation in each row; else the same for all.
    """

    values: Array
    changed: Flags
    noise: Noise
    levels: Array


def denoised(state: State, rows: Rows, noise: Noise | None, level: float | None) -> Denoised:
    """Take the noise out of rows.

    Parameters
    ----------
    state : State
        A model of full length that was fitted to restore rows.
    rows : Rows
        Noisy ones; what is missing is restored as well.
    noise : Noise or None
        What noise there is; None: it is found out, given what rows without it are.
    level : float or None
        Deviation of normal noise, in the network's units, where it is known.

    Returns
    -------
    Denoised
        Values that the noise did not touch are as they were given.

    Raises
    ------
    DataError
        If a value is infinite, naming its column.
    """
    require_no_infinity(rows)
    raw = np.concatenate([block for _, block in rows.blocks()]).astype(np.float64, copy=False)
    numbers = numbers_of(rows, raw, real_values(state.composition.layout))
    result = _denoised(state, raw, numbers, noise, level)
    few = len(raw) < FEWEST_ROWS
    if result.noise.kind != "gaussian" and not (few and result.noise.kind == "none"):
        return result
    impossible = _impossible(state, raw, 0.0 if few else result.noise.level)
    if not impossible.any():
        return result
    # They made the noise seem stronger, where rows are few, and would be smeared over their rows.
    again = _denoised(state, np.where(impossible, np.nan, raw), numbers, noise, level)
    if again.noise.kind == "gaussian":
        impossible &= _impossible(state, raw, again.noise.level)
    return again if impossible.any() else result


def _impossible(state: State, raw: Array, level: float) -> Flags:
    """Return which numbers lie so far outside of all that was seen that no normal noise did it.

    By more than the whole range of a column in the fit and 8 deviations of the noise, in rows
    nearly all other numbers of which are among those that were seen.
    """
    real = real_values(state.composition.layout)
    near = _FAR / 2 * level * state.scaling.scale[real]
    width = np.subtract(*known_ranges(state)[::-1]) + 2 * near
    far, odd = (beyond(state, raw[:, real], room) for room in (width, near))
    # A row most of which is far from all others is not one with a few wrong numbers.
    alone = odd.sum(1, keepdims=True) <= max(1, _MOST_WRONG * len(real))
    found = np.zeros(raw.shape, dtype=bool)
    found[:, real] = far & alone
    return found


def _denoised(
    state: State, raw: Array, numbers: Array, noise: Noise | None, level: float | None
) -> Denoised:
    """Return the same of rows that are in memory, whose numbers as they were given are known."""
    missing = np.isnan(raw)
    values = complete_rows(state, raw)
    real = real_values(state.composition.layout)
    units, seen = seen_by(state, noise, values, np.where(missing[:, real], np.nan, numbers))
    found, levels, chance = examined(state, seen, noise, level)
    if found.kind == "none":
        after = np.where(missing, state.scaling.backward(values), raw)
        return Denoised(after, missing, found, levels)
    if found.kind == "gaussian":
        result = _without_noise(state, values, real, found, levels)
    else:
        found, result = _without_replaced(state, values, missing, units, seen, found, chance)
        levels = np.full(len(values), found.level)
    changed = result != values
    after = state.scaling.backward(result)
    kept = ~(changed | missing)
    after[kept] = raw[kept]
    return Denoised(after, ~kept, found, levels)


def _without_replaced(
    state: State,
    values: Array,
    missing: Flags,
    units: Scaling,
    seen: Seen,
    found: Noise,
    chance: Array | None,
) -> tuple[Noise, Array]:
    """Return noise that took the place of values, as it is in these rows, and rows without it."""
    real = real_values(state.composition.layout)
    if found.kind == "swap" and seen.exchanges is not None:
        result = _without_drawn(state, values, missing, seen.drawn(found.level))
    else:
        found, weights, expected = hit_cells(seen.others, found, seen.values, seen.raw, chance)
        if found.kind == "impulse":
            drawn = suspects(found, weights, _DRAWS)
            result = _without_drawn(state, values, missing, drawn)
        else:
            guess = _forward(state.scaling, real, units.backward(expected))
            result = _without_hits(state, values, missing, weights, guess)
    if found.kind == "swap" and state.facts["swap_weight"]:
        levels = np.full(len(values), found.level)
        learned = _without_noise(state, values, real, found, levels)
        # Where few cells are wrong the others tell nearly all of them.
        weight = state.facts["swap_weight"] * min(found.level / _EXCHANGED, 1.0)
        result = _between(values, result, learned, weight)
    ranges = state.facts.get("ranges")
    result[:, real] = within_ranges(values[:, real], result[:, real], ranges)
    return found, result


def _without_hits(
    state: State, values: Array, missing: Flags, chance: Array, expected: Array
) -> Array:
    """Return rows in which cells are what the others say, as far as they were hit.

    Where it is more likely than not, and where cells are missing, that is up to the model.
    """
    real = real_values(state.composition.layout)
    weights, guess = np.zeros(values.shape), values.copy()
    weights[:, real], guess[:, real] = np.where(chance < UNLIKELY, 0.0, chance), expected
    weights[missing] = 1.0
    suspect = weights > 0.5
    guess = np.where(suspect, restored_values(state, with_holes(values, suspect), "missing"), guess)
    result: Array = values + weights * (guess - values)
    return result


def _without_drawn(state: State, values: Array, missing: Flags, drawn: Flags) -> Array:
    """Return the mean of rows restored, once for each draw of the cells that were hit.

    What is missing is restored as well: cells that were hit said something of it before.
    """
    real = real_values(state.composition.layout)
    total = np.zeros_like(values)
    for hit in drawn:
        suspect = missing.copy()
        suspect[:, real] |= hit
        holed = with_holes(values, suspect)
        total += np.where(suspect, restored_values(state, holed, "missing"), values)
    result: Array = total / len(drawn)
    untouched = ~(drawn.any(0) | missing[:, real])
    result[:, real] = np.where(untouched, values[:, real], result[:, real])
    return result


def _without_noise(state: State, values: Array, real: Places, noise: Noise, levels: Array) -> Array:
    """Return rows without noise that is anywhere, or of which it is not known where it is."""
    gain, variance = np.ones_like(levels), np.square(levels)
    if noise.kind == "swap":
        gain = 1.0 - levels
        variance = 1.0 - np.square(gain)
    strength = torch.from_numpy(np.stack([gain, variance], axis=1))
    use = "swap" if noise.kind == "swap" else "noise"
    restored_rows = restored_values(state, Batch(torch.from_numpy(values), level=strength), use)
    result, found = values.copy(), restored_rows[:, real]
    if noise.kind == "gaussian":
        if state.prior is not None:
            found = state.prior.blended(found, values[:, real], levels)
        found = within_noise(values[:, real], found, levels)
    result[:, real] = found
    return result


def swap_weight(state: State, rows: Rows) -> float:
    """Return how much the network's word counts where values were exchanged, beside the other.

    Cells that were probably hit, replaced by what the rest says, are one way to undo it, the
    network's guess of the whole row is another, and their errors differ. Chosen on held-out
    rows, a fifth of whose values are exchanged.
    """
    known = state.facts.get("exchanges") is not None
    if not (known or state.facts["used_for"].get("swap", False)):
        return 0.0
    places = np.array(state.facts["claim_rows"], dtype=np.intp)
    if len(places) < FEWEST_ROWS:
        return 0.0 if known else 0.5
    places = np.tile(places, -(-_WEIGHED_ROWS // len(places)))
    clean = complete_rows(state, rows.take(places).astype(np.float64, copy=False))
    real = real_values(state.composition.layout)
    generator = np.random.default_rng(0)
    others = np.take_along_axis(clean, generator.integers(0, len(clean), clean.shape), axis=0)
    values = clean.copy()
    hit = generator.random(clean.shape) < _EXCHANGED
    values[:, real] = np.where(hit, others, clean)[:, real]
    _, seen = seen_by(state, None, values, state.scaling.backward(values)[:, real])
    complete = np.zeros(values.shape, dtype=bool)
    if known:
        noise = Noise("swap", _EXCHANGED)
        one = _without_drawn(state, values, complete, seen.drawn(_EXCHANGED))
    else:
        rest = Others.noisy(seen.others.parts[0][1], seen.values, seen.others.around)
        noise, chance = noise_of(rest, seen.values, seen.raw, None)
        if noise.kind != "swap":
            return 0.5
        noise, chance, expected = hit_cells(seen.others, noise, seen.values, seen.raw, chance)
        one = _without_hits(state, values, complete, chance, expected)
    other = _without_noise(state, values, real, noise, np.full(len(values), noise.level))
    weights = np.linspace(0, 1, 11)
    errors = [float(np.square(_between(values, one, other, w) - clean).sum()) for w in weights]
    return float(weights[int(np.argmin(errors))])


def _between(values: Array, one: Array, other: Array, weight: float) -> Array:
    """Return rows between two guesses, where the first one changes a value."""
    result: Array = np.where(one == values, values, one + weight * (other - one))
    return result


def _forward(scaling: Scaling, places: Places, values: Array) -> Array:
    return (values - scaling.center[places]) / scaling.scale[places]
