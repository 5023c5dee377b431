"""What a column's context is made of, and the scales in it: chosen by what they save."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from autoencode.compression.frequencies import (
    FAMILIES,
    FRACTIONS,
    IntArray,
    shape_tables,
    shifted,
)
from autoencode.compression.plans import LARGEST_CONTEXTS, LARGEST_SCALE, Source

__all__ = ["Candidate", "choose_levels_context", "choose_residual_context", "residual_bits"]

_LARGEST_TABLES, _SMALL_TABLES = 1 << 17, 1 << 12
_MOST_SOURCES = 3
_EDGE_ROWS = 4096
# Families are compared by so many rows.
_FAMILY_ROWS = 2048
_BITS_PER_EDGE = 9.0


class Candidate(NamedTuple):
    """Something that a context could look at, and what it sees in each row."""

    kind: str
    place: int
    seen: IntArray

    def sources(self, widths: Sequence[int]) -> list[Source]:
        """Cut what is seen into about so many parts of the same number of rows."""
        ordered = np.sort(self.seen[:: max(1, len(self.seen) // _EDGE_ROWS)])
        return [Source(self.kind, self.place, _edges(ordered, width)) for width in widths]


def _edges(ordered: IntArray, n_parts: int) -> list[int]:
    """Return rounded quantiles, or all values where these are few."""
    if not len(ordered):
        return []
    distinct = ordered[1:][ordered[1:] > ordered[:-1]]
    if len(distinct) < 2 * n_parts:
        return [int(value) for value in distinct]
    quantiles = ordered[np.arange(1, n_parts) * len(ordered) // n_parts]
    middle = float(quantiles[-1] - quantiles[0]) / 64
    grain = 1 << max(0, math.floor(math.log2(max(middle, 1.0))))
    rounded = np.unique(-(-quantiles // grain) * grain)
    return [int(edge) for edge in rounded if edge > ordered[0]]


def parts(source: Source, candidate: Candidate) -> IntArray:
    """Return the part of the context in each row."""
    return np.searchsorted(source.edges, candidate.seen, side="right").astype(np.int64)


def choose_levels_context(
    values: IntArray,
    size: int,
    candidates: Sequence[Candidate],
    weight: float,
    *,
    most: int = _MOST_SOURCES,
) -> tuple[tuple[Source, ...], float]:
    """Choose a context for adaptive tables.

    Parameters
    ----------
    values : ndarray of int64
        In [0, size): a sample of the column.
    size : int
        The number of levels.
    candidates : sequence of Candidate
        In order of preference among equals.
    weight : float
        Rows for each one of the sample.
    most : int
        The most parts.

    Returns
    -------
    sources : tuple of Source
        At most so many.
    bits : float
        What the sample's rows take, times the weight.
    """

    def cost(contexts: IntArray, n_contexts: int) -> float:
        return _adaptive_bits(contexts * size + values, n_contexts, size, weight)

    # Tables of more entries than rows are never learned, and take long to make.
    entries = min(_LARGEST_TABLES, max(_SMALL_TABLES, int(len(values) * weight) // 16))
    largest = min(LARGEST_CONTEXTS, entries // size)
    return _greedy(candidates, cost, len(values), (16, 6), largest, most)


def _greedy(
    candidates: Sequence[Candidate],
    cost: Callable[[IntArray, int], float],
    n_rows: int,
    widths: tuple[int, ...],
    largest: int,
    most: int = _MOST_SOURCES,
) -> tuple[tuple[Source, ...], float]:
    """Add sources one at a time while bits are saved."""
    chosen: list[Source] = []
    contexts, n_contexts = np.zeros(n_rows, np.int64), 1
    bits = cost(contexts, 1)
    options = _options(candidates, widths)
    for _ in range(most):
        best = None
        for source, part in options:
            count = n_contexts * (len(source.edges) + 1)
            if count > largest or not source.edges:
                continue
            joint = contexts * (len(source.edges) + 1) + part
            found = cost(joint, count) + _BITS_PER_EDGE * (2 + len(source.edges))
            if found < bits - 8 and (best is None or found < best[0]):
                best = (found, source, joint, count)
        if best is None:
            break
        bits, source, contexts, n_contexts = best
        chosen.append(source)
        options = [
            option
            for option in options
            if (option[0].kind, option[0].place) != (source.kind, source.place)
        ]
    return tuple(chosen), bits


def _options(
    candidates: Sequence[Candidate], widths: tuple[int, ...]
) -> list[tuple[Source, IntArray]]:
    found = []
    for candidate in candidates:
        before: list[int] = []
        for source in candidate.sources(widths):
            if source.edges != before:
                found.append((source, parts(source, candidate)))
            before = source.edges
    return found


def _adaptive_bits(joint: IntArray, n_contexts: int, size: int, weight: float) -> float:
    """Return about what adaptive tables take: evidence under a Dirichlet prior around the whole."""
    counts = np.bincount(joint, minlength=n_contexts * size).reshape(n_contexts, size) * weight
    totals = counts.sum(axis=1)
    own = counts.sum(axis=0)
    n_rows = max(1.0, float(own.sum()))
    # The column's own distribution is learned too, once.
    seen = own[own > 0]
    learned = float(gammaln(n_rows + 1) - gammaln(seen + 1 / size).sum())
    learned += float(len(seen) * gammaln(1 / size) - gammaln(1.0))
    if n_contexts == 1:
        return max(0.0, learned) / math.log(2)
    prior = 2 * own / n_rows + 1 / size
    context, symbol = np.nonzero(counts)
    found = float((gammaln(totals + 3) - gammaln(3.0)).sum())
    here = prior[symbol]
    found -= float((gammaln(counts[context, symbol] + here) - gammaln(here)).sum())
    # What the column's distribution costs to learn beyond its entropy.
    entropy = -float((seen * np.log(seen / n_rows)).sum())
    return max(0.0, found + max(0.0, learned - entropy)) / math.log(2)


def residual_bits(
    family: str, predictions: IntArray, scales: IntArray | int, values: IntArray
) -> IntArray:
    """Return what each value takes in 1/256 bits, coded as what its prediction leaves."""
    tables = shape_tables(family)
    base, width = shifted(np.broadcast_to(np.asarray(scales, np.int64), values.shape))
    place = predictions >> width
    whole, fraction = place >> 4, (place & 15) * FRACTIONS >> 4
    table = base * FRACTIONS + fraction
    radii = tables.radii[table]
    high = (values >> width) - whole
    outside = (high < -radii) | (high > radii + 1)
    symbol = tables.starts[table] + np.where(outside, 2 * radii + 2, radii + high)
    lengths = np.frexp(values.astype(np.float64))[1]
    bits = tables.bits[symbol] + np.where(outside, 6 + lengths, width)
    rounded: IntArray = (256 * bits).astype(np.int64)
    return rounded


def choose_residual_context(
    values: IntArray,
    predictions: IntArray,
    candidates: Sequence[Candidate],
    weight: float,
    *,
    most: int = _MOST_SOURCES,
    spreads: IntArray | None = None,
) -> tuple[tuple[Source, ...], str, list[int], float]:
    """Choose a context for frozen tables, their family, and the scale in each context.

    Parameters
    ----------
    values, predictions : ndarray of int64
        A sample of the column; predictions in sixteenths.
    candidates : sequence of Candidate
        What a context may look at.
    weight : float
        Rows for each one of the sample.
    most : int
        The most parts.
    spreads : ndarray of int64, optional
        What is added to the scale of each row.

    Returns
    -------
    sources : tuple of Source
        At most so many.
    family : str
        One of `FAMILIES`.
    scales : list of int
        One for each context.
    bits : float
        What the sample's rows take, times the weight.
    """
    added = np.zeros(len(values), np.int64) if spreads is None else spreads
    off = (np.abs(16 * values + 8 - predictions) / 16.0 + 0.05) * 2.0 ** (-added / 4)

    def cost(contexts: IntArray, n_contexts: int) -> float:
        counts = np.bincount(contexts, minlength=n_contexts)
        sums = np.bincount(contexts, weights=off, minlength=n_contexts)
        used = counts > 0
        spread = np.log2(sums[used] / counts[used] + 0.12)
        return weight * float((counts[used] * spread).sum()) + 6.0 * n_contexts

    sources, _ = _greedy(candidates, cost, len(values), (8, 4), 64, most)
    contexts, n_contexts = np.zeros(len(values), np.int64), 1
    for source in sources:
        candidate = next(
            item for item in candidates if (item.kind, item.place) == (source.kind, source.place)
        )
        contexts = contexts * (len(source.edges) + 1) + parts(source, candidate)
        n_contexts *= len(source.edges) + 1
    counts = np.bincount(contexts, minlength=n_contexts)
    means = np.bincount(contexts, weights=off, minlength=n_contexts) / np.maximum(counts, 1)
    means[counts == 0] = means[counts > 0].mean() if counts.any() else 1.0
    centre = np.rint(4 * np.log2(np.maximum(means, 1e-3) / 0.09)).astype(np.int64) - 3
    thin = slice(None, None, max(1, len(values) // _FAMILY_ROWS))
    short = values[thin], predictions[thin], contexts[thin], added[thin]
    tried = [(*_scales(family, *short, centre, range(-6, 4)), family) for family in FAMILIES]
    _, scales, family = min(tried, key=lambda item: item[0])
    # What few rows chose is chosen anew by all, from near it.
    bits, scales = _scales(family, values, predictions, contexts, added, scales, range(-2, 3))
    return sources, family, [int(scale) for scale in scales], weight * bits


def _scales(
    family: str,
    values: IntArray,
    predictions: IntArray,
    contexts: IntArray,
    added: IntArray,
    centre: IntArray,
    steps: range,
) -> tuple[float, IntArray]:
    """Find the best scale in each context among those near a given one, and what it takes."""
    offers: list[IntArray] = []
    costs: list[npt.NDArray[Any]] = []
    for step in steps:
        scales = np.clip(centre + step, 0, LARGEST_SCALE)
        moved = np.clip(scales[contexts] + added, 0, LARGEST_SCALE)
        bits = residual_bits(family, predictions, moved, values)
        offers.append(scales)
        costs.append(np.bincount(contexts, weights=bits, minlength=len(centre)))
    # Where no row is, the given one stands.
    costs[-steps.start] = costs[-steps.start] - 1e-9
    best = np.argmin(costs, axis=0)
    chosen = np.array(offers)[best, np.arange(len(centre))]
    return float(np.min(costs, axis=0).sum()) / 256, chosen
