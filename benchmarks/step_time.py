"""Seconds per epoch at equal widths and batch, and how far that is from the processor.

The floor is what the step's matrix products alone take: for each layer one product
forward and two backward (the first layer needs no gradient of its input), each at the
fastest time measured here for its shape, in float32, over thread counts and layouts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from contest import CONTESTANTS, run
from harness import alternate, finish, median, parser, print_table, progress, ratio
from workloads import REAL_SIZE, WIDTHS, layer_shapes, load

OURS = "autoencode"
SINGLE = [name for name in CONTESTANTS if name != "autoencode whole fit"]


def products(widths: tuple[int, ...], batch: int) -> list[tuple[int, int, int]]:
    """Return (rows, inner, columns) of every matrix product of one training step."""
    result = []
    for place, (inputs, outputs) in enumerate(layer_shapes(widths)):
        result += [(batch, inputs, outputs), (inputs, batch, outputs)]
        if place:
            result.append((batch, outputs, inputs))
    return result


def fastest_product(shape: tuple[int, int, int], threads: Sequence[int]) -> float:
    """Return the least seconds of one float32 product of this shape.

    Tried: both operands as they are, either one transposed in memory, and each number
    of threads; the least of at least 50 runs of each.
    """
    import torch

    rows, inner, columns = shape
    out = torch.empty(rows, columns)
    left, right = torch.rand(rows, inner), torch.rand(inner, columns)
    turned_left, turned_right = left.T.contiguous().T, right.T.contiguous().T
    best, before = float("inf"), torch.get_num_threads()
    for number in threads:
        torch.set_num_threads(number)
        for first in (left, turned_left):
            for second in (right, turned_right):
                ends = time.perf_counter() + 0.02
                runs = 0
                while runs < 50 or time.perf_counter() < ends:
                    started = time.perf_counter()
                    torch.mm(first, second, out=out)
                    best = min(best, time.perf_counter() - started)
                    runs += 1
    torch.set_num_threads(before)
    return best


def floor(widths: tuple[int, ...], batch: int, n_rows: int, threads: int | None) -> dict[str, Any]:
    """Return the floor of one epoch in seconds and the rate of its products."""
    numbers = sorted({1, threads or os.cpu_count() or 1})
    shapes = products(widths, batch)
    measured = {shape: fastest_product(shape, numbers) for shape in set(shapes)}
    step = sum(measured[shape] for shape in shapes)
    operations = sum(2 * a * b * c for a, b, c in shapes)
    return {
        "seconds": step * n_rows / batch,
        "step": step,
        "gigaflops": operations / step / 1e9,
        "operations": operations,
        "products": {"x".join(map(str, key)): value for key, value in measured.items()},
    }


def epoch_seconds(answer: dict[str, Any]) -> float | None:
    """Return the median length of an epoch, the first (set-up, compiling) left out."""
    seconds = answer.get("seconds", [])
    return median([b - a for a, b in pairwise(seconds)]) if len(seconds) > 1 else None


def one_workload(workload: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the floor before and after all rounds; print one table."""
    rows_in = load(workload, arguments.data, quick=arguments.quick)
    progress(f"{workload}: matrix products")
    sizes = (rows_in.widths, arguments.batch, len(rows_in.train), arguments.threads)
    before = floor(*sizes)

    def measure(name: str, number: int) -> dict[str, Any]:
        return run(
            name,
            workload,
            arguments,
            epochs=arguments.epochs,
            batch=arguments.batch,
            seed=number,
            evaluate=False,
        )

    answers = alternate(arguments.contestants, arguments.rounds, measure)
    after = floor(*sizes)
    best = min(before, after, key=lambda found: found["seconds"])
    shape = f"{len(rows_in.train):,} rows, {'-'.join(map(str, WIDTHS[workload]))}"
    title = f"{workload} ({shape}, batch {arguments.batch}): seconds per epoch"
    print_rows(title, answers, best, arguments.rounds)
    return {"floor": [before, after], "answers": answers}


def print_rows(
    title: str, answers: dict[str, list[dict[str, Any]]], best: dict[str, Any], rounds: int
) -> None:
    """Print one row per contestant, and the floor."""
    least = best["seconds"]
    own = [epoch_seconds(answer) for answer in answers.get(OURS, [])] or [None] * rounds
    table: list[list[Any]] = []
    for name, runs in answers.items():
        lengths = [epoch_seconds(answer) for answer in runs]
        typical = median(lengths)
        note = runs[0].get("error", "")[:48]
        table.append([name, typical, ratio(lengths, own), typical and typical / least, note])
    table.append(["matrix products alone", least, None, 1.0, f"{best['gigaflops']:.0f} GF/s"])
    print_table(
        title,
        ["contestant", "seconds", "x ours", "x floor", "note"],
        table,
    )


def main() -> None:
    """Measure every contestant on every data set."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument("--workloads", nargs="+", choices=REAL_SIZE, default=REAL_SIZE)
    options.add_argument("--contestants", nargs="+", choices=SINGLE, default=SINGLE, metavar="NAME")
    options.add_argument("--epochs", type=int, default=5, help="the first is not counted")
    options.add_argument("--batch", type=int, default=256)
    arguments = options.parse_args()
    result = {name: one_workload(name, arguments) for name in arguments.workloads}
    finish("step_time", arguments, result)


if __name__ == "__main__":
    main()
