"""Original beside reconstruction: the best, the median and the worst held-out rows."""

from __future__ import annotations

import numpy as np

from autoencode.report_parts.data import ReportData
from autoencode.report_parts.errors import Errors
from autoencode.report_parts.figures import profile_figure, worst_columns
from autoencode.report_parts.layout import Figure
from autoencode.report_parts.markup import (
    MISSING,
    RESTORED,
    breakable,
    plot,
    signed_bar,
    table,
    text,
    value_text,
)
from autoencode.report_parts.pictures import error_picture, picture, value_limits

__all__ = ["example_groups", "examples_section"]

_PICTURES_EACH = 4
_LONGEST_NAME = 28
_WIDE = 30
_COLUMNS_OF_NARROW = 12
_COLUMNS_OF_WIDE = 5


def example_groups(order: np.ndarray, each: int) -> dict[str, list[int]]:
    """Choose the best, median and worst rows; no row is chosen twice.

    Parameters
    ----------
    order : array of shape (r,)
        Rows from the best to the worst.
    each : int
        At most this many of each, fewer when there are few rows.

    Returns
    -------
    dict of str to list of int
        Rows by group; one row is its own group, two are the best and the worst.
    """
    rows = [int(row) for row in order]
    if len(rows) == 1:
        return {"The only row": rows}
    if len(rows) == 2:
        return {"Best": rows[:1], "Worst": rows[1:]}
    each = min(each, len(rows) // 3)
    middle = (len(rows) - each) // 2
    return {
        "Best": rows[:each],
        "Median": rows[middle : middle + each],
        "Worst": rows[-each:][::-1],
    }


def examples_section(data: ReportData, errors: Errors) -> tuple[str, dict[str, Figure]]:
    """Show rows beside their reconstructions, as pictures, profiles or tables.

    Parameters
    ----------
    data : ReportData
        The rows.
    errors : Errors
        For the choice of rows.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    if data.picture_shape is not None:
        return _picture_examples(data, errors, data.picture_shape), {}
    figures: dict[str, Figure] = {}
    cards = []
    for title, rows in example_groups(errors.order, 1).items():
        row = rows[0]
        profile = ""
        if data.n_columns > _WIDE:
            name = f"profile-{len(figures)}"
            figures[name] = profile_figure(data, errors, row)
            words = f"{title} row, original and reconstruction by column"
            profile = plot(name, words, 230)
        cards.append(
            f'<div class="card"><h3>{title} <span class="note">{_caption(data, errors, row)}'
            f"</span></h3>{profile}{_row_table(data, title, row)}</div>"
        )
    lead = (
        "<p>The error of a row is the root mean square over its columns, in units of each "
        "column’s scale. In the last column, a bar to the right means too high, to the left "
        "too low; it is full at 1 unit.</p>"
    )
    style = "stack" if figures else "trio"
    return f'{lead}<div class="{style}">{"".join(cards)}</div>', figures


def _caption(data: ReportData, errors: Errors, row: int) -> str:
    name = " ".join(data.row_name(row).split())
    if len(name) > _LONGEST_NAME:  # file names differ at their ends
        name = "…" + name[1 - _LONGEST_NAME :]
    return f"{text(name)} · error {value_text(float(errors.by_row[row]), 3)}"


def _row_table(data: ReportData, title: str, row: int) -> str:
    original = data.rows[row].astype(np.float64)
    rebuilt = data.reconstructions[row].astype(np.float64)
    error = (rebuilt - original) / data.unit
    most = _COLUMNS_OF_NARROW if data.n_columns <= _WIDE else _COLUMNS_OF_WIDE
    missing = np.isnan(original)
    shown = worst_columns(np.where(missing, -1.0, np.abs(error)), most)
    lines = [
        [
            f'<span class="name">{breakable(data.column_name(int(column)), 60)}</span>',
            MISSING if missing[column] else value_text(float(original[column])),
            value_text(float(rebuilt[column])),
            RESTORED if missing[column] else signed_bar(float(error[column])),
        ]
        for column in shown
    ]
    caption = f"{title} row: {_count(len(shown), data.n_columns)}"
    return table(
        caption, ["column", "original", "recon\u00adstruction", "error"], lines, style="row"
    )


def _count(shown: int, columns: int) -> str:
    if shown == columns:
        return "its one column" if columns == 1 else f"all {columns} columns, largest error first"
    return f"the {shown} columns with the largest errors, of {columns:,}"


def _picture_examples(data: ReportData, errors: Errors, shape: tuple[int, int, int]) -> str:
    groups = example_groups(errors.order, _PICTURES_EACH)
    rows = [row for group in groups.values() for row in group]
    difference = data.reconstructions[rows].astype(np.float64) - data.rows[rows]
    limits = value_limits(data.rows)
    limit = float(np.nan_to_num(np.abs(difference), posinf=0.0).max())
    limit = limit if limit > 0 else 1.0
    cards = []
    for title, group in groups.items():
        triples = [_triple(data, errors, row, shape, limits, limit) for row in group]
        cards.append(
            f'<div class="card"><h3>{title}</h3><p class="heads" aria-hidden="true">'
            "<span>original</span><span>reconstruction</span><span>error</span></p>"
            f"{''.join(triples)}</div>"
        )
    lead = (
        "<p>Each line is one held-out picture. Errors are "
        '<span class="high-text">red where the reconstruction is too bright</span>, '
        '<span class="low-text">blue where it is too dark</span>; full colour is an error of '
        f"{value_text(limit, 3)} on a scale of {value_text(limits[0], 3)} to "
        f"{value_text(limits[1], 3)}.{_channels_drawn(shape[2])}</p>"
    )
    return f'{lead}<div class="trio pictures">{"".join(cards)}</div>'


def _channels_drawn(count: int) -> str:
    """Say so if a picture has more channels than can be drawn."""
    if count <= 4:
        return ""
    return f" Of {count} channels the first three are drawn; errors are the largest of all."


def _triple(
    data: ReportData,
    errors: Errors,
    row: int,
    shape: tuple[int, int, int],
    limits: tuple[float, float],
    limit: float,
) -> str:
    original, rebuilt = data.rows[row], data.reconstructions[row]
    name = text(data.row_name(row))
    sources = {
        "original": picture(original, shape, limits),
        "reconstruction": picture(rebuilt, shape, limits),
        "error": error_picture(rebuilt.astype(np.float64) - original, shape, limit),
    }
    images = "".join(
        f'<img class="{kind}" src="{source}" alt="{name}, {kind}">'
        for kind, source in sources.items()
    )
    caption = _caption(data, errors, row)
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>"
