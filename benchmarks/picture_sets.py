"""The pictures of the benchmarks: digits, clothes and parts of photographs."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]

SETS = ("mnist", "fashion")
FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts its files."""

TRAIN_PHOTOS = ("astronaut", "cat", "coffee", "immunohistochemistry", "brick", "gravel", "rocket")
TEST_PHOTOS = ("camera", "coins", "grass", "page")
"""Of scikit-image, those that need no download."""
DENOISING_PHOTOS = (
    *TRAIN_PHOTOS,
    "moon",
    "clock",
    "hubble_deep_field",
    "text",
    "stereo_motorcycle",
)
"""More to train on, for what takes larger parts of fewer pictures."""


def load_pictures(name: str, data: Path, *, test: bool) -> tuple[Pictures, NDArray[np.int64]]:
    """Return pictures of 28 x 28 pixels, 0 to 255, and their classes.

    Parameters
    ----------
    name : str
        One of `SETS`.
    data : Path
        The folder with ``mnist.npz``.
    test : bool
        The 10,000 test pictures instead of the 60,000 others.
    """
    if name == "mnist":
        part = "test" if test else "train"
        with np.load(data / "mnist.npz", allow_pickle=False) as archive:
            return archive[f"x_{part}"], archive[f"y_{part}"].astype(np.int64)
    part = "t10k" if test else "train"
    pictures = _idx(FASHION / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    return pictures, _idx(FASHION / f"{part}-labels-idx1-ubyte.gz", 8).astype(np.int64)


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def photographs(names: tuple[str, ...]) -> list[Pictures]:
    """Return scikit-image's photographs in grey, 0 to 255."""
    from skimage import color, data

    found: list[Pictures] = []
    for name in names:
        photo: Any = getattr(data, name)()
        photo = photo[0] if isinstance(photo, tuple) else photo
        grey = color.rgb2gray(photo[..., :3]) * 255 if photo.ndim == 3 else photo
        found.append(np.rint(grey).astype(np.uint8))
    return found


def patches(photos: list[Pictures], size: int, count: int, seed: int) -> Pictures:
    """Return square parts of photographs from places drawn at random, ``(count, size, size)``."""
    rng = np.random.default_rng(seed)
    found = np.empty((count, size, size), np.uint8)
    for place in range(count):
        photo = photos[place % len(photos)]
        top, left = (rng.integers(0, side - size + 1) for side in photo.shape)
        found[place] = photo[top : top + size, left : left + size]
    return found


def mean_squared(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the mean squared difference of pixels in [0, 1], given as 0 to 255."""
    return float(np.square((one.astype(np.float64) - other) / 255.0).mean())
