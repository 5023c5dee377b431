"""Rows of real numbers, readable by index: the one form that data takes inside the package."""

from __future__ import annotations

import functools
import math
import mmap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FloatArray", "Kind", "Rows", "row_dtype"]

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Kind: TypeAlias = Literal["numpy", "pandas", "polars", "arrow", "sparse"]

# Blocks of a few megabytes: large enough that Python's overhead vanishes, small enough
# that a block and its cast copy stay near the processor's caches.
BLOCK_BYTES = 4 * 2**20


def row_dtype(dtype: npt.DTypeLike) -> np.dtype[np.floating[Any]]:
    """Give the floating dtype in which values of ``dtype`` are read without loss.

    Parameters
    ----------
    dtype : dtype
        A real NumPy dtype (boolean, integer or floating).

    Returns
    -------
    numpy.dtype
        float32 for booleans, integers of at most 16 bits and floats of at most 32
        bits; float64 for everything else.
    """
    given = np.dtype(dtype)
    limit = {"b": 1, "i": 2, "u": 2, "f": 4}.get(given.kind, 0)
    return np.dtype(np.float32 if given.itemsize <= limit else np.float64)


class Rows:
    """A matrix of real numbers whose rows are read by index, lazily where possible.

    NaN stands for a value that is missing. The source is never cast or copied whole by
    reading blocks: a block is cut out of it, densified if sparse, and cast.

    Parameters
    ----------
    source : ndarray, scipy.sparse CSR or Shards of shape (n_rows, ...)
        Real numbers, in memory or mapped from files.
    kind : {"numpy", "pandas", "polars", "arrow", "sparse"}
        What the caller's data was, so that results can be given back in kind.
    names : sequence of str, optional
        Column names; None for bare arrays.
    index : pandas.Index, optional
        The index of a pandas frame.
    kept : pyarrow.Table, optional
        Columns carried along beside the numbers, one row for each row here.

    Attributes
    ----------
    n_rows, n_features : int
        Shape of the matrix.
    sample_shape : tuple of int
        ``(height, width)`` or ``(height, width, channels)`` for arrays of pictures,
        else ``(n_features,)``; its product is ``n_features``.
    dtype : numpy.dtype
        float32 or float64: what every reading method returns.
    in_memory : bool
        Whether all rows stand densely in memory, so that ``dense`` costs at most one
        cast; False for memory maps, shards and sparse matrices.
    """

    def __init__(
        self,
        source: Any,
        *,
        kind: Kind,
        names: Sequence[str] | None = None,
        index: Any = None,
        kept: pa.Table | None = None,
    ) -> None:
        self._source = source
        self.kind: Kind = kind
        self.names = None if names is None else tuple(names)
        self.index = index
        self.kept = kept
        self.n_rows = int(source.shape[0])
        self.sample_shape = tuple(int(size) for size in source.shape[1:])
        self.n_features = math.prod(self.sample_shape)
        self.source_dtype: np.dtype[Any] = np.dtype(source.dtype)
        self.dtype = row_dtype(source.dtype)
        self.in_memory = isinstance(source, np.ndarray) and not _is_mapped(source)

    @property
    def mapped(self) -> bool:
        """Whether the rows are read from files whenever they are asked for."""
        return not self.in_memory and self.kind != "sparse"

    @property
    def n_columns(self) -> int:
        """The number of features, by the name that tables have for it."""
        return self.n_features

    def value_name(self, place: int) -> str | None:
        """Give the name of the column that a value comes from; None for bare arrays."""
        return None if self.names is None else self.names[place]

    @functools.cached_property
    def non_finite(self) -> tuple[bool, bool]:
        """Whether any value is missing, and whether any is infinite.

        One streaming pass when it is first asked for; none for integers.
        """
        if self.source_dtype.kind in "biu":
            return False, False
        missing = infinite = False
        for values in self._pieces():
            if _is_finite(values):
                continue
            missing = missing or bool(np.isnan(values).any())
            infinite = infinite or bool(np.isinf(values).any())
        return missing, infinite

    @property
    def has_missing(self) -> bool:
        """Whether any value is NaN: one streaming pass, once."""
        return self.non_finite[0]

    @property
    def has_infinite(self) -> bool:
        """Whether any value is infinite: one streaming pass, once."""
        return self.non_finite[1]

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        where = "in memory" if self.in_memory else "read lazily"
        return f"Rows({self.n_rows} x {self.n_features} {self.dtype}, {self.kind}, {where})"

    def block(self, start: int, stop: int) -> FloatArray:
        """Read the rows from ``start`` up to, not including, ``stop``.

        Parameters
        ----------
        start, stop : int
            As in slicing: rows outside are left out.

        Returns
        -------
        ndarray of shape (stop - start, n_features)
            C-contiguous, of ``dtype``. It may be a view of the caller's data: it is
            for reading only.
        """
        return self._finished(self._source[start:stop])

    def take(self, indices: npt.ArrayLike) -> FloatArray:
        """Read the rows at ``indices``, in that order.

        Parameters
        ----------
        indices : array-like of int
            Row numbers, repeated or not; negative ones count from the end.

        Returns
        -------
        ndarray of shape (len(indices), n_features)
            C-contiguous, of ``dtype``; always a copy.

        Raises
        ------
        TypeError
            If the indices are not integers (a mask, for instance).
        IndexError
            If one lies outside.
        """
        chosen = np.asarray(indices)
        if chosen.size and chosen.dtype.kind not in "iu":
            raise TypeError(f"row indices must be integers, not {chosen.dtype}")
        chosen = chosen.astype(np.intp, copy=False)
        source = self._source
        # ``np.take`` is faster than indexing, but copies the whole source first unless
        # that is contiguous and in native byte order.
        plain = isinstance(source, np.ndarray) and source.dtype.isnative
        if plain and source.flags.c_contiguous:
            return self._finished(np.take(source, chosen, axis=0))
        return self._finished(source[chosen])

    def blocks(self, rows_per_block: int | None = None) -> Iterator[tuple[int, FloatArray]]:
        """Iterate over all rows in order.

        Parameters
        ----------
        rows_per_block : int, optional
            Rows at a time; about 4 MB of them if not given.

        Yields
        ------
        start : int
            Number of the block's first row.
        block : ndarray of shape (at most rows_per_block, n_features)
            As from ``block``.
        """
        if rows_per_block is None:
            rows_per_block = self._rows_per_block()
        for start in range(0, self.n_rows, rows_per_block):
            yield start, self.block(start, start + rows_per_block)

    def dense(self) -> FloatArray:
        """Give all rows as one matrix.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            C-contiguous, of ``dtype``; a view of the source, for reading only, where
            that has this form already, else filled block by block.
        """
        source = self._source
        plain = isinstance(source, np.ndarray) and source.dtype == self.dtype
        if plain and source.flags.c_contiguous:
            return self._finished(source)
        matrix = np.empty((self.n_rows, self.n_features), dtype=self.dtype)
        for start, block in self.blocks():
            matrix[start : start + len(block)] = block
        return matrix

    def stored_values(self) -> npt.NDArray[Any]:
        """Give the values that a sparse source stores, in its own dtype and order.

        Returns
        -------
        ndarray of shape (n_stored,)
            A view; everything that is not stored is zero.
        """
        values: npt.NDArray[Any] = self._source.data
        return values

    def _pieces(self) -> Iterator[FloatArray]:
        """Give all values, for a look at each: of a sparse source those that it stores."""
        if self.kind != "sparse":
            for _, block in self.blocks():
                yield block
            return
        stored = self.stored_values()
        for start in range(0, len(stored), BLOCK_BYTES):
            piece = stored[start : start + BLOCK_BYTES]
            with np.errstate(over="ignore"):
                yield piece.astype(self.dtype, copy=False)

    def _rows_per_block(self) -> int:
        return max(1, BLOCK_BYTES // (self.n_features * self.dtype.itemsize))

    def _finished(self, piece: Any) -> FloatArray:
        if self.kind == "sparse":
            piece = piece.toarray()
        # A value beyond float64 becomes infinite, which the check for finite values names.
        with np.errstate(over="ignore"):
            # ``ascontiguousarray`` also turns subclasses (memmap, matrix) into plain arrays.
            block: FloatArray = np.ascontiguousarray(piece, dtype=self.dtype)
        return block.reshape(block.shape[0], self.n_features)


def _is_finite(values: FloatArray) -> bool:
    # A sum is finite only if every term is, and needs no temporary of the values' size;
    # a sum of finite terms that overflows is told apart by the slower test.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    return bool(np.isfinite(total)) or bool(np.isfinite(values).all())


def _is_mapped(source: Any) -> bool:
    """Whether the array, or the one it is a view of, is mapped from a file."""
    owner = source
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap):
            return True
        owner = owner.base
    return isinstance(owner, mmap.mmap)
