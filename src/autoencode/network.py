"""Encoder, bottleneck and decoder, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from autoencode.guess import GuessParts, guessed
from autoencode.interfaces import (
    Architecture,
    Batch,
    Bottleneck,
    Code,
    Context,
    Likelihood,
    LinearStart,
    Pass,
)
from autoencode.missingness import Selection
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.shrinking import Shrink

__all__ = [
    "EncodingParts",
    "Network",
    "decay_groups",
    "encode_observed",
    "spared",
]


class Network(nn.Module):
    """An autoencoder on preprocessed rows.

    Parameters
    ----------
    architecture : Architecture
        Makes the encoder and the decoder.
    bottleneck : Bottleneck
        From features to codes.
    likelihood : Likelihood
        What the decoder's outputs mean.
    sized : bool
        Whether the decoder is told the size of a shortened code.
    masked : bool
        Whether the encoder is told which columns are missing.
    noisy : bool
        Whether it is told how strong the noise in a row is, and the noisy values.
    selection : Selection or None
        How being missing depends on the value; None: it does not.
    """

    fill: Fill | None
    """What stands for missing values; None: their mean, which is zero."""
    shrink: Shrink | None
    """What takes noise out before the network does; None: nothing."""
    first_values: Tensor

    def __init__(
        self,
        architecture: Architecture,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        *,
        sized: bool,
        masked: bool = False,
        noisy: bool = False,
        selection: Selection | None = None,
    ) -> None:
        super().__init__()
        self.encoder = architecture.encoder()
        self.bottleneck = bottleneck
        self.likelihood = likelihood
        self.decoder = architecture.decoder(
            bottleneck.latent_shape, likelihood.n_params, sized=sized
        )
        self.fill = None
        self.shrink = None
        self.masked = masked
        self.noisy = noisy
        self.selection = selection
        self.register_buffer("first_values", likelihood.layout.first_values(), persistent=False)

    @property
    def rescales(self) -> bool:
        """Whether its outputs are values of which noisy rows are to keep a part."""
        return self.noisy and self.likelihood.link_start() is None

    def encode(self, batch: Batch, context: Context) -> Code:
        """Return full-length codes; of the best linear guess."""
        return encode_observed(self, batch, context)

    def decode(self, code: Code, context: Context) -> torch.Tensor:
        """Return the likelihood's parameters from codes cut to ``context.size``."""
        return self.decoder(self.cut(code, context).z, context)  # type: ignore[no-any-return]

    def forward(self, batch: Batch, context: Context) -> Pass:
        """Encode, cut to the asked size, decode every draw."""
        code = self.encode(batch, context)
        context = context.repeated(code.n_draws)
        code = self.cut(code, context)
        return Pass(batch, context, code, self.decoder(code.z, context))

    @staticmethod
    def cut(code: Code, context: Context) -> Code:
        """Return codes with the components beyond ``context.size`` set to zero: they are free."""
        if context.size is None:
            return code
        kept = torch.arange(code.z.shape[1], device=code.z.device) < context.size[:, None]
        if code.costs is None:
            return replace(code, z=code.z * kept)
        costs = code.costs * kept
        return replace(code, z=code.z * kept, costs=costs, cost=costs.sum(1))

    def products(self, widths: Sequence[int]) -> int:
        """Return how many products a row takes on its way to the code: dense layers' and others."""
        dense = sum(a * b for a, b in pairwise(widths))
        return dense + int(getattr(self.encoder, "n_products", 0))

    def start_linear(self, start: LinearStart) -> None:
        """Make the network exactly the given PCA, or as near to a dictionary as its units are.

        To first order only if the likelihood's link is not linear.
        """
        start = replace(start, link=self.likelihood.link_start())
        within = getattr(self.encoder, "linear_start", None)
        self.bottleneck.start_linear(start if within is None else within(start))
        if start.scale is not None:
            self.likelihood.start_scale(start.scale)
        self.decoder.start_linear(start)  # type: ignore[operator]

    def copy_prefix(self, longer: Network) -> None:
        """Become ``longer`` cut to this network's number of components."""
        self.encoder.load_state_dict(longer.encoder.state_dict())
        self.bottleneck.copy_prefix(longer.bottleneck)
        self.decoder.copy_prefix(longer.decoder)  # type: ignore[operator]
        self.likelihood.load_state_dict(longer.likelihood.state_dict())
        self.fill, self.shrink = longer.fill, longer.shrink
        if self.selection is not None and longer.selection is not None:
            self.selection.load_state_dict(longer.selection.state_dict())


class EncodingParts(GuessParts, Protocol):
    """What encoding needs of a network."""

    encoder: nn.Module

    @property
    def bottleneck(self) -> Bottleneck:
        """From features to codes."""


def encode_observed(parts: EncodingParts, batch: Batch, context: Context) -> Code:
    """Return full-length codes of the best linear guess of the rows.

    Parameters
    ----------
    parts : EncodingParts
        A network, or what is left of one.
    batch : Batch
        Rows; what stands at values that are not observed does not matter.
    context : Context
        What the bottleneck is told.
    """
    if parts.masked or parts.noisy or batch.observed is not None:
        batch = guessed(parts, batch)
    told = {"rng": context.rng} if getattr(parts.encoder, "dropout", 0.0) else {}
    if parts.masked or parts.noisy:
        features = parts.encoder(batch.x, batch.told, **told)
    else:
        features = parts.encoder(batch.x, **told)
    code: Code = parts.bottleneck(features, context)
    return code


def decay_groups(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split parameters into those that weight decay acts on and the others.

    Biases and the linear path are never decayed: the floor must stay where PCA put it.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        (free if spared(name, parameter) else decayed).append(parameter)
    return decayed, free


def spared(name: str, parameter: nn.Parameter) -> bool:
    """Say whether a parameter is a bias, on the linear path or a part: never decayed."""
    return parameter.ndim < 2 or "linear_path" in name or name.endswith("decoder.parts")
