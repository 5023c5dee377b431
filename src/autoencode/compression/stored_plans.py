"""Plans of columns -> coded bytes and back: numbers of one kind together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np

from autoencode.compression.frequencies import FAMILIES
from autoencode.compression.packing import join, pack_integers, split, unpack_integers
from autoencode.compression.plans import (
    LARGEST_CONTEXTS,
    LARGEST_LEVELS,
    LARGEST_SCALE,
    MODES,
    SOURCES,
    WIDEST,
    ColumnPlan,
    Source,
    require,
    within,
)
from autoencode.compression.stored_weights import LARGEST_WEIGHT, WeightReader, store_weights
from autoencode.errors import DataError

__all__ = ["PlanReader", "store_plans"]

_PLAIN, _CODED = range(2)
_MOST_NUMBERS = 1 << 25
_MOST_SOURCES = 8
_LARGEST_UNIT = 64
_FARTHEST_EDGE = 1 << 60
# Sources that look at some column.
_PLACED = ("value", "surprise")


def store_plans(plans: Sequence[ColumnPlan], places: Sequence[int], first: Sequence[int]) -> bytes:
    """Store plans by whatever makes them smallest.

    Parameters
    ----------
    plans : sequence of ColumnPlan
        Of some columns.
    places : sequence of int
        Which columns these are.
    first : sequence of int
        Numbers that come before all.

    Returns
    -------
    bytes
        One byte for the method, then the rest.
    """
    groups = [np.array(group, np.int64) for group in [list(first), *_groups(plans, places)]]
    flat = np.concatenate(groups)
    plain = bytes([_PLAIN]) + len(flat).to_bytes(4, "little") + pack_integers(flat)
    middles = [int(np.median(group)) if len(group) else 0 for group in groups]
    moved = [group - middle for group, middle in zip(groups, middles, strict=True)]
    if any(np.abs(group).max(initial=0) > LARGEST_WEIGHT for group in moved):
        return plain
    head = pack_integers(np.array(middles, np.int64))
    return min(plain, bytes([_CODED]) + join([head, store_weights(moved)]), key=len)


def _groups(plans: Sequence[ColumnPlan], places: Sequence[int]) -> list[list[int]]:
    """Return the numbers of all plans, those of one kind together."""
    regressing = [plan for plan in plans if plan.regressors]
    sources = [
        (source, place)
        for plan, place in zip(plans, places, strict=True)
        for source in plan.sources
    ]
    scaled = [plan for plan in plans if plan.mode == "residual"]
    units = _units(plans, places)
    paths = [
        [place, *plan.regressors]
        for plan, place in zip(plans, places, strict=True)
        if plan.regressors
    ]
    return [
        [MODES.index(plan.mode) for plan in plans],
        [plan.size for plan in plans],
        [plan.centre - plan.size // 2 for plan in plans],
        [
            0 if plan.mask < 0 else place - plan.mask
            for plan, place in zip(plans, places, strict=True)
        ],
        [plan.exponent for plan in plans],
        units,
        [len(plan.regressors) for plan in plans],
        [plan.shift - _largest_unit(plan.regressors, units) for plan in regressing],
        [path[0] - path[1] for path in paths],
        [after - before for path in paths for before, after in pairwise(path[1:])],
        [weight for plan in regressing for weight in _short(plan, units)],
        [len(plan.sources) for plan in plans],
        [SOURCES.index(source.kind) for source, _ in sources],
        [place - source.place for source, place in sources if source.kind in _PLACED],
        [len(source.edges) for source, _ in sources],
        [source.edges[0] for source, _ in sources if source.edges],
        [after - before for source, _ in sources for before, after in pairwise(source.edges)],
        [FAMILIES.index(plan.family) for plan in scaled],
        [plan.scales[0] for plan in scaled],
        [after - before for plan in scaled for before, after in pairwise(plan.scales)],
    ]


def _units(plans: Sequence[ColumnPlan], places: Sequence[int]) -> list[int]:
    """Return the units of columns; all 0 where some weight is no multiple of what they say."""
    units = [plan.unit for plan in plans]
    if list(places) != list(range(len(plans))):
        return [0] * len(plans)
    for plan in plans:
        largest = _largest_unit(plan.regressors, units)
        for at, weight in zip(plan.regressors, plan.weights, strict=True):
            if weight % (1 << (largest - units[at % len(units)])):
                return [0] * len(plans)
    return units


def _largest_unit(regressors: Sequence[int], units: Sequence[int]) -> int:
    return max((units[at % len(units)] for at in regressors), default=0)


def _short(plan: ColumnPlan, units: Sequence[int]) -> list[int]:
    largest = _largest_unit(plan.regressors, units)
    pairs = zip(plan.regressors, plan.weights, strict=True)
    return [weight >> (largest - units[at % len(units)]) for at, weight in pairs]


class PlanReader:
    """Reads what `store_plans` returned, checked.

    Parameters
    ----------
    data : bytes
        As it was returned.

    Raises
    ------
    DataError
        If it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        require(len(data) > 4, "a plan is cut off")
        self._coded: WeightReader | None = None
        self._place = 0
        if data[0] == _PLAIN:
            count = int.from_bytes(data[1:5], "little")
            require(count <= _MOST_NUMBERS, "a plan claims to be too long")
            self._flat = unpack_integers(data[5:], count)
        elif data[0] == _CODED:
            head, weights = split(data[1:], 2)
            self._coded = WeightReader(weights)
            self._flat = unpack_integers(head, self._coded.n_groups)
        else:
            raise DataError(f"a plan names the method {data[0]}, which is not known")

    def take(self, count: int) -> list[int]:
        """Return the next group of so many numbers."""
        require(count <= _MOST_NUMBERS, "a plan claims to be too long")
        stop = self._place + (count if self._coded is None else 1)
        require(stop <= len(self._flat), "a plan ends too early")
        found = self._flat[self._place : stop]
        self._place = stop
        if self._coded is not None:
            found = found + self._coded.take(count)
        numbers: list[int] = found.tolist()
        return numbers

    def finish(self) -> None:
        """Check that everything was read."""
        require(self._place == len(self._flat), "a plan is too long")
        if self._coded is not None:
            self._coded.finish()

    def plans(self, places: Sequence[int], n_columns: int, lags: int) -> list[ColumnPlan]:
        """Return the plans of columns.

        Parameters
        ----------
        places : sequence of int
            Which columns they are of.
        n_columns : int
            Of how many.
        lags : int
            Rows before each that are known.
        """
        count, n_places = len(places), n_columns * (1 + lags)
        modes = [MODES[within(at, 0, len(MODES) - 1, "a mode")] for at in self.take(count)]
        sizes = self.take(count)
        centres = [at + size // 2 for at, size in zip(self.take(count), sizes, strict=True)]
        masks = [
            place - at if at else -1 for at, place in zip(self.take(count), places, strict=True)
        ]
        exponents = self.take(count)
        for mode, size, centre, mask, exponent, place in zip(
            modes, sizes, centres, masks, exponents, places, strict=True
        ):
            largest = LARGEST_LEVELS if mode == "levels" else 1 << WIDEST
            within(size, 1, largest, "the size of a column")
            within(centre, 0, size - 1, "the centre of a column")
            within(mask, -1, place - 1, "the mask of a column")
            within(exponent, 0, 62, "an exponent")
        linear = self._linear(places, n_places)
        contexts = self._contexts(places, n_places)
        plans = []
        for at, (regressors, weights, shift, unit) in enumerate(linear):
            plan = ColumnPlan(modes[at], sizes[at], centres[at], masks[at], regressors, weights)
            plan = replace(plan, shift=shift, unit=unit, exponent=exponents[at])
            plans.append(replace(plan, sources=contexts[at]))
        return self._scaled(plans)

    def _linear(
        self, places: Sequence[int], n_places: int
    ) -> list[tuple[list[int], list[int], int, int]]:
        """Return regressors, weights, shift and unit of each column."""
        units = [within(unit, 0, _LARGEST_UNIT, "a unit") for unit in self.take(len(places))]
        counts = [
            within(at, 0, n_places, "the number of regressors") for at in self.take(len(places))
        ]
        some = sum(count > 0 for count in counts)
        shifts, firsts = iter(self.take(some)), iter(self.take(some))
        gaps = iter(self.take(sum(counts) - some))
        short = iter(self.take(sum(counts)))
        found: list[tuple[list[int], list[int], int, int]] = []
        for place, count, unit in zip(places, counts, units, strict=True):
            if not count:
                found.append(([], [], 0, unit))
                continue
            steps = [place - next(firsts), *(next(gaps) for _ in range(count - 1))]
            regressors = [within(at, 0, n_places - 1, "a regressor") for at in accumulate(steps)]
            largest = _largest_unit(regressors, units)
            weights = [next(short) << (largest - units[at % len(units)]) for at in regressors]
            shift = within(next(shifts) + largest, -100, 100, "a shift")
            found.append((regressors, weights, shift, unit))
        return found

    def _contexts(self, places: Sequence[int], n_places: int) -> list[tuple[Source, ...]]:
        """Return the sources of each column."""
        counts = [
            within(at, 0, _MOST_SOURCES, "the number of contexts") for at in self.take(len(places))
        ]
        total = sum(counts)
        last = len(SOURCES) - 1
        kinds = [SOURCES[within(at, 0, last, "a context")] for at in self.take(total)]
        steps = iter(self.take(sum(kind in _PLACED for kind in kinds)))
        sizes = [within(at, 0, LARGEST_CONTEXTS, "a context") for at in self.take(total)]
        firsts = iter(self.take(sum(size > 0 for size in sizes)))
        rises = iter(self.take(sum(max(0, size - 1) for size in sizes)))
        parts = iter(zip(kinds, sizes, strict=True))
        found = []
        for place, count in zip(places, counts, strict=True):
            sources = []
            for _ in range(count):
                kind, size = next(parts)
                at = place - next(steps) if kind in _PLACED else 0
                within(at, 0, max(0, n_places - 1), "the column of a context")
                edges = [next(firsts)] if size else []
                edges = list(accumulate([*edges, *(next(rises) for _ in range(size - 1))]))
                require(edges == sorted(edges), "the edges of a context do not ascend")
                require(all(abs(edge) <= _FARTHEST_EDGE for edge in edges), "an edge is too far")
                sources.append(Source(kind, at, edges))
            found.append(tuple(sources))
        return found

    def _scaled(self, plans: list[ColumnPlan]) -> list[ColumnPlan]:
        """Return plans with families and scales."""
        for plan in plans:
            require(plan.n_contexts <= LARGEST_CONTEXTS, "a column has too many contexts")
        scaled = [at for at, plan in enumerate(plans) if plan.mode == "residual"]
        last = len(FAMILIES) - 1
        families = [FAMILIES[within(at, 0, last, "a family")] for at in self.take(len(scaled))]
        firsts = self.take(len(scaled))
        steps = iter(self.take(sum(plans[at].n_contexts - 1 for at in scaled)))
        for at, family, first in zip(scaled, families, firsts, strict=True):
            rest = (next(steps) for _ in range(plans[at].n_contexts - 1))
            scales = list(accumulate([first, *rest]))
            for scale in scales:
                within(scale, 0, LARGEST_SCALE, "a scale")
            plans[at] = replace(plans[at], family=family, scales=scales)
        return plans
