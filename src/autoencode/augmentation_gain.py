"""Whether augmentation helps an estimator, measured on rows that it has not seen."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted

from autoencode.augmentation import choose, require_classes
from autoencode.defaults import positive
from autoencode.errors import DataError, SpecError

__all__ = ["AugmentationGain", "measure_augmentation"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_WAYS = (("differences", 0.25), ("differences", 0.5))
_AMOUNTS = (2, 5)
_ROUNDING = 1 + 1e-9
"""One row more is exactly one standard error: that is no gain, however it is rounded."""


class _Way(NamedTuple):
    kind: str
    strength: float
    amount: int


@dataclass(frozen=True)
class AugmentationGain:
    """What augmentation does to a classifier's score, the share of unseen rows it gets right.

    Attributes
    ----------
    amount : int
        New rows for each given one; 0: no gain.
    kind, strength
        As for `Autoencoder.augment`: of the best that was tried.
    score_without, score_with : float
        Without new rows and with the best that was tried, on splits that had no part in
        choosing it.
    standard_error : float
        Of their difference, over rows.
    tried : list of dict
        ``kind``, ``strength``, ``amount`` and ``gain`` of everything that was tried, on the
        splits that chose.
    """

    amount: int
    kind: str
    strength: float
    score_without: float
    score_with: float
    standard_error: float
    tried: list[dict[str, Any]] = field(repr=False)

    @property
    def gain(self) -> float:
        """The score with new rows less that without."""
        return self.score_with - self.score_without

    def __str__(self) -> str:
        """Say it in a line."""
        figures = (
            f"score {self.score_without:.4f} without, {self.score_with:.4f} with "
            f"(difference {self.gain:+.4f}, standard error {self.standard_error:.4f})"
        )
        if not self.amount:
            return f"no gain: {figures}"
        return f"{self.amount} x {self.kind} at {self.strength:g}: {figures}"

    def enlarge(self, model: Any, X: Any, y: Any, *, random_state: Any = None) -> tuple[Any, Any]:
        """Return rows and classes with the new ones below, as many as help; as given if none do.

        Parameters
        ----------
        model : Autoencoder
            Fitted.
        X : array-like or frame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            Their classes.
        random_state : int, RandomState instance or None, default=None
            The only source of randomness.
        """
        if not self.amount:
            return X, y
        way = _Way(self.kind, self.strength, self.amount)
        return _enlarged(model, X, require_classes(y, len(X)), way, random_state)


def measure_augmentation(
    model: Any,
    X: Any,
    y: Any,
    estimator: Any,
    *,
    ways: Sequence[tuple[str, float]] = _WAYS,
    amounts: Sequence[int] = _AMOUNTS,
    n_splits: int = 5,
    n_repeats: int = 3,
    random_state: Any = None,
) -> AugmentationGain:
    """Measure by cross-validation whether new rows improve a classifier.

    One division into ``n_splits`` parts chooses among all ways and amounts; further
    ``n_repeats`` divisions measure the chosen one. The score is the share of rows that are
    classified correctly when they were not seen. A gain counts if it is larger than its
    standard error over rows, each row's differences averaged over divisions.

    Parameters
    ----------
    model : Autoencoder
        One that is not fitted is fitted to the training rows of each split. A fitted one
        is used as it is, and should not have seen X.
    X : array-like or frame of shape (n_samples, n_features)
        Rows, in memory.
    y : array-like of shape (n_samples,)
        The class of each row.
    estimator : estimator
        A scikit-learn classifier or pipeline; it is cloned.
    ways : sequence of (str, float)
        Kinds and strengths to try, as for `Autoencoder.augment`.
    amounts : sequence of int
        New rows for each given one, to try.
    n_splits : int, default=5
        Parts of a division; fewer if a class has fewer rows.
    n_repeats : int, default=3
        Divisions that measure.
    random_state : int, RandomState instance or None, default=None
        The only source of randomness of the splits, the new rows, and clones of a model
        without a seed of its own.

    Returns
    -------
    AugmentationGain
        The best amount (0: no gain), and the scores.

    Raises
    ------
    SpecError
        If a parameter is not allowed.
    DataError
        If a class has one row only.
    """
    labels = require_classes(y, len(X))
    fewest = int(np.unique(labels, return_counts=True)[1].min())
    if fewest < 2:
        raise DataError("a class of y has one row only; two are needed to measure")
    parts = int(positive("n_splits", n_splits, whole=True, other=None))
    repeats = int(positive("n_repeats", n_repeats, whole=True, other=None))
    tried = [_Way(kind, strength, amount) for kind, strength in ways for amount in amounts]
    if parts < 2 or not tried:
        raise SpecError("n_splits should be at least 2, and ways and amounts not empty")
    for way in tried:
        choose(way.kind, way.strength, way.amount, None, labelled=True)
    random = check_random_state(random_state)
    trial = _Trial(model, X, labels, estimator, min(parts, fewest), random)
    first = trial.correct(tried)
    gains = (first[1:] - first[0]).mean(1)
    best = tried[int(gains.argmax())]
    without, augmented = np.mean([trial.correct([best]) for _ in range(repeats)], axis=0)
    difference = augmented - without
    error = float(np.std(difference, ddof=1) / math.sqrt(len(difference)))
    return AugmentationGain(
        amount=best.amount if difference.mean() > _ROUNDING * error else 0,
        kind=best.kind,
        strength=best.strength,
        score_without=float(without.mean()),
        score_with=float(augmented.mean()),
        standard_error=error,
        tried=[{**way._asdict(), "gain": float(g)} for way, g in zip(tried, gains, strict=True)],
    )


class _Trial:
    """Says which rows a classifier gets right, with and without new rows."""

    def __init__(
        self,
        model: Any,
        X: Any,
        labels: npt.NDArray[Any],
        estimator: Any,
        parts: int,
        random: np.random.RandomState,
    ) -> None:
        self.model, self.X, self.labels, self.estimator = model, X, labels, estimator
        self.parts, self.random = parts, random
        try:
            check_is_fitted(model)
            self.fitted = True
        except NotFittedError:
            self.fitted = False

    def correct(self, ways: Sequence[_Way]) -> Array:
        """Return ``(1 + n_ways, n_rows)``: 1 where a row, not seen, is classified correctly."""
        found = np.zeros((1 + len(ways), len(self.labels)))
        folds = StratifiedKFold(self.parts, shuffle=True, random_state=self._seed())
        for train, test in folds.split(np.zeros(len(self.labels)), self.labels):
            X, labels = _taken(self.X, train), self.labels[train]
            unseen, seed = _taken(self.X, test), self._seed()
            model = self._model(X)
            sets = [(X, labels), *(_enlarged(model, X, labels, way, seed) for way in ways)]
            for place, given in enumerate(sets):
                guess = self._classifier(seed).fit(*given).predict(unseen)
                found[place, test] = np.asarray(guess) == self.labels[test]
        return found

    def _seed(self) -> int:
        return int(self.random.randint(2**31 - 1))

    def _model(self, X: Any) -> Any:
        """Return a model that has not seen the test rows."""
        if self.fitted:
            return self.model
        fresh = clone(self.model)
        if fresh.random_state is None:
            fresh.set_params(random_state=self._seed())
        return fresh.fit(X)

    def _classifier(self, seed: int) -> Any:
        """Return a classifier that is not fitted, with the same luck for all that are compared."""
        classifier = clone(self.estimator)
        own = {
            name: seed
            for name, value in classifier.get_params().items()
            if name.split("__")[-1] == "random_state" and value is None
        }
        return classifier.set_params(**own)


def _enlarged(
    model: Any, X: Any, labels: npt.NDArray[Any], way: _Way, random_state: Any
) -> tuple[Any, npt.NDArray[Any]]:
    new, classes = model.augment(
        X, way.amount, labels, kind=way.kind, strength=way.strength, random_state=random_state
    )
    return _joined(X, new), np.concatenate([labels, classes])


def _taken(X: Any, places: Places) -> Any:
    return X.take(pa.array(places)) if isinstance(X, pa.Table) else _safe_indexing(X, places)


def _joined(X: Any, new: Any) -> Any:
    """Put new rows below, in the kind of frame that they both have."""
    if isinstance(new, pa.Table):
        return pa.concat_tables([X, new], promote_options="permissive")
    if isinstance(new, np.ndarray):
        dense = X.toarray() if hasattr(X, "toarray") else np.asarray(X)
        return np.concatenate([dense, new])
    if hasattr(new, "vstack"):
        return X.vstack(new)  # polars
    return sys.modules["pandas"].concat([X, new], ignore_index=True)
