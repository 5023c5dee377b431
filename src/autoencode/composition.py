"""From the names of parts to a network and its objective: the five axes, joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autoencode.architectures import ARCHITECTURES, Dictionary
from autoencode.architectures.mlp import spread
from autoencode.architectures.own import OWN
from autoencode.bottlenecks import BOTTLENECKS, GaussianCode
from autoencode.bottlenecks.local import localize
from autoencode.corruptions import CORRUPTIONS
from autoencode.errors import ModelFileError
from autoencode.guess import n_told
from autoencode.interfaces import (
    Bottleneck,
    Corruption,
    Layout,
    Likelihood,
    LinearStart,
    Segment,
)
from autoencode.likelihoods import LIKELIHOODS
from autoencode.missingness import Selection
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.penalties import PENALTIES
from autoencode.preprocess.principal import PrincipalComponents
from autoencode.spec import Spec, describe, make, module_of, parse

__all__ = ["Composition", "linear_start", "outlined_bottleneck"]


@dataclass(frozen=True)
class Composition:
    """The choices on the five axes, complete: a network can be built from it.

    Attributes
    ----------
    architecture, bottleneck, corruption, likelihood : str or callable
        One part each; see `autoencode.spec.parse`.
    penalties : tuple of (str or callable)
        Any number of them.
    hidden_layer_sizes : tuple of int
        From the data to the code.
    sample_shape : tuple of int
        Shape of one row; mlp takes ``(n_features,)``.
    nested : bool
        Whether codes of every shorter length are trained too.
    segments : tuple of Segment
        What the values of a table's row are; see `autoencode.interfaces.Layout`.
    masked : bool
        Whether values may be missing in training: the encoder is told which.
    informative : bool
        Whether their being missing may depend on what they are.
    noisy : bool
        Whether rows are noisy in training, to a degree that the encoder is told.
    """

    architecture: Spec
    bottleneck: Spec
    corruption: Spec
    likelihood: Spec
    penalties: tuple[Spec, ...]
    hidden_layer_sizes: tuple[int, ...]
    sample_shape: tuple[int, ...]
    nested: bool
    segments: tuple[Segment, ...] = ()
    masked: bool = False
    informative: bool = False
    noisy: bool = False

    @property
    def layout(self) -> Layout:
        """What the values are."""
        return Layout(math.prod(self.sample_shape), self.segments, self.sample_shape)

    @property
    def shrinks(self) -> bool:
        """Whether noise is taken out linearly before the network does: where all are numbers."""
        return self.noisy and not self.segments

    def network(self, n_components: int, rng: torch.Generator | None = None) -> Network:
        """Return a network for codes of this length.

        Without ``rng`` its weights have shapes but no memory (``meta``): for checks, and
        to be filled. With it, they are drawn.
        """
        # Layers draw weights from PyTorch's global generator when they are made; these are
        # drawn again below, and the global state is put back.
        with (
            torch.random.fork_rng(devices=[]),
            torch.device("meta") if rng is None else torch.device("cpu"),
        ):
            if rng is not None:  # for modules of the user's, which draw their own
                torch.default_generator.set_state(rng.get_state())
            layout = self.layout
            sizes = [self.sample_shape, self.hidden_layer_sizes]
            count = n_told(layout, masked=self.masked, noisy=self.noisy)
            told = {"n_told": count} if count else {}
            architecture = make("architecture", ARCHITECTURES, self.architecture, *sizes, **told)
            neck = make(
                "bottleneck",
                BOTTLENECKS,
                self.bottleneck,
                architecture.n_hidden,
                architecture.n_linear,
                n_components,
            )
            n_places = getattr(architecture, "n_places", 1)
            if n_places > 1:
                localize(neck, architecture.n_hidden, architecture.n_linear, n_places)
            network = Network(
                architecture,
                neck,
                self.new_likelihood(),
                sized=self.nested,
                masked=self.masked,
                noisy=self.noisy,
                selection=Selection(layout) if self.informative else None,
            )
        if rng is not None:
            spread(network, rng)
        return network

    def new_likelihood(self) -> Likelihood:
        """Return the likelihood alone, before training."""
        part: Likelihood = make("likelihood", LIKELIHOODS, self.likelihood, self.layout)
        return part

    def empty_network(self, n_components: int) -> Network:
        """Return a network whose weights have memory but no values yet."""
        network = self.network(n_components)
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(_empty_as(parameter)))
            for name, buffer in module.named_buffers(recurse=False):
                if buffer.is_meta:
                    setattr(module, name, _empty_as(buffer))
        return network

    @cached_property
    def start(self) -> str:
        """Where the linear path starts.

        "pca"; "data", from rows; "positive", from rows above their least values;
        "directions", drawn; or "random": anywhere.
        """
        part = make("architecture", ARCHITECTURES, self.architecture, self.sample_shape, ())
        start = getattr(part, "start", "random")
        if self.sparse and self.n_places > 1:
            return "random"  # patches have no dictionary of rows
        if isinstance(part, Dictionary):
            start = {"data": "pca", "random": "directions"}[part.start]
        if start != "pca" or not self.sparse:
            return start
        return "positive" if getattr(part, "positive", False) else "data"

    @cached_property
    def n_places(self) -> int:
        """How many places a code has numbers of: its length is a multiple; 1: it is a vector."""
        return math.prod(self.code_size)

    @cached_property
    def code_size(self) -> tuple[int, ...]:
        """Height and width of codes that are small pictures; empty: they are vectors."""
        sizes = (self.sample_shape, self.hidden_layer_sizes)
        part = make("architecture", ARCHITECTURES, self.architecture, *sizes)
        return tuple(getattr(part, "code_size", ()))

    @cached_property
    def sparse(self) -> bool:
        """Whether most of a code is zero."""
        return outlined_bottleneck(self.bottleneck).sparse

    @cached_property
    def variational(self) -> bool:
        """Whether codes are drawn from posteriors: then rows have a likelihood."""
        return isinstance(outlined_bottleneck(self.bottleneck), GaussianCode)

    @cached_property
    def unit_codes(self) -> bool:
        """Whether codes are in the units of the values, and not of their own deviations."""
        part = make("architecture", ARCHITECTURES, self.architecture, self.sample_shape, ())
        return self.sparse or isinstance(part, Dictionary)

    @property
    def ordered(self) -> bool:
        """Whether the leading components of a code are a code."""
        return self.nested or not self.sparse

    @property
    def trains(self) -> bool:
        """Whether there is more to learn than PCA."""
        return bool(self.hidden_layer_sizes) or self.sparse

    def n_active(self, n_components: int) -> int:
        """Return how many components of a code of this length are not zero, on average."""
        return outlined_bottleneck(self.bottleneck, n_components).n_active()

    def objective(self) -> Objective:
        """Return the loss."""
        return Objective([make("penalty", PENALTIES, spec) for spec in self.penalties])

    def corrupter(self) -> Corruption | None:
        """Return what spoils the rows, or None."""
        if self.corruption == "none":
            return None
        part: Corruption = make("corruption", CORRUPTIONS, self.corruption, self.layout)
        return part

    def check(self) -> None:
        """Raise `SpecError` for an unknown part or option before any work is done."""
        self.network(self.n_places)
        self.objective()
        make("corruption", CORRUPTIONS, self.corruption, self.layout)

    def header(self) -> dict[str, Any]:
        """Return plain values from which `from_header` builds the same composition."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for axis in ("architecture", "bottleneck", "corruption", "likelihood"):
            values[axis] = describe(values[axis])
        values["penalties"] = [describe(spec) for spec in self.penalties]
        return values

    @classmethod
    def from_header(cls, values: dict[str, Any], trusted: tuple[str, ...]) -> Composition:
        """Rebuild a composition; parts from outside only from trusted modules.

        Raises
        ------
        ModelFileError
            If the file names a part from a module that ``trusted`` does not cover.
        """
        names = [values[a] for a in ("architecture", "bottleneck", "corruption", "likelihood")]
        for spec in (*names, *values["penalties"]):
            module = next((m for m in _modules(spec) if not _is_trusted(m, trusted)), None)
            if module is not None:
                raise ModelFileError(
                    f"the model uses {spec!r} from outside this package; load it with "
                    f"trusted=({module.split('.')[0]!r},) if you trust that package"
                )
        listed = ("penalties", "hidden_layer_sizes", "sample_shape")
        complete: dict[str, Any] = {k: tuple(v) if k in listed else v for k, v in values.items()}
        complete["segments"] = tuple(Segment(*parts) for parts in values["segments"])
        return cls(**complete)


def outlined_bottleneck(spec: Spec, n_components: int = 1) -> Bottleneck:
    """Return a bottleneck without memory, to be asked what its codes are like."""
    with torch.device("meta"):
        neck: Bottleneck = make("bottleneck", BOTTLENECKS, spec, 0, 1, n_components)
        return neck


def _empty_as(outline: Tensor) -> Tensor:
    # Not by `empty_like`: of an outline it imports sympy, which takes half a second.
    return torch.empty(outline.shape, dtype=outline.dtype, device="cpu")


def _modules(spec: str) -> list[str]:
    """Return the modules that a spec of a file would import."""
    name, options = parse(spec)
    if name == OWN:
        return [str(value).partition(":")[0] for value in options.values()]
    module = module_of(spec)
    return [] if module is None else [module]


def _is_trusted(module: str, trusted: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in trusted)


def linear_start(principal: PrincipalComponents) -> LinearStart:
    """Return PCA as tensors."""
    return LinearStart(
        torch.from_numpy(np.ascontiguousarray(principal.components)),
        torch.from_numpy(principal.deviations),
    )
