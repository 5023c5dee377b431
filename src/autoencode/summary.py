"""What was fitted and how good it is, in words and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from autoencode.state import State

__all__ = ["curve_table", "describe_state", "shown_sizes"]


def describe_state(state: State) -> str:
    """Return a few lines about a fitted model."""
    facts, size = state.facts, state.n_components
    kind = "PCA (the network did not pay)" if state.source(size) == "pca" else "network"
    if not state.composition.hidden_layer_sizes:
        kind = "PCA (no hidden layers)"
    elif not facts["n_choose"]:
        kind = "PCA (too few rows to hold some out)"
    lines = [
        f"{len(state.scaling.center)} columns -> {size} components, by {kind}",
        _quality(state),
        f"{facts['n_rows']} rows: {facts['n_train']} to train, {facts['n_choose']} to choose, "
        f"{facts['n_claim']} to measure; {facts['seconds']:.1f} s; "
        f"stopped: {facts['stop_reason']}",
    ]
    return "\n".join(line for line in lines if line)


def _quality(state: State) -> str:
    figures = at_size(state)
    if figures is None:
        return ""
    rows = "held-out rows" if state.facts["n_choose"] else "the training rows"
    return (
        f"explains {figures['explained_variance']:.2%} of the variance of {rows} "
        f"(PCA {figures['pca_explained_variance']:.2%}); error {figures['ratio']:.3f} x PCA's"
    )


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
