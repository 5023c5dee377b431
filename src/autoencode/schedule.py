"""The learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass
class Schedule:
    """Learning rate over the run: warm up, hold, then fall to near zero.

    The fall starts at ``hold`` of the budget, or earlier when the held-out error
    no longer gains; it then takes a third of the steps taken so far.
    """

    hold: float
    warmup: int = 50
    fall_from: float | None = None
    fall_length: float = 0.0

    def factor(self, steps: int, progress: float) -> float:
        """Return the share of the full rate at this step and progress in [0, 1]."""
        if self.fall_from is None and progress >= self.hold:
            self.start_fall(progress, 1.0 - progress)
        rise = min(1.0, (steps + 1) / self.warmup)
        if self.fall_from is None:
            return rise
        done = min(1.0, (progress - self.fall_from) / max(self.fall_length, 1e-9))
        return rise * max(0.5 * (1 + math.cos(math.pi * done)), 0.01)

    def start_fall(self, progress: float, length: float) -> None:
        """Begin the fall now."""
        self.fall_from, self.fall_length = progress, length

    def ended(self, progress: float) -> bool:
        """Say whether the fall is over."""
        return self.fall_from is not None and progress >= self.fall_from + self.fall_length
