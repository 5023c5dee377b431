"""Seconds until the best held-out error that the tutorial PyTorch loop reaches in 20 epochs.

In every round the tutorial loop runs first and sets the target; all others, each in a
process of its own and with the same seed, then train until they reach it. The clock
stands while held-out errors are measured (ours does not), and it does not count imports
or what a process pays once; it counts building, compiling and all else that a fit does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from contest import CONTESTANTS, run
from harness import finish, median, parser, print_table, progress, ratio, show
from workloads import REAL_SIZE, WIDTHS

TUTORIAL = "torch tutorial"
OURS = "autoencode"


def first_reached(answer: dict[str, Any], target: float) -> int | None:
    """Return the place of the first epoch whose error is at most the target."""
    errors = answer.get("errors", [])
    return next((place for place, error in enumerate(errors) if error <= target), None)


def without_start(seconds: Sequence[float], place: int) -> float:
    """Return the seconds at an epoch less what the first took longer than the others.

    That difference is compiling, mostly; a longer training hides it.
    """
    lengths = [seconds[0], *(b - a for a, b in pairwise(seconds))]
    typical = median(lengths[1:]) if len(lengths) > 1 else lengths[0]
    return seconds[place] - max(0.0, lengths[0] - (typical or 0.0))


def judge(answer: dict[str, Any], target: float, *, ours: bool = False) -> dict[str, Any]:
    """Return what one run says about one target."""
    if "error" in answer:
        return {"error": answer["error"], "seconds": None, "warm": None, "epochs": None}
    place = first_reached(answer, target)
    result = {
        "best": min(answer["errors"]),
        "spent": answer["seconds"][-1],
        "seconds": None,
        "warm": None,
        "epochs": None,
        "answer": answer,
    }
    if place is not None:
        result["seconds"] = answer["seconds"][place]
        result["epochs"] = answer["notes"].get("epochs", place + 1)
        # Nothing is left out of ours: its start is PCA, which is part of the method.
        result["warm"] = result["seconds"] if ours else without_start(answer["seconds"], place)
    return result


def one_round(workload: str, arguments: argparse.Namespace, number: int) -> dict[str, Any]:
    """Run the tutorial for the target, then everybody else, in shifting order."""
    epochs = 2 if arguments.quick else arguments.tutorial_epochs
    progress(f"{workload}, round {number + 1}/{arguments.rounds}: {TUTORIAL}")
    tutorial = run(TUTORIAL, workload, arguments, epochs=epochs, seed=number)
    if "error" in tutorial:
        raise SystemExit(f"{TUTORIAL}: {tutorial['error']}")
    target = min(tutorial["errors"])
    results = {TUTORIAL: judge(tutorial, target)}
    names = [name for name in arguments.contestants if name != TUTORIAL]
    shift = number % len(names) if names else 0
    for name in (*names[shift:], *names[:shift]):
        progress(f"{workload}, round {number + 1}/{arguments.rounds}: {name}")
        answer = run(
            name,
            workload,
            arguments,
            epochs=2 if arguments.quick else arguments.epochs,
            seed=number,
            target=target,
            max_seconds=arguments.max_seconds,
        )
        results[name] = judge(answer, target, ours=name.startswith(OURS))
    return {"target": target, "results": results}


def summarise(rounds: list[dict[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """Return one row per contestant; ``>`` where a round ended before the target."""
    rows: list[list[Any]] = []
    own = [item["results"].get(OURS, {}).get("seconds") for item in rounds]
    for name in names:
        runs = [item["results"][name] for item in rounds]
        broken = next((result["error"] for result in runs if "error" in result), None)
        if broken is not None:
            rows.append([name, None, None, None, None, None, broken[:48]])
            continue
        seconds = [result["seconds"] for result in runs]
        spent = median([result["spent"] for result in runs])
        reached = median(seconds)
        best = [result["best"] / item["target"] for result, item in zip(runs, rounds, strict=True)]
        row = [
            ratio([result["warm"] for result in runs], own),
            median([result["epochs"] for result in runs]),
            median(best),
        ]
        if reached is None:
            least = ratio([result["spent"] for result in runs], own)
            times = sum(value is not None for value in seconds)
            rows.append(
                [
                    name,
                    f"> {show(spent)}",
                    None if least is None else f"> {show(least)}",
                    *row,
                    f"reached in {times} of {len(seconds)} rounds",
                ]
            )
        else:
            rows.append([name, reached, ratio(seconds, own), *row, ""])
    return rows


def print_rows(workload: str, rounds: list[dict[str, Any]], rows: list[list[Any]]) -> None:
    """Print one data set's table."""
    target = median([item["target"] for item in rounds])
    widths = "-".join(map(str, WIDTHS[workload]))
    print_table(
        f"{workload} ({widths}): held-out MSE {show(target)} (median of {len(rounds)} rounds)",
        [
            "contestant",
            "seconds",
            "x ours",
            "x ours, their start left out",
            "epochs",
            "best / target",
            "note",
        ],
        rows,
    )


def main() -> None:
    """Run all rounds on all data sets and print one table each."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument("--workloads", nargs="+", choices=REAL_SIZE, default=REAL_SIZE)
    options.add_argument(
        "--contestants",
        nargs="+",
        choices=list(CONTESTANTS),
        default=list(CONTESTANTS),
        metavar="NAME",
    )
    options.add_argument("--tutorial-epochs", type=int, default=20)
    options.add_argument("--epochs", type=int, default=60, help="at most, for the others")
    options.add_argument("--max-seconds", type=float, default=300, help="at most, for the others")
    arguments = options.parse_args()
    names = [TUTORIAL, *(name for name in arguments.contestants if name != TUTORIAL)]
    everything = {}
    for workload in arguments.workloads:
        rounds = [one_round(workload, arguments, number) for number in range(arguments.rounds)]
        everything[workload] = rounds
        print_rows(workload, rounds, summarise(rounds, names))
    finish("time_to_quality", arguments, everything)


if __name__ == "__main__":
    main()
