"""A sparse autoencoder's arrays as a fitted model, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.dictionary import DictionaryDecoder
from autoencode.bottlenecks import BatchTopK, JumpRelu, Relu, TopK
from autoencode.bottlenecks.sparse import Sparse
from autoencode.composition import Composition
from autoencode.dictionary import Dictionary, as_float32, fold_scaler
from autoencode.errors import DataError, SpecError
from autoencode.likelihoods.real import Gaussian, Huber
from autoencode.network import Network
from autoencode.preprocess.principal import PrincipalComponents
from autoencode.preprocess.scaling import Scaling
from autoencode.state import State

__all__ = ["bottleneck_of", "dictionary_of", "state_of"]

_NAME = "final"
_KINDS: dict[type, str] = {
    TopK: "topk",
    BatchTopK: "batchtopk",
    JumpRelu: "jumprelu",
    Relu: "relu",
}


def bottleneck_of(dictionary: Dictionary) -> str:
    """Return the bottleneck that chooses codes as a dictionary does.

    ``batchtopk`` has one threshold for all components here: with several it is ``jumprelu``.
    """
    threshold = dictionary.threshold
    if dictionary.kind == "batchtopk" and threshold is not None and np.ptp(threshold):
        return "jumprelu"
    return dictionary.kind


def state_of(dictionary: Dictionary) -> State:
    """Return the state of a model that nothing was measured of.

    Parts keep their length, so that the same codes are chosen. The curve, what is known
    of units and the errors of columns are empty or NaN.

    Parameters
    ----------
    dictionary : Dictionary
        Of any kind.
    """
    size, n_values = dictionary.parts.shape
    composition = _composition(dictionary)
    network = composition.empty_network(size)
    _fill(network, dictionary)
    principal = PrincipalComponents(np.zeros(n_values), np.zeros((0, n_values)), np.zeros(0))
    names = ("size", "error", "pca_error", "explained_variance", "pca_explained_variance")
    curve: dict[str, npt.NDArray[np.float64]] = {name: np.zeros(0) for name in names}
    active = dictionary.n_active
    facts: dict[str, Any] = {
        **dict.fromkeys(("n_rows", "n_train", "n_choose", "n_claim"), 0),
        "choose_rows": [],
        "claim_rows": [],
        "stop_reason": "not fitted here",
        "seconds": 0.0,
        "seed": 0,
        "used_for": {},
        "n_active": None if active is None else float(active),
        "sample_shape": [n_values],
    }
    return State(
        composition=composition,
        scaling=Scaling(dictionary.centre.astype(np.float64), np.ones(n_values)),
        principal=principal,
        deviations=np.ones(size),
        networks={_NAME: network},
        sizes=[size],
        sources=[_NAME],
        n_components=size,
        curve={**curve, "network": np.zeros(0, bool)},
        prefix_explained=np.full(size, np.nan),
        column_errors=np.full(n_values, np.nan),
        history={},
        facts=facts,
    )


def dictionary_of(state: State) -> Dictionary:
    """Return the arrays of a fitted model, for rows in the data's units.

    Codes are those of its encoder, also where the model refines them by pursuit.

    Parameters
    ----------
    state : State
        Of a model that is nothing but a dictionary: sparse codes of rows of numbers, without
        hidden layers.

    Raises
    ------
    DataError
        If it is something else.
    SpecError
        If a number is too large for float32.
    """
    network = _plain_network(state)
    scaling, neck, decoder = state.scaling, network.bottleneck, network.decoder
    assert isinstance(decoder, DictionaryDecoder)
    assert isinstance(neck, Sparse)
    path = neck.projection.linear_path
    assert path is not None
    weight, bias = _array(path.weight), _array(path.bias)
    # What float32 takes from the centre goes into the bias of the encoder.
    centre = scaling.center.astype(np.float32).astype(np.float64)
    bias = bias + weight @ ((centre - scaling.center) / scaling.scale)
    unit = float(scaling.unit)
    threshold = _threshold(neck, state.n_components)
    made = Dictionary(
        _KINDS[type(neck)],
        as_float32("encoder_weight", weight * unit),
        as_float32("encoder_bias", bias * unit),
        as_float32("parts", _array(decoder.parts) / unit),
        as_float32("bias", _array(decoder.bias)),
        np.zeros(state.n_values, np.float32),
        n_active=_asked(neck),
        threshold=None if threshold is None else as_float32("threshold", threshold * unit),
    )
    folded = fold_scaler(made, 0.0, scaling.scale)
    offset = _array(decoder.bias) * scaling.scale + scaling.center
    return dataclasses.replace(
        folded, centre=as_float32("centre", centre), bias=as_float32("bias", offset)
    )


def _composition(dictionary: Dictionary) -> Composition:
    bottleneck = bottleneck_of(dictionary)
    if dictionary.n_active is not None:
        bottleneck += f":active={dictionary.n_active!r}"
    return Composition(
        architecture="dictionary",
        bottleneck=bottleneck,
        corruption="none",
        likelihood="gaussian",
        penalties=(),
        hidden_layer_sizes=(),
        sample_shape=(dictionary.bias.size,),
        nested=False,
    )


@torch.no_grad()
def _fill(network: Network, dictionary: Dictionary) -> None:
    """Give a network the arrays; it has no other weights."""
    n_values = dictionary.bias.size
    values: dict[str, Any] = {
        "likelihood.center": np.zeros(n_values, np.float32),
        "likelihood.unit": np.ones(n_values, np.float32),
        "bottleneck.projection.linear_path.weight": dictionary.encoder_weight,
        "bottleneck.projection.linear_path.bias": dictionary.encoder_bias,
        "bottleneck.idle": np.zeros(dictionary.encoder_bias.shape, np.float32),
        "decoder.parts": dictionary.parts,
        "decoder.bias": as_float32("bias", dictionary.bias - dictionary.centre.astype(np.float64)),
    }
    neck, threshold = network.bottleneck, dictionary.threshold
    if isinstance(neck, BatchTopK) and threshold is not None:
        values |= {"bottleneck.threshold": threshold[0], "bottleneck.followed": np.float32(1.0)}
    elif isinstance(neck, JumpRelu) and threshold is not None:
        with np.errstate(divide="ignore"):  # a threshold of zero stays one
            values["bottleneck.log_threshold"] = np.log(threshold)
        values |= {"bottleneck.log_level": np.float32(0.0), "bottleneck.recent": np.float32(0.0)}
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in values.items()}
    network.load_state_dict(tensors, strict=True)


def _plain_network(state: State) -> Network:
    """Return the network of a plain dictionary; refuse any other model."""
    if not state.column_errors.size:
        raise DataError("the model was saved with encoder_only=True: it cannot decode")
    network = state.networks.get(state.source(state.n_components))
    reason = ""
    if network is None or not isinstance(network.bottleneck, Sparse):
        reason = "its codes are not sparse"
    elif not isinstance(network.decoder, DictionaryDecoder):
        reason = "it has hidden layers"
    elif type(network.bottleneck) not in _KINDS:
        reason = f"its bottleneck is {state.composition.bottleneck!r}"
    elif state.composition.segments or not _copies(state):
        reason = "some of its columns are not plain numbers"
    elif state.composition.masked or state.composition.noisy:
        reason = "it takes rows with missing or noisy values"
    elif not isinstance(network.likelihood, Gaussian | Huber):
        reason = f"its likelihood is {state.composition.likelihood!r}"
    if network is None or reason:
        raise DataError(f"the model is no plain dictionary: {reason}")
    if network.bottleneck.latent_shape[0] != state.n_components:
        shorter = state.composition.empty_network(state.n_components)
        shorter.copy_prefix(network)
        return shorter
    return network


def _copies(state: State) -> bool:
    """Say whether the values are the columns themselves, in their order."""
    schema = state.schema
    return schema is None or (
        schema.n_columns == state.n_values
        and all(block.kind == "numeric" and block.copies for block in schema.blocks)
    )


def _asked(neck: Sparse) -> float | None:
    """Return how many active units were asked for, where a dictionary says so."""
    if isinstance(neck, TopK):
        return neck.n_active()
    return float(neck.active) if isinstance(neck, BatchTopK) else None


def _threshold(neck: Sparse, size: int) -> npt.NDArray[np.float64] | None:
    if isinstance(neck, BatchTopK):
        if not torch.isfinite(neck.threshold):
            raise SpecError("the model's threshold is not known: it was never trained")
        return np.full(size, float(neck.threshold))
    return _array(neck.threshold) if isinstance(neck, JumpRelu) else None


def _array(values: Tensor) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = values.detach().double().cpu().numpy()
    return found
