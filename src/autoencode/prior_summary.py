"""What codes are drawn from, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["describe_prior"]

_NAMES = {
    "own": "N(0, I)",
    "normal": "a normal distribution",
    "mixture": "a mixture",
    "flow": "a coupling flow",
    "variational": "a second autoencoder",
}


def describe_prior(candidates: Sequence[Mapping[str, Any]]) -> str:
    """Say what codes are drawn from, and how likely each candidate made held-out codes.

    Parameters
    ----------
    candidates : sequence of mapping
        As from `autoencode.prior_choice.choose_prior`; of one kind the likeliest is told.

    Returns
    -------
    str
        "" without candidates, or with those of an earlier version.
    """
    if not all("kind" in candidate for candidate in candidates):
        return ""
    best: dict[str, float] = {}
    chosen, taken = "", ""
    for candidate in candidates:
        own = candidate["kind"] == "normal" and candidate["rows_per_part"] is None
        kind = "own" if own else str(candidate["kind"])
        best[kind] = max(float(candidate["held_out"]), best.get(kind, float("-inf")))
        if candidate["chosen"]:
            parts = f" of {candidate['parts']} parts" if kind == "mixture" else ""
            chosen, taken = f"{_NAMES[kind]}{parts}", kind
    if not chosen:
        return ""
    told = ", ".join(f"{_NAMES[kind]} {nats:.2f}" for kind, nats in best.items())
    text = f"new codes are drawn from {chosen}; nats of held-out codes: {told}"
    if best[taken] < max(best.values()):
        text += " (alike but for chance: what follows rows most closely is taken)"
    return text
