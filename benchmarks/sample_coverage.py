"""Coverage of samples beside that of real pictures, for the fitted density and for N(0, I).

Rows are learned from and held out by half; as many are drawn. Codes are those of a plain
autoencoder. *Ours* draws from the mixture that ``fit`` chooses, *normal* from N(0, I) in the
units of codes' deviations, with the same decoder and the same remainders. Distances are those
of pixels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import print_table
from table_sets import Results, print_machine, table_parser, timed

SETS = ("digits", "mnist")
METHODS = ("ours", "normal")
MNIST_ROWS = 10_000


def pictures(name: str, data: Path, *, quick: bool) -> NDArray[np.float64]:
    """Return flat pictures in random order."""
    if name == "digits":
        from sklearn.datasets import load_digits

        rows = load_digits().data
    else:
        with np.load(data / "mnist.npz", allow_pickle=False) as file:
            rows = file[next(key for key in file.files if file[key].ndim > 1)]
        rows = rows[:MNIST_ROWS].reshape(MNIST_ROWS, -1)
    order = np.random.default_rng(0).permutation(len(rows))
    return np.asarray(rows[order[: 400 if quick else None]], dtype=np.float64)


def measure(rows: NDArray[np.float64], size: int, seed: int) -> dict[str, dict[str, Any]]:
    """Fit once, and judge what either density draws."""
    from autoencode import Autoencoder, evaluate_samples
    from autoencode.code_mixture import standard_normal

    train, test = np.array_split(rows, 2)
    line: dict[str, Any] = {}
    with timed(line):
        model = Autoencoder(size, random_state=seed).fit(train)
    state, found = model._state, {}
    fitted = state.sampler
    assert fitted is not None
    means = fitted.mixture.means - fitted.mixture.shares @ fitted.mixture.means
    inner = np.einsum("k,kij,klj->il", fitted.mixture.shares, *[fitted.mixture.factors] * 2)
    total = inner + (fitted.mixture.shares * means.T) @ means
    normal = replace(standard_normal(len(total)), factors=np.diag(np.sqrt(np.diag(total)))[None])
    for method in METHODS:
        if method == "normal":
            shifts = np.zeros((1, state.n_values))
            state.sampler = replace(
                fitted,
                mixture=normal,
                prior=None,
                classes=np.zeros(1, np.intp),
                chances=replace(fitted.chances, shifts=shifts),
            )
        judged = evaluate_samples(test, model.sample(len(test), random_state=seed), training=train)
        found[method] = line | {
            "coverage": judged.drawn.coverage,
            "real coverage": judged.real.coverage,
            "precision": judged.drawn.precision,
            "recall": judged.drawn.recall,
            "memorisation": judged.memorisation,
            "auc": judged.auc,
            "parts": len(fitted.mixture.shares) if method == "ours" else 1,
        }
    return found


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = table_parser(__doc__ or "", SETS, 3)
    parser.add_argument("--size", type=int, default=16, help="components of the code")
    arguments = parser.parse_args()
    results, rows = Results(arguments.json), []
    shown = ("coverage", "real coverage", "precision", "recall", "memorisation", "auc", "seconds")
    for name in arguments.tables:
        given = pictures(name, arguments.data, quick=arguments.quick)
        lines = []
        for seed in arguments.seeds:
            key = {"set": name, "size": arguments.size, "seed": seed, "quick": arguments.quick}
            lines.append(results.get(key, partial(measure, given, arguments.size, seed)))
        for method in METHODS:
            means = [float(np.mean([line[method][column] for line in lines])) for column in shown]
            rows.append([name, method, *[f"{mean:.3f}" for mean in means]])
    print_table("Coverage of samples, means over seeds", ["set", "density", *shown], rows)
    print_machine()


if __name__ == "__main__":
    main()
