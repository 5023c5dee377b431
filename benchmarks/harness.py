"""What every benchmark shares: alternated rounds, medians, tables, the machine's description."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER_PACKAGES = (
    "autoencode",
    "torch",
    "keras",
    "jax",
    "tensorflow",
    "pyod",
    "scikit-learn",
    "numpy",
    "onnxruntime",
)
BUSY = 0.1
"""Share of the cores' time taken by others from which times are not to be trusted."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Stopwatch:
    """Seconds that passed while it ran; it can be paused.

    Attributes
    ----------
    seconds : float
        Wall-clock seconds so far, pauses excluded.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._started = time.perf_counter()
        self._running = True

    @property
    def seconds(self) -> float:
        """Return the seconds counted so far."""
        running = time.perf_counter() - self._started if self._running else 0.0
        return self._before + running

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop counting within the block."""
        self._before, self._running = self.seconds, False
        try:
            yield
        finally:
            self._started, self._running = time.perf_counter(), True


class Neighbours:
    """How much of the cores' time others use, from its making on (Linux only)."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Return seconds: on the clock, used on all cores, used by us and ended children."""
        source = Path("/proc/stat")
        used = 0.0
        if source.exists():
            counts = [int(value) for value in source.read_text().split("\n")[0].split()[1:9]]
            # The fourth and fifth are idle time and waiting for files.
            used = (sum(counts) - counts[3] - counts[4]) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        return time.perf_counter(), used, sum(own[:4])

    def share(self) -> float:
        """Return the share of all cores' time that others used; 0 where unknown."""
        clock, used, own = (b - a for a, b in zip(self._before, self._now(), strict=True))
        return max(0.0, (used - own) / max(clock * (os.cpu_count() or 1), 1e-9))


WHOLE_RUN = Neighbours()


def parser(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has.

    Parameters
    ----------
    description : str
        First line of the help.
    rounds : int
        How often each contestant runs unless said otherwise.
    """
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    result.add_argument(
        "--data",
        type=Path,
        default=HERE.parent.parent / "shared" / "data",
        help="folder with Shuttle.parquet and mnist.npz",
    )
    result.add_argument("--json", type=Path, help="write every measurement to this file")
    result.add_argument("--rounds", type=int, default=rounds, help="rounds, alternated")
    result.add_argument(
        "--threads",
        type=int,
        default=None,
        help="threads for everybody; default: each library's own choice",
    )
    return result


def machine(threads: int | None) -> dict[str, Any]:
    """Describe the machine: processor, cores, threads asked for, load, system."""
    return {
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "threads": threads or f"each library's default ({os.cpu_count()} cores)",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    """Return the processor's name, its family and model where the name is not telling."""
    source = Path("/proc/cpuinfo")
    if not source.exists():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in source.read_text().split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    flags = facts.get("flags", "").split()
    kinds = [flag for flag in ("avx2", "avx512f", "amx_bf16") if flag in flags]
    name = facts.get("model name", platform.machine())
    where = f"family {facts.get('cpu family')} model {facts.get('model')}"
    return f"{name} ({where}; {', '.join(kinds) or 'no vector extensions known'})"


def versions(names: Sequence[str] = PEER_PACKAGES) -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    result = {}
    for name in names:
        try:
            result[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            result[name] = "not installed"
    return result


def run_child(
    program: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    threads: int | None,
    limit: float,
) -> dict[str, Any]:
    """Run a program of this folder in a process of its own and return its answer.

    Parameters
    ----------
    program : str
        File name; the last line that it prints is its answer in JSON.
    request, environment : mapping
        What to do, and variables beside the present ones.
    threads : int or None
        Cores that it may use and threads that it starts; None leaves both alone.
    limit : float
        Seconds after which the child is ended.

    Returns
    -------
    dict
        With ``error`` where there is none; always with ``used by others`` (`Neighbours`).
    """
    command = [sys.executable, str(HERE / program), "--child"]
    values = {**os.environ, **environment}
    if threads:
        values |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        command.append(str(threads))
    neighbours = Neighbours()
    pipes: dict[str, Any] = {"text": True, "capture_output": True, "check": False}
    try:
        done = subprocess.run(
            command, input=json.dumps(request), env=values, timeout=limit, **pipes
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {limit:.0f} s"}
    return {**_answer(done), "used by others": neighbours.share()}


def _answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return a child's answer, or the last line of its complaint."""
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reasons = done.stderr.strip().splitlines()
        return {"error": reasons[-1] if reasons else f"exit code {done.returncode}"}
    return json.loads(lines[-1])  # type: ignore[no-any-return]


def request_of_parent() -> dict[str, Any]:
    """Return what `run_child` asked this process for, after keeping to its cores.

    Some libraries (JAX, TensorFlow, onnxruntime) read no variable: they count the
    cores that the process may use. Call this before importing any of them.
    """
    if len(sys.argv) > 2 and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: int(sys.argv[2])])
    return json.load(sys.stdin)  # type: ignore[no-any-return]


def alternate(
    names: Sequence[str],
    rounds: int,
    run: Callable[[str, int], Any],
) -> dict[str, list[Any]]:
    """Run every contestant once per round, each round starting one place later.

    Parameters
    ----------
    names : sequence of str
        The contestants.
    rounds : int
        How many rounds.
    run : callable
        Takes a name and the round's number.

    Returns
    -------
    dict
        One list of results per name, in the order of the rounds.
    """
    results: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names) if names else 0
        for name in (*names[shift:], *names[:shift]):
            progress(f"round {number + 1}/{rounds}: {name}")
            results[name].append(run(name, number))
    return results


def progress(text: str) -> None:
    """Say on standard error what is being done."""
    print(f"  ... {text}", file=sys.stderr, flush=True)


def median(values: Sequence[float | None]) -> float | None:
    """Return the median; None where any value is missing (a target not reached)."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known and len(known) == len(values) else None


def ratio(
    numerators: Sequence[float | None],
    denominators: Sequence[float | None],
) -> float | None:
    """Return the median over rounds of the ratios within a round."""
    pairs = zip(numerators, denominators, strict=True)
    return median([a / b if a is not None and b else None for a, b in pairs])


def show(value: Any) -> str:
    """Format one cell: four significant digits, ``-`` for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table in Markdown, with its columns aligned."""
    cells = [list(columns), *([show(value) for value in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    print(f"\n{title}\n")
    for number, row in enumerate(cells):
        padded = [row[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("| " + " | ".join(padded) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def finish(name: str, arguments: argparse.Namespace, result: Mapping[str, Any]) -> None:
    """Print machine and versions; write everything as JSON where asked to.

    Parameters
    ----------
    name : str
        The benchmark's name.
    arguments : Namespace
        The command line.
    result : mapping
        All measurements.
    """
    facts, packages = machine(arguments.threads), versions()
    print("\n" + "; ".join(f"{key}: {value}" for key, value in facts.items()))
    print("versions: " + ", ".join(f"{key} {value}" for key, value in packages.items()))
    others = WHOLE_RUN.share()
    facts["used by others"] = round(others, 3)
    if others > BUSY:
        print(
            f"CAUTION: others used {others:.0%} of the cores meanwhile. That slows contestants "
            "with several threads far more than others: run this again."
        )
    if arguments.json is None:
        return
    settings = {key: value for key, value in vars(arguments).items() if key not in ("json", "data")}
    document = {
        "benchmark": name,
        "machine": facts,
        "versions": packages,
        "settings": settings,
        "result": result,
    }
    arguments.json.write_text(json.dumps(document, indent=1, default=str) + "\n")
