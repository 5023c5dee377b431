"""Noise that puts a fixed value in place of others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from autoencode.noise_parts.description import Array, Atom, Flags, Noise, Places

__all__ = ["at_atoms", "impulses", "measured", "widths"]

_BINS = 40
_FEWEST_IN_BIN = 60
_LEAST_SHARE = 0.005
"""Share of cells that is the least to be called noise."""
_FAR = 0.9
_OUT_OF_PLACE = 1.3
_LEAST_WIDTH = 0.02


def impulses(mean: Array, values: Array, raw: Array) -> tuple[Atom, ...]:
    """Look for values that stand where nothing in the row speaks for them.

    Among cells with about the same prediction a share has the value. Where the prediction
    is far from it, only noise puts it there: the least of these shares is the noise's.
    """
    fixed, extremes = _candidates(raw)
    scales = widths(values - mean, None)
    for atoms in (fixed, extremes):
        often = [
            atom
            for atom in atoms
            if _least_share(atom.at(raw), _distances(atom, mean, values, raw, scales))
            > _LEAST_SHARE
        ]
        # Noise that puts one value anywhere is what the others come from as well.
        if any(_stands_out(atom.at(raw), mean, values) for atom in often):
            return tuple(often)
    return ()


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
    near = (np.abs(values - place)[:, used] < limit / 4) & ~at[:, used]
    at = at[:, used]
    fewest = 1.0 / far.size
    here = at[far].mean() / (near[far].mean() + fewest)
    anywhere = at.mean() / (near.mean() + fewest)
    return bool(here > _OUT_OF_PLACE * anywhere)


def _candidates(raw: Array) -> tuple[list[Atom], list[Atom]]:
    """Return values that stand often: extremes and the commonest of all; extremes of each."""
    found, counts = np.unique(raw, return_counts=True)
    often = dict(zip(found.tolist(), counts.tolist(), strict=True))
    least = max(_LEAST_SHARE / 2 * raw.size, 20)
    width = raw.shape[1]
    values = dict.fromkeys([float(found[0]), float(found[-1]), float(found[int(counts.argmax())])])
    fixed = [Atom((value,) * width) for value in values if often[value] > least]
    varying = np.ptp(raw, axis=0) > 0
    extremes = []
    for extreme in (raw.min(0), raw.max(0)):
        atom = Atom(tuple(np.where(varying, extreme, np.nan).tolist()))
        if atom.at(raw).sum() > least + width:
            extremes.append(atom)
    return fixed, extremes


def _distances(atom: Atom, mean: Array, values: Array, raw: Array, scales: Array) -> Array:
    """Return how many deviations of its error what is expected lies above the value."""
    if atom.places:
        place = np.array(atom.places)
    else:
        at = atom.at(raw)
        counts = at.sum(0)
        place = np.where(at, values, 0.0).sum(0) / np.maximum(counts, 1)
        place[counts == 0] = np.nan
    distances: Array = (mean - place) / scales
    return distances


def _edges(distances: Array) -> Array:
    """Return the bounds of a few bins with as many cells each."""
    edges: Array = np.nanquantile(distances, np.linspace(0, 1, _BINS + 1)[1:-1])
    return edges


def _shares(at: Flags, distances: Array, edges: Array) -> tuple[Array, Places]:
    """Return in each bin the share of cells that are marked, and the number of cells."""
    used = ~np.isnan(distances)
    places = np.searchsorted(edges, distances[used])
    counts = np.bincount(places, minlength=len(edges) + 1)
    hits = np.bincount(places, weights=at[used], minlength=len(edges) + 1)
    return hits / np.maximum(counts, 1), counts


def _least_share(at: Flags, distances: Array) -> float:
    shares, counts = _shares(at, distances, _edges(distances))
    used = np.sort(shares[counts >= _FEWEST_IN_BIN])
    return float(used[: max(1, len(used) // 10)].mean()) if len(used) else 0.0


def widths(residual: Array, chance: Array | None) -> Array:
    """Return the deviations of errors of cells that are probably not hit."""
    if chance is None:
        scales = 1.4826 * np.median(np.abs(residual), axis=0)
    else:
        right = 1.0 - chance
        scales = np.sqrt((right * np.square(residual)).sum(0) / np.maximum(right.sum(0), 1.0))
    least = max(_LEAST_WIDTH * float(np.sqrt(np.mean(np.square(scales)))), 1e-6)
    widths: Array = np.maximum(scales, least)
    return widths


def measured(noise: Noise, mean: Array, values: Array, raw: Array, scales: Array) -> Noise:
    """Return impulses with their shares, by what is expected."""
    atoms = []
    for atom in noise.atoms:
        at = atom.at(raw)
        counts = at.sum(0)
        place = np.where(at, values, 0.0).sum(0) / np.maximum(counts, 1)
        place[counts == 0] = np.nan
        atom = replace(atom, places=tuple(place.tolist()))
        distances = _distances(atom, mean, values, raw, scales)
        edges = _edges(distances)
        shares, _ = _shares(at, distances, edges)
        least = _least_share(at, distances)
        measured = (tuple(part.tolist()) for part in (shares, edges))
        observed, bounds = measured
        atoms.append(replace(atom, share=least, observed=observed, edges=bounds))
    level = sum(atom.share for atom in atoms)
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
        distances = _distances(atom, mean, values, raw, np.array(noise.scales))
        bins = np.searchsorted(np.array(atom.edges), np.nan_to_num(distances))
        ratio = np.minimum(atom.share / np.maximum(atom.observed, 1e-12), 1.0)
        chance[at] = np.maximum(chance[at], ratio[bins[at]])
    return chance
