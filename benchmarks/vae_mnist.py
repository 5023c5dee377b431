"""MNIST, binarized: the likelihood of a variational autoencoder over time.

784-200-200-50, Bernoulli: the network of Burda et al. (2016), by this library's own parts,
objective and training loop. ``--n-samples 1`` is the VAE, ``--n-samples 50`` IWAE-50, which
trains with a single draw for the share ``--single`` of the time, since that costs a tenth.
``--binarization static`` draws ones and zeros from the grey values once, with a fixed seed;
``dynamic`` anew in every epoch. 55,000 pictures train, 5,000 stop and choose the weights; what
is stated is the importance-weighted bound of the test pictures, binarized once, in nats.
Published: static 89.9 (VAE) and 87.1 (IWAE-50), dynamic 86.8 and 84.8.

The curve over time is written to ``--json``, a line for each measurement, and added to what
is there already.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencode.batches import batch_edges
from autoencode.composition import Composition
from autoencode.flat_parameters import FlatParameters
from autoencode.importance import Coder, measure_bound, standard_draws
from autoencode.interfaces import Batch, Context
from autoencode.network import Network
from autoencode.numerics import has_fast_products, matrix_products, threads
from autoencode.objective import Objective
from autoencode.steps import Step, choose_step
from autoencode.training import Budget, History, Settings, Task, train
from harness import HERE, machine, progress

N_TRAIN, N_COMPONENTS, HIDDEN = 55_000, 50, (200, 200)
PUBLISHED = {("static", 1): 89.9, ("static", 50): 87.1, ("dynamic", 1): 86.8, ("dynamic", 50): 84.8}
STATIC_SEED, TEST_SEED = 7, 8
JUDGED_ROWS, JUDGED_DRAWS = 1_000, 25
CURVE_ROWS, CURVE_DRAWS = 1_000, 500


def grey_values(data: Path) -> tuple[Tensor, Tensor]:
    """Return training and test pictures, ``(rows, 784)`` in [0, 1]."""
    with np.load(data / "mnist.npz", allow_pickle=False) as archive:
        both = [archive[name].reshape(-1, 784) for name in ("x_train", "x_test")]
    train_rows, test = (torch.from_numpy(part.astype(np.float32) / 255) for part in both)
    order = torch.randperm(len(train_rows), generator=torch.Generator().manual_seed(0))
    return train_rows[order], test


def binarized(grey: Tensor, rng: torch.Generator) -> Tensor:
    """Return ones as often as grey values say."""
    return (torch.rand(grey.shape, generator=rng) < grey).to(grey.dtype)


class Pictures:
    """Batches of pictures, binarized anew in every epoch if ``anew``."""

    def __init__(self, grey: Tensor, center: Tensor, batch_size: int, *, anew: bool) -> None:
        self.grey, self.center, self.anew = grey, center, anew
        self.n_rows = len(grey)
        self.edges = batch_edges(self.n_rows, batch_size)
        self.n_steps = len(self.edges) - 1

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield every picture once, in a new order."""
        order = torch.randperm(self.n_rows, generator=rng)
        for start, stop in zip(self.edges[:-1], self.edges[1:], strict=True):
            values = self.grey[order[start:stop]]
            batch = Batch((binarized(values, rng) if self.anew else values) - self.center)
            yield batch, batch


def untrained(arguments: argparse.Namespace, center: Tensor, rng: torch.Generator) -> Network:
    """Return the network before training; its biases are the pixels' log-odds."""
    composition = Composition(
        architecture="mlp:start=random",
        bottleneck=f"gaussian:n_samples={arguments.n_samples},warmup=0.0",
        corruption="none",
        likelihood="bernoulli",
        penalties=(),
        hidden_layer_sizes=HIDDEN,
        sample_shape=(784,),
        nested=False,
    )
    network = composition.network(N_COMPONENTS, rng)
    network.likelihood.set_units(center, torch.ones(784))
    with torch.no_grad():
        network.decoder.output.bias.copy_(torch.logit(center.clamp(1e-3, 1 - 1e-3)))
        for layer in (network.decoder.output, network.decoder.linear_path):
            layer.weight.mul_(0.1)
        for layer in (network.bottleneck.projection, network.bottleneck.log_variance):
            for parameter in layer.parameters():
                parameter.mul_(0.1)
    return network


def bound_of(network: Network, rows: Batch, n_draws: int) -> dict[str, float]:
    """Return minus the bounds of some rows, nats per row."""
    like = network.decoder.linear_path.weight
    found = measure_bound(
        Coder.of(network), rows, rows, standard_draws(n_draws, N_COMPONENTS, 1, like)
    )
    active = _active_units(network, rows)
    return {
        "elbo": -float(found.elbo.mean()),
        "bound": -float(found.importance.mean()),
        "rate": float(found.rate.mean()),
        "active": active,
        "draws": n_draws,
        "rows": len(rows.x),
    }


def _active_units(network: Network, rows: Batch) -> int:
    with torch.inference_mode():
        return int((network.encode(rows, Context()).z.var(0) > 0.01).sum())


