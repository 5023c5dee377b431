"""How people fill in missing cells without this library; all from scikit-learn's parts.

Every peer is a function from cells (`table_sets.Cells`) and a seed to complete values.
Where numbers and categories have to be one matrix, numbers are standardised by the
observed cells and categories one-hot, all of a block missing together; the largest of a
block is its category. IterativeImputer with BayesianRidge gets the blocks without their
most frequent level: from a whole block each level is one minus the others, which are
missing together with it and start at their means, so that it would never leave the mode
(on Soybean, 32% wrong instead of 14%). Both cores are everybody's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge

from table_sets import Cells, Mask, Values

Impute = Callable[[Cells, int], Values]
N_TREES = 100
ROUNDS = 10


@dataclass(frozen=True)
class Encoding:
    """Standardised numbers and one-hot categories, and the way back.

    Attributes
    ----------
    cells : Cells
        What is encoded.
    centre, scale : ndarray
        Of every column's observed cells; 0 and 1 for categories.
    left_out : tuple of (int or None)
        The level of every column that has no value of its own.
    """

    cells: Cells
    centre: Values
    scale: Values
    left_out: tuple[int | None, ...]

    @classmethod
    def of(cls, cells: Cells, *, all_levels: bool = True) -> Encoding:
        """Fit to the observed cells; leave out the most frequent levels unless all are asked."""
        centre = np.where(cells.categorical, 0.0, np.nanmean(cells.values, axis=0))
        scale = np.where(cells.categorical, 1.0, np.nanstd(cells.values, axis=0))
        left_out = [
            None if all_levels or levels is None else _most_frequent(column)
            for levels, column in zip(cells.levels, cells.values.T, strict=True)
        ]
        return cls(cells, centre, np.where(scale == 0, 1.0, scale), tuple(left_out))

    def block(self, values: Values, column: int) -> Values:
        """Return one column's values encoded, ``(rows, 1 or levels)``; NaN stays NaN."""
        left_out = self.left_out[column]
        levels, given = self.cells.levels[column], values[:, [column]]
        if levels is None:
            scaled: Values = (given - self.centre[column]) / self.scale[column]
            return scaled
        block = np.where(np.isnan(given), np.nan, given == np.arange(len(levels)))
        return block if left_out is None else np.delete(block, left_out, axis=1)

    def to(self, values: Values) -> Values:
        """Return all blocks side by side."""
        return np.hstack([self.block(values, column) for column in range(values.shape[1])])

    def back(self, encoded: Values) -> Values:
        """Return the cells that complete encoded values mean."""
        columns, start = [], 0
        for column, levels in enumerate(self.cells.levels):
            left_out = self.left_out[column]
            width = (1 if levels is None else len(levels)) - (left_out is not None)
            block = encoded[:, start : start + width]
            if left_out is not None:
                block = np.insert(block, left_out, 1 - block.sum(1), axis=1)
            if levels is None:
                columns.append(block[:, 0] * self.scale[column] + self.centre[column])
            else:
                columns.append(block.argmax(1).astype(float))
            start += width
        return np.column_stack(columns)


def _most_frequent(places: Values) -> int:
    return int(np.bincount(places[~np.isnan(places)].astype(int)).argmax())


def mean_mode(cells: Cells, seed: int = 0) -> Values:
    """Fill in every column's mean or most frequent level."""
    result = cells.values.copy()
    for strategy, columns in (("mean", ~cells.categorical), ("most_frequent", cells.categorical)):
        if columns.any():
            imputer = SimpleImputer(strategy=strategy)
            result[:, columns] = imputer.fit_transform(result[:, columns])
    return result


def encoded(make: Callable[[int], Any], *, all_levels: bool = True) -> Impute:
    """Return a peer that runs an imputer of scikit-learn on the encoded table."""

    def impute(cells: Cells, seed: int) -> Values:
        encoding = Encoding.of(cells, all_levels=all_levels)
        return encoding.back(_quietly(make(seed), encoding.to(cells.values)))

    return impute


class _PassingTrees(ExtraTreesRegressor):  # type: ignore[misc]
    """The same trees, gone once they have predicted.

    IterativeImputer keeps every estimator of every round for rows to come: here it
    would be gigabytes, and there are none.
    """

    def predict(self, X: Any) -> Any:
        result = super().predict(X)
        self.estimators_: list[Any] = []
        return result


