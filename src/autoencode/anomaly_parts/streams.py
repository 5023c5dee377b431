"""Rows that arrive one by one: which to flag at once, and when the model no longer fits."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.anomaly_parts.conformal import Calibration, share_between

__all__ = ["DriftTest", "OnlineControl", "Stream"]

Array = npt.NDArray[np.float64]

_CANDIDATE = 0.5
_GAMMAS = 100_000
_JUMP = 0.01
_BETS = np.array([-1.0, 0.0, 1.0])


class OnlineControl:
    """Flag p-values as they come, at a false-discovery rate over all of them so far.

    SAFFRON (Ramdas et al., 2018, algorithm 1) with candidates at 1/2: what is spent on rows
    that look normal is got back. It is proven for independent p-values; those that share
    calibration rows are not quite independent.

    Parameters
    ----------
    fdr : float
        The false-discovery rate, in (0, 1).
    """

    def __init__(self, fdr: float) -> None:
        self.fdr = share_between(0.0, "fdr", fdr)
        steps = np.arange(1, _GAMMAS + 1)
        gammas = 1.0 / ((steps + 1) * np.square(np.log(steps + 1)))
        self._gammas = gammas / gammas.sum()
        self._wealth = (1 - _CANDIDATE) * self.fdr
        self._start = self._wealth / 2
        self._waited: list[int] = [0]
        """Rows that were no candidates: since the start, and since each flagged row."""

    def level(self) -> float:
        """Return the p-value at which the next row is flagged."""
        shares = [self._start, self._wealth - self._start]
        total = 0.0
        for place, waited in enumerate(self._waited):
            share = shares[place] if place < len(shares) else self._wealth
            if waited < _GAMMAS:
                total += share * float(self._gammas[waited])
        return min(_CANDIDATE, total)

    def test(self, p_value: float) -> bool:
        """Return whether a row is flagged; rows are given in the order in which they come."""
        flag = bool(p_value <= self.level())
        if p_value > _CANDIDATE:
            self._waited = [waited + 1 for waited in self._waited]
        if flag:
            self._waited.append(0)
        return flag


class DriftTest:
    """Notice that rows are no longer like those of the calibration: a conformal martingale.

    Each score is ranked among all before it; while rows are exchangeable these ranks are
    independent and uniform, and a gambler who bets against that does not get rich: the
    chance that the capital ever reaches ``1 / false_alarm_rate`` is at most
    ``false_alarm_rate`` (Ville's inequality). The bets are those of the Simple Jumper (Vovk
    et al., 2021, algorithm 1).

    Parameters
    ----------
    scores : ndarray of shape (n,)
        Of the calibration rows.
    false_alarm_rate : float
        Chance of an alarm, however long the stream is, if nothing changes.
    seed : int
        Breaks ties.

    Attributes
    ----------
    capital : float
        What the gambler has; he began with 1.
    drifted_at : int or None
        After how many rows the capital first was high enough.
    """

    def __init__(self, scores: Array, false_alarm_rate: float, seed: int) -> None:
        self.false_alarm_rate = share_between(0.0, "false_alarm_rate", false_alarm_rate)
        self._known: list[float] = np.sort(scores).tolist()
        self._generator = np.random.default_rng(seed)
        self._capitals = np.full(len(_BETS), 1.0 / len(_BETS))
        self.n_rows = 0
        self.drifted_at: int | None = None

    @property
    def capital(self) -> float:
        """What the gambler has."""
        return float(self._capitals.sum())

    @property
    def drifted(self) -> bool:
        """Whether there was an alarm."""
        return self.drifted_at is not None

    def update(self, score: float) -> None:
        """Take one more score."""
        low, high = bisect_left(self._known, score), bisect_right(self._known, score)
        n = len(self._known)
        rank = n - high + self._generator.random() * (high - low + 1)
        p_value = rank / (n + 1)
        total = self._capitals.sum()
        self._capitals = (1 - _JUMP) * self._capitals + _JUMP * total / len(_BETS)
        self._capitals *= 1.0 + _BETS * (p_value - 0.5)
        insort(self._known, float(score))
        self.n_rows += 1
        if self.drifted_at is None and self.capital >= 1.0 / self.false_alarm_rate:
            self.drifted_at = self.n_rows


@dataclass
class Stream:
    """Judges rows in the order in which they come.

    Attributes
    ----------
    scores_of : callable
        From rows to scores, higher is odder.
    calibration : Calibration
        From scores to p-values.
    control : OnlineControl
        Decides which rows are flagged.
    drift : DriftTest
        Says when the model should be fitted anew.
    """

    scores_of: Callable[[Any], Array]
    calibration: Calibration
    control: OnlineControl
    drift: DriftTest
    n_flagged: int = field(default=0)

    def update(self, X: Any) -> npt.NDArray[np.bool_]:
        """Take the next rows; return which of them are flagged, ``(n_samples,)``."""
        scores = self.scores_of(X)
        flags = [self.control.test(float(p)) for p in self.calibration.counted(scores)]
        for score in scores:
            self.drift.update(float(score))
        self.n_flagged += sum(flags)
        return np.array(flags, dtype=bool)

    @property
    def advice(self) -> str | None:
        """What to do if so few rows calibrate that the next row cannot be flagged; else None."""
        n, level = len(self.calibration.scores), self.control.level()
        if level * (n + 1) >= 1:
            return None
        return (
            f"the next row is flagged at a p-value of {level:.2g}, but {n} calibration rows give "
            f"none below {1 / (n + 1):.2g}: about {math.ceil(1 / level)} normal rows would do "
            "(partial_calibrate), or a higher rate"
        )

    @property
    def drifted(self) -> bool:
        """Whether rows are no longer like those of the fit: then fit again."""
        return self.drift.drifted
