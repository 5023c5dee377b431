"""Paths of penalties as one SVG: a panel each, effect and test error by strength."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, COLUMNS = 300, 220, 3
LEFT, RIGHT, TOP, BOTTOM = 42, 42, 40, 34
EFFECT, ERROR, INK, LIGHT = "#0b6e99", "#c4572a", "#333333", "#cccccc"


def draw(paths: Mapping[str, Any]) -> str:
    """Return the figure.

    Parameters
    ----------
    paths : mapping of str to dict
        By penalty: ``effect``, a name, and ``points``: strength, effect, error over PCA's.
    """
    rows = -(-len(paths) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, (name, path) in enumerate(paths.items()):
        x, y = place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x},{y})">{panel(name, path)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def panel(name: str, path: Mapping[str, Any]) -> str:
    """Return one panel: the effect on the left axis, the error on the right."""
    strengths, effects, errors = zip(*path["points"], strict=True)
    across = scale([math.log10(s) for s in strengths], LEFT, WIDTH - RIGHT)
    bottom = HEIGHT - BOTTOM
    top_effect, top_error = nice(max(effects)), nice(max(*errors, 1.0))
    xs = [across(math.log10(s)) for s in strengths]
    left = [bottom - (bottom - TOP) * value / top_effect for value in effects]
    right = [bottom - (bottom - TOP) * value / top_error for value in errors]
    floor = bottom - (bottom - TOP) / top_error
    parts = [
        text(LEFT, 15, name, INK, weight="bold"),
        text(LEFT, 30, path["effect"], EFFECT),
        text(WIDTH - RIGHT, 30, "test error / PCA's", ERROR, anchor="end"),
        line([LEFT, WIDTH - RIGHT], [bottom, bottom], INK),
        line([LEFT, WIDTH - RIGHT], [floor, floor], LIGHT),
        text(LEFT - 5, TOP + 4, f"{top_effect:g}", EFFECT, anchor="end"),
        text(LEFT - 5, bottom, "0", EFFECT, anchor="end"),
        text(WIDTH - RIGHT + 5, TOP + 4, f"{top_error:g}", ERROR),
        text(WIDTH - RIGHT + 5, floor + 4, "1", ERROR),
        text(WIDTH - RIGHT + 5, bottom, "0", ERROR),
        line(xs, left, EFFECT, dots=True),
        line(xs, right, ERROR, dots=True),
    ]
    parts += [
        text(x, bottom + 14, f"{strength:g}", INK, anchor="middle")
        for x, strength in zip(xs, strengths, strict=True)
    ]
    return "".join(parts)


def scale(values: Sequence[float], start: float, stop: float) -> Any:
    """Return the map from values to places, with room at both ends."""
    low, high = min(values), max(values)
    spread = max(high - low, 1e-9)
    return lambda value: start + 12 + (stop - start - 24) * (value - low) / spread


def nice(value: float) -> float:
    """Return the next number of one or two digits."""
    unit = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    for factor in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if value <= factor * unit:
            return factor * unit
    return value


def text(
    x: float, y: float, words: str, fill: str, *, anchor: str = "start", weight: str = "normal"
) -> str:
    """Return a line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{words}</text>'
    )


def line(xs: Sequence[float], ys: Sequence[float], stroke: str, *, dots: bool = False) -> str:
    """Return a line through points, marked or not."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    result = f'<polyline points="{places}" fill="none" stroke="{stroke}" stroke-width="1.5"/>'
    if dots:
        result += "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{stroke}"/>'
            for x, y in zip(xs, ys, strict=True)
        )
    return result
