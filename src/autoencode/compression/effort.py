"""How much is tried for a smaller file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoencode.errors import SpecError

__all__ = ["EFFORTS", "Effort", "effort_named"]

_FEWEST_STEPS = 1000


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
    training_steps, training_seconds : int, float
        Updates of the weights of networks, in all; no network is trained if 0. The seconds are
        a limit that should not be reached: what is learned depends on it.
    """

    fast: bool = False
    series: bool = True
    stored_only: bool = False
    patient: bool = False
    sample_rows: int = 1 << 13
    most_sources: int = 3
    training_steps: int = 0
    training_seconds: float = 0.0

    def shared(self, n_blocks: int) -> Effort:
        """Return what each of so many blocks gets of it: no network where that would be little."""
        steps = self.training_steps // max(1, n_blocks)
        if steps < _FEWEST_STEPS:
            return replace(self, training_steps=0, training_seconds=0.0)
        seconds = self.training_seconds / max(1, n_blocks)
        return replace(self, training_steps=steps, training_seconds=seconds)


EFFORTS = {
    "fast": Effort(fast=True, series=False, sample_rows=1 << 11, most_sources=1),
    "default": Effort(training_steps=4000, training_seconds=60.0),
    "best": Effort(
        patient=True,
        sample_rows=1 << 15,
        most_sources=4,
        training_steps=20_000,
        training_seconds=300.0,
    ),
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
