"""How much larger errors of other rows are than those of the rows a network is trained on."""

from __future__ import annotations

from functools import cached_property

from autoencode.fit_data import FitData
from autoencode.measurement import HeldOut
from autoencode.network import Network
from autoencode.strength import Evidence

__all__ = ["Generalisation"]

_WIDEST_GAP = 1.2
"""Held-out error over training error from which a network counts as worse than it seems."""
_STEEPNESS = 4


class Generalisation:
    """Tells where convolutions know few training pictures by heart.

    Held-out pictures are then too few to tell by themselves. PCA's error in cross-validation is
    known better, and errors of both on the same pictures go together: a network's expected
    error is PCA's there, times the ratio of both on held-out pictures.

    Parameters
    ----------
    data : FitData
        The rows.
    evidence : Evidence or None
        What trials found; without cross-validation there is nothing to tell.
    """

    def __init__(self, data: FitData, evidence: Evidence | None) -> None:
        self.data = data
        self.trial = None if evidence is None else evidence.trial

    @cached_property
    def seen(self) -> HeldOut:
        """The training rows."""
        return self.data.judged(self.data.training, restores=False)

    def excess(self, network: Network, size: int) -> float:
        """Return by which factor a held-out error is to be taken for worse; 1: as it is.

        Parameters
        ----------
        network : Network
            In training.
        size : int
            Of the code.
        """
        few = self.trial is not None and size in self.trial.sizes
        if self.trial is None or not few or not hasattr(network.encoder, "n_products"):
            return 1.0
        linear = float(self.data.choose.floor([size]).mean())
        trained = float(self.seen.errors(network, [size]).mean())
        if not linear or not trained:
            return 1.0
        known = float(self.trial.pca[:, self.trial.sizes.index(size)].mean())
        expected = known * float(self.data.choose.errors(network, [size]).mean()) / linear
        return float(max(expected / trained / _WIDEST_GAP, 1.0) ** _STEEPNESS)
