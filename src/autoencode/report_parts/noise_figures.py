"""The figures of a report on noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoencode.report_parts.layout import Figure, axis, layout, line, numbers

__all__ = ["histogram_figure", "levels_figure"]

_COLOURS = ("--muted", "--pca", "--accent")
_DASHES = ("dot", "dash", "solid")
_BINS = 61
_WIDEST = 4.0


def levels_figure(
    levels: Sequence[float],
    errors: Mapping[str, Sequence[float]],
    titles: tuple[str, str],
    *,
    from_zero: bool = True,
) -> Figure:
    """Draw errors, or quality, against the strength of what was done.

    Parameters
    ----------
    levels : sequence of float
        Ascending.
    errors : mapping of str to sequence of float
        Three lines, by name.
    titles : pair of str
        Of the two axes.
    from_zero : bool
        Whether the second axis begins there.

    Returns
    -------
    dict
        A plotly figure.
    """
    x = numbers(levels)
    traces = [
        line(
            x, numbers(values), name, colour, dash=dash, marker={"size": 6},
            hovertemplate="%{y:.3~g}",
        )
        for (name, values), colour, dash in zip(errors.items(), _COLOURS, _DASHES, strict=True)
    ]  # fmt: skip
    both = {
        "xaxis": axis(titles[0], rangemode="tozero", hoverformat=".3~g"),
        "yaxis": axis(titles[1], rangemode="tozero" if from_zero else "normal"),
    }
    return {"data": traces, "layout": layout(hovermode="x unified", **both)}


def histogram_figure(values: np.ndarray) -> Figure:
    """Draw how often values are, beside the normal density of their deviation.

    Parameters
    ----------
    values : array of shape (n,)
        Centred near zero; those further than 4 are counted at the ends.

    Returns
    -------
    dict
        A plotly figure.
    """
    edges = np.linspace(-_WIDEST, _WIDEST, _BINS + 1)
    counts, _ = np.histogram(np.clip(values, -_WIDEST, _WIDEST), edges)
    middle, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    density = counts / max(1, counts.sum()) / width
    deviation = float(np.std(values)) or 1.0
    normal = np.exp(-0.5 * np.square(middle / deviation)) / (deviation * np.sqrt(2 * np.pi))
    bars: Figure = {
        "type": "bar",
        "name": "taken out",
        "x": numbers(middle),
        "y": numbers(density),
        "marker": {"color": "--accent"},
        "hovertemplate": "%{x:.2f}: %{y:.3f}<extra></extra>",
    }
    curve = line(numbers(middle), numbers(normal), "normal", "--text", hoverinfo="skip")
    both = {"xaxis": axis("in deviations of the noise"), "yaxis": axis("density")}
    return {"data": [bars, curve], "layout": layout(bargap=0.05, **both)}
