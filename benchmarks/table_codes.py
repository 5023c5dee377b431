"""Score of gradient boosting on codes of half as many columns, beside the table and PCA.

Every fold fits codes to its training rows without the target and boosts trees on them
(scikit-learn's HistGradientBoosting, defaults): on the raw columns with categories as
categories, on codes of `Autoencoder(n_components=k)` and on as many components of PCA
of the standardised and one-hot columns, k being half the number of columns, rounded
down. The tables were chosen before any result of them: both kinds of column and two classes
(credit_data: Status), both kinds and a number (diamonds: price), categories alone and
19 classes (Soybean: Class); later two more, few rows of both kinds (penguins: species) and
numbers alone (Satellite: classes).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from harness import print_table
from imputation_peers import Encoding
from table_sets import (
    Cells,
    Results,
    Values,
    cells_of,
    load_table,
    print_machine,
    table_parser,
    timed,
)

FOLDS = 5
Line = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is predicted from a table.

    Attributes
    ----------
    target : str
        The column.
    most_rows : int or None
        Rows, drawn by the seed; None: all.
    """

    target: str
    most_rows: int | None = None


TASKS = {
    "credit_data": Task("Status"),
    "diamonds": Task("price", 10_000),
    "Soybean": Task("Class"),
    "penguins": Task("species"),
    "Satellite": Task("classes"),
}


@dataclass(frozen=True)
class Fold:
    """One split of a table without its target.

    Attributes
    ----------
    table, cells : pyarrow.Table, Cells
        All rows.
    train, test : ndarray of int
        Places of the rows.
    n_components : int
        Length of a code.
    seed : int
        For whatever is random.
    """

    table: pa.Table
    cells: Cells
    train: np.ndarray
    test: np.ndarray
    n_components: int
    seed: int


def raw(fold: Fold) -> tuple[Values, Values]:
    """Return the columns as they are, categories as places of their levels."""
    return fold.cells.values[fold.train], fold.cells.values[fold.test]


def codes(fold: Fold) -> tuple[Values, Values]:
    """Return codes of our estimator, fitted to the training rows as a table."""
    from autoencode import Autoencoder

    model = Autoencoder(n_components=fold.n_components, random_state=fold.seed)
    model.fit(fold.table.take(fold.train))
    first, second = (model.transform(fold.table.take(rows)) for rows in (fold.train, fold.test))
    return np.asarray(first), np.asarray(second)


def pca(fold: Fold) -> tuple[Values, Values]:
    """Return principal components; a missing cell is the training rows' mean."""
    from sklearn.decomposition import PCA
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    training = Cells(fold.cells.names, fold.cells.levels, fold.cells.values[fold.train])
    encoding = Encoding.of(training)
    model = make_pipeline(SimpleImputer(), PCA(fold.n_components, random_state=fold.seed))
    first = model.fit_transform(encoding.to(training.values))
    return first, model.transform(encoding.to(fold.cells.values[fold.test]))


METHODS: dict[str, Callable[[Fold], tuple[Values, Values]]] = {
    "raw": raw,
    "pca": pca,
    "ours": codes,
}


def scores(
    train: Values, test: Values, target: np.ndarray, fold: Fold, categorical: Any
) -> dict[str, float]:
    """Boost trees on the training rows; return R², or accuracy and area under the curve."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    options = {"random_state": fold.seed, "categorical_features": categorical}
    truth = target[fold.test]
    if target.dtype.kind == "f":
        trees = HistGradientBoostingRegressor(**options).fit(train, target[fold.train])
        return {"R²": float(r2_score(truth, trees.predict(test)))}
    trees = HistGradientBoostingClassifier(**options).fit(train, target[fold.train])
    chances = trees.predict_proba(test)
    accuracy = np.mean(trees.classes_[chances.argmax(1)] == truth)
    if len(trees.classes_) == 2:
        area = roc_auc_score(truth, chances[:, 1])
    else:
        area = roc_auc_score(truth, chances, multi_class="ovr", labels=trees.classes_)
    return {"accuracy": float(accuracy), "AUC": float(area)}


def measure(name: str, seed: int, method: str, arguments: argparse.Namespace) -> Line:
    """Return the scores of all folds of a table with one method's columns."""
    from sklearn.model_selection import KFold, StratifiedKFold

    task = TASKS[name]
    table = load_table(name, arguments.data, seed, 600 if arguments.quick else task.most_rows)
    target = _target(table, task.target)
    table = table.drop_columns([task.target])
    cells = cells_of(table)
    splitter = KFold if target.dtype.kind == "f" else StratifiedKFold
    splits = splitter(FOLDS, shuffle=True, random_state=seed).split(cells.values, target)
    line: Line = {"rows": len(table), "columns": table.num_columns}
    line["n_components"] = table.num_columns // 2
    folds = []
    with timed(line):
        for train, test in splits:
            fold = Fold(table, cells, train, test, line["n_components"], seed)
            first, second = METHODS[method](fold)
            categorical = cells.categorical if method == "raw" else None
            folds.append(scores(first, second, target, fold, categorical))
    return {**line, "scores": {key: [one[key] for one in folds] for key in folds[0]}}


def _target(table: pa.Table, name: str) -> np.ndarray:
    """Return numbers as float64, levels as their places."""
    cells = cells_of(table.select([name]))
    values = cells.values[:, 0]
    return values if cells.levels[0] is None else values.astype(np.int64)


def report(runs: dict[tuple[str, str], list[Line]], methods: Sequence[str]) -> None:
    """Print mean scores over folds and seeds, and what share of the raw score they are."""
    rows = []
    for name in dict.fromkeys(table for table, _ in runs):
        some = runs[name, methods[0]][0]
        for metric in some["scores"]:
            means = {
                method: float(np.mean([line["scores"][metric] for line in runs[name, method]]))
                for method in methods
            }
            kept = [means[method] / means["raw"] if "raw" in means else None for method in methods]
            columns = f"{some['columns']} -> {some['n_components']}"
            rows.append([name, metric, columns, *means.values(), *kept])
    shares = [f"{method} / raw" for method in methods]
    print_table(
        "gradient boosting", ["table", "score", "columns -> codes", *methods, *shares], rows
    )
    rows = [
        [name, method, float(np.mean([line["seconds"] for line in lines]))]
        for (name, method), lines in runs.items()
    ]
    print_table(f"seconds of {FOLDS} folds, boosting included", ["table", "method", "s"], rows)


def main() -> None:
    """Measure every table, seed and method that the file does not have yet."""
    options = table_parser(__doc__.splitlines()[0], tuple(TASKS), seeds=1)
    options.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    arguments = options.parse_args()
    results = Results(arguments.json)
    runs: dict[tuple[str, str], list[Line]] = {}
    for name in arguments.tables:
        for seed in arguments.seeds:
            for method in arguments.methods:
                key = {"benchmark": "table_codes", "quick": arguments.quick}
                key |= {"table": name, "seed": seed, "method": method}
                line = results.get(key, partial(measure, name, seed, method, arguments))
                runs.setdefault((name, method), []).append(line)
    report(runs, arguments.methods)
    print_machine()


if __name__ == "__main__":
    main()
