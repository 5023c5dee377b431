"""The data sets of the benchmarks, each with the widths that all contestants share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

WIDTHS = {
    "shuttle": (9, 64, 32, 4),
    "table": (30, 64, 16),
    "mnist": (784, 256, 64),
    "plane": (3, 2),
}
"""Values per row, hidden layers, code; every decoder mirrors its encoder."""

REAL_SIZE = ("shuttle", "table", "mnist")
"""Those on which time is measured; ``"plane"`` is the classic first example."""


@dataclass(frozen=True)
class Workload:
    """Rows to train on, rows held out, and the encoder's widths.

    Attributes
    ----------
    name : str
        One of `WIDTHS`.
    train, held_out : ndarray of float32
        ``(rows, values)``, in the units in which errors are given.
    widths : tuple of int
        From the values to the code.
    """

    name: str
    train: Rows
    held_out: Rows
    widths: tuple[int, ...]


def load(name: str, data: Path, *, quick: bool = False) -> Workload:
    """Return a data set.

    Parameters
    ----------
    name : str
        ``"shuttle"``: 58,000 x 9 sensor values, standardised by the training rows, a
        tenth held out; ``"table"``: 100,000 x 30 drawn by `low_rank_table`,
        standardised, 10,000 further rows held out; ``"mnist"``: 60,000 images of 784
        pixels in [0, 1], its 10,000 test images held out; ``"plane"``: `plane`, nothing
        held out.
    data : Path
        The folder with ``Shuttle.parquet`` and ``mnist.npz``.
    quick : bool
        Keep only 4,096 rows to train on and 1,000 held out.
    """
    if name == "plane":
        train = held_out = plane().astype(np.float32)
    else:
        train, held_out = {"shuttle": _shuttle, "table": _table, "mnist": _mnist}[name](data)
    if quick:
        train, held_out = train[:4096], held_out[:1000]
    return Workload(name, np.ascontiguousarray(train), np.ascontiguousarray(held_out), WIDTHS[name])


def low_rank_table(n_rows: int, n_columns: int, rank: int, seed: int) -> Rows:
    """Draw ``tanh`` of a random mixture of normal factors, plus noise of 0.1."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((rank, n_columns)) / np.sqrt(rank)
    signal = np.tanh(rng.standard_normal((n_rows, rank)) @ mixing)
    return (signal + 0.1 * rng.standard_normal(signal.shape)).astype(np.float32)


def plane(n_rows: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Draw points near a plane in three dimensions: an uneven arc, tilted, plus noise."""
    rng = np.random.default_rng(seed)
    angles = rng.random(n_rows) ** 0.75 * 3 * np.pi / 2
    flat = np.column_stack([np.cos(angles), 0.7 * np.sin(angles)])
    flat += 0.1 * rng.standard_normal(flat.shape)
    third = flat @ [0.1, 0.3] + 0.05 * rng.standard_normal(n_rows)
    return np.column_stack([flat, third])


def mirrored(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths of encoder and decoder together."""
    return (*widths, *widths[-2::-1])


def layer_shapes(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return (inputs, outputs) of every layer of encoder and decoder."""
    return list(pairwise(mirrored(widths)))


def _standardised(train: NDArray[np.floating], held_out: NDArray[np.floating]) -> tuple[Rows, Rows]:
    centre, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    scale[scale == 0] = 1.0
    return (
        ((train - centre) / scale).astype(np.float32),
        ((held_out - centre) / scale).astype(np.float32),
    )


def _shuttle(data: Path) -> tuple[Rows, Rows]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(data / "Shuttle.parquet").drop_columns(["Class"])
    values = np.column_stack([column.to_numpy() for column in table.columns])
    order = np.random.default_rng(0).permutation(len(values))
    n_held_out = len(values) // 10
    return _standardised(values[order[n_held_out:]], values[order[:n_held_out]])


def _table(data: Path) -> tuple[Rows, Rows]:
    values = low_rank_table(110_000, 30, 10, seed=0)
    return _standardised(values[:100_000], values[100_000:])


def _mnist(data: Path) -> tuple[Rows, Rows]:
    with np.load(data / "mnist.npz", allow_pickle=False) as archive:
        train, test = archive["x_train"], archive["x_test"]
    flat = [images.reshape(len(images), -1).astype(np.float32) / 255 for images in (train, test)]
    return flat[0], flat[1]
