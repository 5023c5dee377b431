"""How near a network is to the activity that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autoencode.batches import as_batch
from autoencode.bottlenecks import Sparse as SparseBottleneck
from autoencode.fit_data import FitData
from autoencode.interfaces import Batch, Code, Context
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import Sparsity

__all__ = ["Sparse"]

_MOST_ROWS = 1024
_TOLERANCE = 0.1


class Sparse:
    """Judges networks by their activity too, where penalties aim at one; sets thresholds.

    Parameters
    ----------
    objective : Objective
        Its penalties find their weights while training.
    data : FitData
        Activity is measured on 1,024 of its training rows at most.

    Attributes
    ----------
    reached : dict of str to dict
        For each phase, by name of penalty: ``weight`` and ``reached`` (the activity) of the
        best network so far.
    """

    def __init__(self, objective: Objective, data: FitData) -> None:
        self.aims = [
            penalty
            for penalty in objective.penalties
            if isinstance(penalty, Sparsity) and penalty.aim is not None
        ]
        self.data = data
        self.reached: dict[str, dict[str, dict[str, Any]]] = {}
        self._best: dict[str, float] = {}
        self._rows: Batch | None = None

    def state(self) -> dict[str, Any]:
        """Return what changes while training, for a checkpoint."""
        return {"reached": dict(self.reached), "best": dict(self._best)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.reached, self._best = dict(state["reached"]), dict(state["best"])

    def judge(self, phase: str, network: Network, value: float, unit: float) -> float:
        """Return a held-out error, larger by ten units for each unit of activity missed.

        The activity may be off by a tenth of what is asked for.

        Parameters
        ----------
        phase : str
            Of the fit.
        network : Network
            What is judged.
        value, unit : float
            Its error, and what the error of a useless network is.
        """
        if not self.aims:
            return value
        z = self._code(network).z
        found = [(part, part.aim or 1.0, part.measured(z)) for part in self.aims]
        missed = max(abs(share / aim - 1.0) for _, aim, share in found)
        value += 10.0 * unit * max(0.0, missed - _TOLERANCE)
        if value < self._best.get(phase, float("inf")):
            self._best[phase] = value
            self.reached[phase] = {
                part.name: {"weight": part.weight, "reached": share} for part, _, share in found
            }
        return value

    def calibrate(self, network: Network) -> None:
        """Set what predictions of a sparse code need, on training rows."""
        if isinstance(network.bottleneck, SparseBottleneck):
            network.bottleneck.calibrate(self._code(network).stats["before"])

    def _code(self, network: Network) -> Code:
        if self._rows is None:
            numbers = self.data.split.train
            numbers = numbers[:: -(-len(numbers) // _MOST_ROWS)]
            values, _ = self.data.scaled(self.data.pairs, numbers).tensors()
            self._rows = as_batch(values, missing=self.data.pairs.has_missing)
        with torch.no_grad():
            return network.encode(self._rows, Context())
