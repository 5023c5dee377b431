"""How far drawn rows are like real ones, on rows that no model has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from autoencode.data.rows import Rows
from autoencode.errors import DataError, SpecError
from autoencode.near_rows import Overlap, Space, nearest, overlap
from autoencode.opening import open_for_fit, open_like
from autoencode.preprocess.table_rows import TableRows

__all__ = ["SampleQuality", "evaluate_samples"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_FEWEST = 20
_MOST_ROWS = 5000
_FOLDS = 5
_MOST_COLUMNS = 60
_BINS = 5
_MOST_LEVELS = 255
_SHOWN = 3


@dataclass(frozen=True)
class SampleQuality:
    """Figures of drawn rows, each beside that of real ones: one half of them against the other.

    Attributes
    ----------
    space : str
        What distances are measured in.
    drawn, real : Overlap
        ``precision`` and ``recall`` (Kynkäänniemi et al., 2019), ``density`` and ``coverage``
        (Naeem et al., 2020), with five neighbours: of drawn rows, and of the other half of
        the real ones.
    memorisation : float or None
        Chance that a drawn row lies nearer to its nearest training row than a held-out one to
        its own: 0.5 if drawn rows are as new as real ones, 1 for copies. None without
        ``training``.
    copies, real_copies : float or None
        Share of drawn rows that are training rows, and of held-out ones.
    auc, real_auc : float
        Of gradient boosting that tells drawn rows from real ones, cross-validated (Lopez-Paz
        and Oquab, 2017): 0.5 if it cannot.
    columns : dict of str to (float, float)
        How differently each column is spread, and how differently in two halves of the real
        rows: Kolmogorov and Smirnov's distance of numbers, total variation of categories.
    pairs : dict of (str, str) to (float, float)
        The same for pairs of columns: the difference of Spearman's correlations of numbers,
        total variation of how often cells meet otherwise (numbers in five bins).
    """

    space: str
    drawn: Overlap
    real: Overlap
    memorisation: float | None
    copies: float | None
    real_copies: float | None
    auc: float
    real_auc: float
    columns: dict[str, tuple[float, float]] = field(repr=False)
    pairs: dict[tuple[str, str], tuple[float, float]] = field(repr=False)

    @property
    def worst_columns(self) -> list[str]:
        """The columns by how much more differently they are spread than in real rows."""
        return sorted(self.columns, key=lambda name: self.columns[name][1] - self.columns[name][0])

    @property
    def worst_pairs(self) -> list[tuple[str, str]]:
        """The pairs of columns, in the same order."""
        return sorted(self.pairs, key=lambda names: self.pairs[names][1] - self.pairs[names][0])

    def __str__(self) -> str:
        """Say it in a few lines."""
        pairs = zip(self.drawn._fields, self.drawn, self.real, strict=True)
        overlap_text = ", ".join(f"{name} {a:.3f} ({b:.3f})" for name, a, b in pairs)
        lines = [
            f"drawn rows (real rows in brackets), in {self.space}:",
            f"  {overlap_text}",
            f"  told from real rows with AUC {self.auc:.3f} ({self.real_auc:.3f})",
        ]
        if self.memorisation is not None:
            lines.append(
                f"  nearer to a training row than held-out rows are: {self.memorisation:.3f} "
                f"(0.5); copies {self.copies:.2%} ({self.real_copies:.2%})"
            )
        for what, names, found in (
            ("columns", self.worst_columns, self.columns),
            ("pairs", self.worst_pairs, self.pairs),
        ):
            if found:
                texts = [_named(name, *found[name]) for name in names[:_SHOWN]]  # type: ignore[index]
                lines.append(f"  {what} that differ most: {', '.join(texts)}")
        return "\n".join(lines)


def _named(name: Any, drawn: float, real: float) -> str:
    text = " and ".join(name) if isinstance(name, tuple) else name
    return f"{text} {drawn:.3f} ({real:.3f})"


def evaluate_samples(
    real: Any, drawn: Any, *, training: Any = None, random_state: Any = 0
) -> SampleQuality:
    """Measure how far drawn rows are like real ones.

    Parameters
    ----------
    real : array-like, frame or path
        Held-out rows: such as the model that drew was not fitted to. 5,000 at most are used.
    drawn : like real
        What a model drew.
    training : like real, optional
        The rows that it was fitted to, for telling whether it repeats them.
    random_state : int, RandomState instance or None, default=0
        Of the halves and folds.

    Returns
    -------
    SampleQuality
        All figures; as text a summary.

    Raises
    ------
    DataError
        If the rows cannot be used, are not of the same columns, or there are fewer than 20.
    """
    try:
        generator = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise SpecError(f"random_state={random_state!r} cannot be used: {error}") from None
    rows = open_for_fit(real, None)
    schema = rows.schema if isinstance(rows, TableRows) else None
    others = {"drawn": drawn} | ({} if training is None else {"training": training})
    opened = {name: open_like(data, schema, rows.names) for name, data in others.items()}
    for name, other in {"real": rows, **opened}.items():
        if other.n_features != rows.n_features:
            raise DataError(
                f"{name} has {other.n_features} values in a row, real has {rows.n_features}"
            )
        if other.n_rows < _FEWEST and name != "training":
            raise DataError(f"{name} has {other.n_rows} rows; {_FEWEST} at least are needed")
    chosen = {"real": _some(rows, generator), "drawn": _some(opened["drawn"], generator)}
    space = Space.of(rows, chosen["real"].values)
    points = {name: space.points(rows_of.values) for name, rows_of in chosen.items()}
    first, second = np.array_split(np.arange(len(points["real"])), 2)
    count = min(len(second), len(points["drawn"]))
    halves = points["real"][first], points["real"][second[:count]]
    memorised: dict[str, float | None] = dict.fromkeys(("share", "copies", "real_copies"))
    if training is not None:
        everything = space.points(np.asarray(opened["training"].dense(), dtype=np.float64))
        memorised = _memorised(points, everything)
    own, other_half = (chosen["real"].cells[part] for part in (first, second))
    drawn_cells, categorical = chosen["drawn"].cells, _categorical(rows)
    named = _columns(rows)
    return SampleQuality(
        space.name,
        overlap(halves[0], points["drawn"][:count]),
        overlap(*halves),
        memorised["share"],
        memorised["copies"],
        memorised["real_copies"],
        _auc(chosen["real"].cells, drawn_cells, categorical, generator),
        _auc(own, other_half, categorical, generator),
        {
            name: (_apart(chosen["real"].cells, drawn_cells, c, k), _apart(own, other_half, c, k))
            for name, (c, k) in named.items()
        },
        _pairs(named, (chosen["real"].cells, drawn_cells), (own, other_half)),
    )


@dataclass(frozen=True)
class _Some:
    """Some rows, in random order: as values, and as cells."""

    values: Array
    cells: Array


def _some(rows: Rows, generator: np.random.Generator) -> _Some:
    numbers = generator.permutation(rows.n_rows)[:_MOST_ROWS]
    values = np.asarray(rows.take(numbers), dtype=np.float64)
    return _Some(values, rows.cells[numbers] if isinstance(rows, TableRows) else values)


def _memorised(points: dict[str, Array], training: Array) -> dict[str, float | None]:
    """Return how near drawn and real rows lie to training rows."""
    drawn, real = (nearest(points[name], training) for name in ("drawn", "real"))
    order = np.sort(real)
    # Ties count half (Mann and Whitney, 1947).
    above = len(order) - np.searchsorted(order, drawn, side="right")
    ties = np.searchsorted(order, drawn, side="right") - np.searchsorted(order, drawn)
    share = float((above + 0.5 * ties).mean() / len(order))
    copies, real_copies = (float((found == 0).mean()) for found in (drawn, real))
    return {"share": share, "copies": copies, "real_copies": real_copies}


def _categorical(rows: Rows) -> list[int]:
    """Return the cells that are categories which gradient boosting can take as such."""
    if not isinstance(rows, TableRows):
        return []
    return [
        span.cells.start
        for span in rows.schema.spans
        if span.block.kind in ("binary", "categorical")
        and len(getattr(span.block, "levels", ())) < _MOST_LEVELS
    ]


def _columns(rows: Rows) -> dict[str, tuple[int, bool]]:
    """Return the place of each column's cell, and whether it is a number; of tables alone."""
    if not isinstance(rows, TableRows):
        return {}
    kinds = ("binary", "categorical", "ordered", "constant")
    spans = [span for span in rows.schema.spans if span.block.n_cells == 1]
    return {s.block.name: (s.cells.start, s.block.kind not in kinds) for s in spans}


