"""New rows beside real ones, the ways between real rows, and how far the two are alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.markup import percent, table, text
from autoencode.report_parts.pictures import mosaic
from autoencode.report_parts.shown_rows import ShownRows, changes
from autoencode.sample_quality import SampleQuality

__all__ = ["Drawn", "check_drawn", "drawn_section"]

_ACROSS = 8
_MOST_COLUMNS = 8
_WAY_COLUMNS = 10
_WORST = 5
_BLURRED = " Pictures are drawn without what codes leave open; sample(noise=True) adds it."


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a report shows of new rows.

    Parameters
    ----------
    real : ShownRows
        Held-out rows.
    drawn : ShownRows
        As many new ones.
    ways : ShownRows
        Ways between real rows, through codes, one after the other: the first row, what is
        decoded on the way, the last row.
    n_steps : int
        Rows of each way, with the two real ones.
    way_numbers : tuple of (int, int)
        Where the real rows of each way stand in the data.
    quality : SampleQuality or None
        The figures.
    rows_said : str
        On which rows they were measured; without figures, why there are none.
    """

    real: ShownRows
    drawn: ShownRows
    ways: ShownRows
    n_steps: int
    way_numbers: tuple[tuple[int, int], ...]
    quality: SampleQuality | None
    rows_said: str


def check_drawn(data: Drawn) -> None:
    """Check that the parts fit together.

    Raises
    ------
    DataError
        If ways do not have as many rows as they should.
    """
    wanted = data.n_steps * len(data.way_numbers)
    if len(data.ways) != wanted:
        raise DataError(f"the report's ways have {len(data.ways)} rows, not {wanted}")
    if not len(data.real) or not len(data.drawn):
        raise DataError("the report needs at least one drawn and one real row to show them")


def drawn_section(data: Drawn) -> str:
    """Show new rows beside real ones, their figures, and ways between real rows.

    Parameters
    ----------
    data : Drawn
        What is known.

    Returns
    -------
    str
        HTML.
    """
    lead = (
        "<p>Rows that the model makes up: codes are drawn from their density and decoded. They "
        "should look like the held-out rows beside them, and be as different from one another."
        f"{_BLURRED if data.real.pictures is not None else ''}</p>"
    )
    rows = _pictures(data) if data.real.pictures is not None else _tables(data)
    return f"{lead}{rows}{_figures(data)}{_ways(data)}"


def _pictures(data: Drawn) -> str:
    real, drawn, shape = data.real.pictures, data.drawn.pictures, data.real.shape
    assert real is not None
    assert drawn is not None
    assert shape is not None
    limits = data.real.limits
    cards = "".join(
        f'<div class="card"><h3>{title}</h3><img class="sheet" '
        f'src="{mosaic(rows, shape, limits, across=_ACROSS)}" alt="{len(rows)} {words}"></div>'
        for title, words, rows in (
            ("Drawn", "drawn pictures", drawn),
            ("Real, held out", "held-out pictures", real),
        )
    )
    return f'<div class="pair">{cards}</div>'


def _tables(data: Drawn) -> str:
    names = data.real.names
    shown = names[:_MOST_COLUMNS]
    some = "all" if len(shown) == len(names) else f"the first {len(shown)} of"
    cards = []
    for title, rows in (("Drawn", data.drawn), ("Real, held out", data.real)):
        numbers = range(len(rows))
        columns = [rows.cells(column, numbers) for column in range(len(shown))]
        lines = [list(cells) for cells in zip(*columns, strict=True)]
        caption = f"{title}: {some} {len(names):,} columns"
        cards.append(f'<div class="card">{_cells(caption, shown, lines)}</div>')
    return f'<div class="stack">{"".join(cards)}</div>'


def _cells(caption: str, names: list[str], lines: list[list[str]]) -> str:
    """Write a table whose titles are HTML already."""
    numbered = [[str(place + 1), *line] for place, line in enumerate(lines)]
    written = table(caption, ["", *(f"\0{place}" for place in range(len(names)))], numbered)
    for place, name in enumerate(names):
        written = written.replace(f">\0{place}<", f'><span class="name">{name}</span><')
    return written


