"""Planted dictionaries: are parts, activity and the number of active units found?

Rows are sums of a few of 256 known parts in 64 dimensions (`sparse_tasks`). Ours are told
nothing but the number of components; plain top-k and scikit-learn's
MiniBatchDictionaryLearning are told the true number of active parts too; "size auto" is ours
without the number of components. scikit-learn gets as many processor seconds of fitting as our
default took, and of its two ways to codes the one with the
higher F1 counts.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.exceptions import ConvergenceWarning

from autoencode.dictionary_metrics import (
    active_units,
    agreement,
    dead_units,
    dense_units,
    detection_f1,
    mean_max_cosine,
)
from autoencode.metrics import variance_explained
from harness import print_table
from sparse_tasks import TASKS, Planted, planted
from table_sets import Results, installed_ours, print_machine, timed

Line = dict[str, Any]

DEFAULT, AUTO, PLAIN, SKLEARN = "default", "size auto", "top-k", "sklearn"
METHODS = (DEFAULT, AUTO, PLAIN, SKLEARN)
FIGURES = (
    "F1",
    "correlation",
    "components",
    "dead share",
    "active / true",
    "variance explained",
    "core seconds",
)

UNKNOWN_SECONDS = 60.0
"""What scikit-learn gets where ours was not measured."""

BATCH = 512
PENALTIES = (0.1, 0.3)
"""Lasso penalties on scikit-learn's codes that are tried beside matching pursuit."""


def ours(task: Planted, seed: int, size: Any, **choices: Any) -> tuple[Line, Any, Any]:
    """Fit our estimator; return its facts, the codes of the test rows and the parts."""
    from autoencode import SparseAutoencoder  # type: ignore[attr-defined, unused-ignore]

    line: Line = {}
    with timed(line):
        model = SparseAutoencoder(n_components=size, random_state=seed, **choices)
        model.fit(task.train)
    line["chosen"] = float(model.n_active_)
    line["variance explained"] = variance_explained(task.test, model.reconstruct(task.test))
    return line, model.transform(task.test), model.components_


def default(task: Planted, seed: int, seconds: float) -> tuple[Line, Any, Any]:
    """Return what a user gets who asks for nothing."""
    return ours(task, seed, task.n_components)


def sized(task: Planted, seed: int, seconds: float) -> tuple[Line, Any, Any]:
    """Return what a user gets who does not even say how many parts there are."""
    return ours(task, seed, "auto")


def plain(task: Planted, seed: int, seconds: float) -> tuple[Line, Any, Any]:
    """Return what a usual top-k autoencoder finds that was told the number of active parts."""
    choices = {"n_active": round(task.active), "bottleneck": "topk", "refine": None}
    return ours(task, seed, task.n_components, **choices)


def dictionary_learning(task: Planted, seed: int, seconds: float) -> tuple[Line, Any, Any]:
    """Return what scikit-learn finds in these seconds of fitting."""
    rng = np.random.default_rng(seed)
    model = MiniBatchDictionaryLearning(
        task.n_components,
        alpha=PENALTIES[0],
        fit_algorithm="cd",
        positive_code=True,
        batch_size=BATCH,
        random_state=seed,
    )
    line: Line = {"steps": 0}
    with timed(line):
        end = time.process_time() + seconds
        while time.process_time() < end:
            rows = task.train[rng.integers(0, len(task.train), BATCH)]
            model.partial_fit(rows)
            line["steps"] += 1
    parts = model.components_
    count = max(1, round(task.active))
    tried = [partial(sparse_encode, algorithm="omp", n_nonzero_coefs=count)]
    for penalty in PENALTIES:
        tried.append(partial(sparse_encode, algorithm="lasso_cd", alpha=penalty, positive=True))
    codes = max(
        (encode(task.test, parts) for encode in tried),
        key=lambda found: detection_f1(found, parts, task.codes, task.parts),
    )
    line["chosen"] = float(active_units(codes).mean())
    line["variance explained"] = variance_explained(task.test, codes @ parts)
    return line, codes, parts


FITS: dict[str, Callable[[Planted, int, float], tuple[Line, Any, Any]]] = {
    DEFAULT: default,
    AUTO: sized,
    PLAIN: plain,
    SKLEARN: dictionary_learning,
}


def measure(name: str, seed: int, method: str, seconds: float, *, quick: bool) -> Line:
    """Return every figure of one method on one task."""
    task = planted(name, seed, quick=quick)
    line, codes, parts = FITS[method](task, seed, seconds)
    true = task.active
    return {
        **line,
        "F1": detection_f1(codes, parts, task.codes, task.parts),
        "correlation": agreement(parts, task.parts),
        "mean max cosine": mean_max_cosine(parts, task.parts),
        "components": len(parts),
        "dead share": float(dead_units(codes).mean()),
        "dense share": float(dense_units(codes).mean()),
        "true": true,
        "active / true": line["chosen"] / true,
    }


def report(runs: dict[str, dict[str, list[Line]]]) -> None:
    """Print every figure of every run, then the means over seeds."""
    for task, of in runs.items():
        rows = [
            [method, line["seed"], *(line[figure] for figure in FIGURES)]
            for method, lines in of.items()
            for line in lines
        ]
        print_table(f"{task}: every seed", ["method", "seed", *FIGURES], rows)
    rows = [
        [task, method, *(float(np.mean([line[figure] for line in lines])) for figure in FIGURES)]
        for task, of in runs.items()
        for method, lines in of.items()
    ]
    print_table("means over seeds", ["task", "method", *FIGURES], rows)


def run(
    tasks: Sequence[str], seeds: Sequence[int], methods: Sequence[str], arguments: Any
) -> dict[str, dict[str, list[Line]]]:
    """Measure every task, seed and method that the file does not have yet."""
    results = Results(arguments.json)
    runs: dict[str, dict[str, list[Line]]] = {}
    for name in tasks:
        for seed in seeds:
            seconds = UNKNOWN_SECONDS / (20 if arguments.quick else 1)
            for method in methods:
                key = {"benchmark": "sparse_recovery", "quick": arguments.quick}
                key |= {"task": name, "seed": seed, "method": method}
                work = partial(measure, name, seed, method, seconds, quick=arguments.quick)
                line = results.get(key, work)
                if method == DEFAULT:
                    seconds = line["core seconds"]
                runs.setdefault(name, {}).setdefault(method, []).append(line)
    return runs


def main() -> None:
    """Measure what was asked for and print it."""
    # scikit-learn's lasso says so for gaps of 1e-7; its accuracy is beyond any figure here.
    warnings.simplefilter("ignore", ConvergenceWarning)
    options = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    options.add_argument("--quick", action="store_true", help="few rows: does it run at all?")
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    options.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options.add_argument(
        "--json", type=Path, help="file of JSON lines: what it has is not measured again"
    )
    arguments = options.parse_args()
    methods = [method for method in METHODS if method in arguments.methods]
    if not installed_ours("SparseAutoencoder"):
        print("autoencode.SparseAutoencoder: not installed, left out")
        methods = [method for method in methods if method == SKLEARN]
    report(run(arguments.tasks, arguments.seeds, methods, arguments))
    print_machine()


if __name__ == "__main__":
    main()
