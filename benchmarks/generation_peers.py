"""What draws new rows of a table, beside ours: from cells as numbers to as many new ones."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from table_sets import Cells, Values

Draw = Callable[[Cells, int, bool, int], Values]
"""From cells, the target's column, whether it is a class, and a seed to new rows."""

_NEIGHBOURS = 5


def smote(cells: Cells, target: int, classes: bool, seed: int) -> Values:
    """Draw rows between neighbours with imbalanced-learn's SMOTENC, as many as there are.

    The classes are those of the target, or its lower and upper half (as in TabDDPM's
    comparison), where it is a column like any other.
    """
    from imblearn.over_sampling import SMOTE, SMOTENC

    values, column = cells.values, cells.values[:, target]
    labels = column.astype(int) if classes else (column > np.median(column)).astype(int)
    given = np.delete(values, target, 1) if classes else values
    categorical = np.delete(cells.categorical, target) if classes else cells.categorical
    counts = np.bincount(labels)
    wanted = {label: 2 * int(n) for label, n in enumerate(counts) if n > 1}
    kept = np.isin(labels, list(wanted))
    neighbours = min(_NEIGHBOURS, min(wanted.values()) // 2 - 1)
    options = {"sampling_strategy": wanted, "k_neighbors": neighbours, "random_state": seed}
    places = np.flatnonzero(categorical).tolist()
    maker = SMOTENC(places, **options) if places else SMOTE(**options)
    rows, found = maker.fit_resample(given[kept], labels[kept])
    new, found = np.asarray(rows)[kept.sum() :], np.asarray(found)[kept.sum() :]
    return np.insert(new, target, found, axis=1) if classes else new


def copula(cells: Cells, target: int, classes: bool, seed: int) -> Values:
    """Draw from a Gaussian copula of ranks; categories are the intervals of a hidden number."""
    from scipy.stats import norm, rankdata

    rng = np.random.default_rng(seed)
    n = len(cells.values)
    ranks = [rankdata(c + 1e-9 * rng.random(n), method="ordinal") for c in cells.values.T]
    hidden = norm.ppf((np.stack(ranks, 1) - 0.5) / n)
    drawn = rng.multivariate_normal(np.zeros(hidden.shape[1]), np.cov(hidden.T), size=n)
    levels = norm.cdf(drawn)
    order = np.sort(cells.values, axis=0)
    places = np.minimum((levels * n).astype(int), n - 1)
    return np.take_along_axis(order, places, axis=0)


def tvae(cells: Cells, target: int, classes: bool, seed: int) -> Values:
    """Draw from ctgan's TVAE with its defaults."""
    import pandas as pd
    from ctgan import TVAE

    del target, classes
    names = [f"c{place}" for place in range(len(cells.names))]
    frame = pd.DataFrame(cells.values, columns=names)
    discrete = [name for name, is_level in zip(names, cells.categorical, strict=True) if is_level]
    frame[discrete] = frame[discrete].astype(int).astype(str)
    model = TVAE(enable_gpu=False)
    model.set_random_state(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(frame, discrete)
        drawn = model.sample(len(frame))
    return drawn[names].astype(float).to_numpy()


PEERS: dict[str, Draw] = {"smote": smote, "copula": copula, "tvae": tvae}
