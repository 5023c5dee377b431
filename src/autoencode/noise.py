"""What noise rows have: its kind, how strong it is, and which cells it hit.

Everything here is linear and works in the network's units: the rest of a row predicts each
of its cells (the best linear guess), and noise is what does not fit. A network comes after.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from autoencode.noise_parts.around import Around
from autoencode.noise_parts.description import KINDS, Array, Atom, Noise
from autoencode.noise_parts.exchanges import Exchanges
from autoencode.noise_parts.impulses import (
    LEAST_SHARE,
    Usual,
    at_atoms,
    impulses,
    isolated,
    measured,
    outermost,
    put_there,
    strangers,
    usual,
)
from autoencode.noise_parts.levels import (
    FEWEST_ROWS,
    LEAST_LEVEL,
    LevelCurve,
    apparent_levels,
    floor_apart,
    is_normal,
    noise_floor,
    variances_apart,
    variances_left,
)
from autoencode.noise_parts.others import Others, are_few
from autoencode.noise_parts.swaps import copies, gain_of, nats_without, swapped, swaps
from autoencode.preprocess.filling import Moments

__all__ = [
    "FEWEST_ROWS",
    "KINDS",
    "LEAST_LEVEL",
    "Around",
    "Atom",
    "Exchanges",
    "LevelCurve",
    "Noise",
    "Others",
    "apparent_levels",
    "are_few",
    "fixed_values",
    "floor_apart",
    "hit_cells",
    "is_normal",
    "isolated",
    "noise_beside",
    "noise_floor",
    "noise_of",
    "noise_or_copies",
    "outermost",
    "put_there",
    "strangers",
    "suspects",
    "usual",
    "variances_apart",
    "variances_left",
]

_ROUNDS, _FEWER_ROUNDS = 3, 2
"""In which cells that were hit are found; in pictures the pixels around tell sooner."""
_LEAST_COPIED = 0.1
"""Share of the copies that exchanged values would be, from which they may be that."""
_MANY_ROWS = 50
_LEAST_GAIN = 0.01
"""Nats per cell by which rows are likelier if some values are other rows' than if none is."""
_LEAST_HITS, _LEAST_SURE = 0.005, 0.03
"""Shares of cells that are likelier another row's than not, and of exchanged cells, from which
they are noise: a cell in a few hundred is odd in any rows."""
_LEAST_SHOWN = 5e-4
"""The same at least where errors are normal for sure: where the guess explains nothing."""
_LEAST_FOUND = 0.1
"""Share of the cells that are hit of which it can be said, at least."""
_LEAST_SWAPPED = 0.04
"""Share of exchanged cells from which it is noise: rows without it have odd cells as well."""
_FEWEST_SWAPPED = 4
"""Exchanged cells from which there are any, where no other noise is looked for."""
_HARDLY = 0.1
"""Chance below which a cell is taken to be right; it may as well be hit as far above."""
_FIRST_SHARE = 0.1
_RARE, _RARER = 4.0, 3.0
_LEAST_PLAIN_GAIN = 0.1
"""The same as `_LEAST_GAIN` where it is known how rows are without noise."""


