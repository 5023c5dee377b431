"""Scores of normal rows -> p-values, and p-values -> flagged rows with a false-discovery rate."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from autoencode.errors import SpecError

__all__ = [
    "Calibration",
    "Flags",
    "Tail",
    "conditional",
    "conformal_p_values",
    "flagged",
    "null_share",
    "rows_needed",
    "share_between",
]

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

GUARANTEES = {
    "split": "proven; normal rows are calibrated by rows that no model saw (split conformal)",
    "conditional": "proven with probability {confidence:g} over the calibration rows, for all "
    "rows to come (split conformal, calibration-conditional)",
    "cross": "empirical; every calibration row was scored by a model that did not see it "
    "(cross-conformal), and beyond their oddest tenth an exponential tail is assumed; "
    'calibration="split" (--split) would be proven',
    "cross conditional": "empirical, and allowing for chance in the calibration rows with "
    "probability {confidence:g} (cross-conformal, calibration-conditional)",
    "windows": "empirical; steps of a series hang together, which p-values do not allow for",
    "estimated": "none; the rows of the fit may hold anomalies, and the scores of normal rows "
    "are estimated from their inner part",
}

_BORROWED = "if the autoencoder was fitted to other rows than these"

_STOREY = 0.5
_TAIL_SHARE, _FEWEST_IN_TAIL = 0.1, 5
_LEAST_ESTIMATE = 0.01
"""Estimated p-values go no lower than this share of the smallest counted one."""
_LEAST = 1e-12


@dataclass(frozen=True)
class Calibration:
    """Scores of normal rows, and what p-values by them are worth.

    Attributes
    ----------
    scores : ndarray of shape (n,)
        Ascending; higher is odder.
    kind : {"split", "cross", "windows", "estimated"}
        Where they come from; see `GUARANTEES`.
    confidence : float or None
        With which p-values hold given these rows; None: on average over such rows.
    borrowed : bool
        Whether an autoencoder that was fitted before scores rows.
    """

    scores: Array
    kind: str
    confidence: float | None = None
    borrowed: bool = False

    def p_values(self, scores: Array) -> Array:
        """Return the chance that a normal row is as odd as each of these."""
        if self.kind == "estimated":
            return estimated_p_values(self.scores, scores)
        found, tail = self.counted(scores), self._tail
        return (
            found if tail is None else np.where(scores > tail.start, tail.p_values(scores), found)
        )

    def counted(self, scores: Array) -> Array:
        """Return p-values that rest on counts of rows alone: none is below ``1 / (n + 1)``."""
        found = conformal_p_values(self.scores, scores)
        if self.confidence is not None:
            found = conditional(found, len(self.scores), self.confidence)
        return found

    @property
    def _tail(self) -> Tail | None:
        """How p-values go on beyond the calibration rows, where they are not to be proven."""
        if self.kind != "cross" or self.confidence is not None:
            return None
        return Tail.of(self.scores)

    def guarantee(self) -> str:
        """Return in a line what holds."""
        kind = self.kind
        if self.confidence is not None and kind in ("split", "cross"):
            kind = "conditional" if kind == "split" else "cross conditional"
        said = GUARANTEES[kind].format(confidence=self.confidence)
        return f"{said}, {_BORROWED}" if self.borrowed else said

    def threshold(self, rate: float) -> float:
        """Return the score above which p-values are at most ``rate``.

        The highest calibration score where no p-value can be so small.
        """
        if self.kind == "estimated":
            center, scale = _inner_normal(self.scores)
            return float(center + scale * norm.isf(rate))
        tail = self._tail
        if tail is not None and rate < tail.share:
            return tail.threshold(rate)
        ranks = np.arange(1, len(self.scores) + 1) / (len(self.scores) + 1)
        if self.confidence is not None:
            ranks = conditional(ranks, len(self.scores), self.confidence)
        # With this many calibration rows at least as odd, a p-value is small enough.
        most = int(np.count_nonzero(ranks <= rate)) - 1
        return float(self.scores[len(self.scores) - 1 - max(most, 0)])


@dataclass(frozen=True)
class Tail:
    """The oddest calibration rows, whose scores go on as an exponential distribution does.

    If they do, p-values are exact, although its scale is not known: of k rows beyond a row,
    and a new one, the new one is beyond a place with the chance ``(1 + t / S) ** -k``, where t
    is the place's distance from the row and S the sum of those of the k rows. The chance of
    being beyond the row at all is ``(k + 1) / (n + 1)``, as for every conformal p-value.

    Attributes
    ----------
    start : float
        The score where the tail begins.
    total : float
        Sum of what rows in the tail exceed it by.
    count : int
        How many there are.
    share : float
        The p-value at the start.
    """

    start: float
    total: float
    count: int
    share: float

    @classmethod
    def of(cls, scores: Array) -> Tail | None:
        """Return the tail of ascending scores; None if rows are few, or do not differ there."""
        count = int(_TAIL_SHARE * len(scores))
        if count < _FEWEST_IN_TAIL:
            return None
        start = float(scores[-count - 1])
        total = float((scores[-count:] - start).sum())
        share = (count + 1) / (len(scores) + 1)
        return cls(start, total, count, share) if total > 0 else None

    def p_values(self, scores: Array) -> Array:
        """Return p-values of scores beyond the start."""
        beyond = np.maximum(scores - self.start, 0.0) / self.total
        found: Array = self.share * np.exp(-self.count * np.log1p(beyond))
        return np.maximum(found, _LEAST)

    def threshold(self, rate: float) -> float:
        """Return the score beyond which p-values are at most a rate below the share."""
        return float(self.start + self.total * math.expm1(math.log(self.share / rate) / self.count))


def conformal_p_values(calibration: Array, scores: Array) -> Array:
    """Return ``(1 + number of calibration scores >= score) / (n + 1)``.

    Vovk, Gammerman and Shafer (2005), section 2.2; not randomised, so that ties are safe.

    Parameters
    ----------
    calibration : ndarray of shape (n,)
        Ascending; higher is odder.
    scores : ndarray of shape (m,)
        Of the rows to be judged.
    """
    below = np.searchsorted(calibration, scores, side="left")
    result: Array = (1 + len(calibration) - below) / (len(calibration) + 1)
    return result


def conditional(p_values: Array, n: int, confidence: float) -> Array:
    """Return larger p-values that hold given the calibration rows, not only on average.

    The generalised Simes adjustment with k = n / 2 (Bates et al., 2023, section 3).

    Parameters
    ----------
    p_values : ndarray of shape (m,)
        Conformal, by n calibration rows.
    n : int
        Calibration rows.
    confidence : float
        Chance over the calibration rows that they hold.
    """
    k = max(1, n // 2)
    ranks = np.arange(1, n + 1)
    logs = np.log(np.maximum(ranks, 1).astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(logs)])
    top = sums[n] - sums[n - k]
    with np.errstate(divide="ignore"):
        products = np.where(ranks >= k, sums[ranks] - sums[np.maximum(ranks - k, 0)], -np.inf)
        # bound[r - 1]: what a p-value of rank r, r / (n + 1), becomes.
        bound = 1.0 - np.exp((math.log(1.0 - confidence) + products[::-1] - top) / k)
    place = np.clip(np.round(p_values * (n + 1)).astype(int), 1, n + 1)
    adjusted = np.append(bound, 1.0)[place - 1]
    result: Array = np.maximum(adjusted, p_values)
    return result


def estimated_p_values(scores_of_fit: Array, scores: Array) -> Array:
    """Return p-values by a null that is estimated from the inner part of the scores.

    A normal distribution with the median and the upper quartile of the scores (Efron, 2004,
    by quantiles): anomalies among the rows move these little, and make p-values larger.
    """
    center, scale = _inner_normal(scores_of_fit)
    result: Array = np.maximum(
        norm.sf((scores - center) / scale), _LEAST_ESTIMATE / (1 + len(scores_of_fit))
    )
    return result


def _inner_normal(scores: Array) -> tuple[float, float]:
    center, upper = np.quantile(scores, (0.5, 0.75))
    return float(center), max(float(upper - center) / norm.isf(0.25), 1e-9)


def null_share(p_values: Array) -> float:
    """Estimate which share of rows is normal: Storey (2002) at lambda = 1/2; in (0, 1]."""
    above = int(np.count_nonzero(p_values >= _STOREY))
    return min(1.0, (1 + above) / (len(p_values) * (1.0 - _STOREY)))


def share_between(low: float, name: str, value: object) -> float:
    """Return a share in (low, 1), or raise `SpecError`."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
        if low < number < 1:
            return number
    raise SpecError(f"{name}={value!r} should lie between {low:g} and 1")


