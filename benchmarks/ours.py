"""This library as a contestant: the only file that knows its estimator.

What the public interface does not promise is gathered here: how a random start is
asked for (`RANDOM_START`), how the columns of ``history_`` become seconds and mean
squared errors (`points`), and what is timed as encoding (`encoder_of`).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from peers import Contestant, Record, Task, mean_squared_error

RELU = "mlp:activation='relu'"
RANDOM_START = "mlp:activation='relu',start='random'"
"""The architecture that does not start as PCA."""

WHOLE_FIT_EPOCHS = (1, 2, 3, 5, 8, 13, 20, 30)
"""Budgets tried, shortest first, where whole fits are timed."""

OWN_EPOCHS = 20
"""Epochs of one fit: as many as the tutorial has, so that the learning rate has
fallen by then."""


def estimator(*args: Any, **choices: Any) -> Any:
    """Return `autoencode.Autoencoder`, imported here so that others run without it."""
    from autoencode import Autoencoder

    return Autoencoder(*args, **choices)


def same_widths(task: Task, architecture: str, **choices: Any) -> Any:
    """Return an estimator with the contestants' widths, batch and activation."""
    if task.threads:
        choices["n_threads"] = task.threads
    return estimator(
        task.widths[-1],
        hidden_layer_sizes=task.widths[1:-1],
        architecture=architecture,
        nested=False,
        batch_size=task.batch,
        random_state=task.seed,
        **choices,
    )


class Autoencode(Contestant):
    """One fit; seconds and errors of every epoch come from ``history_``.

    Parameters
    ----------
    architecture : str
        `RELU` (from the PCA start) or `RANDOM_START`.
    """

    needs = ("autoencode",)

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture

    def fit(self, task: Task, record: Record) -> None:
        """Fit once, then translate the history."""
        epochs = min(task.epochs, OWN_EPOCHS)
        model = same_widths(task, self.architecture, max_epochs=epochs)
        started = time.perf_counter()
        model.fit(task.X, X_held_out=task.held_out)
        wall = time.perf_counter() - started
        error = mean_squared_error(task.held_out, model.reconstruct)
        record.seconds, record.errors = points(model, wall, error)
        record.notes = {
            "whole fit seconds": wall,
            "whole fit error": error,
            "gate": getattr(model, "gate_", None),
            "stop": getattr(model, "stop_reason_", None),
        }


def points(model: Any, wall: float, error: float) -> tuple[list[float], list[float]]:
    """Return seconds and mean squared errors after every epoch of a fit.

    Parameters
    ----------
    model : Autoencoder
        Fitted with ``X_held_out`` and ``nested=False``.
    wall : float
        Seconds that ``fit`` took in all.
    error : float
        The fitted model's mean squared error on the held-out rows, measured from
        outside through ``reconstruct``.

    Returns
    -------
    tuple of (list, list)
        Seconds: the history's, plus everything that ``fit`` did outside its loop
        (reading, PCA, gate), which is counted as if it had all come first; the loop's
        own held-out evaluations are counted too. Errors: the history's, times the
        factor that makes its best one (whose weights ``fit`` keeps) the error
        measured from outside.
    """
    history = model.history_
    seconds, held_out = list(history["seconds"]), list(history["held_out"])
    outside = wall - seconds[-1]
    factor = error / min(held_out)
    return [outside + value for value in seconds], [factor * value for value in held_out]


class AutoencodeWholeFit(Contestant):
    """Whole fits with growing budgets of epochs; each is timed from outside, alone.

    Nothing here relies on the history: seconds are ``fit``'s wall time, errors are
    measured through ``reconstruct``. The held-out rows are not shown to ``fit``.
    """

    needs = ("autoencode",)

    def fit(self, task: Task, record: Record) -> None:
        """Try one budget after the other until the target is reached."""
        for epochs in WHOLE_FIT_EPOCHS:
            if epochs > task.epochs:
                return
            model = same_widths(task, RELU, max_epochs=epochs)
            started = time.perf_counter()
            model.fit(task.X)
            record.seconds.append(time.perf_counter() - started)
            record.errors.append(mean_squared_error(task.held_out, model.reconstruct))
            record.notes = {"epochs": epochs, "gate": getattr(model, "gate_", None)}
            if record.reached or sum(record.seconds) > record.max_seconds:
                return


def encoder_of(task: Task) -> tuple[Any, Any]:
    """Return a fitted estimator and its encoder as a torch module for scaled rows.

    Raises
    ------
    RuntimeError
        If the fit fell back to PCA, so that ``transform`` would not run the network.
    """
    model = same_widths(task, RELU, max_epochs=task.epochs)
    model.fit(task.X)
    if getattr(model, "gate_", 1) == 0:
        raise RuntimeError("the fit fell back to PCA: its transform runs no network")
    return model, model.encoder_


def first_batch_error(model: Any, encoder: Any, X: Any) -> float:
    """Return the largest difference between ``transform`` and the module on raw rows.

    Large where the module expects rows that are scaled already; its time is the same.
    """
    import torch

    with torch.inference_mode():
        codes = encoder(torch.from_numpy(X[:256])).numpy()
    return float(np.abs(model.transform(X[:256]) - codes).max())


OURS: dict[str, Contestant] = {
    "autoencode": Autoencode(RELU),
    "autoencode random": Autoencode(RANDOM_START),
    "autoencode whole fit": AutoencodeWholeFit(),
}
