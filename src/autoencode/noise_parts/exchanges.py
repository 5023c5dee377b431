"""Which values are another row's, where it is known how columns are spread and go together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.noise_parts.description import Array, Flags, Places
from autoencode.preprocess.filling import fit_moments

__all__ = ["Exchanges"]

_WIDEST = 64
"""Columns beyond which drawing cells one by one takes too long."""
_LEAST_DISTINCT = 0.4
"""Of the quantiles of a column, on average: columns of few values are never normal."""

_STEPS: Array = np.linspace(-3.0, 3.0, 61)
"""Normal scores, at whose probabilities columns are described."""
_RIDGE = 1e-3
_WIDE, _WIDER = 0.05, 4.0
"""Share of errors that are wider, and how much their variance is."""
_SWEEPS, _FIRST = 16, 4
"""How often every cell is drawn, and how often before it counts."""
_MOST_MEASURED = 500
_PIECE = 256
_ROUNDS = 3
_LEAST_VARIANCE = 1e-6
_LEAST, _MOST = 1e-4, 0.9


@dataclass(frozen=True)
class Exchanges:
    """Rows in which nothing was exchanged: normal, but for a scale of its own in each column.

    A Gaussian copula (Liu, Lafferty and Wasserman, 2009, section 2): columns are put on the
    scale on which they are normal, and what goes together is told there. An exchanged value
    is normal on this scale as well, whatever the rest of its row is.

    Attributes
    ----------
    columns : tuple of tuple of float
        In each column, in the data's units, quantiles at the same probabilities.
    correlation : tuple of tuple of float
        Of the columns on that scale.
    """

    columns: tuple[tuple[float, ...], ...]
    correlation: tuple[tuple[float, ...], ...]

    @classmethod
    def fitting(cls, raw: Array) -> Exchanges | None:
        """Describe rows, if there are few enough columns and they have enough values."""
        if not 2 <= raw.shape[1] <= _WIDEST or np.isnan(raw).all(0).any():
            return None
        found = cls.measure(raw)
        distinct = [len(set(column)) / len(_STEPS) for column in found.columns]
        return found if np.mean(distinct) >= _LEAST_DISTINCT else None

    @classmethod
    def measure(cls, raw: Array, share: float = 0.0) -> Exchanges:
        """Describe rows.

        Parameters
        ----------
        raw : ndarray of shape (rows, n_values)
            In the data's units; NaN where missing.
        share : float
            Of cells that are exchanged, which correlations have suffered from.
        """
        chances = torch.special.ndtr(torch.from_numpy(_STEPS)).numpy()
        quantiles = np.nanquantile(raw, chances, axis=0, method="hazen").T
        plain = cls(tuple(map(tuple, quantiles.tolist())), ())
        return plain.among(plain.scores(raw), share)

    def among(self, scores: Array, share: float = 0.0) -> Exchanges:
        """Return the same columns, with correlations measured anew; NaN where missing."""
        covariance = fit_moments(scores).covariance
        deviations = np.sqrt(np.diag(covariance))
        deviations[deviations < math.sqrt(_LEAST_VARIANCE)] = np.inf
        apart = covariance / np.outer(deviations, deviations)
        # Only what columns have in common suffers.
        np.fill_diagonal(apart, 1.0)
        if share:
            apart[~np.eye(len(apart), dtype=bool)] /= (1.0 - share) ** 2
        variances, axes = np.linalg.eigh(apart)
        apart = (axes * np.maximum(variances, _RIDGE)) @ axes.T
        scale = np.sqrt(np.diag(apart))
        correlation = np.round(apart / np.outer(scale, scale), 5)
        return Exchanges(self.columns, tuple(map(tuple, correlation.tolist())))

    def scores(self, raw: Array) -> Array:
        """Return values on the scale on which columns are normal; NaN stays."""
        result = np.empty(raw.shape)
        for place, quantiles in enumerate(self.columns):
            values, among = np.unique(quantiles, return_inverse=True)
            # One value may be many quantiles: it is in their middle.
            scores = np.bincount(among, _STEPS) / np.bincount(among)
            result[:, place] = _along(raw[:, place], values, scores)
        return result

    def share(self, scores: Array, start: float) -> tuple[float, float]:
        """Return which share of the cells is exchanged, given a first guess.

        Returns
        -------
        share : float
            Of all cells.
        nats : float
            Per cell, what each is like given those of its row that are not exchanged.
        """
        some = scores[:: -(-len(scores) // _MOST_MEASURED)]
        chain = _Chain(np.array(self.correlation), some, np.random.default_rng(0))
        share, found = min(max(start, _LEAST), _MOST), []
        for _ in range(_SWEEPS):
            chain.nats = 0.0
            share = min(max(float(chain.sweep(share).mean()), _LEAST), _MOST)
            found.append((share, chain.nats / some.size))
        share, nats = np.mean(found[_FIRST:], axis=0).tolist()
        return share, nats

    def hits(self, scores: Array, share: float) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Say which cells are exchanged, by Gibbs sampling.

        Parameters
        ----------
        scores : ndarray of shape (rows, n_values)
            Complete.
        share : float
            Of exchanged cells.

        Returns
        -------
        chance : ndarray of shape (rows, n_values)
            That a cell is.
        drawn : ndarray of bool, shape (draws, rows, n_values)
            What may be so, all cells of a row together.
        """
        chances, draws = [], []
        for start in range(0, len(scores), _PIECE):
            piece = scores[start : start + _PIECE]
            chain = _Chain(np.array(self.correlation), piece, np.random.default_rng(0))
            swept = [(chain.sweep(share), chain.hit.copy()) for _ in range(_SWEEPS)][_FIRST:]
            chances.append(np.mean([chance for chance, _ in swept], axis=0))
            draws.append(np.stack([hit for _, hit in swept]))
        return np.concatenate(chances), np.concatenate(draws, axis=1)

    @classmethod
    def before(cls, raw: Array, start: float) -> tuple[Exchanges, float]:
        """Describe rows as they were before values were exchanged; return the share as well.

        Columns as such stay the same. What goes together is measured anew among cells
        that are not drawn as exchanged.
        """
        share, found = start, cls.measure(raw, start)
        scores = found.scores(raw)
        some = scores[:: -(-len(scores) // (2 * _MOST_MEASURED))]
        for _ in range(_ROUNDS):
            share, _ = found.share(some, share)
            _, drawn = found.hits(some, share)
            found = found.among(np.where(drawn[-1], np.nan, some))
        return found, found.share(some, share)[0]

    @classmethod
    def from_header(cls, values: Mapping[str, Any]) -> Exchanges:
        """Return what `dataclasses.asdict` described."""
        return cls(*(tuple(map(tuple, values[name])) for name in ("columns", "correlation")))


class _Chain:
    """Which cells of some rows are hit, drawn in turn given all the others of their row.

    The cells that are not hit are normal, and only they say what to expect. The inverse of
    their covariance is kept for each row, with zeros at cells that are hit.
    """

    def __init__(self, correlation: Array, scores: Array, rng: np.random.Generator) -> None:
        self.covariance, self.scores, self.rng = correlation, scores, rng
        self.inverse: Array = np.tile(np.linalg.inv(correlation), (len(scores), 1, 1))
        self.hit: Flags = np.zeros(scores.shape, dtype=bool)
        self.nats = 0.0

    def sweep(self, share: float) -> Array:
        """Draw every cell once; return the chances that they were drawn with."""
        chance: Array = np.empty(self.scores.shape)
        for place in self.rng.permutation(chance.shape[1]):
            chance[:, place] = self._visit(int(place), share)
        return chance

    def _visit(self, place: int, share: float) -> Array:
        column, hit = self.covariance[place], self.hit[:, place]
        lines = self.inverse[:, place]
        out = np.flatnonzero(hit)
        # Rounding may leave columns that are copies of others with no variance, or less.
        variance = np.maximum(1.0 / np.where(hit, 1.0, lines[:, place]), _LEAST_VARIANCE)
        error = np.einsum("ni,ni->n", lines, self.scores) * variance
        # Of cells that are hit, what is expected is not in the inverse.
        weights = self.inverse[out] @ column
        variance[out] = np.maximum(column[place] - weights @ column, _LEAST_VARIANCE)
        error[out] = self.scores[out, place] - np.einsum("ni,ni->n", weights, self.scores[out])
        own = (1.0 - _WIDE) * _density(error, variance)
        own += _WIDE * _density(error, _WIDER * variance)
        other = share * _density(self.scores[:, place], np.ones(1))
        both = other + (1.0 - share) * own + 1e-300
        chance: Array = other / both
        self.nats += float(np.log(both).sum())
        drawn = self.rng.random(len(hit)) < chance
        self._leave(place, np.flatnonzero(drawn & ~hit))
        back = ~drawn[out]
        self._enter(place, out[back], weights[back], variance[out][back])
        self.hit[:, place] = drawn
        return chance

    def _leave(self, place: int, rows: Places) -> None:
        line = self.inverse[rows, place]
        scaled = line / line[:, [place]]
        self.inverse[rows] -= line[:, :, None] * scaled[:, None, :]
        self.inverse[rows, place], self.inverse[rows, :, place] = 0.0, 0.0

    def _enter(self, place: int, rows: Places, weights: Array, variance: Array) -> None:
        line = -weights
        line[:, place] += 1.0
        scaled = line / variance[:, None]
        self.inverse[rows] += line[:, :, None] * scaled[:, None, :]


def _density(error: Array, variance: Array) -> Array:
    result: Array = np.exp(-0.5 * np.square(error) / variance) / np.sqrt(variance)
    return result


def _along(values: Array, places: Array, scores: Array) -> Array:
    """Return scores between those of known places; beyond them, straight on."""
    if len(places) < 2:
        return np.where(np.isnan(values), np.nan, 0.0)
    result: Array = np.interp(values, places, scores)
    few = max(1, len(places) // 10)
    for end, inner, outside in (
        (0, few, values < places[0]),
        (-1, -1 - few, values > places[-1]),
    ):
        slope = (scores[end] - scores[inner]) / (places[end] - places[inner])
        result[outside] = scores[end] + slope * (values[outside] - places[end])
    return result