def _auc(
    real: Array, drawn: Array, categorical: list[int], generator: np.random.Generator
) -> float:
    """Return the cross-validated AUC of gradient boosting that tells the two apart."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    count = min(len(real), len(drawn))
    rows = np.concatenate([real[:count], drawn[:count]])
    truth = np.repeat([0, 1], count)
    seed = int(generator.integers(2**31 - 1))
    model = HistGradientBoostingClassifier(
        categorical_features=categorical or None, early_stopping=False, random_state=seed
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(model, rows, truth, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(truth, found))


def _apart(real: Array, drawn: Array, cell: int, number: bool) -> float:
    """Return how differently a column is spread in two sets of rows."""
    first, second = (np.sort(rows[~np.isnan(rows[:, cell]), cell]) for rows in (real, drawn))
    if not len(first) or not len(second):
        return float(len(first) != len(second))
    every = np.unique(np.concatenate([first, second]))
    upto = [np.searchsorted(part, every, side="right") / len(part) for part in (first, second)]
    if number:
        return float(np.abs(upto[0] - upto[1]).max())
    shares = [np.diff(part, prepend=0.0) for part in upto]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())


def _pairs(
    named: dict[str, tuple[int, bool]],
    compared: tuple[Array, Array],
    halves: tuple[Array, Array],
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return how differently pairs of columns hang together; of 60 columns at most."""
    names = list(named)[:_MOST_COLUMNS]
    found = {}
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            columns = named[one], named[other]
            found[one, other] = (_together(*compared, columns), _together(*halves, columns))
    return found


def _together(
    real: Array, drawn: Array, columns: tuple[tuple[int, bool], tuple[int, bool]]
) -> float:
    from scipy.stats import spearmanr

    places = [place for place, _ in columns]
    sides = [rows[:, places][~np.isnan(rows[:, places]).any(1)] for rows in (real, drawn)]
    if min(len(side) for side in sides) < 2:
        return 0.0
    if all(number for _, number in columns):
        if any(np.ptp(side, axis=0).min() == 0 for side in sides):
            return 0.0
        return float(abs(spearmanr(sides[0]).statistic - spearmanr(sides[1]).statistic)) / 2
    coded = []
    for place, (_, number) in enumerate(columns):
        edges = np.unique(sides[0][:, place])
        if number:
            edges = np.unique(np.quantile(sides[0][:, place], np.arange(1, _BINS) / _BINS))
        coded.append([np.searchsorted(edges, side[:, place]) for side in sides])
    width = max(int(part.max()) for part in coded[1]) + 1
    joint = [coded[0][side] * width + coded[1][side] for side in (0, 1)]
    length = max(int(part.max()) for part in joint) + 1
    shares = [np.bincount(part, minlength=length) / len(part) for part in joint]
    return float(0.5 * np.abs(shares[0] - shares[1]).sum())
