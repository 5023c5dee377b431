"""Columns, rows and codes, as plotly figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from autoencode.report_parts.data import FittedData, ReportData
from autoencode.report_parts.errors import Errors
from autoencode.report_parts.layout import Figure, axis, label, layout, line, numbers

__all__ = [
    "TOP_COLUMNS",
    "code_figure",
    "column_figure",
    "heat_figure",
    "point_size",
    "profile_figure",
    "shown_codes",
    "worst_columns",
]

TOP_COLUMNS = 40
_MOST_PROFILE_POINTS = 400
_MOST_CODES = 3_000
_MOST_HEAT_SIDE = 96
_HEAT = [[0.0, "--heat-low"], [0.5, "--heat-middle"], [1.0, "--heat-high"]]


def worst_columns(sizes: np.ndarray, most: int) -> np.ndarray:
    """Give the columns with the largest values, largest first, at most ``most``."""
    return np.argsort(-np.nan_to_num(sizes, nan=np.inf), kind="stable")[:most]


def column_figure(data: ReportData, errors: Errors) -> Figure:
    """Draw the columns with the largest errors as bars, beside what each column varies.

    Parameters
    ----------
    data : ReportData
        For the names.
    errors : Errors
        Its errors by column.

    Returns
    -------
    dict
        A plotly figure.
    """
    shown = worst_columns(errors.by_column, TOP_COLUMNS)[::-1]
    places = list(range(len(shown)))
    hover = [
        [label(data.column_name(column), 120), *numbers([error, spread, share], 4)]
        for column, error, spread, share in zip(
            shown,
            errors.by_column[shown],
            errors.spread[shown],
            errors.explained[shown],
            strict=True,
        )
    ]
    template = "<b>%{customdata[0]}</b><br>error %{customdata[1]}<br>"
    template += "spread %{customdata[2]}<br>explained %{customdata[3]:.1%}<extra></extra>"
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "name": "error",
        "marker": {"color": "--accent", "cornerradius": 3},
        "x": numbers(errors.by_column[shown]),
    }
    ticks: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": "spread",
        "marker": {"symbol": "line-ns-open", "size": 14, "color": "--pca", "line": {"width": 2.5}},
        "x": numbers(errors.spread[shown]),
    }
    common = {"y": places, "customdata": hover, "hovertemplate": template}
    names = [label(data.column_name(column), 22) for column in shown]
    y = axis("", tickmode="array", tickvals=places, ticktext=names, showgrid=False)
    return {
        "data": [bars | common, ticks | common],
        "layout": layout(
            xaxis=axis("in column scales", rangemode="tozero"),
            yaxis=y | {"range": [-0.6, len(shown) - 0.4]},
            bargap=0.35,
        ),
    }


def heat_figure(values: np.ndarray, shape: tuple[int, int, int], top: float) -> Figure:
    """Draw one value per pixel as a heat map.

    Parameters
    ----------
    values : array of shape (d,)
        Root mean squares; channels and, in large pictures, neighbours are joined.
    shape : tuple of int
        Height, width and channels.
    top : float
        The value at the top of the colour scale.

    Returns
    -------
    dict
        A plotly figure with square pixels.
    """
    pixels = np.mean(values.reshape(shape) ** 2, axis=2)
    step = math.ceil(max(shape[:2]) / _MOST_HEAT_SIDE)
    for side in (0, 1):
        starts = np.arange(0, pixels.shape[side], step)
        counts = np.diff([*starts, pixels.shape[side]])
        sums = np.add.reduceat(pixels, starts, axis=side)
        pixels = sums / counts.reshape((-1, 1) if side == 0 else (1, -1))
    heat: Figure = {
        "type": "heatmap",
        "z": [numbers(line_of_pixels, 4) for line_of_pixels in np.sqrt(pixels)],
        "x0": step // 2,
        "dx": step,
        "y0": step // 2,
        "dy": step,
        "zmin": 0,
        "zmax": top,
        "colorscale": _HEAT,
        "colorbar": {"thickness": 10, "outlinewidth": 0, "nticks": 5},
        "hovertemplate": "line %{y}, column %{x}: %{z:.3g}<extra></extra>",
    }
    plain: Figure = {"showgrid": False, "ticks": "", "showline": False, "constrain": "domain"}
    y = axis("", autorange="reversed", scaleanchor="x", **plain)
    return {
        "data": [heat],
        "layout": layout(
            xaxis=axis("", **plain), yaxis=y, margin={"l": 8, "r": 8, "t": 30, "b": 8}
        ),
    }


def profile_figure(data: ReportData, errors: Errors, row: int) -> Figure:
    """Draw a row and its reconstruction across the columns.

    In data wider than 400 columns, neighbouring columns are joined and the one with the
    largest error stands for them. Columns with scales of their own are drawn as distance
    from their mean in units of their scale.

    Parameters
    ----------
    data : ReportData
        The rows.
    errors : Errors
        For the columns' means.
    row : int
        Which row to draw.

    Returns
    -------
    dict
        A plotly figure.
    """
    original = data.rows[row].astype(np.float64)
    rebuilt = data.reconstructions[row].astype(np.float64)
    unit = "value"
    if not data.has_common_unit:
        original = (original - errors.mean) / data.unit
        rebuilt = (rebuilt - errors.mean) / data.unit
        unit = "distance from mean, in scales"
    edges = np.linspace(0, data.n_columns, min(data.n_columns, _MOST_PROFILE_POINTS) + 1)
    size = np.nan_to_num(np.abs(rebuilt - original), nan=np.inf)
    size[np.isnan(original)] = -1.0
    shown = [
        int(start) + int(size[int(start) : int(end)].argmax()) for start, end in pairwise(edges)
    ]
    names = [label(data.column_name(column), 60) for column in shown]
    template = "%{y:.4~g}"
    traces = [
        line(shown, numbers(original[shown]), "original", "--text", width=1.5),
        line(shown, numbers(rebuilt[shown]), "reconstruction", "--accent", width=1.75),
    ]
    for trace in traces:
        trace |= {"hovertemplate": template, "text": names}
    traces[0]["hovertemplate"] += " · %{text}"
    return {
        "data": traces,
        "layout": layout(xaxis=axis("column"), yaxis=axis(unit), hovermode="x unified"),
    }


def shown_codes(count: int) -> np.ndarray:
    """Choose at most 3,000 evenly spaced rows whose codes are drawn."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_CODES)).round().astype(int))


