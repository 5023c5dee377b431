"""What a context is made of -> the number of each value's context."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autoencode.compression.frequencies import IntArray
from autoencode.compression.plans import Source

__all__ = ["LARGEST_SURPRISE", "Contexts"]

LARGEST_SURPRISE = 255
_LARGEST_LISTED = 1 << 16
# Edges are counted one after the other where each has so many values, else searched for.
_VALUES_PER_EDGE = 128


class Contexts:
    """The contexts of one column.

    Parameters
    ----------
    sources : sequence of Source
        Parts of the context; the number of one is a digit, that of the first the highest.
    largest : sequence of int or None
        The largest value that each source looks at, if the smallest is 0; None if there are no
        such bounds.
    n_uses : int
        How many values will be asked about: lists of parts pay if these are many.
    """

    def __init__(
        self, sources: Sequence[Source], largest: Sequence[int | None], n_uses: int
    ) -> None:
        stride, self._parts = 1, list[_Part]()
        for source, most in zip(reversed(sources), reversed(largest), strict=True):
            self._parts.append(_Part(source, most, stride, n_uses))
            stride *= len(source.edges) + 1
        self._parts.reverse()

    def numbers(self, seen: Callable[[Source], IntArray | int], count: int) -> IntArray | None:
        """Return the context of each value; None if there is but one.

        Parameters
        ----------
        seen : callable
            What a source looks at: one number for each value, or one for all.
        count : int
            How many values there are.
        """
        found: IntArray | None = None
        for part in self._parts:
            own = part.numbers(seen(part.source))
            if found is None:
                found = own if own.ndim else np.full(count, own)
            else:
                found += own
        return found


class _Part:
    def __init__(self, source: Source, largest: int | None, stride: int, n_uses: int) -> None:
        self.source = source
        self._edges = np.array(source.edges, np.int64)
        self._each = [np.array(edge) for edge in source.edges]
        self._stride = np.array(stride)
        self._listed: IntArray | None = None
        if largest is not None and largest < min(_LARGEST_LISTED, max(n_uses, 256)):
            self._listed = self._searched(np.arange(largest + 1))

    def numbers(self, seen: IntArray | int) -> IntArray:
        """Return how many edges are at most what is seen, times the stride."""
        if self._listed is not None:
            return self._listed.take(seen)
        if np.size(seen) < _VALUES_PER_EDGE * len(self._each):
            return self._searched(seen)
        counted = np.zeros(np.shape(seen), np.uint8)
        for edge in self._each:
            counted += np.greater_equal(seen, edge).view(np.uint8)
        found: IntArray = np.multiply(counted, self._stride, dtype=np.int64)
        return found

    def _searched(self, seen: IntArray | int) -> IntArray:
        found: IntArray = self._edges.searchsorted(seen, side="right") * self._stride
        return found
