"""Text, numbers and tables as HTML; everything that comes from data is escaped here."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Sequence

__all__ = [
    "MISSING",
    "RESTORED",
    "breakable",
    "percent",
    "plot",
    "ratio_text",
    "seconds_text",
    "share_bar",
    "shorten",
    "signed_bar",
    "table",
    "text",
    "value_text",
]

# What stands for a cell that is missing, and beside what a model puts there.
MISSING = '<span class="missing">missing</span>'
RESTORED = '<span class="missing">filled in</span>'
_UNKNOWN = "–"


def text(value: object) -> str:
    """Escape any value for use in HTML text or a quoted attribute."""
    return html.escape(str(value), quote=True)


def shorten(value: str, length: int) -> str:
    """Cut a text to at most ``length`` characters, the last an ellipsis when cut."""
    line = " ".join(value.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def breakable(name: str, length: int) -> str:
    """Escape a name, shortened, with places to break the line at after its punctuation."""
    return re.sub(r"([_/.-])(?=\w)", r"\1<wbr>", text(shorten(name, length)))


def value_text(value: float, digits: int = 4) -> str:
    """Write a number for reading, with ``digits`` significant digits."""
    if not math.isfinite(value):
        return _UNKNOWN
    if 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}".replace("-", "−")
    written = f"{value:.{digits}g}"
    return "0" if float(written) == 0 else written.replace("-", "−")


def percent(share: float) -> str:
    """Write a share as a percentage; close to 1 with two decimals, never rounded up to 100%."""
    if not math.isfinite(share):
        return _UNKNOWN
    if 0.99 <= share < 1:
        return f"{math.floor(share * 1e4) / 1e4:.2%}"
    return f"{share:.1%}".replace("-", "−")


def ratio_text(ratio: float) -> str:
    """Write a ratio as ``0.47×``, with three decimals when it is below a tenth."""
    if not math.isfinite(ratio):
        return _UNKNOWN
    return f"{ratio:.3f}×" if ratio < 0.1 else f"{ratio:.2f}×"


def seconds_text(seconds: float) -> str:
    """Write a time in seconds with the units that suit its length."""
    if not math.isfinite(seconds):
        return _UNKNOWN
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def signed_bar(error: float, written: str | None = None) -> str:
    """Draw an error as a bar to the right or to the left, full at 1, with its number.

    Parameters
    ----------
    error : float
        Positive to the right.
    written : str, optional
        The number as it is to be written; two significant digits if not given.

    Returns
    -------
    str
        HTML.
    """
    share = 50 * min(1.0, abs(error)) if math.isfinite(error) else 0.0
    side = "high" if error > 0 else "low"
    return (
        f'<span class="bar" aria-hidden="true"><i class="{side}" style="width:{share:.3g}%"></i>'
        f'</span><span class="number">{text(written or value_text(error, 2))}</span>'
    )


def share_bar(share: float, mark: float | None = None) -> str:
    """Draw a share of 1 as a bar, with a mark at another share if one is given."""
    filled = f'<i style="width:{100 * _part(share):.3g}%"></i>'
    marked = "" if mark is None else f'<b style="left:{100 * _part(mark):.3g}%"></b>'
    return f'<span class="meter" aria-hidden="true">{filled}{marked}</span>'


def _part(share: float) -> float:
    return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marked: int | None = None,
    style: str = "",
    turned: bool = False,
) -> str:
    """Write an accessible table that scrolls inside itself when it is too wide.

    Parameters
    ----------
    caption : str
        Plain text above the table.
    header : sequence of str
        Plain column titles.
    rows : sequence of sequences of str
        Cells as HTML, escaped by the caller; the first of each row heads it.
    marked : int or None
        The row to mark as the current one.
    style : str
        Classes of the page's style sheet.
    turned : bool
        Whether all titles but the first are written upright, for narrow columns.

    Returns
    -------
    str
        HTML.
    """
    written = [text(title) for title in header]
    if turned:
        written[1:] = [f"<span>{title}</span>" for title in written[1:]]
    titles = "".join(f'<th scope="col">{title}</th>' for title in written)
    lines = []
    for place, (first, *others) in enumerate(rows):
        mark = ' class="marked" aria-current="true"' if place == marked else ""
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        lines.append(f'<tr{mark}><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll {style}" role="region" tabindex="0" aria-label="{text(caption)}">'
        f"<table><caption>{text(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def plot(
    name: str, description: str, height: int, switches: Sequence[tuple[str, object]] = ()
) -> str:
    """Make room for an interactive figure.

    Parameters
    ----------
    name : str
        Its key among the page's figures.
    description : str
        What the figure shows, in words, for readers who cannot see it.
    height : int
        In CSS pixels.
    switches : sequence of (label, setting)
        Buttons above the figure, the first pressed; the setting is JSON for the page's
        script: options to change in each named part of the layout.

    Returns
    -------
    str
        HTML.
    """
    buttons = "".join(
        f'<button type="button" aria-pressed="{str(place == 0).lower()}" '
        f'data-setting="{text(json.dumps(setting))}">{text(label)}</button>'
        for place, (label, setting) in enumerate(switches)
    )
    if buttons:
        buttons = f'<div class="switch" role="group" data-for="{text(name)}">{buttons}</div>'
    return (
        f'{buttons}<div class="plot" data-figure="{text(name)}" role="group" '
        f'aria-label="{text(description)}" style="height:{height}px"></div>'
    )