def rows_needed(n_rows: int, fdr: float, n_flagged: int = 1) -> int:
    """Return how many calibration rows let so many of ``n_rows`` be flagged at a rate."""
    return math.ceil(n_rows / (fdr * max(1, n_flagged))) - 1


@dataclass(frozen=True)
class Flags:
    """Rows that are flagged, and what that is worth.

    Attributes
    ----------
    flags : ndarray of shape (n_rows,)
        True where a row is flagged.
    p_values : ndarray of shape (n_rows,)
        Chance that a normal row is as odd.
    fdr : float
        Share of the flagged rows that may be normal, on average.
    threshold : float
        The largest p-value that is flagged; 0 if none is.
    normal_share : float
        Estimated share of normal rows.
    n_calibration : int
        Rows that p-values rest on.
    guarantee : str
        What holds, and why.
    advice : str or None
        What to do if there are too few calibration rows.
    """

    flags: Mask
    p_values: Array
    fdr: float
    threshold: float
    normal_share: float
    n_calibration: int
    guarantee: str
    advice: str | None = None

    def __str__(self) -> str:
        count = int(self.flags.sum())
        return (
            f"{count} of {len(self.flags)} rows flagged at a false-discovery rate of "
            f"{self.fdr:g}; guarantee: {self.guarantee}"
        )


