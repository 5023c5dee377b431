"""Seconds to fit to half of Shuttle's normal rows and to score the rest, beside PyOD's autoencoder.

Both with their defaults, on one thread. Seconds are those of the processor, which others on the
machine lengthen less than those of the clock. Scoring is repeated, and the median told.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from anomaly import load, split
from anomaly_peers import has_pyod
from harness import print_table
from table_sets import print_machine, table_parser

Values = NDArray[np.float64]
ROUNDS = 5
TABLE = "32_shuttle"


def seconds(work: Callable[[], object]) -> float:
    """Return the processor's seconds that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def contestants(seed: int) -> dict[str, tuple[Callable[[Values], object], str]]:
    """Return by name what fits, and the name of the method that scores."""
    from autoencode import AnomalyDetector

    def ours(rows: Values) -> object:
        return AnomalyDetector(novelty=True, random_state=seed).fit(rows)

    found: dict[str, tuple[Callable[[Values], object], str]] = {"ours": (ours, "score_samples")}
    if has_pyod():
        from pyod.models.auto_encoder import AutoEncoder

        def theirs(rows: Values) -> object:
            return AutoEncoder(random_state=seed, verbose=0).fit(rows)

        found["PyOD AutoEncoder"] = (theirs, "decision_function")
    return found


def measure(arguments: argparse.Namespace) -> list[tuple[str, ...]]:
    """Return a line for each of them: seconds of the fit, of scoring, rows per second."""
    values, labels = load(arguments.data, TABLE)
    fitted, judged = split(labels, "novelty", arguments.seeds[0], arguments.max_rows)
    rows, judge = values[fitted], values[judged]
    lines, first = [], 0.0
    for name, (fit, method) in contestants(arguments.seeds[0]).items():
        models: list[object] = []
        fitting = seconds(lambda fit=fit, models=models: models.append(fit(rows)))  # type: ignore[misc]
        score = getattr(models[0], method)
        times = [seconds(lambda score=score: score(judge)) for _ in range(ROUNDS)]  # type: ignore[misc]
        whole = fitting + median(times)
        first = first or whole
        speed = f"{len(judge) / median(times):,.0f} ({len(judge) / min(times):,.0f})"
        ratio = f"{whole / first:.1f}"
        lines.append((name, f"{fitting:.2f}", f"{median(times):.3f}", speed, ratio))
    return lines


def main() -> None:
    """Run, and print."""
    parser = table_parser(__doc__ or "", (), 1)
    parser.add_argument("--max-rows", type=int, metavar="N", help="rows of each part, at most")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.max_rows = 2000
    torch.set_num_threads(1)
    header = ("", "fit, s", "score, s", "rows/s (best)", "fit + score / ours")
    print_table("Shuttle: the processor's seconds", header, measure(arguments))
    print_machine(("pyod",))


if __name__ == "__main__":
    main()
