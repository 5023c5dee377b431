"""Error of filled-in cells and time, beside scikit-learn's imputers and MissForest.

Cells are hidden, filled in and compared. A numeric column's error is its root mean
squared error over hidden cells, divided by the standard deviation of the complete
column; a categorical column's is the share of hidden cells that are wrong. A table's
figure is the mean over its columns of both kinds. What the tables miss by nature is
filled in as well, and not scored.

``--mechanism random`` hides 20% of all cells at random; ``upper`` the largest values of
every numeric column and ``self`` all above the mean in half of them (see
`table_sets.hide`), where numeric columns alone are used; ``intervals`` hides at random
and counts the numeric cells within the central 90% of draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from harness import print_table
from imputation_peers import FORESTS, PEERS, posterior_draws
from table_sets import (
    AT_RANDOM,
    MOST_ROWS,
    NOT_AT_RANDOM,
    Cells,
    Mask,
    Results,
    Values,
    cells_of,
    hide,
    installed_ours,
    load_table,
    numeric_columns,
    print_machine,
    table_parser,
    table_without,
    timed,
)

MECHANISMS = ("random", "upper", "self", "intervals")
INTERVAL = 0.9
PEER_DRAWS = 20
KINDS = ("numeric", "categorical")
BASELINE = "iterative_ridge"
Line = dict[str, Any]
Runs = dict[str, dict[str, list[Line]]]
"""By method and table, one for each seed."""


def ours(table: pa.Table, cells: Cells, seed: int, missing: str | None = None) -> Values:
    """Fill in with `autoencode.Imputer`, from a table to a table.

    Parameters
    ----------
    table, cells : pyarrow.Table, Cells
        The table with hidden cells, and the complete one, for the names of its levels.
    seed : int
        Its ``random_state``.
    missing : str, optional
        ``"informative"``: that a cell is missing says something about it.
    """
    from autoencode import Imputer

    options: dict[str, Any] = {} if missing is None else {"missing": missing}
    return cells_of(Imputer(random_state=seed, **options).fit_transform(table), cells).values


def our_draws(table: pa.Table, cells: Cells, seed: int, n_draws: int) -> list[Values]:
    """Return completed tables drawn by `autoencode.Imputer`."""
    from autoencode import Imputer

    drawn = Imputer(random_state=seed).fit(table).impute(table, n_draws=n_draws)
    return [cells_of(one, cells).values for one in drawn]


OURS: dict[str, Callable[..., Values]] = {
    "ours": ours,
    "ours_informative": partial(ours, missing="informative"),
}


def methods_of(mechanism: str) -> tuple[str, ...]:
    """Return the contestants of a mechanism, ours last."""
    if mechanism == "intervals":
        return BASELINE, "ours"
    if mechanism == "random":
        return (*PEERS, "ours")
    return "mean_mode", BASELINE, *FORESTS, "ours", "ours_informative"


def column_errors(complete: Cells, filled: Values, hidden: Mask) -> dict[str, Line]:
    """Return kind, error and number of hidden cells of every column that has any.

    Raises
    ------
    ValueError
        If a hidden cell is still missing or an observed one has changed.
    """
    kept = ~hidden & ~np.isnan(complete.values)
    if np.isnan(filled[hidden]).any():
        raise ValueError("hidden cells are still missing")
    if not np.allclose(filled[kept], complete.values[kept], rtol=1e-9, atol=1e-9):
        raise ValueError("observed cells have changed")
    result = {}
    for place, name in enumerate(complete.names):
        gone, truth = hidden[:, place], complete.values[:, place]
        if not gone.any():
            continue
        if complete.categorical[place]:
            kind, error = "categorical", np.mean(filled[gone, place] != truth[gone])
        else:
            difference = np.sqrt(np.mean((filled[gone, place] - truth[gone]) ** 2))
            kind, error = "numeric", difference / np.nanstd(truth)
        result[name] = {"kind": kind, "error": float(error), "cells": int(gone.sum())}
    return result


def coverage(complete: Cells, draws: Sequence[Values], hidden: Mask) -> dict[str, Line]:
    """Return the share of hidden numeric cells within the central interval of the draws.

    The quantile p of m draws is the one of rank p (m + 1), so that a truth that is like
    the draws falls within as often as it should, however few they are (numpy's default
    would give 81% for 20 perfect draws). ``covered`` counts a cell that equals an end of
    its interval, as many do where values are whole or mostly 0; ``ties split`` puts the
    truth at random among the draws that equal it.
    """
    rng = np.random.default_rng(0)
    ends = np.array([0.5 - INTERVAL / 2, 0.5 + INTERVAL / 2])
    result = {}
    for place, name in enumerate(complete.names):
        gone = hidden[:, place]
        if complete.categorical[place] or not gone.any():
            continue
        truth = complete.values[gone, place]
        drawn = np.array([draw[gone, place] for draw in draws])
        low, high = np.quantile(drawn, ends, axis=0, method="weibull")
        below, equal = (drawn < truth).sum(0), (drawn == truth).sum(0)
        share = (below + rng.random(len(truth)) * (equal + 1)) / (len(draws) + 1)
        result[name] = {
            "covered": float(np.mean((low <= truth) & (truth <= high))),
            "ties split": float(np.mean((ends[0] < share) & (share < ends[1]))),
            "width": float(np.mean(high - low) / np.nanstd(complete.values[:, place])),
            "cells": int(gone.sum()),
        }
    return result


def measure(name: str, seed: int, method: str, arguments: argparse.Namespace) -> Line:
    """Hide cells of a table, let one method fill them in, and compare."""
    mechanism = arguments.mechanism
    table = load_table(name, arguments.data, seed, 200 if arguments.quick else MOST_ROWS)
    if mechanism in ("upper", "self"):
        table = numeric_columns(table)
    complete = cells_of(table)
    hidden = hide(complete, "random" if mechanism == "intervals" else mechanism, seed)
    holes, table = complete.without(hidden), table_without(table, hidden)
    line: Line = {"rows": len(table), "hidden": int(hidden.sum())}
    if mechanism == "intervals":
        n_draws = arguments.draws if method == "ours" else PEER_DRAWS
        with timed(line):
            if method == "ours":
                draws = our_draws(table, complete, seed, n_draws)
            else:
                draws = posterior_draws(holes, seed, n_draws)
        columns = coverage(complete, draws, hidden)
        return {**line, "draws": n_draws, "columns": columns}
    with timed(line):
        if method in OURS:
            filled = OURS[method](table, complete, seed)
        else:
            filled = PEERS[method](holes, seed)
    return {**line, "columns": column_errors(complete, filled, hidden)}


def mean_error(lines: Sequence[Line], kind: str | None = None) -> float:
    """Return the mean over seeds of the mean over columns, of one kind or of both.

    It is NaN where there is no such column.
    """
    means = []
    for line in lines:
        columns = line["columns"].values()
        errors = [column["error"] for column in columns if kind in (None, column["kind"])]
        means.append(np.mean(errors) if errors else np.nan)
    return float(np.mean(means))


def average(values: Sequence[float]) -> float | None:
    """Return the mean of the values that are not NaN; None where there are none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def report_errors(runs: Runs, mechanism: str) -> None:
    """Print the figure of every table and their mean, by method, beside forests and ridge."""
    tables = list(next(iter(runs.values())))
    figures = {
        method: {name: mean_error(lines) for name, lines in of.items()}
        for method, of in runs.items()
    }
    if {"neighbours_5", "neighbours_15"} <= figures.keys():
        few, many = figures["neighbours_5"], figures["neighbours_15"]
        figures["neighbours, better k"] = {name: min(few[name], many[name]) for name in tables}
    means = {method: float(np.mean(list(of.values()))) for method, of in figures.items()}
    best = min((mean for method, mean in means.items() if method in FORESTS), default=None)
    others = (best, means.get(BASELINE))
    rows = []
    for method, of in figures.items():
        ratios = [means[method] / other if other else None for other in others]
        rows.append([method, *of.values(), means[method], *ratios])
    last = ["mean", "/ best forest", "/ ridge"]
    print_table(f"mean error of the columns, {mechanism}", ["method", *tables, *last], rows)


