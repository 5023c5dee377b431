"""Share of flagged rows that are normal, and power, over splits; beside split conformal.

Half of the normal rows are fitted to; as many of the others are judged as ``--judged`` says, and
anomalies drawn so that they are a tenth of all. The mean share of normal rows among the flagged
should be at most the rate that was asked for. ``--cap`` makes the rows of the fit few, and
``--max-epochs`` shortens training, which costs power and not the rate. ``--nearest`` trains
nothing: the detector's calibration is put over the logarithm of the distance to the nearest row,
crossed and split in the same way, so that many splits take seconds. Tables with fewer than twice
the rows of the fit are left out.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anomaly import load, tables
from autoencode.anomaly_parts.conformal import Calibration, Flags, flagged
from harness import print_table
from table_sets import Results, print_machine, table_parser

Values = NDArray[np.float64]
FOLDS, LEAST_DISTANCE = 5, 0.01
RATES = (0.05, 0.1, 0.2)
CALIBRATIONS = ("cross", "split")
ODD_SHARE = 0.1


def odd_by_distance(rows: Values, judge: Values) -> Values:
    """Return the logarithm of distances to the nearest row, standardised by the rows."""
    deviation = np.where(rows.std(0) > 0, rows.std(0), 1.0)
    known, asked = ((values - rows.mean(0)) / deviation for values in (rows, judge))
    table = torch.cdist(*(torch.from_numpy(np.clip(x, -20, 20)) for x in (asked, known)))
    return np.log(table.amin(1).numpy() + LEAST_DISTANCE)  # type: ignore[no-any-return]


class Nearest:
    """Judges by the distance to the nearest row, calibrated as `AnomalyDetector` is."""

    def __init__(self, calibration: str) -> None:
        self.kind = calibration

    def fit(self, rows: Values) -> None:
        """Keep rows, which come in a random order, and calibrate."""
        places, half = np.arange(len(rows)), (len(rows) + 1) // 2
        self.rows = rows if self.kind == "cross" else rows[:half]
        if self.kind == "cross":
            apart = [places % FOLDS == fold for fold in range(FOLDS)]
            scores = [odd_by_distance(rows[~fold], rows[fold]) for fold in apart]
        else:
            scores = [odd_by_distance(self.rows, rows[half:])]
        self.calibration = Calibration(np.sort(np.concatenate(scores)), self.kind)

    def p_values(self, rows: Values) -> Values:
        """Return p-values."""
        return self.calibration.p_values(odd_by_distance(self.rows, rows))

    def flag(self, rows: Values, fdr: float) -> Flags:
        """Return which are flagged at a rate."""
        return flagged(self.p_values(rows), self.calibration, fdr)


def judge_of(key: dict[str, Any]) -> Any:
    """Return what judges, not yet fitted."""
    from autoencode import AnomalyDetector

    if key["nearest"]:
        return Nearest(key["calibration"])
    return AnomalyDetector(
        novelty=True,
        calibration=key["calibration"],
        max_epochs=key["epochs"] or "auto",
        random_state=key["seed"],
    )


def measure(arguments: argparse.Namespace, key: dict[str, Any]) -> dict[str, Any]:
    """Fit once to a split, and flag at every rate."""
    values, labels = load(arguments.data, key["table"])
    rng = np.random.default_rng([key["seed"], 4])
    normal = rng.permutation(np.flatnonzero(labels == 0))
    half = min(len(normal) // 2, key["cap"])
    fitted = normal[:half]
    rest = normal[len(normal) // 2 :][: arguments.judged]
    n_odd = round(ODD_SHARE / (1 - ODD_SHARE) * len(rest))
    odd = rng.permutation(np.flatnonzero(labels == 1))[: max(1, n_odd)]
    judged, truth = np.r_[rest, odd], np.r_[np.zeros(len(rest)), np.ones(len(odd))] > 0
    model = judge_of(key)
    model.fit(values[fitted])
    p_values = model.p_values(values[judged])
    line: dict[str, Any] = {"rows": half, "anomalies": len(odd)}
    for level in RATES:
        line[f"p<={level}"] = float(np.mean(p_values[~truth] <= level))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rate in RATES:
            flags = model.flag(values[judged], fdr=rate).flags
            line[f"fdp {rate}"] = float((flags & ~truth).sum() / max(1, flags.sum()))
            line[f"power {rate}"] = float(flags[truth].mean())
    return line


def enough(arguments: argparse.Namespace) -> list[str]:
    """Return the tables with enough normal rows, and with anomalies for a tenth of those judged."""
    found = []
    for name in tables(arguments.data):
        labels = load(arguments.data, name)[1]
        normal, odd = int((labels == 0).sum()), int((labels == 1).sum())
        wanted = round(ODD_SHARE / (1 - ODD_SHARE) * min(arguments.judged, normal // 2))
        if normal >= 2 * arguments.cap and odd >= wanted:
            found.append(name)
    return found


def main() -> None:
    """Run, and print."""
    parser = table_parser(__doc__ or "", (), 100)
    parser.add_argument("--cap", type=int, default=2000, help="rows to fit to, at most")
    parser.add_argument("--judged", type=int, default=500, help="normal rows that are judged")
    parser.add_argument(
        "--max-epochs", type=int, help="of each network; about 400 steps if not given"
    )
    parser.add_argument("--nearest", action="store_true", help="the distance to a row alone")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.cap, arguments.judged, arguments.seeds = 200, 200, arguments.seeds[:2]
    names = arguments.tables or enough(arguments)
    results = Results(arguments.json)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        for table in names:
            for calibration in CALIBRATIONS:
                key = {"table": table, "calibration": calibration, "cap": arguments.cap}
                key |= {"judged": arguments.judged, "seed": seed, "epochs": arguments.max_epochs}
                key["nearest"] = arguments.nearest

                def run(key: dict[str, Any] = key) -> dict[str, Any]:
                    return measure(arguments, key)

                found.setdefault((table, calibration), []).append(results.get(key, run))
    header = ("table", "calibration", *(f"{what} {r}" for r in RATES for what in ("FDP", "power")))
    rows = []
    for (table, calibration), lines in found.items():
        row = [table, calibration]
        for rate in RATES:
            shares = np.array([line[f"fdp {rate}"] for line in lines])
            error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
            row.append(f"{shares.mean():.3f}±{error:.3f}")
            row.append(f"{np.mean([line[f'power {rate}'] for line in lines]):.3f}")
        rows.append(row)
    for calibration in CALIBRATIONS:
        lines = [x for (_, kind), some in found.items() if kind == calibration for x in some]
        means = [
            f"{np.mean([line[f'{what} {rate}'] for line in lines]):.3f}"
            for rate in RATES
            for what in ("fdp", "power")
        ]
        rows.append(["mean", calibration, *means])
    print_table(f"mean over {len(arguments.seeds)} splits, with its standard error", header, rows)
    print_machine()


if __name__ == "__main__":
    main()
