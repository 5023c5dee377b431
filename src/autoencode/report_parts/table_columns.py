"""How well each column of a table is reconstructed, and which are left out."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from autoencode.report_parts.cells import tidy_times
from autoencode.report_parts.markup import (
    breakable,
    percent,
    share_bar,
    shorten,
    table,
    text,
)
from autoencode.report_parts.table_data import ColumnFacts, TableReportData

__all__ = ["table_columns_section"]

_MOST_COLUMNS = 40
_MOST_LEFT_OUT = 20


def table_columns_section(data: TableReportData) -> str:
    """List the columns from the worst to the best, and those that are not learned.

    Parameters
    ----------
    data : TableReportData
        Its columns.

    Returns
    -------
    str
        HTML.
    """
    learned = [column for column in data.columns if column.measure is not None]
    skills = np.array([column.skill for column in learned])
    # What could not be measured comes last.
    order = np.argsort(np.nan_to_num(skills, nan=np.inf), kind="stable")
    shown = [learned[place] for place in order[:_MOST_COLUMNS]]
    lead = (
        "<p>On held-out rows, the worst first. Of numbers, counts and dates, R² is the share of "
        "the variance that is kept; always answering the mean would keep 0. Of levels, it is the "
        "share that is right; the mark in the bar is what always answering the commonest level "
        f"would reach.{_rest(skills)}</p>"
    )
    best = f"the worst {len(shown)} of {len(learned):,}, " if len(shown) < len(learned) else ""
    quality = table(
        f"Quality by column: {best}{_kinds(learned)}",
        ["column", "quality", "missing", "share of the error"],
        [_line(column) for column in shown],
        style="row meters quality",
    )
    cards = f'<div class="card">{quality}</div>'
    left_out = [column for column in data.columns if column.measure is None]
    return f'{lead}<div class="stack">{cards}{_left_out(left_out)}</div>'


def _rest(skills: np.ndarray) -> str:
    known = skills[~np.isnan(skills)]
    if len(skills) <= _MOST_COLUMNS or not len(known):
        return ""
    median = percent(float(np.median(known)))
    return (
        f" The {_MOST_COLUMNS} worst are listed; half of all {len(skills):,} columns go {median} "
        "or more of the way from there to perfect."
    )


def _kinds(columns: list[ColumnFacts]) -> str:
    counts = Counter(column.kind for column in columns)
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())


def _line(column: ColumnFacts) -> list[str]:
    name = f'<span class="name">{breakable(column.name, 60)}</span>'
    return [
        f'{name}<span class="note">{text(shorten(tidy_times(column.detail), 120))}</span>',
        _quality(column),
        _missing(column.missing_share),
        percent(column.error_share),
    ]


def _missing(share: float) -> str:
    if 0 < share < 0.001:
        return "&lt;0.1%"
    return percent(share) if share else "0"


def _quality(column: ColumnFacts) -> str:
    if column.quality is None:
        return '<span class="missing">not measured</span>'
    if column.measure == "explained_variance":
        written = f"R² {_three_decimals(column.quality)}"
        return f'{share_bar(column.quality)}<span class="number">{written}</span>'
    note = ""
    if column.baseline is not None:
        note = f'<span class="note">commonest: {percent(column.baseline)}</span>'
    written = f"{percent(column.quality)} right"
    bar = share_bar(column.quality, column.baseline)
    return f'{bar}<span class="number">{written}{note}</span>'


def _three_decimals(quality: float) -> str:
    """Write R² so that what is less than 1 is not rounded up to it."""
    kept = min(quality, 0.999) if quality < 1 else quality
    return f"{kept:.3f}".replace("-", "−")


def _left_out(columns: list[ColumnFacts]) -> str:
    if not columns:
        return ""
    shown = columns[:_MOST_LEFT_OUT]
    lines = [
        [
            f'<span class="name">{breakable(column.name, 60)}</span>',
            text(shorten(column.detail, 120)),
            _fate(column),
        ]
        for column in shown
    ]
    caption = "Columns without a part in the code"
    if len(shown) < len(columns):
        caption += f": {len(shown)} of {len(columns):,}"
    written = table(caption, ["column", "why", "comes back as"], lines, style="row why")
    return f'<div class="card">{written}</div>'


def _fate(column: ColumnFacts) -> str:
    if column.kind == "constant" and not math.isclose(column.missing_share, 1.0):
        return "its value"
    return "missing"
