"""The denoising autoencoder without a bottleneck that rows are restored by."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autoencode import defaults
from autoencode.architectures.mlp import MlpEncoder
from autoencode.batches import TensorBatches
from autoencode.composition import Composition, linear_start
from autoencode.flat_parameters import FlatParameters
from autoencode.guess import Guess, guessed, rescaled, restored
from autoencode.interfaces import Batch, Context, Features
from autoencode.network import Network
from autoencode.numerics import matrix_products, threads
from autoencode.objective import Objective
from autoencode.preprocess.principal import PrincipalComponents
from autoencode.preprocess.shrinking import Shrink
from autoencode.steps import choose_step
from autoencode.training import Budget, History, Settings, Task, train

__all__ = ["LEVELS", "Reading", "Restorer", "fit_restorer"]

Array = npt.NDArray[np.float64]

LEVELS = (0.2, 0.4, 0.8)
"""Strengths of noise that rows are restored as if they had, in columns' deviations."""

_LEARNED = (0.1, 1.6)
_CODE_LEVEL = 0.4
_STEPS = 400
_WIDEST = 128
_HELD_OUT, _MOST_HELD_OUT = 0.1, 512
_PATIENCE = 6
_AVERAGING = 0.02
_PIECE = 2048


class Reading(NamedTuple):
    """What the network says of rows.

    Attributes
    ----------
    moves : ndarray of shape (n_levels, n, n_values)
        Restored rows, less the rows, at every level.
    hidden : Tensor
        ``(n, width)``: the encoder's last hidden layer, at the middle level.
    """

    moves: npt.NDArray[np.floating[Any]]
    hidden: Tensor

    def rows(self, places: Any) -> Reading:
        """Return what is said of some of the rows."""
        return Reading(self.moves[:, places], self.hidden[places])

    def scaled(self, kept: npt.NDArray[np.bool_], scale: Array) -> Reading:
        """Return moves of these values, divided by their scale."""
        return Reading(self.moves[:, :, kept] / scale[kept], self.hidden)


@dataclass(frozen=True)
class Restorer:
    """A fitted network that rows are handed to as if they had noise of some strength.

    How far it then moves a row without noise is the slope of the logarithm of the density of
    noisy rows there, times the noise's variance (Vincent, 2011, eq. 4): short where rows are
    many.

    Attributes
    ----------
    network : Network
        In float32.
    covariance : ndarray of shape (n_values, n_values)
        What noise is taken out by before the network does.
    """

    network: Network
    covariance: Array

    def read(self, values: Array) -> Reading:
        """Return how rows move when they are restored, and their hidden layer.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Scaled rows.
        """
        moves = np.empty((len(LEVELS), *values.shape), dtype=np.float32)
        hidden = torch.empty(len(values), _composition(len(self.covariance)).hidden_layer_sizes[-1])
        with torch.inference_mode(), matrix_products("ieee"):
            for start in range(0, len(values), _PIECE):
                x = torch.from_numpy(values[start : start + _PIECE]).float()
                found, own = self._piece(x)
                moves[:, start : start + len(x)] = found.numpy()
                hidden[start : start + len(x)] = own
        return Reading(moves, hidden)

    def _piece(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both of a few rows, at all levels in one pass."""
        network, n_levels = self.network, len(LEVELS)
        shrunk, hidden = (linear(x).view(n_levels * len(x), -1) for linear in self._first)
        hidden = self._encoder.activation(hidden)
        for layer in self._encoder.layers[1:]:
            hidden = self._encoder.activation(layer(hidden))
        code = network.bottleneck(Features(hidden, shrunk), Context())
        mean = network.likelihood.mean(network.decode(code, Context()))
        batch = Batch(shrunk, level=_said().repeat(len(x), 1))
        found = restored(network, mean, batch).unflatten(0, (-1, n_levels)) - x[:, None]
        place = LEVELS.index(_CODE_LEVEL)
        return found.transpose(0, 1), hidden.unflatten(0, (-1, n_levels))[:, place]

    @property
    def _encoder(self) -> MlpEncoder:
        encoder = self.network.encoder
        assert isinstance(encoder, MlpEncoder)
        return encoder

    @cached_property
    def _first(self) -> tuple[nn.Linear, nn.Linear]:
        """Best linear guesses at all levels, and the first layer of them: both linear in a row."""
        network, n_values = self.network, len(self.covariance)
        probes = torch.cat([torch.zeros(1, n_values), torch.eye(n_values)]).double()
        told = Batch(
            probes.repeat_interleave(len(LEVELS), 0),
            level=_said().double().repeat(len(probes), 1),
        )
        shrink = copy.deepcopy(network.shrink)
        assert shrink is not None
        batch = guessed(Guess(None, shrink.double(), False, True, network.first_values), told)
        assert batch.told is not None
        layer = self._encoder.layers[0]
        assert isinstance(layer, nn.Linear)
        inputs = torch.cat([batch.x, batch.told], 1)
        first = inputs @ layer.weight.double().T + layer.bias.double()
        return _through(batch.x, len(probes)), _through(first, len(probes))

    def to_file(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return header and tensors."""
        made_of = _composition(len(self.covariance))
        tensors = {f"network.{k}": v.numpy() for k, v in self.network.state_dict().items()}
        return {"composition": made_of.header()}, tensors

    @classmethod
    def from_file(
        cls, header: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], covariance: Array
    ) -> Restorer:
        """Rebuild it."""
        composition = Composition.from_header(header["composition"], ())
        network = composition.network(len(covariance))
        weights = {
            name.removeprefix("network."): torch.from_numpy(part)
            for name, part in tensors.items()
            if name.startswith("network.")
        }
        network.load_state_dict(weights, strict=True, assign=True)
        network.shrink = Shrink(torch.from_numpy(covariance)).to(torch.float32)
        return cls(network.eval().requires_grad_(False), covariance)


