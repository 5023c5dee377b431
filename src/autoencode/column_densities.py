"""How each column's values were spread before normal noise was added, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoencode.row_mixture import RowMixture, Weighed

__all__ = ["ColumnDensities"]

Array = npt.NDArray[np.float64]

_PLACES = 128
_COLUMNS_AT_ONCE = 16
_ROUNDS = (0, 3, 10, 30, 100, 300)
_NATS = 2.0
_LEAST_CHANCE = 1e-3
_HELD_OUT = 5
_COARSEST = 0.5
"""Steps of the grid, in deviations of the noise, above which a column is left as it is."""


@dataclass(frozen=True)
class ColumnDensities:
    """The density of each column's values, beside what a mixture of whole rows says of it.

    Attributes
    ----------
    lowest, steps : ndarray of shape (d,)
        Where each column's grid begins, and how wide its cells are.
    ratios : ndarray of shape (d, m)
        How many times as likely each place of the grid is as the mixture says.
    """

    lowest: Array
    steps: Array
    ratios: Array

    @classmethod
    def fitting(
        cls, mixture: RowMixture, values: Array, level: float, generator: np.random.Generator
    ) -> ColumnDensities:
        """Find the densities that make each column's noisy values likely.

        Nonparametric maximum likelihood (Kiefer and Wolfowitz, 1956) on a grid, by expectation
        maximisation from the mixture's density on; it ends when held-out values would become
        less likely.

        Parameters
        ----------
        mixture : RowMixture
            Fitted to the same rows.
        values : ndarray of shape (n, d)
            Noisy rows, complete.
        level : float
            Deviation of the noise in them.
        generator : numpy.random.Generator
            Of the split.
        """
        judging = np.zeros(len(values), dtype=bool)
        judging[generator.permutation(len(values))[: len(values) // _HELD_OUT]] = True
        lowest = values.min(0)
        steps = np.maximum(np.ptp(values, axis=0), 1e-9) / (_PLACES - 1)
        places = np.arange(_PLACES)
        ratios = np.ones((values.shape[1], _PLACES))
        for column, (start, step) in enumerate(zip(lowest, steps, strict=True)):
            grid = start + step * places
            prior = mixture.column_density(column, grid, step / 2) + 1e-12
            prior /= prior.sum()
            cells = np.rint((values[:, column] - start) / step).astype(np.intp)
            kernel = np.exp(-0.5 * np.square(step * (places[:, None] - places) / level))
            kernel /= kernel.sum(0)
            counts = [
                np.bincount(cells[rows], minlength=_PLACES).astype(np.float64)
                for rows in (~judging, judging)
            ]
            ratios[column] = _likeliest(prior, kernel, *counts) / prior
        return cls(lowest, steps, ratios)

    def restored(self, weighed: Weighed, levels: Array) -> Array:
        """Return the expected rows before the noise, given noisy ones, ``(n, d)``.

        What the mixture says of each value, given the whole row, is weighted by how much more
        or less common such values are in the column than the mixture would have it.

        Parameters
        ----------
        weighed : Weighed
            What the mixture of `fitting` makes of the rows.
        levels : ndarray of shape (n,)
            Deviation of the noise in each row.
        """
        parts, chances = weighed.parts, weighed.chances
        plain = weighed.mean()
        total, weight = np.zeros_like(plain), np.zeros_like(plain)
        for place, part in enumerate(parts):
            rows = np.flatnonzero(chances[:, place] > _LEAST_CHANCE)
            share = chances[rows, place][:, None]
            for start in range(0, plain.shape[1], _COLUMNS_AT_ONCE):
                columns = slice(start, start + _COLUMNS_AT_ONCE)
                mass, mean = self._weighted(part.means[rows], part.variances[rows], columns)
                total[rows, columns] += share * mass * mean
                weight[rows, columns] += share * mass
        fine = (self.steps <= _COARSEST * levels[:, None]) & (weight > 0)
        result: Array = np.where(fine, total / np.maximum(weight, 1e-300), plain)
        return result

    def _weighted(self, means: Array, variances: Array, columns: slice) -> tuple[Array, Array]:
        """Return how likely a part is once columns' densities count, and values' means then."""
        steps = self.steps[columns, None]
        grid = self.lowest[columns, None] + steps * np.arange(_PLACES)
        spread = variances[:, columns, None] + np.square(steps / 2)
        density = np.exp(-0.5 * np.square(grid - means[:, columns, None]) / spread)
        density *= steps / np.sqrt(2 * np.pi * spread) * self.ratios[columns]
        mass = density.sum(2)
        return mass, np.einsum("ncg,cg->nc", density, grid) / np.maximum(mass, 1e-300)

    def tensors(self) -> dict[str, Array]:
        """Return all arrays by name, to be saved."""
        return {"lowest": self.lowest, "steps": self.steps, "ratios": self.ratios}


def _likeliest(prior: Array, kernel: Array, kept: Array, judging: Array) -> Array:
    """Return chances of a column's places, as many rounds from the prior as are worth it.

    More of them where held-out values hardly tell: noise hides how sharp a density is.
    """
    nats, rounds = [], 0
    chances = prior
    for wanted in _ROUNDS:
        chances = _repeated(chances, kernel, kept, wanted - rounds)
        rounds = wanted
        nats.append(float(judging @ np.log(kernel @ chances + 1e-300)))
    wanted = _ROUNDS[int(np.flatnonzero(np.array(nats) >= max(nats) - _NATS)[-1])]
    return _repeated(prior, kernel, kept + judging, wanted)


def _repeated(chances: Array, kernel: Array, counts: Array, rounds: int) -> Array:
    """Return chances after some rounds of expectation maximisation; ``counts`` are of values."""
    used = counts > 0
    kernel, counts = kernel[used], counts[used] / max(counts.sum(), 1.0)
    for _ in range(rounds):
        chances = chances * (kernel.T @ (counts / np.maximum(kernel @ chances, 1e-300)))
    return chances
