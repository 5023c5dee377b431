"""Which density codes are drawn from: chosen by how likely it makes held-out codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.code_mixture import Chosen, Mixture, choose_mixture, held_out
from autoencode.code_prior import CodePrior
from autoencode.errors import DataError, SpecError
from autoencode.prior_fit import MOST_EPOCHS, fit_flow, fit_second
from autoencode.training import TrainingError

__all__ = ["PRIORS", "Coordinates", "choose_prior", "wanted_prior"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

PRIORS = ("auto", "normal", "mixture", "flow", "variational")

_ENOUGH_CODES = 2000
"""From so many on "auto" trains networks too: they know less of few codes than a mixture does."""
_AUTO_EPOCHS = 40
_FEWEST_CODES = 50


@dataclass(frozen=True)
class Coordinates:
    """Codes as they are drawn.

    Attributes
    ----------
    codes : ndarray of shape (n, d)
        What is drawn.
    near : ndarray of shape (n, m)
        Coordinates in which rows are close or not.
    groups : ndarray of int of shape (n,)
        Classes, from 0.
    n_classes : int
        0 without classes.
    normal : Mixture or None
        The bottleneck's own prior, if it has one.
    """

    codes: Array
    near: Array
    groups: Places
    n_classes: int
    normal: Mixture | None


def wanted_prior(given: Any) -> str:
    """Return which prior is wanted.

    Raises
    ------
    SpecError
        If it is not known.
    """
    if given not in PRIORS:
        raise SpecError(f"prior={given!r} is not known; choose from {', '.join(PRIORS)}")
    return str(given)


def choose_prior(
    found: Coordinates, wanted: str, epochs: int, generator: np.random.Generator
) -> tuple[Chosen, CodePrior | None]:
    """Fit densities to four codes in five, and keep the one under which the fifth is likeliest.

    "auto" takes a mixture (or one normal distribution) unless a network makes held-out codes
    likelier by more than a standard error. Networks are tried where there are 2,000 codes or
    more and the model was trained; a second autoencoder only without classes.

    Parameters
    ----------
    found : Coordinates
        The codes.
    wanted : str
        One of `PRIORS`.
    epochs : int
        How many the model was trained for: "auto" trains networks for half as many, 40 at
        most, so that they take no longer than the model did.
    generator : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    chosen : Chosen
        The mixture; beside a network it says which part a code belongs to.
    prior : FlowPrior or SecondPrior or None
        What is drawn from instead, fitted to four codes in five.

    Raises
    ------
    SpecError
        If a second autoencoder is wanted and there are classes.
    DataError
        If there are too few codes for what is wanted.
    """
    tries = _networks(found, wanted, epochs)
    split = held_out(len(found.codes), generator)
    chosen = choose_mixture(
        found.codes,
        found.near,
        found.groups,
        generator,
        split=split,
        normal=None if wanted == "mixture" else found.normal,
        finest=0 if wanted == "normal" else None,
    )
    if wanted == "normal" and found.normal is not None and not found.n_classes:
        chosen = _own(chosen, found.normal)
    epochs = min(-(-epochs // 2), _AUTO_EPOCHS) if wanted == "auto" else MOST_EPOCHS
    prior, best, notes = None, chosen.nats, []
    for kind in tries:
        try:
            candidate = _fitted(kind, found, split[1], epochs, generator)
        except TrainingError:
            if wanted == kind:
                raise
            continue
        nats = _log_density(candidate, found, split)
        notes.append({"kind": kind, "held_out": float(nats.mean()), "chosen": False})
        gain = nats - best
        if wanted == kind or gain.mean() > gain.std() / math.sqrt(len(gain)):
            prior, best = candidate, nats
    for note in [*chosen.candidates, *notes]:
        note["chosen"] = note["kind"] == prior.kind if prior is not None else note["chosen"]
    return chosen._replace(candidates=[*chosen.candidates, *notes]), prior


def _networks(found: Coordinates, wanted: str, epochs: int) -> list[str]:
    """Return which networks are to be tried."""
    count, d = found.codes.shape
    if wanted == "variational" and found.n_classes:
        raise SpecError("prior='variational' knows no classes; choose flow, mixture or auto")
    if wanted in ("flow", "variational"):
        if count < _FEWEST_CODES:
            raise DataError(
                f"prior={wanted!r} needs {_FEWEST_CODES} rows at least, these are {count}; "
                "choose mixture"
            )
        if d < 2:
            raise DataError(f"prior={wanted!r} needs codes that differ in two directions at least")
        return [wanted]
    if wanted != "auto" or count < _ENOUGH_CODES or not epochs or d < 2:
        return []
    return ["flow"] if found.n_classes else ["flow", "variational"]


def _own(chosen: Chosen, normal: Mixture) -> Chosen:
    """Return the bottleneck's own prior instead of a fitted one."""
    candidates = [note | {"chosen": note["rows_per_part"] is None} for note in chosen.candidates]
    return Chosen(normal, np.zeros_like(chosen.labels), candidates, chosen.nats)


def _fitted(
    kind: str, found: Coordinates, kept: Places, epochs: int, generator: np.random.Generator
) -> CodePrior:
    codes = found.codes[kept]
    if kind == "flow":
        return fit_flow(codes, found.groups[kept], found.n_classes, generator, epochs)
    return fit_second(codes, generator, epochs)


def _log_density(prior: CodePrior, found: Coordinates, split: tuple[Places, Places]) -> Array:
    """Return log-densities of the held-out codes, whatever their class."""
    held, kept = split
    codes = found.codes[held]
    if not found.n_classes:
        return prior.log_density(codes, np.zeros(len(codes), np.intp))
    shares = np.bincount(found.groups[kept], minlength=found.n_classes) / len(kept)
    total = np.full(len(codes), -np.inf)
    for number in np.flatnonzero(shares):
        nats = prior.log_density(codes, np.full(len(codes), number)) + math.log(shares[number])
        total = np.logaddexp(total, nats)
    return total
