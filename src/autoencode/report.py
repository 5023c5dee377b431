"""One self-contained HTML page that shows what was fitted and how good it is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from importlib import resources
from string import Template

import numpy as np

from autoencode.files import replacing, require_absent
from autoencode.report_parts.anomalies import (
    AnomalyReportData,
    anomaly_cards,
    anomaly_sections,
    check_anomalies,
)
from autoencode.report_parts.cards import key_figures
from autoencode.report_parts.data import FittedData, PageData, ReportData, check
from autoencode.report_parts.drawn import drawn_section
from autoencode.report_parts.errors import measure
from autoencode.report_parts.examples import examples_section
from autoencode.report_parts.explored import explored_section
from autoencode.report_parts.filters import filters_section
from autoencode.report_parts.layout import Figure
from autoencode.report_parts.markup import text
from autoencode.report_parts.missing import missing_section
from autoencode.report_parts.noise import (
    NoiseReportData,
    check_noise,
    noise_cards,
    noise_sections,
)
from autoencode.report_parts.photographs import (
    PhotographReportData,
    check_photographs,
    photograph_cards,
    photograph_sections,
)
from autoencode.report_parts.pictures import Sprite
from autoencode.report_parts.sections import (
    codes_section,
    columns_section,
    curve_section,
    facts_section,
    history_section,
    loading_section,
    thumbnails,
)
from autoencode.report_parts.table_columns import table_columns_section
from autoencode.report_parts.table_data import TableReportData, check_table
from autoencode.report_parts.table_examples import table_examples_section
from autoencode.report_parts.units import units_section

__all__ = [
    "AnomalyReportData",
    "NoiseReportData",
    "PhotographReportData",
    "ReportData",
    "TableReportData",
    "write_report",
]

AnyData = ReportData | TableReportData | NoiseReportData | AnomalyReportData | PhotographReportData
# Each section's name in the menu, its title and its content, by its id; and its figures.
Sections = tuple[dict[str, tuple[str, str, str]], dict[str, Figure]]


def write_report(path: str | os.PathLike[str], data: AnyData, *, force: bool = False) -> None:
    """Write a report as one HTML file that opens offline and asks the network for nothing.

    The same data gives the same bytes. The page holds its own copy of plotly.js (5 MB)
    and a content security policy under which only its own scripts run.

    Parameters
    ----------
    path : path
        The file to write, usually ``.html``.
    data : ReportData, TableReportData, NoiseReportData, AnomalyReportData or PhotographReportData
        What it shows, of a fit to an array or to a table, of one that takes noise out, of rows
        that were judged, or of a fit to pictures of any size.
    force : bool, default=False
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the parts of ``data`` do not fit together, the file exists and ``force`` is
        false, or it cannot be written.
    """
    require_absent(path, force=force)
    if isinstance(data, NoiseReportData):
        check_noise(data)
    elif isinstance(data, AnomalyReportData):
        check_anomalies(data)
    elif isinstance(data, PhotographReportData):
        check_photographs(data)
    else:
        check(data)
    if isinstance(data, TableReportData):
        check_table(data)
    with np.errstate(all="ignore"):
        written = _page(data).encode("utf-8", "replace")
    with replacing(path) as temporary:
        temporary.write_bytes(written)


def _page(data: AnyData) -> str:
    from plotly.offline import get_plotlyjs

    pictures = thumbnails(data) if isinstance(data, ReportData) else None
    sections, figures = _sections(data, pictures)
    plotly, script = get_plotlyjs(), _resource("page.js")
    return Template(_resource("page.html")).substitute(
        policy=_policy(plotly, script),
        title=text(data.title),
        sentence=text(data.sentence),
        style=_resource("page.css"),
        cards=_cards(data),
        links="\n".join(
            f'<li><a href="#{name}">{text(short)}</a></li>'
            for name, (short, _, _) in sections.items()
        ),
        sections="\n".join(
            f'<section id="{name}" aria-labelledby="{name}-title">'
            f'<h2 id="{name}-title">{text(title)}</h2>{content}</section>'
            for name, (_, title, content) in sections.items()
        ),
        page_data=_json({"figures": figures, "sprite": _tiles(pictures)}),
        plotly=plotly,
        script=script,
    )


def _cards(data: AnyData) -> str:
    if isinstance(data, NoiseReportData):
        return noise_cards(data)
    if isinstance(data, PhotographReportData):
        return photograph_cards(data)
    return anomaly_cards(data) if isinstance(data, AnomalyReportData) else key_figures(data)


def _sections(data: AnyData, pictures: Sprite | None) -> Sections:
    if isinstance(data, AnomalyReportData):
        judged, drawn = anomaly_sections(data)
        kept = {"loading": ("Load", "Load this model", loading_section(data))}
        facts = {"facts": ("Facts", "Facts of this fit", facts_section(data))}
        return judged | (kept if data.loading else {}) | facts, drawn
    if isinstance(data, NoiseReportData):
        first, figures = noise_sections(data)
        first |= _missing(data)
    elif isinstance(data, PhotographReportData):
        first, figures = photograph_sections(data)
    else:
        first, figures = _fitted_sections(data, pictures)
    history, further = history_section(data)
    return first | {
        "history": ("Training", "How the training went", history),
        "loading": ("Load", "Load this model", loading_section(data)),
        "facts": ("Facts", "Facts of this fit", facts_section(data)),
    }, figures | further


def _fitted_sections(data: ReportData | TableReportData, pictures: Sprite | None) -> Sections:
    curve, figures = curve_section(data)
    sections = {"curve": ("Curve", "How much each size of the code keeps", curve)}
    if data.units is not None:
        if len(data.curve["size"]) < 2:  # a sparse code has no sizes to choose from
            sections, figures = {}, {}
        sections["parts"] = ("Parts", "Parts that rows are made of", units_section(data.units))
    if isinstance(data, TableReportData):
        own, more = _table_sections(data)
    else:
        own, more = _array_sections(data, pictures)
    sections, figures = sections | own, figures | more
    if data.drawn is not None:
        sections["drawn"] = ("Drawn", "New rows beside real ones", drawn_section(data.drawn))
    if data.explored is not None:
        explored, further = explored_section(data.explored)
        sections["explored"] = ("Explore", "What codes mean", explored)
        figures |= further
    return sections, figures


def _array_sections(data: ReportData, pictures: Sprite | None) -> Sections:
    errors = measure(data)
    examples, figures = examples_section(data, errors)
    columns, more = columns_section(data, errors)
    figures |= more
    codes, more = codes_section(data, errors.by_row, pictures)
    place = "pixel" if data.picture_shape is not None else "column"
    filters = {}
    if data.filters is not None:
        title = "What the first layer looks for"
        filters = {"filters": ("Filters", title, filters_section(data.filters))}
    return {
        "examples": ("Examples", "Original beside reconstruction", examples),
        "errors": ("Errors", f"Error by {place}", columns),
        **filters,
        **_missing(data),
        "codes": ("Codes", _codes_title(data), codes),
    }, figures | more


def _table_sections(data: TableReportData) -> Sections:
    codes, figures = codes_section(data, data.error_by_row(), groupings=data.groupings)
    return {
        "examples": ("Examples", "Original beside reconstruction", table_examples_section(data)),
        "columns": ("Columns", "How well each column comes back", table_columns_section(data)),
        **_missing(data),
        "codes": ("Codes", _codes_title(data), codes),
    }, figures


def _missing(data: PageData) -> dict[str, tuple[str, str, str]]:
    if data.missing is None:
        return {}
    return {"missing": ("Missing", "Which cells are missing", missing_section(data.missing))}


def _codes_title(data: FittedData) -> str:
    return "The component" if data.codes.shape[1] < 2 else "The first two components"


def _tiles(pictures: Sprite | None) -> Figure | None:
    """Say where in the sheet of thumbnails each point's picture is."""
    if pictures is None:
        return None
    tiles = [[int(row), place] for place, row in enumerate(pictures.rows)]
    sizes = {"width": pictures.width, "height": pictures.height, "across": pictures.across}
    return {"tiles": tiles, **sizes}


def _json(value: object) -> str:
    """Write JSON that cannot end the script element it stands in."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _policy(*scripts: str) -> str:
    """Allow these scripts, the page's own styles and inline pictures, and nothing else."""
    digests = [hashlib.sha256(script.encode("utf-8")).digest() for script in scripts]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    folder = resources.files("autoencode.report_parts")
    return folder.joinpath(name).read_text(encoding="utf-8")