class AnyDraws:
    """The step of one draw or of many, as the bottleneck says when it is taken."""

    def __init__(self, network: Network, flat: FlatParameters) -> None:
        self.network, self.flat = network, flat
        self.steps: dict[int, Step] = {}
        self.terms = Objective().terms(network)

    def __call__(
        self, batch: Batch, target: Batch, context: Context, weights: Tensor | None
    ) -> Tensor:
        """Compute gradients; return every loss term, ``(n_terms,)``, detached."""
        draws = self.network.bottleneck.n_samples
        if draws not in self.steps:
            self.steps[draws] = choose_step([self.network], Objective(), self.flat)
        return self.steps[draws](batch, target, context, weights)


class Curve:
    """Measures the test bound a few times on the way, and writes it down."""

    def __init__(self, arguments: argparse.Namespace, network: Network, test: Batch) -> None:
        self.arguments, self.network, self.test = arguments, network, test
        self.started = time.perf_counter()
        self.every = 60.0 * arguments.minutes / arguments.points
        self.due = 0.0

    def __call__(self, history: History) -> None:
        seconds = time.perf_counter() - self.started
        if seconds >= 60.0 * self.arguments.minutes * self.arguments.single:
            self.network.bottleneck.n_samples = self.arguments.n_samples
        if seconds < self.due:
            return
        self.due = seconds + self.every
        columns = history.columns
        found = bound_of(self.network, self.test.rows(0, CURVE_ROWS), CURVE_DRAWS)
        self.write(
            "curve",
            seconds,
            epoch=columns["epoch"][-1],
            held_out=columns["held_out"][-1],
            learning_rate=columns["learning_rate"][-1],
            drawn=self.network.bottleneck.n_samples,
            train=columns["train_reconstruction"][-1] + columns["train_code"][-1],
            **found,
        )

    def write(self, what: str, seconds: float, **values: Any) -> None:
        """Add a line to the file, and say it."""
        arguments = self.arguments
        line = {
            "what": what,
            "binarization": arguments.binarization,
            "n_samples": arguments.n_samples,
            "seed": arguments.seed,
            "seconds": round(seconds, 1),
            "processor_seconds": round(time.process_time(), 1),
            **values,
        }
        progress(" ".join(f"{k}={v:.5g}" for k, v in line.items() if isinstance(v, int | float)))
        if arguments.json is not None:
            with arguments.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def run(arguments: argparse.Namespace) -> None:
    """Train for the given time and measure."""
    rng = torch.Generator().manual_seed(arguments.seed)
    grey, grey_test = grey_values(arguments.data)
    center = grey[:N_TRAIN].mean(0)
    fixed = torch.Generator().manual_seed(STATIC_SEED)
    anew = arguments.binarization == "dynamic"
    static = binarized(grey, fixed)
    rows = grey[:N_TRAIN] if anew else static[:N_TRAIN]
    judged = Batch(static[N_TRAIN:][:JUDGED_ROWS] - center)
    test = Batch(binarized(grey_test, torch.Generator().manual_seed(TEST_SEED)) - center)
    network = untrained(arguments, center, rng)
    draws = standard_draws(JUDGED_DRAWS, N_COMPONENTS, 0, center)
    flat = FlatParameters(network)
    network.bottleneck.n_samples = 1 if arguments.single else arguments.n_samples
    curve = Curve(arguments, network, test)
    curve.write("machine", 0.0, **machine(arguments.threads))

    def evaluate() -> float:
        return -float(measure_bound(Coder.of(network), judged, judged, draws).importance.mean())

    task = Task(
        flat,
        Pictures(rows, center, arguments.batch_size, anew=anew),
        AnyDraws(network, flat),
        evaluate,
    )
    settings = Settings(
        arguments.learning_rate,
        weight_decay=0.0,
        patience=10**6,
        hold=arguments.hold,
        averaging=arguments.averaging,
    )
    with ExitStack() as stack:
        if arguments.threads:
            stack.enter_context(threads(arguments.threads))
        stack.enter_context(matrix_products("bf16" if has_fast_products() else "ieee"))
        train(
            task,
            settings=settings,
            budget=Budget(10**6, 60.0 * arguments.minutes),
            rng=rng,
            history=History(),
            on_epoch=curve,
        )
        seconds = time.perf_counter() - curve.started
        final = bound_of(network, test.rows(0, arguments.final_rows), arguments.final_draws)
    published = PUBLISHED.get((arguments.binarization, arguments.n_samples))
    curve.write("final", seconds, published=published, **final)


def main() -> None:
    """Read the arguments and run."""
    assert __doc__
    options = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    options.add_argument("--binarization", choices=["static", "dynamic"], default="static")
    options.add_argument("--n-samples", type=int, default=1, help="draws of each row in training")
    options.add_argument("--single", type=float, default=0.0, help="share of time with one draw")
    options.add_argument("--minutes", type=float, default=60.0, help="of training, all in")
    options.add_argument("--points", type=int, default=12, help="measurements on the way")
    options.add_argument("--batch-size", type=int, default=100)
    options.add_argument("--learning-rate", type=float, default=1e-3)
    options.add_argument("--hold", type=float, default=0.3, help="share of the time at that rate")
    options.add_argument("--averaging", type=float, default=1e-3, help="of weights, per step")
    options.add_argument("--final-rows", type=int, default=10_000)
    options.add_argument("--final-draws", type=int, default=5_000)
    options.add_argument("--threads", type=int, default=None)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--json", type=Path, help="file to which lines are added")
    options.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    run(options.parse_args())


if __name__ == "__main__":
    main()
