"""Photographs freed from noise: PSNR beside BM3D, non-local means and total variation.

Grey photographs of scikit-image's; those to test with are others than those to train with, and
of these it is the middle. Normal noise of 15, 25 and 50 of 255 is added, neither cut off nor
rounded; what comes out is cut to 0 to 255. Two models: one fitted to clean photographs, one to
photographs that all have noise, each of a level of its own between 10 and 60, and nothing else.
Each is asked thrice: told the level, as the peers are; not told; told, and fitted further to each
picture that it restores, for ``--adapt`` steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import finish, parser, print_table, progress
from picture_sets import DENOISING_PHOTOS, TEST_PHOTOS, photographs

LEVELS = (15, 25, 50)
Picture = NDArray[np.float64]


def fitted(kind: str, arguments: argparse.Namespace) -> Any:
    """Fit a model, or load one that an earlier run wrote."""
    from autoencode import PictureDenoiser, load

    path = None if arguments.models is None else arguments.models / f"denoise-{kind}.model"
    if path is not None and path.exists():
        progress(f"{kind}: {path} loaded")
        return load(path)
    photos: list[Any] = photographs(DENOISING_PHOTOS)
    if kind == "noisy":
        rng = np.random.default_rng(1)
        levels = np.linspace(10, 60, len(photos))[rng.permutation(len(photos))]
        photos = [p + rng.normal(0, s, p.shape) for p, s in zip(photos, levels, strict=True)]
    spent = time.process_time()
    model = PictureDenoiser(
        rows=kind,
        hidden_layer_sizes=arguments.widths or "auto",
        n_blocks=arguments.blocks or "auto",
        learning_rate=arguments.learning_rate or "auto",
        max_time=arguments.time if kind == "clean" else arguments.noisy_time,
        max_epochs=1 if arguments.quick else "auto",
        n_threads=arguments.threads or "auto",
        random_state=0,
        verbose=_report,
    ).fit(photos)
    spent = time.process_time() - spent
    progress(f"{kind}: {spent:.0f} s of the processor\n{model.summary()}")
    if path is not None:
        model.save(path)
    return model


def _report(phase: str, history: Any) -> None:
    columns = history.columns
    if columns["epoch"][-1] % 10 == 1:
        error = -10 * np.log10(columns["held_out"][-1])
        seconds = columns["seconds"][-1]
        spent = time.process_time()
        progress(f"epoch {columns['epoch'][-1]}: {error:.3f} dB, {seconds:.0f} s, {spent:.0f} used")


def methods(models: dict[str, Any], adapt: int) -> dict[str, Callable[[Picture, float], Any]]:
    """Return what takes noise out of (picture, level)."""
    from bm3d import bm3d
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    found: dict[str, Callable[[Picture, float], Any]] = {
        "as it is": lambda x, _: x,
        "total variation": lambda x, s: 255 * denoise_tv_chambolle(x / 255, s / 255),
        "non-local means": lambda x, s: denoise_nl_means(
            x, patch_size=5, patch_distance=9, h=0.7 * s, sigma=s, fast_mode=True
        ),
        "BM3D": lambda x, s: bm3d(x, s),
    }
    for kind, model in models.items():
        found[f"{kind}, told"] = lambda x, s, model=model: model.denoise(x, level=s)
        found[f"{kind}, not told"] = lambda x, s, model=model: model.denoise(x)
        if adapt:
            found[f"{kind}, adapted"] = lambda x, s, model=model: model.denoise(
                x, level=s, adapt=adapt
            )
    return found


def psnr(truth: Any, found: Any) -> float:
    """Return the PSNR in dB; white is 255."""
    error = np.square(truth - np.clip(found, 0, 255)).mean()
    return float(10 * np.log10(255**2 / error))


def middle(photo: Picture, side: int) -> Picture:
    """Return the middle of a picture, of at most ``side`` pixels each way."""
    top, left = (max(0, length - side) // 2 for length in photo.shape)
    return photo[top : top + side, left : left + side]


def draw(path: Path, truth: Picture, ways: dict[str, Callable[[Picture, float], Any]]) -> None:
    """Write a part of a photograph: clean, noisy, and by every method asked for, in a line."""
    from PIL import Image

    noisy = truth + np.random.default_rng([25, 0]).normal(0, 25, truth.shape)
    found = [truth, noisy, *(denoise(noisy, 25.0) for denoise in ways.values())]
    parts = [np.pad(middle(one, 128), ((0, 0), (0, 4)), constant_values=255) for one in found]
    line = np.clip(np.rint(np.concatenate(parts, axis=1)[:, :-4]), 0, 255)
    Image.fromarray(line.astype(np.uint8)).save(path, optimize=True)


def measure(arguments: argparse.Namespace) -> None:
    """Fit, then take the same noise out by every method."""
    models = {kind: fitted(kind, arguments) for kind in arguments.kinds}
    ways = methods(models, arguments.adapt)
    truth = [photo.astype(np.float64) for photo in photographs(TEST_PHOTOS)]
    truth = [middle(photo, 64 if arguments.quick else arguments.side) for photo in truth]
    rows, times = [], dict.fromkeys(ways, 0.0)
    for level in LEVELS:
        found = np.zeros((len(truth), len(ways)))
        for place, (name, photo) in enumerate(zip(TEST_PHOTOS, truth, strict=True)):
            noise = np.random.default_rng([level, place]).normal(0, level, photo.shape)
            for column, (way, denoise) in enumerate(ways.items()):
                began = time.process_time()
                found[place, column] = psnr(photo, denoise(photo + noise, float(level)))
                times[way] += time.process_time() - began
            rows.append([name, level, *found[place]])
            progress(" ".join(map(str, rows[-1])))
        rows.append(["mean", level, *found.mean(0)])
    rows.append(["seconds of the processor", None, *times.values()])
    if arguments.picture is not None:
        shown = {way: ways[way] for way in ("BM3D", "clean, told", "noisy, told") if way in ways}
        draw(arguments.picture, truth[1], shown)
    print_table("PSNR in dB", ["photograph", "noise", *ways], rows)
    finish("conv_denoise", arguments, {"rows": rows, "names": list(ways)})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--kinds", nargs="+", default=["clean", "noisy"])
    options.add_argument("--time", type=float, default=3600.0, help="seconds to fit to clean")
    options.add_argument("--noisy-time", type=float, default=3600.0, help="seconds for noisy")
    options.add_argument("--widths", type=int, nargs="+", help="channels of the network")
    options.add_argument("--blocks", type=int, help="residual blocks at each size")
    options.add_argument("--learning-rate", type=float, help="the highest")
    options.add_argument("--adapt", type=int, default=200, help="steps for each picture; 0: none")
    options.add_argument("--side", type=int, default=256, help="of what is tested, in the middle")
    options.add_argument("--models", type=Path, help="folder to keep models in, and take them from")
    options.add_argument("--picture", type=Path, help="file for a line of pictures")
    measure(options.parse_args())


if __name__ == "__main__":
    main()
