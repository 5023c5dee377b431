"""The sections of the report, apart from the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autoencode.report_parts.curves import (
    curve_figure,
    curve_scale,
    geometric_choice,
    history_figure,
    history_scale,
)
from autoencode.report_parts.data import FittedData, PageData, ReportData
from autoencode.report_parts.errors import Errors
from autoencode.report_parts.figures import (
    TOP_COLUMNS,
    code_figure,
    column_figure,
    heat_figure,
    point_size,
    shown_codes,
)
from autoencode.report_parts.groups import Grouping, group_switches, group_traces
from autoencode.report_parts.layout import Figure, scale_switches
from autoencode.report_parts.markup import (
    percent,
    plot,
    ratio_text,
    shorten,
    table,
    text,
    value_text,
)
from autoencode.report_parts.pictures import Sprite, sprite, value_limits

__all__ = [
    "codes_section",
    "columns_section",
    "curve_section",
    "facts_section",
    "history_section",
    "loading_section",
    "thumbnails",
]

_MOST_SIZES = 20
Section = tuple[str, dict[str, Figure]]


def curve_section(data: FittedData) -> Section:
    """Show how held-out quality grows with the size of the code, against PCA.

    Parameters
    ----------
    data : FittedData
        Its curve.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    sizes = np.asarray(data.curve["size"])
    keep = geometric_choice(sizes, data.chosen_size, _MOST_SIZES)
    lines = []
    for size in sizes[keep].tolist():
        at = data.curve_at(size)
        shares = [percent(at[key]) for key in ("explained_variance", "pca_explained_variance")]
        model = "network" if at["network"] else "PCA"
        lines.append([f"{size:,}", *shares, ratio_text(at["ratio"]), model])
    caption = "Held-out variance explained by number of components"
    if len(keep) < len(sizes):
        caption += f" ({len(keep)} of {len(sizes):,} sizes)"
    header = ["size", "explained", "PCA’s", "error ÷ PCA’s", "model"]
    marked = int(np.flatnonzero(sizes[keep] == data.chosen_size)[0])
    numbers = table(caption, header, lines, marked=marked)
    lead = (
        "<p>Share of the variance of rows that training never saw, at every size of the code. "
        "Below it, squared error as a share of PCA’s: under 1 is better than PCA. Where the "
        "network does not pay, the model is PCA (open circles).</p>"
    )
    switches = scale_switches("xaxis", curve_scale(sizes)) if len(sizes) > 1 else []
    words = f"Variance explained against number of components; {data.chosen_size} were chosen"
    drawing = plot("curve", words, 560, switches)
    content = f'<div class="card">{drawing}</div><div class="card">{numbers}</div>'
    return f'{lead}<div class="beside">{content}</div>', {"curve": curve_figure(data)}


