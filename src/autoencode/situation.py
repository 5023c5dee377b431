"""What a denoising model is fitted to: clean rows, noisy rows, or pairs of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.interfaces import Layout
from autoencode.noise import (
    KINDS,
    Exchanges,
    Noise,
    Others,
    are_few,
    fixed_values,
    hit_cells,
    noise_of,
    put_there,
    suspects,
    variances_left,
)
from autoencode.noise_sample import Sample
from autoencode.preprocess.filling import fit_moments

__all__ = ["SITUATIONS", "Situation", "situation_of"]

Array = npt.NDArray[np.float64]

SITUATIONS = ("clean", "noisy", "pairs")

_MARGIN = 1.25
_LEAST_EXACT = 0.02
"""Share of values that noise leaves alone, from which it takes the place of the others."""
_LEAST_AT_ATOMS = 0.5
"""Share of the cells that noise hit whose value is one of those that it puts there."""
_SEEN = 0.8
"""Share of exchanged cells that is found while it is not known what goes together."""
_TURNS = 2
_CORRELATED = 0.1
_UNEVEN = 2.0


@dataclass(frozen=True)
class Situation:
    """What there is to learn from.

    Attributes
    ----------
    name : str
        One of `SITUATIONS`.
    noise : Noise
        What is known of it before the fit, in the network's units.
    rows : Rows
        To fit to.
    target : Rows or None
        What is to come out, where it is not the rows.
    corruption : str
        How rows are spoilt in training.
    """

    name: str
    noise: Noise
    rows: Rows
    target: Rows | None
    corruption: str


def situation_of(
    rows: Rows, target: Rows | None, layout: Layout, scaling: str, noise: str, given: str
) -> Situation:
    """Find out what kind of noise is to be learned, from what was given.

    Parameters
    ----------
    rows : Rows
        Clean or noisy.
    target : Rows or None
        The same rows without noise, where they are known.
    layout : Layout
        What the values are.
    scaling : str
        As for `fit_scaling`.
    noise : str
        "auto", or one of `KINDS` but "none".
    given : str
        "auto", "clean" or "noisy": what the rows are.

    Returns
    -------
    Situation
        All that a fit needs to know.

    Raises
    ------
    DataError
        If the noise of one value goes with that of others: it cannot be told from the rows.
    """
    if noise not in ("auto", *KINDS[1:]):
        raise SpecError(f"noise={noise!r} is not known; choose from auto, {', '.join(KINDS[1:])}")
    if given not in ("auto", "clean", "noisy"):
        raise SpecError(f"rows={given!r} is not known; choose from auto, clean, noisy")
    sample = Sample(rows if target is None else target, layout, scaling)
    if target is not None:
        return _pairs(sample, rows, target)
    if given == "clean":
        return _clean(sample, rows, noise)
    found, chance = sample.noise(noise, noisy=given == "noisy")
    if given == "noisy":
        sample.require_plain(found, asked=noise)
    if found.kind == "none" or (given == "auto" and not sample.plain(found)):
        return _clean(sample, rows, noise)
    if found.kind == "gaussian":
        return _noisy_values(sample, found, rows)
    return _noisy_cells(sample, found, chance, rows)


def _clean(sample: Sample, rows: Rows, noise: str) -> Situation:
    corruption = {
        "auto": "restoring",
        "gaussian": "restoring:swap=None,hidden=None",
        "impulse": "restoring:noise=None,swap=None",
        "swap": "restoring:noise=None",
    }[noise]
    pictures = len(rows.sample_shape) > 1
    if noise == "auto" and (pictures or Exchanges.fitting(sample.raw) is not None):
        # Cells that are seen to be exchanged are restored as missing ones; in pictures none are.
        corruption = "restoring:swap=None"
    return Situation("clean", Noise("none"), rows, None, corruption)


def _noisy_values(sample: Sample, found: Noise, rows: Rows) -> Situation:
    """Take rows that are as spread as clean ones would be for these.

    Along each principal axis they are shrunk to the variance that is left without the
    noise: less than the best guess of each row would be, since guesses are alike.
    """
    variances, clean, axes = variances_left(sample.moments, found.level, sample.variances)
    factors = np.sqrt(clean / np.maximum(variances, 1e-300))
    _, _, values = sample.read(rows, np.arange(rows.n_rows))
    missing = np.isnan(values)
    values = sample.complete(values) - sample.moments.mean
    values = (values @ axes * factors) @ axes.T + sample.moments.mean
    restored = sample.replaced(rows, np.where(missing, np.nan, values))
    # Rows with less variance have a smaller unit.
    ratio = math.sqrt(variances.sum() / max(clean.sum(), 1e-300))
    found = replace(found, level=found.level * ratio, error=found.error * ratio)
    level = f"({found.level / _MARGIN!r}, {found.level * _MARGIN!r})"
    corruption = f"restoring:noise={level},swap=None,hidden=None"
    return Situation("noisy", found, restored, None, corruption)


def _noisy_cells(sample: Sample, found: Noise, chance: Array, rows: Rows) -> Situation:
    """Take cells that were probably hit for missing ones."""
    if found.kind == "swap" and (before := Exchanges.fitting(sample.raw)) is not None:
        return _exchanged_cells(sample, found, before, rows)
    for turn in range(_TURNS):
        holed = sample.without(suspects(found, chance, 1, seed=turn)[0])
        others = Others.across(holed, sample.around)
        found, chance, _ = hit_cells(others, found, sample.values, sample.given, chance)
    places = np.arange(rows.n_rows)
    _, numbers, values = sample.read(rows, places)
    given = np.isnan(values)
    values = sample.complete(values)
    if len(places) > len(holed):
        others = Others([(None, fit_moments(holed))], sample.around)
        _, chance, _ = hit_cells(others, found, values, numbers)
    values[suspects(found, chance, 1, seed=_TURNS)[0] | given] = np.nan
    without = sample.replaced(rows, values)
    return Situation("noisy", sample.own(found), without, None, _against(found))


def _exchanged_cells(sample: Sample, found: Noise, before: Exchanges, rows: Rows) -> Situation:
    """Take cells for missing ones that were exchanged in one draw of those that may be.

    Each by itself being more likely exchanged than not would leave what goes together
    best, and rows would seem more alike than they are.
    """
    complete = sample.values * sample.scaling.scale[sample.real]
    before, share = Exchanges.before(
        complete + sample.scaling.center[sample.real], found.level / _SEEN
    )
    places = np.arange(rows.n_rows)
    _, _, values = sample.read(rows, places)
    given = np.isnan(values)
    values = sample.complete(values)
    raw = values * sample.scaling.scale[sample.real] + sample.scaling.center[sample.real]
    _, drawn = before.hits(before.scores(raw), share)
    values[drawn[-1] | given] = np.nan
    found = replace(sample.own(found), level=share)
    without = sample.replaced(rows, values)
    return Situation("noisy", found, without, None, _against(found))


def _pairs(sample: Sample, rows: Rows, target: Rows) -> Situation:
    """Learn from clean rows with fresh noise of the kind that the pairs show."""
    _, raw, values = sample.read(rows, sample.places)
    wanted, noisy = sample.values, sample.complete(values)
    counted = ~(sample.missing | np.isnan(values))
    step = np.where(counted, noisy - wanted, 0.0)
    hit = np.abs(step) > 1e-9
    touched = hit.any(0)
    if sample.missing.all():
        raise DataError("target has no value that is a number and is not missing")
    if not touched.any():
        raise DataError("X and target are the same: there is no noise to learn from")
    counted &= touched
    share = float(hit.sum() / max(counted.sum(), 1))
    if share < 1 - _LEAST_EXACT:
        noise = _replaced(sample, noisy, raw, hit, share)
        return Situation("pairs", sample.own(noise), target, None, _against(noise))
    levels = np.sqrt(np.square(step).sum(1) / np.maximum(counted.sum(1), 1))
    level = float(np.sqrt(np.square(step).sum() / max(counted.sum(), 1)))
    noise = Noise("gaussian", level, level / np.sqrt(2 * counted.sum()))
    if not _is_white(step):
        # Not noise of a kind that could be drawn anew: the pairs themselves are all there is.
        return Situation("pairs", noise, rows, target, "none")
    lowest, highest = np.quantile(levels, [0.02, 0.98])
    spread = f"({float(lowest) / _MARGIN!r}, {float(highest) * _MARGIN!r})"
    corruption = f"restoring:noise={spread},swap=None,hidden=None"
    return Situation("pairs", noise, target, None, corruption)


def _against(noise: Noise) -> str:
    """Return how rows are spoilt so that what took the place of values can be undone."""
    if noise.kind == "impulse":
        return "restoring:noise=None,swap=None"
    lowest, highest = noise.level / _MARGIN, min(noise.level * _MARGIN, 1.0)
    return f"restoring:noise=None,swap=({lowest!r}, {highest!r})"


def _replaced(
    sample: Sample, noisy: Array, raw: Array, hit: npt.NDArray[np.bool_], share: float
) -> Noise:
    """Return noise that takes the place of values, measured where it is known to be."""
    others = Others.noisy(sample.moments, noisy, sample.around)
    if atoms := put_there(raw, hit):
        found, chance = fixed_values(atoms, raw)
    else:
        found, chance = noise_of(others, noisy, raw, None)
    # Among exchanged values there are common ones as well: of impulses nearly all are atoms.
    at = np.any([atom.at(raw) for atom in found.atoms], axis=0)
    if found.kind != "impulse" or (at & hit).sum() < _LEAST_AT_ATOMS * hit.sum():
        found = Noise("swap")
    chance = hit.astype(np.float64)
    # By other rows where these are few: rows that it will be looked for in were not seen either.
    others = Others([(None, sample.moments)], sample.around)
    if are_few(*noisy.shape):
        others = Others.across(sample.values, sample.around)
    found, _, _ = hit_cells(others, found, noisy, raw, chance)
    if found.kind == "swap":
        if not found.weights:
            return replace(found, level=share)
        weights = (*((1 - share) * w / (1 - found.weights[2]) for w in found.weights[:2]), share)
        return replace(found, level=share, weights=weights)
    # Where the value was another one before, noise alone put this one there.
    shares = []
    for atom in found.atoms:
        others_before = ~atom.at(sample.given)
        put = float((hit & atom.at(raw)).sum() / max(others_before.sum(), 1))
        shares.append(replace(atom, share=put))
    return replace(found, level=sum(atom.share for atom in shares), atoms=tuple(shares))


def _is_white(step: Array) -> bool:
    """Say whether noise is as strong in all columns, and that of each is its own."""
    deviations = step.std(0)
    used = deviations > 0
    if not used.any() or deviations[used].max() > _UNEVEN * deviations[used].min():
        return False
    count = int(used.sum())
    if count < 2:
        return True
    correlation = np.asarray(np.corrcoef(step[:, used].T))
    others = (np.square(correlation).sum() - count) / (count * (count - 1))
    return bool(others < 1 / len(step) + _CORRELATED**2)
