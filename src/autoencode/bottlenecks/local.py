"""The projection of each place's features to its numbers, the same at all places."""

from __future__ import annotations

from torch import Tensor

from autoencode.bottlenecks.plain import Projection
from autoencode.errors import SpecError
from autoencode.interfaces import Bottleneck, Features

__all__ = ["LocalProjection", "localize"]


class LocalProjection(Projection):
    """Linear map from the features of a place to its part of a code.

    Codes hold one number of every place, then the next of every place: ``(maps, places)``.

    Parameters
    ----------
    n_hidden, n_linear, n_outputs : int
        As of `Projection`, of all places together. Features are ``(places, features)``.
    n_places : int
        How many places there are.

    Raises
    ------
    SpecError
        If the outputs are no multiple of the places.
    """

    def __init__(self, n_hidden: int, n_linear: int, n_outputs: int, n_places: int) -> None:
        if n_outputs % n_places:
            raise SpecError(_no_multiple(n_outputs, n_places))
        super().__init__(n_hidden // n_places, n_linear // n_places, n_outputs // n_places)
        self.n_places = n_places

    def forward(self, features: Features) -> Tensor:
        """Return ``(batch, n_outputs)``."""
        parts = (
            None if part is None else part.unflatten(1, (self.n_places, -1)) for part in features
        )
        return super().forward(Features(*parts)).transpose(1, 2).flatten(1)


def localize(neck: Bottleneck, n_hidden: int, n_linear: int, n_places: int) -> None:
    """Let all projections of a bottleneck be those of places.

    Parameters
    ----------
    neck : Bottleneck
        Changed in place.
    n_hidden, n_linear : int
        Sizes of the features that it was made for.
    n_places : int
        How many places they belong to.
    """
    for name, part in list(neck.named_children()):
        if isinstance(part, Projection):
            hidden = n_hidden if part.hidden is not None else 0
            linear = n_linear if part.linear_path is not None else 0
            local = LocalProjection(hidden, linear, neck.latent_shape[0], n_places)
            setattr(neck, name, local)


def _no_multiple(given: int, n_places: int) -> str:
    below = given // n_places * n_places
    near = f"{below} or {below + n_places}" if below else str(n_places)
    return (
        f"n_components={given} should be a multiple of {n_places}, the places of a spatial "
        f"code: choose {near}"
    )
