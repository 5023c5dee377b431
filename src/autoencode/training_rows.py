"""The rows that a network is trained on: in memory, or read a few batches at a time."""

from __future__ import annotations

from typing import Any

import torch

from autoencode.batches import Batches, Prepare, StreamedBatches, TensorBatches
from autoencode.fit_data import FitData
from autoencode.guess import guessed_where_needed
from autoencode.interfaces import Batch
from autoencode.moves import Moves
from autoencode.network import Network
from autoencode.numerics import matrix_products, threads

__all__ = ["TrainingRows"]

MEMORY_LIMIT, MAPPED_LIMIT = 4 << 30, 128 << 20
"""Bytes of rows that are kept in memory, at most; fewer of those that files hold anyway."""

READ_BYTES = 32 << 20
"""How much is read at a time of rows that are not."""

_FEWEST_BATCHES = 16


class TrainingRows:
    """Makes batches of the training rows of a fit, the same ones wherever the rows are.

    Parameters
    ----------
    data : FitData
        The rows.
    """

    def __init__(self, data: FitData) -> None:
        self.data, self.plan = data, data.plan

    def batches(self, network: Network) -> Batches:
        """Return the source of batches for a network."""
        size, training = self.plan.batch_size, self.data.training
        missing, prepare = self.data.pairs.has_missing, self._prepare(network)
        more: Any = {"missing": missing, "prepare": prepare, "move": self._move()}
        needed, count = training.bytes_needed(), len(training)
        if needed > (MAPPED_LIMIT if self.data.pairs.mapped else MEMORY_LIMIT):
            group = max(_FEWEST_BATCHES, READ_BYTES * count // (needed * size))
            return StreamedBatches(training.tensors, count, size, group, **more)
        if not hasattr(self, "memory"):
            self.memory = training.tensors()
        return TensorBatches(*self.memory, size, **more)

    def _move(self) -> Moves | None:
        """Return how pictures are moved before anything else, if they are."""
        kind = self.plan.augmentation
        if kind == "none":
            return None
        scaling, (device, dtype) = self.data.scaling, (self.plan.device, self.plan.dtype)
        parts = (scaling.center, scaling.scale)
        center, scale = (torch.from_numpy(part).to(device, dtype) for part in parts)
        return Moves(self.plan.composition.sample_shape, kind, center, scale)

    def _prepare(self, network: Network) -> Prepare | None:
        """Return what happens to rows before they are encoded, if anything does."""
        corrupt = self.plan.composition.corrupter()
        if corrupt is None and not self.data.pairs.has_missing:
            return None

        def prepare(batch: Batch, rng: torch.Generator) -> Batch:
            # Never in lower precision: what is filled in is the same as at prediction. And
            # on one thread: it is done in small pieces.
            with torch.no_grad(), matrix_products("ieee"), threads(1):
                spoilt = batch if corrupt is None else corrupt(batch, rng)
                return guessed_where_needed(network, spoilt)

        return prepare
