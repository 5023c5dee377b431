"""What a file says about how integers were modelled: whole numbers, checked when read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from autoencode.compression.frequencies import FAMILIES, SCALES
from autoencode.errors import DataError

__all__ = [
    "LARGEST_CONTEXTS",
    "LARGEST_LEVELS",
    "LARGEST_SCALE",
    "MODES",
    "WIDEST",
    "ColumnPlan",
    "Source",
    "check_order",
    "require",
    "within",
]

LARGEST_LEVELS = 4096
LARGEST_CONTEXTS = 4096
# Values that are modelled lie in [0, 2**WIDEST).
WIDEST = 48
LARGEST_SCALE = len(SCALES) - 1 + 4 * WIDEST
MODES = ("levels", "residual", "given")
# What a context is made of: a value, the own prediction, how far off predictions were, what
# a network adds to the scale.
SOURCES = ("value", "prediction", "surprise", "surprises", "spread")
_FARTHEST_EDGE = 1 << 60


def require(holds: bool, what: str) -> None:
    """Refuse a file whose plan breaks a rule."""
    if not holds:
        raise DataError(f"the file is damaged: {what}")


def within(value: int, low: int, high: int, what: str) -> int:
    """Return a number if it is within bounds; else refuse the file."""
    require(low <= value <= high, f"{what} is {value}, not in [{low}, {high}]")
    return int(value)


@dataclass(frozen=True)
class Source:
    """One part of a column's context.

    Attributes
    ----------
    kind : str
        One of `SOURCES`.
    place : int
        For a value or a surprise: which column, plus the number of columns for each row
        before this one.
    edges : list of int
        Ascending; the part of the context is how many of them are at most the value.
    """

    kind: str
    place: int
    edges: list[int]

    def numbers(self) -> Iterator[int]:
        """Yield all of it."""
        yield from (SOURCES.index(self.kind), self.place, len(self.edges))
        yield from self.edges[:1]
        yield from (after - before for before, after in pairwise(self.edges))

    @classmethod
    def read(cls, numbers: Iterator[int], n_places: int) -> Source:
        """Read it, checked."""
        kind = SOURCES[within(next(numbers), 0, len(SOURCES) - 1, "a context")]
        place = within(next(numbers), 0, max(0, n_places - 1), "the column of a context")
        count = within(next(numbers), 0, LARGEST_CONTEXTS, "the size of a context")
        edges = list(accumulate(next(numbers) for _ in range(count)))
        require(edges == sorted(edges), "the edges of a context do not ascend")
        require(all(abs(edge) <= _FARTHEST_EDGE for edge in edges), "an edge is out of range")
        return cls(kind, place, edges)


@dataclass(frozen=True)
class ColumnPlan:
    """How one column of integers is coded.

    Attributes
    ----------
    mode : {"levels", "residual", "given"}
        By adaptive tables of its few values; by frozen tables of what a prediction leaves;
        stored otherwise and known before any other.
    size : int
        Its values lie in [0, size).
    centre : int
        What predictions start from, and the value of cells that are not stored.
    mask : int
        The earlier column that is 0 where a cell is stored; -1: all are.
    regressors, weights : list of int
        Places as in `Source`, and their whole-number weights.
    shift : int
        The weighted sum of (value - centre) is divided by ``2 ** shift``, rounded down, to
        give the prediction in sixteenths.
    exponent : int
        Surprise is ``8 * abs(value - prediction) >> exponent``, at most 255.
    sources : tuple of Source
        The context.
    family, scales : str, list of int
        Of residuals: the tables, and the scale for each context.
    """

    mode: str
    size: int
    centre: int = 0
    mask: int = -1
    regressors: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    shift: int = 0
    exponent: int = 0
    sources: tuple[Source, ...] = ()
    family: str = FAMILIES[0]
    scales: list[int] = field(default_factory=list)

    @property
    def n_contexts(self) -> int:
        """How many contexts are told apart."""
        return int(np.prod([len(source.edges) + 1 for source in self.sources], dtype=np.float64))

    def numbers(self, place: int) -> Iterator[int]:
        """Yield all of it as whole numbers; ``place`` is which column it is."""
        yield from (MODES.index(self.mode), self.size, self.centre, place - self.mask)
        yield from (self.exponent, self.shift, len(self.regressors))
        before = place
        for regressor in self.regressors:
            yield before - regressor
            before = regressor
        yield from self.weights
        yield len(self.sources)
        for source in self.sources:
            yield from source.numbers()
        if self.mode == "residual":
            yield FAMILIES.index(self.family)
            yield from self.scales[:1]
            yield from (after - before for before, after in pairwise(self.scales))

    @classmethod
    def read(cls, numbers: Iterator[int], place: int, n_columns: int, lags: int) -> ColumnPlan:
        """Read what `numbers` yielded, checked.

        Parameters
        ----------
        numbers : iterator of int
            What `numbers` yielded.
        place, n_columns : int
            Which column it is, of how many.
        lags : int
            Rows before this one that are known.

        Raises
        ------
        DataError
            If anything is out of range.
        """
        n_places = n_columns * (1 + lags)
        mode = MODES[within(next(numbers), 0, len(MODES) - 1, "the mode of a column")]
        largest = LARGEST_LEVELS if mode == "levels" else 1 << WIDEST
        size = within(next(numbers), 1, largest, "the size of a column")
        centre = within(next(numbers), 0, size - 1, "the centre of a column")
        mask = place - within(next(numbers), 1, place + 1, "the mask of a column")
        exponent = within(next(numbers), 0, 62, "an exponent")
        shift = within(next(numbers), -100, 100, "a shift")
        count = within(next(numbers), 0, n_places, "the number of regressors")
        gaps = [next(numbers) for _ in range(count)]
        regressors = [place - gap for gap in accumulate(gaps)]
        for regressor in regressors:
            within(regressor, 0, n_places - 1, "a regressor")
        weights = [next(numbers) for _ in range(count)]
        n_sources = within(next(numbers), 0, 8, "the number of contexts")
        sources = tuple(Source.read(numbers, n_places) for _ in range(n_sources))
        plan = cls(mode, size, centre, mask, regressors, weights, shift, exponent, sources)
        require(plan.n_contexts <= LARGEST_CONTEXTS, "a column has too many contexts")
        if mode != "residual":
            return plan
        family = FAMILIES[within(next(numbers), 0, len(FAMILIES) - 1, "a family")]
        scales = list(accumulate(next(numbers) for _ in range(plan.n_contexts)))
        for scale in scales:
            within(scale, 0, LARGEST_SCALE, "a scale")
        return cls(
            mode, size, centre, mask, regressors, weights, shift, exponent, sources, family, scales
        )


def check_order(plans: Sequence[ColumnPlan], lags: int) -> None:
    """Refuse plans that look at what is not known in time, or whose sums overflow.

    Parameters
    ----------
    plans : sequence of ColumnPlan
        Of all columns; those with the mode "given" are known from the start.
    lags : int
        Rows before each that are known.

    Raises
    ------
    DataError
        Naming the column.
    """
    n_columns = len(plans)
    for place, plan in enumerate(plans):
        values = [source.place for source in plan.sources if source.kind == "value"]
        surprises = [source.place for source in plan.sources if source.kind == "surprise"]
        for at in (*plan.regressors, *values):
            known = at < place or at >= n_columns or plans[at].mode == "given"
            require(known, f"column {place} is told what is not known yet")
        for at in surprises:
            require(at < place or at >= n_columns, f"column {place} is told a later surprise")
        reach = sum(
            abs(weight) * plans[at % n_columns].size
            for weight, at in zip(plan.weights, plan.regressors, strict=True)
        )
        require(reach < 1 << 53, f"the prediction of column {place} overflows")
