"""Noisy rows -> rows without the noise, by a fitted model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.rows import Rows
from autoencode.interfaces import Batch
from autoencode.noise import (
    Around,
    Exchanges,
    LevelCurve,
    Noise,
    Others,
    apparent_levels,
    fixed_values,
    hit_cells,
    noise_beside,
    noise_of,
    noise_or_copies,
    strangers,
    suspects,
)
from autoencode.noise_sample import numbers_of
from autoencode.plausibility import within_noise, within_ranges
from autoencode.preprocess.filling import Moments, covariance_of
from autoencode.preprocess.scaling import Scaling
from autoencode.row_restoring import complete_rows, restored_values, with_holes
from autoencode.state import State

__all__ = [
    "Denoised",
    "denoised",
    "swap_weight",
    "units_of",
]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_DRAWS = 8
_EXCHANGED = 0.2
_FAR, _MOST_WRONG = 8.0, 0.15
"""Deviations of the noise that it never reaches, and share of a row's numbers that may be wrong."""
_MANY_ROWS = 50
_FEWEST_ROWS = 20
"""Rows from which the kind of their noise can be told; for fewer it is taken to be normal."""


@dataclass(frozen=True)
class _Seen:
    """Rows as noise is looked for in them, only values that are numbers.

    As they were given (NaN where they are missing), which lie beyond all rows of the fit, in
    units of the noise, what predicts them, and on the scale of `Exchanges`.
    """

    raw: Array
    outside: Flags
    values: Array
    others: Others
    exchanges: Exchanges | None
    scores: Array

    def drawn(self, share: float) -> Flags:
        """Return which cells may be exchanged, ``(draws, rows, n_values)``."""
        assert self.exchanges is not None
        return self.exchanges.hits(self.scores, share)[1]


class Denoised:
    """Rows without noise, and what was found of it.

    Parameters
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

    def __init__(self, values: Array, changed: Flags, noise: Noise, levels: Array) -> None:
        self.values, self.changed, self.noise, self.levels = values, changed, noise, levels


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
    """
    raw = np.concatenate([block for _, block in rows.blocks()]).astype(np.float64, copy=False)
    numbers = numbers_of(rows, raw, real_values(state.composition.layout))
    result = _denoised(state, raw, numbers, noise, level)
    few = len(raw) < _FEWEST_ROWS
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
    width = np.subtract(*_known_ranges(state)[::-1]) + 2 * near
    far, odd = (_beyond(state, raw[:, real], room) for room in (width, near))
    # A row most of which is far from all others is not one with a few wrong numbers.
    alone = odd.sum(1, keepdims=True) <= max(1, _MOST_WRONG * len(real))
    found = np.zeros(raw.shape, dtype=bool)
    found[:, real] = far & alone
    return found


def _beyond(state: State, numbers: Array, room: Array | float) -> Flags:
    """Return which numbers lie outside of their columns in the fit, by more than some room."""
    low, high = _known_ranges(state)
    found: Flags = (numbers < low - room) | (numbers > high + room)
    return found


def _denoised(
    state: State, raw: Array, numbers: Array, noise: Noise | None, level: float | None
) -> Denoised:
    """Return the same of rows that are in memory, whose numbers as they were given are known."""
    missing = np.isnan(raw)
    values = complete_rows(state, raw)
    real = real_values(state.composition.layout)
    units, seen = _seen(state, noise, values, np.where(missing[:, real], np.nan, numbers))
    found, levels, chance = _examined(state, seen, noise, level)
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
    seen: _Seen,
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
        result += state.facts["swap_weight"] * (learned - result)
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
    weights[:, real], guess[:, real] = chance, expected
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
    if len(places) < _FEWEST_ROWS:
        return 0.0 if known else 0.5
    clean = complete_rows(state, rows.take(places).astype(np.float64, copy=False))
    real = real_values(state.composition.layout)
    generator = np.random.default_rng(0)
    others = np.take_along_axis(clean, generator.integers(0, len(clean), clean.shape), axis=0)
    values = clean.copy()
    hit = generator.random(clean.shape) < _EXCHANGED
    values[:, real] = np.where(hit, others, clean)[:, real]
    _, seen = _seen(state, None, values, state.scaling.backward(values)[:, real])
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
    errors = [float(np.square(one + w * (other - one) - clean).sum()) for w in weights]
    return float(weights[int(np.argmin(errors))])


