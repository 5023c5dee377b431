"""Pictures per second, in training and in encoding, beside the same network in a bare loop.

The bare loop has the same layers, batch and number of threads: rows in one tensor, shuffled by
index, squared error, ``torch.optim.Adam``, and nothing else. Ours is a whole fit: what is held out
is judged after every epoch, the best weights are kept, and pictures are moved by a pixel where this
is asked for. Both by turns in one process; seconds are those of the processor, which
neighbours disturb less than the clock.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from harness import finish, median, parser, print_table, progress, ratio
from picture_sets import load_pictures

BATCH = 256
COMPONENTS = 64


def fitted(pictures: Any, augmentation: str, epochs: int) -> tuple[Any, float]:
    """Fit; return the model, and pictures per second over all epochs but the first."""
    from autoencode import ConvolutionalAutoencoder

    moments: list[float] = []
    model = ConvolutionalAutoencoder(
        COMPONENTS,
        augmentation=augmentation,
        nested=False,
        batch_size=BATCH,
        max_epochs=epochs,
        n_threads=torch.get_num_threads(),
        random_state=0,
        verbose=lambda phase, history: moments.append(time.process_time()),
    ).fit(pictures)
    n_train = model._state.facts["n_train"]
    return model, n_train * (len(moments) - 1) / (moments[-1] - moments[0])


def bare(network: Any, x: torch.Tensor, epochs: int) -> float:
    """Train the same layers in a bare loop; return pictures per second."""
    from autoencode.interfaces import Context

    context = Context()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    began = time.process_time()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            optimizer.zero_grad()
            z = network.bottleneck(network.encoder(batch), context).z
            loss = (network.decoder(z, context)[:, 0] - batch).square().sum(1).mean()
            loss.backward()
            optimizer.step()
    return epochs * len(x) / (time.process_time() - began)


@torch.no_grad()
def bare_codes(network: Any, x: torch.Tensor) -> float:
    """Encode in a bare loop; return pictures per second."""
    from autoencode.interfaces import Context

    began = time.process_time()
    for start in range(0, len(x), BATCH):
        network.bottleneck(network.encoder(x[start : start + BATCH]), Context())
    return len(x) / (time.process_time() - began)


def codes(model: Any, pictures: Any) -> float:
    """Encode by ``transform``; return pictures per second."""
    began = time.process_time()
    model.transform(pictures)
    return len(pictures) / (time.process_time() - began)


def measure(arguments: argparse.Namespace) -> None:
    """Let both do the same by turns."""
    torch.set_num_threads(arguments.threads or 1)
    count = 1000 if arguments.quick else arguments.pictures
    pictures = load_pictures("mnist", arguments.data, test=False)[0][:count].astype(np.float32)
    names = ("training", "training, moved pictures", "encoding")
    ours: dict[str, list[float]] = {name: [] for name in names}
    theirs: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(arguments.rounds):
        _, speed = fitted(pictures, "shift", arguments.epochs + 1)
        ours[names[1]].append(speed)
        model, speed = fitted(pictures, "none", arguments.epochs + 1)
        ours[names[0]].append(speed)
        network = model._state.composition.network(COMPONENTS, torch.Generator())
        x = torch.from_numpy(pictures / 255.0).flatten(1)
        speed = bare(network, x[: model._state.facts["n_train"]], arguments.epochs)
        theirs[names[0]].append(speed)
        theirs[names[1]].append(speed)
        ours[names[2]].append(codes(model, pictures))
        theirs[names[2]].append(bare_codes(network, x))
        progress(f"round {turn + 1}: {[(ours[n][-1], theirs[n][-1]) for n in names]}")
    rows = [
        [name, median(ours[name]), median(theirs[name]), ratio(ours[name], theirs[name])]
        for name in names
    ]
    title = f"MNIST, {count:,} pictures, {COMPONENTS} components, pictures per second"
    print_table(title, ["", "ours", "bare loop", "ours / bare"], rows)
    finish("conv_step", arguments, {"ours": ours, "bare": theirs})


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=3)
    options.add_argument("--pictures", type=int, default=6000)
    options.add_argument("--epochs", type=int, default=2, help="that are timed, in each round")
    measure(options.parse_args())


if __name__ == "__main__":
    main()