def point_size(count: int) -> int:
    """Return the size of a point among so many, in pixels."""
    return 7 if count <= 1_000 else 5


def code_figure(
    data: FittedData, errors: np.ndarray, groups: Sequence[Sequence[Figure]] = ()
) -> Figure:
    """Draw the first two components as points coloured by error, or one as a histogram.

    Parameters
    ----------
    data : FittedData
        The codes.
    errors : array of shape (r,)
        The error of each row, for the colours.
    groups : sequence of sequence of dict
        Further traces; see ``groups.group_traces``.

    Returns
    -------
    dict
        A plotly figure; each point's ``customdata`` is its row number and its error.
    """
    shown = shown_codes(len(data.codes))
    if data.codes.shape[1] < 2:
        bars: Figure = {
            "type": "histogram",
            "x": numbers(data.codes[shown, 0]),
            "marker": {"color": "--accent", "cornerradius": 2},
            "hovertemplate": "%{x}: %{y} rows<extra></extra>",
        }
        both = {"xaxis": axis("component 1"), "yaxis": axis("rows")}
        return {"data": [bars], "layout": layout(bargap=0.06, showlegend=False, **both)}
    points = _error_points(data, errors[shown], shown)
    if data.picture_shape is not None:
        points |= {"hoverinfo": "none", "hovertemplate": ""}
    both = {"xaxis": axis("component 1"), "yaxis": axis("component 2")}
    if groups:
        points["showlegend"] = False
    traces = [points, *(trace for group in groups for trace in group)]
    return {"data": traces, "layout": layout(hovermode="closest", **both)}


def _error_points(data: FittedData, error: np.ndarray, shown: np.ndarray) -> Figure:
    """Draw rows by their codes, coloured by their errors."""
    finite = error[np.isfinite(error)]
    low, high = np.quantile(finite, [0.02, 0.98]).tolist() if finite.size else (0.0, 1.0)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": numbers(data.codes[shown, 0], 5),
        "y": numbers(data.codes[shown, 1], 5),
        "customdata": [
            [int(number), value]
            for number, value in zip(
                np.asarray(data.row_numbers)[shown], numbers(error, 4), strict=True
            )
        ],
        "hovertemplate": "row %{customdata[0]}<br>error %{customdata[1]}<extra></extra>",
        "marker": {
            "size": point_size(len(shown)),
            "opacity": 0.85,
            "color": numbers(np.nan_to_num(error, nan=high, posinf=high), 4),
            "colorscale": [[0.0, "--dot-low"], [0.5, "--dot-middle"], [1.0, "--dot-high"]],
            "cmin": low,
            "cmax": high if high > low else low + 1.0,
            "colorbar": {"title": {"text": "error"}, "thickness": 10, "outlinewidth": 0},
        },
    }
