"""New rows from a fitted model: codes from their density, rows from codes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from autoencode.errors import DataError
from autoencode.interfaces import Segment
from autoencode.numerics import matrix_products
from autoencode.sampler import Chances, Sampler
from autoencode.state import State

__all__ = [
    "PIECE",
    "Decoding",
    "chances_of",
    "decimals",
    "drawn_pieces",
    "located",
    "part_numbers",
    "runs_of",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

PIECE = 4096
"""Rows at a time."""
_MOST_DECIMALS = 6
_SURE = 1e-4
"""Decoded shares are kept this far from 0 and 1."""


def runs_of(state: State) -> tuple[Segment, ...]:
    """Return the runs of values that are categories: all values that are no numbers."""
    runs = state.composition.layout.parts
    return tuple(run for run in runs if run.likelihood in ("bernoulli", "categorical"))


class Decoding:
    """From codes and remainders to values, by a fitted model and what a sampler knows.

    Parameters
    ----------
    state : State
        The fitted model.
    sampler : Sampler
        Its sampler; of chances and margins also one that is still being fitted.
    """

    def __init__(self, state: State, sampler: Sampler) -> None:
        self.state, self.sampler = state, sampler
        self.decoder = state.fitted(torch.float64).decoder
        self.runs = runs_of(state)
        self.observed = [self._observed(place) for place in range(len(sampler.margins.values))]

    def drawn(
        self, parts: Places, generator: np.random.Generator, *, noise: bool
    ) -> tuple[Array, Places]:
        """Return decoded values of new rows, one from each of these parts, ``(n, n_values)``.

        Numbers have their remainder (if ``noise``); categories are as decoded. With them goes
        the part that each row belongs to: where codes are not drawn from the mixture, another
        one of the same class.
        """
        sampler = self.sampler
        coordinates, parts = located(sampler, parts, generator)
        count = len(sampler.code_basis)
        codes = sampler.code_mean + coordinates[:, :count] @ sampler.code_basis
        codes += sampler.code_left * generator.standard_normal(codes.shape)
        values = self.decoded(codes)
        if noise:
            values += sampler.rest_mean + coordinates[:, count:] @ sampler.rest_basis
            steps = generator.standard_normal((len(values), len(sampler.rest_noise)))
            values += steps @ sampler.rest_noise
            values += sampler.rest_left * generator.standard_normal(values.shape)
        return values, parts

    def decoded(self, codes: Array) -> Array:
        """Return what the model expects of codes, in the data's units, before it is cells."""
        with torch.inference_mode(), matrix_products("ieee"):
            found: Array = self.decoder(torch.from_numpy(codes)).numpy()
        return found

    def with_chances(self, values: Array, parts: Places) -> Array:
        """Return values in which categories have their chances, in rows of these parts."""
        chances = self.sampler.chances
        result = values.copy()
        for run in self.runs:
            result[:, run.start : run.stop] = chances_of(run, values, chances, parts)
        return result

    def with_margins(self, values: Array) -> tuple[Array, Array]:
        """Return values in which numbers are spread as observed, and their levels, ``(n, m)``."""
        margins = self.sampler.margins
        result = np.clip(values, self.sampler.low, self.sampler.high)
        for run in self.runs:
            result[:, run.start : run.stop] = values[:, run.start : run.stop]
        levels = np.empty((len(values), len(margins.values)))
        for place, value in enumerate(margins.values):
            levels[:, place] = margins.levels(place, values[:, value])
            known = self.observed[place]
            result[:, value] = np.interp(levels[:, place], np.linspace(0, 1, len(known)), known)
        return result, levels

    def _observed(self, place: int) -> Array:
        """Return a margin's observed cells as values, ascending."""
        cells = self.sampler.margins.observed[place]
        schema = self.state.schema
        if schema is None:
            return np.asarray(cells)
        value = self.sampler.margins.values[place]
        span = next(s for s in schema.spans if s.values.start <= value < s.values.stop)
        values = span.block.spread(torch.from_numpy(cells[:, None].copy()))
        found: Array = values[:, 0].numpy()
        return found

    def cells(self, values: Array, levels: Array, generator: np.random.Generator) -> Array:
        """Return cells of a table drawn from values, ``(n, n_cells)``."""
        schema = self.state.schema
        assert schema is not None  # only tables have cells
        normals = generator.standard_normal((len(values), schema.n_draws))
        cells = schema.draw(values, normals, np.zeros((schema.n_values, 2)))
        stepped = self.sampler.margins.stepped
        for place, cell in self._number_cells():
            if stepped[place]:
                cells[:, cell] = self._steps(place, levels[:, place])
            else:
                cells[:, cell] = self._rounded(place, cells[:, cell])
        return cells

    def numbers(self, values: Array, levels: Array, generator: np.random.Generator) -> Array:
        """Return rows of an array drawn from values: zeros and ones by their chances."""
        result = values.copy()
        for place, value in enumerate(self.sampler.margins.values):
            if self.sampler.margins.stepped[place]:
                result[:, value] = self._steps(place, levels[:, place])
            else:
                result[:, value] = self._rounded(place, result[:, value])
        for run in self.runs:
            chances = values[:, run.start : run.stop]
            if run.likelihood == "bernoulli":
                result[:, run.start : run.stop] = generator.random(chances.shape) < chances
                continue
            upto = chances.cumsum(1)
            chosen = (generator.random((len(values), 1)) * upto[:, -1:] > upto).sum(1)
            result[:, run.start : run.stop] = np.eye(chances.shape[1])[chosen]
        return result

    def _number_cells(self) -> Iterator[tuple[int, int]]:
        """Yield the margins of cells that are one number, and where these are."""
        margins, schema = self.sampler.margins, self.state.schema
        assert schema is not None
        by_value = {span.values.start: span.cells.start for span in schema.spans}
        for place, value in enumerate(margins.values):
            if int(value) in by_value:
                yield place, by_value[int(value)]

    def _steps(self, place: int, levels: Array) -> Array:
        """Return observed cells at these levels."""
        observed = self.sampler.margins.observed[place]
        found: Array = observed[np.rint(levels * (len(observed) - 1)).astype(np.intp)]
        return found

    def _rounded(self, place: int, drawn: Array) -> Array:
        """Return numbers with as many decimals as the observed ones have, if these are few."""
        digits = decimals(self.sampler.margins.observed[place])
        return drawn if digits is None else np.round(drawn, digits)


