"""What codes mean: ways between rows, steps along a component, a map of all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from autoencode.errors import DataError, SpecError
from autoencode.inference import chunk_rows
from autoencode.numerics import matrix_products
from autoencode.sampler import Sampler
from autoencode.state import State

__all__ = [
    "CodeMap",
    "Plane",
    "along",
    "between",
    "checked_components",
    "code_spread",
    "decoded",
    "grid_codes",
    "grid_of",
    "strongest_components",
    "whole_plane",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_PLANE_ROWS = 5000
_MARGIN = 0.01
"""Share of rows beyond each edge of a map's grid."""


@dataclass(frozen=True)
class CodeMap:
    """Rows in the plane in which their codes differ most, and what the model makes of its places.

    Attributes
    ----------
    positions : ndarray of shape (n_samples, 2)
        Where each row lies: its code itself if it has two components, else its coordinates by
        the first two principal components of all codes.
    across, up : ndarray of shape (n_steps,)
        Where the grid's columns and lines lie. It leaves out 1% of rows at each edge.
    grid : ndarray or frame
        What is decoded there, as the data was given to ``fit``: ``n_steps**2`` rows, line by
        line from the lowest, each from left to right. What the plane does not show of a code
        is as in the rows near by.
    counts : ndarray of int of shape (n_steps, n_steps)
        How many rows lie nearest to each place; 0 where a picture stands for no row.
    explained : float
        Share of the codes' variance that the plane shows.
    """

    positions: Array
    across: Array
    up: Array
    grid: Any
    counts: Places
    explained: float


class Plane(NamedTuple):
    """A plane in the space of codes.

    Attributes
    ----------
    mean : ndarray of shape (k,)
        Where it begins.
    basis : ndarray of shape (2, k)
        Orthonormal directions.
    explained : float
        Share of the codes' variance along them.
    """

    mean: Array
    basis: Array
    explained: float


def decoded(state: State, codes: Array) -> Array:
    """Return what a model expects of codes, ``(n, n_values)``, in the data's units."""
    decoder = state.fitted(torch.float64).decoder
    found = np.empty((len(codes), state.n_values))
    piece = chunk_rows(max(state.n_values, *state.composition.hidden_layer_sizes, 1))
    with torch.inference_mode(), matrix_products("ieee"):
        for first in range(0, len(codes), piece):
            some = torch.from_numpy(np.ascontiguousarray(codes[first : first + piece]))
            found[first : first + piece] = decoder(some).numpy()
    return found


def between(starts: Array, ends: Array, n_steps: int) -> Array:
    """Return codes on the straight ways between pairs of codes, ``(n * n_steps, k)``.

    Way after way; both ends are among them.
    """
    shares = np.linspace(0.0, 1.0, n_steps)[None, :, None]
    ways = starts[:, None] * (1 - shares) + ends[:, None] * shares
    return ways.reshape(-1, starts.shape[1])


def along(around: Array, components: Sequence[int], reach: Array, n_steps: int) -> Array:
    """Return codes that differ from one in a single component each.

    Parameters
    ----------
    around : ndarray of shape (k,)
        The code.
    components : sequence of int
        Which are changed.
    reach : ndarray of shape (k,)
        How far, to either side.
    n_steps : int
        Evenly spaced codes of each component.

    Returns
    -------
    ndarray of shape (len(components) * n_steps, k)
        Component after component, from the lowest code to the highest.
    """
    found = np.repeat(around[None], len(components) * n_steps, axis=0)
    steps = np.linspace(-1.0, 1.0, n_steps)
    for place, component in enumerate(components):
        inside = slice(place * n_steps, (place + 1) * n_steps)
        found[inside, component] += steps * reach[component]
    return found


def checked_components(given: Any, n_components: int) -> list[int]:
    """Return which components are meant, from one number or a sequence of them.

    Raises
    ------
    SpecError
        If they are not whole numbers that a code has.
    """
    several = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    found = list(given) if several else [given]
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in found)
    if not found or not whole or not all(0 <= n < n_components for n in found):
        raise SpecError(
            f"components={given!r} should be a whole number from 0 to {n_components - 1}, or a "
            "sequence of them"
        )
    return [int(n) for n in found]