def _figures(data: Drawn) -> str:
    found = data.quality
    if found is None:
        return f'<p class="said">No figures: {text(data.rows_said)}.</p>'
    lines = [
        [name.capitalize(), *_two(drawn, real), words]
        for name, drawn, real, words in zip(
            found.drawn._fields,
            found.drawn,
            found.real,
            (
                "share of drawn rows that lie among real ones",
                "share of real rows that lie among drawn ones",
                "how many real rows reach a drawn one, of five",
                "share of real rows with a drawn one near by",
            ),
            strict=True,
        )
    ]
    auc = "by gradient boosting; 0.5: they cannot be told apart"
    lines.append(["Told from real rows (AUC)", *_two(found.auc, found.real_auc), auc])
    if found.memorisation is not None:
        words = "chance to be nearer to a training row than a held-out row is; 1: copies"
        lines.append(["Memorisation", *_two(found.memorisation, 0.5), words])
        shares = [percent(share or 0.0) for share in (found.copies, found.real_copies)]
        lines.append(["Copies", *shares, "share of rows that are training rows"])
    caption = f"Figures {data.rows_said}; distances in {found.space}"
    header = ["", "drawn rows", "real rows", "what it says"]
    cards = [table(caption, header, lines, style="why figures")]
    names = found.worst_columns[:_WORST]
    if names:
        cards.append(_worst(found, names))
    style = "beside" if names else "stack"
    written = "".join(f'<div class="card">{card}</div>' for card in cards)
    return f'<h3 class="apart">Are they like real rows?</h3><div class="{style}">{written}</div>'


def _two(drawn: float, real: float) -> list[str]:
    return [f"{drawn:.3f}", f"{real:.3f}"]


def _worst(found: SampleQuality, names: list[str]) -> str:
    lines = [[text(name), *_two(*found.columns[name])] for name in names]
    lines += [
        [f"{text(one)} with {text(other)}", *_two(*found.pairs[one, other])]
        for one, other in found.worst_pairs[:_WORST]
    ]
    caption = "Columns and pairs that differ most; 0: no difference"
    return table(caption, ["", "drawn rows", "real rows"], lines, style="names")


def _ways(data: Drawn) -> str:
    if not data.way_numbers:
        return ""
    lead = (
        '<h3 class="apart">From row to row</h3><p>On the straight way between the codes of two '
        "held-out rows. The rows themselves stand at both ends; beside each is what is left of "
        "it after coding.</p>"
    )
    if data.ways.pictures is not None:
        ways = data.ways
        assert ways.pictures is not None
        assert ways.shape is not None
        sheet = mosaic(ways.pictures, ways.shape, ways.limits, across=data.n_steps)
        pairs = ", ".join(f"row {a} to row {b}" for a, b in data.way_numbers)
        image = f'<img class="sheet" src="{sheet}" alt="from {pairs}">'
        return f'{lead}<div class="card">{image}</div>'
    cards = "".join(
        f'<div class="card">{_way(data, place)}</div>' for place in range(len(data.way_numbers))
    )
    return f'{lead}<div class="stack">{cards}</div>'


def _way(data: Drawn, place: int) -> str:
    """Write one way as a table: columns as lines, steps from left to right."""
    first, last = data.way_numbers[place]
    rows = list(range(place * data.n_steps, (place + 1) * data.n_steps))
    change = changes(data.ways, [rows])[0]
    order = np.argsort(-change, kind="stable")[:_WAY_COLUMNS]
    names = data.ways.names
    lines = [
        [f'<span class="name">{names[column]}</span>', *data.ways.cells(int(column), rows)]
        for column in order
    ]
    steps = [f"{share:.0%}" for share in np.linspace(0, 1, data.n_steps - 2)]
    some = f"the {len(order)} columns that change most, of {len(names):,}"
    caption = f"From row {first} to row {last}: "
    caption += f"all {len(names)} columns" if len(order) == len(names) else some
    header = ["column", f"row {first}", *steps, f"row {last}"]
    return table(caption, header, lines, style="names")
