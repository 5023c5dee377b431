"""What the other cells of its row say of each cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from autoencode.noise_parts.around import Around
from autoencode.noise_parts.description import Array, Flags, Places
from autoencode.noise_parts.shares import widths
from autoencode.preprocess.filling import Fill, Moments, fit_moments

__all__ = ["Others", "are_few"]

_FOLDS = 6
_SHRINKAGE = (0.0, 0.05, 0.1, 0.2, 0.35, 0.6)
_FAR = 9.0
"""Squared deviations, of a column, beyond which an error counts no more."""
_PARTS, _ROWS_A_COLUMN = 12, 10
_FEWEST_ROWS = 20
_MANY_ROWS = 10


class Others:
    """What the other cells of its row say of each cell, by moments of other rows.

    Parameters
    ----------
    parts : sequence of (ndarray of int, slice or None, Moments)
        Which rows, None: all of them, and the moments that they are predicted by.
    around : Around, optional
        In pictures, what the pixels around say as well.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Places | slice | None, Moments]],
        around: Around | None = None,
    ) -> None:
        self.parts = [(slice(None) if rows is None else rows, part) for rows, part in parts]
        self.around = around

    @classmethod
    def across(cls, values: Array, around: Around | None = None) -> Others:
        """Predict either half of the rows by the moments of the other; NaN where missing.

        A row's own values would speak for themselves where columns are many.
        """
        places = np.arange(len(values))
        halves = places[0::2], places[1::2]
        moments = [fit_moments(values[half]) for half in halves]
        return cls(list(zip(halves, moments[::-1], strict=True)), around)

    @classmethod
    def folded(cls, values: Array, count: int = _FOLDS) -> Others:
        """Predict each of so many parts of complete rows by the moments of all others."""
        places = np.arange(len(values))
        count = min(count, len(values))
        parts = [places[fold::count] for fold in range(count)]
        return cls([(rows, fit_moments(np.delete(values, rows, axis=0))) for rows in parts])

    @classmethod
    def apart(cls, values: Array) -> Others:
        """Predict rows that are few for their columns by others, nearly as many; see `are_few`."""
        return cls.folded(values, _PARTS)

    @classmethod
    def shrunk(cls, values: Array) -> Others:
        """Predict each part of complete rows by the others, as well as can be.

        Where rows are few for their columns, chance correlations make errors that go along
        with the values. All correlations are smaller by the share that predicts best.
        """
        parts = cls.folded(values).parts
        errors = np.zeros(len(_SHRINKAGE))
        for rows, moments in parts:
            scale = np.sqrt(np.maximum(np.diag(moments.covariance), 1e-12))
            variances, axes = np.linalg.eigh(moments.covariance / np.outer(scale, scale))
            scores = (values[rows] - moments.mean) / scale
            for place, share in enumerate(_SHRINKAGE):
                left = np.maximum((1 - share) * variances + share, 1e-9)
                precision = (axes / left) @ axes.T
                error = scores @ precision / np.diag(precision)
                errors[place] += np.minimum(np.square(error), _FAR).sum()
        share = _SHRINKAGE[int(errors.argmin())]
        return cls([(rows, _less_alike(moments, share)) for rows, moments in parts])

    @classmethod
    def noisy(cls, moments: Moments, values: Array, around: Around | None = None) -> Others:
        """Predict noisy rows by the moments of rows without the noise.

        It shrinks all covariances of different columns by one factor, which is read off
        here, and leaves variances that are measured where rows are many.
        """
        clean = moments.covariance
        if len(values) < _FEWEST_ROWS:
            return cls([(None, moments)], around)
        mean = values.mean(0)
        found = np.cov(values.T, bias=True).reshape(clean.shape)
        apart = clean - np.diag(np.diag(clean))
        factor = float((found * apart).sum() / max(np.square(apart).sum(), 1e-300))
        covariance = min(max(factor, 0.05), 1.0) * apart
        variances = np.diag(found)
        if len(values) < _MANY_ROWS * len(clean):
            # Too few to measure the variance of each column: the noise's is the same in all.
            added = float((variances - np.diag(clean)).mean())
            variances = np.maximum(np.diag(clean) + added, 1e-6)
        least = np.linalg.eigvalsh(covariance + np.diag(variances))[0]
        variances = variances + max(0.0, 1e-6 - float(least))
        return cls([(None, Moments(mean, covariance + np.diag(variances)))], around)

    def expected(self, values: Array) -> Array:
        """Return conditional means, ``(rows, n_values)``, all other cells being right."""
        mean = np.empty_like(values)
        for rows, moments in self.parts:
            precision = moments.precision()
            centred = values[rows] - moments.mean
            mean[rows] = values[rows] - centred @ precision / np.diag(precision)
        return mean if self.around is None else self.around.beside(mean, values)

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
        return mean if self.around is None else self.around.beside(mean, values, suspect)

    def widths(self, values: Array, mean: Array, chance: Array | None = None) -> Array:
        """Return how far off values are where they are not what is expected, by column.

        Deviations of errors of cells that are probably not hit; in pictures, one for all.
        """
        if self.around is not None:
            return self.around.widths(values)
        return widths(values - mean, chance)


def are_few(n_rows: int, n_columns: int) -> bool:
    """Say whether moments would fit the rows that they are of better than any others."""
    return n_rows < _ROWS_A_COLUMN * n_columns


def _less_alike(moments: Moments, share: float) -> Moments:
    own = np.diag(np.diag(moments.covariance))
    return Moments(moments.mean, (1 - share) * moments.covariance + share * own)
