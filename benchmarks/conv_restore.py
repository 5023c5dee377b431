"""Holes in pictures filled: PSNR in holes, beside scikit-image's biharmonic inpainting.

Blocks and single pixels of 25% and 50% of a picture. Clothes of Fashion-MNIST, and parts of
scikit-image's photographs in grey, of which those to test with are others than those to train
with (whole). PSNR is that of the filled pixels, mean over pictures, pixels in [0, 1].
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import finish, parser, print_table, progress
from picture_sets import (
    DENOISING_PHOTOS,
    TEST_PHOTOS,
    load_pictures,
    patches,
    photographs,
)

Mask = NDArray[np.bool_]
SHARES = (0.25, 0.5)


def holes(kind: str, count: int, side: int, share: float, seed: int) -> Mask:
    """Return where pictures have holes, ``(count, side, side)``: "block" or "pixels"."""
    rng = np.random.default_rng(seed)
    if kind == "pixels":
        return rng.random((count, side, side)) < share
    length = round(np.sqrt(share) * side)
    found = np.zeros((count, side, side), dtype=bool)
    for picture in found:
        top, left = rng.integers(0, side - length + 1, 2)
        picture[top : top + length, left : left + length] = True
    return found


def psnr(truth: Any, filled: Any, mask: Mask) -> float:
    """Return the mean PSNR of filled pixels, in dB."""
    squares = np.square((truth.astype(np.float64) - filled) / 255.0)
    errors = [max(float(one[hole].mean()), 1e-10) for one, hole in zip(squares, mask, strict=True)]
    return float(np.mean(-10 * np.log10(errors)))


def pictures_of(name: str, arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return pictures to train on, and test pictures."""
    if name == "fashion":
        train, _ = load_pictures(name, arguments.data, test=False)
        test, _ = load_pictures(name, arguments.data, test=True)
        return train[: arguments.pictures], test[: arguments.test]
    test = patches(photographs(TEST_PHOTOS), arguments.side, arguments.test, 1)
    return photographs(DENOISING_PHOTOS), test


def fitted(name: str, train: Any, seconds: float, arguments: argparse.Namespace) -> Any:
    """Fit what is for pictures of one kind, or for photographs."""
    from autoencode import ConvolutionalAutoencoder, PictureRestorer

    choices: dict[str, Any] = {
        "max_time": seconds,
        "max_epochs": 1 if arguments.quick else "auto",
        "n_threads": arguments.threads or "auto",
        "random_state": 0,
    }
    if name == "fashion":
        return ConvolutionalAutoencoder(None, **choices).fit(train)
    if arguments.epochs and not arguments.quick:
        choices["max_epochs"] = arguments.epochs
    return PictureRestorer(**choices, verbose=True).fit(train)


def biharmonic(pictures: Any, mask: Mask) -> Any:
    """Fill by scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    pairs = zip(pictures / 255.0, mask, strict=True)
    return np.clip(np.stack([inpaint_biharmonic(*pair) for pair in pairs]), 0, 1) * 255


def measure(arguments: argparse.Namespace) -> None:
    """Fit one model to every set; fill every kind of hole."""
    rows: list[list[Any]] = []
    every: list[float] = []
    times = arguments.time * (len(arguments.sets) if len(arguments.time) == 1 else 1)
    for name, limit in zip(arguments.sets, times, strict=True):
        train, test = pictures_of(name, arguments)
        started, cpu = time.perf_counter(), time.process_time()
        model = fitted(name, train, limit, arguments)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        progress(f"{name}: fitted in {seconds:.0f} s, {cpu:.0f} s of the processor")
        progress(model.summary())
        if arguments.save:
            model.save(arguments.save / f"restore-{name}.model")
        side, gains = test.shape[1], []
        for kind in ("block", "pixels"):
            for share in SHARES:
                mask = holes(kind, len(test), side, share, 3)
                given = np.where(mask, 0, test).astype(np.uint8)
                filled = model.restore(given, mask)
                same = bool((filled[~mask] == test[~mask]).all())
                ours, theirs = psnr(test, filled, mask), psnr(test, biharmonic(given, mask), mask)
                gains.append(ours - theirs)
                rows.append([f"{name} {side} x {side}", kind, share, ours, theirs])
                rows[-1] += [ours - theirs, same, cpu]
                progress(" ".join(map(str, rows[-1])))
        rows.append([f"{name} {side} x {side}", "mean", None, None, None, float(np.mean(gains))])
        rows[-1] += [None, None]
        every += gains
    rows.append(["all", "mean", None, None, None, float(np.mean(every)), None, None])
    names = [
        "pictures",
        "holes",
        "share",
        "PSNR",
        "biharmonic",
        "gain (dB)",
        "known same",
        "CPU seconds",
    ]
    print_table(f"{arguments.pictures:,} pictures to train on", names, rows)
    finish("conv_restore", arguments, {"rows": rows})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--sets", nargs="+", default=["fashion", "photos"])
    options.add_argument("--pictures", type=int, default=10_000, help="to train on")
    options.add_argument("--test", type=int, default=100, help="test pictures")
    options.add_argument("--side", type=int, default=64, help="of parts of photographs")
    options.add_argument(
        "--time", type=float, nargs="+", default=[600.0], help="seconds for each fit, or for all"
    )
    options.add_argument("--epochs", type=int, default=0, help="of photographs; 0: auto")
    options.add_argument("--save", type=Path, help="folder for the models")
    measure(options.parse_args())


if __name__ == "__main__":
    main()
