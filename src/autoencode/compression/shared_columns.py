"""Columns as whole numbers whose meaning a shared model has fixed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.compression.arrow_fields import characters, is_text, text_of
from autoencode.compression.frequencies import IntArray
from autoencode.compression.number_columns import MISSING, read_values, store_values
from autoencode.compression.numbers import Numbers, Transform, Values, exceeds, to_bits
from autoencode.compression.packing import pack, pack_integers, unpack
from autoencode.compression.plans import WIDEST, require
from autoencode.compression.quantising import quantise, same_bits

__all__ = [
    "Found",
    "SharedColumn",
    "SharedList",
    "SharedNumber",
    "learn_list",
    "learn_number",
    "load_texts",
    "store_texts",
]

BoolArray = npt.NDArray[np.bool_]

# Ranges are made wider by this share on either side, unless there are only few values.
_PADDED_SHARE, _PADDED_FROM = 4, 64
_MOST_TEXTS = 4000


@dataclass
class Found:
    """A column of a small file.

    Attributes
    ----------
    integers : ndarray of int64, shape (n_rows,)
        In [0, size); 0 where ``special`` is not.
    size : int
        Bound on them.
    special : ndarray of int64, shape (n_rows,)
        1 where a value is stored by its bits, 2 where a cell is missing, else 0.
    counts : list of int
        What a reader needs to know of the buffers.
    buffers : list of bytes
        What is stored beside the integers.
    """

    integers: IntArray
    size: int
    special: IntArray
    counts: list[int]
    buffers: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class SharedNumber:
    """A column of numbers.

    Attributes
    ----------
    transform : Transform
        From whole numbers to values.
    size : int
        Whole numbers lie below.
    marked : bool
        Whether a column of integers before it tells special cells; else these are listed.
    """

    transform: Transform
    size: int
    marked: bool

    def integers(self, values: Values, missing: BoolArray | None, error: float) -> Found:
        """Return values as this column's whole numbers; what these do not give by its bits."""
        numbers = self._nearest(values)
        outside = (numbers < 0) | (numbers >= self.size)
        numbers[outside] = 0
        decoded = self.transform.decode(numbers, values.dtype)
        wrong = ~same_bits(decoded, values)
        if error:
            unlike = np.isfinite(values) & np.isfinite(decoded)
            if values.dtype.kind == "f":
                unlike &= ~((values == 0) & np.signbit(values))
            wrong[unlike] = exceeds(decoded[unlike], values[unlike], error)
        special = (wrong | outside).astype(np.int64)
        if missing is not None:
            special[missing] = MISSING
        verbatim = values[special == 1]
        numbers[special > 0] = 0
        buffers = [store_values(verbatim)] if len(verbatim) else []
        return Found(numbers, self.size, special, [len(verbatim)], buffers)

    def _nearest(self, values: Values) -> IntArray:
        way = self.transform
        if way.kind == "levels":
            assert way.levels is not None
            ranks = np.searchsorted(way.levels, values).astype(np.int64)
            return np.minimum(ranks, len(way.levels) - 1)
        if way.kind == "bits":
            return to_bits(values) - way.low
        if way.kind == "offset":
            step = np.uint64(int(way.step))
            above = values.astype(np.uint64) - np.uint64(int(way.low) % (1 << 64))
            # What lies below the lowest wraps around, and is then out of range.
            found: IntArray = np.minimum((above + step // np.uint64(2)) // step, 1 << 62)
            return found.astype(np.int64)
        with np.errstate(invalid="ignore", over="ignore"):
            exact = values.astype(np.float64)
            if way.kind == "decimal":
                exact = (exact * 10.0**way.decimals - way.low) / way.step
            else:
                exact = exact / way.step - way.low
            near = np.where(np.abs(exact) < 1 << 52, np.rint(exact), -1.0)
        return near.astype(np.int64)


@dataclass(frozen=True)
class SharedList:
    """A column of texts, or of categories that are texts.

    Attributes
    ----------
    texts : pyarrow.Array
        Those known; a file may have more.
    marked : bool
        As in `SharedNumber`.
    by_category : bool
        Whether the column has a list of its own.
    """

    texts: pa.Array
    marked: bool
    by_category: bool

    @property
    def size(self) -> int:
        """How many texts are known."""
        return max(1, len(self.texts))

    def integers(self, column: pa.Array) -> Found:
        """Return texts as places in the list, to which new ones are added.

        Raises
        ------
        DataError
            If its categories are missing cells, or the same twice.
        """
        texts = column.dictionary if self.by_category else column
        known = pc.unique(texts.drop_null())
        require(not self.by_category or len(known) == len(texts), "categories are not distinct")
        new = known.filter(pc.is_null(pc.index_in(known, value_set=self.texts)))
        places = _places(texts, pa.concat_arrays([self.texts, new]))
        own = [len(new)]
        buffers = store_texts(new) if len(new) else []
        if self.by_category:
            same = not len(new) and np.array_equal(places, np.arange(len(self.texts)))
            own.append(-1 if same else len(places))
            buffers += [] if same else [pack_integers(places)]
            indices = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
            places = places[indices] if len(places) else np.zeros(len(column), np.int64)
        special = np.zeros(len(column), np.int64)
        if column.null_count:
            special[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
            places[special > 0] = 0
        return Found(places, self.size + len(new), special, own, buffers)


def _places(texts: pa.Array, known: pa.Array) -> IntArray:
    found = pc.index_in(texts, value_set=known).fill_null(0)
    return np.array(found.to_numpy(zero_copy_only=False), np.int64)


SharedColumn: TypeAlias = SharedNumber | SharedList


def learn_number(values: Values, missing: BoolArray | None, error: float) -> SharedNumber | None:
    """Fix a column's whole numbers by values; None if these are too large for a model."""
    kept = values if missing is None else values[~missing]
    found = quantise(kept, error)
    if found.size > 1 << (WIDEST - 2) or not len(kept):
        return None
    found = _padded(found)
    marked = found.special is not None or missing is not None
    return SharedNumber(found.transform, found.size, marked)


def _padded(found: Numbers) -> Numbers:
    """Leave room for values beyond those seen."""
    way, pad = found.transform, found.size // _PADDED_SHARE
    step = 1 if way.kind in ("grid", "bits") else int(way.step)
    low = way.low - pad * step
    if found.size < _PADDED_FROM or way.kind == "levels" or abs(low) >= 1 << 52:
        return found
    return replace(found, transform=replace(way, low=low), size=found.size + 2 * pad)


def learn_list(column: pa.Array) -> SharedList | None:
    """Fix the places of a column's texts; None if there are too many, or it has others."""
    texts, by_category = column, pa.types.is_dictionary(column.type)
    if by_category:
        texts = column.dictionary
        if not is_text(texts.type) or texts.null_count:
            return None
    known = pc.unique(texts.drop_null())
    if len(known) > min(_MOST_TEXTS, max(256, len(column) // 4)):
        return None
    return SharedList(known.take(pc.sort_indices(known)), bool(column.null_count), by_category)


def store_texts(texts: pa.Array) -> list[bytes]:
    """Return texts as two buffers: their lengths, and all their bytes."""
    lengths = pc.binary_length(texts).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return [store_values(np.asarray(lengths, np.int64)), pack(characters(texts))]


def load_texts(lengths: bytes, content: bytes, count: int, arrow_type: pa.DataType) -> pa.Array:
    """Return so many texts that were stored.

    Raises
    ------
    DataError
        If they are damaged.
    """
    found = read_values(lengths, count, np.dtype(np.int64))
    return text_of(unpack(content), found, None, arrow_type)
