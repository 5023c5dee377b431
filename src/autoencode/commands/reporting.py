"""From a fitted model and its data to what a report shows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoencode.data.rows import FloatArray, Rows
from autoencode.report_parts.data import ReportData

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["report_data"]

MOST_ROWS = 2000


def report_data(
    model: Autoencoder,
    rows: Rows,
    *,
    held_out: Rows | None = None,
    target: Rows | None = None,
    title: str = "autoencode",
    data_path: str = "",
    model_path: str = "",
) -> ReportData:
    """Collect what a report shows about a fitted model.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    rows : Rows
        What it was fitted to.
    held_out : Rows, optional
        The held-out rows of that fit, if they were given to it.
    target : Rows, optional
        What was to be reconstructed, if not the rows themselves.
    title : str
        The page's heading.
    data_path, model_path : str
        Where data and model are, for the lines that load them.

    Returns
    -------
    ReportData
        With at most 2,000 of the rows on which the model's figures were measured.
    """
    state = model._state
    source = rows if held_out is None else held_out
    numbers, unseen = _shown_rows(state.facts, source, given=held_out is not None)
    shown = source.take(numbers)
    wanted = shown if target is None or held_out is not None else target.take(numbers)
    inputs = Rows(shown, kind="numpy", names=rows.names)
    count = len(numbers)
    return ReportData(
        title=title,
        sentence=_sentence(model, unseen=unseen),
        facts=_facts(model, data_path, model_path),
        curve=model.curve_,
        chosen_size=model.n_components_,
        level=model.n_components if isinstance(model.n_components, float) else None,
        rows=wanted,
        reconstructions=_plain(model.reconstruct(inputs)).reshape(count, -1),
        codes=_plain(model.transform(inputs)),
        row_numbers=numbers,
        column_scale=state.scaling.scale,
        names=rows.names,
        sample_shape=rows.sample_shape,
        history=model.history_,
        loading=_loading(data_path, model_path),
    )


def _shown_rows(facts: Mapping[str, Any], source: Rows, *, given: bool) -> tuple[Any, bool]:
    """Return the numbers of the rows to show, and whether the fit never saw them."""
    claimed = np.asarray(facts.get("claim_rows") or [], dtype=np.int64)
    if len(claimed) and claimed.max() < source.n_rows:
        return claimed[:MOST_ROWS], True
    return np.arange(min(source.n_rows, MOST_ROWS)), given


def _sentence(model: Autoencoder, *, unseen: bool) -> str:
    place = list(model.curve_["size"]).index(model.n_components_)
    explained = float(model.curve_["explained_variance"][place])
    pca = float(model.curve_["pca_explained_variance"][place])
    kind = "An autoencoder" if model.gate_ else "PCA (a network did not pay here)"
    length = f"{model.n_components_} number{'' if model.n_components_ == 1 else 's'}"
    measured = "rows it never saw" if model._state.facts["n_claim"] else "its training rows"
    text = (
        f"{kind} turns {model.n_features_in_} columns into {length} and keeps {explained:.2%} of "
        f"the variance of {measured}"
    )
    text += f"; PCA of the same length keeps {pca:.2%}." if model.gate_ else "."
    if not unseen:
        text += " The examples below are training rows."
    return text


def _facts(model: Autoencoder, data_path: str, model_path: str) -> dict[str, str]:
    facts, made_of = model._state.facts, model._state.composition
    hidden = ", ".join(map(str, made_of.hidden_layer_sizes)) or "none"
    return {
        "data": data_path,
        "model": model_path,
        "rows": f"{facts['n_rows']}: {facts['n_train']} to train, {facts['n_choose']} to choose, "
        f"{facts['n_claim']} to measure",
        "columns": str(model.n_features_in_),
        "components asked for": str(model.n_components),
        "hidden layers": hidden,
        "architecture": str(made_of.architecture),
        "bottleneck": str(made_of.bottleneck),
        "corruption": str(made_of.corruption),
        "likelihood": str(made_of.likelihood),
        "penalties": ", ".join(map(str, made_of.penalties)) or "none",
        "epochs": str(model.n_iter_),
        "seconds": f"{facts['seconds']:.1f}",
        "stopped": str(facts["stop_reason"]),
        "seed": str(facts["seed"]),
    }


def _loading(data_path: str, model_path: str) -> str:
    model = os.path.basename(model_path) or "model.safetensors"
    data = Path(data_path).name or "data.csv"
    return (
        "import autoencode\n\n"
        f"model = autoencode.load({model!r})\n"
        f"codes = model.transform({data!r})\n"
        "rows = model.inverse_transform(codes)\n"
    )


def _plain(values: Any) -> FloatArray:
    """Return an array whatever ``set_output`` asked for."""
    array: FloatArray = np.asarray(values)
    return array
