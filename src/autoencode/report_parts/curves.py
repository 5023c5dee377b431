"""The curve against PCA and the history of training, as plotly figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from autoencode.report_parts.data import FittedData
from autoencode.report_parts.layout import Figure, axis, label, layout, line, log_or_linear, numbers

__all__ = [
    "curve_figure",
    "curve_scale",
    "epochs_across_phases",
    "geometric_choice",
    "history_figure",
    "history_scale",
]

_MOST_CURVE_POINTS = 400
_MOST_EPOCHS = 600
_COLOURS = ("--series-1", "--series-2", "--series-3", "--series-4", "--series-5")
_DASHES = ("solid", "dash", "dot", "dashdot")


def curve_figure(data: FittedData) -> Figure:
    """Draw the held-out curve against PCA's, and below it the ratio of their errors.

    Parameters
    ----------
    data : FittedData
        Its curve, chosen size and level.

    Returns
    -------
    dict
        A plotly figure.
    """
    sizes = np.asarray(data.curve["size"])
    keep = geometric_choice(sizes, data.chosen_size, _MOST_CURVE_POINTS)
    x = sizes[keep].tolist()
    gate = np.asarray(data.curve["network"], dtype=bool)[keep]
    marker = {
        "symbol": ["circle" if is_open else "circle-open" for is_open in gate],
        "size": 7 if len(keep) <= 32 else 5,
    }
    best, pca = (
        numbers(np.asarray(data.curve[key])[keep])
        for key in ("explained_variance", "pca_explained_variance")
    )
    share = "%{y:.2%}"
    one: Figure = {"tickmode": "array", "tickvals": x, "ticktext": [f"{x[0]:,}"]}
    sizes_axis = log_or_linear(x, curve_scale(sizes)) | (one if len(x) == 1 else {})
    traces = [
        line(x, best, "autoencoder", "--accent", marker=marker, hovertemplate=share),
        line(x, pca, "PCA", "--pca", dash="dash", hovertemplate=share),
        line(x, numbers(data.ratio[keep]), "error ÷ PCA's", "--accent", marker=marker)
        | {"yaxis": "y2", "showlegend": False, "hovertemplate": "%{y:.3f}"},
    ]
    return {
        "data": traces,
        "layout": layout(
            xaxis=axis("components", anchor="y2", hoverformat=",d", **sizes_axis),
            yaxis=axis("variance explained", domain=[0.4, 1], tickformat=".4~p"),
            yaxis2=axis("error ÷ PCA's", domain=[0, 0.3], rangemode="tozero"),
            hovermode="x unified",
            hoversubplots="axis",
            shapes=_curve_marks(data),
        ),
    }


def curve_scale(sizes: np.ndarray) -> str:
    """Choose the axis on which sizes are easiest to tell apart, ``log`` or ``linear``."""
    return "log" if sizes.max() >= 16 * sizes.min() else "linear"


def geometric_choice(sizes: np.ndarray, chosen: int, most: int) -> np.ndarray:
    """Choose at most ``most`` places, even on a log scale, with both ends and the chosen.

    Parameters
    ----------
    sizes : array of shape (m,)
        Ascending, positive.
    chosen : int
        One of them.
    most : int
        At least 3.

    Returns
    -------
    array of int
        Ascending places in ``sizes``.
    """
    if len(sizes) <= most:
        return np.arange(len(sizes))
    wanted = np.geomspace(sizes[0], sizes[-1], most - 1)
    nearest = np.abs(sizes[None, :] - wanted[:, None]).argmin(axis=1)
    return np.unique([*nearest, int(np.flatnonzero(sizes == chosen)[0])])


def _curve_marks(data: FittedData) -> list[Figure]:
    sizes = np.asarray(data.curve["size"], dtype=np.float64)
    if curve_scale(sizes) == "log":
        sizes = np.log(sizes)
    place = sizes[np.asarray(data.curve["size"]) == data.chosen_size][0]
    is_left = place <= (sizes.min() + sizes.max()) / 2
    text = f" {data.chosen_size} chosen "
    chosen = _rule("--text", {"text": text, "textposition": "start", "textangle": 0}) | {
        "x0": data.chosen_size,
        "x1": data.chosen_size,
        "yref": "paper",
        "y0": 0.4,
        "y1": 1,
    }
    chosen["label"] |= {"xanchor": "left" if is_left else "right", "yanchor": "bottom"}
    across: Figure = {"xref": "paper", "x0": 0, "x1": 1}
    equal = _rule("--pca", {"text": ""})
    marks = [chosen, equal | across | {"yref": "y2", "y0": 1, "y1": 1}]
    if data.level is not None:
        text = f"{100 * data.level:.4g}% asked"
        asked = _rule("--good", {"text": text, "textposition": "start", "yanchor": "bottom"})
        marks.append(asked | across | {"yref": "y", "y0": data.level, "y1": data.level})
    return marks


def _rule(colour: str, words: Figure) -> Figure:
    return {
        "type": "line",
        "layer": "below",
        "line": {"color": colour, "width": 1.5, "dash": "dot"},
        "label": words | {"font": {"color": colour, "size": 13}},
    }


def epochs_across_phases(history: dict[str, list[Any]]) -> list[float]:
    """Count epochs on through all phases, when each phase starts its own count.

    Parameters
    ----------
    history : dict of str to list
        With ``epoch`` and, if there is more than one, ``phase``.

    Returns
    -------
    list of float
        Never falling, one per entry of the history.
    """
    epochs = [float(epoch) for epoch in history["epoch"]]
    offset, counted = 0.0, epochs[:1]
    for before, epoch in pairwise(epochs):
        if epoch <= before:
            offset += before + (1.0 if epoch < 1 else 0.0)
        counted.append(offset + epoch)
    return counted


def history_scale(history: dict[str, list[Any]]) -> str:
    """Choose the axis for losses: ``log`` if all are positive and span a factor of 20."""
    values = [
        value for key in _losses(history) for value in numbers(history[key]) if value is not None
    ]
    is_log = bool(values) and min(values) > 0 and max(values) >= 20 * min(values)
    return "log" if is_log else "linear"


def history_figure(history: dict[str, list[Any]]) -> Figure:
    """Draw every loss term and the held-out error by epoch, and the learning rate below.

    Parameters
    ----------
    history : dict of str to list
        As in ``FittedData``, not empty.

    Returns
    -------
    dict
        A plotly figure.
    """
    x = epochs_across_phases(history)
    phases = [str(phase) for phase in history.get("phase", [""] * len(x))]
    spread = np.linspace(0, len(x) - 1, min(len(x), _MOST_EPOCHS)).round()
    keep = sorted({int(place) for place in spread} | set(_lowest(history, phases)))
    kept = {key: [history[key][place] for place in keep] for key in _losses(history)}
    shown = [x[place] for place in keep]
    traces = [
        _term(shown, kept[key], key, place)
        for place, key in enumerate(key for key in kept if key != "held_out")
    ]
    if "held_out" in kept:
        held = numbers(kept["held_out"])
        traces.append(line(shown, held, "held-out", "--accent", width=3.5, connectgaps=True))
        traces.append(_best_points(x, history["held_out"], _lowest(history, phases)))
    values = [value for losses in kept.values() for value in losses]
    y = axis("loss", **log_or_linear(values, history_scale(history)))
    span: Figure = {"range": [x[0], x[-1]]} if x[-1] > x[0] else {}
    shared: Figure = {
        "xaxis": axis("epoch", **span),
        "hovermode": "x unified",
        "shapes": _bands(x, phases),
    }
    rates = numbers(history.get("learning_rate", []))
    known = [rate for rate in rates if rate]
    if len(set(known)) < 2:
        return {"data": traces, "layout": layout(yaxis=y, **shared)}
    rate = line(shown, [rates[place] for place in keep], "learning rate", "--muted", width=1.5)
    traces.append(rate | {"yaxis": "y2", "showlegend": False})
    shared["xaxis"] |= {"anchor": "y2"}
    ends = sorted({min(known), max(known)})
    below = axis("rate", domain=[0, 0.16], type="log", tickvals=ends, tickformat=".1~e")
    return {
        "data": traces,
        "layout": layout(yaxis=y | {"domain": [0.24, 1]}, yaxis2=below, **shared),
    }


def _losses(history: dict[str, list[Any]]) -> list[str]:
    """Give the loss terms that are not always 0, the total first and the held-out error last."""
    terms = sorted(key for key in history if key.startswith("train_") and any(history[key]))
    terms.sort(key=lambda key: key != "train_total")
    return terms + (["held_out"] if "held_out" in history else [])


def _term(x: list[float], values: list[Any], key: str, place: int) -> Figure:
    colour = _COLOURS[place % len(_COLOURS)]
    dash = _DASHES[place // len(_COLOURS) % len(_DASHES)]
    name = label("training: " + key.removeprefix("train_").replace("_", " "), 40)
    return line(x, numbers(values), name, colour, width=1.75, dash=dash, connectgaps=True)


def _lowest(history: dict[str, list[Any]], phases: list[str]) -> list[int]:
    """Find, in each phase, the epoch with the lowest held-out error."""
    lowest: dict[str, tuple[float, int]] = {}
    for place, value in enumerate(numbers(history.get("held_out", []))):
        if value is not None and value < lowest.get(phases[place], (math.inf, 0))[0]:
            lowest[phases[place]] = (value, place)
    return [place for _, place in lowest.values()]


def _best_points(x: list[float], held_out: Sequence[Any], best: list[int]) -> Figure:
    values = numbers([held_out[place] for place in best])
    marker = {"size": 12, "symbol": "star", "line": {"color": "--surface", "width": 1.5}}
    points = line([x[place] for place in best], values, "best of its phase", "--accent")
    points |= {"mode": "markers", "marker": {"color": "--accent"} | marker, "hoverinfo": "skip"}
    points["cliponaxis"] = False
    return points


def _bands(x: list[float], phases: list[str]) -> list[Figure]:
    """Shade every other phase and name each at the top of its band."""
    starts = [place for place in range(len(x)) if place == 0 or phases[place] != phases[place - 1]]
    if len(starts) < 2:
        return []
    edges = [x[0]] + [(x[place - 1] + x[place]) / 2 for place in starts[1:]] + [x[-1]]
    bands: list[Figure] = []
    for number, place in enumerate(starts):
        width = edges[number + 1] - edges[number]
        is_roomy = width > 0.08 * (edges[-1] - edges[0])
        bands.append(
            {
                "type": "rect",
                "layer": "below",
                "yref": "paper",
                "x0": edges[number],
                "x1": edges[number + 1],
                "y0": 0,
                "y1": 1,
                "line": {"width": 0},
                "fillcolor": "--band" if number % 2 else "rgba(0,0,0,0)",
                "label": {
                    "text": label(phases[place], 24) if is_roomy else "",
                    "textposition": "bottom left",
                    "font": {"color": "--muted", "size": 12},
                },
            }
        )
    return bands
