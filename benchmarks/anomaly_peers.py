"""Detectors of others beside ours: PyOD's where it is installed, else scikit-learn's.

Each takes rows to fit to and rows to judge, standardised, and returns scores, higher is odder.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Detector = Callable[[Values, Values, int], Values]

MOST_ROWS = {"OCSVM": 5_000, "MCD": 20_000, "LOF": 20_000, "KNN": 30_000}
"""Rows that the costly peers are fitted to, drawn by the seed; the others get all."""

PYOD = {
    "KNN": "knn",
    "LOF": "lof",
    "IForest": "iforest",
    "MCD": "mcd",
    "ECOD": "ecod",
    "PCA": "pca",
    "OCSVM": "ocsvm",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
}
"""The module of each of PyOD's detectors; all with their defaults."""

SEEDED = ("IForest", "MCD", "PCA", "AutoEncoder", "VAE")


def has_pyod() -> bool:
    """Return whether PyOD is there."""
    return importlib.util.find_spec("pyod") is not None


def peers() -> dict[str, Detector]:
    """Return all that can run here, by name."""
    if not has_pyod():
        return {name: _capped(name, detector) for name, detector in STAND_INS.items()}
    return {name: _capped(name, _pyod(name)) for name in PYOD}


def _pyod(name: str) -> Detector:
    def judged(rows: Values, judge: Values, seed: int) -> Values:
        kind = getattr(importlib.import_module(f"pyod.models.{PYOD[name]}"), name)
        options: dict[str, Any] = {"random_state": seed} if name in SEEDED else {}
        model = kind(**options).fit(rows)
        same = judge is rows
        return np.asarray(model.decision_scores_ if same else model.decision_function(judge))

    return judged


def _capped(name: str, detector: Detector) -> Detector:
    most = MOST_ROWS.get(name)
    if most is None:
        return detector

    def judged(rows: Values, judge: Values, seed: int) -> Values:
        if len(rows) <= most:
            return detector(rows, judge, seed)
        few = np.random.default_rng(seed).choice(len(rows), most, replace=False)
        return detector(rows[few], judge, seed)

    return judged


def _knn(rows: Values, judge: Values, seed: int) -> Values:
    """PyOD's KNN: the distance to the fifth neighbour; of rows of the fit, to the fifth other."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=5).fit(rows)
    found = model.kneighbors() if judge is rows else model.kneighbors(judge)
    return found[0][:, -1]  # type: ignore[no-any-return]


def _lof(rows: Values, judge: Values, seed: int) -> Values:
    from sklearn.neighbors import LocalOutlierFactor

    same = judge is rows
    model = LocalOutlierFactor(n_neighbors=min(20, len(rows) - 1), novelty=not same).fit(rows)
    return -model.negative_outlier_factor_ if same else -model.score_samples(judge)


def _forest(rows: Values, judge: Values, seed: int) -> Values:
    from sklearn.ensemble import IsolationForest

    return -IsolationForest(random_state=seed).fit(rows).score_samples(judge)


def _mcd(rows: Values, judge: Values, seed: int) -> Values:
    from sklearn.covariance import MinCovDet

    return MinCovDet(random_state=seed).fit(rows).mahalanobis(judge)  # type: ignore[no-any-return]


def _pca(rows: Values, judge: Values, seed: int) -> Values:
    """PyOD's PCA: distances to the axes' ends, each divided by its share of the variance."""
    from scipy.spatial.distance import cdist
    from sklearn.decomposition import PCA

    model = PCA(random_state=seed).fit(rows)
    shares = np.maximum(model.explained_variance_ratio_, 1e-12)
    return (cdist(judge, model.components_) / shares).sum(1)  # type: ignore[no-any-return]


def _svm(rows: Values, judge: Values, seed: int) -> Values:
    from sklearn.svm import OneClassSVM

    return -OneClassSVM(nu=0.5, gamma="auto").fit(rows).decision_function(judge)


def _ecod(rows: Values, judge: Values, seed: int) -> Values:
    """Empirical tails of each column (Li et al., 2022): the largest of left, right and skewed."""
    from scipy.stats import skew

    left, right, skewed = np.zeros((3, len(judge)))
    for column, judged in zip(rows.T, judge.T, strict=True):
        both = np.sort(column if judge is rows else np.append(column, judged))
        low = -np.log(np.searchsorted(both, judged, "right") / len(both))
        high = -np.log((len(both) - np.searchsorted(both, judged, "left")) / len(both))
        left, right = left + low, right + high
        skewed = skewed + (low if skew(column) < 0 else high)
    return np.maximum(np.maximum(left, right), skewed)


STAND_INS: dict[str, Detector] = {
    "KNN": _knn,
    "LOF": _lof,
    "IForest": _forest,
    "MCD": _mcd,
    "ECOD": _ecod,
    "PCA": _pca,
    "OCSVM": _svm,
}
