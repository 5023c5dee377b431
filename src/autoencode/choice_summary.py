"""Which architecture was chosen, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["describe_choice"]


def describe_choice(chosen: object, tried: Mapping[str, Any]) -> str:
    """Say which of two architectures was chosen, and why; "" if there was no choice.

    Parameters
    ----------
    chosen : object
        The architecture; "mlp" or "conv" if there was a choice.
    tried : mapping
        As from `autoencode.architecture_choice.choose_architecture`.
    """
    if not tried:
        return ""
    ratio = tried["conv"] / tried["mlp"] if tried["mlp"] else 1.0
    kept = "convolutions" if chosen == "conv" else "dense layers"
    return (
        f"{kept}, chosen on held-out pictures: after short trainings the error of convolutions "
        f"was {ratio:.3f} x that of dense layers"
    )
