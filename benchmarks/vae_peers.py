"""MNIST, binarized: the likelihood of pythae's VAE with its defaults, beside `vae_mnist.py`.

Its own network (512 hidden units, ReLU), trainer, batch and learning rate; told nothing but a
code of 50 numbers, that values are zeros and ones (``reconstruction_loss="bce"``) and to go on
for the given time. The same 55,000 training and 5,000 judged pictures, binarized once, and the
same estimate of the bound on the same test pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from harness import HERE, progress
from vae_mnist import N_COMPONENTS, N_TRAIN, STATIC_SEED, TEST_SEED, binarized, grey_values

_DRAWS_AT_ONCE = 50


class TimeIsOverError(Exception):
    """Ends pythae's trainer, which can only count epochs."""


def trained(rows: Tensor, judged: Tensor, minutes: float, seed: int) -> tuple[Any, int]:
    """Return pythae's model and the number of its epochs."""
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines.training import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    started, epochs = time.perf_counter(), 0

    class Stop(TrainingCallback):  # type: ignore[misc]
        def on_epoch_end(self, training_config: Any, **kwargs: Any) -> None:
            nonlocal epochs
            epochs += 1
            if time.perf_counter() - started > 60.0 * minutes:
                raise TimeIsOverError

    model = VAE(VAEConfig((1, 28, 28), N_COMPONENTS, reconstruction_loss="bce"))
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(folder, num_epochs=10**6, seed=seed, no_cuda=True)
        pipeline = TrainingPipeline(model, settings)
        with suppress(TimeIsOverError):
            pipeline(rows.view(-1, 1, 28, 28), judged.view(-1, 1, 28, 28), callbacks=[Stop()])
    return model.eval(), epochs


@torch.inference_mode()
def bounds(model: Any, rows: Tensor, n_draws: int, seed: int) -> tuple[float, float]:
    """Return minus the evidence lower bound and minus the importance-weighted one, nats."""
    rng = torch.Generator().manual_seed(seed)
    elbo, importance = [], []
    for piece in rows.split(200):
        known = model.encoder(piece.view(-1, 1, 28, 28))
        mean, log_var = known.embedding, known.log_covariance
        logs = []
        for _ in range(n_draws // _DRAWS_AT_ONCE):
            noise = torch.randn(_DRAWS_AT_ONCE, *mean.shape, generator=rng)
            z = mean + (0.5 * log_var).exp() * noise
            cost = 0.5 * (z.square() - noise.square() - log_var).sum(-1)
            made = model.decoder(z.flatten(0, 1)).reconstruction.flatten(1)
            goal = piece.repeat(_DRAWS_AT_ONCE, 1)
            nats = binary_cross_entropy(made, goal, reduction="none").sum(1)
            logs.append(-(nats.view(_DRAWS_AT_ONCE, -1) + cost))
        weights = torch.cat(logs)
        elbo.append(weights.mean(0))
        importance.append(weights.logsumexp(0) - math.log(len(weights)))
    return -float(torch.cat(elbo).mean()), -float(torch.cat(importance).mean())


def main() -> None:
    """Train, measure, write a line."""
    assert __doc__
    options = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--minutes", type=float, default=60.0, help="of training, all in")
    options.add_argument("--final-rows", type=int, default=10_000)
    options.add_argument("--final-draws", type=int, default=500)
    options.add_argument("--threads", type=int, default=None)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path, help="file to which a line is added")
    options.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    arguments = options.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    grey, grey_test = grey_values(arguments.data)
    static = binarized(grey, torch.Generator().manual_seed(STATIC_SEED))
    test = binarized(grey_test, torch.Generator().manual_seed(TEST_SEED))
    started = time.perf_counter()
    model, epochs = trained(static[:N_TRAIN], static[N_TRAIN:], arguments.minutes, arguments.seed)
    seconds = time.perf_counter() - started
    elbo, bound = bounds(model, test[: arguments.final_rows], arguments.final_draws, 1)
    line = {
        "what": "final",
        "method": "pythae",
        "binarization": "static",
        "n_samples": 1,
        "seed": arguments.seed,
        "seconds": round(seconds, 1),
        "epoch": epochs,
        "elbo": elbo,
        "bound": bound,
        "draws": arguments.final_draws,
        "rows": min(arguments.final_rows, len(test)),
    }
    progress(" ".join(f"{key}={value}" for key, value in line.items()))
    if arguments.json is not None:
        with arguments.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
