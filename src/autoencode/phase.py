"""One run of the training loop within a fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Phase"]


@dataclass(frozen=True)
class Phase:
    """One run of the training loop: what is judged, at which sizes, for how long."""

    name: str
    evaluate: Callable[[], float]
    reached: Callable[[], bool] | None
    pattern: npt.NDArray[np.int64] | None
    epochs: int
    time_share: float
    shorter: float = 1.0
