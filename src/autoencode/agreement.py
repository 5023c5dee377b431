"""How far two dictionaries agree on which parts a row has: what can be believed of either."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from autoencode.metrics import STABLE
from autoencode.polishing import Parts, first_gain
from autoencode.pursuit import Pursued, pursued_codes

__all__ = ["Agreement", "agreement", "tolerance_for"]

Array = npt.NDArray[np.float64]

_MOST = 24
_SHARES = np.geomspace(0.003, 0.8, 16)
_MARGIN = 0.01
_FEWEST_USES = 3
_ENOUGH_STABLE = 0.5


@dataclass(frozen=True)
class Agreement:
    """What two dictionaries of the same rows, from different starts, say of each other.

    Attributes
    ----------
    tolerance : float
        The least gain of a part at which they agree best on the parts of a row.
    n_active : float
        Parts of a row at this tolerance, on average, in the first.
    stability : ndarray of shape (n_components,)
        Cosine of each part of the first with its match in the second (Hungarian).
    curve : ndarray of shape (tolerances, 3)
        Tolerance, parts of a row, and agreement: over parts that are found twice (all that
        are matched, if these are less than half), the mean F1 of being active in one as a
        forecast of the other.
    """

    tolerance: float
    n_active: float
    stability: Array
    curve: Array

    def count(self, tolerance: float) -> float:
        """Return how many parts a row has at another tolerance."""
        return float(np.interp(tolerance, self.curve[:, 0], self.curve[:, 1]))


def agreement(first: Parts, second: Parts, x: Tensor) -> Agreement:
    """Compare two dictionaries on rows that neither was fitted to.

    Of the tolerances at which they agree to within 0.01 of the best, the smallest counts.

    Parameters
    ----------
    first, second : Parts
        Of as many parts.
    x : Tensor
        ``(rows, n_values)``.
    """
    cosines = (first.parts @ second.parts.t()).double().cpu().numpy()
    mine, theirs = linear_sum_assignment(-cosines)
    paths = [pursued_codes(x - one.offset, one.parts, _MOST, 0.0) for one in (first, second)]
    unit = 0.5 * (first_gain(x, first) + first_gain(x, second))
    curve = np.empty((len(_SHARES), 3))
    # What only one of them knows says nothing of the count: as long as there is enough else.
    known = cosines[mine, theirs] > STABLE
    if known.mean() < _ENOUGH_STABLE:
        known[:] = True
    used = None
    for place, tolerance in enumerate(_SHARES * unit):
        one, two = (_supports(path, tolerance, len(cosines)) for path in paths)
        pair = one[:, mine[known]], two[:, theirs[known]]
        if used is None:
            used = pair[0].sum(0) + pair[1].sum(0) >= _FEWEST_USES
        matched = _f1(pair[0][:, used], pair[1][:, used])
        curve[place] = tolerance, one.sum() / max(len(x), 1), matched
    best = curve[:, 2].max()
    near = np.flatnonzero(curve[:, 2] >= best - min(_MARGIN, 1.0 - best))[0]
    stability = np.empty(len(cosines))
    stability[mine] = cosines[mine, theirs]
    return Agreement(float(curve[near, 0]), float(curve[near, 1]), stability, curve)


def _supports(path: Pursued, tolerance: float, n_components: int) -> npt.NDArray[np.bool_]:
    """Return which parts each row has if it stops at the first gain below a tolerance."""
    taken = (path.gain > tolerance).cumprod(1).bool()
    result = torch.zeros(len(path.gain), n_components, dtype=torch.bool)
    rows, steps = torch.nonzero(taken, as_tuple=True)
    result[rows, path.unit[rows, steps]] = True
    return result.numpy()


def _f1(one: npt.NDArray[np.bool_], two: npt.NDArray[np.bool_]) -> float:
    """Return the mean over columns; 0 if there are none."""
    both = (one & two).sum(0)
    uses = one.sum(0) + two.sum(0)
    return float((2 * both / np.maximum(uses, 1)).mean()) if len(uses) else 0.0


def tolerance_for(found: Parts, x: Tensor, n_active: float) -> float:
    """Return the least gain at which a row has this many parts on average.

    Parameters
    ----------
    found : Parts
        The dictionary.
    x : Tensor
        ``(rows, n_values)``.
    n_active : float
        Parts of a row.

    Returns
    -------
    float
        0 if there are never as many.
    """
    most = min(len(found.parts), max(_MOST, round(2 * n_active)))
    gains = pursued_codes(x - found.offset, found.parts, most, 0.0).gain
    # A part is taken if all before it were: its own gain, or the least before it.
    least = gains.cummin(1).values.flatten()
    wanted = round(n_active * len(x))
    if wanted >= int((least > 0).sum()):
        return 0.0
    return float(least.kthvalue(least.numel() - wanted).values)