def noise_of(
    others: Others,
    values: Array,
    raw: Array,
    deviation: float | None,
    asked: str = "auto",
    known: Usual | None = None,
) -> tuple[Noise, Array]:
    """Say which kind of noise rows have, by what their other cells do not explain.

    Parameters
    ----------
    others : Others
        What predicts the rows.
    values, raw : ndarray of shape (rows, n_values)
        Centred and scaled, and as they were given.
    deviation : float or None
        Of the normal noise that there is if there is no other.
    asked : str
        "auto", or the only kind to look for, of those that take the place of values.
    known : mapping of float to float, optional
        Common values of rows without noise, and how often they are out of place there.

    Returns
    -------
    noise : Noise
        What was found.
    chance : ndarray of shape (rows, n_values)
        That the noise hit a cell; zeros unless it takes the place of values.
    """
    mean = others.expected(values)
    nothing = np.zeros_like(values)
    swap, chance, shown = _swapped(mean, values) if asked != "impulse" else (None, nothing, 0.0)
    # A common value is out of place more often than usual where cells were exchanged, too.
    known = None if shown else known
    scales = others.widths(values, mean)
    pictures = others.around is not None
    atoms: tuple[Atom, ...] = ()
    if asked != "swap":
        atoms = impulses(mean, values, raw, scales, known, pictures=pictures)
    if atoms:
        noise = measured(Noise("impulse", atoms=atoms), mean, values, raw, scales)
        # Common values are out of place as well where cells were exchanged.
        if noise.level > LEAST_SHARE and shown <= _RARER * noise.level:
            return noise, at_atoms(noise, mean, values, raw)
    if swap is not None and (shown or (asked == "swap" and swap.level)):
        return swap, chance
    if asked == "impulse" or deviation is None or deviation <= LEAST_LEVEL:
        return Noise("none"), nothing
    return Noise("gaussian", deviation), nothing


def noise_or_copies(
    others: Others,
    values: Array,
    raw: Array,
    deviation: float,
    known: Usual | None = None,
    *,
    sampled: float = 1.0,
) -> tuple[Noise, Array]:
    """Return the same; exchanged values are to be copies of others, and are not in pictures.

    ``sampled`` is the share of the rows, among all, that are given.
    """
    found, chance = noise_of(others, values, raw, deviation, known=known)
    pictures = others.around is not None
    if found.kind == "swap" and (pictures or copies(raw) < _LEAST_COPIED * found.level * sampled):
        found, chance = noise_of(others, values, raw, None, "impulse", known)
        if found.kind == "none" and deviation > LEAST_LEVEL:
            found = Noise("gaussian", deviation)
    return found, chance


def _swapped(mean: Array, values: Array) -> tuple[Noise, Array, float]:
    """Measure exchanged values, and say which share of the cells they are for sure.

    That is read off errors of the best linear guess without chance correlations, which are
    normal if the noise is; those of rows with little noise may have wide tails of their own.
    """
    noise = swaps(values - mean, values)
    if not noise.level:
        return noise, np.zeros_like(values), 0.0
    chance = swapped(noise, values - mean, values)
    likely = (chance > 0.5).mean() > _LEAST_FOUND * noise.level > _LEAST_FOUND * _LEAST_SWAPPED
    likely = likely and gain_of(noise, values - mean, values) > _LEAST_GAIN
    error = values - Others.shrunk(values).expected(values)
    sure = swaps(error, values)
    explained = max(1.0 - np.square(error).mean() / max(float(values.var()), 1e-12), 0.0)
    least = max(_LEAST_GAIN * explained**2, _LEAST_SHOWN)
    found = (swapped(sure, error, values) > 0.5).mean() > _LEAST_HITS
    shown = found or (likely and sure.level > _LEAST_SURE)
    if not shown or gain_of(sure, error, values) <= least:
        return noise, chance, 0.0
    return noise, chance, sure.level


def noise_beside(
    exchanges: Exchanges,
    scores: Array,
    values: Array,
    raw: Array,
    others: Others,
    deviation: float,
    asked: str = "auto",
) -> tuple[Noise, Array]:
    """Say the same of rows of which it is known how they are without noise.

    Parameters
    ----------
    exchanges : Exchanges
        What is known.
    scores : ndarray of shape (rows, n_values)
        The rows on its scale.
    values, raw, others, deviation, asked
        As in `noise_of`.

    Returns
    -------
    noise : Noise
        What was found.
    chance : ndarray of shape (rows, n_values)
        That impulses hit a cell.
    """
    nothing = np.zeros_like(values)
    share, nats = exchanges.share(scores, _FIRST_SHARE)
    swap = Noise("swap", share, math.sqrt(share / scores.size))
    if asked == "swap":
        return (swap if share * scores.size > _FEWEST_SWAPPED else Noise("none")), nothing
    found, chance = noise_of(others, values, raw, None, "impulse")
    if asked == "impulse":
        return found, chance
    correlation = np.array(exchanges.correlation)
    moments = Moments(np.zeros(len(correlation)), correlation)
    residual = scores - Others.noisy(moments, scores).expected(scores)
    # A common value of a column is out of place where it was exchanged.
    plain = swap.level > max(_LEAST_SWAPPED, _RARE * found.level)
    if plain and nats - nats_without(residual) > _LEAST_PLAIN_GAIN:
        return swap, nothing
    if found.kind == "none" and deviation > LEAST_LEVEL:
        found = Noise("gaussian", deviation)
    return found, chance


