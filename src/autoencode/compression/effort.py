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
        Plan every column of arrays of many, and pack by everything, likely to pay or not.
    sample_rows : int
        Rows by which the context of a column is chosen.
    most_sources : int
        Of which a context may be made.
    """

    fast: bool = False
    series: bool = True
    stored_only: bool = False
    patient: bool = False
    sample_rows: int = 1 << 13
    most_sources: int = 3


EFFORTS = {
    "fast": Effort(fast=True, series=False, sample_rows=1 << 11, most_sources=1),
    "default": Effort(),
    "best": Effort(patient=True, sample_rows=1 << 15, most_sources=4),
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
