"""Parts of MNIST's digits: explained variance, dead units, and a picture of the parts.

`SparseAutoencoder(1024, n_active=20)` is fitted to the 60,000 training pictures, pixels in
[0, 1], with its defaults (codes by pursuit) and without them (the encoder's codes), and
measured on the 10,000 test pictures. Beside it is PCA with 20 components, and scikit-learn's
MiniBatchDictionaryLearning of as many parts with codes of 20 by its own pursuit, both fitted
for at most as many processor seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness import print_table
from table_sets import Results, print_machine, timed

Line = dict[str, Any]
Values = np.ndarray[Any, np.dtype[np.float32]]

SHOWN = 16
"""Parts in a row, and rows of parts, of the picture."""


def load(data: Path, quick: bool) -> tuple[Values, Values]:
    """Return training and test pictures, ``(rows, 784)`` in [0, 1]."""
    with np.load(data / "mnist.npz", allow_pickle=False) as archive:
        train, test = (archive[name].reshape(-1, 784) for name in ("x_train", "x_test"))
    if quick:
        train, test = train[:2_000], test[:500]
    return tuple((part / 255).astype(np.float32) for part in (train, test))  # type: ignore[return-value]


def explained(test: Values, reconstructed: Values, train: Values) -> float:
    """Return the share of the variance around the training mean."""
    left = np.square(test - reconstructed).sum(dtype=np.float64)
    return float(1 - left / np.square(test - train.mean(0)).sum(dtype=np.float64))


def pca(train: Values, test: Values, parts: int, active: int) -> Line:
    """Return the figures of as many principal components as parts are active."""
    from sklearn.decomposition import PCA

    model = PCA(active, random_state=0).fit(train)
    back = model.inverse_transform(model.transform(test))
    return {"explained": explained(test, back, train), "active": float(active), "dead": 0.0}


def ours(
    train: Values, test: Values, parts: int, active: int, picture: Path | None = None, **more: Any
) -> Line:
    """Fit ours; return its figures, and draw its parts."""
    from autoencode import SparseAutoencoder

    model = SparseAutoencoder(parts, n_active=active, random_state=0, **more).fit(train)
    codes = model.transform(test)
    found = figures(test, codes, np.asarray(model.inverse_transform(codes)), train)
    if model.unit_stability_ is not None:
        found["stable"] = float((model.unit_stability_ > 0.9).mean())
    if picture is not None:
        draw(model.components_, np.asarray((codes != 0).mean(0)).ravel(), picture)
    return found


def dictionary_learning(train: Values, test: Values, parts: int, active: int) -> Line:
    """Return the figures of scikit-learn's, given as many processor seconds as ours takes."""
    from sklearn.decomposition import MiniBatchDictionaryLearning

    model = MiniBatchDictionaryLearning(
        parts,
        transform_algorithm="omp",
        transform_n_nonzero_coefs=active,
        random_state=0,
        max_iter=1,
    )
    center = train.mean(0)
    order, started, place = np.random.default_rng(0).permutation(len(train)), time.process_time(), 0
    while time.process_time() - started < dictionary_learning.seconds:  # type: ignore[attr-defined]
        chosen = order.take(range(place, place + 256), mode="wrap")
        model.partial_fit(train[chosen] - center)
        place += 256
    codes = model.transform(test - center)
    back = codes @ model.components_ + center
    return figures(test, codes, back, train) | {"rows seen": place}


def figures(test: Values, codes: Any, back: Values, train: Values) -> Line:
    """Return explained variance, active parts of a row and the share of dead parts."""
    active = np.asarray((codes != 0).sum(0)).ravel()
    return {
        "explained": explained(test, back, train),
        "active": float(active.sum() / len(test)),
        "dead": float((active == 0).mean()),
    }


def draw(parts: Values, frequency: Values, path: Path) -> None:
    """Draw the parts that are used most, light where they add and dark where they take away."""
    from PIL import Image

    chosen = np.argsort(-frequency)[: SHOWN * SHOWN]
    tiles = parts[chosen].reshape(len(chosen), 28, 28)
    tiles = tiles / np.abs(tiles).max((1, 2), keepdims=True)
    sheet = np.full((SHOWN * 30 + 2, SHOWN * 30 + 2), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = (2 + 30 * at for at in divmod(place, SHOWN))
        sheet[top : top + 28, left : left + 28] = np.round(127.5 + 127.5 * tile)
    Image.fromarray(sheet).save(path, optimize=True)


def main() -> None:
    """Measure every method that the file does not have yet."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--quick", action="store_true")
    options.add_argument("--parts", type=int, default=1024)
    options.add_argument("--active", type=int, default=20)
    options.add_argument("--picture", type=Path, help="where to draw the parts (.png)")
    options.add_argument("--json", type=Path)
    arguments = options.parse_args()
    train, test = load(arguments.data, arguments.quick)
    methods: dict[str, Callable[..., Line]] = {
        "PCA": pca,
        "ours": partial(ours, picture=arguments.picture),
        "ours, encoder's codes": partial(ours, refine=None),
        "MiniBatchDictionaryLearning": dictionary_learning,
    }
    results, lines = Results(arguments.json), {}
    for name, method in methods.items():
        key = {"benchmark": "sparse_mnist", "quick": arguments.quick, "method": name}
        key |= {"parts": arguments.parts, "active": arguments.active}
        lines[name] = results.get(key, partial(_measure, method, train, test, arguments))
        if name == "ours":
            dictionary_learning.seconds = lines[name]["core seconds"]  # type: ignore[attr-defined]
    columns = ("explained", "active", "dead", "stable", "core seconds")
    rows = [[name, *(line.get(column) for column in columns)] for name, line in lines.items()]
    print_table("MNIST, test pictures", ["method", *columns], rows)
    print_machine()


def _measure(
    method: Callable[..., Line], train: Values, test: Values, arguments: argparse.Namespace
) -> Line:
    line: Line = {"rows": len(train)}
    with timed(line):
        found = method(train, test, arguments.parts, arguments.active)
    return {**line, **found}


if __name__ == "__main__":
    main()
