"""An invertible map of codes, for posteriors that are not normal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CouplingFlow"]

_N_LAYERS = 4
_WIDTHS = (16, 64)
_STEEPEST = 2.0
"""Largest change of a component's log-scale by one layer."""


class CouplingFlow(nn.Module):
    """Affine coupling layers, each moving half of the components given the others.

    Dinh et al. (2017), eq. 7 and 8; the other half alternates. Before training it is the
    identity.

    Parameters
    ----------
    n_components : int
        Length of the code.
    n_hidden : int
        Length of what is known of the row, which every layer is told; 0: nothing.
    n_layers : int
        Layers; every other one moves the same half.
    """

    def __init__(self, n_components: int, n_hidden: int, n_layers: int = _N_LAYERS) -> None:
        super().__init__()
        least, most = _WIDTHS
        width = min(max(2 * n_components, least), most)
        self.layers = nn.ModuleList(
            _Coupling(n_components, n_hidden, width, place % 2) for place in range(n_layers)
        )

    def forward(self, z: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return moved codes and the logarithm of the volume's growth.

        Parameters
        ----------
        z : Tensor
            ``(draws, batch, n_components)``.
        hidden : Tensor or None
            ``(batch, n_hidden)``.

        Returns
        -------
        moved : Tensor
            The shape of ``z``.
        growth : Tensor
            ``(draws, batch)``, nats.
        """
        growth = z.new_zeros(z.shape[:-1])
        for layer in self._couplings():
            scale, shift = layer.change(z, hidden, frozen=False)
            z = z * scale.exp() + shift
            growth = growth + scale.sum(-1)
        return z, growth

    def inverse(
        self, z: Tensor, hidden: Tensor | None, *, frozen: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return where codes came from, and the logarithm of the growth on the way to them.

        ``frozen``: no gradient flows to the weights, nor to what is known of the row.
        """
        growth = z.new_zeros(z.shape[:-1])
        known = hidden.detach() if frozen and hidden is not None else hidden
        for layer in reversed(self._couplings()):
            scale, shift = layer.change(z, known, frozen=frozen)
            z = (z - shift) * (-scale).exp()
            growth = growth + scale.sum(-1)
        return z, growth

    def _couplings(self) -> list[_Coupling]:
        return [layer for layer in self.layers if isinstance(layer, _Coupling)]


class _Coupling(nn.Module):
    """How far each component of one half is scaled and shifted, given the other half."""

    moves: Tensor

    def __init__(self, n_components: int, n_hidden: int, width: int, first: int) -> None:
        super().__init__()
        places = torch.arange(n_components, device="cpu")
        # One component alone has no other half: what is known of the row moves it.
        self.register_buffer("moves", (places % 2 == first).float(), persistent=False)
        self.seen = nn.Linear(n_components, width)
        self.told = nn.Linear(n_hidden, width, bias=False) if n_hidden else None
        # Not a layer, whose weights would be drawn: they start at zero.
        self.weight = nn.Parameter(torch.zeros(2 * n_components, width))
        self.bias = nn.Parameter(torch.zeros(2 * n_components))

    def change(self, z: Tensor, hidden: Tensor | None, *, frozen: bool) -> tuple[Tensor, Tensor]:
        """Return log-scales and shifts, zero for the half that stays; the shape of ``z``."""
        moves = self.moves.to(z)

        def own(parameter: Tensor) -> Tensor:
            return parameter.detach() if frozen else parameter

        inside = functional.linear(z * (1 - moves), own(self.seen.weight), own(self.seen.bias))
        if self.told is not None and hidden is not None:
            inside = inside + functional.linear(hidden, own(self.told.weight))
        out = functional.linear(torch.tanh(inside), own(self.weight), own(self.bias))
        scale, shift = out.chunk(2, -1)
        return _STEEPEST * torch.tanh(scale / _STEEPEST) * moves, shift * moves
