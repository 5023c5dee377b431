"""The command on whole tables without an option: seconds, memory, quality, same schema.

For every table ``autoencode fit``, ``encode``, ``decode`` and ``reconstruct`` run as a
user runs them, each in a process of its own. What is decoded and what is reconstructed
must have the Arrow schema of the table. The quality per column is what ``fit --json``
says of held-out rows and, beside it, what the reconstructed file gives over all rows:
R² of numbers, and of categories the share that is right beside that of the most
frequent level.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from harness import print_table
from table_sets import Results, cells_of, print_machine, table_parser

TABLES = ("flights", "diamonds", "penguins", "Soybean", "credit_data", "weather")
STEPS = ("fit", "encode", "decode", "reconstruct")
Line = dict[str, Any]


def run(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Run the command in a folder.

    Returns
    -------
    tuple of (str, float, float)
        What it wrote to standard output, seconds on the clock, and gigabytes of its
        memory at most (10^9 bytes; never less than this process has, some 0.1).

    Raises
    ------
    RuntimeError
        If it fails, with the last line of its complaint.
    """
    program = Path(sys.executable).with_name("autoencode")
    with (folder / "output").open("w+") as output, (folder / "complaint").open("w+") as complaint:
        started = time.perf_counter()
        child = subprocess.Popen(
            [str(program), *command], cwd=folder, stdout=output, stderr=complaint
        )
        # The only way to learn the memory of this one child.
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (output, complaint):
            file.seek(0)
        if child.returncode:
            lines = complaint.read().strip().splitlines() or [f"exit code {child.returncode}"]
            raise RuntimeError(f"autoencode {' '.join(command)}: {lines[-1]}")
        unit = 1 if sys.platform == "darwin" else 1024
        return output.read(), seconds, usage.ru_maxrss * unit / 1e9


def measure(name: str, seed: int, arguments: argparse.Namespace) -> Line:
    """Run every step on one table and compare the schemas."""
    source = (arguments.data / f"{name}.parquet").resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.quick:
            pq.write_table(pq.read_table(source).slice(0, 300), folder / "table.parquet")
            source = folder / "table.parquet"
        commands = {
            "fit": f"fit {source} -o model.safetensors --report report.html --json --seed {seed}",
            "encode": f"encode model.safetensors {source} -o codes.parquet",
            "decode": "decode model.safetensors codes.parquet -o decoded.parquet",
            "reconstruct": f"reconstruct model.safetensors {source} -o reconstructed.parquet",
        }
        line: Line = {"seconds": {}, "gigabytes": {}}
        for step in STEPS:
            output, line["seconds"][step], line["gigabytes"][step] = run(
                commands[step].split(), folder
            )
            if step == "fit":
                line["fit"] = json.loads(output)
        line["schema"] = {
            step: schema_difference(source, folder / f"{step}.parquet")
            for step in ("decoded", "reconstructed")
        }
        line["bytes"] = {
            made: (folder / made).stat().st_size for made in ("model.safetensors", "report.html")
        }
        line["quality"] = quality(source, folder / "reconstructed.parquet")
    return line


def schema_difference(source: Path, made: Path) -> str:
    """Return what differs between the schemas of two files; empty where they are equal."""
    wanted, given = pq.read_schema(source), pq.read_schema(made)
    if given.equals(wanted):
        return ""
    missing = [str(field) for field in wanted if field not in list(given)]
    return "; ".join(missing) or "the order of the columns"


def quality(source: Path, made: Path) -> dict[str, Line]:
    """Return how much of every column a reconstruction over all rows keeps.

    Cells that the table misses do not count; what is restored as missing (identifiers)
    has no quality.
    """
    table = pq.read_table(source)
    truth = cells_of(table)
    made_table = pq.read_table(made)
    result = {}
    for place, name in enumerate(truth.names):
        true, levels = truth.values[:, place], truth.levels[place]
        given = cells_of(made_table.select([name]), truth).values[:, 0]
        known = ~np.isnan(true)
        true, given = true[known], given[known]
        kind = "numeric" if levels is None else "categorical"
        line: Line = {"kind": kind, "missing": float(np.mean(np.isnan(given)))}
        if levels is not None:
            line["right"] = float(np.mean(true == given))
            line["most frequent"] = float(np.bincount(true.astype(int)).max() / len(true))
        elif np.ptp(true) > 0 and not np.isnan(given).any():
            line["R²"] = float(1 - np.mean((true - given) ** 2) / np.var(true))
        result[name] = line
    return result


def report(lines: dict[str, Line]) -> None:
    """Print steps, schemas and the quality of every column."""
    rows = []
    for name, line in lines.items():
        seconds, gigabytes = line["seconds"], line["gigabytes"]
        same = "; ".join(f"{step}: {what}" for step, what in line["schema"].items() if what)
        fit = line["fit"]
        rows.append(
            [
                name,
                fit["n_components"],
                fit.get("explained_variance"),
                *(seconds[step] for step in STEPS),
                gigabytes["fit"],
                max(gigabytes.values()),
                same or "equal",
            ]
        )
    columns = ["table", "components", "explained", *(f"{step}, s" for step in STEPS)]
    print_table("the command without an option", [*columns, "fit, GB", "most, GB", "schema"], rows)
    for name, line in lines.items():
        told = {column["name"]: column for column in line["fit"].get("columns", [])}
        rows = []
        for column, one in line["quality"].items():
            says = told.get(column, {})
            rows.append(
                [
                    column,
                    *(says.get(key) for key in ("detail", "measure", "quality", "baseline")),
                    one.get("R²", one.get("right")),
                    one.get("most frequent"),
                    one["missing"],
                ]
            )
        columns = ["column", "detail", "measure", "held out", "its baseline"]
        columns += ["all rows: R² or right", "most frequent", "restored as missing"]
        print_table(f"{name}: what `fit --json` says, and all rows", columns, rows)


def main() -> None:
    """Measure every table that the file does not have yet."""
    options = table_parser(__doc__.splitlines()[0], TABLES, seeds=1)
    arguments = options.parse_args()
    results = Results(arguments.json)
    lines = {}
    for name in arguments.tables:
        for seed in arguments.seeds:
            key = {"benchmark": "tables", "quick": arguments.quick, "table": name, "seed": seed}
            label = name if len(arguments.seeds) == 1 else f"{name}, seed {seed}"
            lines[label] = results.get(key, partial(measure, name, seed, arguments))
    report(lines)
    print_machine()
    different = [name for name, line in lines.items() if any(line["schema"].values())]
    if different:
        sys.exit(f"other schemas than the table's: {', '.join(different)}")


if __name__ == "__main__":
    main()
