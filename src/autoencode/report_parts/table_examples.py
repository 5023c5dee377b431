"""A table's original rows beside their reconstructions, cell by cell."""

from __future__ import annotations

import numpy as np

from autoencode.report_parts.cells import cell_text, column_style
from autoencode.report_parts.errors import from_best_to_worst
from autoencode.report_parts.examples import example_groups
from autoencode.report_parts.markup import (
    MISSING,
    RESTORED,
    breakable,
    shorten,
    signed_bar,
    table,
    text,
    value_text,
)
from autoencode.report_parts.table_data import TableReportData

__all__ = ["example_rows", "shown_columns", "table_examples_section"]

_MOST_COLUMNS = 12
_MOST_MISSING = 3
_CELL_LENGTH = 28
_WITH_MISSING = "With missing cells"


def table_examples_section(data: TableReportData) -> str:
    """Show the best, the median and the worst row, and one with missing cells.

    Parameters
    ----------
    data : TableReportData
        The rows.

    Returns
    -------
    str
        HTML.
    """
    errors = data.error_by_row()
    rows = example_rows(data, errors)
    cards = "".join(
        f'<div class="card"><h3>{title} <span class="note">row {int(data.row_numbers[row])} · '
        f"error {value_text(float(errors[row]), 3)}</span></h3>{_cells(data, title, row)}</div>"
        for title, row in rows.items()
    )
    lead = (
        "<p>The error of a number, a count or a date is its distance in standard deviations of "
        "the column: a bar to the right means too high, to the left too low; it is full at 1. "
        "A level is right or wrong, and wrong counts as 1. The error of a row is the root mean "
        f"square over its cells.{_missing_note(data)}</p>"
    )
    return f'{lead}<div class="{"pair" if len(rows) > 3 else "trio"}">{cards}</div>'


def _missing_note(data: TableReportData) -> str:
    if not data.has_missing_rows:
        return ""
    return " Beside a missing cell stands what the model would put there."


def example_rows(data: TableReportData, errors: np.ndarray) -> dict[str, int]:
    """Choose the best, median and worst row, and another that has missing cells.

    Parameters
    ----------
    data : TableReportData
        The rows.
    errors : array of shape (r,)
        The error of each row; not a number where no cell is observed.

    Returns
    -------
    dict of str to int
        Rows by title. Rows without any cell are chosen only if there are no others.
    """
    order = from_best_to_worst(errors)
    known = order[: np.count_nonzero(~np.isnan(errors))]
    groups = example_groups(known if len(known) else order[:1], 1)
    chosen = {title: rows[0] for title, rows in groups.items()}
    learned = data.learned
    lacking = [
        int(row)
        for row in known
        if row not in chosen.values() and np.isnan(data.errors[row, learned]).any()
    ]
    if lacking:
        chosen[_WITH_MISSING] = lacking[len(lacking) // 2]
    return chosen


def shown_columns(data: TableReportData, row: int) -> list[int]:
    """Choose at most 12 columns of a row: the largest errors, then what is missing.

    Parameters
    ----------
    data : TableReportData
        The rows.
    row : int
        Which of them.

    Returns
    -------
    list of int
        Columns. If there are too many, up to 3 that are missing are among them; those
        that are constant or left out come last.
    """
    sizes = np.abs(data.errors[row])
    learned = data.learned
    observed = np.flatnonzero(learned & ~np.isnan(sizes))
    observed = observed[np.argsort(-sizes[observed], kind="stable")]
    missing = np.flatnonzero(learned & np.isnan(sizes))
    room = max(_MOST_COLUMNS - len(observed), _MOST_MISSING)
    missing = missing[:room]
    observed = observed[: _MOST_COLUMNS - len(missing)]
    chosen = [*observed, *missing, *np.flatnonzero(~learned)]
    return [int(column) for column in chosen[:_MOST_COLUMNS]]


def _cells(data: TableReportData, title: str, row: int) -> str:
    shown = shown_columns(data, row)
    lines = [_line(data, row, column) for column in shown]
    count = "its one column"
    if data.n_columns > 1:
        every = "all" if len(shown) == data.n_columns else f"{len(shown)} of"
        count = f"{every} {data.n_columns:,} columns, largest error first"
    header = ["column", "original", "recon\u00adstruction", "error"]
    caption = title if title == _WITH_MISSING else f"{title} row"
    return table(f"{caption}: {count}", header, lines, style="row cells")


def _line(data: TableReportData, row: int, column: int) -> list[str]:
    facts = data.columns[column]
    style = column_style(data.original.column(column))
    original, rebuilt = (
        cell_text(part.column(column)[row], style) for part in (data.original, data.rebuilt)
    )
    return [
        f'<span class="name">{breakable(facts.name, 60)}</span>',
        MISSING if original is None else _written(original),
        "–" if rebuilt is None else _written(rebuilt),
        _mark(data, row, column, is_missing=original is None, is_restored=rebuilt is not None),
    ]


def _written(cell: str) -> str:
    short = shorten(cell, _CELL_LENGTH)
    if not short:
        return '<span class="missing">empty text</span>'
    if short == cell:
        return text(short)
    return f'<span title="{text(shorten(cell, 300))}">{text(short)}</span>'


def _mark(
    data: TableReportData, row: int, column: int, *, is_missing: bool, is_restored: bool
) -> str:
    facts, error = data.columns[column], float(data.errors[row, column])
    if facts.kind == "identifier":
        return '<span class="missing">left out</span>'
    if is_missing:
        return RESTORED if is_restored else ""
    if facts.measure == "explained_variance":
        written = f"{error:+.2f}" if abs(error) >= 0.005 else "0.00"
        return signed_bar(error, written.replace("-", "−"))
    if error:
        return '<span class="wrong"><i aria-hidden="true">✗</i> wrong</span>'
    return '<span class="right"><i aria-hidden="true">✓</i> right</span>'
