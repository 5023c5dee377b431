"""Test error of pictures with 64 components: convolutional, dense and PCA.

Pixels in [0, 1]; errors are mean squared errors per pixel over the 10,000 test pictures of MNIST
and Fashion-MNIST, which nothing in a fit sees.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import finish, parser, print_table, progress
from picture_sets import SETS, load_pictures, mean_squared

TARGETS = {"mnist": 0.0030, "fashion": 0.0070}


def pca_error(train: Any, test: Any, size: int) -> float:
    """Return the test error of scikit-learn's PCA."""
    from sklearn.decomposition import PCA

    flat = [part.reshape(len(part), -1).astype(np.float32) for part in (train, test)]
    model = PCA(size, svd_solver="covariance_eigh").fit(flat[0])
    return mean_squared(model.inverse_transform(model.transform(flat[1])), flat[1])


def fitted(kind: str, train: Any, arguments: argparse.Namespace, seed: int) -> tuple[Any, float]:
    """Return a fitted estimator and the seconds that ``fit`` took."""
    import autoencode

    choices: dict[str, Any] = {"nested": False, "random_state": seed, "max_time": arguments.time}
    if arguments.threads:
        choices["n_threads"] = arguments.threads
    if arguments.quick:
        choices["max_epochs"] = 1
    estimator = getattr(autoencode, kind)(arguments.size, **choices)
    if arguments.verbose:
        estimator.set_params(verbose=True)
    started = time.perf_counter()
    estimator.fit(train)
    return estimator, time.perf_counter() - started


def measure(arguments: argparse.Namespace) -> None:
    """Fit every kind to every set; print one row each."""
    rows: list[list[Any]] = []
    for name in arguments.sets:
        train, _ = load_pictures(name, arguments.data, test=False)
        test, _ = load_pictures(name, arguments.data, test=True)
        if arguments.quick:
            train, test = train[:2000], test[:500]
        error = pca_error(train, test, arguments.size)
        rows.append([name, "PCA", error, TARGETS[name], None, None, None])
        for number in range(arguments.rounds):
            for kind in arguments.kinds:
                progress(f"{name}: {kind}")
                cpu = time.process_time()
                model, seconds = fitted(kind, train, arguments, number)
                cpu = time.process_time() - cpu
                error = mean_squared(model.reconstruct(test, clip=False), test)
                rows.append([name, kind, error, TARGETS[name], seconds, cpu, model.n_iter_])
                progress(f"{name}: {kind} {error:.5f}")
                if arguments.save:
                    model.save(arguments.save / f"{name}-{kind}.model")
    names = ["pictures", "model", "test MSE", "target", "seconds", "CPU seconds", "epochs"]
    print_table(f"{arguments.size} components", names, rows)
    finish("conv_quality", arguments, {"rows": rows})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options.add_argument(
        "--kinds",
        nargs="+",
        default=["ConvolutionalAutoencoder", "Autoencoder"],
        help="estimators of autoencode",
    )
    options.add_argument("--size", type=int, default=64, help="components")
    options.add_argument("--time", type=float, default=600.0, help="seconds for each fit")
    options.add_argument("--save", type=Path, help="folder for the models")
    options.add_argument("--verbose", action="store_true")
    measure(options.parse_args())


if __name__ == "__main__":
    main()
