"""How much is tried for a smaller file."""

from __future__ import annotations

from dataclasses import dataclass

from autoencode.errors import SpecError

__all__ = ["EFFORTS", "Effort", "effort_named"]


@dataclass(frozen=True)
class Effort:
    """What is tried.

    Attributes
    ----------
    fast : bool
        Leave out xz and everything else that is slow.
    series : bool
        Try models that look at earlier rows.
    stored_only : bool
        Try no model at all.
    patient : bool
        Plan every column of arrays of many, too.
    """

    fast: bool = False
    series: bool = True
    stored_only: bool = False
    patient: bool = False


EFFORTS = {
    "fast": Effort(fast=True, series=False),
    "default": Effort(),
    "best": Effort(patient=True),
}


def effort_named(name: str) -> Effort:
    """Return an effort by its name.

    Raises
    ------
    SpecError
        If there is none of that name.
    """
    if name not in EFFORTS:
        raise SpecError(f"effort is {name!r}; choose one of {', '.join(EFFORTS)}")
    return EFFORTS[name]
