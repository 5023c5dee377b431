"""One fit to whole pictures: its clock, its randomness, the run of the training loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.architectures.unet import UNet
from autoencode.checkpoint import Checkpoint
from autoencode.flat_parameters import FlatParameters
from autoencode.numerics import choose_threads, threads
from autoencode.objective import Objective
from autoencode.pictures.crops import CropBatches, Crops
from autoencode.pictures.wishes import PictureWishes
from autoencode.steps import Step
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["PictureRun", "PictureTask", "channels_of", "white_of"]

Pixels = npt.NDArray[Any]

_HOLD, _CLIPPING, _ASTRAY = 0.3, 2.0, 0.5
_AVERAGED, _LEAST_AVERAGING, _MOST_AVERAGING = 0.1, 0.002, 0.1
"""What is judged is the mean of the weights over about this share of all steps."""
_WHITES = (1.0, 255.0)
_MOST_AREAS = 12


@dataclass(frozen=True)
class PictureTask:
    """What to train, on what, and how it is judged.

    Attributes
    ----------
    name : str
        Of the phase, for the history.
    network : UNet
        On its device.
    crops : Crops
        To train on.
    make_step : callable
        From the network's weights to what computes gradients.
    evaluate : callable
        Returns the held-out error.
    n_steps : int
        About how many "auto" takes in all.
    """

    name: str
    network: UNet
    crops: Crops
    make_step: Callable[[FlatParameters], Step]
    evaluate: Callable[[], float]
    n_steps: int


class PictureRun:
    """A fit as it goes on; a checkpoint keeps what changes in it.

    Parameters
    ----------
    wishes : PictureWishes
        How to fit.
    checkpoint : Checkpoint or None
        Where the state of training is kept.
    """

    products = ""

    def __init__(self, wishes: PictureWishes, checkpoint: Checkpoint | None) -> None:
        self.started = time.perf_counter()
        self.wishes, self.checkpoint = wishes, checkpoint
        self.seed = wishes.seed if checkpoint is None else checkpoint.seeded(wishes.seed)
        self.rng = torch.Generator().manual_seed(self.seed)
        self.history = History()
        self.objective, self.sparsity = Objective(), _Nothing()

    def drawn(self, network: UNet) -> UNet:
        """Return a network with starting weights, on its device."""
        network.draw(self.rng)
        return network.to(self.wishes.device)

    def train(self, task: PictureTask) -> None:
        """Train a network; the best held-out weights are in place afterwards.

        After Ctrl-C too, which is then the stop reason.

        Raises
        ------
        KeyboardInterrupt
            If nothing was learned yet.
        """
        keeper = None
        if self.checkpoint is not None:
            keeper = self.checkpoint.phase(task.name, task.network, self)
        try:
            if keeper is None or not keeper.restore_finished():
                self._train(task, keeper)
        except KeyboardInterrupt:
            if not self.history.columns:
                raise
        task.network.requires_grad_(False)

    def _train(self, task: PictureTask, keeper: Any) -> None:
        wishes, flat = self.wishes, FlatParameters(task.network)
        batch_size, n_steps, epochs = wishes.sizes(task.crops, task.n_steps)
        averaging = 1 / (_AVERAGED * epochs * n_steps)
        settings = Settings(
            wishes.learning_rate,
            weight_decay=0.0,
            patience=max(10, epochs // 4),
            hold=_HOLD,
            averaging=min(max(averaging, _LEAST_AVERAGING), _MOST_AVERAGING),
            clipping=_CLIPPING,
            astray=_ASTRAY,
        )
        batches = CropBatches(task.crops, batch_size, n_steps, wishes.device)
        flops = 6.0 * flat.values.numel() * batch_size * task.crops.side**2 / 16
        try:
            with threads(choose_threads(flops, wishes.n_threads)):
                train(
                    Task(flat, batches, task.make_step(flat), task.evaluate),
                    settings=settings,
                    budget=Budget(epochs, wishes.max_time),
                    rng=self.rng,
                    history=self.history.begin(task.name, 0.0),
                    on_epoch=None if wishes.report is None else partial(wishes.report, task.name),
                    keeper=keeper,
                )
        finally:
            flat.release()
        if keeper is not None:
            keeper.finish()

    def facts(self, n_pictures: int, training: Crops, held_out: Crops) -> dict[str, Any]:
        """Return what is known of the fit, as plain values."""
        return {
            "n_pictures": n_pictures,
            "n_pixels": training.n_pixels + held_out.n_pixels,
            "seconds": time.perf_counter() - self.started,
            "stop_reason": self.history.stop_reason,
            "held_out_areas": [list(area) for area in held_out.areas[:_MOST_AREAS]],
        }


class _Nothing:
    """What other fits have beside their networks, and these have not."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing is to be restored."""


def channels_of(pictures: Sequence[Pixels]) -> int:
    """Return how many colours pictures have."""
    return 1 if pictures[0].ndim == 2 else int(pictures[0].shape[-1])


def white_of(pictures: Sequence[Pixels]) -> float:
    """Return what is 1 to the network: the largest whole number of the type.

    Of fractions the least of 1 and 255 that no value is beyond twice, else the largest value.
    """
    dtype = pictures[0].dtype
    if np.issubdtype(dtype, np.integer):
        return float(np.iinfo(dtype).max)
    largest = max(float(np.abs(picture).max()) for picture in pictures)
    return next((white for white in _WHITES if largest <= 2 * white), largest)
