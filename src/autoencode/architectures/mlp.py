"""Fully connected encoder and decoder with a linear path around the hidden layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoencode.errors import SpecError
from autoencode.interfaces import Context, Features, LinearStart

__all__ = ["ACTIVATIONS", "Mlp", "MlpDecoder", "MlpEncoder", "dense_layers", "spread"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}


class MlpEncoder(nn.Module):
    """Hidden layers, and the values themselves for the linear path.

    Parameters
    ----------
    widths : sequence of int
        Number of inputs, then the hidden layers' sizes.
    activation : str
        One of `ACTIVATIONS`.
    dropout : float
        Share of each hidden layer's units that is left out of every row in training.
    """

    def __init__(self, widths: Sequence[int], activation: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.activation = ACTIVATIONS[activation]()

    def forward(
        self, x: Tensor, told: Tensor | None = None, rng: torch.Generator | None = None
    ) -> Features:
        """Return the last hidden layer and the flattened values.

        What the encoder is told, ``(batch, n_told)``, goes into the first hidden layer too.
        Without ``rng``, and outside training, no unit is left out.
        """
        values = x.flatten(1)
        hidden: Tensor = values if told is None else torch.cat([values, told], 1)
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
            if self.dropout and self.training and rng is not None:
                hidden = dropped(hidden, self.dropout, rng)
        return Features(hidden if len(self.layers) else None, values)


class MlpDecoder(nn.Module):
    """From codes back to parameters; told how many components it was given.

    Parameters
    ----------
    n_components : int
        Length of the code.
    widths : sequence of int
        The hidden layers' sizes, from the code outwards.
    n_outputs : int
        Number of outputs in all.
    shape : tuple of int
        Shape of the outputs of one row.
    activation : str
        One of `ACTIVATIONS`.
    sized : bool
        Whether the size of a shortened code is an input of the first layer.
    dropout : float
        As in `MlpEncoder`.
    """

    def __init__(
        self,
        n_components: int,
        widths: Sequence[int],
        shape: tuple[int, ...],
        activation: str,
        *,
        sized: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        n_outputs = math.prod(shape)
        self.shape = shape
        self.sized = sized and bool(widths)
        inputs = 2 * n_components if self.sized else n_components
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((inputs, *widths)))
        self.output = nn.Linear(widths[-1], n_outputs) if widths else None
        self.linear_path = nn.Linear(n_components, n_outputs, bias=not widths)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, z: Tensor, context: Context) -> Tensor:
        """Return ``(batch, *shape)``."""
        return self.joined(z, self.hidden(z, context))

    @property
    def n_hidden(self) -> int:
        """Width of the last hidden layer; 0 if there is none."""
        return 0 if self.output is None else self.output.in_features

    def hidden(self, z: Tensor, context: Context) -> Tensor | None:
        """Return the last hidden layer, ``(batch, n_hidden)``; None if there is none."""
        if self.output is None:
            return None
        hidden = torch.cat([z, self.kept(z, context)], 1) if self.sized else z
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
            if self.dropout and self.training and context.rng is not None:
                hidden = dropped(hidden, self.dropout, context.rng)
        return hidden

    def joined(self, z: Tensor, hidden: Tensor | None) -> Tensor:
        """Return ``(batch, *shape)`` from codes and the last hidden layer."""
        result: Tensor = self.linear_path(z)
        if self.output is not None:
            result = result + self.output(hidden)
        shaped: Tensor = result.unflatten(1, self.shape)
        return shaped

    @staticmethod
    def kept(z: Tensor, context: Context) -> Tensor:
        """Return ones where a component is kept, zeros where it is cut off."""
        if context.size is None:
            return torch.ones_like(z)
        places = torch.arange(z.shape[1], device=z.device)
        return (places < context.size[:, None]).to(z.dtype)

    def linear_part(self, z: Tensor) -> Tensor:
        """Return what codes add to the values directly, ``(batch, n_outputs)``."""
        return z @ self.linear_path.weight.t()

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to the inverse of PCA's; the last hidden layer to zero."""
        if self.output is not None:
            self.output.weight.zero_()
            self.output.bias.zero_()
        else:
            self.linear_path.bias.zero_()
        self.linear_path.weight.zero_()
        n_values = start.components.shape[1]
        inverse = (start.components * start.deviations[:, None]).T
        bias = self.linear_path.bias if self.output is None else self.output.bias
        if start.link is not None:
            inverse = inverse * start.link.gain[:, None]
            bias[:n_values] = start.link.offset
        if start.center is not None:
            bias[:n_values] += start.center
        self.linear_path.weight[:n_values] = inverse

    @torch.no_grad()
    def copy_prefix(self, longer: MlpDecoder) -> None:
        """Take over a decoder of longer codes, for codes cut to this one's length."""
        count = self.linear_path.in_features
        total = longer.linear_path.in_features
        self.linear_path.weight.copy_(longer.linear_path.weight[:, :count])
        if self.linear_path.bias is not None:
            self.linear_path.bias.copy_(longer.linear_path.bias)
        if self.output is None or longer.output is None:
            return
        self.output.load_state_dict(longer.output.state_dict())
        mine, theirs = dense_layers(self.layers), dense_layers(longer.layers)
        for layer, source in zip(mine[1:], theirs[1:], strict=True):
            layer.load_state_dict(source.state_dict())
        mine[0].bias.copy_(theirs[0].bias)
        mine[0].weight[:, :count] = theirs[0].weight[:, :count]
        if self.sized:
            mine[0].weight[:, count:] = theirs[0].weight[:, total : total + count]


