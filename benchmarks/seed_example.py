"""The first example of every book: 1,000 points near a plane, 3 -> 2 -> 3, linear.

A linear autoencoder's optimum is PCA, so every contestant is judged by how far its
reconstruction error on all rows is above PCA's, and by the seconds of its fit.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from contest import run
from harness import (
    alternate,
    finish,
    median,
    parser,
    print_table,
    ratio,
    request_of_parent,
    run_child,
)
from ours import estimator
from workloads import plane

OURS = "autoencode"
PEERS = ("torch tutorial", "keras jax", "keras tensorflow", "keras torch")


def squared_error(X: Any, reconstruction: Any) -> float:
    """Return the mean over all values of the squared difference, in float64."""
    return float(np.mean(np.square(np.asarray(reconstruction, np.float64) - X)))


def pca_optimum(X: Any) -> float:
    """Return the least error of any two linear components, in float64."""
    centred = X - X.mean(0)
    return float(np.linalg.svd(centred, compute_uv=False)[2] ** 2 / X.size)


def child() -> None:
    """Fit ours in a fresh process; its very first fit is timed, and four more."""
    threads = request_of_parent()["threads"]
    choices = {"n_threads": threads} if threads else {}
    X = plane()
    seconds = []
    for _ in range(5):
        model = estimator(2, hidden_layer_sizes=(), random_state=0, **choices)
        started = time.perf_counter()
        model.fit(X)
        seconds.append(time.perf_counter() - started)
    error = squared_error(X, model.reconstruct(X))
    print("\n" + json.dumps({"errors": [error], "seconds": [seconds[0]], "all_fits": seconds}))


def summarise(answers: dict[str, list[dict[str, Any]]]) -> None:
    """Print one row per contestant."""
    optimum = pca_optimum(plane())
    # The tutorials' rows are float32, so their optimum is that of float32 rows.
    optimum_single = pca_optimum(plane().astype(np.float32).astype(np.float64))
    rows: list[list[Any]] = []
    own = [run.get("seconds", [None])[-1] for run in answers[OURS]]
    for name, runs in answers.items():
        seconds = [run.get("seconds", [None])[-1] for run in runs]
        error = median([run.get("errors", [None])[-1] for run in runs])
        least = optimum if name == OURS else optimum_single
        excess = None if error is None else error / least - 1
        note = runs[0].get("error", "")[:48]
        rows.append([name, error, excess, median(seconds), ratio(seconds, own), note])
    rows.append(["PCA (optimum)", optimum, 0.0, None, None, ""])
    print_table(
        "3 -> 2 -> 3, linear, 1,000 points",
        ["contestant", "MSE", "above PCA, relative", "fit seconds", "x ours", "note"],
        rows,
    )
    warm = median([median(run.get("all_fits", [None])[1:] or [None]) for run in answers[OURS]])
    if warm is not None:
        print(f"\nours, a further fit in the same process: {warm:.4g} s")


def main() -> None:
    """Run everybody and print one table."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument("--epochs", type=int, default=200, help="for the tutorials")
    options.add_argument("--batch", type=int, default=32, help="for the tutorials")
    options.add_argument("--learning-rate", type=float, default=0.1, help="of their SGD")
    arguments = options.parse_args()
    epochs = 3 if arguments.quick else arguments.epochs

    def measure(name: str, number: int) -> dict[str, Any]:
        if name == OURS:
            return run_child(
                Path(__file__).name,
                {"threads": arguments.threads},
                {},
                threads=arguments.threads,
                limit=300,
            )
        return run(
            name,
            "plane",
            arguments,
            epochs=epochs,
            batch=arguments.batch,
            seed=number,
            optimizer="sgd",
            learning_rate=arguments.learning_rate,
        )

    answers = alternate((OURS, *PEERS), arguments.rounds, measure)
    summarise(answers)
    finish("seed_example", arguments, answers)


if __name__ == "__main__":
    child() if "--child" in sys.argv else main()
