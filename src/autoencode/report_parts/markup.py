"""Text, numbers and tables as HTML; everything that comes from data is escaped here."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence

__all__ = [
    "percent",
    "plot",
    "ratio_text",
    "seconds_text",
    "shorten",
    "table",
    "text",
    "value_text",
]

_MISSING = "–"


def text(value: object) -> str:
    """Escape any value for use in HTML text or a quoted attribute."""
    return html.escape(str(value), quote=True)


def shorten(value: str, length: int) -> str:
    """Cut a text to at most ``length`` characters, the last an ellipsis when cut."""
    line = " ".join(value.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def value_text(value: float, digits: int = 4) -> str:
    """Write a number for reading, with ``digits`` significant digits."""
    if not math.isfinite(value):
        return _MISSING
    if 1e4 <= abs(value) < 1e15:
        return f"{value:,.0f}".replace("-", "−")
    written = f"{value:.{digits}g}"
    return "0" if float(written) == 0 else written.replace("-", "−")


def percent(share: float) -> str:
    """Write a share as a percentage; close to 1 with two decimals, never rounded up to 100%."""
    if not math.isfinite(share):
        return _MISSING
    if 0.99 <= share < 1:
        return f"{math.floor(share * 1e4) / 1e4:.2%}"
    return f"{share:.1%}".replace("-", "−")


def ratio_text(ratio: float) -> str:
    """Write a ratio as ``0.47×``, with three decimals when it is below a tenth."""
    if not math.isfinite(ratio):
        return _MISSING
    return f"{ratio:.3f}×" if ratio < 0.1 else f"{ratio:.2f}×"


def seconds_text(seconds: float) -> str:
    """Write a time in seconds with the units that suit its length."""
    if not math.isfinite(seconds):
        return _MISSING
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    marked: int | None = None,
    style: str = "",
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
        A class of the page's style sheet.

    Returns
    -------
    str
        HTML.
    """
    titles = "".join(f'<th scope="col">{text(title)}</th>' for title in header)
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
