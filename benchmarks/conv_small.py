"""With 200 training pictures: test error over training error, beside PCA's test error.

Digits of scikit-learn and the first pictures of MNIST, each fit with other pictures.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from harness import finish, parser, print_table, progress
from picture_sets import load_pictures, mean_squared


def pictures_of(name: str, arguments: argparse.Namespace, seed: int) -> tuple[Any, Any]:
    """Return pictures to train on and test pictures, in 0 to 255."""
    rng = np.random.default_rng(seed)
    if name == "digits":
        from sklearn.datasets import load_digits

        every = load_digits().images * (255 / 16)
        order = rng.permutation(len(every))
        return every[order[: arguments.pictures]], every[order[arguments.pictures :]]
    train, _ = load_pictures(name, arguments.data, test=False)
    test, _ = load_pictures(name, arguments.data, test=True)
    chosen = rng.choice(len(train), arguments.pictures, replace=False)
    return train[np.sort(chosen)].astype(np.float64), test[:2000].astype(np.float64)


def pca_error(train: Any, test: Any, size: int) -> float:
    """Return the test error of scikit-learn's PCA of the same pictures."""
    from sklearn.decomposition import PCA

    flat = [part.reshape(len(part), -1) for part in (train, test)]
    model = PCA(size, svd_solver="full").fit(flat[0])
    return mean_squared(model.inverse_transform(model.transform(flat[1])), flat[1])


def measure(arguments: argparse.Namespace) -> None:
    """Fit to every set, with every length and seed; print one row each."""
    from autoencode import ConvolutionalAutoencoder

    rows: list[list[Any]] = []
    for name in arguments.sets:
        for size in arguments.sizes:
            for seed in range(arguments.rounds):
                train, test = pictures_of(name, arguments, seed)
                started = time.process_time()
                model = ConvolutionalAutoencoder(
                    size,
                    max_epochs=5 if arguments.quick else arguments.epochs,
                    n_threads=arguments.threads or "auto",
                    random_state=seed,
                ).fit(train)
                seconds = time.process_time() - started
                errors = [mean_squared(model.reconstruct(part), part) for part in (train, test)]
                linear = pca_error(train, test, size)
                kind = "network" if model.gate_ else "PCA"
                moved = model._state.facts["augmentation"]
                rows.append([name, size, seed, kind, moved, *errors])
                rows[-1] += [errors[1] / errors[0], errors[1] / linear, seconds]
                progress(" ".join(map(str, rows[-1])))
    names = ["pictures", "size", "seed", "model", "moved", "train MSE", "test MSE"]
    names += ["test / train", "x PCA", "CPU seconds"]
    print_table(f"{arguments.pictures} pictures to train on", names, rows)
    finish("conv_small", arguments, {"rows": rows})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=2)
    options.add_argument("--sets", nargs="+", default=["digits", "mnist"])
    options.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    options.add_argument("--pictures", type=int, default=200, help="to train on")
    options.add_argument("--epochs", type=int, default=150)
    measure(options.parse_args())


if __name__ == "__main__":
    main()
