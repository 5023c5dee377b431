"""The parts that rows are sums of: the report's own section for sparse codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.metrics import STABLE
from autoencode.report_parts.markup import (
    breakable,
    percent,
    share_bar,
    signed_bar,
    table,
    text,
    value_text,
)
from autoencode.report_parts.pictures import error_picture, picture, value_limits

__all__ = ["Companion", "Units", "check_units", "units_section"]

_MOST_COLUMNS = 5


@dataclass(frozen=True)
class Companion:
    """A column that was not fitted, and how a part goes with it.

    Parameters
    ----------
    name : str
        The column.
    level : str or None
        The level, if it is text: then what counts is whether a row has it.
    correlation : float
        Pearson's, over the rows that are shown.
    """

    name: str
    level: str | None
    correlation: float


@dataclass(frozen=True, kw_only=True)
class Units:
    """The parts of a sparse model that are shown, those that most rows have first.

    Parameters
    ----------
    numbers : array of shape (u,)
        Which components they are.
    n_components : int
        How many components there are in all.
    n_active : float
        How many of them a held-out row has, on average.
    n_dead : int
        How many of them no held-out row has.
    stable_share : float or None
        Share of all components with a stability above 0.9.
    frequency : array of shape (u,)
        Share of held-out rows that have the part.
    stability : array of shape (u,) or None
        Cosine with the match from another start; None where there was none.
    additions : array of shape (u, d)
        What a part adds to the values of a row that has it, on average.
    sizes : array of shape (u, d)
        The same in the units in which columns are compared.
    unit : str
        Of ``additions``, in words.
    names : sequence of str
        Of the d values.
    tops : sequence of sequence of int
        For each part the rows that have most of it, most first: places in ``row_numbers``.
    row_numbers : array of shape (r,)
        Where those rows stand in the data.
    rows : array of shape (r, d) or None
        The rows, if they are pictures.
    shape : tuple of int or None
        Height, width and channels of a picture.
    companions : sequence of (Companion or None)
        For each part what it goes with most closely; empty if nothing was carried along.
    """

    numbers: np.ndarray
    n_components: int
    n_active: float
    n_dead: int
    stable_share: float | None
    frequency: np.ndarray
    stability: np.ndarray | None
    additions: np.ndarray
    sizes: np.ndarray
    unit: str
    names: tuple[str, ...]
    tops: tuple[tuple[int, ...], ...]
    row_numbers: np.ndarray
    rows: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None
    companions: tuple[Companion | None, ...] = ()


def check_units(units: Units) -> None:
    """Check that what is known of the parts fits together.

    Raises
    ------
    DataError
        Naming what does not.
    """
    count, width = len(units.numbers), len(units.names)
    shapes = {
        "frequency": (np.shape(units.frequency), (count,)),
        "additions": (np.shape(units.additions), (count, width)),
        "sizes": (np.shape(units.sizes), (count, width)),
        "tops": ((len(units.tops),), (count,)),
    }
    if units.companions:
        shapes["companions"] = ((len(units.companions),), (count,))
    if units.stability is not None:
        shapes["stability"] = (np.shape(units.stability), (count,))
    if units.rows is not None:
        shapes["rows"] = (np.shape(units.rows), (len(units.row_numbers), width))
    for name, (given, wanted) in shapes.items():
        if given != wanted:
            raise DataError(f"the report's {name} of parts has shape {given}, not {wanted}")


def units_section(units: Units) -> str:
    """Show each part, how often rows have it, whether it is stable, and who has most of it.

    Parameters
    ----------
    units : Units
        What is known.

    Returns
    -------
    str
        HTML.
    """
    cards = "".join(_card(units, place) for place in range(len(units.numbers)))
    style = "parts" if units.shape is not None else "parts wide"
    return f'<p>{_lead(units)}</p><div class="{style}">{cards}</div>'


def _lead(units: Units) -> str:
    """Say what is shown, in words."""
    count = len(units.numbers)
    shown = f"The {count:,} commonest of" if count < units.n_components else "All"
    sentences = [f"{shown} {units.n_components:,} parts, the commonest first."]
    if units.shape is None:
        sentences.append(
            f"The columns that a part changes most, with what it adds {text(units.unit)} to a row "
            "that has it, on average."
        )
    elif (units.additions >= 0).all():
        sentences.append("Each is drawn from black (nothing) to white, above the rows with most.")
    else:
        sentences.append("Red is added, blue is taken away; below, the rows that have most of it.")
    if units.stable_share is not None:
        sentences.append(
            f"{percent(units.stable_share)} are stable: another start found them too, with a "
            f"cosine above {STABLE:.1f}. What is not stable, the rows do not settle."
        )
    if units.n_dead:
        sentences.append(f"Parts that no held-out row has: {units.n_dead:,}.")
    return " ".join(sentences)


def _card(units: Units, place: int) -> str:
    number = int(units.numbers[place])
    shown = _drawn(units, place) if units.shape is not None else _columns(units, place)
    share = float(units.frequency[place])
    lines = [f'<span class="often">{share_bar(share)}{percent(share)} of rows</span>']
    if units.stability is not None:
        cosine = float(units.stability[place])
        word = "right" if cosine > STABLE else "missing"
        lines.append(f'<span class="{word}">stability {value_text(cosine, 2)}</span>')
    lines += _companion(units, place)
    said = "".join(f"<p>{line}</p>" for line in lines)
    return (
        f'<div class="card part"><h3>Part {number}</h3>{shown}{said}{_top_rows(units, place)}</div>'
    )


def _companion(units: Units, place: int) -> list[str]:
    """Say what a part goes with, if that is known."""
    found = units.companions[place] if units.companions else None
    if found is None:
        return []
    name = breakable(found.name, 60)
    level = "" if found.level is None else f" = {breakable(found.level, 60)}"
    return [f"goes with {name}{level}: r {value_text(found.correlation, 2)}"]


def _drawn(units: Units, place: int) -> str:
    """Draw a part: grey if nothing is taken away, else red and blue."""
    assert units.shape is not None
    added = units.additions[place]
    limit = float(np.nan_to_num(np.abs(added)).max()) or 1.0
    if (units.additions >= 0).all():
        source = picture(added, units.shape, (0.0, limit))
    else:
        source = error_picture(added, units.shape, limit)
    return f'<img src="{source}" alt="part {int(units.numbers[place])}">'


def _columns(units: Units, place: int) -> str:
    """List the columns that a part changes most."""
    added, sizes = units.additions[place], np.nan_to_num(units.sizes[place])
    order = np.argsort(-np.abs(sizes), kind="stable")[:_MOST_COLUMNS]
    largest = float(np.abs(sizes).max()) or 1.0
    lines = [
        [
            f'<span class="name">{breakable(units.names[column], 60)}</span>',
            signed_bar(sizes[column] / largest, value_text(float(added[column]), 2)),
        ]
        for column in order
        if sizes[column]
    ]
    caption = f"Part {int(units.numbers[place])}: {len(lines)} of {len(added):,} columns"
    return table(caption, ["column", "adds"], lines, style="row")


def _top_rows(units: Units, place: int) -> str:
    """Show the rows that have most of a part."""
    tops = units.tops[place]
    numbers = [int(units.row_numbers[row]) for row in tops]
    if not tops:
        return "<p>in none of the rows shown</p>"
    written = f"<p>most in {'row' if len(tops) == 1 else 'rows'} {', '.join(map(str, numbers))}</p>"
    if units.rows is None or units.shape is None:
        return written
    limits = value_limits(units.rows)
    images = "".join(
        f'<img src="{picture(units.rows[row], units.shape, limits)}" alt="row {number}">'
        for row, number in zip(tops, numbers, strict=True)
    )
    return f'<div class="tops">{images}</div>{written}'
