"""A dictionary made better by turns: codes by pursuit, then parts by least squares."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from autoencode.pursuit import pursued_codes

__all__ = ["Parts", "Polish", "first_gain", "polished"]

_SWEEPS = 2
_KEPT = 0.5
_SETTLED_ROUNDS = 3
_FEWEST_USES = 1e-3
_ALIKE = 0.95
_TRIED = 20


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
    """

    rounds: int = 10
    rows: int = 20_000
    most: int = 16
    positive: bool = False


@dataclass
class Parts:
    """A dictionary: parts of unit length ``(n_components, n_values)``, and their offset."""

    parts: Tensor
    offset: Tensor


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
    parts, offset = found.parts.clone(), found.offset.clone()
    products = x.new_zeros(len(parts), len(parts))
    targets = torch.zeros_like(parts)
    for turn in range(settings.rounds):
        chosen = torch.randint(len(x), (min(settings.rows, 4 * len(x)),), generator=rng)
        rows = x[chosen.to(x.device)] - offset
        z = pursued_codes(rows, parts, settings.most, tolerance).dense(len(parts))
        products.mul_(_KEPT).add_(z.t() @ z, alpha=1.0 / len(z))
        targets.mul_(_KEPT).add_(z.t() @ rows, alpha=1.0 / len(z))
        parts = _updated(parts, products, targets, positive=settings.positive)
        left = rows - z @ parts
        offset += 0.5 * left.mean(0)
        if turn < settings.rounds - _SETTLED_ROUNDS:
            bad = _replaceable(parts, z)
            parts[bad] = _from_errors(left, len(bad), settings, rng).to(parts)
            products[bad] = products[:, bad] = 0.0
            targets[bad] = 0.0
    return Parts(parts, offset)


def _updated(parts: Tensor, products: Tensor, targets: Tensor, *, positive: bool) -> Tensor:
    parts = parts.clone()
    used = torch.nonzero(products.diagonal() > 1e-12)[:, 0].tolist()
    for _ in range(_SWEEPS):
        for place in used:
            step = (targets[place] - products[place] @ parts) / products[place, place]
            moved = parts[place] + step
            if positive:
                moved = moved.clamp_min_(0.0)
            length = moved.square().sum().sqrt()
            if bool(length > 0):
                parts[place] = moved / length
    return parts


def _replaceable(parts: Tensor, z: Tensor) -> Tensor:
    """Return which parts are hardly used, or like another one that is used more."""
    use = (z > 0).to(z.dtype).mean(0)
    alike = parts @ parts.t()
    alike.fill_diagonal_(-1.0)
    cosine, other = alike.max(1)
    lesser = (use < use[other]) | ((use == use[other]) & (other < torch.arange(len(parts))))
    return torch.nonzero((use < _FEWEST_USES) | ((cosine > _ALIKE) & lesser))[:, 0]


def _from_errors(left: Tensor, count: int, settings: Polish, rng: torch.Generator) -> Tensor:
    """Return directions of some of the rows with the largest errors."""
    worst = left.square().sum(1).topk(min(_TRIED * count, len(left))).indices
    order = torch.randperm(len(worst), generator=rng)
    taken = left[worst[order.repeat(-(-count // max(len(worst), 1)))[:count]]]
    return normalize(taken.abs() if settings.positive else taken, dim=1)
