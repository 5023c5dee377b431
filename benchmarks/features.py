"""Accuracy of two simple probes on short codes, beside principal components as many.

Codes are fitted to training rows without the class, and two probes to the codes: logistic
regression on standardised codes and the 5 nearest neighbours of the codes as they are. A
set's figure is the mean of both accuracies on test rows (30%, drawn by the seed, classes in
proportion). A code is a quarter as long as there are columns, at least 2. PCA gets the
standardised and one-hot columns of tables (a missing cell is the training rows' mean), the
pixels of pictures as they are.

The sets and their classes were chosen before any result: tables of numbers alone (wine,
breast cancer, iris, Satellite, Shuttle, spam), of both kinds of column (penguins: species,
credit_data: Status, diamonds: cut), of categories alone (Soybean), and pictures of digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from harness import print_table
from imputation_peers import Encoding
from table_sets import (
    Results,
    Values,
    cells_of,
    installed_ours,
    load_table,
    print_machine,
    table_parser,
    timed,
)

CLASSES = {
    "wine": None,
    "breast_cancer": None,
    "iris": None,
    "Satellite": "classes",
    "Shuttle": "Class",
    "spam": "type",
    "penguins": "species",
    "credit_data": "Status",
    "diamonds": "cut",
    "Soybean": "Class",
    "digits": None,
    "mnist": None,
}
"""The column that is the class; None: scikit-learn's or the file's own target."""

PICTURES = ("digits", "mnist")
MOST_ROWS = 5_000
MOST_PICTURES = 10_000
TEST_SHARE = 0.3
FEWEST_PER_CLASS = 10
"""Rows of a rarer class are left out: both parts of a split should have some."""

PROBES = ("linear", "neighbours", "whitened neighbours")
SCORED = PROBES[:2]
"""Those of a set's figure; the third divides codes by their standard deviations."""

Line = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """Rows without their class, in two parts.

    Attributes
    ----------
    train, test : pyarrow.Table or ndarray
        A table's rows, or pictures' pixels in [0, 1].
    train_class, test_class : ndarray of int
        One per row.
    n_components : int
        Length of a code.
    seed : int
        For whatever is random.
    """

    train: Any
    test: Any
    train_class: np.ndarray
    test_class: np.ndarray
    n_components: int
    seed: int

    def matrices(self) -> tuple[Values, Values]:
        """Return both parts as matrices for peers: complete, tables standardised."""
        from sklearn.impute import SimpleImputer

        if not isinstance(self.train, pa.Table):
            return self.train, self.test
        training = cells_of(self.train)
        # Levels that only test rows have are missing cells to everybody.
        encoding = Encoding.of(training)
        imputer = SimpleImputer(keep_empty_features=True)
        first = imputer.fit_transform(encoding.to(training.values))
        return first, imputer.transform(encoding.to(cells_of(self.test, training).values))


def load(name: str, data: Path, seed: int, most_rows: int) -> tuple[Any, np.ndarray]:
    """Return rows (a table, or pictures as ``(rows, pixels)``) and their classes."""
    if name not in PICTURES:
        return _table(name, data, seed, most_rows)
    if name == "digits":
        from sklearn.datasets import load_digits

        pixels, target = load_digits(return_X_y=True)
        pixels = pixels / 16
    else:
        with np.load(data / "mnist.npz", allow_pickle=False) as archive:
            pixels, target = archive["x_train"], archive["y_train"]
            pixels = pixels.reshape(len(pixels), -1)
    if len(pixels) > most_rows:
        chosen = np.random.default_rng([seed, 0]).choice(len(pixels), most_rows, replace=False)
        pixels, target = pixels[chosen], target[chosen]
    return pixels / (255 if name == "mnist" else 1), target.astype(np.int64)


def _table(name: str, data: Path, seed: int, most_rows: int) -> tuple[pa.Table, np.ndarray]:
    column = CLASSES[name]
    if column is None:
        import sklearn.datasets

        source = getattr(sklearn.datasets, f"load_{name}")()
        names = [str(feature) for feature in source.feature_names]
        return pa.table(dict(zip(names, source.data.T, strict=True))), source.target
    table = load_table(name, data, seed, most_rows)
    places = cells_of(table.select([column])).values[:, 0]
    values, counts = np.unique(places, return_counts=True)
    kept = np.isin(places, values[counts >= FEWEST_PER_CLASS])
    rows = table.drop_columns([column]).filter(pa.array(kept)).combine_chunks()
    return rows, places[kept].astype(np.int64)


