"""Noise that puts a fixed value in place of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from autoencode.noise_parts.description import Array, Atom, Flags, Noise
from autoencode.noise_parts.shares import (
    CHANCE,
    bins_of,
    distances_of,
    evenness,
    falling,
    least_share,
    shares_of,
)

__all__ = [
    "LEAST_SHARE",
    "Usual",
    "at_atoms",
    "impulses",
    "isolated",
    "measured",
    "outermost",
    "put_there",
    "strangers",
    "usual",
]

Usual = Mapping[float, float]
"""Values, and the share of cells of which others expect something else that have each."""

LEAST_SHARE = 0.005
"""Share of cells that is the least to be called noise."""
_LEAST_OWN = 0.01
"""The same of a value of each column's own: what is far out in any rows seems to be that."""
_FAR = 0.9
_OUT_OF_PLACE = 1.3
_LEAST_EVEN, _EVEN, _EVEN_ALONE, _MOST_OF_PIXELS = 0.5, 0.75, 0.9, 0.5
"""How much of its share a value of pictures has to keep where the prediction is still farther
from it: to be put there by noise as others are; to say so if it is out of place, and if nothing
else speaks for noise. And its greatest share."""
_SIDES = (slice(None, 10), slice(-10, None))
"""The least and the greatest values of a column, so many that the outermost may be rare."""
_ALL_NOISE = 1.2
"""Shares differ by chance: up to this multiple of the noise's it is all noise."""
_LEAST_UNUSUAL = 0.02
"""Share from which it is noise that a value is out of place more often than in rows without."""
_MOST_USUAL = 0.3
"""Share in rows without noise from which it says nothing that a value is out of place."""
_PLAINLY = 4.0
"""Standard errors of that share by which it is not chance."""
_SEVERAL, _APART, _GAP = 2, 1.0, 0.25
"""Columns in which a value lies apart, by how many times the range of all others, and by how
many where it is known that there is such noise."""
_FEWEST_ALIKE, _FEWEST_OTHERS, _MOST_COLUMNS = 3, 20, 0.75
_FEWEST_DISTINCT, _LEAST_PUT, _NEARLY_ALL = 10, 0.05, 0.95
"""Values of rows without noise, and shares of the cells that were hit which have one value that
noise puts there, and any such value, at least."""


def impulses(
    mean: Array,
    values: Array,
    raw: Array,
    scales: Array,
    known: Usual | None = None,
    *,
    pictures: bool = False,
) -> tuple[Atom, ...]:
    """Look for values that stand where nothing in the row speaks for them.

    Among cells with about the same prediction a share has the value. Where the prediction
    is far from it, only noise puts it there: the least of these shares is the noise's. Of
    a value that is known to stand there without noise too, it is what there is beyond that.
    In pictures noise puts the same values in all places, and as often however far from them
    the prediction is; without noise they are the fewer the farther it is.
    """
    fixed, extremes = _candidates(raw)
    if known is not None:
        fixed = [replace(atom, usual=known.get(_value(atom), 0.0)) for atom in fixed]
    best: tuple[Atom, ...] = ()
    most = 0.0
    for atoms in (fixed,) if pictures else (fixed, extremes):
        found, noise = [], False
        least = LEAST_SHARE if atoms is fixed else _LEAST_OWN
        for atom in atoms:
            at, distances = atom.at(raw), distances_of(atom, mean, values, raw, scales)
            share, error = least_share(at, distances)
            even = evenness(at, distances) if pictures else 1.0
            if share > least and even >= _LEAST_EVEN:
                found.append(atom)
                out = _stands_out(at, mean, values)
                if pictures:
                    out = share < _MOST_OF_PIXELS and even >= (_EVEN if out else _EVEN_ALONE)
                noise |= out or _is_unusual(atom, share, error)
        # Noise that puts one value anywhere is what the others come from as well.
        if noise:
            total = float(sum(atom.at(raw).mean() for atom in found))
            if total > most:
                best, most = tuple(found), total
    return best


def _is_unusual(atom: Atom, share: float, error: float) -> bool:
    """Say whether a value is out of place more often than in rows without noise."""
    beyond = max(_LEAST_UNUSUAL, _PLAINLY * error)
    return 0 < atom.usual < _MOST_USUAL and atom.unusual(share) > beyond