def decimals(observed: Array) -> int | None:
    """Return how many decimals numbers have, float32 ones too; None if more than 6."""
    single = observed.astype(np.float32)
    for digits in range(_MOST_DECIMALS + 1):
        rounded = np.round(observed, digits)
        if np.array_equal(rounded, observed):
            return digits
        if np.array_equal(single, observed) and np.array_equal(
            rounded.astype(single.dtype), single
        ):
            return digits
    return None


def chances_of(run: Segment, values: Array, chances: Chances, parts: Places) -> Array:
    """Return the chances of one run of categories from its decoded values, ``(n, width)``."""
    inside = slice(run.start, run.stop)
    decoded = np.clip(values[:, inside], _SURE, 1 - _SURE)
    slope = chances.slopes[inside]
    offset = chances.offsets[inside] + chances.shifts[parts, inside]
    if run.likelihood == "bernoulli":
        odds = slope * np.log(decoded / (1 - decoded)) + offset
        result: Array = 1 / (1 + np.exp(-odds))
        return result
    logs = slope * np.log(decoded) + offset
    shares: Array = np.exp(logs - logs.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return shares


def part_numbers(
    sampler: Sampler, n: int, wanted: Places | None, generator: np.random.Generator
) -> Places:
    """Draw the part of each of n new rows.

    Parameters
    ----------
    sampler : Sampler
        Its mixture has the parts.
    n : int
        Rows.
    wanted : ndarray of int of shape (n,) or None
        The class of each; None: by their shares.
    generator : numpy.random.Generator
        The only source of randomness.

    Raises
    ------
    DataError
        If a class has no part.
    """
    shares = sampler.mixture.shares
    places = generator.random(n)
    if wanted is None:
        return _chosen(shares, places)
    parts = np.empty(n, np.intp)
    for number in np.unique(wanted):
        own = np.flatnonzero(sampler.classes == number)
        if not len(own):
            raise DataError(f"there were no rows of class number {number} to learn from")
        rows = wanted == number
        parts[rows] = own[_chosen(shares[own] / shares[own].sum(), places[rows])]
    return parts


def located(
    sampler: Sampler, parts: Places, generator: np.random.Generator
) -> tuple[Array, Places]:
    """Draw coordinates, and say to which part of the mixture each belongs.

    Parameters
    ----------
    sampler : Sampler
        Its prior, if it has one, knows nothing of parts: these are drawn by how likely the
        coordinates are in each part of the same class.
    parts : ndarray of int of shape (n,)
        As from `part_numbers`.
    generator : numpy.random.Generator
        The only source of randomness.
    """
    if sampler.prior is None:
        return sampler.mixture.draw(parts, generator), parts
    classes = sampler.classes[parts]
    coordinates = sampler.prior.draw(classes, generator)
    found = np.empty_like(parts)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        own = np.flatnonzero(sampler.classes == number)
        nats = np.stack([sampler.mixture.log_part(int(p), coordinates[rows]) for p in own], 1)
        # The largest after Gumbel noise is drawn in proportion to the densities.
        found[rows] = own[(nats + generator.gumbel(size=nats.shape)).argmax(1)]
    return coordinates, found


def _chosen(shares: Array, places: Array) -> Places:
    found = np.searchsorted(np.cumsum(shares), places, side="right")
    result: Places = np.minimum(found, len(shares) - 1)
    return result


def drawn_pieces(
    state: State, parts: Places, generator: np.random.Generator, *, noise: bool
) -> Iterator[Array]:
    """Yield new rows, one from each part, a few thousand at a time: cells of a table, or numbers.

    Parameters
    ----------
    state : State
        A fitted model with a sampler.
    parts : ndarray of int of shape (n,)
        As from `part_numbers`.
    generator : numpy.random.Generator
        The only source of randomness.
    noise : bool
        Whether numbers have what the code does not tell of them.
    """
    assert state.sampler is not None  # the caller has asked
    decoding = Decoding(state, state.sampler)
    finish = decoding.numbers if state.schema is None else decoding.cells
    for start in range(0, len(parts), PIECE):
        own = parts[start : start + PIECE]
        values, own = decoding.drawn(own, generator, noise=noise)
        spread, levels = decoding.with_margins(decoding.with_chances(values, own))
        yield finish(spread, levels, generator)
