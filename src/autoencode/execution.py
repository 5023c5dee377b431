"""How a training is carried out: threads, products, precision and memory, by fixed rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoencode.autograd_step import MOST_ACTIVATIONS, is_by_row, row_activations
from autoencode.drawn_steps import has_many_draws
from autoencode.fit_data import Plan
from autoencode.flat_parameters import FlatParameters
from autoencode.network import Network
from autoencode.numerics import (
    Products,
    choose_products,
    choose_threads,
    has_fast_bfloat16,
    matrix_products,
    threads,
)
from autoencode.objective import Objective
from autoencode.steps import Step, choose_step

__all__ = ["Execution", "choose_execution"]


@dataclass(frozen=True)
class Execution:
    """What may change speed and memory, and results within roundings.

    Attributes
    ----------
    products : str
        How matrices are multiplied.
    n_threads : int
        Within operators.
    halved : bool
        Whether convolutions multiply in bfloat16.
    rows_at_once : int or None
        Rows that go through a network together, at most; None: all of a batch do.
    """

    products: Products
    n_threads: int
    halved: bool
    rows_at_once: int | None

    def step(self, networks: Sequence[Network], objective: Objective, flat: FlatParameters) -> Step:
        """Return the step of one network or of several; see `autoencode.steps.choose_step`."""
        parts = (self.products, self.rows_at_once)
        return choose_step(networks, objective, flat, *parts, halved=self.halved)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Set threads and products within the block."""
        with threads(self.n_threads), matrix_products(self.products):
            yield


def choose_execution(
    plan: Plan, network: Network, objective: Objective, n_components: int
) -> Execution:
    """Return how a network is to be trained.

    Parameters
    ----------
    plan : Plan
        Every choice of the fit.
    network : Network
        What is trained.
    objective : Objective
        Its loss.
    n_components : int
        Length of the longest code that is looked for.
    """
    composition, size = plan.composition, plan.batch_size
    hidden = getattr(network.encoder, "widths", composition.hidden_layer_sizes)
    last = (n_components,) if composition.sparse else ()
    widths = (composition.layout.n_values, *hidden, *last)
    flops = 12.0 * size * network.products(widths)
    convolves = hasattr(network.encoder, "n_products")
    convolves = convolves and not has_many_draws(network, objective)
    return Execution(
        choose_products(widths, size, plan.device),
        choose_threads(flops, plan.n_threads),
        convolves and plan.lowers and has_fast_bfloat16(plan.device),
        _rows_at_once(plan, network) if convolves and is_by_row(network, objective) else None,
    )


def _rows_at_once(plan: Plan, network: Network) -> int | None:
    """Return how many rows' activations have room; None: those of a batch do."""
    most = max(1, MOST_ACTIVATIONS // max(row_activations(network), 1))
    return most if most < plan.batch_size else None