def columns_section(data: ReportData, errors: Errors) -> Section:
    """Show which columns, or pixels, are reconstructed well.

    Parameters
    ----------
    data : ReportData
        The rows.
    errors : Errors
        Their errors by column.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    unit = "units of each column’s scale (its standard deviation, or 1 where it is constant)"
    if data.has_common_unit:
        unit = f"units of the data’s common scale, {value_text(float(data.unit[0]))}"
    if data.picture_shape is not None:
        return _heat_maps(data, errors, data.picture_shape, unit)
    shown = min(TOP_COLUMNS, data.n_columns)
    note = ""
    if shown < data.n_columns:
        middle, high = np.nanquantile(errors.by_column, [0.5, 0.9])
        note = (
            f" The {shown} largest of {data.n_columns:,} are drawn, {data.n_columns - shown:,} "
            f"more are below them: half of all columns lie under {value_text(float(middle), 3)}, "
            f"nine in ten under {value_text(float(high), 3)}."
        )
    lead = (
        f"<p>Root mean squared error over the {len(data.rows):,} held-out rows, in {unit}. The "
        "mark is the column’s own spread, which is the error of knowing nothing but its mean: "
        f"the gap between bar and mark is what the code carries.{note}</p>"
    )
    words = f"Bars of the error of {shown} columns, largest first"
    drawing = plot("columns", words, 120 + 24 * shown)
    return f'{lead}<div class="card">{drawing}</div>', {"columns": column_figure(data, errors)}


def _heat_maps(data: ReportData, errors: Errors, shape: tuple[int, int, int], unit: str) -> Section:
    both = np.nan_to_num([errors.spread, errors.by_column], posinf=0.0)
    top = float(both.max()) or 1.0
    maps = {
        "spread": ("What there is to explain", "the spread of each pixel", errors.spread),
        "errors": ("What is left as error", "the error of each pixel", errors.by_column),
    }
    cards = "".join(
        f'<div class="card"><h3>{title} <span class="note">{words}</span></h3>'
        f"{plot(name, f'Heat map of {words}', 330)}</div>"
        for name, (title, words, _) in maps.items()
    )
    lead = (
        f"<p>Over the {len(data.rows):,} held-out pictures, in {unit}. Left, how much each pixel "
        "varies; right, on the same colours, the root mean squared error that remains.</p>"
    )
    figures = {name: heat_figure(values, shape, top) for name, (_, _, values) in maps.items()}
    return f'{lead}<div class="pair">{cards}</div>', figures


def thumbnails(data: ReportData) -> Sprite | None:
    """Draw thumbnails of the rows whose codes are shown, when rows are pictures."""
    if data.picture_shape is None or data.codes.shape[1] < 2:
        return None
    rows = data.rows[shown_codes(len(data.codes))]
    return sprite(rows, data.picture_shape, value_limits(data.rows))


def codes_section(
    data: FittedData,
    errors: np.ndarray,
    pictures: Sprite | None = None,
    groupings: Sequence[Grouping] = (),
) -> Section:
    """Show the codes' first two components, with pictures of the rows when there are any.

    Parameters
    ----------
    data : FittedData
        The codes.
    errors : array of shape (r,)
        The error of each row, for the colours.
    pictures : Sprite or None
        Thumbnails of the rows.
    groupings : sequence of Grouping
        Columns by which the points can be coloured instead.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    if data.codes.shape[1] < 2:
        figure = code_figure(data, errors)
        lead = "<p>The code of each held-out row: this model has one component.</p>"
        drawing = plot("codes", "Histogram of the one component", 340)
        return f'{lead}<div class="card">{drawing}</div>', {"codes": figure}
    traces = _group_traces(data, groupings)
    figure = code_figure(data, errors, traces)
    colour = "its error, or by the level of a column" if groupings else "its error"
    lead = (
        f"<p>Each point is one of {len(shown_codes(len(data.codes))):,} held-out rows, placed by "
        f"the two most important components and coloured by {colour}. Rows that look alike "
        "should lie together.</p>"
    )
    names = [shorten(grouping.name, 24) for grouping in groupings]
    switches = group_switches(names, [len(group) for group in traces])
    sheet = ""
    if pictures is not None:
        switches = [("points", {"pictures": False}), ("pictures", {"pictures": True})]
        sheet = f'<img id="sprite" hidden alt="" src="{pictures.uri}">'
    words = "Held-out rows by their first two components"
    drawing = plot("codes", words, 520, switches)
    return f'{lead}<div class="card">{drawing}</div>{sheet}', {"codes": figure}


def _group_traces(data: FittedData, groupings: Sequence[Grouping]) -> list[list[Figure]]:
    shown = shown_codes(len(data.codes))
    codes, numbers = data.codes[shown], np.asarray(data.row_numbers)[shown]
    size = point_size(len(shown))
    return [
        group_traces(replace(grouping, places=grouping.places[shown]), codes, numbers, size)
        for grouping in groupings
    ]


def history_section(data: PageData) -> Section:
    """Show every loss term by epoch.

    Parameters
    ----------
    data : FittedData
        Its history.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    history: dict[str, list[Any]] = {key: list(values) for key, values in data.history.items()}
    if not history.get("epoch"):
        return "<p>Nothing was trained: this linear model is solved directly, as PCA is.</p>", {}
    switches = scale_switches("yaxis", history_scale(history))
    lead = (
        "<p>Every loss term by epoch. The thick line is the error on held-out rows; the weights "
        "at its lowest point (star) are the ones kept.</p>"
    )
    drawing = plot("history", "Loss terms and held-out error by epoch", 420, switches)
    return f'{lead}<div class="card">{drawing}</div>', {"history": history_figure(history)}


def loading_section(data: PageData) -> str:
    """Show the Python that loads the model, with a button to copy it."""
    return (
        '<div class="card code"><p>Python <button type="button" id="copy" hidden>Copy</button></p>'
        f'<pre tabindex="0"><code id="snippet">{text(data.loading.strip())}</code></pre></div>'
    )


def facts_section(data: PageData) -> str:
    """List the facts of the fit."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in data.facts.items()
    )
    return f'<dl class="facts">{items}</dl>'
