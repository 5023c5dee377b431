"""What noise rows have: its kind, how strong it is, and which cells it hit.

Everything here is linear and works in the network's units: the rest of a row predicts each
of its cells (the best linear guess), and noise is what does not fit. A network comes after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.preprocess.filling import Fill, Moments, fit_moments

__all__ = [
    "KINDS",
    "Atom",
    "Noise",
    "Others",
    "hit_cells",
    "level_of_rows",
    "noise_floor",
    "noise_of",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

KINDS = ("none", "gaussian", "impulse", "swap")
"""None at all; added to every value; a fixed value in place of some; another row's value."""

_FOLDS = 6
_ROUNDS = 3
_BINS = 40
_FEWEST_IN_BIN = 60
_FEWEST_ROWS = 20
_LEAST_SHARE = 0.005
"""Share of cells that is the least to be called noise."""
_LEAST_FOUND = 0.1
"""Share of the cells that are hit of which it can be said, at least."""
_LEAST_SWAPPED = 0.04
"""The same for values of other rows: rows without noise have odd cells as well."""
_DENSE = 0.3
_FAR = 0.9
_OUT_OF_PLACE = 1.3
_LEVELS = np.geomspace(0.01, 8.0, 121)
_LARGE = 3.0
_LEAST_WIDTH = 0.02


@dataclass(frozen=True)
class Atom:
    """A value that noise puts in place of others.

    Attributes
    ----------
    values : tuple of float
        In each column, in the data's units; NaN where there is none.
    share : float
        Of all cells, that the noise puts there.
    places : tuple of float
        The values in the units that the noise was measured in.
    observed : tuple of float
        Share of the cells that have it, by how far above it the others expect them to be.
    edges : tuple of float
        Between which distances cells are taken together, in deviations of errors.
    """

    values: tuple[float, ...]
    share: float = 0.0
    places: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()

    def at(self, raw: Array) -> Flags:
        """Return which cells have the value."""
        found: Flags = raw == np.array(self.values)
        return found


