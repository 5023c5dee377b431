"""Augmentation of few labelled rows: test accuracy without, with SMOTE and with ours.

A few rows of each class are labelled; up to 1,000 others test. "ours" uses the labelled
rows alone, its autoencoder the linear one: so few rows did not open the gate. "ours, with
unlabelled" fits the autoencoder to further rows without labels. Both add what
``measure_augmentation`` finds to help, or nothing. SMOTE adds as many rows as there are.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness import print_table
from table_sets import Results, print_machine, table_parser

TABLES = ("digits", "Satellite", "breast_cancer")
METHODS = ("none", "SMOTE", "ours", "ours, with unlabelled")
CLASSIFIERS = ("logistic regression", "random forest")
MOST_TEST, MOST_UNLABELLED = 1_000, 1_000
NEIGHBOURS = 5
"""SMOTE's default."""


@dataclass(frozen=True)
class Split:
    """Rows by use."""

    rows: NDArray[np.float64]
    labels: NDArray[Any]
    test_rows: NDArray[np.float64]
    test_labels: NDArray[Any]
    unlabelled: NDArray[np.float64]


def load(name: str, data: Path) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return rows and classes."""
    if name == "Satellite":
        table = pq.read_table(data / "Satellite.parquet")
        labels = np.array([str(value) for value in table["classes"].to_pylist()])
        columns = table.drop_columns(["classes"]).columns
        return np.column_stack([column.to_numpy() for column in columns]).astype(float), labels
    source = {"digits": load_digits, "breast_cancer": load_breast_cancer}[name]
    rows, labels = source(return_X_y=True)
    return rows, labels


def split(name: str, data: Path, per_class: int, seed: int) -> Split:
    """Draw labelled, test and unlabelled rows; the latter two are the same for all sizes."""
    rows, labels = load(name, data)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    # The first 50 of each class are never used for anything but as labelled rows.
    places = [order[labels[order] == label] for label in np.unique(labels)]
    rest = rng.permutation(np.concatenate([of_class[50:] for of_class in places]))
    test, unlabelled = rest[: min(MOST_TEST, len(rest) // 2)], rest[len(rest) // 2 :]
    labelled = np.concatenate([of_class[:per_class] for of_class in places])
    return Split(
        rows[labelled],
        labels[labelled],
        rows[test],
        labels[test],
        rows[unlabelled[:MOST_UNLABELLED]],
    )


def classifier(name: str, seed: int) -> Any:
    """Return a classifier that is not fitted."""
    if name == "random forest":
        return RandomForestClassifier(50, random_state=seed)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def smote(parts: Split, seed: int) -> tuple[Any, Any]:
    """Return the labelled rows and as many of SMOTE's, each class doubled."""
    from imblearn.over_sampling import SMOTE

    labels, counts = np.unique(parts.labels, return_counts=True)
    wanted = {label: 2 * int(count) for label, count in zip(labels, counts, strict=True)}
    sampler = SMOTE(sampling_strategy=wanted, k_neighbors=NEIGHBOURS, random_state=seed)
    rows, classes = sampler.fit_resample(parts.rows, parts.labels)
    return rows, classes


def ours(
    parts: Split, estimator: Any, seed: int, *, pool: bool, quick: bool
) -> tuple[Any, Any, dict[str, Any]]:
    """Return the labelled rows and what is measured to help, and what that was."""
    from autoencode import Autoencoder, measure_augmentation

    model = Autoencoder(hidden_layer_sizes=(), random_state=seed)
    if pool:
        model = Autoencoder(max_epochs=3 if quick else 40, random_state=seed).fit(parts.unlabelled)
    found = measure_augmentation(model, parts.rows, parts.labels, estimator, random_state=seed)
    fitted = model if pool else model.fit(parts.rows)
    rows, labels = found.enlarge(fitted, parts.rows, parts.labels, random_state=seed)
    facts = {
        "amount": found.amount,
        "kind": found.kind,
        "strength": found.strength,
        "measured gain": found.gain,
        "measured error": found.standard_error,
        "gate": fitted.gate_,
    }
    return rows, labels, facts


def measure(parts: Split, method: str, name: str, seed: int, *, quick: bool) -> dict[str, Any]:
    """Return the test accuracy of a classifier after one method, and its seconds."""
    estimator = classifier(name, seed)
    started, facts = time.perf_counter(), {}
    rows, labels = parts.rows, parts.labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "SMOTE":
            rows, labels = smote(parts, seed)
        elif method != "none":
            pool = method == METHODS[-1]
            rows, labels, facts = ours(parts, estimator, seed, pool=pool, quick=quick)
        estimator.fit(rows, labels)
    accuracy = float(estimator.score(parts.test_rows, parts.test_labels))
    return {"accuracy": accuracy, "seconds": time.perf_counter() - started, **facts}


def report(lines: list[dict[str, Any]], methods: list[str]) -> None:
    """Print mean accuracies by table, size and classifier, and over all."""
    groups: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for line in lines:
        cell = (line["table"], line["classifier"], line["per class"])
        for key in (cell, ("all", line["classifier"], "all"), ("all", "both", "all")):
            values = groups.setdefault(key, {method: [] for method in methods})
            values[line["method"]].append(100 * line["accuracy"])
    rows = []
    for key in sorted(groups, key=lambda key: (key[0] == "all", [str(part) for part in key])):
        means = [float(np.mean(groups[key][method])) for method in methods]
        rows.append([*key, *means])
    print_table("test accuracy, %", ["table", "classifier", "per class", *methods], rows)
    cells = [row for row in rows if row[0] != "all"]
    for method in methods[1:]:
        place = methods.index(method)
        worst = min(row[3 + place] - row[3] for row in cells)
        chosen = [line for line in lines if line["method"] == method and line.get("amount")]
        added = f"; rows added {len(chosen)} times" if method.startswith("ours") else ""
        print(f"{method}: at worst {worst:+.2f} points from none{added}")


def main() -> None:
    """Measure everything that the file does not have yet."""
    options = table_parser(__doc__.splitlines()[0], TABLES, seeds=3)
    options.add_argument("--sizes", nargs="+", type=int, default=[10, 20, 50], metavar="ROWS")
    options.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    arguments: argparse.Namespace = options.parse_args()
    sizes = arguments.sizes[:1] if arguments.quick else arguments.sizes
    seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
    results, lines = Results(arguments.json), []
    for seed in seeds:
        for name in arguments.tables:
            for size in sizes:
                parts = split(name, arguments.data, size, seed)
                for kind in CLASSIFIERS:
                    for method in arguments.methods:
                        key = {"benchmark": "augmentation", "quick": arguments.quick}
                        key |= {"table": name, "seed": seed, "per class": size}
                        key |= {"classifier": kind, "method": method}
                        work = partial(measure, parts, method, kind, seed, quick=arguments.quick)
                        lines.append(results.get(key, work))
    print(f"\n{len(seeds)} seeds")
    report(lines, arguments.methods)
    print_machine()


if __name__ == "__main__":
    main()
