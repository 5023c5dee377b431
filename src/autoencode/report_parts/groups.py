"""Columns of few levels by which the points of the codes can be coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.report_parts.layout import Figure, label, numbers

__all__ = ["Grouping", "best_separated", "group_switches", "group_traces"]

_MOST_GROUPINGS = 4
_LEAST_SEPARATION = 0.02
_COLOURS = ("--accent", "--series-3", "--series-2", "--series-4", "--series-5")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star")


@dataclass(frozen=True)
class Grouping:
    """A column of few levels.

    Parameters
    ----------
    name : str
        The column's name.
    levels : tuple of str
        What its levels are.
    places : array of shape (r,)
        The level of each row; -1 where it is missing, ``len(levels)`` where it is none
        of these.
    """

    name: str
    levels: tuple[str, ...]
    places: np.ndarray


def best_separated(candidates: Sequence[Grouping], codes: np.ndarray) -> tuple[Grouping, ...]:
    """Choose the columns whose levels lie apart in the first two components.

    Parameters
    ----------
    candidates : sequence of Grouping
        Columns to choose from.
    codes : array of shape (r, k)
        The codes of the same rows.

    Returns
    -------
    tuple of Grouping
        At most 4, the best separated first.
    """
    scores = np.array([_separation(candidate.places, codes[:, :2]) for candidate in candidates])
    best = np.argsort(-scores, kind="stable")[:_MOST_GROUPINGS]
    return tuple(candidates[place] for place in best if scores[place] >= _LEAST_SEPARATION)


def _separation(places: np.ndarray, codes: np.ndarray) -> float:
    """Return the share of the codes' variance between levels, adjusted for their number."""
    known = places >= 0
    levels, place = np.unique(places[known], return_inverse=True)
    if len(levels) < 2 or len(place) <= len(levels):
        return 0.0
    points = codes[known].astype(np.float64)
    deviation = points.std(axis=0)
    points = (points - points.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    total = float(np.square(points).sum())
    counts = np.bincount(place)
    sums = np.stack([np.bincount(place, weights=part) for part in points.T], axis=1)
    means = sums / counts[:, None]
    within = float(np.square(points - means[place]).sum())
    if not total > 0:
        return 0.0
    return 1.0 - within / total * (len(place) - 1) / (len(place) - len(levels))


def group_traces(
    grouping: Grouping, codes: np.ndarray, row_numbers: np.ndarray, size: int
) -> list[Figure]:
    """Draw the points of each level, hidden at first.

    Parameters
    ----------
    grouping : Grouping
        The column, of the rows that are drawn.
    codes : array of shape (n, k), k > 1
        Their codes.
    row_numbers : array of shape (n,)
        Their numbers.
    size : int
        Of a point, in pixels.

    Returns
    -------
    list of dict
        A trace for each of the five commonest levels; one for all others and one for
        missing cells, if there are any.
    """
    places = np.asarray(grouping.places)
    counts = np.bincount(places[places >= 0], minlength=len(grouping.levels) + 1)
    common = np.argsort(-counts[:-1], kind="stable")[: len(_COLOURS)]
    chosen = sorted(place for place in common if counts[place])
    groups = [
        (grouping.levels[place], places == place, _COLOURS[order], _SYMBOLS[order])
        for order, place in enumerate(chosen)
    ]
    others = (places >= 0) & ~np.isin(places, chosen)
    groups += [("further levels", others, "--muted", "circle-open")] if others.any() else []
    missing = places < 0
    groups += [("missing", missing, "--muted", "x-thin-open")] if missing.any() else []
    column = label(grouping.name, 40)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "visible": False,
            "name": label(name, 24),
            "x": numbers(codes[rows, 0], 5),
            "y": numbers(codes[rows, 1], 5),
            "customdata": row_numbers[rows].astype(int).tolist(),
            "hovertemplate": f"row %{{customdata}}<br>{column}: {label(name, 60)}<extra></extra>",
            "marker": {"size": size, "opacity": 0.85, "color": colour, "symbol": symbol},
        }
        for name, rows, colour, symbol in groups
    ]


def group_switches(names: Sequence[str], counts: Sequence[int]) -> list[tuple[str, object]]:
    """Offer the points coloured by error, and by each of the columns.

    Parameters
    ----------
    names : sequence of str
        The columns' names.
    counts : sequence of int
        How many traces each of them has, after the one of the errors.

    Returns
    -------
    list of (str, object)
        Names and settings of the buttons; none if there are no columns.
    """
    if not names:
        return []
    owners = np.repeat(np.arange(len(counts) + 1), [1, *counts])
    every = ["error", *names]
    return [(name, {"visible": (owners == owner).tolist()}) for owner, name in enumerate(every)]
