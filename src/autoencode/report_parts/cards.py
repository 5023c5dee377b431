"""The cards at the top of a report: what was fitted and how good it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autoencode.report_parts.data import FittedData, PageData
from autoencode.report_parts.markup import (
    percent,
    ratio_text,
    seconds_text,
    text,
    value_text,
)
from autoencode.report_parts.units import Units

__all__ = ["cards_of", "fit_epochs", "fit_seconds", "key_figures"]

_FLOORS = {
    "ppca": "probabilistic PCA, exact",
    "independent": "columns by themselves",
}


def key_figures(data: FittedData) -> str:
    """Write the cards at the top: size, quality, comparison, compression and time.

    Parameters
    ----------
    data : FittedData
        What the report shows.

    Returns
    -------
    str
        HTML.
    """
    at = data.curve_at(data.chosen_size)
    share = data.n_columns / data.chosen_size
    if data.units is not None:
        return _sparse_figures(data, data.units)
    if data.bounds is not None:
        return _likely_figures(data, data.bounds)
    cards = [
        ("Components", f"{data.chosen_size:,}", _why_chosen(data, at["explained_variance"])),
        (
            "Variance explained",
            percent(at["explained_variance"]),
            f"of held-out rows; PCA: {percent(at['pca_explained_variance'])}",
        ),
        ("Error against PCA", ratio_text(at["ratio"]), _against_pca(at)),
        (
            "Compression",
            f"{value_text(share, 3)} : 1",
            f"{_values(data.n_columns)} as {_values(data.chosen_size)}",
        ),
    ]
    seconds = fit_seconds(data)
    if seconds:
        cards.append(("Time to fit", seconds, fit_epochs(data)))
    return cards_of(cards)


def _sparse_figures(data: FittedData, units: Units) -> str:
    """Write the cards of a sparse model."""
    at = data.curve_at(data.chosen_size)
    pca = f"as many components as a row has parts: {percent(at['pca_explained_variance'])}"
    stable = "from one start: stability is not known"
    if units.stable_share is not None:
        stable = f"{percent(units.stable_share)} of them found from another start too"
    cards = [
        ("Parts", f"{units.n_components:,}", stable),
        ("Parts of a row", value_text(units.n_active, 3), "of a held-out row, on average"),
        ("Variance explained", percent(at["explained_variance"]), f"PCA with {pca}"),
        ("Error against PCA", ratio_text(at["ratio"]), "of as many components as parts of a row"),
    ]
    if seconds := fit_seconds(data):
        cards.append(("Time to fit", seconds, fit_epochs(data)))
    return cards_of(cards)


def _likely_figures(data: FittedData, bounds: Mapping[str, Any]) -> str:
    """Write the cards of a variational model: nats of a held-out row."""
    error = bounds["bound_error"]
    spread = "" if error is None else f", standard error {value_text(error, 2)}"
    above = bounds["bound"] - bounds["floor"]
    sign = "+" if above >= 0 else ""
    cards = [
        ("Log-likelihood", _nats(bounds["bound"]), f"nats per held-out row{spread}"),
        ("Above the floor", f"{sign}{_nats(above)}", f"nats: {_FLOORS[bounds['floor_kind']]}"),
        ("Bound of training", _nats(bounds["elbo"]), f"nats: lower by {_nats(bounds['gap'])}"),
        (
            "Rate",
            _nats(bounds["rate"]),
            f"nats for the code, {_nats(bounds['distortion'])} for values",
        ),
        ("Active units", f"{bounds['active']}", f"of {data.chosen_size:,} components"),
    ]
    if seconds := fit_seconds(data):
        cards.append(("Time to fit", seconds, fit_epochs(data)))
    return cards_of(cards)


def _nats(value: float) -> str:
    return f"{value:,.1f}".replace("-", "−")


def cards_of(cards: Sequence[tuple[str, str, str]]) -> str:
    """Write cards: of each its name, its value and a note."""
    items = "".join(
        f"<div><dt>{text(name)}</dt><dd><strong>{text(value)}</strong>"
        f"<span>{text(note)}</span></dd></div>"
        for name, value, note in cards
    )
    return f'<dl class="cards">{items}</dl>'


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count:,} values"


def _why_chosen(data: FittedData, explained: float) -> str:
    if data.level is None:
        return f"as asked, of {data.n_columns:,} columns"
    if explained >= data.level:
        return f"the fewest that explain {100 * data.level:.4g}%"
    return f"{100 * data.level:.4g}% was asked and not reached"


def _against_pca(at: dict[str, float]) -> str:
    if not math.isfinite(at["ratio"]):
        return "PCA makes no error at this size"
    if not at["network"]:
        return "this model is PCA: no network paid"
    if at["ratio"] < 1:
        return f"{percent(1 - at['ratio'])} less squared error, same size"
    return "no better than PCA of the same size"


def fit_seconds(data: PageData) -> str:
    """Write how long the fit took; nothing where that is not known."""
    given = data.facts.get("seconds")
    if given is None:
        times = [float(value) for value in data.history.get("seconds", []) if value is not None]
        return seconds_text(max(times)) if times else ""
    try:
        return seconds_text(float(given))
    except ValueError:
        return given


def fit_epochs(data: PageData) -> str:
    """Write how many epochs it had."""
    count = len(data.history.get("epoch", []))
    if count == 0:
        return "nothing to train: solved directly"
    return "1 epoch" if count == 1 else f"{count:,} epochs"
