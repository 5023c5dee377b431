"""Bytes of compressed files, beside general packers and lossy compressors of numbers.

Real tables and arrays, without loss and within 1e-2, 1e-3 and 1e-4 of each column's range
(of the whole range, where rows are pictures or fields). Ours is the whole file. Peers are
given every advantage: rows or columns, whichever is smaller, and no header counted. Within
a bound, packers get the whole numbers ``round((x - low) / (2 * bound))`` in the smallest
type that holds them, and 16 bytes for ``low`` and ``bound`` of each column are added; SZ3
and zfp get columns that were scaled to the same bound, and nothing is added. What is missing is
one more whole number for packers, and 0 for SZ3 and zfp.

Two things are asked: no file may be more than 1% + 256 bytes above that of the best peer; and the
best peer's bytes over ours, in the geometric mean of correlated tables within 1e-2 and 1e-3, should
be 1.4. A table is a matrix of at least 16 columns that is no picture; it is correlated if the
largest absolute rank correlation of a column with another is at least 0.5 in the mean of its
columns.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from autoencode.compression.effort import EFFORTS
from compression_peers import bounded, lossless, smallest
from harness import HERE, print_table

RELATIVE = (0.0, 1e-2, 1e-3, 1e-4)
PARQUET = ("Satellite", "cells", "spam", "Chicago", "weather", "diamonds", "credit_data", "Shuttle")
ADBENCH = ("14_glass", "18_Ionosphere", "19_landsat", "20_letter", "29_Pima", "40_vowels")
COADS = ("sst", "airt", "uwnd")
PICTURES = ("camera", "coins", "moon")
MOST_ABOVE, ABOVE_BYTES = 1.01, 256
FEWEST_COLUMNS, CORRELATED, RANKED_ROWS = 16, 0.5, 2000
SCIKIT = ("digits", "breast_cancer", "wine", "diabetes")


def numeric(path: Path) -> np.ndarray:
    """Return the columns of numbers of a Parquet file that have no missing cell."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    kept = [
        np.asarray(column)
        for column, field in zip(table.columns, table.schema, strict=True)
        if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
        and not column.null_count
    ]
    return np.stack([column.astype(np.float64) for column in kept], 1)


