"""Which noise is in rows that a fitted model is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autoencode.corruptions import real_values
from autoencode.noise import (
    FEWEST_ROWS,
    Around,
    Exchanges,
    LevelCurve,
    Noise,
    Others,
    apparent_levels,
    fixed_values,
    noise_beside,
    noise_of,
    noise_or_copies,
    strangers,
)
from autoencode.preprocess.filling import Moments, covariance_of
from autoencode.preprocess.scaling import Scaling
from autoencode.state import State

__all__ = ["UNLIKELY", "Seen", "beyond", "examined", "known_ranges", "seen_by", "units_of"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_MANY_ROWS = 50
UNLIKELY = 0.1
"""Chance of having been hit below which a cell stays as it is."""


@dataclass(frozen=True)
class Seen:
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
        chance, drawn = self.exchanges.hits(self.scores, share)
        return drawn & (chance >= UNLIKELY)


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


def seen_by(
    state: State, noise: Noise | None, values: Array, numbers: Array
) -> tuple[Scaling, Seen]:
    """Return the units of the noise, and rows as it is looked for in them."""
    real = real_values(state.composition.layout)
    units, others = units_of(state, noise, real)
    given = state.scaling.backward(values)[:, real]
    exchanges = state.facts.get("exchanges")
    scores = np.zeros_like(given)
    if exchanges is not None:
        exchanges = Exchanges.from_header(exchanges)
        scores = exchanges.scores(given)
    outside = beyond(state, given, 0.0)
    return units, Seen(numbers, outside, units.forward(given), others, exchanges, scores)


def examined(
    state: State, seen: Seen, noise: Noise | None, level: float | None
) -> tuple[Noise, Array, Array | None]:
    """Return the noise, each row's level and what is known of which cells it hit."""
    values, (_, moments) = seen.values, seen.others.parts[0]
    if level is not None:
        return Noise("gaussian", level), np.full(len(values), level), None
    if np.isnan(seen.raw).all():
        # Nothing is known of rows without numbers but what they lack.
        return Noise("none"), np.zeros(len(values)), None
    if noise is not None:
        if noise.kind == "swap" and seen.exchanges is not None and len(values) >= _MANY_ROWS:
            share, _ = seen.exchanges.share(seen.scores, noise.level)
            noise = replace(noise, level=share)
        return noise, np.full(len(values), noise.level), None
    curve = LevelCurve(**state.facts["level_curve"])
    levels, overall, error = curve.levels_of(apparent_levels(moments, values))
    asked = state.facts["asked"]
    few = len(values) < FEWEST_ROWS
    if asked == "gaussian" or (few and asked == "auto"):
        if not levels.any():
            return Noise("none", error=error), levels, None
        # Where most rows have none, it is that of the others.
        overall = overall or float(np.median(levels[levels > 0]))
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


def known_ranges(state: State) -> tuple[Array, Array]:
    """Return the least and the greatest values of numbers in the rows of the fit, as given."""
    real = real_values(state.composition.layout)
    center, scale = state.scaling.center[real], state.scaling.scale[real]
    low, high = (
        np.array(state.facts["ranges"][side], dtype=np.float64) for side in ("low", "high")
    )
    return low * scale + center, high * scale + center


def beyond(state: State, numbers: Array, room: Array | float) -> Flags:
    """Return which numbers lie outside of their columns in the fit, by more than some room."""
    low, high = known_ranges(state)
    found: Flags = (numbers < low - room) | (numbers > high + room)
    return found
