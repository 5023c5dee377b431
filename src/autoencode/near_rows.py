"""Which rows lie near which: how far two sets of rows cover each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from autoencode.data.rows import Rows
from autoencode.preprocess.table_rows import TableRows

__all__ = ["Overlap", "Space", "nearest", "overlap"]

Array = npt.NDArray[np.float64]

_NEIGHBOURS = 5
_PIECE = 512
_MOST_VALUES, _SCORES = 1024, 50


class Overlap(NamedTuple):
    """How far one set of points covers another.

    Attributes
    ----------
    precision : float
        Share of the second set within the reach of a point of the first.
    recall : float
        Share of the first set within the reach of a point of the second.
    density : float
        How many points of the first set reach one of the second, over how many neighbours
        define the reach.
    coverage : float
        Share of the first set that has a point of the second within its reach.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Space:
    """Coordinates in which distances between rows are measured.

    Attributes
    ----------
    name : str
        What they are, in words.
    center : ndarray of shape (n_values,)
        Of real rows.
    scale : ndarray of shape (n_values,)
        What values are divided by.
    basis : ndarray of shape (k, n_values) or None
        Principal directions, for very long rows.
    """

    name: str
    center: Array
    scale: Array
    basis: Array | None

    @classmethod
    def of(cls, rows: Rows, values: Array) -> Self:
        """Choose coordinates for rows of which these are the values, or some of them."""
        known = np.maximum((~np.isnan(values)).sum(0), 1)
        center = np.nansum(values, axis=0) / known
        if isinstance(rows, TableRows):
            scale = np.sqrt(np.nansum(np.square(values - center), axis=0) / known)
            scale = np.where(scale > 0, scale, 1.0)
            for part in rows.schema.segments:
                if part.likelihood in ("bernoulli", "categorical"):
                    # Two categories are as far apart as one deviation of a number.
                    one_hot = part.likelihood == "categorical"
                    scale[part.start : part.stop] = math.sqrt(2.0) if one_hot else 1.0
            return cls("standardised columns, one-hot categories", center, scale, None)
        scale = np.ones(len(center))
        if len(center) <= _MOST_VALUES:
            return cls("values as they are", center, scale, None)
        off = np.nan_to_num(values - center)
        basis = np.linalg.svd(off, full_matrices=False)[2][:_SCORES]
        return cls(f"{len(basis)} principal scores", center, scale, basis)

    def points(self, values: Array) -> Array:
        """Return rows' coordinates; a missing value counts as the mean."""
        found: Array = np.nan_to_num((values - self.center) / self.scale)
        return found if self.basis is None else found @ self.basis.T


def nearest(points: Array, others: Array, *, rank: int = 1) -> Array:
    """Return each point's distance to the nearest of other points (or that of a higher rank)."""
    found = np.empty(len(points))
    there = torch.from_numpy(np.ascontiguousarray(others))
    for start in range(0, len(points), _PIECE):
        here = torch.from_numpy(np.ascontiguousarray(points[start : start + _PIECE]))
        # Exact, so that copies have distance 0.
        distances = torch.cdist(here, there, compute_mode="donot_use_mm_for_euclid_dist")
        found[start : start + _PIECE] = distances.kthvalue(rank, dim=1).values.numpy()
    return found


def overlap(first: Array, second: Array) -> Overlap:
    """Return how far two sets of points cover each other.

    A point reaches as far as its fifth nearest neighbour in its own set. Precision and recall
    are those of Kynkäänniemi et al. (2019, eq. 2), density and coverage of Naeem et al. (2020,
    eqs. 3 and 4).

    Parameters
    ----------
    first : ndarray of shape (n, k)
        Real points.
    second : ndarray of shape (m, k)
        Drawn ones.
    """
    count = min(_NEIGHBOURS, len(first) - 1, len(second) - 1)
    # The nearest of all is the point itself.
    reach_first = torch.from_numpy(nearest(first, first, rank=count + 1))
    reach_second = torch.from_numpy(nearest(second, second, rank=count + 1))
    there = torch.from_numpy(np.ascontiguousarray(second))
    reached = torch.zeros(len(second), dtype=torch.float64)
    recalled = covered = 0
    for start in range(0, len(first), _PIECE):
        here = torch.from_numpy(np.ascontiguousarray(first[start : start + _PIECE]))
        distances = torch.cdist(here, there, compute_mode="donot_use_mm_for_euclid_dist")
        inside = distances <= reach_first[start : start + _PIECE, None]
        reached += inside.sum(0)
        covered += int(inside.any(1).sum())
        recalled += int((distances <= reach_second).any(1).sum())
    return Overlap(
        float((reached > 0).double().mean()),
        recalled / len(first),
        float(reached.mean()) / count,
        covered / len(first),
    )
