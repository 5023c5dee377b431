"""Bytes of files with a network, beside the same without one and linear autoregression alone.

Whole files, the network among them. Linear autoregression alone predicts each column in closed form
from those before it and from earlier rows (pictures from their neighbours), with one scale for each
column; "without" is that with contexts, adaptive tables and packers, which is what ``--no-model``
gives; "with" is the default. Smaller is better; all rows are used unless ``--most-rows`` says less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autoencode import compress
from autoencode.compression.effort import EFFORTS, Effort
from compression import sets
from harness import HERE, print_table, versions

# Tables with all their columns, of text too, and stacks of pictures.
TABLES = ("weather", "diamonds", "credit_data")
MATRICES = ("cells", "Satellite", "Shuttle", "letter", "Chicago")


def data_by_name(folder: Path, most_rows: int) -> dict[str, Callable[[], Any]]:
    """Return all data, read when asked for."""
    import pyarrow.parquet as pq
    from sklearn.datasets import load_digits

    matrices = sets(folder, most_rows)
    found: dict[str, Callable[[], Any]] = {name: matrices[name] for name in MATRICES}
    for name in TABLES:
        path = folder / f"{name}.parquet"
        found[f"{name} (table)"] = lambda path=path: pq.read_table(path).slice(0, most_rows)
    found["digit pictures"] = lambda: load_digits().images.astype(np.uint8)[:most_rows]
    found["mnist"] = lambda: sets(folder, min(most_rows, 4000))["mnist"]()
    return found


def size(data: Any, relative: float, effort: Effort) -> int:
    """Return the bytes of a file."""
    kept, EFFORTS["default"] = EFFORTS["default"], effort
    try:
        with tempfile.TemporaryDirectory() as folder:
            return compress(data, Path(folder) / "x.aez", relative=relative or None, n_threads=1)
    finally:
        EFFORTS["default"] = kept


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--only", nargs="*", help="these sets")
    parser.add_argument("--relative", nargs="*", type=float, default=[0.0, 1e-2, 1e-3])
    parser.add_argument("--most-rows", type=int, default=10**9)
    parser.add_argument(
        "--training-seconds",
        type=float,
        default=EFFORTS["default"].training_seconds,
        help="limit of training by the clock; more on a busy machine",
    )
    arguments = parser.parse_args()
    print(versions(("numpy", "torch", "pcodec")))
    learned = replace(EFFORTS["default"], training_seconds=arguments.training_seconds)
    linear = replace(learned, training_steps=0)
    alone = replace(linear, most_sources=0)
    rows = []
    for name, read in data_by_name(arguments.data, arguments.most_rows).items():
        if arguments.only and name not in arguments.only:
            continue
        data = read()
        for relative in arguments.relative:
            begun = time.process_time()
            found = [size(data, relative, effort) for effort in (alone, linear, learned)]
            spent = time.process_time() - begun
            rows.append(
                (
                    name,
                    f"{relative:g}" if relative else "no loss",
                    *(f"{count:,}" for count in found),
                    f"{found[2] / found[0] - 1:+.1%}",
                    f"{found[2] / found[1] - 1:+.1%}",
                    f"{spent:.0f}",
                )
            )
            print(*rows[-1], flush=True)
    columns = ("data", "within", "linear alone", "without", "with", "to linear", "to without", "s")
    print_table("Bytes of whole files", columns, rows)


if __name__ == "__main__":
    main()
