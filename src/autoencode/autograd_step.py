"""The optimisation step by PyTorch's autograd: of a whole batch, or of one part after the other."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from autoencode.architectures.convolution import in_bfloat16
from autoencode.architectures.dictionary import DictionaryDecoder
from autoencode.bottlenecks import GaussianCode, Plain
from autoencode.flat_parameters import FlatParameters
from autoencode.interfaces import Batch, Context, Pass
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import L2, Contractive, DecoderL2

__all__ = ["MOST_ACTIVATIONS", "AutogradStep", "is_by_row", "row_activations"]

MOST_ACTIVATIONS = 1 << 30
"""Bytes of activations that are kept for the way back, at most, if a single row needs less."""


class AutogradStep:
    """The reference: PyTorch's autograd through the network and the objective.

    Parameters
    ----------
    network : Network
        What learns.
    objective : Objective
        Its loss.
    flat : FlatParameters or None
        Whose gradients are overwritten; None: gradients are added to those that are there.
    rows_at_once : int or None
        Longer batches go through in parts of about the same length, this one at most, and
        gradients add up to that of the whole batch: for a loss that `is_by_row`. None: all do
        at once.
    halved : bool
        Whether convolutions multiply in bfloat16; weights, their gradients and the loss do
        not.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        flat: FlatParameters | None,
        rows_at_once: int | None = None,
        *,
        halved: bool = False,
    ) -> None:
        self.network, self.objective, self.flat = network, objective, flat
        self.rows_at_once, self.halved = rows_at_once, halved
        self.terms = objective.terms(network)

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""
        if self.flat is not None:
            self.flat.gradients.zero_()
        count = len(batch.x)
        if self.rows_at_once is not None and count > self.rows_at_once:
            return self._in_parts(batch, target, context, weights, self.rows_at_once)
        terms, result = self._passed(batch, target, context, weights, 1.0)
        if isinstance(self.network.decoder, DictionaryDecoder):
            self.network.decoder.project()
        self.objective.adjust(result)
        return terms

    def _in_parts(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None, most: int
    ) -> Tensor:
        """Add up means over the rows of each part, by its share of the rows."""
        count = len(batch.x)
        length = math.ceil(count / math.ceil(count / most))
        total: Tensor | None = None
        for start in range(0, count, length):
            stop = min(start + length, count)
            told = context
            if context.size is not None:
                told = replace(context, size=context.size[start:stop])
            some = None if weights is None else weights[start:stop]
            rows, share = (
                (batch.rows(start, stop), target.rows(start, stop)),
                (stop - start) / count,
            )
            terms, _ = self._passed(*rows, told, some, share)
            total = terms if total is None else total + terms
        assert total is not None
        return total

    def _passed(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None, share: float
    ) -> tuple[Tensor, Pass]:
        """Add a share of the gradient; return that of every term, and the pass."""
        with in_bfloat16(self.network, wanted=self.halved):
            result = self.network(batch, context)
        loss = self.objective(self.network, result, target, weights)
        terms = torch.stack(list(loss.terms.values())).detach()
        if share == 1.0:
            loss.total.backward()
            return terms, result
        (loss.total * share).backward()
        return terms * share, result


def is_by_row(network: Network, objective: Objective) -> bool:
    """Say whether the loss of a batch is the mean of what each row alone would have."""
    neck = network.bottleneck
    alone = type(neck) is Plain or (type(neck) is GaussianCode and neck.free_bits is None)
    penalties = all(type(part) in (L2, DecoderL2, Contractive) for part in objective.penalties)
    return alone and penalties and network.selection is None


@torch.enable_grad()
def row_activations(network: Network) -> int:
    """Return how many bytes are kept for the way back of each row more in a batch.

    Counted in passes of one row and of two.

    Parameters
    ----------
    network : Network
        What is trained.
    """
    weight = next(network.parameters())
    counts = []
    for rows in (1, 2):
        kept: dict[int, int] = {}

        def note(part: Tensor, kept: dict[int, int] = kept) -> Tensor:
            # Views share their memory; all of it stays while the pass is there.
            memory = part.untyped_storage()
            kept[memory.data_ptr()] = memory.nbytes()
            return part

        batch = Batch(weight.new_zeros(rows, network.likelihood.layout.n_values))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
            params = network(batch, Context()).params
            nats = network.likelihood.nll(params, batch.x)
        counts.append(sum(kept.values()))
        del params, nats
    return counts[1] - counts[0]
