"""AUROC and average precision of detectors on tables with known anomalies.

``novelty``: half of the normal rows are fitted to; the others and all anomalies are
judged. ``unsupervised``: all rows are fitted to and judged. Peers get standardised rows,
ours as they are; one setting for all tables, chosen in trials on these tables. Seeds come first, so
a run that is stopped has whole seeds. Where PyOD is not installed, scikit-learn's detectors of
the same algorithms stand in for it, and its autoencoders are left out; `anomaly_peers.MOST_ROWS`
says which peers get fewer rows.
"""

from __future__ import annotations

import argparse
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_peers import Detector, has_pyod, peers
from anomaly_sets import OTHERS, load_other
from harness import print_table
from table_sets import Results, print_machine, table_parser, timed

Values = NDArray[np.float64]
SITUATIONS = ("novelty", "unsupervised")
MEASURES = ("auroc", "ap")
QUICK_ROWS = 600


def tables(data: Path) -> list[str]:
    """Return the names of the tables."""
    return sorted(path.stem for path in (data / "adbench").glob("*.npz"))


@functools.cache
def load(data: Path, name: str) -> tuple[Values, NDArray[np.int64]]:
    """Return rows, and which are anomalies (1)."""
    if name in OTHERS:
        return load_other(data, name)
    found = np.load(data / "adbench" / f"{name}.npz", allow_pickle=False)
    return found["X"].astype(np.float64), found["y"].ravel().astype(np.int64)


def split(
    labels: NDArray[np.int64], situation: str, seed: int, most: int | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows to fit to and to judge; the same ones where all are both.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        1 for anomalies.
    situation : {"novelty", "unsupervised"}
        What is fitted to.
    seed : int
        Draws them.
    most : int or None
        Rows of each, at most.
    """
    rng = np.random.default_rng([seed, 3])
    if situation == "unsupervised":
        everything = np.sort(rng.permutation(len(labels))[:most])
        return everything, everything
    normal = rng.permutation(np.flatnonzero(labels == 0))
    half = len(normal) // 2
    odd = rng.permutation(np.flatnonzero(labels == 1))
    return normal[:half][:most], np.concatenate([normal[half:][:most], odd[:most]])


def ours(rows: Values, judge: Values, seed: int, situation: str) -> Values:
    """Return scores of `AnomalyDetector`, higher is odder."""
    from autoencode import AnomalyDetector

    model = AnomalyDetector(novelty=situation == "novelty", random_state=seed).fit(rows)
    return -model.score_samples(judge)


def standardised(rows: Values, judge: Values) -> tuple[Values, Values]:
    """Return both in deviations of the first; the same object where they are."""
    deviation = rows.std(0)
    center, deviation = rows.mean(0), np.where(deviation > 0, deviation, 1.0)
    first = (rows - center) / deviation
    return first, first if judge is rows else (judge - center) / deviation


def measure(
    arguments: argparse.Namespace, known: dict[str, Detector], key: dict[str, Any]
) -> dict[str, Any]:
    """Fit and judge once."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    values, labels = load(arguments.data, key["table"])
    most = arguments.max_rows
    training, judged = split(labels, key["situation"], key["seed"], most)
    rows = values[training]
    judge = rows if judged is training else values[judged]
    line: dict[str, Any] = {"rows": len(rows), "judged": len(judge)}
    with warnings.catch_warnings(), timed(line):
        warnings.simplefilter("ignore")
        if key["method"] == "ours":
            scores = ours(rows, judge, key["seed"], key["situation"])
        else:
            scores = known[key["method"]](*standardised(rows, judge), key["seed"])
    truth = labels[judged]
    # Some of PyOD's divide by a variance of zero.
    scores = np.nan_to_num(scores, posinf=np.finfo(np.float32).max)
    line["auroc"] = float(roc_auc_score(truth, scores))
    line["ap"] = float(average_precision_score(truth, scores))
    return line


def show(lines: Sequence[dict[str, Any]], methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Print means by situation, and ours beside the best peer's by table."""
    for situation in SITUATIONS:
        mine = [line for line in lines if line["situation"] == situation and line["seed"] in seeds]
        if not mine:
            continue
        found = []
        for method in methods:
            own = [line for line in mine if line["method"] == method]
            means = [float(np.mean([line[name] for line in own])) for name in MEASURES]
            seconds = float(np.sum([line["seconds"] for line in own]))
            found.append((method, *(f"{mean:.4f}" for mean in means), f"{seconds:.1f}"))
        print_table(f"{situation}: means over tables and seeds", ("method", *MEASURES, "s"), found)
        names = sorted({line["table"] for line in mine})
        cells = []
        for name in names:
            row = [name]
            for method in methods:
                own = [x for x in mine if (x["table"], x["method"]) == (name, method)]
                row.append("/".join(f"{100 * np.mean([x[m] for x in own]):.0f}" for m in MEASURES))
            cells.append(row)
        print_table(f"{situation}: AUROC / average precision, %", ("table", *methods), cells)


def main() -> None:
    """Run, and print."""
    known = peers()
    parser = table_parser(__doc__ or "", (), 5)
    parser.add_argument("--situations", nargs="+", default=list(SITUATIONS), choices=SITUATIONS)
    parser.add_argument("--methods", nargs="+", default=[*known, "ours"], metavar="METHOD")
    parser.add_argument("--others", action="store_true", help="tables that nothing was chosen on")
    parser.add_argument("--max-rows", type=int, metavar="N", help="rows of each part, at most")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.max_rows, arguments.seeds = QUICK_ROWS, arguments.seeds[:1]
    names = arguments.tables or (OTHERS if arguments.others else tables(arguments.data))
    results = Results(arguments.json)
    lines = []
    for seed in arguments.seeds:
        for situation in arguments.situations:
            for table in names:
                for method in arguments.methods:
                    key = {"situation": situation, "table": table, "seed": seed, "method": method}
                    key["max rows"] = arguments.max_rows

                    def run(key: dict[str, Any] = key) -> dict[str, Any]:
                        return measure(arguments, known, key)

                    lines.append(results.get(key, run))
    show(lines, arguments.methods, arguments.seeds)
    source = "PyOD" if has_pyod() else "scikit-learn (PyOD is not installed: no AutoEncoder, VAE)"
    print(f"\npeers from {source}")
    print_machine(("pyod",))


if __name__ == "__main__":
    main()
