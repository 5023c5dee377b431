"""The loss: every term by name, each with its weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoencode.interfaces import Batch, Likelihood, Loss, Pass, Penalty
from autoencode.network import Network

__all__ = ["Objective"]


class Objective:
    """Reconstruction, cost of the code and penalties, in nats per row.

    Parameters
    ----------
    likelihood : Likelihood
        Gives nats per value; summed over values, averaged over rows.
    penalties : sequence of Penalty
        Further terms, each with its weight already in it.
    """

    def __init__(self, likelihood: Likelihood, penalties: Sequence[Penalty] = ()) -> None:
        self.likelihood = likelihood
        self.penalties = tuple(penalties)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms, in order."""
        return ("reconstruction", "code", *(penalty.name for penalty in self.penalties))

    def __call__(
        self, network: Network, result: Pass, target: Batch, weights: Tensor | None
    ) -> Loss:
        """Return the loss of one pass.

        Parameters
        ----------
        network : Network
            What made the pass.
        result : Pass
            From the (corrupted) rows.
        target : Batch
            What to reconstruct; unobserved values do not count.
        weights : Tensor or None
            ``(batch,)``: importance of each row's reconstruction (by code size).

        Returns
        -------
        Loss
            Sums over values, means over rows.
        """
        nats = self.likelihood.nll(result.params, target.x)
        if target.observed is not None:
            nats = nats * target.observed
        rows = nats.flatten(1).sum(1)
        terms = {
            "reconstruction": (rows if weights is None else rows * weights).mean(),
            "code": result.code.cost.mean(),
        }
        for penalty in self.penalties:
            terms[penalty.name] = penalty(network, result)
        return Loss(torch.stack(list(terms.values())).sum(), terms)
