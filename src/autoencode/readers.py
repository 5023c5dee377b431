"""Which of two codes tells simple readers more: for features, where no class is known yet.

What stands for the class is the group of like rows that a row belongs to, found in the rows
themselves. Two readers guess it from the codes of a row that they did not learn from: a linear
map and the nearest neighbours, the probes by which features are usually judged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoencode.measurement import HeldOut
from autoencode.network import Network
from autoencode.selection import gate_opens

__all__ = ["MOST_READ", "Readers", "groups_of", "misread"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

MOST_READ = 2000
"""Rows that codes are read from, at most."""

_GROUPS = (3, 6, 12)
_ROUNDS = 30
_FOLDS = 3
_NEIGHBOURS = 5
_RIDGE = 1e-3


class Readers:
    """What readers make of codes of training rows: PCA's, and those of networks.

    Training rows, since held-out ones are too few to be put into groups. A network that
    was trained on rows with noise does not know them by heart.

    Parameters
    ----------
    rows : HeldOut
        Rows as they are.
    deviations : ndarray of shape (k,)
        By which codes of networks are multiplied, as those that are given out.
    seed : int
        For groups and folds.
    """

    def __init__(self, rows: HeldOut, deviations: Array, seed: int) -> None:
        self.rows, self.deviations, self.seed = rows, deviations, seed
        self.values = rows.encoded()
        head = rows.principal.head(len(deviations))
        scores = (self.values - head.mean) @ head.components.T
        self.pca = self.best = misread(self.values, scores, seed)

    def prefer(self, network: Network) -> bool:
        """Say whether readers are wrong less often than with PCA, and any network before.

        Than with PCA by more than one standard error.

        Parameters
        ----------
        network : Network
            With codes as long as there are deviations.
        """
        mine = misread(self.values, self.rows.codes(network) * self.deviations, self.seed)
        better = bool(mine.mean() < self.best.mean()) and gate_opens(mine, self.pca)
        if better:
            self.best = mine
        return better


def misread(rows: Array, codes: Array, seed: int) -> Array:
    """Return how often each row's group is guessed wrongly from its code.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_values)
        Scaled, complete.
    codes : ndarray of shape (n_rows, n_components)
        Their codes.
    seed : int
        For the first centres of the groups and the folds.

    Returns
    -------
    ndarray of shape (n_rows,)
        Share of wrong guesses, by both readers and with 3, 6 and 12 groups, each learned
        from two thirds of the rows that this one is not among.
    """
    generator = np.random.default_rng(seed)
    folds = generator.permutation(len(rows)) % _FOLDS
    wrong = np.zeros(len(rows))
    for count in _GROUPS:
        groups = groups_of(rows, count, generator)
        for fold in range(_FOLDS):
            held, known = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            for read in (_linearly, _by_neighbours):
                guess = read(codes[known], groups[known], codes[held], count)
                wrong[held] += guess != groups[held]
    return wrong / (2 * len(_GROUPS))


def groups_of(rows: Array, count: int, generator: np.random.Generator) -> Places:
    """Return the group of each row: k-means, from centres drawn far apart.

    Arthur and Vassilvitskii (2007), section 2.2; then Lloyd's rounds.
    """
    centres = rows[[generator.integers(len(rows))]]
    while len(centres) < count:
        nearest = _squares(rows, centres).min(1)
        total = nearest.sum()
        chances = nearest / total if total > 0 else None
        centres = np.concatenate([centres, rows[[generator.choice(len(rows), p=chances)]]])
    groups = np.full(len(rows), -1)
    for _ in range(_ROUNDS):
        found = _squares(rows, centres).argmin(1)
        if (found == groups).all():
            break
        groups = found
        for place in np.unique(groups):
            centres[place] = rows[groups == place].mean(0)
    return groups


def _squares(rows: Array, centres: Array) -> Array:
    """Return the squared distances, ``(n_rows, n_centres)``."""
    lengths = np.square(rows).sum(1)[:, None] + np.square(centres).sum(1)
    result: Array = np.maximum(lengths - 2 * rows @ centres.T, 0.0)
    return result


def _linearly(known: Array, groups: Places, held: Array, count: int) -> Places:
    """Guess by least squares on one column per group, of standardised codes."""
    center, scale = known.mean(0), known.std(0)
    scale[scale == 0] = 1.0
    first, second = ((part - center) / scale for part in (known, held))
    wanted = np.eye(count)[groups]
    mean = wanted.mean(0)
    gram = first.T @ first + _RIDGE * len(first) * np.eye(first.shape[1])
    weights = np.linalg.solve(gram, first.T @ (wanted - mean))
    guess: Places = (second @ weights + mean).argmax(1)
    return guess


def _by_neighbours(known: Array, groups: Places, held: Array, count: int) -> Places:
    """Guess by the group that most of the nearest codes have."""
    nearest = np.argpartition(_squares(held, known), _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
    votes = np.eye(count)[groups[nearest]].sum(1)
    guess: Places = votes.argmax(1)
    return guess