def dropped(hidden: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Return units with a share of them set to zero, the others larger by as much.

    Srivastava et al. (2014), section 4; scaled in training, so that prediction needs nothing.
    """
    coins = torch.rand(hidden.shape, generator=rng, dtype=hidden.dtype, device=rng.device)
    return hidden * (coins.to(hidden.device) >= share) / (1.0 - share)


def dense_layers(layers: nn.ModuleList) -> list[nn.Linear]:
    """Return the layers of an mlp as what they are."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def spread(module: nn.Module, rng: torch.Generator) -> None:
    """Draw starting weights: normal with variance ``2 / inputs`` (He et al., 2015, eq. 10).

    Biases are normal with deviation 0.2, which spreads the bends of the activations
    over the data: around zero a SiLU is nearly linear, and training from a linear
    start would find no slope.
    """
    for part in _drawn(module):
        if callable(own := getattr(part, "spread", None)):
            own(rng)
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, generator=rng)
            if part.bias is not None:
                nn.init.normal_(part.bias, 0.0, 0.2, generator=rng)


def _drawn(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and its parts, but for those that draw their own weights."""
    if getattr(module, "draws_itself", False):
        return
    yield module
    for part in module.children():
        yield from _drawn(part)


class Mlp:
    """Fully connected layers, mirrored, with a linear path that starts as PCA.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row.
    hidden_layer_sizes : sequence of int
        Sizes from the data to the code; the decoder mirrors them. Empty: linear.
    activation : str
        ``"silu"`` or ``"relu"``.
    start : str
        ``"pca"``: before training the network is exactly PCA (to first order where the
        likelihood's link is not the identity); ``"random"``: it is not.
    n_told : int
        Further inputs of the encoder: what is missing, and how strong noise is.
    dropout : float
        Share of each hidden layer's units that is left out of every row in training, in
        [0, 1). Predictions use all of them.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_layer_sizes: Sequence[int],
        activation: str = "silu",
        start: str = "pca",
        n_told: int = 0,
        dropout: float = 0.0,
    ) -> None:
        if not 0 <= dropout < 1:
            raise SpecError(f"dropout={dropout!r} should lie in [0, 1)")
        if start not in ("pca", "random"):
            raise SpecError(f"start={start!r} is not known; choose from pca, random")
        if activation not in ACTIVATIONS:
            raise SpecError(
                f"activation={activation!r} is not known; choose from {', '.join(ACTIVATIONS)}"
            )
        self.shape = tuple(shape)
        self.hidden_layer_sizes = tuple(hidden_layer_sizes)
        self.activation = activation
        self.start = start
        self.n_told = n_told
        self.dropout = float(dropout)
        self.n_linear = math.prod(shape)
        self.n_hidden = self.hidden_layer_sizes[-1] if self.hidden_layer_sizes else 0

    def encoder(self) -> MlpEncoder:
        """Return a module from ``(batch, n_values)`` to features."""
        n_inputs = self.n_linear + self.n_told
        return MlpEncoder((n_inputs, *self.hidden_layer_sizes), self.activation, self.dropout)

    def decoder(self, latent_shape: tuple[int, ...], n_params: int, *, sized: bool) -> MlpDecoder:
        """Return a module from codes to ``(batch, n_params, n_values)``."""
        return MlpDecoder(
            math.prod(latent_shape),
            self.hidden_layer_sizes[::-1],
            (n_params, self.n_linear),
            self.activation,
            sized=sized,
            dropout=self.dropout,
        )
