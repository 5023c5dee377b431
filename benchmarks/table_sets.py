"""The tables of the table benchmarks, their cells as numbers, hiding cells, keeping results.

Which tables, rows and columns are used was fixed before any result was seen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness import BUSY, HERE, WHOLE_RUN, Neighbours, machine, progress, versions

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

AT_RANDOM = (
    "penguins",
    "credit_data",
    "diamonds",
    "weather",
    "Satellite",
    "Soybean",
    "wine",
    "breast_cancer",
)
"""Five mixed tables, one of categories alone, two of numbers alone (scikit-learn's)."""

NOT_AT_RANDOM = ("wine", "breast_cancer", "diabetes", "diamonds", "Satellite", "cells")
"""Their numeric columns alone are used."""

BUILT_IN = ("wine", "breast_cancer", "diabetes")
"""scikit-learn's, without their targets."""

LEFT_OUT = {
    # Constant: an error cannot be measured in standard deviations that are 0; and a text
    # that is unique but for the three airports, and says what four other columns say.
    "weather": ("year", "time_hour"),
    # Two values only: hiding the upper one leaves a constant.
    "diabetes": ("sex",),
}
"""Columns that nobody gets."""

MOST_ROWS = 2_000
"""Rows, drawn anew for every seed, of tables that have more."""

HIDDEN = 0.2
"""Share of the cells that are hidden completely at random."""

PACKAGES = ("autoencode", "scikit-learn", "numpy", "pyarrow", "torch")


@dataclass(frozen=True)
class Cells:
    """The cells of a table as numbers.

    Attributes
    ----------
    names : tuple of str
        One per column.
    levels : tuple of (tuple of str or None)
        The levels of a categorical column, None for a numeric one.
    values : ndarray of float64
        ``(rows, columns)``: a number or the place of the level; NaN = missing.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[str, ...] | None, ...]
    values: Values

    @property
    def categorical(self) -> Mask:
        """Return for every column whether it has levels."""
        return np.array([levels is not None for levels in self.levels])

    def without(self, hidden: Mask) -> Cells:
        """Return the same cells, these ones missing."""
        return replace(self, values=np.where(hidden, np.nan, self.values))


def load_table(name: str, data: Path, seed: int, most_rows: int | None = None) -> pa.Table:
    """Return a table without the columns that nobody gets.

    Parameters
    ----------
    name : str
        Of `BUILT_IN`, or a Parquet file's without its suffix.
    data : Path
        The folder with the Parquet files.
    seed : int
        Draws the rows where there are more than `most_rows`.
    most_rows : int, optional
        None: all.
    """
    if name in BUILT_IN:
        import sklearn.datasets

        source = getattr(sklearn.datasets, f"load_{name}")()
        names = [str(column) for column in source.feature_names]
        table = pa.table(dict(zip(names, source.data.T, strict=True)))
    else:
        table = pq.read_table(data / f"{name}.parquet").replace_schema_metadata(None)
    table = table.drop_columns(list(LEFT_OUT.get(name, ())))
    if most_rows is not None and len(table) > most_rows:
        rng = np.random.default_rng([seed, 0])
        table = table.take(rng.choice(len(table), most_rows, replace=False))
    return table.combine_chunks()


def is_categorical(kind: pa.DataType) -> bool:
    """Return whether columns of an Arrow type are categorical in these benchmarks."""
    tests = (pa.types.is_dictionary, pa.types.is_string, pa.types.is_large_string)
    return any(test(kind) for test in tests)


def numeric_columns(table: pa.Table) -> pa.Table:
    """Return the numeric columns alone."""
    return table.select([field.name for field in table.schema if not is_categorical(field.type)])


def cells_of(table: pa.Table, like: Cells | None = None) -> Cells:
    """Return the cells of a table as numbers.

    Parameters
    ----------
    table : pyarrow.Table
        Of numbers, texts and dictionaries.
    like : Cells, optional
        Whose levels to use. Default: the table's own, sorted.
    """
    columns: list[Values] = []
    levels: list[tuple[str, ...] | None] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not is_categorical(column.type):
            levels.append(None)
            columns.append(_numbers(column))
            continue
        texts = pc.cast(column, pa.string())
        known = None if like is None else like.levels[like.names.index(name)]
        if known is None:
            known = tuple(sorted(pc.unique(texts.drop_null()).to_pylist()))
        levels.append(known)
        columns.append(_numbers(pc.index_in(texts, pa.array(known, pa.string()))))
    return Cells(tuple(table.column_names), tuple(levels), np.column_stack(columns))


def _numbers(column: pa.ChunkedArray) -> Values:
    filled = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return filled.to_numpy()  # type: ignore[no-any-return]


def table_without(table: pa.Table, hidden: Mask) -> pa.Table:
    """Return the same table with these cells null."""
    columns = []
    for column, gone in zip(table.columns, hidden.T, strict=True):
        kept = np.where(gone, -1, np.arange(len(table)))
        # A null index gives a null, whatever the column's type is.
        columns.append(column.take(pa.array(kept, mask=kept < 0)))
    return pa.table(columns, schema=table.schema)


def hide(cells: Cells, mechanism: str, seed: int) -> Mask:
    """Choose cells to hide, of those observed.

    Parameters
    ----------
    cells : Cells
        The complete table, but for cells that are missing in it by nature.
    mechanism : str
        ``"random"``: each with probability `HIDDEN`. ``"upper"``: of the largest 30% of
        every numeric column each with probability 0.8. ``"self"``: in the first half of
        the numeric columns every value above the mean (Ipsen, Mattei and Frellsen 2021,
        section 4.1: not-MIWAE).
    seed : int
        Draws them.
    """
    rng = np.random.default_rng([seed, 1])
    observed = ~np.isnan(cells.values)
    chances = rng.random(cells.values.shape)
    if mechanism == "random":
        return observed & (chances < HIDDEN)
    numeric = np.flatnonzero(~cells.categorical)
    hidden = np.zeros_like(observed)
    if mechanism == "self":
        numeric = numeric[: len(numeric) // 2]
        means = np.nanmean(cells.values[:, numeric], axis=0)
        hidden[:, numeric] = cells.values[:, numeric] > means
        return hidden
    for column in numeric:
        # NaN sorts last, ties by chance.
        order = np.lexsort((rng.random(len(hidden)), cells.values[:, column]))
        n_observed = int(observed[:, column].sum())
        largest = order[n_observed - round(0.3 * n_observed) : n_observed]
        hidden[largest, column] = chances[largest, column] < 0.8
    return hidden


class Results:
    """Measurements in a file of JSON lines; those it has already are not repeated.

    Parameters
    ----------
    path : Path or None
        Where; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.kept: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self.kept = [json.loads(line) for line in path.read_text().splitlines() if line]

    def get(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the measurement with this key: the one kept, or a new one, then kept."""
        for line in self.kept:
            if all(line.get(name) == value for name, value in key.items()):
                return line
        progress(" ".join(map(str, key.values())))
        neighbours = Neighbours()
        line = {**key, **measure(), "used by others": round(neighbours.share(), 3)}
        self.kept.append(line)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        return line


@contextmanager
def timed(line: dict[str, Any]) -> Iterator[None]:
    """Write the seconds of the block into a measurement: on the clock, and on all cores."""
    clock, cores = time.perf_counter(), time.process_time()
    yield
    line["seconds"] = time.perf_counter() - clock
    line["core seconds"] = time.process_time() - cores


def table_parser(description: str, tables: Sequence[str], seeds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every table benchmark has."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    result.add_argument("--quick", action="store_true", help="few rows: does it run at all?")
    result.add_argument(
        "--data",
        type=Path,
        default=HERE.parent.parent / "shared" / "data",
        help="folder with the Parquet files",
    )
    result.add_argument("--tables", nargs="+", default=list(tables), metavar="TABLE")
    result.add_argument("--seeds", nargs="+", type=int, default=list(range(seeds)), metavar="SEED")
    result.add_argument(
        "--json", type=Path, help="file of JSON lines: what it has is not measured again"
    )
    return result


def print_machine(peers: Sequence[str] = ()) -> None:
    """Print the machine, versions (of peers' packages too), and whether others used its cores."""
    print("\n" + "; ".join(f"{key}: {value}" for key, value in machine(None).items()))
    print(
        "versions: "
        + ", ".join(f"{key} {value}" for key, value in versions((*PACKAGES, *peers)).items())
    )
    others = WHOLE_RUN.share()
    if others > BUSY:
        print(f"CAUTION: others used {others:.0%} of the cores meanwhile: seconds are not to be")
        print("trusted; `used by others` in the file tells for every single measurement.")


def installed_ours(name: str) -> bool:
    """Return whether the package has this public name."""
    import autoencode

    return hasattr(autoencode, name)
