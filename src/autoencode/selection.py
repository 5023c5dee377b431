"""What is chosen on held-out rows: the size of the code, and network or PCA."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "FEWEST_ROWS",
    "Split",
    "evaluation_sizes",
    "few_sizes",
    "gate_opens",
    "gates",
    "halve",
    "size_pattern",
    "size_weights",
    "smallest_size",
    "split_rows",
]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

FEWEST_ROWS = 50
"""Below this a held-out part is too small to open the gate: the model is PCA."""

MOST_MEASURED = 4096
"""Rows that one figure is measured on, at most: more would cost and not change it."""

_ALL_SIZES = 64
_SIZE_EXPONENT = 0.5
"""Errors at different sizes are weighted by PCA's error to the power of minus this."""


@dataclass(frozen=True)
class Split:
    """Row numbers by use.

    Attributes
    ----------
    train : ndarray of int
        Rows that the weights are fitted to.
    choose : ndarray of int
        Held-out rows that stop the training, open the gate and choose the size.
    claim : ndarray of int
        Rows that nothing saw; every stated figure is measured on them.
    """

    train: Places
    choose: Places
    claim: Places


def split_rows(n_rows: int, fraction: float, generator: np.random.Generator) -> Split:
    """Split rows at random; the held-out part, of 8,192 rows at most, in two halves.

    Too few rows for a held-out part: all are used for training.
    """
    order = generator.permutation(n_rows)
    held_out = min(round(fraction * n_rows), 2 * MOST_MEASURED)
    if n_rows < FEWEST_ROWS or held_out < 4:
        held_out = 0
    halves = halve(order[:held_out])
    return Split(np.sort(order[held_out:]), *halves)


def halve(numbers: Places) -> tuple[Places, Places]:
    """Return two halves of row numbers in random order, sorted, 4,096 each at most."""
    half = (len(numbers) + 1) // 2
    return np.sort(numbers[:half][:MOST_MEASURED]), np.sort(numbers[half:][:MOST_MEASURED])


def evaluation_sizes(largest: int, step: int = 1) -> list[int]:
    """Return the sizes at which a curve is measured: all up to 64, then sparser.

    They are multiples of ``step``, as ``largest`` is.
    """
    most = largest // step
    sizes = list(range(1, min(most, _ALL_SIZES) + 1))
    while sizes[-1] < most:
        sizes.append(min(most, math.ceil(sizes[-1] * 1.1)))
    return [step * size for size in sizes]


def few_sizes(sizes: list[int]) -> list[int]:
    """Return about eight sizes, evenly on a logarithmic scale, the largest included."""
    places = np.geomspace(1, len(sizes), min(len(sizes), 8)).round().astype(int) - 1
    return [sizes[place] for place in sorted(set(places.tolist()))]


def size_pattern(
    largest: int, rows: int, full_share: float, step: int = 1
) -> npt.NDArray[np.int64]:
    """Return how many components each place in a batch keeps.

    Rows are shuffled, so a fixed pattern over places gives every row every size in
    turn, with less variance than drawing sizes at random. ``full_share`` of the places
    keep all; the others are spread evenly over the logarithm of the size.

    Parameters
    ----------
    largest : int
        Length of the code.
    rows : int
        Places in the longest batch.
    full_share : float
        Share of places that keep all components.
    step : int
        Sizes are multiples of it, as ``largest`` is.

    Returns
    -------
    ndarray of shape (rows,)
        Sizes up to ``largest``; any leading part of it is spread evenly too.
    """
    # Multiples of the golden ratio visit [0, 1) evenly, however many are taken.
    places = (np.arange(rows) * 0.6180339887498949) % 1.0
    part = np.maximum(places - full_share, 0.0) / (1.0 - full_share)
    sizes = np.floor(np.exp(part * math.log(largest // step + 1))).astype(np.int64)
    sizes[places < full_share] = largest // step
    result: npt.NDArray[np.int64] = step * np.clip(sizes, 1, largest // step)
    return result


def size_weights(errors: Array, pattern: npt.NDArray[np.int64], shorter: float) -> Array:
    """Return the weight of each place in a batch, so that small errors of long codes count too.

    Parameters
    ----------
    errors : ndarray of shape (largest size + 1,)
        PCA's error with 0, 1, 2, ... components.
    pattern : ndarray of int of shape (rows,)
        How many components each place keeps.
    shorter : float
        How much less those count that do not keep all.
    """
    floor = max(1e-6 * float(errors[0]), np.finfo(np.float64).tiny)
    weights = np.power(np.maximum(errors[pattern], floor), -_SIZE_EXPONENT)
    weights[pattern < pattern.max()] *= shorter
    result: Array = weights / weights.mean()
    return result


def gate_opens(network: Array, pca: Array, margin: float = 1.0) -> bool:
    """Say whether the network is better than PCA by more than one standard error.

    Parameters
    ----------
    network, pca : ndarray of shape (rows,)
        Squared error of each held-out row by either.
    margin : float
        Standard errors that the gain has to exceed.
    """
    gain = pca - network
    if len(gain) < 2:
        return False
    error = gain.std(ddof=1) / math.sqrt(len(gain))
    return bool(gain.mean() > margin * error)


def gates(
    network: Array, linear: Array, incomplete: Flags | None, swapped: Flags | None
) -> dict[str, bool]:
    """Say at what a network is better than the linear guess: each use has a gate.

    Parameters
    ----------
    network, linear : ndarray of shape (rows,)
        Squared error of each held-out row by either.
    incomplete, swapped : ndarray of bool of shape (rows,) or None
        Which rows lose cells, and which have others' values; the rest is noisy. None, both:
        all lose cells.

    Returns
    -------
    dict of str to bool
        "missing", "swap" and "noise", as far as there are such rows.
    """
    if swapped is None or incomplete is None:
        return {"missing": gate_opens(network, linear)}
    rows = {"missing": incomplete, "swap": swapped, "noise": ~(incomplete | swapped)}
    return {
        use: gate_opens(network[places], linear[places])
        for use, places in rows.items()
        if places.any()
    }


def smallest_size(sizes: list[int], explained: Array, level: float) -> int | None:
    """Return the smallest size whose explained share reaches ``level``, or None."""
    for size, share in zip(sizes, explained, strict=True):
        if share >= level:
            return size
    return None
