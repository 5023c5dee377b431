"""A second opinion on noisy rows, from how rows were spread, and how much it counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.column_densities import ColumnDensities
from autoencode.patch_prior import PatchPrior, has_windows, joined_groups, parted_groups
from autoencode.row_mixture import RowMixture, likeliest_mixture

__all__ = ["Blend", "Judge", "RowPrior", "fit_prior", "known_errors", "unbiased_risks"]

Array = npt.NDArray[np.float64]
Opinions = Callable[[Array, float], Array]
"""Noisy rows ``(n, d)`` and the noise's deviation -> what each opinion makes of them,
``(opinions, n, d)``."""

Judge = Callable[[float], Array]
"""A level -> means of products of the opinions' errors, ``(opinions, opinions)``."""

_PIECE = 256
_MOST_ROWS = 5000
_LEAST_LEVEL = 0.02
_TENTHS = 10
_PROBE = 0.01


@dataclass(frozen=True)
class Blend:
    """How much each opinion counts, by the strength of the noise.

    Attributes
    ----------
    levels : tuple of float
        Deviations of noise, ascending.
    weights : tuple of tuple of float
        For each, the opinions' shares; they sum to 1.
    """

    levels: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def blended(self, opinions: Array, levels: Array) -> Array:
        """Return the weighted mean of opinions ``(opinions, n, d)`` for rows' noise ``(n,)``."""
        known = np.log(self.levels)
        asked = np.log(np.maximum(levels, 1e-300))
        shares = [np.interp(asked, known, column) for column in np.array(self.weights).T]
        result: Array = np.einsum("kn,knd->nd", np.array(shares), opinions)
        return result

    @classmethod
    def choosing(cls, levels: Sequence[float], judge: Judge) -> Blend:
        """Find the shares, in tenths, with the least error at every level.

        Parameters
        ----------
        levels : sequence of float
            Ascending.
        judge : callable
            A level -> the errors' products ``(opinions, opinions)``, see `known_errors`.
        """
        chosen = []
        for level in levels:
            products = judge(level)
            candidates = np.array(list(_shares(len(products)))) / _TENTHS
            errors = np.einsum("ci,ij,cj->c", candidates, products, candidates)
            chosen.append(tuple(candidates[int(np.argmin(errors))].tolist()))
        return cls(tuple(levels), tuple(chosen))


@dataclass(frozen=True)
class RowPrior:
    """How rows were spread before the noise: together, and column by column.

    Attributes
    ----------
    mixture : RowMixture
        Of whole rows.
    columns : ColumnDensities
        Of each column.
    blend : Blend or None
        How much the network counts, and each opinion; None: not known yet.
    patches : PatchPrior or None
        Of the windows of pictures.
    """

    mixture: RowMixture
    columns: ColumnDensities
    blend: Blend | None = None
    patches: PatchPrior | None = None

    def opinions(self, values: Array, levels: Array) -> Array:
        """Return expected rows by the mixture, and with columns' densities, ``(2, n, d)``.

        Of pictures by their windows as well, ``(3, n, d)``.

        Parameters
        ----------
        values : ndarray of shape (n, d)
            With normal noise.
        levels : ndarray of shape (n,)
            Its deviation in each row.
        """
        result = np.empty((2 if self.patches is None else 3, *values.shape))
        if self.patches is not None:
            result[2] = self.patches.restored(values, levels)
        for start in range(0, len(values), _PIECE):
            rows = slice(start, start + _PIECE)
            weighed = self.mixture.weighed(values[rows], levels[rows])
            result[0, rows] = weighed.mean()
            result[1, rows] = self.columns.restored(weighed, levels[rows])
        return result

    def blended(self, network: Array, values: Array, levels: Array) -> Array:
        """Return rows without noise, by the network and all opinions, ``(n, d)``.

        Parameters
        ----------
        network : ndarray of shape (n, d)
            What the network makes of the rows.
        values, levels : ndarray of shape (n, d) and (n,)
            As for `opinions`.
        """
        assert self.blend is not None
        return self.blend.blended(
            np.concatenate([network[None], self.opinions(values, levels)]), levels
        )

    def tensors(self) -> dict[str, Array]:
        """Return all arrays by name, to be saved."""
        assert self.blend is not None
        return joined_groups(
            {
                "blend": {
                    "levels": np.array(self.blend.levels),
                    "weights": np.array(self.blend.weights),
                },
                "mixture": self.mixture.tensors(),
                "columns": self.columns.tensors(),
                "patches": {} if self.patches is None else self.patches.tensors(),
            }
        )

    @classmethod
    def from_tensors(cls, tensors: dict[str, npt.NDArray[Any]]) -> RowPrior:
        """Return what `tensors` described."""
        parts = parted_groups(tensors)
        levels, weights = parts["blend"]["levels"], parts["blend"]["weights"]
        blend = Blend(tuple(levels.tolist()), tuple(map(tuple, weights.tolist())))
        patches = PatchPrior.from_tensors(parts["patches"]) if "patches" in parts else None
        columns = ColumnDensities(**parts["columns"])
        return cls(RowMixture(**parts["mixture"]), columns, blend, patches)