@dataclass(frozen=True)
class Noise:
    """What is known of the noise in rows.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    level : float
        Standard deviation ("gaussian", in the network's units), or share of cells.
    error : float
        Standard error of the level.
    atoms : tuple of Atom
        For "impulse": the values that it puts in place of others.
    scales : tuple of float
        How wide the errors of what other cells say of each column are.
    spreads : tuple of float
        For "swap": how wide the column itself is.
    weights : tuple of float
        For "swap": shares of cells that are near what is expected, wide of it, exchanged.
    center, scale : tuple of float
        The units of all this, where they are not those of the network: values that are
        numbers are ``(x - center) / scale``.
    """

    kind: str
    level: float = 0.0
    error: float = 0.0
    atoms: tuple[Atom, ...] = ()
    scales: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether it takes the place of some values, and leaves all others alone."""
        return self.kind in ("impulse", "swap")

    def header(self) -> dict[str, Any]:
        """Return plain values from which `from_header` makes the same."""
        return asdict(self)

    @classmethod
    def from_header(cls, values: Mapping[str, Any]) -> Noise:
        """Return what `header` described."""
        atoms = tuple(
            Atom(
                tuple(atom["values"]),
                atom["share"],
                *(tuple(atom[name]) for name in ("places", "observed", "edges")),
            )
            for atom in values["atoms"]
        )
        names = ("scales", "spreads", "weights", "center", "scale")
        listed = {name: tuple(values[name]) for name in names}
        return cls(values["kind"], values["level"], values["error"], atoms, **listed)


class Others:
    """What the other cells of its row say of each cell, by moments of other rows.

    Parameters
    ----------
    parts : sequence of (ndarray of int or None, Moments)
        Which rows, None: all of them, and the moments that they are predicted by.
    """

    def __init__(self, parts: Sequence[tuple[Places | None, Moments]]) -> None:
        self.parts = [(slice(None) if rows is None else rows, part) for rows, part in parts]

    @classmethod
    def across(cls, values: Array) -> Others:
        """Predict either half of the rows by the moments of the other; NaN where missing.

        A row's own values would speak for themselves where columns are many.
        """
        places = np.arange(len(values))
        halves = places[0::2], places[1::2]
        moments = [fit_moments(values[half]) for half in halves]
        return cls(list(zip(halves, moments[::-1], strict=True)))

    @classmethod
    def noisy(cls, moments: Moments, values: Array) -> Others:
        """Predict noisy rows by the moments of rows without the noise.

        It shrinks all covariances of different columns by one factor, which is read off
        here, and leaves variances that are measured where rows are many.
        """
        clean = moments.covariance
        if len(values) < _FEWEST_ROWS:
            return cls([(None, moments)])
        mean = values.mean(0)
        found = np.cov(values.T, bias=True).reshape(clean.shape)
        apart = clean - np.diag(np.diag(clean))
        factor = float((found * apart).sum() / max(np.square(apart).sum(), 1e-300))
        covariance = min(max(factor, 0.05), 1.0) * apart
        variances = np.diag(found)
        least = np.linalg.eigvalsh(covariance + np.diag(variances))[0]
        variances = variances + max(0.0, 1e-6 - float(least))
        return cls([(None, Moments(mean, covariance + np.diag(variances)))])

    def expected(self, values: Array) -> Array:
        """Return conditional means, ``(rows, n_values)``, all other cells being right."""
        mean = np.empty_like(values)
        for rows, moments in self.parts:
            precision = moments.precision()
            centred = values[rows] - moments.mean
            mean[rows] = values[rows] - centred @ precision / np.diag(precision)
        return mean

    def restored(self, values: Array, suspect: Flags) -> Array:
        """Return the same given only the cells that are not suspect."""
        mean = np.empty_like(values)
        folds = np.random.default_rng(0).integers(0, _FOLDS, values.shape)
        for rows, moments in self.parts:
            fill = Fill(torch.from_numpy(moments.precision()))
            centred = torch.from_numpy(values[rows] - moments.mean)
            part = np.empty(centred.shape)
            for fold in range(_FOLDS):
                hidden = folds[rows] == fold
                with torch.inference_mode():
                    guess = fill(centred, torch.from_numpy(~(hidden | suspect[rows])))
                part[hidden] = guess.numpy()[hidden]
            mean[rows] = part + moments.mean
        return mean


def noise_floor(moments: Moments, n_rows: int) -> tuple[float, float, float]:
    """Estimate independent normal noise from the smallest variances along principal axes.

    Noise adds its variance to all of them, so that those of the rows alone which are near
    zero are all alike, but for chance (Marchenko and Pastur, 1967).

    Parameters
    ----------
    moments : Moments
        Of the noisy rows.
    n_rows : int
        How many they were measured on.

    Returns
    -------
    deviation : float
        Of the noise.
    error : float
        Its standard error.
    share : float
        Share of the axes on which there is nothing but noise.
    """
    variances = np.linalg.eigvalsh(moments.covariance)
    variances = variances[variances > 1e-9 * max(float(variances[-1]), 1e-300)]
    count = len(variances)
    means = np.cumsum(variances) / np.arange(1, count + 1)
    widest = np.square(1 + np.sqrt(np.arange(1, count + 1) / max(n_rows, 1)))
    alike = np.flatnonzero(variances <= widest * means)
    flat = int(alike[-1]) + 1 if len(alike) else 1
    # Of axes in a row from the smallest on: the last of the first run.
    breaks = np.flatnonzero(np.diff(alike) > 1)
    if len(breaks):
        flat = int(alike[breaks[0]]) + 1
    variance = float(means[flat - 1])
    error = math.sqrt(variance) / math.sqrt(2.0 * flat * max(n_rows, 1))
    return math.sqrt(max(variance, 0.0)), error, flat / max(count, 1)


def level_of_rows(moments: Moments, values: Array) -> tuple[Array, float, float]:
    """Estimate how strong normal noise is in each row, given what rows without noise are.

    By likelihood along the principal axes; how the strengths are spread over rows is
    estimated with them (Robbins, 1956), so that rows alike are treated alike.

    Parameters
    ----------
    moments : Moments
        Of rows without noise.
    values : ndarray of shape (rows, n_values)
        Centred.

    Returns
    -------
    levels : ndarray of shape (rows,)
        Deviations of the noise.
    level, error : float
        Root mean square over rows, and its standard error.
    """
    variances, axes = np.linalg.eigh(moments.covariance)
    variances = np.maximum(variances, 1e-6)
    squares = np.square(values @ axes)
    total = variances[None, :] + np.square(_LEVELS)[:, None]
    likelihood = -0.5 * (squares @ (1.0 / total).T + np.log(total).sum(1))
    likelihood -= likelihood.max(1, keepdims=True)
    chance = np.exp(likelihood)
    weights = np.full(len(_LEVELS), 1.0 / len(_LEVELS))
    for _ in range(50):
        joint = chance * weights
        share = joint / joint.sum(1, keepdims=True)
        weights = share.mean(0)
    levels = np.exp(share @ np.log(_LEVELS))
    level = float(np.sqrt(np.mean(np.square(levels))))
    information = 0.5 * np.square(2 * level / (variances + level**2)).sum() * len(values)
    return levels, level, 1.0 / math.sqrt(max(float(information), 1e-12))


def noise_of(
    others: Others, values: Array, raw: Array, deviation: float | None
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

    Returns
    -------
    noise : Noise
        What was found.
    chance : ndarray of shape (rows, n_values)
        That the noise hit a cell; zeros unless it takes the place of values.
    """
    mean = others.expected(values)
    atoms = _impulses(mean, values, raw)
    if atoms:
        scales = _widths(values - mean, None)
        noise = _measured(Noise("impulse", atoms=atoms), mean, values, raw, scales)
        return noise, _at_atoms(noise, mean, values, raw)
    noise = _swaps(values - mean, values)
    chance = _swapped(noise, values - mean, values) if noise.level else np.zeros_like(values)
    if noise.level > _LEAST_SWAPPED and (chance > 0.5).mean() > _LEAST_FOUND * noise.level:
        return noise, chance
    nothing = np.zeros_like(values)
    if deviation is None or deviation <= _LEVELS[0] * 1.5:
        return Noise("none"), nothing
    return Noise("gaussian", deviation), nothing


