"""digits, 200 rows: do models know their training rows by heart, and are they above PCA's floor?

For each seed 200 rows are given to ``fit``, and the others are seen by nothing. The first
table has the default and each penalty: test error over the error of the rows given, and
over the test error of scikit-learn's PCA of the same size, fitted to the same rows. The
second has paths: one network of 8 components is trained for 60 epochs at each strength,
without gate or early stopping, and what the penalty is about is measured beside its test
error. ``--figure`` draws it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from harness import finish, median, parser, print_table, progress
from ours import estimator
from regularization_figure import draw

Rows = NDArray[np.float64]

GIVEN = 200
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "no penalty": {"penalties": ()},
    "l2": {"penalties": ("l2:weight=auto",)},
    "decoder_l2": {"penalties": ("decoder_l2:weight=auto",)},
    "contractive": {"penalties": ("contractive:weight=auto",)},
    "dropout": {"penalties": (), "architecture": "mlp:dropout=0.2"},
    "l1": {"penalties": ("l1:activity=0.3",)},
    "kl_sparsity": {"penalties": ("kl_sparsity:activity=0.3",)},
}
PATHS = {
    "l2": (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    "decoder_l2": (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    "contractive": (1e-2, 1e-1, 1.0, 10.0, 100.0),
    "l1": (1e-2, 0.1, 0.3, 1.0, 3.0, 10.0),
    "kl_sparsity": (1e-2, 0.1, 1.0, 10.0, 100.0),
    "dropout": (0.05, 0.1, 0.2, 0.4, 0.6),
}
EFFECTS = {
    "l2": "squared weights",
    "decoder_l2": "decoder's squared weights",
    "contractive": "squared Jacobian",
    "l1": "share of active codes",
    "kl_sparsity": "mean activation",
    "dropout": "test error / training error",
}


def split(seed: int) -> tuple[Rows, Rows]:
    """Return the rows given to ``fit``, and all others."""
    X = load_digits().data
    order = np.random.default_rng(seed).permutation(len(X))
    return X[order[:GIVEN]], X[order[GIVEN:]]


def error(model: Any, rows: Rows) -> float:
    """Return the mean squared error of a reconstruction."""
    return float(np.square(np.asarray(model.reconstruct(rows), np.float64) - rows).mean())


def pca_error(pca: PCA, rows: Rows) -> float:
    """Return the mean squared error of PCA's reconstruction."""
    return float(np.square(pca.inverse_transform(pca.transform(rows)) - rows).mean())


def one_fit(kind: str, size: int, seed: int, **more: Any) -> dict[str, Any]:
    """Return a fit's errors over its training errors and over PCA's, and what was chosen."""
    train, test = split(seed)
    progress(f"{kind}, {size} components, seed {seed}")
    started = time.perf_counter()
    model = estimator(size, random_state=seed, **{**KINDS[kind], **more}).fit(train)
    seconds = time.perf_counter() - started
    pca = PCA(size, svd_solver="full").fit(train)
    facts = model._state.facts.get("penalties", [])
    return {
        "gap": error(model, test) / error(model, train),
        "ratio": error(model, test) / pca_error(pca, test),
        "pca_gap": pca_error(pca, test) / pca_error(pca, train),
        "gate": model.gate_,
        "weights": [fact["weight"] for fact in facts],
        "seconds": seconds,
    }


def compare(kinds: list[str], sizes: list[int], seeds: int, **more: Any) -> dict[str, Any]:
    """Fit every kind, size and seed; print and return what came of it."""
    result: dict[str, Any] = {}
    rows = []
    for kind in kinds:
        for size in sizes:
            fits = [one_fit(kind, size, seed, **more) for seed in range(seeds)]
            result[f"{kind}, {size}"] = fits
            rows.append(
                [
                    f"{kind}, {size}",
                    " ".join(f"{fit['gap']:.2f}" for fit in fits),
                    " ".join(f"{fit['pca_gap']:.2f}" for fit in fits),
                    " ".join(f"{fit['ratio']:.3f}" for fit in fits),
                    " ".join(str(fit["gate"]) for fit in fits),
                    " ".join(f"{w:.2g}" for fit in fits for w in fit["weights"]) or "-",
                    median([fit["seconds"] for fit in fits]),
                ]
            )
    columns = ("penalty, size", "test/train", "PCA's", "test/PCA's", "gate", "weights", "seconds")
    print_table(f"{GIVEN} rows of digits, by seed", columns, rows)
    return result


