"""The projection from features to codes, and the bottleneck that is nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoencode.interfaces import Bottleneck, Code, Context, Features, LinearStart

__all__ = ["Plain", "Projection"]


class Projection(nn.Module):
    """Linear map from features to ``n_outputs``: a hidden part and a linear path.

    Parameters
    ----------
    n_hidden : int
        Width of the encoder's last hidden layer; 0 if there is none.
    n_linear : int
        Number of values on the linear path; 0 if there is none.
    n_outputs : int
        Number of outputs.
    """

    def __init__(self, n_hidden: int, n_linear: int, n_outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_hidden, n_outputs) if n_hidden else None
        self.linear_path = (
            nn.Linear(n_linear, n_outputs, bias=self.hidden is None) if n_linear else None
        )

    def forward(self, features: Features) -> Tensor:
        """Return ``(batch, n_outputs)``."""
        parts: list[Tensor] = []
        if self.hidden is not None and features.hidden is not None:
            parts.append(self.hidden(features.hidden))
        if self.linear_path is not None and features.linear is not None:
            parts.append(self.linear_path(features.linear))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to scores in units of their deviations; the hidden part to zero."""
        weight = start.components / start.deviations[:, None]
        bias = weight.new_zeros(len(weight))
        if start.encoder is not None:
            weight, bias = start.encoder
        elif start.center is not None:
            bias = -(weight @ start.center)
        for part in (self.hidden, self.linear_path):
            if part is not None:
                part.weight.zero_()
                if part.bias is not None:
                    part.bias.copy_(bias)
        if self.linear_path is not None:
            self.linear_path.weight.copy_(weight)

    @torch.no_grad()
    def copy_prefix(self, longer: Projection) -> None:
        """Take over the leading outputs of a projection with more of them."""
        for part, source in ((self.hidden, longer.hidden), (self.linear_path, longer.linear_path)):
            if part is not None and source is not None:
                part.weight.copy_(source.weight[: len(part.weight)])
                if part.bias is not None and source.bias is not None:
                    part.bias.copy_(source.bias[: len(part.bias)])


class Plain(Bottleneck):
    """A small hidden layer and nothing else: the undercomplete autoencoder.

    Parameters
    ----------
    n_hidden, n_linear : int
        Sizes of the features; see `Projection`.
    n_components : int
        Length of the code.
    """

    def __init__(self, n_hidden: int, n_linear: int, n_components: int) -> None:
        super().__init__()
        self.latent_shape = (n_components,)
        self.projection = Projection(n_hidden, n_linear, n_components)

    def forward(self, features: Features, context: Context) -> Code:
        """Return codes ``(batch, n_components)`` at no cost."""
        z = self.projection(features)
        return Code(z, z.new_zeros(z.shape[0]))

    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to PCA with unit-variance scores; the rest to zero."""
        self.projection.start_linear(start)

    def copy_prefix(self, longer: Bottleneck) -> None:
        """Take over the leading components of a bottleneck with more of them."""
        if not isinstance(longer, Plain):
            raise TypeError(f"cannot take components from {type(longer).__name__}")
        self.projection.copy_prefix(longer.projection)