def isolated(raw: Array) -> tuple[Atom, ...]:
    """Return values that lie far beyond all others of their columns, in several of these.

    Such as -99999 for what is not known. One column alone may well have a value of its own
    that lies apart: 0 for a year of renovation.

    Parameters
    ----------
    raw : ndarray of shape (rows, n_values)
        As it was given; NaN where missing.
    """
    found = []
    for atom in _candidates(raw)[0]:
        at = atom.at(raw)
        places = np.flatnonzero(at.sum(0) >= _fewest(raw))
        beyond = [_is_beyond(raw[:, place], _value(atom), _APART) for place in places]
        if sum(beyond) >= max(_SEVERAL, _MOST_COLUMNS * len(beyond)):
            found.append(atom)
    return tuple(found)


def outermost(raw: Array, *, far: bool = False) -> tuple[Atom, ...]:
    """Return values that lie beyond all others, in whichever columns, with a gap between.

    Parameters
    ----------
    raw : ndarray of shape (rows, n_values)
        As it was given; NaN where missing.
    far : bool
        Whether the gap has to be wider than the range of all others.
    """
    gap = _APART if far else _GAP
    return _extremes_that(raw, lambda place, value: _is_beyond(raw[:, place], value, gap))


def strangers(raw: Array, outside: Flags) -> tuple[Atom, ...]:
    """Return the same, of values beyond all that rows without noise have.

    Parameters
    ----------
    raw : ndarray of shape (rows, n_values)
        As it was given; NaN where missing.
    outside : ndarray of bool, same shape
        Which cells lie beyond all that their columns have without noise.
    """
    return _extremes_that(
        raw,
        lambda place, value: (
            _is_beyond(raw[:, place], value, _GAP)
            and bool(outside[raw[:, place] == value, place].all())
        ),
    )


def put_there(raw: Array, hit: Flags) -> tuple[Atom, ...]:
    """Return the values that nearly all cells that were hit have; none where these have many.

    Parameters
    ----------
    raw : ndarray of shape (rows, n_values)
        As it was given; NaN where missing.
    hit : ndarray of bool, same shape
        Which cells have another value than without noise.
    """
    n_hit = int(hit.sum())
    if len(np.unique(raw[~hit & ~np.isnan(raw)])) < _FEWEST_DISTINCT:
        # Of so few values exchanged ones are common ones as well.
        return ()
    for atoms in _candidates(raw):
        kept = [atom for atom in atoms if (atom.at(raw) & hit).sum() > _LEAST_PUT * n_hit]
        at = np.any([atom.at(raw) for atom in kept], axis=0)
        if (at & hit).sum() >= _NEARLY_ALL * n_hit:
            return tuple(kept)
    return ()


def _extremes_that(raw: Array, are_noise: Callable[[int, float], bool]) -> tuple[Atom, ...]:
    """Return extremes of columns that are noise; in all of them where several have the same."""
    found = []
    for side in _SIDES:
        values = np.array([_commonest(column, side) for column in raw.T])
        common = (raw == values).sum(0) >= _fewest(raw)
        kept = [
            place
            for place in np.flatnonzero(common & ~np.isnan(values))
            if are_noise(int(place), float(values[place]))
        ]
        if kept:
            same = len(kept) >= _SEVERAL and len(set(values[kept])) == 1
            alone = np.where(np.isin(np.arange(len(values)), kept), values, np.nan)
            found.append(
                Atom(tuple((np.full_like(values, values[kept[0]]) if same else alone).tolist()))
            )
    return tuple(found)


def _fewest(raw: Array) -> float:
    """Return how many cells of a column have a value that noise puts there, at least."""
    return max(LEAST_SHARE * len(raw), _FEWEST_ALIKE)


def _is_beyond(column: Array, value: float, apart: float) -> bool:
    """Say whether a value is farther from all others than ``apart`` times their range.

    Not if it is most of what there is: it may be usual then, as black in the margin of pictures.
    """
    others = column[~(np.isnan(column) | (column == value))]
    if len(others) < max(_FEWEST_OTHERS, int((column == value).sum())):
        return False
    spread = float(others.max() - others.min())
    return bool(spread > 0 and np.abs(others - value).min() > apart * spread)


def usual(mean: Array, values: Array, raw: Array, scales: Array) -> dict[float, float]:
    """Return how often each common value is out of place in rows without noise."""
    return {
        _value(atom): least_share(atom.at(raw), distances_of(atom, mean, values, raw, scales))[0]
        for atom in _candidates(raw)[0]
    }


