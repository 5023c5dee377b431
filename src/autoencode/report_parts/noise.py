"""What a model that takes noise out found and did: the report's own sections for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.cards import cards_of, fit_epochs, fit_seconds
from autoencode.report_parts.data import PageData
from autoencode.report_parts.layout import Figure
from autoencode.report_parts.markup import (
    breakable,
    percent,
    plot,
    ratio_text,
    table,
    text,
    value_text,
)
from autoencode.report_parts.noise_figures import histogram_figure, levels_figure
from autoencode.report_parts.pictures import error_picture, picture, value_limits

__all__ = [
    "Examples",
    "LevelErrors",
    "NoiseReportData",
    "Residuals",
    "check_noise",
    "noise_cards",
    "noise_sections",
]

_MOST_COLUMNS = 12
_EACH = 2


@dataclass(frozen=True)
class Examples:
    """A few rows before and after.

    Parameters
    ----------
    numbers : sequence of int
        Which rows of the data they are.
    headings : tuple of str
        What is shown of each: noisy, restored, and clean where that is known.
    texts : sequence of sequence of sequence of str
        Of rows that are no pictures: for each its columns, of each the name and what is
        shown, as text.
    pictures : array of shape (len(headings), r, d) or None
        The same of pictures.
    shape : tuple of int or None
        Height, width and channels of a picture.
    """

    numbers: Sequence[int]
    headings: tuple[str, ...]
    texts: Sequence[Sequence[Sequence[str]]] = ()
    pictures: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class LevelErrors:
    """Root mean squared errors on held-out rows to which noise was added.

    Parameters
    ----------
    levels : sequence of float
        Deviation of the noise, or share of the cells that it takes.
    noisy, linear, model : sequence of float
        Error of the rows as they are, of the best linear guess and of the model.
    label : str
        What a level is.
    unit : str
        Of the errors.
    """

    levels: Sequence[float]
    noisy: Sequence[float]
    linear: Sequence[float]
    model: Sequence[float]
    label: str
    unit: str


@dataclass(frozen=True)
class Residuals:
    """What was taken out of held-out rows, beside what noise would be.

    Parameters
    ----------
    values : array of shape (n,)
        In deviations of the noise that was found.
    neighbours : sequence of (str, float, float)
        Which neighbours, and the root mean square of the correlation of the two: of what
        was taken out, and of the noisy rows.
    by_chance : float
        The same for values that have nothing to do with each other.
    """

    values: np.ndarray
    neighbours: Sequence[tuple[str, float, float]]
    by_chance: float


@dataclass(frozen=True, kw_only=True)
class NoiseReportData(PageData):
    """What a report shows of a model that takes noise out; also see `PageData`.

    Parameters
    ----------
    fitted_to : str
        Clean rows, noisy rows, or pairs.
    noise : str
        What noise was found, in words.
    shown_noise : str
        What noise the rows that are shown have, in words.
    errors : mapping of str to float
        Root mean squared errors of ``noisy``, ``linear`` and ``model`` on held-out rows;
        the first may be missing.
    measured : str
        How these were measured.
    examples : Examples
        A few held-out rows.
    levels : LevelErrors or None
        None where clean rows are not known.
    residuals : Residuals or None
        None where noise takes the place of values.
    """

    fitted_to: str
    noise: str
    shown_noise: str
    errors: Mapping[str, float]
    measured: str
    examples: Examples
    levels: LevelErrors | None = None
    residuals: Residuals | None = None


def check_noise(data: NoiseReportData) -> None:
    """Check that the parts of such a report fit together.

    Raises
    ------
    DataError
        Naming the part that does not.
    """
    missing = [name for name in ("linear", "model") if name not in data.errors]
    if missing:
        raise DataError(f"the report's errors have no {missing[0]!r}")
    shown, pictures = data.examples, data.examples.pictures
    if pictures is None:
        widths = {len(line) for row in shown.texts for line in row}
        if len(shown.texts) != len(shown.numbers) or widths - {len(shown.headings) + 1}:
            raise DataError("the report's examples do not fit their headings and numbers")
    elif shown.shape is None or pictures.shape != (
        len(shown.headings),
        len(shown.numbers),
        math.prod(shown.shape),
    ):
        raise DataError(f"the report's pictures have shape {pictures.shape}")
    levels = data.levels
    if levels is not None:
        counts = {len(part) for part in (levels.levels, levels.noisy, levels.linear, levels.model)}
        if len(counts) != 1:
            raise DataError("the report's errors by level are not of one length")


def noise_cards(data: NoiseReportData) -> str:
    """Write the cards at the top."""
    errors = data.errors
    ratio = errors["model"] / errors["linear"] if errors["linear"] > 0 else 1.0
    cards = [("Fitted to", data.fitted_to, data.measured)]
    if "noisy" in errors and errors["noisy"] > 0:
        share = errors["model"] / errors["noisy"]
        note = f"root mean square, {value_text(errors['noisy'], 3)} before"
        cards.append(("Error left", percent(share), note))
    note = f"{value_text(errors['model'], 3)}, that of the guess {value_text(errors['linear'], 3)}"
    cards.append(("Against the best linear guess", ratio_text(ratio), note))
    if seconds := fit_seconds(data):
        cards.append(("Time to fit", seconds, fit_epochs(data)))
    return cards_of(cards)


def noise_sections(
    data: NoiseReportData,
) -> tuple[dict[str, tuple[str, str, str]], dict[str, Figure]]:
    """Show the noise, rows before and after, errors by level and what was taken out.

    Parameters
    ----------
    data : NoiseReportData
        What is known.

    Returns
    -------
    sections : dict of str to (str, str, str)
        By id: name in the menu, title and content.
    figures : dict of str to dict
        The figures they have room for.
    """
    sections = {"examples": ("Before, after", "Rows before and after", _examples(data))}
    figures: dict[str, Figure] = {}
    if data.levels is not None:
        figures["levels"] = levels_figure(
            data.levels.levels,
            {
                "as they are": data.levels.noisy,
                "best linear guess": data.levels.linear,
                "model": data.levels.model,
            },
            (data.levels.label, f"error, {data.levels.unit}"),
        )
        sections["levels"] = ("Strength", "Error by strength of the noise", _levels(data.levels))
    if data.residuals is not None:
        figures["residuals"] = histogram_figure(data.residuals.values)
        sections["residuals"] = ("Taken out", "Is it noise?", _residuals(data.residuals))
    return sections, figures


def _examples(data: NoiseReportData) -> str:
    shown = data.examples
    found = f" In the fit, the noise found was {data.noise}." if data.noise else ""
    lead = f"<p>Held-out rows. {text(data.shown_noise)}{text(found)}</p>"
    if shown.pictures is not None and shown.shape is not None:
        return f"{lead}{_pictures(shown, shown.pictures, shown.shape)}"
    cards = []
    for number, row in zip(shown.numbers, shown.texts, strict=True):
        lines = [
            [f'<span class="name">{breakable(name, 60)}</span>', *map(text, cells)]
            for name, *cells in row[:_MOST_COLUMNS]
        ]
        count = f"{len(lines)} of {len(row):,} columns" if len(row) > len(lines) else "all columns"
        caption = f"Row {number}: {count}"
        cells = table(caption, ["column", *shown.headings], lines, style="row cells")
        cards.append(f'<div class="card"><h3>Row {number}</h3>{cells}</div>')
    return f'{lead}<div class="trio">{"".join(cards)}</div>'


def _pictures(shown: Examples, pictures: np.ndarray, shape: tuple[int, int, int]) -> str:
    """Draw three pictures of each row: noisy, restored, and clean or what was taken out."""
    limits = value_limits(pictures[1:])
    removed = pictures[1] - pictures[0]
    limit = float(np.nan_to_num(np.abs(removed)).max()) or 1.0
    heads = list(shown.headings) if len(pictures) > 2 else [*shown.headings, "taken out"]
    titles = "".join(f"<span>{text(head)}</span>" for head in heads)
    figures = []
    for place, number in enumerate(shown.numbers):
        drawn = [picture(part[place], shape, limits) for part in pictures]
        if len(pictures) < 3:
            drawn.append(error_picture(-removed[place], shape, limit))
        images = "".join(
            f'<img src="{source}" alt="row {number}, {text(head)}">'
            for head, source in zip(heads, drawn, strict=True)
        )
        figures.append(f"<figure><div>{images}</div><figcaption>row {number}</figcaption></figure>")
    cards = "".join(
        f'<div class="card"><p class="heads" aria-hidden="true">{titles}</p>'
        f"{''.join(figures[start : start + _EACH])}</div>"
        for start in range(0, len(figures), _EACH)
    )
    return f'<div class="trio pictures">{cards}</div>'


def _levels(levels: LevelErrors) -> str:
    lines = [
        [value_text(level, 3), *(value_text(value, 3) for value in values), ratio_text(ratio)]
        for level, *values, ratio in zip(
            levels.levels,
            levels.noisy,
            levels.linear,
            levels.model,
            np.divide(levels.model, levels.linear),
            strict=True,
        )
    ]
    header = ["level", "as they are", "best linear guess", "model", "model ÷ guess"]
    numbers = table(f"Root mean squared error, {levels.unit}", header, lines)
    lead = (
        "<p>Noise of each strength was added to held-out rows, and taken out again. The best "
        "linear guess knows the covariance of clean rows, and how strong the noise is.</p>"
    )
    words = "Error after denoising against the strength of the noise"
    content = f'<div class="card">{plot("levels", words, 380)}</div>'
    return f'{lead}<div class="beside">{content}<div class="card">{numbers}</div></div>'


def _residuals(residuals: Residuals) -> str:
    lines = [
        [text(name), value_text(taken, 2), value_text(rows, 2)]
        for name, taken, rows in residuals.neighbours
    ]
    lines.append(["nothing but chance", value_text(residuals.by_chance, 2), ""])
    header = ["neighbours", "taken out", "noisy rows"]
    numbers = table("Correlation of neighbours, root mean square", header, lines)
    spread = value_text(float(np.std(residuals.values)), 3)
    lead = (
        "<p>What was taken out of held-out rows should look like noise: normal, and neighbours "
        "should go together far less than in the rows. It is less than the noise, and neighbours "
        "go together a little, since noise that cannot be told from the rows stays in them: here "
        f"{spread} deviations of the noise were taken out.</p>"
    )
    words = "Histogram of what was taken out, beside the normal density"
    content = f'<div class="card">{plot("residuals", words, 340)}</div>'
    return f'{lead}<div class="beside">{content}<div class="card">{numbers}</div></div>'
