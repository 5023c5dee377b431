"""Pictures per second, in training and in encoding, beside the same network in a bare loop.

The bare loop has the same layers, batch and number of threads: rows in one tensor, shuffled by
index, squared error, ``torch.optim.Adam``, and nothing else. Keras, where it is installed, has the
same layers too (backend torch unless ``KERAS_BACKEND`` says otherwise). Ours is a whole fit: what
is held out is judged after every epoch, the best weights are kept, and pictures are moved by a
pixel where this is asked for. After each epoch of the fit each of the others trains for one, so
that all share the machine's moods; a ratio is that of two epochs side by side, and its interval
(95% or more) that of the median by order statistics. Seconds are those of the processor, which
neighbours disturb less than the clock.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness import finish, median, parser, print_table, progress
from picture_sets import load_pictures

BATCH = 256
COMPONENTS = 64
SIDE = 28
CONFIDENCE = 0.95


def fitted(
    pictures: Any, augmentation: str, epochs: int, others: dict[str, Callable[[], None]]
) -> tuple[Any, dict[str, list[float]]]:
    """Fit; return the model, and seconds of each epoch but the first, the others' too."""
    from autoencode import ConvolutionalAutoencoder
    from autoencode.numerics import matrix_products

    seconds: dict[str, list[float]] = {"ours": [], **{name: [] for name in others}}
    resumed: list[float] = []

    def after_epoch(phase: str, history: Any) -> None:
        del phase, history
        if resumed:
            seconds["ours"].append(time.process_time() - resumed[-1])
        with matrix_products("ieee"):  # PyTorch's own choice, as outside a fit
            for name, epoch in others.items() if resumed else ():
                began = time.process_time()
                epoch()
                seconds[name].append(time.process_time() - began)
        resumed.append(time.process_time())

    model = ConvolutionalAutoencoder(
        COMPONENTS,
        augmentation=augmentation,
        nested=False,
        batch_size=BATCH,
        max_epochs=epochs + 1,
        n_threads=torch.get_num_threads(),
        random_state=0,
        verbose=after_epoch,
    ).fit(pictures)
    return model, seconds


def bare(network: Any, x: torch.Tensor) -> Callable[[], None]:
    """Return what trains the same layers for an epoch in a bare loop."""
    from autoencode.interfaces import Context

    context = Context()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def epoch() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            batch = x[order[start : start + BATCH]]
            optimizer.zero_grad()
            z = network.bottleneck(network.encoder(batch), context).z
            loss = (network.decoder(z, context)[:, 0] - batch).square().sum(1).mean()
            loss.backward()
            optimizer.step()

    return epoch


def keras_model(count: int = COMPONENTS) -> Any:
    """Return the same layers in Keras."""
    import keras

    layers = keras.layers

    def conv(x: Any, channels: int) -> Any:
        return layers.Conv2D(channels, 3, padding="same")(x)

    def residual(x: Any) -> Any:
        added = x
        for _ in range(2):
            normed = layers.GroupNormalization(groups=4)(added)
            added = conv(layers.Activation("silu")(normed), 32)
        return layers.Add()([x, added])

    def halved(x: Any) -> Any:
        weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
        weights = np.repeat(weights[:, :, None, None], x.shape[-1], 2)
        filtered = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)
        result = filtered(x)
        filtered.set_weights([weights])
        filtered.trainable = False
        return result

    inputs = keras.Input((SIDE * SIDE,))
    x = conv(layers.Reshape((SIDE, SIDE, 1))(inputs), 8)
    for channels in (16, 32):
        x = conv(halved(layers.Activation("silu")(x)), channels)
    found = layers.Flatten()(layers.Activation("silu")(residual(x)))
    hidden = inputs
    for width in (512, 256):
        hidden = layers.Dense(width, activation="silu")(hidden)
    both = layers.Concatenate()([hidden, found])
    linear = layers.Dense(count, use_bias=False)(inputs)
    z = layers.Add()([layers.Dense(count)(both), linear])
    hidden = z
    for width in (256, 512):
        hidden = layers.Dense(width, activation="silu")(hidden)
    straight = layers.Dense(SIDE * SIDE, use_bias=False)(z)
    draft = layers.Add()([layers.Dense(SIDE * SIDE)(hidden), straight])
    x = residual(layers.Reshape((7, 7, 32))(layers.Dense(7 * 7 * 32)(hidden)))
    for channels in (16, 8):
        x = layers.Activation("silu")(conv(x, channels))
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Concatenate()([x, layers.Reshape((SIDE, SIDE, 1))(draft)])
    added = conv(layers.Activation("silu")(conv(x, 8)), 1)
    result = layers.Add()([draft, layers.Reshape((SIDE * SIDE,))(added)])
    model = keras.Model(inputs, result)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)
    return model


