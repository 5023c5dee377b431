"""What codes mean: a map of rows with what is decoded there, and steps along components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.layout import Figure, axis, label, layout, numbers
from autoencode.report_parts.markup import percent, plot, shorten, table, value_text
from autoencode.report_parts.pictures import mosaic
from autoencode.report_parts.shown_rows import ShownRows, changes

__all__ = ["Explored", "Map", "check_explored", "explored_section"]

_MOST_POINTS = 2_000
_MAP_COLUMNS = 5
_STEP_COLUMNS = 5
_HEAT = [[0.0, "--heat-low"], [0.5, "--heat-middle"], [1.0, "--heat-high"]]


@dataclass(frozen=True, kw_only=True)
class Map:
    """Rows in a plane, and what is decoded on a grid over it; see `autoencode.CodeMap`."""

    positions: np.ndarray
    across: np.ndarray
    up: np.ndarray
    grid: ShownRows
    counts: np.ndarray
    explained: float
    are_codes: bool


@dataclass(frozen=True, kw_only=True)
class Explored:
    """What a report shows of the meaning of codes.

    Parameters
    ----------
    map : Map or None
        None for codes of one component.
    components : tuple of int
        Those a change of which changes rows most.
    steps : ShownRows
        Rows of each component, from its lowest value to its highest.
    n_steps : int
        Rows of each.
    span : float
        How far to either side, in deviations.
    around : int
        The row whose code is changed.
    row_numbers : array of shape (r,)
        Of the rows of the map.
    """

    map: Map | None
    components: tuple[int, ...]
    steps: ShownRows
    n_steps: int
    span: float
    around: int
    row_numbers: np.ndarray


def check_explored(data: Explored) -> None:
    """Check that the parts fit together.

    Raises
    ------
    DataError
        Naming what does not.
    """
    wanted = data.n_steps * len(data.components)
    if len(data.steps) != wanted:
        raise DataError(f"the report's steps have {len(data.steps)} rows, not {wanted}")
    if data.map is not None and len(data.map.grid) != data.map.counts.size:
        raise DataError(
            f"the report's map has {len(data.map.grid)} decoded rows, not {data.map.counts.size}"
        )


def explored_section(data: Explored) -> tuple[str, dict[str, Figure]]:
    """Show the map and the steps along components.

    Parameters
    ----------
    data : Explored
        What is known.

    Returns
    -------
    html : str
        The section's content.
    figures : dict of str to dict
        The figures it has room for.
    """
    content, figures = "", {}
    if data.map is not None:
        figure, switches = _map_figure(data.map, np.asarray(data.row_numbers))
        drawing = plot("map", "Held-out rows and what is decoded between them", 600, switches)
        content = f'<p>{_map_lead(data.map)}</p><div class="card square">{drawing}</div>'
        figures = {"map": figure}
    if data.components:
        content += _steps(data)
    return content, figures


def _map_lead(found: Map) -> str:
    where = "the two components of their codes"
    if not found.are_codes:
        where = (
            "the first two principal components of their codes, which hold "
            f"{percent(found.explained)} of the codes’ variance"
        )
    return (
        f"Held-out rows by {where}, over what the model decodes there. What the plane does not "
        "show of a code is as in the rows near by."
    )


def _map_figure(found: Map, row_numbers: np.ndarray) -> tuple[Figure, list[tuple[str, object]]]:
    chosen = np.linspace(0, len(found.positions) - 1, min(len(found.positions), _MOST_POINTS))
    some = np.unique(chosen.round().astype(int))
    edges = [_edges(side) for side in (found.across, found.up)]
    points: Figure = {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": numbers(found.positions[some, 0], 5),
        "y": numbers(found.positions[some, 1], 5),
        "customdata": row_numbers[some].astype(int).tolist(),
        "hovertemplate": "row %{customdata}<extra></extra>",
        "marker": {
            "size": 6,
            "opacity": 0.75,
            "color": "--pca",
            "line": {"width": 1, "color": "--surface"},
        },
    }
    name = "component" if found.are_codes else "principal component"
    sides = {
        f"{letter}axis": axis(f"{name} {place + 1}", range=edges[place], showgrid=False)
        for place, letter in enumerate("xy")
    }
    options: Figure = {"hovermode": "closest", **sides}
    if found.grid.pictures is not None:
        options["images"] = [_sheet(found, edges)]
        switches: list[tuple[str, object]] = [
            ("grid and rows", {"visible": [True]}),
            ("grid alone", {"visible": [False]}),
        ]
        return {"data": [points], "layout": layout(**options)}, switches
    heats, names = _heats(found)
    count = len(heats)
    switches = [
        (shorten(name, 24), {"visible": [*(other == place for other in range(count)), True]})
        for place, name in enumerate(names)
    ]
    return {"data": [*heats, points], "layout": layout(**options)}, switches


def _edges(side: np.ndarray) -> list[float]:
    half = float(side[1] - side[0]) / 2
    return [float(f"{side[0] - half:.5g}"), float(f"{side[-1] + half:.5g}")]


def _sheet(found: Map, edges: Sequence[Sequence[float]]) -> Figure:
    """Return all decoded pictures as one, behind the points."""
    pictures, shape = found.grid.pictures, found.grid.shape
    assert pictures is not None
    assert shape is not None
    width = len(found.across)
    from_above = pictures.reshape(len(found.up), width, -1)[::-1].reshape(len(pictures), -1)
    return {
        "source": mosaic(from_above, shape, found.grid.limits, across=width),
        "xref": "x",
        "yref": "y",
        "layer": "below",
        "sizing": "stretch",
        "x": edges[0][0],
        "y": edges[1][1],
        "sizex": edges[0][1] - edges[0][0],
        "sizey": edges[1][1] - edges[1][0],
    }


def _heats(found: Map) -> tuple[list[Figure], list[str]]:
    """Draw the decoded columns that vary most over the grid, the first one visible."""
    grid = found.grid
    assert grid.table is not None
    lines, width = found.counts.shape
    change = changes(grid, [range(len(grid))])[0]
    order = np.argsort(-change, kind="stable")[:_MAP_COLUMNS]
    order = order[change[order] > 0]
    heats: list[Figure] = []
    for column in order:
        texts = np.array(grid.table.column(int(column)).to_pylist(), dtype=object)
        values = grid.numbers(int(column))
        if values is None:
            levels = sorted({str(cell) for cell in texts})
            values = np.array([levels.index(str(cell)) for cell in texts], dtype=np.float64)
        written = [
            value_text(float(cell)) if isinstance(cell, int | float) else label(str(cell), 40)
            for cell in texts
        ]
        name = label(grid.table.column_names[int(column)], 40)
        heats.append(
            {
                "type": "heatmap",
                "visible": not heats,
                "x": numbers(found.across, 5),
                "y": numbers(found.up, 5),
                "z": [numbers(line, 4) for line in values.reshape(lines, width)],
                "text": [written[at : at + width] for at in range(0, len(written), width)],
                "hovertemplate": f"{name}: %{{text}}<extra></extra>",
                "colorscale": _HEAT,
                "colorbar": {"thickness": 10, "outlinewidth": 0, "nticks": 5},
            }
        )
    return heats, [grid.table.column_names[int(column)] for column in order]


def _steps(data: Explored) -> str:
    lead = (
        '<h3 class="apart">Along single components</h3><p>One component is changed, the others '
        f"are those of row {data.around}, the nearest to the mean of all codes: from "
        f"{value_text(data.span, 2)} deviations below it to {value_text(data.span, 2)} above. The "
        "components that change rows most come first.</p>"
    )
    shown = data.steps.pictures
    groups = [
        range(place * data.n_steps, (place + 1) * data.n_steps)
        for place in range(len(data.components))
    ]
    if shown is not None:
        assert data.steps.shape is not None
        limits = data.steps.limits
        lines = "".join(
            f"<span>component {component + 1}</span>"
            f'<img class="sheet" alt="component {component + 1} from low to high" '
            f'src="{mosaic(shown[list(group)], data.steps.shape, limits, across=data.n_steps)}">'
            for component, group in zip(data.components, groups, strict=True)
        )
        return f'{lead}<div class="card ways">{lines}</div>'
    change = changes(data.steps, groups)
    cards = "".join(
        f'<div class="card">{_component(data, component, group, change[place])}</div>'
        for place, (component, group) in enumerate(zip(data.components, groups, strict=True))
    )
    return f'{lead}<div class="trio">{cards}</div>'


def _component(data: Explored, component: int, group: range, change: np.ndarray) -> str:
    order = np.argsort(-change, kind="stable")[:_STEP_COLUMNS]
    rows = [group[0], group[len(group) // 2], group[-1]]
    names = data.steps.names
    lines = [
        [f'<span class="name">{names[column]}</span>', *data.steps.cells(int(column), rows)]
        for column in order
        if change[column] > 0
    ]
    span = value_text(data.span, 2)
    header = ["column", f"−{span}", "itself", f"+{span}"]
    return table(f"Component {component + 1}", header, lines, style="row")