def fixed_values(atoms: Sequence[Atom], raw: Array) -> tuple[Noise, Array]:
    """Return values that noise puts in place of others, and which cells have them."""
    hit = np.any([atom.at(raw) for atom in atoms], axis=0)
    return Noise("impulse", float(hit.mean()), atoms=tuple(atoms)), hit.astype(np.float64)


def hit_cells(
    others: Others,
    noise: Noise,
    values: Array,
    raw: Array,
    chance: Array | None = None,
) -> tuple[Noise, Array, Array]:
    """Say how likely each cell is hit, looking only at cells that are probably not.

    Those that are missing say nothing of any other.

    Parameters
    ----------
    others : Others
        What predicts the rows.
    noise : Noise
        Of a kind that takes the place of values.
    values, raw : ndarray of shape (rows, n_values)
        As in `noise_of`; raw ones are NaN where they are missing.
    chance : ndarray of shape (rows, n_values), optional
        What that returned; without it, the noise is taken to be as it was measured before.

    Returns
    -------
    noise : Noise
        With a better level.
    chance : ndarray of shape (rows, n_values)
        Anew.
    mean : ndarray of shape (rows, n_values)
        What cells that are probably right say of each.
    """
    known, mean, missing = chance is None, values, np.isnan(raw)
    if chance is None:
        rest = Others.noisy(others.parts[0][1], values, others.around)
        mean = rest.expected(values)
        many = noise.kind == "swap" and len(values) >= _MANY_ROWS
        start = swaps(values - mean, values) if many else noise
        chance = _chance(start, mean, values, raw)
    for turn in range(_ROUNDS if others.around is None else _FEWER_ROUNDS):
        suspect = suspects(noise, chance, 1, seed=turn)[0] | missing
        mean = others.restored(values, suspect)
        if noise.kind == "swap" and (not known or len(values) >= _MANY_ROWS):
            # Errors are wider as long as some of the cells that are hit are not known.
            noise = swaps(values - mean, values)
        elif noise.kind == "impulse" and not known:
            scales = others.widths(values, mean, suspect.astype(np.float64))
            noise = measured(noise, mean, values, raw, scales)
        chance = _chance(noise, mean, values, raw)
    return noise, chance, mean


def suspects(noise: Noise, chance: Array, draws: int, seed: int = 0) -> npt.NDArray[np.bool_]:
    """Return which cells may be hit, ``(draws, rows, n_values)``.

    Impulses are drawn by their chance: a common value is often right where it is likelier
    hit than not, and were all such cells left out, nothing would speak for it any more.
    """
    if noise.kind != "impulse":
        return np.repeat((chance > 0.5)[None], draws, axis=0)
    generator = np.random.default_rng(seed)
    sure = np.where(chance < _HARDLY, 0.0, np.where(chance > 1 - _HARDLY, 1.0, chance))
    return generator.random((draws, *chance.shape)) < sure


def _chance(noise: Noise, mean: Array, values: Array, raw: Array) -> Array:
    if noise.kind == "impulse":
        return at_atoms(noise, mean, values, raw)
    return swapped(noise, values - mean, values)
