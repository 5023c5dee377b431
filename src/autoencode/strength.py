"""What trials tell: which strength of a penalty to take, and whether networks generalise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from autoencode.objective import Objective
from autoencode.penalties import Sparsity
from autoencode.selection import gate_opens

__all__ = ["Evidence", "Trial", "penalty_facts", "pooled", "strongest_case"]

T = TypeVar("T")
Array = npt.NDArray[np.float64]

_WIDEST_GAP = 1.3
"""Where rows are few, held-out errors are to be at most this much larger than training's."""
_MARGIN = 2.0


class Trial(NamedTuple):
    """Errors after a short training.

    Attributes
    ----------
    sizes : list of int
        Sizes of the code.
    errors, pca : ndarray of shape (rows, len(sizes))
        Squared error of each held-out row, the network's and PCA's.
    training : ndarray of shape (training rows,)
        The network's at the largest size, on the rows it was trained on.
    """

    sizes: list[int]
    errors: Array
    pca: Array
    training: Array

    @property
    def gap(self) -> float:
        """Held-out error over training error, at the largest size."""
        return float(self.errors[:, -1].mean() / max(self.training.mean(), 1e-300))


@dataclass(frozen=True)
class Evidence:
    """What was found before the fit.

    Attributes
    ----------
    chosen : dict of str to float
        The strength chosen for each penalty that asked for it; 0: it is left out.
    trial : Trial or None
        Cross-validation with these strengths, where rows are few.
    """

    chosen: dict[str, float] = field(default_factory=dict)
    trial: Trial | None = None

    def opens(self, size: int, mine: Array, pca: Array) -> bool:
        """Say whether a network is better than PCA, here and in cross-validation together.

        By two standard errors: the strength was chosen on the same rows.

        Parameters
        ----------
        size : int
            Of the code.
        mine, pca : ndarray of shape (rows,)
            Squared errors of held-out rows.
        """
        if self.trial is None or size not in self.trial.sizes:
            return bool(mine.mean() < pca.mean()) and gate_opens(mine, pca)
        place = self.trial.sizes.index(size)
        network = np.concatenate([mine, self.trial.errors[:, place]])
        return gate_opens(network, np.concatenate([pca, self.trial.pca[:, place]]), _MARGIN)


def pooled(trials: Sequence[Trial]) -> Trial:
    """Join the trials of all folds."""
    rows = (np.concatenate(parts) for parts in list(zip(*trials, strict=True))[1:])
    return Trial(trials[0].sizes, *rows)


def strongest_case(trials: Mapping[T, Trial], plain: T, *, few: bool) -> T:
    """Return the strength to take, or another choice.

    The one with the least held-out error, if it gains on the plain case by more than two
    standard errors: it is the best of several. Where rows are few, only those count whose
    held-out errors are near the training errors, if there are any: models that know their
    training rows by heart are of little use for judging others.

    Parameters
    ----------
    trials : mapping to Trial
        By strength.
    plain : object
        One of them: no penalty at all, nothing done to the rows.
    few : bool
        Whether rows are few.
    """
    last = {weight: trial.errors[:, -1] for weight, trial in trials.items()}
    near = [weight for weight, trial in trials.items() if trial.gap <= _WIDEST_GAP]
    if few and near:
        return min(near, key=lambda weight: float(last[weight].mean()))
    best = min(last, key=lambda weight: float(last[weight].mean()))
    better = best != plain and gate_opens(last[best], last[plain], _MARGIN)
    return best if better else plain


def penalty_facts(
    objective: Objective, reached: Mapping[str, Any] | None, evidence: Evidence | None
) -> list[dict[str, Any]]:
    """Return name, weight and what else is known of each penalty.

    Parameters
    ----------
    objective : Objective
        Of the fit.
    reached : mapping or None
        By name of those that aim at an activity: weight and share of the network kept.
    evidence : Evidence or None
        Which weights were chosen.
    """
    chosen = {} if evidence is None else evidence.chosen
    facts = []
    for penalty in objective.penalties:
        fact = {"name": penalty.name, "weight": getattr(penalty, "weight", None)}
        fact["chosen"] = penalty.name in chosen
        if isinstance(penalty, Sparsity) and penalty.aim is not None:
            fact |= {"aim": penalty.aim, **((reached or {}).get(penalty.name, {}))}
        facts.append(fact)
    facts += [{"name": name, "weight": 0.0, "chosen": True} for name, w in chosen.items() if w == 0]
    return facts