def split(name: str, data: Path, seed: int, *, quick: bool = False) -> Split:
    """Return both parts of a set."""
    from sklearn.model_selection import train_test_split

    most = 300 if quick else MOST_PICTURES if name in PICTURES else MOST_ROWS
    rows, target = load(name, data, seed, most)
    train, test = train_test_split(
        np.arange(len(target)), test_size=TEST_SHARE, stratify=target, random_state=seed
    )
    columns = rows.num_columns if isinstance(rows, pa.Table) else rows.shape[1]
    parts = [
        rows.take(part) if isinstance(rows, pa.Table) else rows[part] for part in (train, test)
    ]
    # Few rows, as with --quick, have no more components than half of them.
    length = min(max(2, columns // 4), len(train) // 2)
    return Split(*parts, target[train], target[test], length, seed)


def raw(given: Split) -> tuple[Values, Values, Line]:
    """Return all columns, as PCA gets them."""
    return *given.matrices(), {}


def pca(given: Split) -> tuple[Values, Values, Line]:
    """Return principal components."""
    from sklearn.decomposition import PCA

    train, test = given.matrices()
    model = PCA(given.n_components, random_state=given.seed).fit(train)
    return model.transform(train), model.transform(test), {}


def ours(given: Split, kind: str = "Autoencoder", **options: Any) -> tuple[Values, Values, Line]:
    """Return codes of an estimator of ours, and whether its network is used (gate 1)."""
    import autoencode

    model = getattr(autoencode, kind)(
        n_components=given.n_components, random_state=given.seed, **options
    ).fit(given.train)
    first, second = (np.asarray(model.transform(part)) for part in (given.train, given.test))
    return first, second, {"gate": getattr(model, "gate_", None)}


METHODS: dict[str, Callable[[Split], tuple[Values, Values, Line]]] = {
    "raw": raw,
    "pca": pca,
    "linear": partial(ours, hidden_layer_sizes=()),
    "autoencoder": ours,
    "gaussian 0.3": partial(ours, corruption="gaussian:level=0.3"),
    "gaussian 0.6": partial(ours, corruption="gaussian:level=0.6"),
    "gaussian 1": partial(ours, corruption="gaussian:level=1.0"),
    "gaussian 0.6, one size": partial(ours, corruption="gaussian:level=0.6", nested=False),
    "mask 0.2": partial(ours, corruption="mask:level=0.2"),
    "hide": partial(ours, corruption="hide"),
    "denoising": partial(ours, kind="DenoisingAutoencoder"),
}
"""From a split to codes of both parts and facts.

"linear" is ours without a network: what it gains is the table's preparation.
"""

BASELINE = "pca"
USUAL = ("raw", BASELINE, "linear", "autoencoder", "denoising")


def accuracies(train: Values, test: Values, given: Split) -> dict[str, float]:
    """Return the accuracy of every probe on the test rows, in percent."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    scaled = scaler.transform(train), scaler.transform(test)
    probes = {
        "linear": (LogisticRegression(max_iter=5_000), scaled),
        "neighbours": (KNeighborsClassifier(5), (train, test)),
        "whitened neighbours": (KNeighborsClassifier(5), scaled),
    }
    return {
        name: 100 * float(probe.fit(first, given.train_class).score(second, given.test_class))
        for name, (probe, (first, second)) in probes.items()
    }


def measure(name: str, seed: int, method: str, data: Path, *, quick: bool) -> Line:
    """Return the accuracies of both probes on one method's codes of one split."""
    given = split(name, data, seed, quick=quick)
    line: Line = {"rows": len(given.train_class), "n_components": given.n_components}
    with timed(line):
        train, test, facts = METHODS[method](given)
    return {**line, **facts, "accuracies": accuracies(train, test, given)}


def mean_accuracy(lines: Sequence[Line], probes: Sequence[str] = SCORED) -> float:
    """Return the mean over seeds and probes, in percent."""
    return float(np.mean([line["accuracies"][probe] for line in lines for probe in probes]))


def report(runs: dict[str, dict[str, list[Line]]]) -> None:
    """Print the figure of every set by method, and how it compares with PCA's."""
    sets = list(next(iter(runs.values())))
    figures = {method: [mean_accuracy(of[name]) for name in sets] for method, of in runs.items()}
    rows = [[method, *of, float(np.mean(of))] for method, of in figures.items()]
    print_table("mean accuracy of both probes, %", ["method", *sets, "mean"], rows)
    for title, probes in (("both probes", SCORED), *((probe, (probe,)) for probe in PROBES)):
        _compare(f"{title}: beside PCA", runs, sets, probes)
    rows = []
    for method, of in runs.items():
        seconds = [float(np.mean([line["seconds"] for line in of[name]])) for name in sets]
        rows.append([method, *seconds])
    print_table("seconds of a fit and both transforms", ["method", *sets], rows)


def _compare(
    title: str, runs: dict[str, dict[str, list[Line]]], sets: list[str], probes: Sequence[str]
) -> None:
    """Print differences from PCA in points."""
    if BASELINE not in runs:
        return
    base = {name: mean_accuracy(runs[BASELINE][name], probes) for name in sets}
    rows = []
    for method, of in runs.items():
        gains = [mean_accuracy(of[name], probes) - base[name] for name in sets]
        # Sums of the same accuracies in another order may differ in the last bit.
        count = sum(gain > -1e-9 for gain in gains)
        rows.append([method, *gains, float(np.mean(gains)), f"{count}/{len(sets)}"])
    print_table(title + ", points", ["method", *sets, "mean", ">= PCA"], rows)


def main() -> None:
    """Measure every set, seed and method that the file does not have yet."""
    options = table_parser(__doc__.splitlines()[0], tuple(CLASSES), seeds=3)
    options.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(USUAL))
    arguments = options.parse_args()
    methods = arguments.methods
    if "denoising" in methods and not installed_ours("DenoisingAutoencoder"):
        print("autoencode.DenoisingAutoencoder: not installed, left out")
        methods = [method for method in methods if method != "denoising"]
    results = Results(arguments.json)
    runs: dict[str, dict[str, list[Line]]] = {}
    for name in arguments.tables:
        for seed in arguments.seeds:
            for method in methods:
                key = {"benchmark": "features", "quick": arguments.quick}
                key |= {"table": name, "seed": seed, "method": method}
                work = partial(measure, name, seed, method, arguments.data, quick=arguments.quick)
                runs.setdefault(method, {}).setdefault(name, []).append(results.get(key, work))
    print(f"\n{len(arguments.seeds)} seeds; 30% test rows; codes of a quarter of the columns")
    report(runs)
    print_machine()


if __name__ == "__main__":
    main()
