"""What all of the report's figures have in common.

Figures are plotly's plain JSON. A colour written ``"--name"`` is a colour of the page's
style sheet: the page fills it in, so that figures follow the reader's light or dark
scheme. Text from the data goes through ``label``, because plotly reads HTML tags in text.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from autoencode.report_parts.markup import shorten

__all__ = [
    "Figure",
    "axis",
    "label",
    "layout",
    "line",
    "log_or_linear",
    "numbers",
    "scale_switches",
]

Figure = dict[str, Any]


def label(value: str, length: int) -> str:
    """Make text from the data safe for a plotly label, at most ``length`` characters."""
    return html.escape(shorten(value, length), quote=False)


def numbers(values: Sequence[Any] | np.ndarray, digits: int = 6) -> list[float | None]:
    """Round to ``digits`` significant digits; what is missing or not finite becomes ``None``."""
    floats = np.asarray([np.nan if value is None else float(value) for value in values])
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in floats]


def line(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **options: Any) -> Figure:
    """Make a line, with markers when ``marker`` is given.

    Parameters
    ----------
    x, y : sequence
        The points.
    name : str
        Its entry in the legend.
    colour : str
        A colour of the page.
    **options
        ``width`` and ``dash`` of the line, ``marker``, and anything else that plotly's
        scatter takes.

    Returns
    -------
    dict
        A plotly trace.
    """
    stroke = {
        "color": colour,
        "width": options.pop("width", 2),
        "dash": options.pop("dash", "solid"),
    }
    marker = options.pop("marker", None)
    trace: Figure = {"type": "scatter", "x": list(x), "y": list(y), "name": name, "line": stroke}
    trace["mode"] = "lines" if marker is None else "lines+markers"
    if marker is not None:
        trace["marker"] = {"color": colour} | marker
    return trace | options


def axis(title: str, **options: Any) -> Figure:
    """Make an axis in the page's colours; ``options`` are plotly's."""
    return {
        "title": {"text": title, "standoff": 8},
        "gridcolor": "--grid",
        "linecolor": "--line",
        "zeroline": False,
        "automargin": True,
    } | options


def log_or_linear(values: Sequence[Any] | np.ndarray, scale: str) -> Figure:
    """Give an axis of positive values its scale, and round ticks for when it is ``log``.

    Parameters
    ----------
    values : sequence
        What is drawn along the axis.
    scale : {"log", "linear"}
        The scale to begin with; ``scale_switches`` change it.

    Returns
    -------
    dict
        Options for ``axis``.
    """
    options: Figure = {"type": scale, "tickmode": "array" if scale == "log" else "auto"}
    positive = [value for value in numbers(values) if value is not None and value > 0]
    if not positive:
        return options
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [float(f"{step}e{power}") for power in range(low, high + 1) for step in steps]
    return options | {"tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks]}


def scale_switches(name: str, scale: str) -> list[tuple[str, object]]:
    """Offer an axis on both scales, beginning with ``scale``."""
    switches: list[tuple[str, object]] = [
        ("log scale", {name: {"type": "log", "tickmode": "array"}}),
        ("linear", {name: {"type": "linear", "tickmode": "auto"}}),
    ]
    return switches if scale == "log" else switches[::-1]


def layout(**options: Any) -> Figure:
    """Make a layout in the page's colours and fonts; ``options`` are plotly's."""
    return {
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "--muted"},
        "margin": {"l": 8, "r": 12, "t": 34, "b": 8},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "hoverlabel": {
            "bgcolor": "--surface",
            "bordercolor": "--line",
            "font": {"color": "--text"},
            "align": "left",
        },
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "--muted",
            "activecolor": "--accent",
        },
        "uirevision": "kept",
    } | options
