"""How often a value stands in cells, by how far it is from what the others expect of them."""

from __future__ import annotations

import math

import numpy as np
from sklearn.isotonic import isotonic_regression

from autoencode.noise_parts.description import Array, Atom, Flags, Places

__all__ = [
    "CHANCE",
    "bins_of",
    "distances_of",
    "evenness",
    "falling",
    "least_share",
    "shares_of",
    "widths",
]

_BINS = 40
_FEWEST_IN_BIN = 100
_LEAST_WIDTH = 0.02
_FAR_OFF = (3.0, 4.0, 6.0, 8.0, 12.0)
_FEWEST_FAR = 0.002
"""Share of the cells that are so far off, at least, where shares are compared."""
CHANCE = 2.0
"""Standard errors by which shares differ by chance."""


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


def distances_of(atom: Atom, mean: Array, values: Array, raw: Array, scales: Array) -> Array:
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


def bins_of(distances: Array) -> Array:
    """Return the bounds of a few bins with as many cells each."""
    bins = int(np.clip(distances.size // (2 * _FEWEST_IN_BIN), 4, _BINS))
    edges: Array = np.nanquantile(distances, np.linspace(0, 1, bins + 1)[1:-1])
    return edges


def shares_of(at: Flags, distances: Array, edges: Array) -> tuple[Array, Places]:
    """Return in each bin the share of cells that are marked, and the number of cells."""
    used = ~np.isnan(distances)
    places = np.searchsorted(edges, distances[used])
    counts = np.bincount(places, minlength=len(edges) + 1)
    hits = np.bincount(places, weights=at[used], minlength=len(edges) + 1)
    return hits / np.maximum(counts, 1), counts


def falling(shares: Array, counts: Places, nearest: int) -> Array:
    """Return shares by bin without what is chance: the farther off, the fewer have the value.

    Of a value that noise puts anywhere some bin has many by chance, and noise alone put
    them there, as next to it.
    """
    result = shares.copy()
    for side, rising in ((slice(None, nearest + 1), True), (slice(nearest, None), False)):
        weight = np.maximum(counts[side], 1e-9)
        result[side] = isotonic_regression(shares[side], sample_weight=weight, increasing=rising)
    return result


def least_share(at: Flags, distances: Array) -> tuple[float, float]:
    """Return the share of cells with the value where the others speak against it, and its error.

    Of cells so far from what is expected that hardly any has the value by itself; how far
    that is, is seen from the shares.
    """
    found = _far_off(at, distances, _FEWEST_IN_BIN)
    if not found:
        by_bin, counts = shares_of(at, distances, bins_of(distances))
        used = counts >= _FEWEST_IN_BIN
        order = np.argsort(by_bin[used])[: max(1, int(used.sum()) // 5)]
        if not len(order):
            return 0.0, 0.0
        found = [(float(by_bin[used][order].mean()), float(counts[used][order].sum()))]
    # The nearest limit whose share is, but for chance, no more than those farther out: what
    # is least of several shares is too low (Lepski, 1990).
    least = 1.0
    for share, count in reversed(found):
        if share > least:
            break
        chosen = share, _error(share, count)
        least = min(least, share + CHANCE * chosen[1])
    return chosen


def evenness(at: Flags, distances: Array) -> float:
    """Return which share of the cells with the value is left farthest off, beside less far.

    But for chance; noise that stands anywhere has 1, and what is rarer and rarer has 0.
    """
    found = _far_off(at, distances, max(_FEWEST_IN_BIN, int(_FEWEST_FAR * at.size)))
    if len(found) < 2:
        return 0.0
    (before, _), (share, count) = found[-2:]
    return (share + CHANCE * _error(share, count)) / max(before, 1e-12)


def _far_off(at: Flags, distances: Array, fewest: int) -> list[tuple[float, float]]:
    """Return the share of cells that are marked beyond each limit, and how many they are of."""
    found = []
    for limit in _FAR_OFF:
        beyond = np.abs(distances) > limit
        if beyond.sum() >= fewest:
            found.append((float(at[beyond].mean()), float(beyond.sum())))
    return found


def _error(share: float, count: float) -> float:
    return math.sqrt((share + 1 / count) / count)
