"""Bytes of stacks of small pictures without loss, beside codecs of pictures.

JPEG XL, WebP and PNG get each picture by itself, without any container, and all pictures as
one sheet; ours is the whole file with its network. Each codec is set to its strongest.
"""

from __future__ import annotations

import argparse
import gzip
import math
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import HERE, print_table


def pictures(name: str, folder: Path) -> np.ndarray:
    """Return a stack of grey pictures of whole numbers."""
    if name == "digits":
        from sklearn.datasets import load_digits

        return load_digits().images.astype(np.uint8)
    if name == "mnist":
        archive = np.load(folder / "mnist.npz")
        stacks = [archive[key] for key in archive.files if archive[key].ndim == 3]
        return min(stacks, key=len)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


def sheet(stack: np.ndarray) -> np.ndarray:
    """Lay pictures out side by side; the last row is filled up with 0."""
    across = math.ceil(math.sqrt(len(stack)))
    down = -(-len(stack) // across)
    filled = np.zeros((down * across, *stack.shape[1:]), stack.dtype)
    filled[: len(stack)] = stack
    tiles = filled.reshape(down, across, *stack.shape[1:]).swapaxes(1, 2)
    return tiles.reshape(down * stack.shape[1], across * stack.shape[2])


def peers(stack: np.ndarray) -> dict[str, int]:
    """Return the bytes of each peer, for single pictures and for a sheet."""
    import imagecodecs

    codecs = {
        "JPEG XL": lambda picture: imagecodecs.jpegxl_encode(picture, lossless=True, effort=9),
        "WebP": lambda picture: imagecodecs.webp_encode(
            np.repeat(picture[..., None], 3, -1), lossless=True, level=100
        ),
        "PNG": lambda picture: imagecodecs.png_encode(picture, level=9),
    }
    found = {}
    for name, encode in codecs.items():
        found[name] = sum(len(encode(picture)) for picture in stack)
        found[f"{name} sheet"] = len(encode(sheet(stack)))
    return found


def ours(stack: np.ndarray, effort: str) -> tuple[int, float, float]:
    """Return the bytes of our file, and the seconds of one core for both ways."""
    from autoencode import compress, decompress

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.aez"
        begun = time.process_time()
        size = compress(stack, path, effort=effort)
        between = time.process_time()
        found = decompress(path)
        ended = time.process_time()
    assert found.tobytes() == stack.tobytes()
    return size, between - begun, ended - between


def main() -> None:
    """Compare on one stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("fashion", "mnist", "digits"))
    parser.add_argument("--folder", type=Path, default=HERE / "data", help="where the data are")
    parser.add_argument("--most", type=int, default=10_000, help="pictures, at most")
    parser.add_argument("--effort", default="default", choices=("fast", "default", "best"))
    options = parser.parse_args()
    stack = pictures(options.name, options.folder)[: options.most]
    size, seconds, back = ours(stack, options.effort)
    print(f"{options.name}, {len(stack)} of {stack.shape[1:]}: ours {size:,} bytes, ", end="")
    print(f"{seconds:.1f} s to compress and check, {back:.1f} s to decompress", flush=True)
    rows = [[name, f"{peer:,}", f"{size / peer:.3f}"] for name, peer in peers(stack).items()]
    print_table(f"{options.name}, without loss", ("peer", "bytes", "ours / its"), rows)


if __name__ == "__main__":
    main()
