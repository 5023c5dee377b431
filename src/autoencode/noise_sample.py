"""Some of the rows that a denoising model is fitted to, and the noise that they have."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from autoencode.corruptions import real_values
from autoencode.data.arrays import open_array
from autoencode.data.rows import Rows
from autoencode.errors import DataError
from autoencode.interfaces import Layout
from autoencode.noise import (
    Around,
    Noise,
    Others,
    are_few,
    fixed_values,
    floor_apart,
    is_normal,
    isolated,
    noise_floor,
    noise_of,
    noise_or_copies,
    outermost,
    variances_apart,
)
from autoencode.preprocess.filling import Fill, Moments, fit_moments
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.preprocess.table_rows import TableRows

__all__ = ["Sample", "numbers_of"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

_MOST_ROWS = 4000
_FEWEST_AXES, _LEAST_FLAT = 2, 0.05
"""Axes with nothing but noise, and their share, from which rows are taken to be noisy."""
_FEW_A_COLUMN, _LEAST_COLUMN = 4, 1.5
"""For fewer rows, noise is plain if some column has not much more variance than it."""
_MANY_AXES = 16
"""Axes that are enough, whatever their share, and so many columns."""
_ALIKE = 3.0
"""Standard errors by which variances differ by chance."""
_CONSTANT = 1e-9
"""Of the greatest variance: columns with less are constant."""
_FAINT = 1e-3
"""Deviation below which there is no noise, even where it is asked for."""
_FEWEST_PLAIN = 50
"""Rows from which normal noise is plain: of fewer, all axes may be alike by chance."""
_LEAST_PLAIN = 0.05
"""Deviation of normal noise, where rows have 1, from which they are taken to be noisy."""


def numbers_of(rows: Rows, values: Array, real: Places, places: Places | None = None) -> Array:
    """Return the numbers of rows as they were given, ``(rows, n_real)``; NaN where missing.

    Fixed values are the same in all columns of a table as long as these are not transformed.

    Parameters
    ----------
    rows : Rows
        All of them.
    values : ndarray of shape (rows, n_values)
        Those asked for, in the data's units.
    real : ndarray of int
        Which values are numbers.
    places : ndarray of int, optional
        Which rows; None: all.
    """
    if not isinstance(rows, TableRows):
        return values[:, real]
    first = {
        span.values.start: span.cells.start for span in rows.schema.spans if span.block.n_values
    }
    cells = rows.cells if places is None else rows.cells[places]
    numbers: Array = cells[:, [first[place] for place in real.tolist()]]
    return numbers


class Sample:
    """Some of the rows, scaled; only values that are numbers.

    Parameters
    ----------
    rows : Rows
        Clean or noisy.
    layout : Layout
        What the values are.
    scaling : str
        As for `fit_scaling`.

    Attributes
    ----------
    raw, given, values : ndarray of shape (rows, n_real)
        In the data's units, a table's columns transformed; as they were given; and scaled, with a
        guess where they are missing.
    missing : ndarray of bool, same shape
        Where they are.
    moments : Moments
        Of the scaled ones.
    """

    def __init__(self, rows: Rows, layout: Layout, scaling: str) -> None:
        self.layout, self.real, self.kind = layout, real_values(layout), scaling
        self.scaling: Scaling = fit_scaling((b for _, b in rows.blocks()), scaling, layout)
        self.variances: Array | None = None
        self.n_rows = rows.n_rows
        every = -(-rows.n_rows // _MOST_ROWS)
        self.places, self.rows = np.arange(0, rows.n_rows, every), rows
        self.raw, self.given, self.values = self.read(rows, self.places)
        self.moments = fit_moments(self.values)
        self.missing = np.isnan(self.values)
        self.values = self.complete(self.values)

    def read(self, rows: Rows, places: Places) -> tuple[Array, Array, Array]:
        """Return rows in the data's units, as they were given, and scaled."""
        raw = rows.take(places).astype(np.float64, copy=False)
        given = numbers_of(rows, raw, self.real, places)
        return raw[:, self.real], given, self.scaling.forward(raw)[:, self.real]

    def without(self, hit: Flags) -> Array:
        """Measure the units anew without cells that were hit; return rows with NaN for those.

        A few cells far off make a column's other differences seem small.
        """
        given = self.rows.take(self.places).astype(np.float64, copy=False)
        kept = given.copy()
        kept[:, self.real] = np.where(hit, np.nan, given[:, self.real])
        self.scaling = fit_scaling([kept], self.kind, self.layout)
        values = self.scaling.forward(given)[:, self.real]
        holed = np.where(hit, np.nan, values)
        self.moments = fit_moments(holed)
        self.values = np.where(self.missing, self.complete(holed), values)
        return holed

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

    def noise(self, asked: str, *, noisy: bool = False) -> tuple[Noise, Array]:
        """Return the noise of the rows, and the chance that it hit each cell.

        If it is said that they are noisy, a value far from all others is noise in one column, too.
        """
        if asked in ("auto", "impulse") and (atoms := isolated(self.given)):
            return fixed_values(atoms, self.given)
        if noisy and asked == "auto" and (atoms := outermost(self.given, far=True)):
            return fixed_values(atoms, self.given)
        normal = self._normal_noise()
        if asked == "gaussian":
            return normal, np.zeros_like(self.values)
        others = Others.across(self.values, self.around)
        sampled = len(self.places) / self.n_rows
        about = others, self.values, self.given, normal.level
        if asked == "auto":
            found, chance = noise_or_copies(*about, sampled=sampled)
        else:
            found, chance = noise_of(*about, "impulse" if asked == "impulse" else "auto")
        if asked == "impulse" != found.kind and (atoms := outermost(self.given)):
            return fixed_values(atoms, self.given)
        if asked not in ("auto", found.kind):
            if noisy:
                raise DataError(
                    f"noise={asked!r} was not found in the rows: it looks like {found.kind!r}"
                )
            # It will be in other rows.
            found, chance = Noise("none"), np.zeros_like(self.values)
        return (normal if found.kind == "gaussian" else found), chance

    def _normal_noise(self) -> Noise:
        """Measure normal noise, and along which share of the axes there is nothing else.

        Columns that are constant have none: margins, for one. Of the others it is in all, so that
        what varies least is normal, be it axes or columns.
        """
        count = len(self.real)
        spread = np.diag(self.moments.covariance)
        varies = spread > _CONSTANT * spread.max(initial=0.0)
        values, moments = self.values[:, varies], self.moments.of(varies)
        apart = Moments(moments.mean, np.diag(np.diag(moments.covariance)))
        normal = varies.any() and is_normal(moments, values) and is_normal(apart, values)
        if varies.all() or not normal:
            values, moments = self.values, self.moments
        if are_few(*values.shape):
            others = Others.apart(values)
            variances = variances_apart(others, values)
            found = floor_apart(others, values, variances)
            self.variances = np.concatenate([np.zeros(count - len(variances)), variances])
        else:
            found = noise_floor(moments, len(values))
        self.flat = found[2] * values.shape[1] / max(count, 1)
        return Noise("gaussian", *found[:2])

    @property
    def around(self) -> Around | None:
        """What the pixels around say of each, in pictures."""
        return Around.of(self.rows.sample_shape, self.scaling.center, self.scaling.scale)

    def own(self, noise: Noise) -> Noise:
        """Return noise with the units that it was measured in."""
        center, scale = self.scaling.center[self.real], self.scaling.scale[self.real]
        return replace(noise, center=tuple(center.tolist()), scale=tuple(scale.tolist()))

    def require_plain(self, found: Noise, asked: str) -> None:
        """Refuse rows that are said to be noisy, but whose noise cannot be told."""
        if asked != "auto" and found.level < _FAINT:
            raise DataError(
                f"noise={asked!r} was not found in the rows: look for any (noise='auto'), or take "
                "them as clean (rows='clean')"
            )
        if found.kind == "gaussian" and self.alone:
            raise DataError(
                "the rows seem to be noise alone: no column says anything of another; fit to pairs "
                "of noisy and clean rows (target=), or take them as clean (rows='clean')"
            )
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

    @property
    def alone(self) -> bool:
        """Whether there is nothing but noise along any axis."""
        varies = self.values.var(axis=0) > 0
        return bool(self.flat * len(varies) >= varies.sum())

    def plain(self, found: Noise) -> bool:
        """Say whether noise is so plain that rows must be noisy, without being told."""
        if found.replaces:
            return True
        if found.level < _LEAST_PLAIN:
            return False
        n_rows, count = self.values.shape
        if n_rows < _FEWEST_PLAIN:
            return False
        shares = self.values.var(axis=0) / found.level**2
        if n_rows < _FEW_A_COLUMN * count:
            if shares.min() > _LEAST_COLUMN:
                # Along most axes of so few rows all is alike, be it noise or texture.
                return False
            if (np.abs(shares - 1) < _ALIKE * math.sqrt(2 / n_rows)).sum() >= _MANY_AXES:
                # Nothing but this noise is in columns: no axis has to be found for that.
                return True
        axes = self.flat * count
        if self.alone:
            # Columns that say nothing of one another: were it noise, nothing else would be left.
            return False
        return bool(axes >= min(_MANY_AXES, max(_LEAST_FLAT * count, _FEWEST_AXES - 0.5)))