def units_of(state: State, noise: Noise | None, real: Places) -> tuple[Scaling, Others]:
    """Return the units that noise is measured in, and what predicts rows in them."""
    assert state.precision is not None
    center, scale = state.scaling.center[real], state.scaling.scale[real]
    covariance = covariance_of(state.precision)[np.ix_(real, real)]
    units = Scaling(center, scale)
    if noise is not None and noise.center:
        units = Scaling(np.array(noise.center), np.array(noise.scale))
    ratio = scale / units.scale
    moments = Moments(units.forward(center[None])[0], covariance * np.outer(ratio, ratio))
    around = Around.of(state.composition.sample_shape, units.center, units.scale)
    return units, Others([(None, moments)], around)


def _seen(
    state: State, noise: Noise | None, values: Array, numbers: Array
) -> tuple[Scaling, _Seen]:
    """Return the units of the noise, and rows as it is looked for in them."""
    real = real_values(state.composition.layout)
    units, others = units_of(state, noise, real)
    given = state.scaling.backward(values)[:, real]
    exchanges = state.facts.get("exchanges")
    scores = np.zeros_like(given)
    if exchanges is not None:
        exchanges = Exchanges.from_header(exchanges)
        scores = exchanges.scores(given)
    outside = _beyond(state, given, 0.0)
    return units, _Seen(numbers, outside, units.forward(given), others, exchanges, scores)


def _forward(scaling: Scaling, places: Places, values: Array) -> Array:
    return (values - scaling.center[places]) / scaling.scale[places]


def _examined(
    state: State, seen: _Seen, noise: Noise | None, level: float | None
) -> tuple[Noise, Array, Array | None]:
    """Return the noise, each row's level and what is known of which cells it hit."""
    values, (_, moments) = seen.values, seen.others.parts[0]
    if level is not None:
        return Noise("gaussian", level), np.full(len(values), level), None
    if noise is not None:
        if noise.kind == "swap" and seen.exchanges is not None and len(values) >= _MANY_ROWS:
            share, _ = seen.exchanges.share(seen.scores, noise.level)
            noise = replace(noise, level=share)
        return noise, np.full(len(values), noise.level), None
    curve = LevelCurve(**state.facts["level_curve"])
    levels, overall, error = curve.levels_of(apparent_levels(moments, values))
    asked = state.facts["asked"]
    few = len(values) < _FEWEST_ROWS
    if asked == "gaussian" or (few and asked == "auto"):
        return Noise("gaussian", overall, error), levels, None
    if few:
        # Which cells are hit cannot be told from so few rows.
        return Noise("none"), np.zeros(len(values)), None
    others = Others.noisy(moments, values, seen.others.around)
    if seen.exchanges is None:
        known = dict(state.facts["usual_values"])
        if asked == "auto":
            found, chance = noise_or_copies(others, values, seen.raw, overall, known)
        else:
            found, chance = noise_of(others, values, seen.raw, overall, asked, known)
    else:
        beside = seen.exchanges, seen.scores
        found, chance = noise_beside(*beside, values, seen.raw, others, overall, asked)
    if asked in ("auto", "impulse") and found.kind in ("none", "gaussian"):
        atoms = strangers(seen.raw, seen.outside)
        found, chance = fixed_values(atoms, seen.raw) if atoms else (found, chance)
    if found.kind == "gaussian":
        found = replace(found, error=error)
    else:
        levels = np.full(len(values), found.level)
    return found, levels, chance


def _known_ranges(state: State) -> tuple[Array, Array]:
    """Return the least and the greatest values of numbers in the rows of the fit, as given."""
    real = real_values(state.composition.layout)
    center, scale = state.scaling.center[real], state.scaling.scale[real]
    low, high = (
        np.array(state.facts["ranges"][side], dtype=np.float64) for side in ("low", "high")
    )
    return low * scale + center, high * scale + center