def sets(folder: Path, most_rows: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return all data by name, read when asked for."""
    from skimage import data as pictures
    from sklearn import datasets

    found: dict[str, Callable[[], np.ndarray]] = {}
    for name in SCIKIT:
        found[name] = lambda name=name: getattr(datasets, f"load_{name}")().data
    for name in PARQUET:
        found[name] = lambda name=name: numeric(folder / f"{name}.parquet")[:most_rows]
    for name in ADBENCH:
        path = folder / "adbench" / f"{name}.npz"
        found[name[name.index("_") + 1 :]] = lambda path=path: np.load(path)["X"][:most_rows]
    found["tecator"] = lambda: np.load(folder / "tecator.npz")["absorp"]
    found["pbmc68k"] = lambda: largest(np.load(folder / "pbmc68k_reduced.npz"))
    found["ecg"] = lambda: largest(np.load(folder / "ecg.npz"))[: 10 * most_rows, None]
    found["coads"] = lambda: largest(np.load(folder / "coads.npz"))[: most_rows // 100]
    for name in PICTURES:
        found[name] = lambda name=name: getattr(pictures, name)()
    found["mnist"] = lambda: largest(np.load(folder / "mnist.npz"))[: most_rows // 4]
    return found


def largest(archive: object) -> np.ndarray:
    """Return the largest array of numbers in an archive."""
    arrays = [archive[name] for name in archive.files]  # type: ignore[attr-defined,index]
    return max((array for array in arrays if array.dtype.kind in "iuf"), key=lambda a: a.size)


def ours(array: np.ndarray, relative: float, effort: str) -> tuple[int, float, float]:
    """Return the size of our file, and the seconds for compressing and decompressing it."""
    from autoencode import compress, decompress

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.aez"
        begun = time.process_time()
        size = compress(array, path, relative=relative or None, effort=effort)
        between = time.process_time()
        found = decompress(path)
        ended = time.process_time()
    check(array, found, relative)
    return size, between - begun, ended - between


def check(array: np.ndarray, found: np.ndarray, relative: float) -> None:
    """Fail unless every value is within its bound."""
    if not relative:
        assert array.tobytes() == found.tobytes()
        return
    axis = 0 if array.ndim == 2 else None
    span = np.nanmax(array, axis).astype(np.float64) - np.nanmin(array, axis)
    off = np.abs(array.astype(np.float64) - found)
    assert (np.isnan(array.astype(np.float64)) == np.isnan(off)).all()
    assert (np.nan_to_num(off) <= relative * span * (1 + 1e-12)).all()


def peers(array: np.ndarray, relative: float) -> dict[str, int]:
    """Return the sizes under all peers."""
    if not relative:
        return lossless(array)
    exact = array.astype(np.float64)
    axis = 0 if array.ndim == 2 else None
    low = np.nanmin(exact, axis)
    span = np.nanmax(exact, axis) - low
    unit = np.where(span > 0, span, 1.0)
    whole = np.rint(np.nan_to_num((exact - low) / (2 * relative * unit))).astype(np.int64)
    whole[np.isnan(exact)] = whole.max() + 1
    kind = next(t for t in (np.uint8, np.uint16, np.uint32) if whole.max() <= np.iinfo(t).max)
    scaled = ((exact - low) / unit).astype(array.dtype if array.dtype.kind == "f" else np.float32)
    packers = lossless(whole.astype(kind))
    # Low end and step of each column: without them the whole numbers mean nothing.
    needed = 16 * (array.shape[1] if array.ndim == 2 else 1)
    packers = {name: size + needed for name, size in packers.items()}
    return smallest(packers, bounded(scaled, relative, array.ndim != 2))


def correlation(array: np.ndarray) -> float:
    """Return the mean of each column's largest absolute rank correlation with another."""
    ranks = rankdata(array[:: max(1, len(array) // RANKED_ROWS)], axis=0)
    ranks = ranks[:, ranks.std(0) > 0]
    found = np.abs(np.corrcoef(ranks.T))
    np.fill_diagonal(found, 0.0)
    return float(found.max(0).mean())


def measure(name: str, array: np.ndarray, relative: float, effort: str) -> dict[str, object]:
    """Return one line of the result."""
    rivals = peers(array, relative)
    best = min(rivals, key=lambda peer: rivals[peer])
    size, seconds, back = ours(array, relative, effort)
    table = array.ndim == 2 and array.shape[1] >= FEWEST_COLUMNS and name not in PICTURES
    return {
        "name": name,
        "shape": array.shape,
        "type": array.dtype.name,
        "relative": relative,
        "ours": size,
        "best": best,
        "best_bytes": rivals[best],
        "ratio": rivals[best] / size,
        "above": size > MOST_ABOVE * rivals[best] + ABOVE_BYTES,
        "correlation": round(correlation(array), 3) if table else None,
        "seconds": round(seconds, 2),
        "seconds_back": round(back, 2),
        "peers": rivals,
    }


def show(lines: list[dict[str, object]]) -> None:
    """Print tables and means."""
    columns = ("data", "shape", "ours", "best peer", "its bytes", "its / ours", "s", "s back")
    for relative in RELATIVE:
        chosen = [line for line in lines if line["relative"] == relative]
        if not chosen:
            continue
        title = f"Within {relative:g} of the range" if relative else "Without loss"
        rows = [
            (line["name"], "x".join(map(str, line["shape"])), f"{line['ours']:,}", line["best"],
             f"{line['best_bytes']:,}", f"{line['ratio']:.3f}", f"{line['seconds']:.1f}",
             f"{line['seconds_back']:.2f}")
            for line in chosen
        ]  # fmt: skip
        print_table(title, columns, rows)
        above = [line["name"] for line in chosen if line["above"]]
        print(f"more than 1% + 256 bytes above the best peer: {', '.join(above) or 'none'}")
        tables = [line for line in chosen if line["correlation"] is not None]
        linked = [line for line in tables if line["correlation"] >= CORRELATED]
        for group, label in (
            (chosen, "all"),
            (tables, f"tables of {FEWEST_COLUMNS} columns or more"),
            (linked, "those of them that are correlated"),
        ):
            if group:
                mean = math.exp(sum(math.log(line["ratio"]) for line in group) / len(group))
                print(f"geometric mean of its / ours, {label} ({len(group)}): {mean:.3f}")
    found = {line["name"]: line["correlation"] for line in lines}
    ranked = sorted((value, name) for name, value in found.items() if value is not None)
    print("correlation: " + ", ".join(f"{name} {value:.2f}" for value, name in ranked))


def main() -> None:
    """Measure, print, and write lines of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--only", nargs="*", help="these sets")
    parser.add_argument("--relative", nargs="*", type=float, default=list(RELATIVE))
    parser.add_argument("--effort", default="default")
    parser.add_argument("--most-rows", type=int, default=20_000)
    parser.add_argument(
        "--training-seconds", type=float, help="limit of training by the clock: more if busy"
    )
    parser.add_argument("--minutes", type=float, default=14.0, help="stop starting sets after")
    parser.add_argument(
        "--lines",
        type=Path,
        help="a file of JSON lines to add to; what is in it is not measured again",
    )
    arguments = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    if arguments.training_seconds is not None:
        chosen = EFFORTS[arguments.effort]
        longer = replace(chosen, training_seconds=arguments.training_seconds)
        EFFORTS[arguments.effort] = longer
    lines = done(arguments.lines)
    known = {(line["name"], line["relative"]) for line in lines}
    begun = time.monotonic()
    read = {name: make() for name, make in sets(arguments.data, arguments.most_rows).items()}
    for name, array in sorted(read.items(), key=lambda item: item[1].nbytes):
        if arguments.only and name not in arguments.only:
            continue
        for relative in arguments.relative:
            if (name, relative) in known:
                continue
            if time.monotonic() - begun > 60 * arguments.minutes:
                print(f"time is up before {name} at {relative:g}")
                break
            lines.append(measure(name, array, relative, arguments.effort))
            if arguments.lines:
                with arguments.lines.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    show(lines)


def done(path: Path | None) -> list[dict[str, object]]:
    """Return the lines of an earlier run, which are not measured again."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
