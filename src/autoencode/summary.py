"""What was fitted and how good it is, in words and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoencode.bounds_summary import describe_bounds, known_bounds
from autoencode.choice_summary import describe_choice
from autoencode.metrics import STABLE
from autoencode.noise import Noise
from autoencode.prior_summary import describe_prior

if TYPE_CHECKING:
    from autoencode.state import State

__all__ = [
    "FITTED_TO",
    "column_rows",
    "curve_table",
    "describe_noise",
    "describe_rows",
    "describe_state",
    "describe_units",
    "fitted_columns",
    "known_noise",
    "known_units",
    "left_out",
    "shown_sizes",
    "worst_columns",
]

_LEFT_OUT_SHOWN = 5
_NOT_LEARNED = ("constant", "identifier")
_VALUES_SHOWN = 4
_ENOUGH_STABLE = 0.5
FITTED_TO = {
    "clean": "clean rows; what noise others have is found when it is taken out",
    "noisy": "noisy rows",
    "pairs": "pairs of noisy and clean rows",
}


def describe_state(state: State, *, restores: bool = False) -> str:
    """Return a few lines about a fitted model.

    Parameters
    ----------
    state : State
        The fitted model.
    restores : bool
        Whether it was trained and judged by how it restores hidden cells.
    """
    facts, size = state.facts, state.n_components
    kind = "PCA (the network did not pay)" if state.source(size) == "pca" else "network"
    if state.composition.sparse:
        kind = "sparse codes"
    elif not state.composition.hidden_layer_sizes:
        kind = "PCA (no hidden layers)"
    elif not facts["n_choose"]:
        kind = "PCA (too few rows to hold some out)"
    bounds = known_bounds(facts)
    if bounds is not None and bounds["floor_kind"] == "ppca" and kind.startswith("PCA"):
        kind = f"probabilistic {kind}"
    columns = f"{len(state.scaling.center)} columns"
    if state.schema is not None and state.schema.n_columns != state.n_values:
        columns = f"{state.schema.n_columns} columns ({state.n_values} values)"
    apart = left_out(fitted_columns(state))
    noise = known_noise(facts, state.scaling.scale)
    purpose = "missing cells restored" if noise is None else "noise taken out"
    purpose = purpose if restores else f"{size} components"
    lines = [
        f"{columns} -> {purpose}, by {kind}",
        f"left out: {apart}" if apart else "",
        describe_choice(state.composition.architecture, facts.get("architectures", {})),
        "" if noise is None else f"fitted to {FITTED_TO[noise['situation']]}",
        "" if noise is None or noise["kind"] == "none" else f"noise: {describe_noise(noise)}",
        _quality(state, restores=restores),
        _generalised(state),
        describe_bounds(bounds),
        "" if state.sampler is None else describe_prior(state.sampler.candidates),
        describe_units(known_units(facts, state.units, size)),
        _penalties(facts.get("penalties", ())),
        _stability(facts),
        f"{describe_rows(facts)}; {facts['seconds']:.1f} s; stopped: {facts['stop_reason']}"
        if facts["n_rows"]
        else "not fitted here",
    ]
    return "\n".join(line for line in lines if line)


def _stability(facts: Mapping[str, Any]) -> str:
    """Say so if most parts of a dictionary are not what another start finds."""
    if facts.get("stable", 1.0) >= _ENOUGH_STABLE:
        return ""
    return (
        f"parts differ from start to start: another finds only {facts['stable']:.0%} of them; "
        "do not read much into single parts"
    )


def describe_rows(facts: Mapping[str, Any]) -> str:
    """Say how many rows there were, and what for."""
    return (
        f"{facts['n_rows']} rows: {facts['n_train']} to train, {facts['n_choose']} to choose, "
        f"{facts['n_claim']} to measure"
    )


def _penalties(facts: Sequence[Mapping[str, Any]]) -> str:
    """Return the penalties, their weights and how these came about; "" without any."""
    parts = []
    for fact in facts:
        text = fact["name"]
        if fact["weight"] is not None:
            text += f" weight {fact['weight']:.3g}"
        if "reached" in fact:
            text += f" (activity {fact['reached']:.3f}, {fact['aim']:.3g} asked)"
        elif fact["chosen"]:
            text += " (chosen on held-out rows)"
        parts.append(text)
    return f"penalties: {', '.join(parts)}" if parts else ""


def left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the columns of a table that nothing is learned from, and why; "" if there are none.

    Parameters
    ----------
    rows : sequence of mapping
        As from `column_rows`.
    """
    found = [f"{row['name']} ({row['detail']})" for row in rows if row["kind"] in _NOT_LEARNED]
    more = len(found) - _LEFT_OUT_SHOWN
    return "; ".join(found[:_LEFT_OUT_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _quality(state: State, *, restores: bool) -> str:
    figures = at_size(state)
    if figures is None:
        return ""
    rows = "held-out rows" if state.facts["n_choose"] else "the training rows"
    if restores and "situation" in state.facts:
        return _restored(rows, figures, state.facts)
    cells = "cells hidden in " if restores else ""
    return (
        f"explains {figures['explained_variance']:.2%} of the variance of {cells}{rows} "
        f"(PCA {figures['pca_explained_variance']:.2%}); error {figures['ratio']:.3f} x PCA's"
    )


def _generalised(state: State) -> str:
    """Say how much larger errors of held-out pictures are than of those trained on; "" if unknown.

    And how pictures were moved in training.
    """
    figures, facts = at_size(state), state.facts
    if figures is None or not facts.get("train_error"):
        return ""
    moved = {"shift": "moved by a pixel", "shift_flip": "moved by a pixel and mirrored"}
    used = state.source(state.n_components) != "pca"
    how = moved.get(facts["augmentation"]) if used else None
    ratio = figures["error"] / facts["train_error"]
    what = "training pictures, all aligned" if facts.get("aligned") else "training pictures"
    text = f"held-out error {ratio:.2f} x that of the {what}"
    return text if how is None else f"{text}, which were {how} at random"


def _restored(rows: str, figures: Mapping[str, float], facts: Mapping[str, Any]) -> str:
    """Return how well noise is taken out, beside the best linear guess."""
    situation, kind = facts["situation"], facts["noise"]["kind"]
    how = ""
    if situation == "noisy":
        how = (
            ", as estimated without clean ones" if kind == "gaussian" else ", of cells hidden there"
        )
    return (
        f"restores {figures['explained_variance']:.2%} of the variance of {rows}{how} "
        f"(the best linear guess {figures['pca_explained_variance']:.2%}); "
        f"error {figures['ratio']:.3f} x its"
    )


def known_noise(facts: Mapping[str, Any], scale: Any) -> dict[str, Any] | None:
    """Return what a denoising model knows of its noise, as plain values; None for others.

    Parameters
    ----------
    facts : mapping
        Those of its state.
    scale : ndarray of shape (n_values,)
        What values are divided by.

    Returns
    -------
    dict
        ``situation``, ``kind``, ``level``, ``error`` (standard error of the level), ``unit``
        ("data", "deviations" of the columns, "cells": a share of them, or None without any
        noise), ``columns`` (as `Noise.columns_hit`), ``values`` (that it puts in place of others).
    """
    if "situation" not in facts:
        return None
    first = float(scale[0])
    unit = first if bool((scale == first).all()) else 1.0
    found = facts["noise"]
    factor = unit if found["kind"] == "gaussian" else 1.0
    atoms = [np.asarray(atom["values"], dtype=np.float64) for atom in found["atoms"]]
    kept = [np.unique(atom[~np.isnan(atom)]) for atom in atoms]
    return {
        "situation": facts["situation"],
        "kind": found["kind"],
        "level": found["level"] * factor,
        "error": found["error"] * factor,
        "unit": _unit(found["kind"], common=unit != 1.0),
        "columns": Noise.from_header(found).columns_hit,
        "values": [float(values[0]) for values in kept if len(values) == 1],
    }


def _unit(kind: str, *, common: bool) -> str | None:
    if kind == "gaussian":
        return "data" if common else "deviations"
    return None if kind == "none" else "cells"


def describe_noise(noise: Mapping[str, Any]) -> str:
    """Say in words what noise there is.

    Parameters
    ----------
    noise : mapping
        As from `known_noise`.
    """
    level, exact = noise["level"], not noise["error"]
    if noise["kind"] == "none":
        return "none"
    if noise["kind"] == "gaussian":
        of = " of the columns' deviations" if noise["unit"] == "deviations" else ""
        error = "" if exact else f" (standard error {noise['error']:.1g})"
        return f"normal, deviation {level:.3g}{error}{of}"
    put = "values of other rows"
    if noise["kind"] == "impulse":
        values = [f"{value:.4g}" for value in noise["values"][:_VALUES_SHOWN]]
        put = f"fixed values{' (' + ', '.join(values) + ')' if values else ''}"
    error = "" if exact else f" (standard error {noise['error']:.1%})"
    columns = noise["columns"]
    where = "" if columns is None else f" of {columns} column{'s' * (columns != 1)}"
    return f"{put} in place of {level:.1%} of the cells{where}{error}"


def known_units(
    facts: Mapping[str, Any], units: Mapping[str, Any], n_components: int
) -> dict[str, Any] | None:
    """Return what is known of the units of a sparse code, as plain values; None for others.

    Parameters
    ----------
    facts, units : mapping
        Those of its state.
    n_components : int
        Length of the code.

    Returns
    -------
    dict
        ``n_components``, ``n_active`` (of a held-out row, on average), ``dead`` (units that
        are active in no held-out row), ``stable`` (share of units whose match from another
        start has a cosine above 0.9), ``refined`` (whether codes are by pursuit) and
        ``encoder``: ``explained_variance`` and ``n_active`` without it. None where that is
        not known.
    """
    if "n_active" not in facts:
        return None
    frequency, stability = units.get("frequency"), units.get("stability")
    return {
        "n_components": n_components,
        "n_active": facts["n_active"],
        "dead": None if frequency is None else int((np.asarray(frequency) <= 0).sum()),
        "stable": None if stability is None else float((np.asarray(stability) > STABLE).mean()),
        "refined": "pursuit" in facts,
        "encoder": facts.get("encoder"),
    }


def describe_units(found: Mapping[str, Any] | None) -> str:
    """Say in words what is known of the units of a sparse code; "" for other codes.

    Parameters
    ----------
    found : mapping or None
        As from `known_units`.
    """
    if found is None:
        return ""
    parts = []
    if found["n_active"] is not None:
        parts.append(f"{found['n_active']:.3g} of {found['n_components']} units active in a row")
    if found["dead"] is not None:
        parts.append(f"{found['dead']} in no held-out row")
    if found["stable"] is not None:
        parts.append(f"{found['stable']:.0%} stable (found from another start too)")
    if found["encoder"] is not None:
        alone = found["encoder"]
        parts.append(
            f"its encoder alone: {alone['explained_variance']:.2%} explained, "
            f"{alone['n_active']:.3g} active"
        )
    return "; ".join(parts)


def at_size(state: State) -> dict[str, float] | None:
    """Return the curve's figures at the chosen size, if it was measured there."""
    sizes = list(state.curve.get("size", []))
    if state.n_components not in sizes:
        return None
    place = sizes.index(state.n_components)
    return curve_table(state.curve)[place]


def curve_table(curve: dict[str, Any]) -> list[dict[str, float]]:
    """Return one row per size: figures of the curve and the ratio of errors."""
    table = []
    for place in range(len(curve["size"])):
        row = {name: float(column[place]) for name, column in curve.items()}
        row["ratio"] = row["error"] / row["pca_error"] if row["pca_error"] > 0 else 1.0
        table.append(row)
    return table


def shown_sizes(sizes: list[int], chosen: int, most: int = 16) -> list[int]:
    """Return places of the sizes worth printing: spread by ratio, the chosen included."""
    if len(sizes) <= most:
        return list(range(len(sizes)))
    picked = np.geomspace(1, len(sizes), most).round().astype(int) - 1
    places = set(picked.tolist())
    if chosen in sizes:
        places.add(sizes.index(chosen))
    return sorted(places)


def fitted_columns(state: State) -> list[dict[str, Any]]:
    """Return what each column of a fitted table is and how well it comes back; see `column_rows`.

    Nothing for models of arrays.
    """
    if state.schema is None:
        return []
    return column_rows(state.schema.describe(), state.facts.get("columns", ()))


def column_rows(
    described: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return one row per column: what it is, and how well it is reconstructed.

    Parameters
    ----------
    described : sequence of mapping
        As from ``Schema.describe``.
    measured : sequence of mapping
        As from `autoencode.quality.column_quality`; nothing if no rows were held out.

    Returns
    -------
    list of dict
        The entries of both; ``measure``, ``quality``, ``baseline`` and ``error_share`` are
        None where nothing was measured.
    """
    nothing = dict.fromkeys(("measure", "quality", "baseline", "error_share"))
    found = {entry["name"]: entry for entry in measured}
    return [{**nothing, **row, **found.get(row["name"], {})} for row in described]


def worst_columns(
    rows: Sequence[dict[str, Any]], most: int = 20
) -> tuple[list[dict[str, Any]], int]:
    """Return the columns worth printing, and how many others something is learned from.

    Parameters
    ----------
    rows : sequence of dict
        As from `column_rows`.
    most : int
        Where there are more, those that come back worst are returned, worst first.
    """
    learned = [row for row in rows if row["kind"] not in _NOT_LEARNED]
    if len(learned) <= most:
        return learned, 0
    return sorted(learned, key=_skill)[:most], len(learned) - most


def _skill(row: Mapping[str, Any]) -> float:
    """Return the share of what a constant guess gets wrong that the model gets right."""
    quality, baseline = row["quality"], row["baseline"] or 0.0
    if quality is None:
        return math.inf
    return float((quality - baseline) / (1 - baseline)) if baseline < 1 else float(quality - 1)