def fit_prior(
    values: Array,
    level: float,
    seed: int,
    shape: tuple[int, ...] = (),
    offset: Array | None = None,
) -> RowPrior:
    """Fit to noisy rows, or to clean ones.

    Parameters
    ----------
    values : ndarray of shape (n, d)
        Complete; of more than 5,000 rows as many are used, evenly spaced.
    level : float
        Deviation of the normal noise in them; 0 for clean rows.
    seed : int
        Of splits, and of where parts begin.
    shape, offset
        Of pictures, whose windows are looked at as well; see `PatchPrior`.
    """
    values = values[:: -(-len(values) // _MOST_ROWS)]
    level = max(level, _LEAST_LEVEL)
    generator = np.random.default_rng(seed)
    mixture = likeliest_mixture(values, level, generator)
    columns = ColumnDensities.fitting(mixture, values, level, generator)
    patches = None
    if offset is not None and has_windows(shape):
        patches = PatchPrior.fitting(values, level, shape, offset, generator)
    return RowPrior(mixture, columns, patches=patches)


def _shares(count: int) -> list[tuple[int, ...]]:
    """Return all ways to give out ten tenths, those first in which the first gets most."""
    found = [
        (_TENTHS - sum(others), *others)
        for others in product(range(_TENTHS + 1), repeat=count - 1)
        if sum(others) <= _TENTHS
    ]
    return sorted(found, reverse=True)


def known_errors(clean: Array, opinions: Opinions, seed: int) -> Judge:
    """Judge opinions by clean rows, to which noise is added.

    The error of a weighted mean with shares w is w E w, where E are the means of products of
    the opinions' errors.
    """

    def judge(level: float) -> Array:
        noise = np.random.default_rng(seed).standard_normal(clean.shape)
        off = opinions(clean + level * noise, level) - clean
        result: Array = np.einsum("ind,jnd->ij", off, off) / clean.size
        return result

    return judge


def unbiased_risks(noisy: Array, opinions: Opinions, seed: int) -> Judge:
    """Judge opinions by rows that are noisy themselves, and that none of them was fitted to.

    Stein's unbiased risk estimate (Stein, 1981): a mean's distance from the noisy rows, and
    how much of the noise it follows, which is measured along one random direction (Ramani,
    Blu and Unser, 2008, equation 13). The fewer values there are, the less the estimate says
    which opinion is better: shares are drawn towards even ones by as much.
    """

    def judge(level: float) -> Array:
        generator = np.random.default_rng(seed)
        signs = generator.choice([-1.0, 1.0], noisy.shape)
        here = opinions(noisy, level)
        step = _PROBE * level
        follows = ((opinions(noisy + step * signs, level) - here) * signs).sum((1, 2)) / step
        off = here - noisy
        left = np.einsum("ind,jnd->ij", off, off) / noisy.size
        # The shares sum to 1: what is linear in them can stand among the products.
        linear = level**2 * (2 * follows / noisy.size - 1)
        apart = float(np.square(here[0] - here[-1]).mean())
        doubt = 2 * level * math.sqrt(apart / noisy.size)
        # The square of the distance from even shares, weighted by the estimate's deviation.
        left += doubt * np.eye(len(here))
        linear -= 2 * doubt / len(here)
        result: Array = left + (linear[:, None] + linear[None, :]) / 2
        return result

    return judge