def _value(atom: Atom) -> float:
    return next(value for value in atom.values if not math.isnan(value))


def _stands_out(at: Flags, mean: Array, values: Array) -> bool:
    """Say whether a value is out of place far more often than others near it are.

    Another row's value is out of place as often as it is common.
    """
    counts = at.sum(0)
    used = counts > 0
    place = np.where(at, values, 0.0).sum(0) / np.maximum(counts, 1)
    distance = np.abs(mean - place)[:, used]
    limit = np.quantile(distance, _FAR)
    far = distance > limit
    if not far.any():
        return False
    near = (np.abs(values - place)[:, used] < limit / 4) & ~at[:, used]
    at = at[:, used]
    fewest = 1.0 / far.size
    here = at[far].mean() / (near[far].mean() + fewest)
    anywhere = at.mean() / (near.mean() + fewest)
    return bool(here > _OUT_OF_PLACE * anywhere)


def _candidates(raw: Array) -> tuple[list[Atom], list[Atom]]:
    """Return values that stand often: extremes and the commonest of all; extremes of each."""
    found, counts = np.unique(raw[~np.isnan(raw)], return_counts=True)
    if not len(found):
        return [], []
    often = dict(zip(found.tolist(), counts.tolist(), strict=True))
    least = max(LEAST_SHARE / 2 * raw.size, 20)
    width = raw.shape[1]
    values = dict.fromkeys([float(found[0]), float(found[-1]), float(found[int(counts.argmax())])])
    fixed = [Atom((value,) * width) for value in values if often[value] > least]
    extremes = []
    for side in _SIDES:
        atom = Atom(tuple(_commonest(column, side) for column in raw.T))
        if atom.at(raw).sum() > least + width:
            extremes.append(atom)
    return fixed, extremes


def _commonest(column: Array, side: slice) -> float:
    """Return the commonest of a column's outermost values; NaN if there is but one value."""
    found, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(found) < 2:
        return math.nan
    outer, often = found[side], counts[side]
    # The farther out, the fewer there would be without noise.
    far = np.square(outer - np.median(column[~np.isnan(column)]))
    return float(outer[int((often * far).argmax())])


def measured(noise: Noise, mean: Array, values: Array, raw: Array, scales: Array) -> Noise:
    """Return impulses with their shares, by what is expected."""
    atoms = []
    for atom in noise.atoms:
        at = atom.at(raw)
        counts = at.sum(0)
        place = np.where(at, values, 0.0).sum(0) / np.maximum(counts, 1)
        place[counts == 0] = np.nan
        atom = replace(atom, places=tuple(place.tolist()))
        distances = distances_of(atom, mean, values, raw, scales)
        edges = bins_of(distances)
        shares, counts = shares_of(at, distances, edges)
        shares = falling(shares, counts, int(np.searchsorted(edges, 0.0)))
        least, _ = least_share(at, distances)
        # Of a few cells the share may be greater by chance, and all of it noise.
        most = least + CHANCE * np.sqrt(least / np.maximum(counts, 1))
        shares = np.where(shares <= most, np.minimum(shares, least), shares)
        measured = (tuple(part.tolist()) for part in (shares, edges))
        observed, bounds = measured
        atoms.append(replace(atom, share=least, observed=observed, edges=bounds))
    level = sum(atom.unusual(atom.share) for atom in atoms)
    error = math.sqrt(max(level, 1e-12) / mean.size)
    return Noise("impulse", level, error, tuple(atoms), scales=tuple(scales.tolist()))


def at_atoms(noise: Noise, mean: Array, values: Array, raw: Array) -> Array:
    """Return the chance that noise put a cell's value there.

    Of the cells with the value and about this prediction, the noise's share of all cells
    are its own.
    """
    chance = np.zeros_like(mean)
    for atom in noise.atoms:
        at = atom.at(raw)
        distances = distances_of(atom, mean, values, raw, np.array(noise.scales))
        bins = np.searchsorted(np.array(atom.edges), np.nan_to_num(distances))
        ratio = np.minimum(_ALL_NOISE * atom.share / np.maximum(atom.observed, 1e-12), 1.0)
        chance[at] = np.maximum(chance[at], ratio[bins[at]])
    return chance
