"""What the pixels around say of each one, beside what its whole picture says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.noise_parts.description import Array, Flags

__all__ = ["Around"]

_REACH = 2
_PIXELS = [(i, j) for i in range(-_REACH, _REACH + 1) for j in range(-_REACH, _REACH + 1)]
_RINGS = (
    [(i, j) for i, j in _PIXELS if abs(i) + abs(j) == 1 and i == 0],
    [(i, j) for i, j in _PIXELS if abs(i) + abs(j) == 1 and j == 0],
    [(i, j) for i, j in _PIXELS if abs(i) == abs(j) == 1],
    [(i, j) for i, j in _PIXELS if max(abs(i), abs(j)) == _REACH],
)
"""Beside a pixel, above and below it, at its corners, and around all of these."""
_SIXTEENTH = 1 / 16
_OUTERMOST = 0.001


@dataclass(frozen=True)
class Around:
    """What the pixels around say of each one.

    All places of a picture are alike in this, so that a few pictures tell how much it counts:
    of 600 with 784 pixels the moments tell little.

    Attributes
    ----------
    shape : tuple of int
        ``(height, width)`` or ``(height, width, channels)``.
    center, scale : ndarray of shape (n_values,)
        Values are ``(x - center) / scale``.
    """

    shape: tuple[int, ...]
    center: Array
    scale: Array

    @classmethod
    def of(cls, shape: tuple[int, ...], center: Array, scale: Array) -> Around | None:
        """Return the same for samples of a shape; None if they are no pictures."""
        return cls(shape, center, scale) if len(shape) > 1 else None

    def beside(self, guess: Array, values: Array, suspect: Flags | None = None) -> Array:
        """Return the best linear guess by what the others say and what the pixels around are.

        Parameters
        ----------
        guess, values : ndarray of shape (rows, n_values)
            What the others say of each value, and the values.
        suspect : ndarray of bool, same shape, optional
            Which values say nothing of any other.
        """
        known = np.ones(values.shape, dtype=bool) if suspect is None else ~suspect
        given = values * self.scale + self.center
        means = [(one - self.center) / self.scale for one in self._means(given, known)]
        usual = np.broadcast_to(self.center / self.scale, values.shape)
        said = [np.ones_like(values), guess, usual, *means]
        found = np.array([[float(np.vdot(a * known, b)) for b in said] for a in said])
        wanted = np.array([float(np.vdot(a * known, values)) for a in said])
        weights = np.linalg.lstsq(found, wanted, rcond=1e-10)[0]
        result: Array = sum(weight * part for weight, part in zip(weights, said, strict=True))
        return result

    def widths(self, values: Array) -> Array:
        """Return one width for all pixels: a sixteenth of the range of all."""
        given = values * self.scale + self.center
        low, high = np.quantile(given, [_OUTERMOST, 1 - _OUTERMOST])
        least = max(float(high - low) * _SIXTEENTH, 1e-12)
        widths: Array = least / self.scale
        return widths

    def _means(self, given: Array, known: Flags) -> list[Array]:
        """Return the means of what is known in each ring; where nothing is, of all rings."""
        sums = _sums(np.where(known, given, 0.0), self.shape)
        counts = _sums(known.astype(np.float64), self.shape)
        total, count = sum(sums), sum(counts)
        anywhere = np.where(count > 0, total / np.maximum(count, 1), self.center)
        return [
            np.where(number > 0, part / np.maximum(number, 1), anywhere)
            for part, number in zip(sums, counts, strict=True)
        ]


def _sums(values: Array, shape: Sequence[int]) -> list[Array]:
    """Return the sum over each ring around each pixel; nothing lies beyond the margin."""
    pictures = values.reshape(len(values), *shape)
    edges = [(0, 0), (_REACH, _REACH), (_REACH, _REACH), *[(0, 0)] * (len(shape) - 2)]
    wide = np.pad(pictures, edges)
    height, width = shape[:2]

    def moved(i: int, j: int) -> Array:
        part: Array = wide[:, _REACH + i : _REACH + i + height, _REACH + j : _REACH + j + width]
        return part

    found = []
    for ring in _RINGS:
        total = np.zeros(pictures.shape)
        for i, j in ring:
            total += moved(i, j)
        found.append(total.reshape(values.shape))
    return found