def flagged(
    p_values: Array,
    calibration: Calibration,
    fdr: float,
    weights: npt.ArrayLike | None = None,
) -> Flags:
    """Flag rows by Benjamini and Hochberg (1995), eq. 1, with Storey's share of normal rows.

    Parameters
    ----------
    p_values : ndarray of shape (n_rows,)
        By the calibration.
    calibration : Calibration
        Says what holds.
    fdr : float
        Share of flagged rows that may be normal, in (0, 1).
    weights : array-like of shape (n_rows,), optional
        How readily each row is flagged (Genovese et al., 2006); their mean becomes 1.

    Warns
    -----
    UserWarning
        If there are too few calibration rows for this rate.
    """
    count = len(p_values)
    share = null_share(p_values) if count else 1.0
    compared = p_values if weights is None else p_values / _weights(weights, count)
    order = np.argsort(compared, kind="stable")
    steps = fdr * np.arange(1, count + 1) / (max(count, 1) * share)
    below = np.flatnonzero(compared[order] <= np.minimum(steps, _STOREY))
    flags = np.zeros(count, dtype=bool)
    if len(below):
        flags[order[: below[-1] + 1]] = True
    n = len(calibration.scores)
    advice = None if calibration.kind == "estimated" else _advice(p_values, share, n, fdr, flags)
    if advice is not None:
        warnings.warn(advice, UserWarning, stacklevel=3)
    threshold = float(p_values[flags].max()) if flags.any() else 0.0
    return Flags(flags, p_values, fdr, threshold, share, n, calibration.guarantee(), advice)


def _advice(p_values: Array, share: float, n: int, fdr: float, flags: Mask) -> str | None:
    """Say how many calibration rows would do, if rows are beyond all there are and not flagged."""
    if not len(p_values) or flags.any():
        return None
    smallest = float(p_values.min())
    oddest = int(np.count_nonzero(p_values <= smallest))
    beyond = smallest <= 1.0 / (n + 1) + 1e-12
    if not beyond and 1.0 / (n + 1) <= fdr:
        return None
    needed = rows_needed(round(len(p_values) * share), fdr, oddest)
    if needed <= n:
        return None
    return (
        f"{n} calibration rows are too few to flag rows at a false-discovery rate of {fdr:g}: "
        f"they count no lower than {1 / (n + 1):.2g}; about {needed} normal rows would do, or a "
        "higher rate"
    )


def _weights(given: npt.ArrayLike, count: int) -> Array:
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise SpecError(f"weights should be {count} positive numbers, one for each row")
    result: Array = weights / weights.mean()
    return result
