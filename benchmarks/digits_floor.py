"""digits: test error over PCA's at every code size, and what choosing the size costs.

For each seed a quarter of the rows is set aside and seen by nothing. One nested fit at
48 components is cut to every size and set against scikit-learn's PCA of the same size,
fitted to the same training rows. Then the size that ``Autoencoder()`` chooses is set
against a model trained for that size alone in the same time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from harness import finish, parser, print_table, progress
from ours import estimator

Rows = NDArray[np.float64]


def split(seed: int) -> tuple[Rows, Rows]:
    """Return training and test rows, a quarter of each digit in the latter."""
    X, labels = load_digits(return_X_y=True)
    train, test = train_test_split(X, test_size=0.25, stratify=labels, random_state=seed)
    return train, test


def row_errors(test: Rows, reconstruction: Any) -> Rows:
    """Return the mean squared error of every row."""
    return np.mean(np.square(np.asarray(reconstruction, np.float64) - test), axis=1)


def timed_fit(train: Rows, *args: Any, **choices: Any) -> tuple[Any, float]:
    """Return a fitted estimator and the seconds that ``fit`` took."""
    model = estimator(*args, **choices)
    started = time.perf_counter()
    model.fit(train)
    return model, time.perf_counter() - started


def compare(ours: Rows, theirs: Rows) -> dict[str, float]:
    """Return the ratio of mean errors and the standard error of their paired difference.

    The latter is the deviation of the differences by row over the square root of the
    number of rows, as a share of the second mean error.
    """
    spread = np.std(ours - theirs, ddof=1) / np.sqrt(len(ours))
    return {
        "ours": float(ours.mean()),
        "theirs": float(theirs.mean()),
        "ratio": float(ours.mean() / theirs.mean()),
        "standard_error": float(spread / theirs.mean()),
    }


def floor_of_seed(seed: int, sizes: Sequence[int], **choices: Any) -> dict[str, Any]:
    """Return, per size, how one nested fit compares with PCA."""
    train, test = split(seed)
    progress(f"seed {seed}: {max(sizes)} components, nested")
    model, seconds = timed_fit(train, max(sizes), random_state=seed, **choices)
    result = {}
    for size in sizes:
        cut = model if size == max(sizes) else model.truncate(size)
        pca = PCA(size, svd_solver="full").fit(train)
        theirs = pca.inverse_transform(pca.transform(test))
        result[size] = compare(row_errors(test, cut.reconstruct(test)), row_errors(test, theirs))
    return {"seconds": seconds, "sizes": result}


def chosen_of_seed(seed: int, other_sizes: Sequence[int], **choices: Any) -> dict[str, Any]:
    """Return how the chosen size, and others, compare with models trained for them alone."""
    train, test = split(seed)
    progress(f"seed {seed}: the size is chosen")
    chosen, seconds = timed_fit(train, random_state=seed, **choices)
    result: dict[str, Any] = {"n_components": chosen.n_components_, "seconds": seconds, "sizes": {}}
    for size in (chosen.n_components_, *other_sizes):
        if size > chosen.n_components_ or size in result["sizes"]:
            continue
        progress(f"seed {seed}: {size} components alone, {seconds:.1f} s at most")
        alone, alone_seconds = timed_fit(
            train, size, nested=False, max_time=seconds, random_state=seed, **choices
        )
        cut = chosen if size == chosen.n_components_ else chosen.truncate(size)
        figures = compare(
            row_errors(test, cut.reconstruct(test)), row_errors(test, alone.reconstruct(test))
        )
        result["sizes"][size] = {**figures, "alone_seconds": alone_seconds}
    return result


def print_floor(found: dict[int, dict[str, Any]], sizes: Sequence[int]) -> None:
    """Print one row per size over all seeds."""
    rows = []
    for size in sizes:
        figures = [of_seed["sizes"][size] for of_seed in found.values()]
        ratios = [figure["ratio"] for figure in figures]
        # How far above 1, in standard errors, at the worst seed.
        above = max((f["ratio"] - 1) / max(f["standard_error"], 1e-12) for f in figures)
        error = float(np.mean([figure["standard_error"] for figure in figures]))
        rows.append([size, float(np.mean(ratios)), max(ratios), error, above])
    print_table(
        f"digits, {len(found)} seeds: test error over PCA's, by code size",
        ["size", "mean ratio", "max ratio", "standard error", "max (ratio - 1) / se"],
        rows,
    )
    means, worst = [row[1] for row in rows], [row[2] for row in rows]
    seconds = [of_seed["seconds"] for of_seed in found.values()]
    print(
        f"\nover all sizes: mean {np.mean(means):.4f}, worst {max(worst):.4f} "
        f"(at size {sizes[int(np.argmax(worst))]}); fit {np.median(seconds):.1f} s"
    )


def print_chosen(found: dict[int, dict[str, Any]]) -> None:
    """Print one row per seed and size."""
    rows = []
    for seed, of_seed in found.items():
        for size, figure in of_seed["sizes"].items():
            kind = "chosen" if size == of_seed["n_components"] else "cut to"
            rows.append(
                [
                    f"{seed}",
                    f"{kind} {size}",
                    figure["ours"],
                    figure["theirs"],
                    figure["ratio"],
                    figure["standard_error"],
                    of_seed["seconds"],
                    figure["alone_seconds"],
                ]
            )
    print_table(
        "one fit that chooses its size, over a model trained for that size alone",
        ["seed", "size", "one fit", "alone", "ratio", "standard error", "s, one fit", "s, alone"],
        rows,
    )


def main() -> None:
    """Fit with every seed and print both tables."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument(
        "--other-sizes",
        type=int,
        nargs="*",
        default=[2, 4, 8, 16],
        help="sizes besides the chosen one, each trained alone as well",
    )
    options.add_argument("--largest", type=int, default=48)
    options.add_argument("--skip", choices=["floor", "chosen"], help="leave one part out")
    arguments: argparse.Namespace = options.parse_args()
    seeds = range(1 if arguments.quick else arguments.rounds)
    choices: dict[str, Any] = {"max_epochs": 3} if arguments.quick else {}
    if arguments.threads:
        choices["n_threads"] = arguments.threads
    sizes = [4, 8, 16] if arguments.quick else list(range(1, arguments.largest + 1))
    result: dict[str, Any] = {}
    if arguments.skip != "floor":
        result["floor"] = {seed: floor_of_seed(seed, sizes, **choices) for seed in seeds}
        print_floor(result["floor"], sizes)
    if arguments.skip != "chosen":
        others = [] if arguments.quick else arguments.other_sizes
        result["chosen"] = {seed: chosen_of_seed(seed, others, **choices) for seed in seeds}
        print_chosen(result["chosen"])
    finish("digits_floor", arguments, result)


if __name__ == "__main__":
    main()
