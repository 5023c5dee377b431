"""Everything that a fit learned, and how it becomes a file and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from autoencode.codec import Decoder, Encoder
from autoencode.composition import Composition, linear_start
from autoencode.errors import ModelFileError
from autoencode.interfaces import LinearStart
from autoencode.missingness import Selection
from autoencode.network import Network
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.filling import Fill, covariance_of
from autoencode.preprocess.principal import PrincipalComponents
from autoencode.preprocess.scaling import Scaling
from autoencode.preprocess.shrinking import Shrink
from autoencode.row_prior import RowPrior
from autoencode.sampler import Sampler

__all__ = ["Fitted", "State"]

Array = npt.NDArray[np.float64]

_MOST_KEPT = 1 << 20
"""Weights of a decoder up to which it is kept in each dtype that was asked for."""


@dataclass
class State:
    """A fitted model as plain data and networks; estimators read everything from here.

    Attributes
    ----------
    composition : Composition
        What the networks are made of.
    scaling : Scaling
        From the data's units to the networks'.
    principal : PrincipalComponents
        Of all rows, scaled: the model wherever the gate is shut.
    deviations : ndarray of shape (k,)
        Of the training rows' scores: codes of networks are given in PCA's units.
    networks : dict of str to Network
        ``"nested"`` (all sizes), ``"final"``, ``"second"``, ``"third"`` (fine-tuned at one
        size each), those that are used at some size.
    sizes : list of int
        Sizes at which errors were measured, ascending.
    sources : list of str
        Which model is the best at each of them: "pca" or a network.
    n_components : int
        Length of the code.
    curve : dict of str to ndarray
        As in the estimator's ``curve_``.
    prefix_explained : ndarray of shape (n_components,)
        Held-out share of variance explained by the final model's prefixes.
    column_errors : ndarray of shape (n_features,)
        Held-out mean squared error by column, scaled.
    history : dict of str to list
        As in the estimator's ``history_``.
    facts : dict
        Rows, seconds, stop reason and the like: plain values.
    precision : ndarray of shape (n_values, n_values) or None
        What missing values are filled in by; see `autoencode.preprocess.filling.Fill`.
    residuals : ndarray of shape (n_values, q)
        Evenly spaced quantiles of the errors of restored values on held-out rows, before
        scaling; q is 0 for a model that takes no missing values.
    schema : Schema or None
        What a table's columns are; None for arrays.
    units : dict of str to ndarray
        Of a sparse code, for each component: ``frequency``, the share of held-out rows in
        which it is active, and ``stability``, its cosine with the nearest part of a twin that
        was trained from another start (if there was one).
    sampler : Sampler or None
        What new rows are drawn from; None: it was not fitted.
    prior : RowPrior or None
        A second opinion on rows with normal noise; None: there is none.
    """

    composition: Composition
    scaling: Scaling
    principal: PrincipalComponents
    deviations: Array
    networks: dict[str, Network]
    sizes: list[int]
    sources: list[str]
    n_components: int
    curve: dict[str, npt.NDArray[Any]]
    prefix_explained: Array
    column_errors: Array
    history: dict[str, list[Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    precision: Array | None = None
    residuals: Array = field(default_factory=lambda: np.zeros((0, 0)))
    schema: Schema | None = None
    units: dict[str, Array] = field(default_factory=dict)
    sampler: Sampler | None = None
    prior: RowPrior | None = None
    _fills: dict[torch.dtype, Fill] = field(default_factory=dict, repr=False, compare=False)
    _read: dict[tuple[torch.dtype, bool], Fitted] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied: not what can be made again."""
        return {**self.__dict__, "_read": {}}

    @property
    def n_values(self) -> int:
        """The number of values that a row is spread into; for arrays that of its columns."""
        return len(self.scaling.center)

    def raw_deviations(self) -> Array:
        """Return each value's held-out error, root mean square, before scaling; never 0."""
        deviations: Array = np.maximum(np.sqrt(self.column_errors), 1e-3) * self.scaling.scale
        return deviations

    def selection(self) -> Selection | None:
        """Return how being missing depends on values, in float64; None if it does not."""
        network = self.networks.get(self.source(self.n_components))
        if network is None or network.selection is None:
            return None
        return copy.deepcopy(network.selection).double().requires_grad_(False)

    def source(self, size: int) -> str:
        """Return which model is the best at a size: that of the next size measured."""
        for measured, name in zip(self.sizes, self.sources, strict=True):
            if measured >= size:
                return name
        return "pca"

    def fitted(self, dtype: torch.dtype | None = None) -> Fitted:
        """Return encoder and decoder of the chosen size, in the data's units.

        Without ``dtype``, in that of the weights, and copied: what a user does to them
        stays there. With it they are for reading only.
        """
        if dtype is None:
            return self._made(None)
        key = (dtype, self.schema is not None)
        if key in self._read:
            return self._read[key]
        made = self._made(dtype)
        if sum(map(torch.numel, made.decoder.parameters())) <= _MOST_KEPT:
            self._read[key] = made
        return made

    def _made(self, dtype: torch.dtype | None) -> Fitted:
        copied = dtype is None
        size = self.n_components
        name = self.source(size)
        if name == "pca":
            return self._linear(size, dtype or torch.float64)
        longer = self.networks[name]
        dtype = dtype or next(longer.parameters()).dtype
        network = longer
        if longer.bottleneck.latent_shape[0] != size:
            own = next(longer.parameters()).dtype
            network = self.composition.empty_network(size).to(own)
            network.copy_prefix(longer)
        codes = self.deviations[:size] * self.scaling.unit
        scales = (self.scaling.center, self.scaling.scale, codes)
        if copied or next(network.parameters()).dtype != dtype:
            network = copy.deepcopy(network).to(dtype)
        return self._joined(network, scales, dtype)

    def _fill(self, dtype: torch.dtype) -> Fill | None:
        if self.precision is None:
            return None
        if dtype not in self._fills:
            precision = torch.from_numpy(self.precision).to(dtype)
            self._fills[dtype] = Fill(precision, self.composition.layout)
        return copy.deepcopy(self._fills[dtype])

    @property
    def learned(self) -> tuple[str, ...]:
        """In which ways rows were spoilt in training, to be restored; see `Corruption`."""
        corrupter = self.composition.corrupter()
        return () if corrupter is None else tuple(getattr(corrupter, "ways", ()))

    def shrink(self, dtype: torch.dtype) -> Shrink | None:
        """Return what takes noise out linearly, if the model is told of noise."""
        if self.precision is None or not self.composition.shrinks:
            return None
        return Shrink(torch.from_numpy(covariance_of(self.precision)).to(dtype))

    def _linear(self, size: int, dtype: torch.dtype) -> Fitted:
        head = self.principal.head(size)
        linear = replace(self.composition, architecture="mlp", hidden_layer_sizes=())
        linear = replace(linear, bottleneck="plain", likelihood="gaussian", nested=False)
        linear = replace(linear, masked=False, noisy=False)
        network = linear.empty_network(size).double()
        start = linear_start(head)
        network.start_linear(LinearStart(start.components, torch.ones_like(start.deviations)))
        center = self.scaling.center + self.scaling.scale * head.mean
        scales = (center, self.scaling.scale, np.full(size, self.scaling.unit))
        return self._joined(network.to(dtype), scales, dtype)

    def _joined(self, network: Network, scales: tuple[Array, ...], dtype: torch.dtype) -> Fitted:
        center, scale, code_scale = (torch.from_numpy(np.array(part)) for part in scales)
        takes_missing = self.composition.masked or self.schema is not None
        encoder = Encoder(
            network,
            self._fill(dtype),
            takes_missing,
            self.shrink(dtype),
            center,
            scale,
            code_scale,
            dtype,
        )
        decoder = Decoder(network, center, scale, code_scale, dtype)
        return Fitted(encoder.eval(), decoder.eval())

    def truncated(self, size: int) -> State:
        """Return the best model of a smaller size."""
        keep = [place for place, measured in enumerate(self.sizes) if measured <= size]
        errors = np.asarray(self.curve["error"], dtype=np.float64)
        ratio = 1.0
        if len(errors) and self.sizes[-1] >= size:
            here, there = np.interp([size, self.n_components], self.sizes, errors)
            ratio = here / there if there > 0 else 1.0
        shares = np.asarray(self.curve["explained_variance"], dtype=np.float64)
        prefix = np.interp(np.arange(1, size + 1), self.sizes, shares) if len(shares) else shares
        if self.source(size) == self.source(self.n_components):
            prefix = self.prefix_explained[:size]
        facts = {name: value for name, value in self.facts.items() if name != "train_error"}
        if "likelihood" in facts:
            # Measured at the size before.
            known = facts["likelihood"]
            facts["likelihood"] = {name: known[name] for name in ("floor_kind", "total")}
        keep_to = keep[-1] + 1 if keep and self.sizes[keep[-1]] == size else len(keep) + 1
        return replace(
            self,
            n_components=size,
            sizes=self.sizes[:keep_to],
            sources=self.sources[:keep_to],
            curve={name: column[:keep_to] for name, column in self.curve.items()},
            prefix_explained=prefix,
            column_errors=self.column_errors * ratio,
            units={name: column[:size] for name, column in self.units.items()},
            facts=facts,
            sampler=None,
        )

    def encoder_only(self) -> State:
        """Return a state with nothing but what the encoder of the chosen size needs."""
        name, size = self.source(self.n_components), self.n_components
        networks = {}
        if name != "pca":
            network = copy.deepcopy(self.networks[name])
            if "pursuit" not in self.facts:  # which needs the decoder's parts
                network.decoder = nn.Identity()
            networks = {name: network}
        nothing = np.zeros(0)
        return replace(
            self,
            networks=networks,
            principal=self.principal.head(size if name == "pca" else 0),
            sizes=[size],
            sources=[name],
            curve={},
            history={},
            column_errors=nothing,
            residuals=nothing,
            sampler=None,
            prior=None,
        )

    def to_file(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return header and tensors."""
        header = {
            "composition": self.composition.header(),
            "n_components": self.n_components,
            "sizes": list(self.sizes),
            "sources": list(self.sources),
            "history": self.history,
            "facts": self.facts,
            "lengths": {
                name: network.bottleneck.latent_shape[0] for name, network in self.networks.items()
            },
        }
        tensors: dict[str, npt.NDArray[Any]] = {
            "center": self.scaling.center,
            "scale": self.scaling.scale,
            "principal.mean": self.principal.mean,
            "principal.components": self.principal.components,
            "principal.variances": self.principal.variances,
            "deviations": self.deviations,
            "prefix_explained": self.prefix_explained,
            "column_errors": self.column_errors,
        }
        if self.schema is not None:
            header["columns"] = self.schema.header()
        if self.precision is not None:
            tensors["precision"] = self.precision
        if self.residuals.size:
            tensors["residuals"] = self.residuals
        if self.sampler is not None:
            header["sampler"] = self.sampler.header()
            tensors |= {f"sampler.{name}": part for name, part in self.sampler.tensors().items()}
        if self.prior is not None:
            tensors |= {f"prior.{name}": part for name, part in self.prior.tensors().items()}
        tensors |= {f"unit.{name}": np.asarray(column) for name, column in self.units.items()}
        tensors |= {f"curve.{name}": np.asarray(column) for name, column in self.curve.items()}
        for name, network in self.networks.items():
            for key, value in network.state_dict().items():
                tensors[f"{name}.{key}"] = value.numpy()
        return header, {name: np.ascontiguousarray(array) for name, array in tensors.items()}

    @classmethod
    def from_file(
        cls,
        header: dict[str, Any],
        tensors: dict[str, npt.NDArray[Any]],
        trusted: tuple[str, ...],
    ) -> State:
        """Rebuild a state; shapes of the weights are checked against the composition.

        Raises
        ------
        ModelFileError
            If something is missing or does not fit together.
        """
        try:
            composition = Composition.from_header(header["composition"], trusted)
            networks = {
                name: _network_from(composition, int(length), tensors, name)
                for name, length in header["lengths"].items()
            }
            missing = set(header["sources"]) - {"pca", *networks}
            if missing:
                raise KeyError(f"no weights for {', '.join(sorted(missing))}")
            return cls(
                composition,
                Scaling(tensors["center"], tensors["scale"]),
                PrincipalComponents(
                    tensors["principal.mean"],
                    tensors["principal.components"],
                    tensors["principal.variances"],
                ),
                tensors["deviations"],
                networks,
                header["sizes"],
                header["sources"],
                int(header["n_components"]),
                _group(tensors, "curve."),
                tensors["prefix_explained"],
                tensors["column_errors"],
                header["history"],
                header["facts"],
                tensors.get("precision"),
                tensors.get("residuals", np.zeros((0, 0))),
                Schema.from_header(header["columns"]) if "columns" in header else None,
                _group(tensors, "unit."),
                Sampler.from_file(header["sampler"], _group(tensors, "sampler."))
                if "sampler" in header
                else None,
                RowPrior.from_tensors(prior) if (prior := _group(tensors, "prior.")) else None,
            )
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"the model file does not fit together: {reason}") from None


@dataclass(frozen=True)
class Fitted:
    """Encoder and decoder of a fitted model, in the data's units."""

    encoder: Encoder
    decoder: Decoder


def _group(tensors: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose names have a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _network_from(
    composition: Composition, length: int, tensors: dict[str, npt.NDArray[Any]], name: str
) -> Network:
    network = composition.network(length)
    found = {
        key.removeprefix(f"{name}."): torch.from_numpy(array)
        for key, array in tensors.items()
        if key.startswith(f"{name}.")
    }
    if not any(key.startswith("decoder.") for key in found):
        network.decoder = nn.Identity()
    network.load_state_dict(found, strict=True, assign=True)
    return network
