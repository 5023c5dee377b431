"""MNIST: test error in a given time, at one size and for all sizes from one fit.

Pixels in [0, 1]; errors are mean squared errors per pixel over the 10,000 test images,
which nothing in a fit sees. Beside them is scikit-learn's PCA of the same 60,000.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from harness import finish, parser, print_table, progress
from ours import estimator
from peers import mean_squared_error
from workloads import Workload, load

NESTED = {"auto": "auto", "yes": True, "no": False}


def pca_errors(workload: Workload, sizes: list[int]) -> dict[int, float]:
    """Return the test error of PCA cut to each size."""
    from sklearn.decomposition import PCA

    model = PCA(max(sizes), svd_solver="covariance_eigh").fit(workload.train)
    codes = model.transform(workload.held_out)
    errors = {}
    for size in sizes:
        back = codes[:, :size] @ model.components_[:size] + model.mean_
        errors[size] = mean_squared_error(workload.held_out, lambda X, back=back: back)
    return errors


def fitted(workload: Workload, **choices: Any) -> tuple[Any, float]:
    """Return a fitted estimator and the seconds that ``fit`` took."""
    model = estimator(**choices)
    started = time.perf_counter()
    model.fit(workload.train)
    return model, time.perf_counter() - started


def describe(model: Any, seconds: float, budget: float) -> dict[str, Any]:
    """Return what a fit says about itself."""
    return {
        "budget": budget,
        "seconds": seconds,
        "epochs": getattr(model, "n_iter_", None),
        "stop": getattr(model, "stop_reason_", None),
    }


def errors_at(model: Any, workload: Workload, sizes: list[int]) -> dict[int, float]:
    """Return the test error of a fitted model cut to each size."""
    errors = {}
    for size in sizes:
        cut = model if size == model.n_components_ else model.truncate(size)
        errors[size] = mean_squared_error(workload.held_out, cut.reconstruct)
    return errors


def measure(arguments: argparse.Namespace) -> None:
    """Make every fit that the arguments ask for and print the table."""
    workload = load("mnist", arguments.data, quick=arguments.quick)
    sizes, largest = sorted(arguments.sizes), max(arguments.sizes)
    pca = pca_errors(workload, sizes)
    rows: list[list[Any]] = [["PCA", size, pca[size], 1.0, None, None] for size in sizes]
    fits: list[dict[str, Any]] = []
    plan = [(budget, NESTED[arguments.fixed_nested], [largest]) for budget in arguments.times]
    plan += [(budget, True, sizes) for budget in arguments.nested_times]
    common: dict[str, Any] = {"n_threads": arguments.threads} if arguments.threads else {}
    for number in range(arguments.rounds):
        for budget, nested, wanted in plan:
            kind = f"{'all sizes' if len(wanted) > 1 else 'one size'}, {budget:.0f} s"
            progress(f"round {number + 1}/{arguments.rounds}: {kind}")
            model, seconds = fitted(
                workload,
                n_components=largest,
                nested=nested,
                max_time=budget,
                random_state=number,
                **common,
            )
            fit = describe(model, seconds, budget)
            errors = errors_at(model, workload, wanted)
            rows += [
                [kind, size, error, error / pca[size], seconds, fit["epochs"]]
                for size, error in errors.items()
            ]
            fits.append({"kind": kind, "seed": number, **fit, "errors": errors})
    print_table(
        f"mnist, {len(workload.train):,} images to train on",
        ["fit", "size", "test MSE", "x PCA", "fit seconds", "epochs"],
        rows,
    )
    finish("mnist_quality", arguments, {"pca": pca, "fits": fits})


def main() -> None:
    """Fit for every budget; print one row per model and size."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument(
        "--times",
        type=float,
        nargs="*",
        default=[240, 600],
        help="seconds for one fit at the largest size each",
    )
    options.add_argument(
        "--nested-times",
        type=float,
        nargs="*",
        default=[240],
        help="seconds for one fit of all sizes each",
    )
    options.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32, 64])
    options.add_argument(
        "--fixed-nested",
        choices=list(NESTED),
        default="auto",
        help="the estimator's nested= where one size is fitted",
    )
    arguments = options.parse_args()
    if arguments.quick:
        arguments.times, arguments.nested_times = [5.0], [5.0]
    measure(arguments)


if __name__ == "__main__":
    main()
