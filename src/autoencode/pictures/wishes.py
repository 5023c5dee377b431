"""What a fit to whole pictures is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from autoencode.pictures.crops import Crops
from autoencode.training import History

__all__ = ["PictureWishes"]

_BATCH, _LEAST_STEPS = 8, 50
_LONGER = 10
"""How many times as many passes a fit may take that ends by the clock."""


@dataclass(frozen=True)
class PictureWishes:
    """What a fit is asked for; nothing is "auto" but where it says so.

    Attributes
    ----------
    widths : tuple of int
        Channels of the network.
    max_epochs, batch_size : int or "auto"
        Passes over the pictures, of 50 steps at least; parts per step.
    max_time : float or None
        Seconds.
    learning_rate : float
        The highest.
    validation_fraction : float
        Share held out.
    device : torch.device
        Where to train.
    n_threads : int or "auto"
        The most inside one operator.
    seed : int
        Of everything random.
    report : callable or None
        Called with the phase's name and the history after each epoch.
    """

    widths: tuple[int, ...]
    max_epochs: int | str
    batch_size: int | str
    max_time: float | None
    learning_rate: float
    validation_fraction: float
    device: torch.device
    n_threads: int | str
    seed: int
    report: Callable[[str, History], None] | None

    def sizes(self, crops: Crops, n_steps_in_all: int) -> tuple[int, int, int]:
        """Return parts per step, steps of an epoch, and epochs.

        Parameters
        ----------
        crops : Crops
            What is trained on.
        n_steps_in_all : int
            About how many steps "auto" takes.
        """
        batch_size = _BATCH if isinstance(self.batch_size, str) else self.batch_size
        n_steps = max(_LEAST_STEPS, math.ceil(crops.n_pixels / (batch_size * crops.side**2)))
        if not isinstance(self.max_epochs, str):
            return batch_size, n_steps, self.max_epochs
        epochs = max(1, math.ceil(n_steps_in_all / n_steps))
        return batch_size, n_steps, epochs * (1 if self.max_time is None else _LONGER)
