"""What a denoising model is fitted to: clean rows, noisy rows, or pairs of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.arrays import open_array
from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.interfaces import Layout
from autoencode.noise import (
    KINDS,
    LEAST_LEVEL,
    Exchanges,
    Noise,
    Others,
    are_few,
    copies,
    floor_apart,
    hit_cells,
    is_normal,
    noise_floor,
    noise_of,
    suspects,
    variances_apart,
)
from autoencode.preprocess.filling import Fill, fit_moments
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.preprocess.table_rows import TableRows

__all__ = ["SITUATIONS", "Situation", "situation_of"]

Array = npt.NDArray[np.float64]

SITUATIONS = ("clean", "noisy", "pairs")

_MOST_ROWS = 4000
_MARGIN = 1.25
_LEAST_COPIED = 0.1
"""Share of the copies that exchanged values would be, from which they may be that."""
_FEWEST_AXES, _LEAST_FLAT = 2, 0.05
"""Axes with nothing but noise, and their share, from which rows are taken to be noisy."""
_FEW_A_COLUMN, _LEAST_COLUMN = 4, 1.5
"""For fewer rows, noise is plain if some column has not much more variance than it."""
_MANY_AXES = 16
"""Axes that are enough, whatever their share."""
_LEAST_PLAIN = 0.05
"""Deviation of normal noise, where rows have 1, from which they are taken to be noisy."""
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
    sample = _Sample(rows if target is None else target, layout, scaling)
    if target is not None:
        return _pairs(sample, rows, target)
    if given == "clean":
        return _clean(sample, rows, noise)
    found, chance = sample.noise(noise)
    if given == "noisy":
        sample.require_plain(found)
    if found.kind == "none" or (given == "auto" and not sample.plain(found)):
        return _clean(sample, rows, noise)
    if found.kind == "gaussian":
        return _noisy_values(sample, found, rows)
    return _noisy_cells(sample, found, chance, rows)


def _clean(sample: _Sample, rows: Rows, noise: str) -> Situation:
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


class _Sample:
    """Some of the rows, scaled; only values that are numbers."""

    def __init__(self, rows: Rows, layout: Layout, scaling: str) -> None:
        self.layout, self.real = layout, real_values(layout)
        self.scaling: Scaling = fit_scaling((b for _, b in rows.blocks()), scaling, layout)
        self.variances: Array | None = None
        self.n_rows, self.pictures = rows.n_rows, len(rows.sample_shape) > 1
        every = -(-rows.n_rows // _MOST_ROWS)
        self.places = np.arange(0, rows.n_rows, every)
        self.raw, self.values = self.read(rows, self.places)
        self.moments = fit_moments(self.values)
        self.missing = np.isnan(self.values)
        self.values = self.complete(self.values)

    def read(self, rows: Rows, places: npt.NDArray[np.intp]) -> tuple[Array, Array]:
        """Return rows as they were given, and scaled."""
        raw = rows.take(places).astype(np.float64, copy=False)
        return raw[:, self.real], self.scaling.forward(raw)[:, self.real]

    def complete(self, values: Array) -> Array:
        """Return rows with their best linear guess where values are missing."""
        missing = np.isnan(values)
        if not missing.any():
            return values
        fill = Fill(torch.from_numpy(self.moments.precision()))
        known = torch.from_numpy(np.where(missing, 0.0, values - self.moments.mean))
        with torch.inference_mode():
            guess = fill(known, torch.from_numpy(~missing)).numpy()
        complete: Array = guess + self.moments.mean
        return complete

    def replaced(self, rows: Rows, values: Array) -> Rows:
        """Return rows with other values, scaled, where they are numbers; NaN is missing."""
        center, scale = self.scaling.center[self.real], self.scaling.scale[self.real]
        raw = values * scale + center
        if isinstance(rows, TableRows):
            everything = np.concatenate([block for _, block in rows.blocks()])
            everything[:, self.real] = np.nan_to_num(raw)
            found, cells = rows.schema.gather(everything, clip=False), rows.cells.copy()
            for span in rows.schema.spans:
                inside = (self.real >= span.values.start) & (self.real < span.values.stop)
                if inside.any():
                    lost = np.asarray(np.isnan(raw[:, inside]).any(axis=1))
                    cells[:, span.cells] = np.where(lost[:, None], np.nan, found[:, span.cells])
            return rows.with_cells(cells)
        whole = rows.dense().astype(np.float64)
        whole[:, self.real] = raw
        return open_array(whole.reshape(len(whole), *rows.sample_shape), checked=False)

    def noise(self, asked: str) -> tuple[Noise, Array]:
        """Return the noise of the rows, and the chance that it hit each cell."""
        if are_few(len(self.values), len(self.real)):
            apart = Others.apart(self.values)
            self.variances = variances_apart(apart, self.values)
            deviation, error, self.flat = floor_apart(apart, self.values, self.variances)
        else:
            deviation, error, self.flat = noise_floor(self.moments, len(self.values))
        normal = Noise("gaussian", deviation, error)
        if asked == "gaussian":
            return normal, np.zeros_like(self.values)
        others = Others.across(self.values)
        found, chance = noise_of(others, self.values, self.raw, deviation)
        least = _LEAST_COPIED * found.level * len(self.places) / self.n_rows
        swapped = asked == "auto" and found.kind == "swap"
        if swapped and (self.pictures or copies(self.raw) < least):
            found, chance = noise_of(others, self.values, self.raw, None, "impulse")
            found = normal if found.kind == "none" and deviation > LEAST_LEVEL else found
        if asked not in ("auto", found.kind):
            raise DataError(
                f"noise={asked!r} was not found in the rows: it looks like {found.kind!r}"
            )
        return (normal if found.kind == "gaussian" else found), chance

    def own(self, noise: Noise) -> Noise:
        """Return noise with the units that it was measured in."""
        center, scale = self.scaling.center[self.real], self.scaling.scale[self.real]
        return replace(noise, center=tuple(center.tolist()), scale=tuple(scale.tolist()))

    def require_plain(self, found: Noise) -> None:
        """Refuse rows that are said to be noisy, but whose noise cannot be told."""
        if found.kind not in ("none", "gaussian") or self.flat * len(self.real) >= _FEWEST_AXES:
            return
        if is_normal(self.moments, self.values):
            raise DataError(
                "the noise of each value seems to go along with that of its neighbours, so it "
                "cannot be told from what the rows have in common; fit to pairs of noisy and "
                "clean rows (target=), or to clean rows"
            )
        if found.kind == "none":
            raise DataError(
                "no noise can be told in the rows: say which kind it is (noise=), fit to pairs "
                "of noisy and clean rows (target=), or take them as clean (rows='clean')"
            )

    def plain(self, found: Noise) -> bool:
        """Say whether noise is so plain that rows must be noisy, without being told."""
        if found.replaces:
            return True
        if found.level < _LEAST_PLAIN:
            return False
        n_rows, count = self.values.shape
        least = float(self.values.var(axis=0).min())
        if n_rows < _FEW_A_COLUMN * count and least > _LEAST_COLUMN * found.level**2:
            # Along most axes of so few rows all is alike, be it noise or texture.
            return False
        axes = self.flat * count
        return bool(axes >= min(_MANY_AXES, max(_LEAST_FLAT * count, _FEWEST_AXES - 0.5)))


def _noisy_values(sample: _Sample, found: Noise, rows: Rows) -> Situation:
    """Take rows that are as spread as clean ones would be for these.

    Along each principal axis they are shrunk to the variance that is left without the
    noise: less than the best guess of each row would be, since guesses are alike.
    """
    noisy = sample.moments.covariance
    variances, axes = np.linalg.eigh(noisy)
    seen = variances if sample.variances is None else sample.variances
    clean = np.clip(seen - found.level**2, 0.0, np.maximum(variances, 0.0))
    factors = np.sqrt(clean / np.maximum(variances, 1e-300))
    _, values = sample.read(rows, np.arange(rows.n_rows))
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


def _noisy_cells(sample: _Sample, found: Noise, chance: Array, rows: Rows) -> Situation:
    """Take cells that were probably hit for missing ones."""
    if found.kind == "swap" and (before := Exchanges.fitting(sample.raw)) is not None:
        return _exchanged_cells(sample, found, before, rows)
    holed = sample.values
    for turn in range(_TURNS):
        holed = np.where(suspects(found, chance, 1, seed=turn)[0], np.nan, sample.values)
        found, chance, _ = hit_cells(Others.across(holed), found, sample.values, sample.raw, chance)
    places = np.arange(rows.n_rows)
    raw, values = sample.read(rows, places)
    given = np.isnan(values)
    values = sample.complete(values)
    if len(places) > len(holed):
        _, chance, _ = hit_cells(Others([(None, fit_moments(holed))]), found, values, raw)
    values[suspects(found, chance, 1, seed=_TURNS)[0] | given] = np.nan
    without = sample.replaced(rows, values)
    return Situation("noisy", sample.own(found), without, None, _against(found))


def _exchanged_cells(sample: _Sample, found: Noise, before: Exchanges, rows: Rows) -> Situation:
    """Take cells for missing ones that were exchanged in one draw of those that may be.

    Each by itself being more likely exchanged than not would leave what goes together
    best, and rows would seem more alike than they are.
    """
    complete = sample.values * sample.scaling.scale[sample.real]
    before, share = Exchanges.before(
        complete + sample.scaling.center[sample.real], found.level / _SEEN
    )
    places = np.arange(rows.n_rows)
    _, values = sample.read(rows, places)
    given = np.isnan(values)
    values = sample.complete(values)
    raw = values * sample.scaling.scale[sample.real] + sample.scaling.center[sample.real]
    _, drawn = before.hits(before.scores(raw), share)
    values[drawn[-1] | given] = np.nan
    found = replace(sample.own(found), level=share)
    without = sample.replaced(rows, values)
    return Situation("noisy", found, without, None, _against(found))


def _pairs(sample: _Sample, rows: Rows, target: Rows) -> Situation:
    """Learn from clean rows with fresh noise of the kind that the pairs show."""
    raw, values = sample.read(rows, sample.places)
    wanted, noisy = sample.values, sample.complete(values)
    counted = ~(sample.missing | np.isnan(values))
    step = np.where(counted, noisy - wanted, 0.0)
    hit = np.abs(step) > 1e-9
    touched = hit.any(0)
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
    sample: _Sample, noisy: Array, raw: Array, hit: npt.NDArray[np.bool_], share: float
) -> Noise:
    """Return noise that takes the place of values, measured where it is known to be."""
    others = Others([(None, sample.moments)])
    found, chance = noise_of(Others.noisy(sample.moments, noisy), noisy, raw, None)
    # Among exchanged values there are common ones as well: of impulses nearly all are atoms.
    at = np.any([atom.at(raw) for atom in found.atoms], axis=0)
    few = found.kind == "impulse" and (at & hit).sum() < _LEAST_AT_ATOMS * hit.sum()
    kind = "swap" if few or found.kind == "none" else found.kind
    if kind != found.kind:
        found, chance = Noise("swap"), np.zeros_like(noisy)
    start = found
    found, _, _ = hit_cells(others, start, noisy, raw, chance)
    if kind == "swap":
        weights = (*((1 - share) * w / (1 - found.weights[2]) for w in found.weights[:2]), share)
        return replace(found, level=share, weights=weights)
    # Where the value was another one before, noise alone put this one there.
    atoms = []
    for atom in found.atoms:
        at = atom.at(raw)
        atoms.append(replace(atom, share=float(hit[at].sum() / max((hit | ~at).sum(), 1))))
    return replace(found, level=sum(atom.share for atom in atoms), atoms=tuple(atoms))


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
