"""Encoder, bottleneck and decoder, joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

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

__all__ = [
    "EncodingParts",
    "Network",
    "decay_groups",
    "encode_observed",
    "filled",
    "filled_where_needed",
    "spared",
]


_FEW_ROWS = 256


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
    selection : Selection or None
        How being missing depends on the value; None: it does not.
    """

    fill: Fill | None
    """What stands for missing values; None: their mean, which is zero."""
    first_values: Tensor

    def __init__(
        self,
        architecture: Architecture,
        bottleneck: Bottleneck,
        likelihood: Likelihood,
        *,
        sized: bool,
        masked: bool = False,
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
        self.masked = masked
        self.selection = selection
        self.register_buffer("first_values", likelihood.layout.first_values(), persistent=False)

    def encode(self, batch: Batch, context: Context) -> Code:
        """Return full-length codes; what is missing is filled in first."""
        return encode_observed(self, batch, context)

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
        """Make the network exactly the given PCA; to first order if the link is not linear."""
        start = replace(start, link=self.likelihood.link_start())
        self.bottleneck.start_linear(start)
        self.decoder.start_linear(start)  # type: ignore[operator]

    def copy_prefix(self, longer: Network) -> None:
        """Become ``longer`` cut to this network's number of components."""
        self.encoder.load_state_dict(longer.encoder.state_dict())
        self.bottleneck.copy_prefix(longer.bottleneck)
        self.decoder.copy_prefix(longer.decoder)  # type: ignore[operator]
        self.likelihood.load_state_dict(longer.likelihood.state_dict())
        self.fill = longer.fill
        if self.selection is not None and longer.selection is not None:
            self.selection.load_state_dict(longer.selection.state_dict())


class EncodingParts(Protocol):
    """What encoding needs of a network."""

    encoder: nn.Module
    fill: Fill | None
    masked: bool
    first_values: Tensor

    @property
    def bottleneck(self) -> Bottleneck:
        """From features to codes."""


def encode_observed(parts: EncodingParts, batch: Batch, context: Context) -> Code:
    """Return full-length codes; what is missing is filled in first.

    Parameters
    ----------
    parts : EncodingParts
        A network, or what is left of one.
    batch : Batch
        Rows; what stands at values that are not observed does not matter.
    context : Context
        What the bottleneck is told.
    """
    x, _, mask = filled(parts, batch)
    told = {"rng": context.rng} if getattr(parts.encoder, "dropout", 0.0) else {}
    if parts.masked:
        if mask is None:
            mask = x.new_zeros(len(x), len(parts.first_values))
        features = parts.encoder(x, mask, **told)
    else:
        features = parts.encoder(x, **told)
    code: Code = parts.bottleneck(features, context)
    return code


def filled(parts: EncodingParts, batch: Batch) -> Batch:
    """Return rows in which something stands where values are missing, and the mask."""
    x, observed, mask = batch
    if observed is None or mask is not None:
        return batch
    x = x * observed if parts.fill is None else parts.fill(x, observed)
    return Batch(x, observed, 1.0 - observed[:, parts.first_values].to(x.dtype))


def filled_where_needed(parts: EncodingParts, batch: Batch) -> Batch:
    """Return the same as `filled`; rows without missing values are left out of the work."""
    x, observed, mask = batch
    if observed is None or mask is not None:
        return batch
    values, mask = x.clone(), x.new_zeros(len(x), len(parts.first_values))
    # A few rows at a time stay in the cache from step to step.
    for rows in (~observed.all(1)).nonzero()[:, 0].split(_FEW_ROWS):
        done = filled(parts, Batch(x[rows], observed[rows]))
        assert done.mask is not None
        values[rows], mask[rows] = done.x, done.mask
    return Batch(values, observed, mask)


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
    """Say whether a parameter is a bias or on the linear path: those are never decayed."""
    return parameter.ndim < 2 or "linear_path" in name