class Path8:
    """A network of 8 components for digits, trained at one strength without any choice."""

    def __init__(self, seed: int = 0) -> None:
        train, test = split(seed)
        center, scale = train.mean(0), np.sqrt(np.square(train - train.mean(0)).mean())
        self.train, self.test = (train - center) / scale, (test - center) / scale
        self.pca = PCA(8, svd_solver="full").fit(self.train)
        self.floor = pca_error(self.pca, self.test)

    def run(self, name: str, strength: float, epochs: int) -> tuple[float, float]:
        """Return the effect, and the test error over PCA's."""
        from autoencode.composition import Composition
        from autoencode.flat_parameters import FlatParameters
        from autoencode.interfaces import Batch, Context, LinearStart
        from autoencode.steps import choose_step

        drops = name == "dropout"
        penalties = () if drops else (f"{name}:weight={strength}",)
        architecture = f"mlp:dropout={strength}" if drops else "mlp"
        whole = Composition(
            architecture, "plain", "none", "gaussian", penalties, (256, 256), (64,), nested=False
        )
        rng = torch.Generator().manual_seed(0)
        network = whole.network(8, rng)
        deviations = torch.from_numpy(self.pca.transform(self.train).std(0))
        network.start_linear(LinearStart(torch.from_numpy(self.pca.components_), deviations))
        network = network.float()
        flat = FlatParameters(network)
        step = choose_step([network], whole.objective(), flat)
        optimizer = flat.optimizer(2e-3, 0.1)
        given = torch.from_numpy(self.train).float()
        for epoch in range(epochs):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, 2 * (1 - epoch / epochs))
            for numbers in torch.randperm(len(given), generator=rng).split(32):
                batch = Batch(given[numbers])
                step(batch, batch, Context(rng=rng), None)
                optimizer.step()

        def mean_error(rows: Rows) -> float:
            x = torch.from_numpy(rows).float()
            with torch.no_grad():
                return float((network(Batch(x), Context()).params[:, 0] - x).square().mean())

        tested = mean_error(self.test)
        effect = tested / mean_error(self.train) if drops else measure(name, network, given)
        return effect, tested / self.floor


def measure(name: str, network: Any, rows: torch.Tensor) -> float:
    """Return what a penalty makes smaller."""
    from autoencode.interfaces import Batch, Context
    from autoencode.penalties import PENALTIES

    penalty: Callable[..., torch.Tensor] = PENALTIES[name](weight=1.0)
    many = Batch(rows.repeat(20, 1) if name == "contractive" else rows)
    result = network(many, Context(rng=torch.Generator().manual_seed(1)))
    if hasattr(penalty, "measured"):
        return float(penalty.measured(result.code.z.detach()))
    return float(penalty(network, result).detach())


def paths(epochs: int, most: int) -> dict[str, Any]:
    """Train at every strength; print and return effects and errors."""
    runner = Path8()
    result, rows = {}, []
    for name, strengths in PATHS.items():
        points = []
        for strength in strengths[:most]:
            progress(f"path of {name}: {strength}")
            points.append((strength, *runner.run(name, strength, epochs)))
            rows.append([f"{name} {strength:g}", *points[-1][1:], EFFECTS[name]])
        result[name] = {"effect": EFFECTS[name], "points": points}
    print_table(
        "strength -> effect: 8 components, no gate, no early stopping",
        ("penalty, strength", "effect", "test/PCA's", "what the effect is"),
        rows,
    )
    return result


def main() -> None:
    """Run what the command line asks for."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    options.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options.add_argument("--sizes", nargs="*", type=int, default=[8, 16])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--path-epochs", type=int, default=60, help="0: no paths")
    options.add_argument("--figure", type=Path, help="draw the paths into this SVG file")
    arguments = options.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    more, most = {}, 10
    if arguments.quick:
        arguments.seeds, arguments.sizes, arguments.path_epochs, most = 1, [8], 1, 2
        more = {"max_epochs": 2}
    result: dict[str, Any] = {
        "fits": compare(arguments.kinds, arguments.sizes, arguments.seeds, **more)
    }
    if arguments.path_epochs:
        result["paths"] = paths(arguments.path_epochs, most)
        if arguments.figure is not None:
            arguments.figure.write_text(draw(result["paths"]), "utf-8")
    finish("regularization", arguments, result)


if __name__ == "__main__":
    main()
