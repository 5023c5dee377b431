"""A dictionary made better by turns: codes by pursuit, then parts by least squares."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from autoencode.pursuit import pursued_codes

__all__ = ["Parts", "Polish", "first_gain", "most_stable", "polished", "split"]

_SWEEPS = 2
_KEPT = 0.5
_SETTLED_ROUNDS = 3
_FEWEST_USES, _FEWEST_ROWS = 1e-3, 2
_ALIKE = 0.95
_TRIED = 20
_LEAST_ENERGY = 1e-12
_ABSORBED, _RARER = 0.45, 1.5


@dataclass(frozen=True)
class Polish:
    """How to polish.

    Attributes
    ----------
    rounds : int
        Of codes and parts.
    rows : int
        Drawn anew for each round.
    most : int
        Parts of a row, at most.
    positive : bool
        Whether parts have no negative values.
    until : float
        When to end at the latest, as ``time.monotonic()`` gives it.
    """

    rounds: int = 10
    rows: int = 8_000
    most: int = 16
    positive: bool = False
    until: float = math.inf


@dataclass
class Parts:
    """A dictionary.

    Attributes
    ----------
    parts : Tensor
        ``(n_components, n_values)``, of unit length.
    offset : Tensor
        ``(n_values,)``.
    use : Tensor or None
        Share of the rows that had each part when it was last counted.
    """

    parts: Tensor
    offset: Tensor
    use: Tensor | None = None

    def kept(self, chosen: Tensor) -> Parts:
        """Return some of the parts."""
        use = None if self.use is None else self.use[chosen]
        return Parts(self.parts[chosen], self.offset, use)


def first_gain(x: Tensor, found: Parts) -> float:
    """Return the median gain of the first part of a row: the scale of tolerances."""
    best = ((x - found.offset) @ found.parts.t()).max(1).values.clamp_min(0.0)
    return float(best.square().median())


def polished(
    x: Tensor, found: Parts, tolerance: float, settings: Polish, rng: torch.Generator
) -> Parts:
    """Return a better dictionary.

    Parts are updated one after the other by block coordinate descent on sums over rounds
    (Mairal et al., 2010, algorithm 2), older rounds counting half as much each time. Parts that
    are hardly used, and those that are like another one that is used more, are replaced by
    what is left of rows that are reconstructed badly.

    Parameters
    ----------
    x : Tensor
        ``(rows, n_values)``.
    found : Parts
        Where to start.
    tolerance : float
        Of the pursuit.
    settings : Polish
        How long.
    rng : torch.Generator
        Of rows and replacements.
    """
    parts, offset, use = found.parts.clone(), found.offset.clone(), found.use
    products = x.new_zeros(len(parts), len(parts))
    targets = torch.zeros_like(parts)
    for turn in range(settings.rounds):
        if time.monotonic() > settings.until:
            break
        rows = _drawn(x, settings.rows, rng) - offset
        codes = pursued_codes(rows, parts, settings.most, tolerance).matrix(len(parts))
        use = x.new_tensor(np.bincount(codes.indices, minlength=len(parts)) / len(rows))
        _add_sums(products, targets, codes, rows)
        parts = _updated(parts, products, targets, positive=settings.positive)
        left = rows - torch.from_numpy(codes @ parts.cpu().numpy()).to(rows)
        offset += 0.5 * left.mean(0)
        if turn < settings.rounds - _SETTLED_ROUNDS:
            bad = _replaceable(parts, use, len(rows))
            parts[bad] = _from_errors(left, len(bad), settings, rng).to(parts)
            products[bad] = products[:, bad] = 0.0
            targets[bad] = 0.0
    return Parts(parts, offset, use)


def _drawn(x: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Return some of the rows, or all if there are no more than asked for."""
    if len(x) <= count:
        return x
    return x[torch.randint(len(x), (count,), generator=rng).to(x.device)]


def _add_sums(products: Tensor, targets: Tensor, codes: Any, rows: Tensor) -> None:
    """Add what codes have in common with each other and with the rows; older sums count half."""
    both = (codes.T @ codes).toarray(), codes.T @ rows.cpu().numpy()
    for total, added in zip((products, targets), both, strict=True):
        total.mul_(_KEPT).add_(torch.from_numpy(added).to(total), alpha=1.0 / len(rows))


