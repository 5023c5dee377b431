"""How codes of digits bear a shift by up to two pixels, beside a plain strided network.

Two figures of pictures that nothing was fitted to, before and after all 24 shifts by up to two
pixels: how far codes go, against how far codes of different pictures are from each other; and
the share of pictures whose nearest neighbour in code, among pictures that are where they were,
is of their class.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import finish, parser, print_table, progress
from picture_sets import SETS, load_pictures, mean_squared

Encode = Callable[[Any], NDArray[np.float64]]

FARTHEST = 2


def moved(pictures: Any, down: int, right: int) -> Any:
    """Return pictures moved by some pixels; what enters is the edge."""
    wide = np.pad(pictures, ((0, 0), (FARTHEST,) * 2, (FARTHEST,) * 2), mode="edge")
    top, left = FARTHEST - down, FARTHEST - right
    height, width = pictures.shape[1:]
    return wide[:, top : top + height, left : left + width]


def strided(train: Any, arguments: argparse.Namespace, seed: int) -> tuple[Encode, Any]:
    """Train convolutions that skip every other pixel, and transposed ones; return both ways."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    size = arguments.size
    encoder = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 49, size)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(size, 32 * 49), nn.ReLU(), nn.Unflatten(1, (32, 7, 7))),
        *(nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.ReLU()),
        nn.ConvTranspose2d(16, 1, 3, 2, 1, 1),
    )
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, 2e-3)
    x = torch.from_numpy(train[:, None].astype(np.float32) / 255)
    n_steps = arguments.epochs * (len(x) // 128)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=n_steps + 1)
    for _ in range(arguments.epochs):
        for rows in torch.randperm(len(x))[: len(x) // 128 * 128].split(128):
            optimizer.zero_grad()
            nn.functional.mse_loss(decoder(encoder(x[rows])), x[rows]).backward()
            optimizer.step()
            falling.step()

    def encode(pictures: Any) -> NDArray[np.float64]:
        with torch.inference_mode():
            scaled = torch.from_numpy(pictures[:, None].astype(np.float32) / 255)
            return encoder(scaled).numpy().astype(np.float64)

    def reconstruct(pictures: Any) -> Any:
        with torch.inference_mode():
            scaled = torch.from_numpy(pictures[:, None].astype(np.float32) / 255)
            return decoder(encoder(scaled)).numpy()[:, 0] * 255

    return encode, reconstruct


def ours(
    train: Any, arguments: argparse.Namespace, seed: int, *, size: int = 0, **choices: Any
) -> tuple[Encode, Any]:
    """Return how a fitted estimator encodes, and how it reconstructs."""
    from autoencode import ConvolutionalAutoencoder

    model = ConvolutionalAutoencoder(
        size or arguments.size,
        nested=False,
        max_epochs=arguments.epochs,
        n_threads=arguments.threads or "auto",
        random_state=seed,
        **choices,
    ).fit(train)
    return model.encode, lambda pictures: model.reconstruct(pictures, clip=False)


def code_change(encode: Encode, pictures: Any) -> float:
    """Return the mean distance of codes under a shift over that of different pictures' codes."""
    codes = encode(pictures)
    apart = np.linalg.norm(codes - np.roll(codes, 1, 0), axis=1).mean()
    steps = [step for step in product(range(-FARTHEST, FARTHEST + 1), repeat=2) if any(step)]
    change = [np.linalg.norm(encode(moved(pictures, *s)) - codes, axis=1).mean() for s in steps]
    return float(np.mean(change) / apart)


def accuracies(
    encode: Encode, train: Any, classes: Any, test: Any, truth: Any
) -> tuple[float, float]:
    """Return how often the nearest neighbour is of the class, without and with a shift."""
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = KNeighborsClassifier(1).fit(encode(train), classes)
    steps = [step for step in product((-FARTHEST, 0, FARTHEST), repeat=2) if any(step)]
    still = neighbours.score(encode(test), truth)
    shifted = [neighbours.score(encode(moved(test, *step)), truth) for step in steps]
    return float(still), float(np.mean(shifted))


def measure(arguments: argparse.Namespace) -> None:
    """Train every contestant on the same pictures; print one row each."""
    train, classes = load_pictures(arguments.set, arguments.data, test=False)
    test, truth = load_pictures(arguments.set, arguments.data, test=True)
    count = 600 if arguments.quick else arguments.pictures
    train, classes = train[:count], classes[:count]
    test, truth = test[: arguments.test], truth[: arguments.test]
    contestants: dict[str, Any] = {
        "plain strided": strided,
        "convolutional": lambda *a: ours(*a, augmentation="none"),
    }
    # Two of the numbers of these codes say where a picture is.
    size = arguments.size - 2
    contestants["aligned"] = lambda *a: ours(*a, size=size, augmentation="none", aligned=True)
    for weight in arguments.weights:
        choices = {"augmentation": "shift", "penalties": (f"steady:weight={weight}",)}
        contestants[f"steady {weight:g}"] = lambda *a, c=choices: ours(*a, **c)
    rows, first = [], None
    for name, make in contestants.items():
        progress(name)
        started = time.process_time()
        encode, reconstruct = make(train, arguments, 0)
        seconds = time.process_time() - started
        change = code_change(encode, test)
        first = change if first is None else first
        still, shifted = accuracies(encode, train, classes, test, truth)
        error = mean_squared(reconstruct(test), test)
        drop = 100 * (still - shifted)
        rows.append([name, change, change / first, still, shifted, drop, error, seconds])
        progress(f"{name}: {change:.3f}, {still:.3f} {shifted:.3f}, {error:.5f}")
    names = ["network", "code change", "x strided", "1-NN", "shifted", "drop (points)"]
    title = f"{arguments.set}, {count:,} pictures, {arguments.size} components"
    print_table(title, [*names, "test MSE", "CPU seconds"], rows)
    finish("conv_shift", arguments, {"rows": rows})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--set", choices=SETS, default="mnist")
    options.add_argument("--size", type=int, default=64, help="components")
    options.add_argument("--pictures", type=int, default=5000, help="to train on")
    options.add_argument("--test", type=int, default=1000, help="test pictures")
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument(
        "--weights", type=float, nargs="*", default=[1.0], help="of the penalty steady"
    )
    measure(options.parse_args())


if __name__ == "__main__":
    main()
