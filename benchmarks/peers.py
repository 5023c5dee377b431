"""The contestants: how people fit an autoencoder without this library.

Every contestant has the same protocol: ``fit(task, record)`` builds and trains, and
calls ``record(reconstruct)`` after every epoch; the record stops its clock while it
measures the held-out error. All have the same widths, Adam at the same rate and the
same batch size; everything else is as the tutorial or the package has it.

``python benchmarks/peers.py --quick`` tries every contestant that is installed.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from harness import Stopwatch, finish, parser, print_table
from workloads import Rows, mirrored

Reconstruct = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Task:
    """What everybody is asked to do.

    Attributes
    ----------
    X, held_out : ndarray of float32
        Rows to train on and rows for the error that is reported.
    widths : tuple of int
        From the values to the code; the decoder mirrors them.
    epochs, batch : int
        Passes over the rows, rows per step.
    seed : int
        Starts every random generator.
    optimizer : str
        ``"adam"`` or ``"sgd"``.
    learning_rate : float
        Of that optimizer.
    threads : int or None
        How many may be used; None: the library's own choice.
    """

    X: Rows
    held_out: Rows
    widths: tuple[int, ...]
    epochs: int
    batch: int = 256
    seed: int = 0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    threads: int | None = None


class TrainingEndedError(Exception):
    """Raised out of a training loop that cannot be asked to stop."""


@dataclass
class Record:
    """Seconds of training and held-out error after every epoch.

    Attributes
    ----------
    task : Task
        For the held-out rows.
    target : float or None
        The mean squared error that ends the run.
    max_seconds : float
        Seconds of training that end the run.
    evaluate : bool
        Whether to measure errors at all (not where only the time matters).
    clock : Stopwatch
        Runs from before the model is built; stands while errors are measured.
    seconds, errors : list of float
        One per epoch; mean squared error per value.
    notes : dict
        Whatever else a contestant wants to tell.
    """

    task: Task
    target: float | None = None
    max_seconds: float = float("inf")
    evaluate: bool = True
    clock: Stopwatch = field(default_factory=Stopwatch)
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, reconstruct: Reconstruct) -> bool:
        """Note one epoch; return whether to stop here."""
        with self.clock.paused():
            self.seconds.append(self.clock.seconds)
            if self.evaluate:
                self.errors.append(mean_squared_error(self.task.held_out, reconstruct))
        return self.reached or self.seconds[-1] >= self.max_seconds

    @property
    def reached(self) -> bool:
        """Return whether the target is reached."""
        return bool(self.errors) and self.target is not None and self.errors[-1] <= self.target


def mean_squared_error(X: Rows, reconstruct: Reconstruct) -> float:
    """Return the mean over all values of the squared difference, summed in float64."""
    return float(np.mean(np.square(reconstruct(X).astype(np.float64) - X)))


class Contestant(ABC):
    """One way to fit an autoencoder.

    Attributes
    ----------
    environment : mapping of str to str
        Variables that its process needs.
    needs : tuple of str
        Packages that it imports.
    """

    environment: Mapping[str, str] = MappingProxyType({})
    needs: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, task: Task, record: Record) -> None:
        """Build and train, calling ``record`` after every epoch."""


class TutorialTorch(Contestant):
    """The PyTorch loop that everybody writes: DataLoader, Adam, ``loss.item()``."""

    needs = ("torch",)

    def fit(self, task: Task, record: Record) -> None:
        """Train, one epoch after the other."""
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        # Importing is not fitting.
        record.clock = Stopwatch()
        torch.manual_seed(task.seed)
        model = self.network(task.widths)
        rows = TensorDataset(torch.from_numpy(task.X))
        loader = DataLoader(rows, batch_size=task.batch, shuffle=True)
        optimizers = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        optimizer = optimizers[task.optimizer](model.parameters(), lr=task.learning_rate)
        criterion = torch.nn.MSELoss()
        for _ in range(task.epochs):
            running_loss = 0.0
            for (batch,) in loader:
                optimizer.zero_grad()
                loss = criterion(model(batch), batch)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            if record(lambda X: _torch_reconstruct(model, X)):
                return

    @staticmethod
    def network(widths: tuple[int, ...]) -> Any:
        """Return linear layers with ReLU between them, none on the code or the output."""
        from torch import nn

        parts: list[Any] = []
        for half in (widths, widths[::-1]):
            for place in range(len(half) - 1):
                parts.append(nn.Linear(half[place], half[place + 1]))
                if place < len(half) - 2:
                    parts.append(nn.ReLU())
        return nn.Sequential(*parts)


def _torch_reconstruct(model: Any, X: Rows) -> Rows:
    import torch

    with torch.no_grad():
        chunks = torch.from_numpy(X).split(4096)
        return torch.cat([model(chunk) for chunk in chunks]).numpy()  # type: ignore[no-any-return]


class TutorialKeras(Contestant):
    """The Keras tutorial: ``Sequential``, ``compile``, ``fit``.

    Parameters
    ----------
    backend : str
        ``"jax"``, ``"tensorflow"`` or ``"torch"``.
    """

    def __init__(self, backend: str) -> None:
        self.environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.needs = ("keras", backend)

    def fit(self, task: Task, record: Record) -> None:
        """Train with ``model.fit``."""
        import keras

        class AfterEpoch(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                self.model.stop_training = record(
                    lambda X: self.model.predict(X, batch_size=4096, verbose=0)
                )

        # Importing is not fitting.
        record.clock = Stopwatch()
        keras.utils.set_random_seed(task.seed)
        model = self.network(task.widths)
        optimizers = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
        model.compile(optimizer=optimizers[task.optimizer](task.learning_rate), loss="mse")
        model.fit(
            task.X,
            task.X,
            epochs=task.epochs,
            batch_size=task.batch,
            shuffle=True,
            verbose=0,
            callbacks=[AfterEpoch()],
        )

    @staticmethod
    def network(widths: tuple[int, ...]) -> Any:
        """Return dense layers with ReLU between them, none on the code or the output."""
        import keras

        linear = {len(widths) - 1, 2 * len(widths) - 2}
        layers = [
            keras.layers.Dense(width, activation=None if place in linear else "relu")
            for place, width in enumerate(mirrored(widths)[1:], start=1)
        ]
        return keras.Sequential([keras.Input((widths[0],)), *layers])


class PyodAutoEncoder(Contestant):
    """PyOD's AutoEncoder.

    Parameters
    ----------
    plain : bool
        False: its defaults (standardises again, batch norm, dropout 0.2, weight decay
        1e-5). True: all of these off, so that it trains the network of the others.
    """

    needs = ("pyod", "tqdm", "torch")

    def __init__(self, *, plain: bool) -> None:
        self.plain = plain

    def fit(self, task: Task, record: Record) -> None:
        """Train; its scoring of the training rows afterwards is not counted."""
        from pyod.models.auto_encoder import AutoEncoder

        class Watched(AutoEncoder):  # type: ignore[misc]
            def epoch_update(self) -> None:
                self.model.eval()
                stop = record(self.reconstruct)
                self.model.train()
                if stop or len(record.seconds) == task.epochs:
                    raise TrainingEndedError

            def reconstruct(self, X: Rows) -> Rows:
                if not self.preprocessing:
                    return _torch_reconstruct(self.model, X)
                scale = self.X_std + 1e-8
                scaled = ((X - self.X_mean) / scale).astype(np.float32)
                return _torch_reconstruct(self.model, scaled) * scale + self.X_mean

        choices: dict[str, Any] = {}
        if self.plain:
            choices = {
                "preprocessing": False,
                "batch_norm": False,
                "dropout_rate": 0.0,
                "optimizer_params": {"weight_decay": 0.0},
            }
        record.clock = Stopwatch()
        model = Watched(
            hidden_neuron_list=list(task.widths[1:]),
            batch_size=task.batch,
            epoch_num=task.epochs,
            lr=task.learning_rate,
            random_state=task.seed,
            verbose=0,
            **choices,
        )
        with suppress(TrainingEndedError):
            model.fit(task.X)


class SklearnRegressor(Contestant):
    """scikit-learn's ``MLPRegressor`` fitted to its own input, one epoch per call."""

    needs = ("sklearn",)

    def fit(self, task: Task, record: Record) -> None:
        """Train with ``partial_fit``; ReLU acts on the code too, there is no choice."""
        from sklearn.neural_network import MLPRegressor

        record.clock = Stopwatch()
        model = MLPRegressor(
            hidden_layer_sizes=mirrored(task.widths)[1:-1],
            activation="relu",
            solver=task.optimizer,
            batch_size=task.batch,
            learning_rate_init=task.learning_rate,
            random_state=task.seed,
        )
        for _ in range(task.epochs):
            model.partial_fit(task.X, task.X)
            if record(model.predict):
                return


