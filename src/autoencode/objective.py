"""The loss: every term by name, each with its weight.

Columns are balanced here and nowhere else, so that a category of many levels does not
dominate a number; under a code that costs nats itself they are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoencode.interfaces import Batch, Loss, Pass, Penalty
from autoencode.network import Network
from autoencode.penalties import Sparsity

__all__ = ["Objective", "balanced_nats", "hidden_cells"]


class Objective:
    """Reconstruction, cost of the code and penalties: balanced nats per row.

    Parameters
    ----------
    penalties : sequence of Penalty
        Further terms, each with its weight already in it.
    """

    def __init__(self, penalties: Sequence[Penalty] = ()) -> None:
        self.penalties = tuple(penalties)

    def terms(self, network: Network) -> tuple[str, ...]:
        """Return the names of the terms, in order."""
        informed = () if network.selection is None else ("missingness",)
        sparse = ("revival",) if network.bottleneck.sparse else ()
        names = (penalty.name for penalty in self.penalties)
        return ("reconstruction", "code", *informed, *sparse, *names)

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
        nats = balanced_nats(network, result.params, target)
        informed = None
        if network.selection is not None and target.observed is not None:
            hidden = hidden_cells(result.batch, target)
            expected = network.likelihood.mean(result.params)
            informed = network.selection.nll(expected, target, hidden)
            # Their density is a part of the other term.
            nats = nats * ~(hidden & network.selection.numbers)
        rows = nats.flatten(1).sum(1)
        terms = {
            "reconstruction": (rows if weights is None else rows * weights).mean(),
            "code": result.code.cost.mean(),
        }
        if network.selection is not None:
            terms["missingness"] = (
                rows.new_zeros(()) if informed is None else informed.sum(1).mean()
            )
        if network.bottleneck.sparse:
            terms["revival"] = _revival(network, result, target)
        for penalty in self.penalties:
            terms[penalty.name] = penalty(network, result)
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    def adjust(self, result: Pass) -> None:
        """Let penalties that aim at something see how near they are, after each step."""
        for penalty in self.penalties:
            if isinstance(penalty, Sparsity):
                penalty.adjust(result)


def _revival(network: Network, result: Pass, target: Batch) -> Tensor:
    """Return what wakes units that are never active, in balanced nats per row."""
    residual = (target.x - network.likelihood.mean(result.params)).flatten(1).detach()
    if target.observed is not None:
        residual = residual * target.observed.flatten(1)
    term = network.bottleneck.revival(result.code, residual, network.decoder)
    return residual.new_zeros(()) if term is None else term


def hidden_cells(given: Batch, target: Batch) -> Tensor:
    """Return where the truth is known but was not shown, in the shape of the target."""
    known = torch.ones_like(target.x, dtype=torch.bool)
    if target.observed is not None:
        known = target.observed
    return torch.zeros_like(known) if given.observed is None else known & ~given.observed


def balanced_nats(network: Network, params: Tensor, target: Batch) -> Tensor:
    """Return what each value costs in training.

    Parameters
    ----------
    network : Network
        Its likelihood gives the nats and the weights that balance columns.
    params : Tensor
        ``(batch, n_params, *shape)``.
    target : Batch
        What to reconstruct.

    Returns
    -------
    Tensor
        The shape of the target: nats times the value's weight; 0 where it is missing.
    """
    nats = network.likelihood.nll(params, target.x)
    weights = None if network.bottleneck.costs_nats else network.likelihood.balance()
    if weights is not None:
        nats = nats * weights
    return nats if target.observed is None else nats * target.observed
