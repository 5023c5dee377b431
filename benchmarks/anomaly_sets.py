"""Tables whose rows have classes, one of which is taken for the anomalies.

No setting of `AnomalyDetector` was chosen on them: they say whether what was chosen on the other
tables holds elsewhere.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

Values = NDArray[np.float64]

ODD_SHARE = 0.1
"""Share of the anomalies among all rows; fewer are drawn where there are more."""

OTHERS = (
    *(f"wine {place}" for place in range(3)),
    "breast_cancer 0",
    *(f"digits {place}" for place in range(0, 10, 2)),
    *(f"penguins {place}" for place in range(3)),
    "spam 1",
    "cells 0",
)
"""A table, and the place of the class that is odd."""

_CLASSES = {"penguins": "species", "spam": "type", "cells": "class"}


def load_other(data: Path, name: str) -> tuple[Values, NDArray[np.int64]]:
    """Return complete rows of numbers, and which are anomalies (1)."""
    table, place = name.split()
    values, classes = _built_in(table) if table not in _CLASSES else _file(data, table)
    complete = ~np.isnan(values).any(1)
    values = values[complete]
    odd = (classes == np.unique(classes)[int(place)])[complete]
    most = round(ODD_SHARE / (1 - ODD_SHARE) * int((~odd).sum()))
    few = np.random.default_rng(0).permutation(np.flatnonzero(odd))[:most]
    kept = np.sort(np.concatenate([np.flatnonzero(~odd), few]))
    return values[kept], odd[kept].astype(np.int64)


def _built_in(table: str) -> tuple[Values, NDArray[np.str_]]:
    import sklearn.datasets

    found = getattr(sklearn.datasets, f"load_{table}")()
    return found.data.astype(np.float64), found.target.astype(str)


def _file(data: Path, table: str) -> tuple[Values, NDArray[np.str_]]:
    found = pq.read_table(data / f"{table}.parquet").to_pandas()
    numbers = found.select_dtypes("number").drop(columns=["year"], errors="ignore")
    return numbers.to_numpy(np.float64), found[_CLASSES[table]].astype(str).to_numpy()
