"""What ``compression.py`` compares with: each gives the bytes of one array or table."""

from __future__ import annotations

import gzip
import io
import lzma

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LOSSLESS = ("gzip", "zstd-19", "xz-9", "Parquet", "pcodec", "blosc2")
LOSSY = ("SZ3", "zfp")


def packed(raw: bytes) -> dict[str, int]:
    """Return the sizes under general packers."""
    return {
        "gzip": len(gzip.compress(raw, 9)),
        "zstd-19": len(pa.Codec("zstd", 19).compress(raw, asbytes=True)),
        "xz-9": len(lzma.compress(raw, preset=9)),
    }


def parquet_bytes(table: pa.Table) -> int:
    """Return the size of a Parquet file with zstd at its highest usual level."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", compression_level=19)
    return sink.tell()


def smallest(*offers: dict[str, int]) -> dict[str, int]:
    """Return each peer's best: by rows or by columns, whichever suits it."""
    names = dict.fromkeys(name for offer in offers for name in offer)
    return {name: min(offer[name] for offer in offers if name in offer) for name in names}


def lossless(array: np.ndarray) -> dict[str, int]:
    """Return the sizes of a matrix or other array, every bit kept."""
    forms = [np.ascontiguousarray(array)]
    if array.ndim > 1:
        forms.append(np.ascontiguousarray(array.reshape(len(array), -1).T))
    found = smallest(*({**packed(form.tobytes()), **by_number(form)} for form in forms))
    flat = array.reshape(len(array), -1)
    if flat.shape[1] <= 2000:
        columns = {
            str(place): np.ascontiguousarray(flat[:, place]) for place in range(flat.shape[1])
        }
        found["Parquet"] = parquet_bytes(pa.table(columns))
    return found


def by_number(array: np.ndarray) -> dict[str, int]:
    """Return the sizes under what knows numbers."""
    import blosc2
    from pcodec import ChunkConfig, standalone

    found = {}
    if array.dtype.itemsize > 1:
        flat = array.ravel()
        found["pcodec"] = len(standalone.simple_compress(flat, ChunkConfig(compression_level=12)))
    sizes = []
    for shuffle in (blosc2.Filter.SHUFFLE, blosc2.Filter.BITSHUFFLE):
        settings = {
            "codec": blosc2.Codec.ZSTD,
            "clevel": 9,
            "filters": [shuffle],
            "nthreads": 1,
        }
        sizes.append(len(blosc2.compress2(array.tobytes(), typesize=array.itemsize, **settings)))
    found["blosc2"] = min(sizes)
    return found


def bounded(array: np.ndarray, error: float, shaped: bool) -> dict[str, int]:
    """Return the sizes within an absolute error, in either order of a matrix.

    Both are given float64 where the data are: bounds that they break are not counted.
    """
    floats = array if array.dtype.kind == "f" else array.astype(np.float32)
    floats = np.nan_to_num(np.ascontiguousarray(floats))
    forms = [floats] if shaped else [floats, np.ascontiguousarray(floats.T)]
    return smallest(*({"SZ3": sz3(form, error), "zfp": zfp(form, error)} for form in forms))


def sz3(array: np.ndarray, error: float) -> int:
    """Return the size under SZ3."""
    from pysz import sz, szConfig, szErrorBoundMode

    settings = szConfig()
    settings.errorBoundMode = szErrorBoundMode.ABS
    settings.absErrorBound = error
    return len(sz.compress(array, settings)[0])


def zfp(array: np.ndarray, error: float) -> int:
    """Return the size under zfp, which takes up to four axes."""
    import zfpy

    form = array.reshape(-1, *array.shape[-3:]) if array.ndim > 4 else array
    return len(zfpy.compress_numpy(np.ascontiguousarray(form), tolerance=error))
