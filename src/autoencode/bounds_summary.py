"""How likely a variational model makes rows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["bounds_sentence", "describe_bounds", "known_bounds"]

_FLOORS = {
    "ppca": "probabilistic PCA, exact",
    "independent": "columns by themselves",
}
_GIVEN_BY = {
    "ppca": "probabilistic PCA gives",
    "independent": "columns taken by themselves give",
}


def known_bounds(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is known of how likely rows are, as plain values; None for other models.

    Parameters
    ----------
    facts : mapping
        Those of a state.

    Returns
    -------
    dict
        As `autoencode.VariationalAutoencoder`'s ``bounds_``.
    """
    found = facts.get("likelihood")
    if found is None or "bound" not in found:
        return None
    return {name: value for name, value in found.items() if name != "total"}


def describe_bounds(found: Mapping[str, Any] | None) -> str:
    """Say in words how likely held-out rows are; "" for other models.

    Parameters
    ----------
    found : mapping or None
        As from `known_bounds`.
    """
    if found is None:
        return ""
    error = "" if found["bound_error"] is None else f" (standard error {found['bound_error']:.2g})"
    lines = [
        f"log-likelihood {found['bound']:.2f} nats per row{error} by {found['n_draws']} draws; "
        f"floor {found['floor']:.2f} ({_FLOORS[found['floor_kind']]})",
        f"bound in training {found['elbo']:.2f} (gap {found['gap']:.2f}): rate {found['rate']:.2f}"
        f", distortion {found['distortion']:.2f}; {found['active']} of {found['n_components']} "
        "units active",
        _collapse(found["collapse"]),
    ]
    return "\n".join(line for line in lines if line)


def bounds_sentence(facts: Mapping[str, Any], measured: str) -> str:
    """Say in a sentence how likely rows are; "" for other models.

    Parameters
    ----------
    facts : mapping
        Of a fitted model.
    measured : str
        Which rows, in words.
    """
    found = known_bounds(facts)
    if found is None:
        return ""
    return (
        f"The log-likelihood of {measured} is {found['bound']:.2f} nats per row; "
        f"{_GIVEN_BY[found['floor_kind']]} {found['floor']:.2f}."
    )


def _collapse(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    kept = "kept" if found["kept"] else "no better, and not kept"
    return (
        f"posterior collapse: {found['active']} units active where probabilistic PCA has "
        f"{found['needed']}; trained again with {found['free_bits']} free nats a unit and a longer "
        f"warm-up: {found['after']} active, {kept}"
    )