def report_kinds(runs: Runs) -> None:
    """Print the mean of each kind of column over tables, and seconds by table."""
    rows = []
    for method, of in runs.items():
        every = list(of.values())
        kinds = [average([mean_error(lines, kind) for lines in every]) for kind in KINDS]
        seconds = [float(np.mean([line["seconds"] for line in lines])) for lines in every]
        cores = [float(np.mean([line["core seconds"] for line in lines])) for lines in every]
        rows.append([method, *kinds, *seconds, sum(seconds), sum(cores)])
    columns = ["method", *KINDS, *(f"{name}, s" for name in next(iter(runs.values())))]
    columns += ["all, s", "all, core seconds"]
    print_table("the same by kind; seconds by table", columns, rows)


def report_intervals(runs: Runs) -> None:
    """Print the share of hidden cells covered, by table and over all cells."""
    for what in ("covered", "ties split", "width"):
        rows = []
        for method, of in runs.items():
            shares, sizes = [], []
            for lines in of.values():
                columns = [column for line in lines for column in line["columns"].values()]
                sizes.append(sum(column["cells"] for column in columns))
                total = sum(column[what] * column["cells"] for column in columns)
                shares.append(total / sizes[-1])
            overall = float(np.average(shares, weights=sizes))
            rows.append([method, *shares, average(shares), overall])
        tables = list(next(iter(runs.values())))
        title = f"90% intervals: {what}" + (", in standard deviations" if what == "width" else "")
        print_table(title, ["method", *tables, "mean of tables", "all cells"], rows)


def main() -> None:
    """Measure every table, seed and method that the file does not have yet."""
    options = table_parser(__doc__.splitlines()[0], (), seeds=3)
    options.set_defaults(tables=None)
    options.add_argument("--mechanism", choices=MECHANISMS, default="random")
    options.add_argument("--methods", nargs="+", metavar="METHOD", help=", ".join((*PEERS, *OURS)))
    options.add_argument("--draws", type=int, default=100, help="of ours, for the intervals")
    arguments = options.parse_args()
    mechanism = arguments.mechanism
    tables = arguments.tables or (NOT_AT_RANDOM if mechanism in ("upper", "self") else AT_RANDOM)
    if mechanism == "intervals":
        # It has no numbers.
        tables = [name for name in tables if name != "Soybean"]
    methods = arguments.methods or methods_of(mechanism)
    if not installed_ours("Imputer"):
        print("autoencode.Imputer: not installed, left out")
        methods = [method for method in methods if method not in OURS]
    results = Results(arguments.json)
    runs: Runs = {method: {name: [] for name in tables} for method in methods}
    for name in tables:
        for seed in arguments.seeds:
            for method in methods:
                key = {"benchmark": "imputation", "mechanism": mechanism, "quick": arguments.quick}
                key |= {"table": name, "seed": seed, "method": method}
                work = partial(measure, name, seed, method, arguments)
                runs[method][name].append(results.get(key, work))
    print(f"\n{len(arguments.seeds)} seeds; tables of at most {MOST_ROWS:,} rows")
    if mechanism == "intervals":
        report_intervals(runs)
    else:
        report_errors(runs, mechanism)
        report_kinds(runs)
    print_machine()


if __name__ == "__main__":
    main()