PEERS: dict[str, Contestant] = {
    "torch tutorial": TutorialTorch(),
    "keras jax": TutorialKeras("jax"),
    "keras tensorflow": TutorialKeras("tensorflow"),
    "keras torch": TutorialKeras("torch"),
    "pyod": PyodAutoEncoder(plain=False),
    "pyod plain": PyodAutoEncoder(plain=True),
    "sklearn": SklearnRegressor(),
}


def installed(contestant: Contestant) -> bool:
    """Return whether all packages that a contestant needs can be found."""
    return all(importlib.util.find_spec(name) is not None for name in contestant.needs)


def main() -> None:
    """Try every contestant for a few epochs on one data set."""
    from contest import CONTESTANTS, run

    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--workload", default="table", help="shuttle, table or mnist")
    options.add_argument("--epochs", type=int, default=3)
    arguments = options.parse_args()
    rows, answers = [], {}
    for name in CONTESTANTS:
        answer = run(name, arguments.workload, arguments, epochs=arguments.epochs)
        answers[name] = answer
        if "error" in answer:
            rows.append([name, None, None, answer["error"][:60]])
        else:
            rows.append([name, answer["seconds"][-1], answer["errors"][-1], answer["note"]])
    print_table(
        f"{arguments.workload}: {arguments.epochs} epochs, set-up included",
        ["contestant", "seconds", "held-out MSE", "note"],
        rows,
    )
    finish("peers", arguments, answers)


if __name__ == "__main__":
    main()
