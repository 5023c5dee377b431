"""Densities over codes that are learned by networks: a coupling flow, a second autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencode.bottlenecks.flow import CouplingFlow
from autoencode.composition import Composition
from autoencode.importance import Coder, measure_bound, standard_draws
from autoencode.interfaces import Batch, Context
from autoencode.network import Network

__all__ = [
    "CodePrior",
    "FlowPrior",
    "SecondPrior",
    "flow_nats",
    "new_flow",
    "prior_from_file",
    "second_composition",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_FLOW_LAYERS = 6
_DRAWS = 100
_WIDTHS = (32, 128)


class CodePrior(Protocol):
    """A density of codes' coordinates, given the class of each."""

    kind: str

    def log_density(self, codes: Array, classes: Places) -> Array:
        """Return the logarithm of the density, or a lower bound on it, in nats, ``(n,)``."""

    def draw(self, classes: Places, generator: np.random.Generator) -> Array:
        """Return one code of each of these classes, ``(n, d)``."""

    def header(self) -> dict[str, Any]:
        """Return what is no array, as plain values."""

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name."""


class FlowPrior:
    """N(0, I) moved by coupling layers, which are told the class.

    Dinh et al. (2017), eq. 2: the density is that of where a code comes from, less the growth
    of volume on the way.

    Parameters
    ----------
    center, scale : ndarray of shape (d,)
        What coordinates are standardised by.
    flow : CouplingFlow
        Weights of float32 precision.
    n_classes : int
        0 without classes.
    """

    kind = "flow"

    def __init__(self, center: Array, scale: Array, flow: CouplingFlow, n_classes: int) -> None:
        self.center, self.scale, self.n_classes = center, scale, n_classes
        self.flow = flow.double().eval().requires_grad_(False)

    def log_density(self, codes: Array, classes: Places) -> Array:
        """Return the logarithm of the density, in nats, ``(n,)``."""
        standard = torch.from_numpy((codes - self.center) / self.scale)
        with torch.inference_mode():
            nats = flow_nats(self.flow, standard, self._told(classes)).numpy()
        result: Array = -nats - np.log(self.scale).sum()
        return result

    def draw(self, classes: Places, generator: np.random.Generator) -> Array:
        """Return one code of each of these classes, ``(n, d)``."""
        noise = torch.from_numpy(generator.standard_normal((1, len(classes), len(self.center))))
        with torch.inference_mode():
            moved = self.flow(noise, self._told(classes))[0][0].numpy()
        result: Array = self.center + self.scale * moved
        return result

    def _told(self, classes: Places) -> Tensor | None:
        if not self.n_classes:
            return None
        return functional.one_hot(torch.from_numpy(classes), self.n_classes).double()

    def header(self) -> dict[str, Any]:
        """Return what is no array, as plain values."""
        return {"kind": self.kind, "n_classes": self.n_classes}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name."""
        return {"center": self.center, "scale": self.scale, **_weights(self.flow)}


class SecondPrior:
    """A variational autoencoder of codes: its own codes are drawn from N(0, I).

    Dai and Wipf (2019): the second stage, whose codes are as long as the first one's, and lie
    nearer to N(0, I) since codes fill their space as rows do not.

    Parameters
    ----------
    center, scale : ndarray of shape (d,)
        What coordinates are standardised by.
    network : Network
        That of `second_composition`, weights of float32 precision.
    """

    kind = "variational"

    def __init__(self, center: Array, scale: Array, network: Network) -> None:
        self.center, self.scale = center, scale
        self.network = network.double().eval().requires_grad_(False)

    def log_density(self, codes: Array, classes: Places) -> Array:
        """Return the importance-weighted bound on it by 100 draws, in nats, ``(n,)``."""
        standard = torch.from_numpy((codes - self.center) / self.scale)
        draws = standard_draws(_DRAWS, self.network.bottleneck.latent_shape[0], 0, standard)
        batch = Batch(standard)
        bound = measure_bound(Coder.of(self.network), batch, batch, draws).importance.numpy()
        result: Array = bound - np.log(self.scale).sum()
        return result

    def draw(self, classes: Places, generator: np.random.Generator) -> Array:
        """Return as many codes, ``(n, d)``; they have no classes."""
        size = (len(classes), self.network.bottleneck.latent_shape[0])
        codes = torch.from_numpy(generator.standard_normal(size))
        rng = torch.Generator().manual_seed(int(generator.integers(2**62)))
        with torch.inference_mode():
            params = self.network.decoder(codes, Context())
            values = self.network.likelihood.sample(params, rng).numpy()
        result: Array = self.center + self.scale * values
        return result

    def header(self) -> dict[str, Any]:
        """Return what is no array, as plain values."""
        return {"kind": self.kind, "n_components": self.network.bottleneck.latent_shape[0]}

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all arrays by name."""
        return {"center": self.center, "scale": self.scale, **_weights(self.network)}


def new_flow(d: int, n_classes: int) -> CouplingFlow:
    """Return a flow over d coordinates before training."""
    return CouplingFlow(d, n_classes, _FLOW_LAYERS)


def flow_nats(flow: CouplingFlow, codes: Tensor, told: Tensor | None) -> Tensor:
    """Return minus the log-density of standardised codes, ``(n,)``."""
    source, growth = flow.inverse(codes[None], told)
    constant = 0.5 * codes.shape[1] * math.log(2 * math.pi)
    return 0.5 * source[0].square().sum(1) + growth[0] + constant


def second_composition(d: int) -> Composition:
    """Return what the autoencoder of d coordinates is made of."""
    least, most = _WIDTHS
    width = min(max(1 << (2 * d - 1).bit_length(), least), most)
    return Composition(
        architecture="mlp",
        bottleneck="gaussian",
        corruption="none",
        likelihood="gaussian:scale=learned",
        penalties=(),
        hidden_layer_sizes=(width, width // 2),
        sample_shape=(d,),
        nested=False,
    )


def prior_from_file(
    header: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]]
) -> CodePrior:
    """Return the prior that ``header`` and ``tensors`` described.

    Raises
    ------
    KeyError
        If something is missing.
    RuntimeError
        If weights do not have the shapes they should.
    """
    center, scale = tensors["center"], tensors["scale"]
    weights = {
        name.removeprefix("weights."): torch.from_numpy(array)
        for name, array in tensors.items()
        if name.startswith("weights.")
    }
    if header["kind"] == "flow":
        n_classes = int(header["n_classes"])
        with torch.random.fork_rng(devices=[]):
            flow = new_flow(len(center), n_classes)
        flow.load_state_dict(weights, strict=True)
        return FlowPrior(center, scale, flow, n_classes)
    if header["kind"] != "variational":
        raise KeyError(f"prior {header['kind']!r}")
    network = second_composition(len(center)).network(int(header["n_components"]))
    network.load_state_dict(weights, strict=True, assign=True)
    return SecondPrior(center, scale, network)


def _weights(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    return {
        f"weights.{name}": value.numpy().astype(np.float32)
        for name, value in module.state_dict().items()
    }
