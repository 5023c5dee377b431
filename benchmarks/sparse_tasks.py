"""Planted dictionaries: rows that are sums of few known parts, so that recovery can be measured.

The kinds, sizes and seeds were fixed before any result was seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Rows = NDArray[np.float32]
Values = NDArray[np.float64]

TASKS = ("independent", "correlated", "hierarchical", "surplus")
"""`surplus` is `independent`, but one and a half times as many components are asked for."""

N_ROOTS, N_CHILDREN = 1 / 8, 1 / 2
"""Shares of the parts that are roots and children in `hierarchical`; the others are alone."""

CHILD_SHARE = 0.6
"""How often a child is active when its root is; at most one child of a root is."""

MOST_FREQUENT = 0.4
FACTORS = 8
PUSHES, PUSH = 100, 0.02


@dataclass(frozen=True)
class Planted:
    """Rows with the parts and codes that they were made of.

    Attributes
    ----------
    train, test : ndarray of shape (n_rows, n_features)
        Test rows come with ``codes``.
    codes : ndarray of shape (n_test, n_parts)
        Not negative; 0 where a part is not active.
    parts : ndarray of shape (n_parts, n_features)
        Of length 1.
    n_components : int
        What contestants are asked for.
    """

    train: Rows
    test: Rows
    codes: Values
    parts: Values
    n_components: int

    @property
    def active(self) -> float:
        """Return the mean number of active parts per row."""
        return float((self.codes > 0).sum(axis=1).mean())


def planted(
    name: str, seed: int, *, active: float = 6.0, noise: float = 0.0, quick: bool = False
) -> Planted:
    """Make the rows of a task.

    Parameters
    ----------
    name : str
        One of `TASKS`.
    seed : int
        Of parts and rows.
    active : float
        Mean number of active parts per row, before a hierarchy silences some.
    noise : float
        Standard deviation of normal noise on every value; a part's length is 1.
    quick : bool
        Few parts and rows.
    """
    rng = np.random.default_rng([seed, TASKS.index(name)])
    n_parts, n_features, n_train, n_test = 256, 64, 100_000, 8_000
    if quick:
        n_parts, n_features, n_train, n_test, active = 32, 16, 4_000, 1_000, active / 3
    parts = spread_parts(n_parts, n_features, rng)
    frequency = np.arange(1, n_parts + 1) ** -0.5
    frequency = np.minimum(frequency * active / frequency.sum(), MOST_FREQUENT)
    loadings = None
    if name in ("correlated", "hierarchical"):
        loadings = 0.5 * rng.standard_normal((n_parts, FACTORS))
    codes = draw_codes(name, n_train + n_test, frequency, loadings, rng)
    rows = codes @ parts
    rows = (rows + noise * rng.standard_normal(rows.shape)).astype(np.float32)
    wanted = n_parts * 3 // 2 if name == "surplus" else n_parts
    return Planted(rows[n_test:], rows[:n_test], codes[:n_test], parts, wanted)


def spread_parts(n_parts: int, n_features: int, rng: np.random.Generator) -> Values:
    """Return random parts of length 1, pushed apart: downhill on the sum of cosines^4."""
    parts = rng.standard_normal((n_parts, n_features))
    for _ in range(PUSHES):
        parts /= np.linalg.norm(parts, axis=1, keepdims=True)
        cosines = parts @ parts.T
        np.fill_diagonal(cosines, 0)
        slope = cosines**3 @ parts
        parts -= PUSH * slope / np.linalg.norm(slope, axis=1, keepdims=True)
    return parts / np.linalg.norm(parts, axis=1, keepdims=True)


def draw_codes(
    name: str,
    n_rows: int,
    frequency: Values,
    loadings: Values | None,
    rng: np.random.Generator,
) -> Values:
    """Return codes; active ones are normal around 1 with deviation 0.25, and at least 0.1.

    Parameters
    ----------
    name : str
        One of `TASKS`.
    n_rows : int
        How many.
    frequency : ndarray of shape (n_parts,)
        How often each part is active.
    loadings : ndarray of shape (n_parts, n_factors) or None
        Parts that share factors are active together.
    rng : Generator
        Of all draws.
    """
    n_parts = len(frequency)
    drive = rng.standard_normal((n_rows, n_parts))
    if loadings is not None:
        drive += rng.standard_normal((n_rows, loadings.shape[1])) @ loadings.T
        drive /= np.sqrt(1 + np.square(loadings).sum(axis=1))
    active = drive > norm.ppf(1 - frequency)
    if name == "hierarchical":
        roots, children = round(N_ROOTS * n_parts), round(N_CHILDREN * n_parts)
        groups = drive[:, roots : roots + children].reshape(n_rows, -1, roots)
        first = groups == groups.max(axis=1, keepdims=True)
        fires = active[:, :roots] & (rng.random((n_rows, roots)) < CHILD_SHARE)
        active[:, roots : roots + children] = (first & fires[:, None]).reshape(n_rows, -1)
    sizes = np.maximum(1 + 0.25 * rng.standard_normal((n_rows, n_parts)), 0.1)
    return np.asarray(active * sizes)
