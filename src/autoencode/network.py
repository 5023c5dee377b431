"""Encoder, bottleneck and decoder, joined."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from autoencode.interfaces import (
    Architecture,
    Batch,
    Bottleneck,
    Code,
    Context,
    LinearStart,
    Pass,
)

__all__ = ["Network", "decay_groups"]


class Network(nn.Module):
    """An autoencoder on preprocessed rows.

    Parameters
    ----------
    architecture : Architecture
        Makes the encoder and the decoder.
    bottleneck : Bottleneck
        From features to codes.
    n_params : int
        Parameters per value that the likelihood wants.
    sized : bool
        Whether the decoder is told the size of a shortened code.
    """

    def __init__(
        self, architecture: Architecture, bottleneck: Bottleneck, n_params: int, *, sized: bool
    ) -> None:
        super().__init__()
        self.encoder = architecture.encoder()
        self.bottleneck = bottleneck
        self.decoder = architecture.decoder(bottleneck.latent_shape, n_params, sized=sized)

    def encode(self, batch: Batch, context: Context) -> Code:
        """Return full-length codes."""
        code: Code = self.bottleneck(self.encoder(batch.x), context)
        return code

    def decode(self, code: Code, context: Context) -> torch.Tensor:
        """Return the likelihood's parameters from codes cut to ``context.size``."""
        return self.decoder(self.cut(code, context).z, context)  # type: ignore[no-any-return]

    def forward(self, batch: Batch, context: Context) -> Pass:
        """Encode, cut to the asked size, decode."""
        code = self.cut(self.encode(batch, context), context)
        return Pass(batch, context, code, self.decoder(code.z, context))

    @staticmethod
    def cut(code: Code, context: Context) -> Code:
        """Return codes with the components beyond ``context.size`` set to zero."""
        if context.size is None:
            return code
        places = torch.arange(code.z.shape[1], device=code.z.device)
        return replace(code, z=code.z * (places < context.size[:, None]))

    def start_linear(self, start: LinearStart) -> None:
        """Make the network exactly the given PCA."""
        self.bottleneck.start_linear(start)
        self.decoder.start_linear(start)  # type: ignore[operator]

    def copy_prefix(self, longer: Network) -> None:
        """Become ``longer`` cut to this network's number of components."""
        self.encoder.load_state_dict(longer.encoder.state_dict())
        self.bottleneck.copy_prefix(longer.bottleneck)
        self.decoder.copy_prefix(longer.decoder)  # type: ignore[operator]


def decay_groups(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split parameters into those that weight decay acts on and the others.

    Biases and the linear path are never decayed: the floor must stay where PCA put it.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        spared = parameter.ndim < 2 or "linear_path" in name
        (free if spared else decayed).append(parameter)
    return decayed, free