def in_keras(x: np.ndarray) -> Callable[[], None]:
    """Return what trains the same layers for an epoch in Keras."""
    model = keras_model()

    def epoch() -> None:
        model.fit(x, x, batch_size=BATCH, epochs=1, shuffle=True, verbose=0)

    epoch()
    return epoch


@torch.no_grad()
def bare_codes(network: Any, x: torch.Tensor) -> None:
    """Encode in a bare loop."""
    from autoencode.interfaces import Context

    for start in range(0, len(x), BATCH):
        network.bottleneck(network.encoder(x[start : start + BATCH]), Context())


def encoded(model: Any, network: Any, pictures: Any, rounds: int) -> dict[str, list[float]]:
    """Return seconds of encoding all pictures, by turns."""
    x = torch.from_numpy(pictures / 255.0).flatten(1)
    seconds: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(rounds + 1):
        began = time.process_time()
        model.transform(pictures)
        between = time.process_time()
        bare_codes(network, x)
        if turn:
            seconds["ours"].append(between - began)
            seconds["bare"].append(time.process_time() - between)
    return seconds


def interval(values: list[float]) -> tuple[float, float]:
    """Return between which values the median lies, by order statistics."""
    ordered, count = sorted(values), len(values)
    for drop in range(count // 2, 0, -1):
        outside = 2 * sum(math.comb(count, k) for k in range(drop)) / 2**count
        if 1 - outside >= CONFIDENCE:
            return ordered[drop - 1], ordered[-drop]
    return ordered[0], ordered[-1]


def measure(arguments: argparse.Namespace) -> None:
    """Let all do the same by turns."""
    torch.set_num_threads(arguments.threads or 1)
    count = 600 if arguments.quick else arguments.pictures
    pictures = load_pictures("mnist", arguments.data, test=False)[0][:count].astype(np.float32)
    n_train = count - round(0.1 * count)
    x = torch.from_numpy(pictures / 255.0).flatten(1)
    found: dict[str, Any] = {}
    rows = []
    for augmentation in arguments.augmentations:
        model, _ = fitted(pictures[:300], "none", 1, {})
        network = model._state.composition.network(COMPONENTS, torch.Generator())
        others = {"bare": bare(network, x[:n_train])}
        if importlib.util.find_spec("keras") is not None and not arguments.no_keras:
            os.environ.setdefault("KERAS_BACKEND", "torch")
            others["keras"] = in_keras(x[:n_train].numpy())
        name = "training" if augmentation == "none" else f"training, {augmentation}"
        progress(name)
        model, seconds = fitted(pictures, augmentation, arguments.rounds, others)
        found[name] = seconds
        rows += [compared(name, other, seconds, n_train) for other in others]
    found["encoding"] = encoded(model, network, pictures, arguments.rounds)
    rows.append(compared("encoding", "bare", found["encoding"], count))
    title = f"MNIST, {count:,} pictures, {COMPONENTS} components, pictures per second"
    print_table(title, ["", "beside", "ours", "theirs", "ours / theirs", "from", "to"], rows)
    finish("conv_step", arguments, found)


def compared(name: str, other: str, seconds: dict[str, list[float]], count: int) -> list[Any]:
    """Return speeds and the median of their ratios, with its interval."""
    ratios = [b / a for a, b in zip(seconds["ours"], seconds[other], strict=True)]
    speeds = [count / (median(seconds[one]) or 1.0) for one in ("ours", other)]
    return [name, other, *speeds, median(ratios), *interval(ratios)]


def main() -> None:
    """Measure what the arguments ask for."""
    options = parser(__doc__.splitlines()[0], rounds=12)
    options.add_argument("--pictures", type=int, default=6000)
    options.add_argument("--augmentations", nargs="*", default=["none", "shift"])
    options.add_argument("--no-keras", action="store_true", help="leave Keras out")
    measure(options.parse_args())


if __name__ == "__main__":
    main()