def fit_restorer(values: Array, covariance: Array, seed: int, max_epochs: Any) -> Restorer:
    """Train a network to take noise of many strengths out of rows.

    It starts as the Wiener filter; training ends when held-out rows are restored no better.

    Parameters
    ----------
    values : ndarray of shape (n, n_values)
        Scaled rows without missing values.
    covariance : ndarray of shape (n_values, n_values)
        Of the values.
    seed : int
        The only source of randomness.
    max_epochs : "auto" or int
        Passes over the rows; "auto" is about 400 steps.
    """
    generator = np.random.default_rng(seed)
    rng = torch.Generator().manual_seed(int(generator.integers(2**62)))
    composition = _composition(values.shape[1])
    network = composition.network(values.shape[1], rng)
    network.shrink = Shrink(torch.from_numpy(covariance))
    network.start_linear(linear_start(_principal(covariance)))
    network.to(torch.float32)
    order = generator.permutation(len(values))
    n_held = min(round(_HELD_OUT * len(values)), _MOST_HELD_OUT)
    rows = torch.from_numpy(values).to(torch.float32)
    training, held = rows[order[n_held:]], rows[order[: n_held or len(order)]]
    _train(network, composition, training, held, rng, max_epochs)
    return Restorer(network.eval().requires_grad_(False), covariance)


def _train(
    network: Network,
    composition: Composition,
    training: Tensor,
    held: Tensor,
    rng: torch.Generator,
    max_epochs: Any,
) -> None:
    corrupt = composition.corrupter()
    assert corrupt is not None

    def prepare(batch: Batch, rng: torch.Generator) -> Batch:
        with torch.no_grad():
            return guessed(network, corrupt(batch, rng))

    judged = prepare(Batch(held), rng)

    def evaluate() -> float:
        with torch.inference_mode():
            move = restored(network, _mean(network, judged), judged) - held
        return float(move.square().mean())

    size = defaults.batch_size("auto", len(training))
    batches = TensorBatches(training, None, size, prepare=prepare)
    epochs = max(3, -(-_STEPS // batches.n_steps))
    if max_epochs != "auto":
        epochs = int(defaults.positive("max_epochs", max_epochs, whole=True))
    flat = FlatParameters(nn.ModuleList([network]))
    task = Task(
        flat,
        batches,
        choose_step([network], Objective(), flat),
        evaluate,
        retarget=partial(rescaled, network) if network.rescales else None,
    )
    settings = Settings(
        defaults.learning_rate("auto"),
        patience=max(_PATIENCE, epochs // 4),
        averaging=_AVERAGING,
    )
    try:
        with threads(1):
            train(task, settings=settings, budget=Budget(epochs), rng=rng, history=History())
    finally:
        flat.release()


def _said() -> Tensor:
    """Return gain and variance of every level, ``(n_levels, 2)``."""
    return torch.tensor([[1.0, level * level] for level in LEVELS])


def _through(values: Tensor, n_probes: int) -> nn.Linear:
    """Return what is linear and gives these values, in float32, at zero and at all unit rows."""
    rows = values.reshape(n_probes, -1)
    result = nn.Linear(n_probes - 1, rows.shape[1], device="meta")
    result.weight = nn.Parameter((rows[1:] - rows[0]).T.float().contiguous(), requires_grad=False)
    result.bias = nn.Parameter(rows[0].float(), requires_grad=False)
    return result


def _composition(n_values: int) -> Composition:
    width = min(_WIDEST, defaults.hidden_layer_sizes("auto", n_values)[0])
    return Composition(
        architecture="mlp",
        bottleneck="plain",
        corruption=f"gaussian:level={list(_LEARNED)}",
        likelihood="gaussian",
        penalties=(),
        hidden_layer_sizes=(width, width),
        sample_shape=(n_values,),
        nested=False,
        noisy=True,
    )


def _principal(covariance: Array) -> PrincipalComponents:
    variances, axes = np.linalg.eigh(covariance)
    order = np.argsort(variances)[::-1]
    kept = np.maximum(variances[order], 1e-6)
    return PrincipalComponents(np.zeros(len(kept)), np.ascontiguousarray(axes.T[order]), kept)


def _mean(network: Network, batch: Batch) -> Tensor:
    return network.likelihood.mean(network(batch, Context()).params)