def code_spread(sampler: Sampler) -> tuple[Array, Array]:
    """Return the mean of the codes of a fit and the deviation of each component, ``(k,)``.

    Of draws from their posteriors, where the bottleneck gives these.
    """
    mixture, count = sampler.mixture, len(sampler.code_basis)
    means, factors = mixture.means[:, :count], mixture.factors[:, :count]
    mean = mixture.shares @ means
    off = means - mean
    within = np.einsum("p,pij,pkj->ik", mixture.shares, factors, factors)
    covariance = within + np.einsum("p,pi,pk->ik", mixture.shares, off, off)
    basis = sampler.code_basis
    variances = np.einsum("ia,ij,ja->a", basis, covariance, basis) + sampler.code_left**2
    return sampler.code_mean + mean @ basis, np.sqrt(np.maximum(variances, 0.0))


def strongest_components(state: State, sampler: Sampler, most: int) -> list[int]:
    """Return the components a change of which changes rows most, the strongest first.

    By the squared difference of what is decoded one deviation above and below the mean, in
    the model's scaled units.
    """
    mean, deviation = code_spread(sampler)
    ends = decoded(state, along(mean, range(len(mean)), deviation, 2))
    change = np.square((ends[1::2] - ends[::2]) / state.scaling.scale).sum(1)
    order = np.argsort(-change, kind="stable")[:most]
    return [int(component) for component in order if change[component] > 0]


def whole_plane(codes: Array) -> tuple[Plane, Array]:
    """Return the plane in which codes differ most, and where in it each lies, ``(n, 2)``.

    Two components are the plane themselves. Signs are such that the largest entry of each
    direction is positive.

    Raises
    ------
    DataError
        If codes have one component.
    """
    n, k = codes.shape
    if k < 2:
        raise DataError("a map needs codes of two components at least, these have 1: use traverse")
    if k == 2:
        return Plane(np.zeros(2), np.eye(2), 1.0), codes
    some = codes[:: -(-n // _PLANE_ROWS)]
    mean = some.mean(0)
    _, lengths, directions = np.linalg.svd(some - mean, full_matrices=False)
    basis = np.zeros((2, k))
    basis[: len(directions)] = directions[:2]
    for direction in basis:
        direction *= np.sign(direction[np.abs(direction).argmax()]) or 1.0
    total = float(np.square(lengths).sum())
    explained = float(np.square(lengths[:2]).sum()) / total if total > 0 else 1.0
    return Plane(mean, basis, explained), (codes - mean) @ basis.T


def grid_of(positions: Array, n_steps: int) -> tuple[Array, Array]:
    """Return where the columns and the lines of a map's grid lie."""
    sides = []
    for values in positions.T:
        low, high = np.quantile(values, [_MARGIN, 1 - _MARGIN])
        reach = 1.0 if high == low else 0.0
        sides.append(np.linspace(low - reach, high + reach, n_steps))
    return sides[0], sides[1]


def grid_codes(
    codes: Array, plane: Plane, positions: Array, sides: tuple[Array, Array]
) -> tuple[Array, Places]:
    """Return the codes of a map's grid, line by line, and how many rows are nearest to each.

    Across the plane they are the mean of the rows near by (Nadaraya, 1964), normal weights one
    step of the grid wide, and one row's weight of the plane itself where no row is near.
    """
    across, up = sides
    places = np.stack([np.tile(across, len(up)), np.repeat(up, len(across))], 1)
    steps = np.array([max(float(side[1] - side[0]), 1e-300) for side in sides])
    some = slice(None, None, -(-len(codes) // _PLANE_ROWS))
    off = codes[some] - plane.mean - positions[some] @ plane.basis
    apart = (places[:, None] - positions[None, some]) / steps
    weights = np.exp(-0.5 * np.square(apart).sum(2))
    found = plane.mean + places @ plane.basis
    found += weights @ off / (weights.sum(1, keepdims=True) + 1.0)
    nearest = [
        np.clip(np.rint((positions[:, axis] - side[0]) / steps[axis]), 0, len(side) - 1)
        for axis, side in enumerate(sides)
    ]
    number = (nearest[1] * len(across) + nearest[0]).astype(np.intp)
    counts = np.bincount(number, minlength=len(places)).reshape(len(up), len(across))
    return found, counts
