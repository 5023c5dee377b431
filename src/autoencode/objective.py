"""The loss: every term by name, each with its weight.

Columns are balanced here and nowhere else, so that a category of many levels does not
dominate a number; under a code that costs nats itself they are left as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

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
            ``(batch,)``: importance of each row's reconstruction (by code size);
            where codes cost nats, of its whole bound.

        Returns
        -------
        Loss
            Sums over values, means over rows.
        """
        code = result.code
        rows = self.rows(network, result, target, weights)
        terms = _bounded(rows, code.n_draws, code.stats.get("bound"))
        if network.bottleneck.sparse:
            terms["revival"] = _revival(network, result, target)
        free = _free(result)
        for penalty in self.penalties:
            terms[penalty.name] = penalty(network, free)
        return Loss(torch.stack(list(terms.values())).sum(), terms)

    @staticmethod
    def rows(
        network: Network, result: Pass, target: Batch, weights: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the terms that every draw of a row has, ``(n_draws * batch,)`` each.

        Parameters are those of a call.
        """
        draws, given = result.code.n_draws, result.batch
        if draws > 1:
            target, given = target.repeated(draws), given.repeated(draws)
            weights = None if weights is None else weights.repeat(draws)
        nats = balanced_nats(network, result.params, target)
        informed = None
        if network.selection is not None and target.observed is not None:
            hidden = hidden_cells(given, target)
            expected = network.likelihood.mean(result.params)
            informed = network.selection.nll(expected, target, hidden)
            # Their density is a part of the other term.
            nats = nats * ~(hidden & network.selection.numbers)
        rows = {"reconstruction": nats.flatten(1).sum(1)}
        rows["code"] = network.bottleneck.charge(result.code) * result.context.cost_weight
        if network.selection is not None:
            none = torch.zeros_like(rows["code"])
            rows["missingness"] = none if informed is None else informed.sum(1)
        if weights is None:
            return rows
        every = rows if network.bottleneck.costs_nats else ("reconstruction",)
        return {name: row * weights if name in every else row for name, row in rows.items()}

    def adjust(self, result: Pass) -> None:
        """Let penalties that aim at something see how near they are, after each step."""
        for penalty in self.penalties:
            if isinstance(penalty, Sparsity):
                penalty.adjust(result)


def _bounded(
    rows: dict[str, Tensor], n_draws: int, bound_codes: Tensor | None
) -> dict[str, Tensor]:
    """Return the terms of the bound, means over rows, from those of every draw.

    Of several draws it is the importance-weighted one (Burda et al., 2016, eq. 8): terms are
    weighted means over draws, and what is left of the bound is in the code's. The weights act
    once more on the gradient through the codes (Tucker et al., 2019, eq. 8).

    Parameters
    ----------
    rows : dict of str to Tensor
        ``(n_draws * batch,)`` each.
    n_draws : int
        How many draws of each row there are.
    bound_codes : Tensor or None
        The codes, where the gradient through them is that of the bound.
    """
    if n_draws == 1:
        return {name: row.mean() for name, row in rows.items()}
    each = {name: row.view(n_draws, -1) for name, row in rows.items()}
    log_weights = -torch.stack(list(each.values())).sum(0)
    shares = log_weights.detach().softmax(0)
    bound = math.log(n_draws) - log_weights.logsumexp(0)
    if bound_codes is not None and bound_codes.requires_grad:
        bound_codes.register_hook(lambda slope: slope * shares[..., None])
    terms = {name: (row * shares).sum(0).mean() for name, row in each.items()}
    others = sum(term for name, term in terms.items() if name != "code")
    terms["code"] = bound.mean() - others
    return terms


def _free(result: Pass) -> Pass:
    """Return a pass by whose codes gradients flow back as they are, for penalties."""
    free = result.code.stats.get("free")
    if free is None:
        return result
    whole = Network.cut(replace(result.code, z=free), result.context)
    return replace(result, code=whole)


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