def hit_cells(
    others: Others,
    noise: Noise,
    values: Array,
    raw: Array,
    chance: Array | None = None,
) -> tuple[Noise, Array, Array]:
    """Say how likely each cell is hit, looking only at cells that are probably not.

    Parameters
    ----------
    others : Others
        What predicts the rows.
    noise : Noise
        Of a kind that takes the place of values.
    values, raw : ndarray of shape (rows, n_values)
        As in `noise_of`.
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
    known, mean = chance is None, values
    if chance is None:
        mean = Others.noisy(others.parts[0][1], values).expected(values)
        chance = _chance(noise, mean, values, raw)
    for _ in range(_ROUNDS):
        mean = others.restored(values, chance > 0.5)
        if not known and noise.kind == "swap":
            noise = _swaps(values - mean, values)
        elif not known:
            scales = _widths(values - mean, chance)
            noise = _measured(noise, mean, values, raw, scales)
        chance = _chance(noise, mean, values, raw)
    return noise, chance, mean


def _impulses(mean: Array, values: Array, raw: Array) -> tuple[Atom, ...]:
    """Look for values that stand where nothing in the row speaks for them.

    Among cells with about the same prediction a share has the value. Where the prediction
    is far from it, only noise puts it there: the least of these shares is the noise's.
    """
    fixed, extremes = _candidates(raw)
    scales = _widths(values - mean, None)
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


def _chance(noise: Noise, mean: Array, values: Array, raw: Array) -> Array:
    if noise.kind == "impulse":
        return _at_atoms(noise, mean, values, raw)
    return _swapped(noise, values - mean, values)


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


def _widths(residual: Array, chance: Array | None) -> Array:
    """Return the deviations of errors of cells that are probably not hit."""
    if chance is None:
        scales = 1.4826 * np.median(np.abs(residual), axis=0)
    else:
        right = 1.0 - chance
        scales = np.sqrt((right * np.square(residual)).sum(0) / np.maximum(right.sum(0), 1.0))
    least = max(_LEAST_WIDTH * float(np.sqrt(np.mean(np.square(scales)))), 1e-6)
    widths: Array = np.maximum(scales, least)
    return widths


def _measured(noise: Noise, mean: Array, values: Array, raw: Array, scales: Array) -> Noise:
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


def _at_atoms(noise: Noise, mean: Array, values: Array, raw: Array) -> Array:
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


def _swaps(residual: Array, values: Array) -> Noise:
    """Measure how many cells do not belong to their rows, by expectation maximisation.

    Errors of those that do are normal, some of them three times as wide; of the others as
    wide as the column itself.
    """
    spread = np.maximum(values.std(0), 1e-9)
    centre = np.median(values, axis=0)
    # A column that hardly varies but for a few cells has odd cells of its own.
    dense = 1.4826 * np.median(np.abs(values - centre), axis=0) > _DENSE * spread
    if not dense.any():
        return Noise("swap", spreads=tuple(spread.tolist()))
    residual, values = residual[:, dense], values[:, dense]
    least = 1e-3 * spread[dense]
    scale = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), least)
    weights = np.array([0.85, 0.1, 0.05])
    for _ in range(30):
        joint = _memberships(residual, values, scale, spread[dense], weights)
        weights = joint.mean((1, 2))
        own = joint[0] + joint[1] / _LARGE**2
        scale = np.sqrt((own * np.square(residual)).sum(0) / np.maximum(joint[:2].sum((0, 1)), 1.0))
        scale = np.maximum(scale, least)
    scales = np.full(len(spread), np.nan)
    scales[dense] = scale
    level = float(weights[2])
    error = math.sqrt(max(level, 1e-12) / values.size)
    widths = {"scales": scales, "spreads": spread, "weights": weights}
    listed = {name: tuple(array.tolist()) for name, array in widths.items()}
    return Noise("swap", level, error, **listed)


def _swapped(noise: Noise, residual: Array, values: Array) -> Array:
    """Return the chance that a cell's value is another row's."""
    scale, spread, weights = (np.array(p) for p in (noise.scales, noise.spreads, noise.weights))
    chance: Array = _memberships(residual, values, scale, spread, weights)[2]
    return np.nan_to_num(chance)


def _memberships(
    residual: Array, values: Array, scale: Array, spread: Array, weights: Array
) -> Array:
    near = np.exp(-0.5 * np.square(residual / scale)) / scale
    wide = np.exp(-0.5 * np.square(residual / (_LARGE * scale))) / (_LARGE * scale)
    elsewhere = np.exp(-0.5 * np.square(values / spread)) / spread
    joint = np.stack([weights[0] * near, weights[1] * wide, weights[2] * elsewhere])
    result: Array = joint / np.maximum(joint.sum(0), 1e-300)
    return result
