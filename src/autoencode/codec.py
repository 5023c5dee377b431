"""Encoder and decoder in the data's own units: what a user keeps and exports."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from autoencode.architectures.mlp import MlpEncoder, dense_layers
from autoencode.bottlenecks import Plain
from autoencode.interfaces import Batch, Code, Context
from autoencode.network import Network, encode_observed
from autoencode.preprocess.filling import Fill
from autoencode.preprocess.shrinking import Shrink

__all__ = ["Decoder", "Encoder", "Scaled", "fast_encoder"]

_FOLDED_OFFSET = 4.0


class Scaled(nn.Module):
    """What encoder and decoder know beside the network.

    Parameters
    ----------
    center, scale : Tensor
        ``(n_features,)``, float64: values are ``(x - center) / scale`` inside.
    code_scale : Tensor
        ``(n_components,)``, float64: codes are the network's times this.
    dtype : torch.dtype
        Of the module. In float32 the center is kept in two parts, so that it is exact
        also where means are far above deviations.
    """

    center: Tensor
    center_low: Tensor
    scale: Tensor
    code_scale: Tensor
    first_values: Tensor

    def __init__(
        self, center: Tensor, scale: Tensor, code_scale: Tensor, dtype: torch.dtype
    ) -> None:
        super().__init__()
        high = center.to(dtype)
        self.register_buffer("center", high)
        self.register_buffer("center_low", (center - high.to(center.dtype)).to(dtype))
        self.register_buffer("scale", scale.to(dtype))
        self.register_buffer("code_scale", code_scale.to(dtype))


class Encoder(Scaled):
    """From rows in the data's units, ``(batch, n_features)``, to codes.

    Values that are missing (NaN) are filled in first where the model knows how to.

    Parameters
    ----------
    network : Network
        Its encoder and bottleneck are used.
    fill : Fill or None
        What stands for missing values; None: their mean.
    takes_missing : bool
        Whether values may be missing at all.
    shrink : Shrink or None
        What takes noise out first, in a network that is told of noise.
    center, scale, code_scale, dtype
        See `Scaled`.
    """

    def __init__(
        self,
        network: Network,
        fill: Fill | None,
        takes_missing: bool,
        shrink: Shrink | None,
        center: Tensor,
        scale: Tensor,
        code_scale: Tensor,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(center, scale, code_scale, dtype)
        self.encoder = network.encoder
        self.bottleneck = network.bottleneck
        self.fill = fill
        self.shrink = shrink
        self.masked, self.noisy = network.masked, network.noisy
        self.register_buffer("first_values", network.first_values, persistent=False)
        self.takes_missing = takes_missing

    def forward(self, x: Tensor) -> Tensor:
        """Return codes, ``(batch, n_components)``."""
        if not self.takes_missing:
            return self.complete(x)
        scaled = self.scaled(x)
        observed = torch.isnan(scaled).logical_not()
        return self._coded(Batch(torch.nan_to_num(scaled, nan=0.0), observed))

    def complete(self, x: Tensor) -> Tensor:
        """Return the same for rows without a missing value, with less work."""
        return self._coded(Batch(self.scaled(x)))

    def scaled(self, x: Tensor) -> Tensor:
        """Return rows as the network takes them: centred, in units of their scale."""
        return ((x - self.center) - self.center_low) / self.scale

    def _coded(self, batch: Batch) -> Tensor:
        code: Code = encode_observed(self, batch, Context())
        return code.z * self.code_scale


class Decoder(Scaled):
    """From codes, ``(batch, n_components)``, to rows in the data's units.

    Parameters
    ----------
    network : Network
        Its decoder and likelihood are used.
    center, scale, code_scale, dtype
        See `Scaled`.
    """

    def __init__(
        self,
        network: Network,
        center: Tensor,
        scale: Tensor,
        code_scale: Tensor,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(center, scale, code_scale, dtype)
        self.decoder = network.decoder
        self.likelihood = network.likelihood

    def forward(self, z: Tensor) -> Tensor:
        """Return rows, ``(batch, n_features)``."""
        params = self.decoder(z / self.code_scale, Context())
        values = self.likelihood.mean(params).flatten(1) * self.scale
        return (values + self.center_low) + self.center


class _FastEncoder:
    """The same as an `Encoder` of an mlp, with fewer passes over memory.

    The scales are folded into the weights, the first hidden layer and the linear path
    are one product, and every result goes to a buffer that is used again.
    """

    def __init__(self, encoder: Encoder) -> None:
        mlp, neck = encoder.encoder, encoder.bottleneck
        if not isinstance(mlp, MlpEncoder) or not isinstance(neck, Plain):
            raise TypeError("only an mlp with a plain bottleneck has a fast encoder")
        hidden, linear = neck.projection.hidden, neck.projection.linear_path
        assert hidden is not None and linear is not None  # noqa: PT018 -- an mlp has both
        self.activation = mlp.activation
        first, *others = dense_layers(mlp.layers)
        self.width = first.out_features
        with torch.no_grad():
            out = encoder.code_scale
            weights = torch.cat([first.weight, linear.weight * out[:, None]]) / encoder.scale
            self.weight = weights.t().contiguous()
            self.bias = torch.cat([first.bias, hidden.bias * out])
            # Where means are not far above deviations, the center goes into the bias too:
            # that costs a few roundings and saves a pass over the rows.
            near = bool((encoder.center / encoder.scale).abs().max() <= _FOLDED_OFFSET)
            self.center = None if near else encoder.center
            folded = encoder.center + encoder.center_low if near else encoder.center_low
            self.bias = self.bias - weights @ folded
            self.others = [(layer.weight.t(), layer.bias) for layer in others]
            self.last = (hidden.weight * out[:, None]).t().contiguous()
        self.buffers: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self.buffers is None or len(self.buffers[0]) != len(x):
            self.buffers = torch.empty_like(x), x.new_empty(len(x), len(self.bias))
        centred, joint = self.buffers
        if self.center is not None:
            x = torch.sub(x, self.center, out=centred)
        torch.addmm(self.bias, x, self.weight, out=joint)
        values = self.activation(joint[:, : self.width])
        for weight, bias in self.others:
            values = self.activation(torch.addmm(bias, values, weight))
        return joint[:, self.width :].addmm_(values, self.last)


def fast_encoder(encoder: Encoder) -> Callable[[Tensor], Tensor]:
    """Return the quickest function that encodes complete rows as this does, up to rounding."""
    if (
        isinstance(encoder.encoder, MlpEncoder)
        and len(encoder.encoder.layers)
        and type(encoder.bottleneck) is Plain
        and not (encoder.masked or encoder.noisy)
    ):
        return _FastEncoder(encoder)
    return encoder.complete