def iterative_trees(cells: Cells, seed: int) -> Values:
    """Run IterativeImputer with ExtraTrees; a category is the place of its level, rounded."""
    trees = _PassingTrees(N_TREES, n_jobs=-1, random_state=seed)
    imputer = IterativeImputer(trees, max_iter=ROUNDS, random_state=seed)
    encoding = Encoding.of(cells)
    scaled = (cells.values - encoding.centre) / encoding.scale
    result = _quietly(imputer, scaled) * encoding.scale + encoding.centre
    for column in np.flatnonzero(cells.categorical):
        result[:, column] = result[:, column].round().clip(0, len(cells.levels[column] or ()) - 1)
    return result


def _quietly(imputer: Any, values: Values) -> Values:
    """Complete; that ten rounds are not convergence is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return imputer.fit_transform(values)  # type: ignore[no-any-return]


def posterior_draws(cells: Cells, seed: int, n_draws: int) -> list[Values]:
    """Return as many completed tables, each from a run that draws from BayesianRidge."""

    def make(draw: int) -> Any:
        return IterativeImputer(
            BayesianRidge(), max_iter=ROUNDS, sample_posterior=True, random_state=draw
        )

    impute = encoded(make, all_levels=False)
    return [impute(cells, 1_000 * seed + draw) for draw in range(n_draws)]


@dataclass(frozen=True)
class MissForest:
    """Stekhoven and Bühlmann (2012), algorithm 1: one forest per column, in rounds.

    Numbers are standardised first: no tree notices, and in the sum that ends the rounds
    no column outweighs the others by its unit. The others' categories go in one-hot.

    Attributes
    ----------
    regressor, classifier : type
        The forests.
    options : tuple of (str, value)
        What beside the defaults they are given.
    """

    regressor: Any
    classifier: Any
    options: tuple[tuple[str, Any], ...] = ()

    def __call__(self, cells: Cells, seed: int) -> Values:
        """Complete: at most `ROUNDS` rounds, until the change grows for every kind."""
        encoding = Encoding.of(cells)
        missing = np.isnan(cells.values)
        values = mean_mode(cells)
        last = np.full(2, np.inf)
        for _ in range(ROUNDS):
            new = self._round(encoding, values, missing, seed)
            change = _change(encoding, new, values, missing)
            if (change > last)[~np.isnan(change)].all():
                break
            values, last = new, np.where(np.isnan(change), last, change)
        return values

    def _round(self, encoding: Encoding, values: Values, missing: Mask, seed: int) -> Values:
        """Predict every column that misses cells, those with few first, from all others."""
        values = values.copy()
        blocks = [encoding.block(values, column) for column in range(values.shape[1])]
        amounts = missing.sum(0)
        for column in np.argsort(amounts, kind="stable"):
            if not amounts[column]:
                continue
            others = np.hstack(blocks[:column] + blocks[column + 1 :])
            kind = self.regressor if encoding.cells.levels[column] is None else self.classifier
            forest = kind(N_TREES, n_jobs=-1, random_state=seed, **dict(self.options))
            gone = missing[:, column]
            forest.fit(others[~gone], values[~gone, column])
            values[gone, column] = forest.predict(others[gone])
            blocks[column] = encoding.block(values, column)
        return values


def _change(encoding: Encoding, new: Values, old: Values, missing: Mask) -> Values:
    """Return the change of a round in numbers and in categories; NaN where there are none."""
    categorical, scale = encoding.cells.categorical, encoding.scale
    change = np.full(2, np.nan)
    if missing[:, ~categorical].any():
        differences, sizes = ((new - old) / scale, (new - encoding.centre) / scale)
        change[0] = (differences[:, ~categorical] ** 2).sum() / (sizes[:, ~categorical] ** 2).sum()
    if missing[:, categorical].any():
        change[1] = (new != old)[:, categorical].sum() / missing[:, categorical].sum()
    return change


def _bayesian_ridge(seed: int) -> Any:
    return IterativeImputer(BayesianRidge(), max_iter=ROUNDS, random_state=seed)


PEERS: dict[str, Impute] = {
    "mean_mode": mean_mode,
    "neighbours_5": encoded(lambda seed: KNNImputer(n_neighbors=5)),
    "neighbours_15": encoded(lambda seed: KNNImputer(n_neighbors=15)),
    "iterative_ridge": encoded(_bayesian_ridge, all_levels=False),
    "iterative_trees": iterative_trees,
    "missforest_extra": MissForest(ExtraTreesRegressor, ExtraTreesClassifier),
    "missforest_random": MissForest(
        RandomForestRegressor, RandomForestClassifier, (("max_features", "sqrt"),)
    ),
}
"""The last has the forests and the features per split of the paper's program."""

FORESTS = ("iterative_trees", "missforest_extra", "missforest_random")
