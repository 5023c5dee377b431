"""MB of decoded data a second of one core, compressed and decompressed, beside others.

Ours is the whole way from an array to a file in memory's reach and back, checks of hashes
included. ``coding`` is what is left of compressing once models are chosen and trained: the
integers to bytes. Peers get the array as it is, and pcodec and the packers what suits them.
"""

from __future__ import annotations

import argparse
import io
import lzma
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compression import largest, numeric
from harness import HERE, print_table

EFFORTS = ("fast", "default")


def data(folder: Path, n_rows: int) -> dict[str, tuple[Callable[[], np.ndarray], float]]:
    """Return arrays by name, made when asked for, and the bound of each as a share of the range."""
    return {
        "diamonds, without loss": (lambda: numeric(folder / "diamonds.parquet"), 0.0),
        "correlated float32, 1e-3": (lambda: correlated(n_rows, np.float32), 1e-3),
        "correlated float64, 1e-3": (lambda: correlated(n_rows // 2, np.float64), 1e-3),
        "Satellite, 1e-2": (lambda: numeric(folder / "Satellite.parquet"), 1e-2),
        "MNIST, 1,000 pictures": (lambda: largest(np.load(folder / "mnist.npz"))[:1000], 0.0),
    }


def correlated(n_rows: int, dtype: type) -> np.ndarray:
    """Return 20 columns that six others make up, with noise."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(n_rows, 6)) @ rng.normal(size=(6, 20))
    return (mixed + 0.05 * rng.normal(size=mixed.shape)).astype(dtype)


@contextmanager
def coding() -> Iterator[list[float]]:
    """Collect the seconds that go into coding integers whose models are chosen."""
    from autoencode.compression import field_part, integer_part, masked_part
    from autoencode.compression.field_model import FieldWalk

    found: list[float] = []

    def timed(work: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            begun = time.process_time()
            try:
                return work(*arguments)
            finally:
                found.append(time.process_time() - begun)

        return run

    encode, walk = integer_part.encode_table, FieldWalk.run
    integer_part.encode_table = masked_part.encode_table = timed(encode)
    field_part.FieldWalk.run = timed(walk)
    try:
        yield found
    finally:
        integer_part.encode_table = masked_part.encode_table = encode
        field_part.FieldWalk.run = walk


def ours(array: np.ndarray, relative: float, effort: str, repeats: int) -> list[float]:
    """Return bytes, and the seconds of compressing, of coding alone and of decompressing."""
    from autoencode import compress, decompress

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.aez"
        with coding() as spent:
            begun = time.process_time()
            size = compress(array, path, relative=relative or None, effort=effort, n_threads=1)
            taken = time.process_time() - begun
        back = min(clocked(lambda: decompress(path, n_threads=1)) for _ in range(repeats))
    # The last model coded is the one that stayed, or nearly as large.
    return [size, taken, spent[-1] if spent else 0.0, back]


def clocked(work: Callable[[], object]) -> float:
    """Return the seconds of processor time of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def peers(
    array: np.ndarray,
) -> Iterator[tuple[str, Callable[[], bytes], Callable[[bytes], object]]]:
    """Yield names, and functions that pack and unpack."""
    import blosc2
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pcodec import ChunkConfig, standalone

    raw = np.ascontiguousarray(array)
    codec = pa.Codec("zstd", 19)
    yield (
        "zstd-19",
        lambda: codec.compress(raw.tobytes(), asbytes=True),
        lambda packed: codec.decompress(packed, raw.nbytes),
    )
    yield "xz-9", lambda: lzma.compress(raw.tobytes(), preset=9), lzma.decompress
    if raw.itemsize > 1:
        config = ChunkConfig(compression_level=12)
        turned = np.ascontiguousarray(raw.T).ravel()
        yield (
            "pcodec",
            lambda: standalone.simple_compress(turned, config),
            standalone.simple_decompress,
        )
    settings = {
        "codec": blosc2.Codec.ZSTD,
        "clevel": 9,
        "filters": [blosc2.Filter.SHUFFLE],
        "nthreads": 1,
    }
    yield (
        "blosc2",
        lambda: blosc2.compress2(raw.tobytes(), typesize=raw.itemsize, **settings),
        lambda packed: blosc2.decompress2(packed, nthreads=1),
    )
    flat = raw.reshape(len(raw), -1)
    table = pa.table({str(at): np.ascontiguousarray(flat[:, at]) for at in range(flat.shape[1])})

    def write() -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd", compression_level=19)
        return sink.getvalue()

    yield "Parquet", write, lambda packed: pq.read_table(io.BytesIO(packed), use_threads=False)


def measure(array: np.ndarray, relative: float, repeats: int) -> list[list[str]]:
    """Return a row for each way."""
    size = array.nbytes / 1e6
    rows = []
    for effort in EFFORTS:
        n_bytes, taken, coded, back = ours(array, relative, effort, repeats)
        name = "ours" if effort == "default" else f"ours, {effort}"
        rows.append([name, f"{n_bytes:,.0f}", *rates(size, taken, coded, back)])
    for name, pack, unpack in peers(array):
        begun = time.process_time()
        packed = pack()
        taken = time.process_time() - begun
        back = min(
            clocked(lambda unpack=unpack, packed=packed: unpack(packed)) for _ in range(repeats)
        )
        label = f"{name}, without loss" if relative else name
        rows.append([label, f"{len(packed):,}", *rates(size, taken, 0.0, back)])
    return rows


def rates(size: float, *seconds: float) -> list[str]:
    """Return MB a second for each number of seconds, none where there is none."""
    return [f"{size / spent:,.1f}" if spent else "" for spent in seconds]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of what is drawn")
    parser.add_argument("--only", help="sets whose name begins so")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many counts")
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    columns = ("way", "bytes", "compress, MB/s", "coding alone", "decompress")
    for name, (make, relative) in data(options.data, options.rows).items():
        if options.only and not name.startswith(options.only):
            continue
        array = make()
        title = (
            f"{name}: {'x'.join(map(str, array.shape))} {array.dtype}, {array.nbytes / 1e6:.1f} MB"
        )
        print_table(title, columns, measure(array, relative, options.repeats))


if __name__ == "__main__":
    main()