def _updated(parts: Tensor, products: Tensor, targets: Tensor, *, positive: bool) -> Tensor:
    """Return parts after two sweeps; NumPy takes the many small steps faster."""
    found, gram, goal = (part.cpu().numpy() for part in (parts.clone(), products, targets))
    used = np.flatnonzero(gram.diagonal() > _LEAST_ENERGY).tolist()
    for _ in range(_SWEEPS):
        for place in used:
            moved = found[place] + (goal[place] - gram[place] @ found) / gram[place, place]
            if positive:
                np.maximum(moved, 0.0, out=moved)
            length = math.sqrt(float(moved @ moved))
            if length > 0:
                found[place] = moved / length
    return torch.from_numpy(found).to(parts)


def split(found: Parts, *, positive: bool = False) -> Parts:
    """Return a dictionary in which parts that hold another part as well have lost it.

    A part that is only ever there with a more frequent one tends to be learned as the sum of
    both (Chanin et al., 2024, "absorption"). What a part has of the nearest other one is
    taken from it where they are alike and the other is used more.

    Parameters
    ----------
    found : Parts
        With the use of its parts, which are split from the rarest to the most frequent.
    positive : bool
        Whether parts have no negative values.
    """
    if found.use is None or len(found.parts) < 2:
        return found
    parts, use = found.parts.clone(), found.use
    alike = parts @ parts.t()
    alike.fill_diagonal_(-1.0)
    cosine, other = alike.max(1)
    absorbed = (cosine > _ABSORBED) & (use[other] > _RARER * use)
    for place in use.argsort(stable=True).tolist():
        if bool(absorbed[place]):
            moved = parts[place] - cosine[place] * parts[other[place]]
            moved = moved.clamp_min(0.0) if positive else moved
            if float(moved.square().sum()) > _LEAST_ENERGY:
                parts[place] = normalize(moved, dim=0)
    return Parts(parts, found.offset, use)


def most_stable(found: Parts, other: Parts) -> tuple[Tensor, Tensor]:
    """Return the places of the parts, the best first, and how good each of them is.

    Parameters
    ----------
    found : Parts
        Those to choose from.
    other : Parts
        What another start led to: parts that are there too are facts of the rows.

    Returns
    -------
    tuple of (Tensor, Tensor)
        Order, and in this order the largest cosine with a part of the other dictionary; less
        2 for those that are like another part of their own dictionary that is used more,
        less 4 for those that are hardly used.
    """
    score = (found.parts @ other.parts.t()).max(1).values
    use = score.new_ones(len(score)) if found.use is None else found.use
    score = score - 2.0 * _copies(found.parts, use) - 4.0 * (use < _FEWEST_USES)
    order = score.argsort(descending=True, stable=True)
    return order, score[order]


def _copies(parts: Tensor, use: Tensor) -> Tensor:
    """Return which parts are like another one that is used more."""
    alike = parts @ parts.t()
    alike.fill_diagonal_(-1.0)
    cosine, other = alike.max(1)
    later = other < torch.arange(len(parts), device=parts.device)
    lesser = (use < use[other]) | ((use == use[other]) & later)
    return (cosine > _ALIKE) & lesser


def _replaceable(parts: Tensor, use: Tensor, n_rows: int) -> Tensor:
    """Return which parts are hardly used, or like another one that is used more."""
    fewest = max(_FEWEST_USES, _FEWEST_ROWS / n_rows)
    return torch.nonzero((use < fewest) | _copies(parts, use))[:, 0]


def _from_errors(left: Tensor, count: int, settings: Polish, rng: torch.Generator) -> Tensor:
    """Return directions of some of the rows with the largest errors."""
    worst = left.square().sum(1).topk(min(_TRIED * count, len(left))).indices
    order = torch.randperm(len(worst), generator=rng)
    taken = left[worst[order.repeat(-(-count // max(len(worst), 1)))[:count]]]
    return normalize(taken.abs() if settings.positive else taken, dim=1)
