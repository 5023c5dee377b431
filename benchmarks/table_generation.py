"""Rows drawn from six mixed tables: are they as useful as real ones, and can they be told?

For each table two thirds of the rows are learned from; as many are drawn. *Utility* is the
score of gradient boosting that was trained on drawn rows and is tested on the third that is
left (macro F1 of classes, R² of numbers), over the score of the same trained on real rows.
*AUC* is that of gradient boosting which tells drawn rows from that third, 0.5 if it cannot;
*memorisation* the chance that a drawn row lies nearer to a training row than one of that
third; and *copies* the share of drawn rows that are training rows, beside that of the third.

Rows with missing cells are left out, since SMOTE takes none; so are columns of which more than
a fifth is missing, and tail numbers, flight numbers and times as text of flights.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from generation_peers import PEERS
from harness import print_table
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

TARGETS = {
    "penguins": ("species", True),
    "credit_data": ("Status", True),
    "diamonds": ("price", False),
    "weather": ("temp", False),
    "Satellite": ("classes", True),
    "flights": ("arr_delay", False),
}
"""Which column is to be told from the others, and whether it is a class."""

NOT_USED = ("tailnum", "flight", "time_hour", "year")
MOST_ROWS = 3000
MODULES = {"smote": "imblearn", "tvae": "ctgan"}


def tables(name: str, data: Path, seed: int, *, quick: bool) -> tuple[pa.Table, pa.Table]:
    """Return the rows to learn from, and those that are left."""
    most = 300 if quick else MOST_ROWS
    table = load_table(name, data, seed, 2 * most)
    gone = [c for c in table.column_names if table[c].null_count > 0.2 * len(table)]
    if name == "flights":
        gone += [c for c in NOT_USED if c in table.column_names and c not in gone]
    table = table.drop_columns(gone).drop_null().combine_chunks().slice(0, most)
    order = np.random.default_rng([seed, 7]).permutation(len(table))
    cut = 2 * len(table) // 3
    first, second = (table.take(np.sort(part)) for part in (order[:cut], order[cut:]))
    return first.combine_chunks(), second.combine_chunks()


def ours(table: pa.Table, target: str, *, classes: bool, seed: int) -> pa.Table:
    """Draw as many rows as there are with `autoencode.Autoencoder`, class by class."""
    from autoencode import Autoencoder

    model = Autoencoder(random_state=seed, conditional=classes)
    if not classes:
        return model.fit(table).sample(len(table), random_state=seed)
    labels = np.array([str(label) for label in table[target].to_pylist()])
    rest = table.drop_columns([target])
    drawn, found = model.fit(rest, labels).sample(len(table), random_state=seed)
    kind = table.schema.field(target).type
    column = pa.array(found.tolist(), pa.string()).cast(kind)
    return drawn.add_column(table.column_names.index(target), target, column)


def boosted(train: Cells, test: Values, target: int, *, classes: bool) -> float:
    """Return the score of gradient boosting on test rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import f1_score, r2_score

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    few = [levels is not None and len(levels) < 255 for levels in train.levels]
    places = np.flatnonzero(np.delete(few, target)).tolist()
    scores = []
    for seed in range(3):
        model = kind(categorical_features=places or None, random_state=seed, early_stopping=False)
        model.fit(np.delete(train.values, target, 1), train.values[:, target])
        guess, truth = model.predict(np.delete(test, target, 1)), test[:, target]
        macro = f1_score(truth, guess, average="macro") if classes else r2_score(truth, guess)
        scores.append(macro)
    return float(np.mean(scores))


def table_like(values: Values, cells: Cells) -> pa.Table:
    """Return cells as a table, levels as text."""
    columns = {}
    for name, levels, column in zip(cells.names, cells.levels, values.T, strict=True):
        numbers = column.astype(int)
        texts = None if levels is None else [levels[number] for number in numbers]
        columns[name] = pa.array(column if texts is None else texts)
    return pa.table(columns)


def measure(name: str, method: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Draw rows of one table by one method, and judge them."""
    from autoencode import evaluate_samples

    module = MODULES.get(method)
    if module is not None and importlib.util.find_spec(module) is None:
        return {"error": f"{module} is not installed"}
    train, test = tables(name, arguments.data, seed, quick=arguments.quick)
    target, classes = TARGETS[name]
    everything = cells_of(pa.concat_tables([train, test]))
    known, unseen = cells_of(train, everything), cells_of(test, everything)
    place = known.names.index(target)
    line: dict[str, Any] = {}
    with timed(line):
        if method == "ours":
            drawn = cells_of(ours(train, target, classes=classes, seed=seed), everything)
        else:
            made = PEERS[method](known, place, classes, seed)
            # Whole numbers are made whole for them, and none is outside what was seen.
            whole = (known.values == np.rint(known.values)).all(0)
            made = np.where(whole, np.rint(made), made)
            made = made.clip(known.values.min(0), known.values.max(0))
            drawn = Cells(known.names, known.levels, made)
    found = evaluate_samples(
        table_like(unseen.values, unseen),
        table_like(drawn.values, drawn),
        training=table_like(known.values, known),
    )
    real = boosted(known, unseen.values, place, classes=classes)
    used = boosted(drawn, unseen.values, place, classes=classes)
    return line | {
        "real score": real,
        "utility": used / real,
        "auc": found.auc,
        "memorisation": found.memorisation,
        "copies": found.copies,
        "real copies": found.real_copies,
        "coverage": found.drawn.coverage,
        "real coverage": found.real.coverage,
    }


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = table_parser(__doc__ or "", list(TARGETS), 3)
    parser.add_argument("--methods", nargs="+", default=["ours", *PEERS], choices=["ours", *PEERS])
    arguments = parser.parse_args()
    results = Results(arguments.json)
    shown = ("utility", "auc", "memorisation", "copies", "real copies", "coverage", "seconds")
    rows = []
    for name in arguments.tables:
        for method in arguments.methods:
            lines = []
            for seed in arguments.seeds:
                key = {"table": name, "method": method, "seed": seed, "quick": arguments.quick}
                run = (name, method, seed, arguments)
                lines.append(results.get(key, lambda run=run: measure(*run)))
            if any("error" in line for line in lines):
                rows.append([name, method, *["-"] * len(shown)])
                continue
            means = [float(np.mean([line[column] for line in lines])) for column in shown]
            rows.append([name, method, *[f"{mean:.3f}" for mean in means]])
    print_table("Drawn rows, means over seeds", ["table", "method", *shown], rows)
    print_machine(("imbalanced-learn", "ctgan"))


if __name__ == "__main__":
    main()
