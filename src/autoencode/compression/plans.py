"""What a file says about how integers were modelled: whole numbers, checked when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autoencode.compression.frequencies import FAMILIES, SCALES
from autoencode.errors import DataError

__all__ = [
    "LARGEST_CONTEXTS",
    "LARGEST_LEVELS",
    "LARGEST_SCALE",
    "LARGEST_TABLES",
    "MODES",
    "SOURCES",
    "WIDEST",
    "ColumnPlan",
    "Source",
    "check_order",
    "require",
    "within",
]

LARGEST_LEVELS = 4096
LARGEST_CONTEXTS = 4096
# Entries of adaptive tables, all columns together: half of what readers take memory for, so that
# texts that a shared model does not know find room.
LARGEST_TABLES = 1 << 22
# Values that are modelled lie in [0, 2**WIDEST).
WIDEST = 48
LARGEST_SCALE = len(SCALES) - 1 + 4 * WIDEST
MODES = ("levels", "residual", "given")
# What a context is made of: a value, the own prediction, how far off predictions were, what
# a network adds to the scale.
SOURCES = ("value", "prediction", "surprise", "surprises", "spread")


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
    unit : int
        Weights of this column are multiples of 2 to the power of how much less its unit is than
        the largest among its fellow regressors': so they are stored without idle zeros.
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
    unit: int = 0

    @property
    def n_contexts(self) -> int:
        """How many contexts are told apart."""
        return int(np.prod([len(source.edges) + 1 for source in self.sources], dtype=np.float64))


def check_order(plans: Sequence[ColumnPlan], lags: int) -> None:
    """Refuse plans that look at what is not known in time, whose sums overflow, or that claim much.

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
    entries = sum(plan.n_contexts * plan.size for plan in plans if plan.mode == "levels")
    require(entries <= 2 * LARGEST_TABLES, "adaptive tables claim to be too large")
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
