"""Does the column that was changed come first among the reasons?

One cell of each normal row is replaced by that of another row; rows in which that is the same
value are left out. Counted are all rows, those that are odd then (a p-value of at most 5%), those
of them that were not odd before, and rows by how many deviations of its column the cell moved.
Beside it the column of the largest z-score. Reasons do not depend on networks: ``--max-epochs``
shortens their training, which only which rows count as odd depends on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from anomaly import load, tables
from harness import print_table
from table_sets import Results, print_machine, table_parser

ODD = 0.05
COUNTED = ("all", "odd", "made odd")
COUNTS = ("changed", "odd", "made odd")
METHODS = ("ours", "z-score")
MOVED = (0.0, 0.5, 1.0, 2.0, np.inf)


def measure(arguments: argparse.Namespace, key: dict[str, Any]) -> dict[str, Any]:
    """Fit once, change a cell of each of some rows, and explain them."""
    from autoencode import AnomalyDetector

    values, labels = load(arguments.data, key["table"])
    rng = np.random.default_rng([key["seed"], 5])
    normal = rng.permutation(np.flatnonzero(labels == 0))
    half = len(normal) // 2
    rows = values[normal[:half][: key["cap"]]]
    given = values[normal[half:][: arguments.judged]]
    varying = np.flatnonzero(rows.std(0) > 0)
    columns, count = rng.choice(varying, len(given)), np.arange(len(given))
    changed = given.copy()
    changed[count, columns] = given[rng.permutation(len(given)), columns]
    differs = changed[count, columns] != given[count, columns]
    changed, columns, given = changed[differs], columns[differs], given[differs]
    moved = np.abs(changed - given)[np.arange(len(given)), columns] / rows.std(0)[columns]
    epochs = key["epochs"] or "auto"
    model = AnomalyDetector(novelty=True, max_epochs=epochs, random_state=key["seed"]).fit(rows)
    odd = model.p_values(changed) <= ODD
    made = odd & (model.p_values(given) > ODD)
    first: dict[int, int] = {}
    for cell in model.explain(changed).select(["row", "column"]).to_pylist():
        first.setdefault(cell["row"], int(cell["column"]))
    ours = np.array([first[row] for row in range(len(changed))]) == columns
    deviation = np.where(rows.std(0) > 0, rows.std(0), np.inf)
    simple = np.abs((changed - rows.mean(0)) / deviation).argmax(1) == columns
    chosen = dict(zip(COUNTS, (np.ones_like(odd), odd, made), strict=True))
    line: dict[str, Any] = {name: int(rows.sum()) for name, rows in chosen.items()}
    line["same value"] = int((~differs).sum())
    for name, right in zip(METHODS, (ours, simple), strict=True):
        for counted, rows in zip(COUNTED, chosen.values(), strict=True):
            line[f"{name} {counted}"] = float(right[rows].mean()) if rows.any() else None
        line[f"{name} by move"] = np.histogram(moved[right], MOVED)[0].tolist()
    line["moved"] = np.histogram(moved, MOVED)[0].tolist()
    return line


def show_by_move(lines: Sequence[dict[str, Any]]) -> None:
    """Print the shares by how far the cell moved, over the rows of all tables."""
    counts = np.sum([line["moved"] for line in lines], 0)
    cells = [(f"{a:g} to {b:g}", str(n)) for a, b, n in zip(MOVED, MOVED[1:], counts, strict=False)]
    for method in METHODS:
        right = np.sum([line[f"{method} by move"] for line in lines], 0)
        shares = right / np.maximum(counts, 1)
        cells = [(*cell, f"{share:.1%}") for cell, share in zip(cells, shares, strict=True)]
    print_table("by how far the cell moved", ("deviations", "rows", *METHODS), cells)


def sums_of(lines: Sequence[dict[str, Any]]) -> list[int]:
    """Return how many rows there are of each of `COUNTS`."""
    return [int(np.sum([line[name] for line in lines])) for name in COUNTS]


def pooled(lines: Sequence[dict[str, Any]]) -> list[float]:
    """Return the shares over all rows, whichever table they are of."""
    shares = []
    for counted, weight in zip(COUNTED, COUNTS, strict=True):
        for method in METHODS:
            right = sum(line[weight] * (line[f"{method} {counted}"] or 0.0) for line in lines)
            shares.append(right / max(1, sum(line[weight] for line in lines)))
    return shares


def main() -> None:
    """Run, and print."""
    parser = table_parser(__doc__ or "", (), 5)
    parser.add_argument("--cap", type=int, default=2000, help="rows to fit to, at most")
    parser.add_argument("--judged", type=int, default=500, help="rows that are changed")
    parser.add_argument(
        "--max-epochs", type=int, help="of each network; about 400 steps if not given"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.cap, arguments.judged, arguments.seeds = 300, 150, arguments.seeds[:1]
    names = arguments.tables or tables(arguments.data)
    results = Results(arguments.json)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        for table in names:
            key = {"table": table, "cap": arguments.cap, "judged": arguments.judged, "seed": seed}
            key["epochs"] = arguments.max_epochs

            def run(key: dict[str, Any] = key) -> dict[str, Any]:
                return measure(arguments, key)

            found.setdefault(table, []).append(results.get(key, run))
    header = ("table", *COUNTS, *(f"{m}, {c}" for c in COUNTED for m in METHODS))
    rows, total = [], []
    for table, lines in found.items():
        shares = []
        for counted in COUNTED:
            for method in METHODS:
                known = [x[f"{method} {counted}"] for x in lines]
                shares.append(np.mean([x for x in known if x is not None] or [np.nan]))
        total.append(shares)
        rows.append([table, *sums_of(lines), *(f"{share:.1%}" for share in shares)])
    means = np.nanmean(total, axis=0)
    rows.append(["mean", "", "", "", *(f"{share:.1%}" for share in means)])
    everything = [line for lines in found.values() for line in lines]
    rows.append(["by row", *sums_of(everything), *(f"{share:.1%}" for share in pooled(everything))])
    print_table("share of rows whose changed column comes first", header, rows)
    show_by_move(everything)
    print_machine()


if __name__ == "__main__":
    main()
