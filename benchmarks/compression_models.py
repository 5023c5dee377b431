"""What a model saves that many small files share, and what codes of an autoencoder take.

``shared``: a model is learned from 10,000 rows of a table; 20 files of 500 other rows each are
compressed alone and by the model. ``codes``: bytes of codes against distortion, beside the
same data without loss.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits

from autoencode import Autoencoder, compress, decompress
from autoencode.compression.code_steps import distortion

SEED, LEARNED, ROWS = 0, 10_000, 500


def shared(data: Path, name: str, n_files: int, effort: str, folder: Path) -> None:
    """Compress files alone and by a model."""
    table = pq.read_table(data / f"{name}.parquet")
    if name == "diamonds":  # its rows are sorted: files are drawn from all
        table = table.take(np.random.default_rng(SEED).permutation(len(table)))
    begun = time.perf_counter()
    model = folder / f"{name}.aem"
    big = compress(table.slice(0, LEARNED), folder / "big.aez", save_model=model, effort=effort)
    learning = time.perf_counter() - begun
    sizes = []
    for number in range(n_files):
        rows = table.slice(LEARNED + number * ROWS, ROWS)
        pq.write_table(rows, folder / "x.parquet", compression="zstd", compression_level=19)
        by_model = compress(rows, folder / "m.aez", model=model)
        alone = compress(rows, folder / "a.aez")
        if not decompress(folder / "m.aez", model=model).equals(rows):
            raise SystemExit(f"{name}: file {number} does not come back")
        sizes.append(((folder / "x.parquet").stat().st_size, alone, by_model))
    parquet, alone, by_model = np.sum(sizes, axis=0).tolist()
    print(f"{name}: model {model.stat().st_size:,} bytes, learned in {learning:.0f} s from rows "
          f"that take {big:,} with it; {n_files} files of {ROWS} rows: Parquet {parquet:,}, "
          f"alone {alone:,}, by the model {by_model:,} ({by_model / alone - 1:+.1%})",
          flush=True)  # fmt: skip


def codes(
    name: str, rows: Any, sizes: tuple[int, ...], options: dict[str, Any], folder: Path
) -> None:
    """Compress by codes of several lengths."""
    lossless = compress(rows, folder / "x.aez", effort="fast")
    print(f"{name}: without loss (fast) {lossless:,} bytes", flush=True)
    for size in sizes:
        fitted = Autoencoder(size, random_state=SEED, **options).fit(rows)
        model = folder / "m.safetensors"
        fitted.save(model)
        n_bytes = compress(rows, folder / "c.aez", model=model, codes=True, effort="fast")
        found = decompress(folder / "c.aez", model=model)
        exact = fitted.reconstruct(rows)
        names = exact.column_names if isinstance(rows, pa.Table) else None
        given = rows if names is None else rows.select(names)
        stored = distortion(given, found if names is None else found.select(names))[1]
        floats = len(rows) * fitted.n_components_ * 4
        print(f"  {fitted.n_components_} components: {n_bytes:,} bytes (as float32 {floats:,}; "
              f"model {model.stat().st_size:,}), distortion {stored:.4f}, of exact codes "
              f"{distortion(given, exact)[1]:.4f}", flush=True)  # fmt: skip


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["shared", "codes"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tables", nargs="*", default=["diamonds", "weather"])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--effort", default="default")
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.part == "shared":
            for table in options.tables:
                shared(options.data, table, options.files, options.effort, folder)
            return
        fitting = {"max_epochs": options.epochs}
        codes("digits", load_digits().images.astype(np.uint8), (4, 16), fitting, folder)
        with np.load(options.data / "mnist.npz") as held:
            pictures = next(held[key] for key in held.files if held[key].ndim == 3)
        codes("MNIST, 3,000", np.ascontiguousarray(pictures[:3000]), (16,), fitting, folder)
        cells = pq.read_table(options.data / "cells.parquet")
        codes("cells", cells, (8,), fitting, folder)


if __name__ == "__main__":
    main()
