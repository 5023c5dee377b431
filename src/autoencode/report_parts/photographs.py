"""What a model of pictures of any size does to them: the report's own sections for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.cards import cards_of, fit_epochs, fit_seconds
from autoencode.report_parts.data import PageData
from autoencode.report_parts.filters import Filters, filters_section
from autoencode.report_parts.layout import Figure
from autoencode.report_parts.markup import plot, shorten, table, text, value_text
from autoencode.report_parts.noise_figures import levels_figure
from autoencode.report_parts.pictures import error_picture, picture

__all__ = [
    "FoundLevels",
    "PhotographReportData",
    "Quality",
    "ShownParts",
    "check_photographs",
    "photograph_cards",
    "photograph_sections",
]


@dataclass(frozen=True)
class ShownParts:
    """A few parts of pictures, before and after.

    Parameters
    ----------
    headings : tuple of str
        What is shown of each: as it should be (where that is known), as it was given, restored.
    names : sequence of str
        Of the pictures that the parts are from.
    parts : sequence of sequence of array of shape (height, width, channels)
        For each part as many arrays as headings, in the data's units; the given one may have a
        channel more, which says how opaque it is.
    notes : sequence of sequence of str
        For each of these, what stands below it beside the heading; may be empty.
    white : float
        The value drawn as white; 0 is black.
    """

    headings: tuple[str, ...]
    names: Sequence[str]
    parts: Sequence[Sequence[np.ndarray]]
    notes: Sequence[Sequence[str]]
    white: float

    @property
    def has_truth(self) -> bool:
        """Whether it is known what should come out."""
        return len(self.headings) > 2


@dataclass(frozen=True)
class Quality:
    """How well held-out parts are restored, by how much was done to them.

    Parameters
    ----------
    name : str
        What was done: letters alone.
    label : str
        What a strength is.
    strengths : sequence of float
        Ascending.
    lines : mapping of str to sequence of float
        PSNR in dB of three ways: to do next to nothing, a simple one, and the model.
    """

    name: str
    label: str
    strengths: Sequence[float]
    lines: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class FoundLevels:
    """How strong noise of one strength was found to be, in several parts.

    Parameters
    ----------
    told : float or None
        The true deviation, if it is known.
    found : sequence of float
        In each part.
    """

    told: float | None
    found: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class PhotographReportData(PageData):
    """What a report shows of a model of pictures of any size; also see `PageData`.

    Parameters
    ----------
    cards : sequence of (str, str, str)
        What is known beside quality and time: name, value and a note.
    shown : ShownParts
        A few held-out parts.
    shown_words : str
        What was done to them.
    quality : sequence of Quality
        Empty where clean pictures are not known.
    quality_title, quality_words : str
        What was measured, and how.
    levels : sequence of FoundLevels
        Empty if the model is not about noise.
    filters : Filters
        Of the first layer.
    """

    cards: Sequence[tuple[str, str, str]]
    shown: ShownParts
    shown_words: str
    quality: Sequence[Quality]
    quality_title: str
    quality_words: str
    levels: Sequence[FoundLevels]
    filters: Filters


def check_photographs(data: PhotographReportData) -> None:
    """Check that the parts of such a report fit together.

    Raises
    ------
    DataError
        Naming the part that does not.
    """
    shown = data.shown
    counts = {len(part) for part in (*shown.parts, *shown.notes)} | {len(shown.headings)}
    if len(counts) != 1 or not len(shown.names) == len(shown.parts) == len(shown.notes):
        raise DataError("the report's pictures do not fit their headings and names")
    for quality in data.quality:
        lengths = {len(values) for values in quality.lines.values()} | {len(quality.strengths)}
        if len(lengths) != 1 or len(quality.lines) != 3:
            raise DataError(f"the report's figures of {quality.name} are not three of one length")


def photograph_cards(data: PhotographReportData) -> str:
    """Write the cards at the top."""
    cards = list(data.cards)
    if data.quality:
        # The middle strength of the first kind speaks for all.
        first = data.quality[0]
        place = len(first.strengths) // 2
        peer, model = list(first.lines)[1:]
        ours, theirs = first.lines[model][place], first.lines[peer][place]
        at = f"{first.name}, {first.label} {value_text(first.strengths[place], 3)}"
        cards.append(("PSNR", f"{ours:.1f} dB", at))
        cards.append((f"Against {peer}", _signed(ours - theirs), f"which has {theirs:.1f} dB"))
    if seconds := fit_seconds(data):
        cards.append(("Time to fit", seconds, fit_epochs(data)))
    return cards_of(cards)


def photograph_sections(
    data: PhotographReportData,
) -> tuple[dict[str, tuple[str, str, str]], dict[str, Figure]]:
    """Show parts before and after, quality, levels that were found, and filters.

    Parameters
    ----------
    data : PhotographReportData
        What is known.

    Returns
    -------
    sections : dict of str to (str, str, str)
        By id: name in the menu, title and content.
    figures : dict of str to dict
        The figures they have room for.
    """
    lead = f"<p>Held-out parts. {text(data.shown_words)}</p>"
    sections = {
        "examples": ("Before, after", "Pictures before and after", lead + _sheet(data.shown))
    }
    figures: dict[str, Figure] = {}
    if data.quality:
        content = "".join(_quality(quality, figures) for quality in data.quality)
        lead = f"<p>{text(data.quality_words)}</p>"
        sections["quality"] = ("Quality", data.quality_title, f"{lead}{content}")
    if data.levels:
        sections["levels"] = ("Level", "How strong the noise was found to be", _levels(data.levels))
    title = "What the first layer looks for"
    sections["filters"] = ("Filters", title, filters_section(data.filters))
    return sections, figures


def _sheet(shown: ShownParts) -> str:
    """Draw each part: as it should be, as it was, restored, and the error or what was taken out."""
    last = "error" if shown.has_truth else "taken out"
    drawn = []
    for name, part, notes in zip(shown.names, shown.parts, shown.notes, strict=True):
        shape = part[-1].shape
        sources = [picture(array.ravel(), array.shape, (0.0, shown.white)) for array in part]
        difference = (part[-1] - part[0][..., : shape[2]]).ravel()
        limit = max(float(np.abs(np.nan_to_num(difference)).max()), 0.02 * shown.white)
        sources.append(error_picture(difference, shape, limit))
        words = [
            f"{head}{', ' if note else ''}{note}"
            for head, note in zip((*shown.headings, last), (*notes, ""), strict=True)
        ]
        images = "".join(
            f'<div><img src="{source}" alt="{text(name)}, {text(said)}"><span>{text(said)}</span>'
            "</div>"
            for source, said in zip(sources, words, strict=True)
        )
        style = "strip" if shown.has_truth else "strip three"
        drawn.append(
            f'<figure class="card"><div class="{style}">{images}</div>'
            f"<figcaption>{text(shorten(name, 60))}</figcaption></figure>"
        )
    return f'<div class="pair">{"".join(drawn)}</div>'


def _quality(quality: Quality, figures: dict[str, Figure]) -> str:
    """Show PSNR by strength: a table, and a figure if there are several strengths."""
    peer, model = list(quality.lines)[1:]
    lines = [
        [
            value_text(strength, 3),
            *(f"{values[place]:.2f}" for values in quality.lines.values()),
            _signed(quality.lines[model][place] - quality.lines[peer][place]),
        ]
        for place, strength in enumerate(quality.strengths)
    ]
    header = [quality.label, *quality.lines, f"{model} − {peer}"]
    numbers = table(f"PSNR in dB, {quality.name}, mean over parts", header, lines)
    heading = f'<h3 class="apart">{text(quality.name.capitalize())}</h3>'
    if len(quality.strengths) < 2:
        return f'{heading}<div class="card">{numbers}</div>'
    name = f"quality-{quality.name}"
    titles = (quality.label, "PSNR, dB")
    figures[name] = levels_figure(quality.strengths, quality.lines, titles, from_zero=False)
    drawing = plot(name, f"PSNR of {quality.name} against {quality.label}", 360)
    content = f'<div class="card">{drawing}</div><div class="card">{numbers}</div>'
    return f'{heading}<div class="beside">{content}</div>'


def _levels(levels: Sequence[FoundLevels]) -> str:
    lines = []
    for one in levels:
        found = np.sort(np.asarray(one.found, dtype=float))
        known = one.told is not None
        off = np.sqrt(np.mean(np.square(found - one.told))) if known else found.std()
        lines.append(
            [
                value_text(one.told, 3) if one.told is not None else "not known",
                value_text(float(np.median(found)), 3),
                f"{value_text(found[0], 3)} to {value_text(found[-1], 3)}",
                value_text(float(off), 2),
            ]
        )
    known = any(one.told is not None for one in levels)
    last = "root mean square error" if known else "standard deviation"
    header = ["true deviation", "found (median)", "from, to", last]
    count = len(levels[0].found)
    numbers = table(f"Deviation of the noise, {count} held-out parts", header, lines)
    lead = (
        "<p>The deviation of the noise as it is estimated from a part alone, in the units of the "
        "pictures: the median of the parts, the least and the greatest. Fine texture looks like "
        "noise, so that weak noise is found too strong.</p>"
    )
    return f'{lead}<div class="card">{numbers}</div>'


def _signed(decibels: float) -> str:
    if abs(decibels) < 0.005:
        return "0.00 dB"
    return f"{decibels:+.2f} dB".replace("-", "−")
