"""An encoder and a decoder of the user's, beside a linear path that starts at PCA."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autoencode.architectures.convolution import Grid
from autoencode.architectures.mlp import MlpDecoder, MlpEncoder
from autoencode.errors import SpecError
from autoencode.interfaces import Context, Features, LinearStart
from autoencode.spec import describe

__all__ = ["OWN", "Own", "OwnDecoder", "OwnEncoder", "own_modules"]

OWN = f"{__name__}:Own"
"""What modules of the user's are called in a file; they are what has to be trusted."""

Factory = Callable[..., nn.Module]


def own_modules(given: Sequence[Any]) -> Any:
    """Return what stands for modules of the user's on the axis of architectures.

    Parameters
    ----------
    given : pair of (callable or str)
        What makes the encoder and the decoder, or where that can be imported from:
        ``"my_package.module:name"``; see `Own`.

    Returns
    -------
    str or callable
        A text if both can be imported by a name: then a model can be saved.

    Raises
    ------
    SpecError
        If it is not a pair of such.
    """
    if len(given) != 2 or not all(isinstance(part, str) or callable(part) for part in given):
        raise SpecError(
            f"architecture={given!r} should be a name, or a pair of callables that make an "
            "encoder and a decoder"
        )
    encoder, decoder = given
    try:
        names = [describe(part) for part in given]
    except SpecError:
        return functools.partial(Own, encoder=encoder, decoder=decoder)
    return f"{OWN}:encoder={names[0]!r},decoder={names[1]!r}"


class OwnEncoder(nn.Module):
    """What a user's encoder finds, and the values for the linear path.

    Parameters
    ----------
    module : nn.Module
        From pictures ``(batch, colours, height, width)``, or rows ``(batch, n_values)``, to
        any shape whose first axis is the batch.
    grid : Grid or None
        Of the pictures; None: rows.
    """

    draws_itself = True
    dropout = 1.0  # so that it is told when it trains

    def __init__(self, module: nn.Module, grid: Grid | None) -> None:
        super().__init__()
        self.module, self.grid = module, grid

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Features:
        """Return features; layers that differ in training do so only where it trains."""
        values = x.flatten(1)
        given = values if self.grid is None else self.grid.pictures(values).contiguous()
        return Features(_passed(self.module, given, rng).flatten(1), values)


class OwnDecoder(nn.Module):
    """A linear path, and what a user's decoder adds, times a gain that starts at zero.

    Bachlechner et al. (2021), eq. 2. So the start is PCA whatever the module gives.

    Parameters
    ----------
    module : nn.Module
        From codes ``(batch, n_components)`` to pictures ``(batch, colours, height, width)``, or
        rows ``(batch, n_values)``.
    grid : Grid or None
        As in `OwnEncoder`.
    straight : MlpDecoder
        The linear path.
    """

    draws_itself = True

    def __init__(self, module: nn.Module, grid: Grid | None, straight: MlpDecoder) -> None:
        super().__init__()
        self.module, self.grid, self.straight = module, grid, straight
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor, context: Context) -> Tensor:
        """Return ``(batch, 1, n_values)``."""
        added = _passed(self.module, z, context.rng)
        shaped = added.flatten(1)[:, None] if self.grid is None else self.grid.values(added, 1)
        result: Tensor = self.straight(z, context) + self.gain * shaped
        return result

    def linear_part(self, z: Tensor) -> Tensor:
        """Return what codes add to the values directly, ``(batch, n_values)``."""
        return self.straight.linear_part(z)

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to the inverse of PCA's, and the gain to zero."""
        self.gain.zero_()
        self.straight.start_linear(start)

    def copy_prefix(self, longer: OwnDecoder) -> None:
        """Refuse: modules of the user's are for one length."""
        raise SpecError("a model of your own modules cannot be shortened: fit it at that length")


class Own:
    """Modules of the user's in place of the hidden layers.

    Parameters
    ----------
    shape : tuple of int
        Of one row.
    hidden_layer_sizes : sequence of int
        Not used.
    encoder, decoder : callable or str
        Called as ``encoder(shape)`` and ``decoder(n_components, shape)``, where ``shape`` is
        ``(colours, height, width)`` of pictures and ``(n_values,)`` of rows; they return modules
        as `OwnEncoder` and `OwnDecoder` take them. Or where such are imported from. Layers with
        parameters should exist when the module does: no lazy ones.

    Raises
    ------
    SpecError
        If one cannot be imported, gives no module, or a decoder is to be told what its codes
        are: their size, or what is missing.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden_layer_sizes: Sequence[int],
        encoder: Factory | str,
        decoder: Factory | str,
        n_told: int = 0,
    ) -> None:
        if n_told:
            raise SpecError("modules of your own are not told what is missing or noisy: use conv")
        self.make_encoder, self.make_decoder = _factory(encoder), _factory(decoder)
        self.n_linear, self.start = math.prod(shape), "pca"
        self.linear = not hidden_layer_sizes
        self.grid = Grid.of(shape) if len(shape) > 1 else None
        self.shape: tuple[int, ...] = (self.n_linear,)
        if self.grid is not None:
            self.shape = (self.grid.colours, self.grid.height, self.grid.width)
        self.n_hidden = 0 if self.linear else self._width()

    def _width(self) -> int:
        """Return how many features an encoder gives, by asking one; no randomness is used up."""
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
            encoder = self._encoder().eval()
            found = encoder(torch.zeros(2, self.n_linear)).hidden
        assert found is not None
        return int(found.shape[1])

    def _encoder(self) -> OwnEncoder:
        return OwnEncoder(_module(self.make_encoder(self.shape), "encoder"), self.grid)

    def encoder(self) -> nn.Module:
        """Return a module from ``(batch, n_values)`` to features."""
        return MlpEncoder((self.n_linear,), "silu") if self.linear else self._encoder()

    def decoder(self, latent_shape: tuple[int, ...], n_params: int, *, sized: bool) -> nn.Module:
        """Return a module from codes to ``(batch, 1, n_values)``."""
        if sized or n_params != 1:
            raise SpecError(
                "modules of your own have codes of one length and one number per value: pass "
                "nested=False, and a likelihood such as gaussian"
            )
        count = math.prod(latent_shape)
        straight = MlpDecoder(count, (), (1, self.n_linear), "silu", sized=False)
        if self.linear:
            return straight
        module = _module(self.make_decoder(count, self.shape), "decoder")
        return OwnDecoder(module, self.grid, straight)


def _passed(module: nn.Module, given: Tensor, rng: torch.Generator | None) -> Tensor:
    """Return what a module makes of its input, in training if there is a generator.

    What a user's layers draw comes from PyTorch's global generator, on the CPU; it is seeded by
    the given one, and its state is put back.
    """
    module.train(rng is not None)
    with torch.random.fork_rng(devices=[], enabled=rng is not None):
        if rng is not None:
            seed = torch.randint(2**62, (1,), generator=rng, device=rng.device)
            torch.default_generator.manual_seed(int(seed))
        result: Tensor = module(given)
    return result


def _factory(given: Factory | str) -> Factory:
    if not isinstance(given, str):
        return given
    module, _, name = given.partition(":")
    try:
        found: Factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"architecture: {given!r} cannot be imported: {error}") from None
    return found


def _module(made: Any, what: str) -> nn.Module:
    if not isinstance(made, nn.Module):
        raise SpecError(f"the {what} of architecture is a {type(made).__name__}, not a nn.Module")
    return made
