"""Columns of numbers as columns of integers, with what else is needed to get them back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autoencode.compression.frequencies import IntArray
from autoencode.compression.numbers import Numbers, Transform, Values
from autoencode.compression.packing import pack, unpack
from autoencode.compression.plans import WIDEST, require
from autoencode.compression.stored_integers import pcodec_bytes, pcodec_into, store_integers
from autoencode.compression.table_planning import Column
from autoencode.errors import DataError
from autoencode.strict_json import read_json

__all__ = [
    "MISSING",
    "Parts",
    "integers_of",
    "parse_head",
    "read_numbers",
    "read_values",
    "store_values",
    "write_numbers",
]

MISSING = 2
_LARGEST_HEAD = 1 << 26
_RAW, _SHUFFLED, _PCODEC = range(3)
_PCODEC_KINDS = ("float16", "float32", "float64", "int16", "int32", "int64",
                 "uint16", "uint32", "uint64")  # fmt: skip
# Of columns this long a stored form is looked at: a shorter one is modelled.
_STORED_FROM = 32


@dataclass
class Parts:
    """What a block is made of, in the order in which it is read.

    Attributes
    ----------
    columns : list of Column
        To be coded together.
    buffers : list of bytes
        Stored as they are.
    fast : bool
        Leave out what is slow.
    """

    columns: list[Column] = field(default_factory=list)
    buffers: list[bytes] = field(default_factory=list)
    fast: bool = False

    def add(self, values: IntArray, size: int, mask: int = -1) -> int:
        """Add a column of integers; return its place."""
        n_bytes = math.inf
        if size > 1 and len(values) >= _STORED_FROM:
            # What is stored must be known in all rows, so masked columns are not.
            n_bytes = float(len(store_integers(values, fast=True))) if mask < 0 else math.inf
        self.columns.append(Column(values, size, mask, n_bytes))
        return len(self.columns) - 1


def write_numbers(found: Numbers, parts: Parts, values: Values, error: float) -> list[Any]:
    """Add a column of numbers to a block.

    Parameters
    ----------
    found : Numbers
        The column as whole numbers; ``special`` is 2 where a cell is missing.
    parts : Parts
        Added to.
    values : ndarray
        The column itself, for one whose whole numbers are too large.
    error : float
        Its bound.

    Returns
    -------
    list
        What the header says about it: transform, number of special cells' kinds, values
        stored by their bits; or nothing, if the column is stored as it is.
    """
    mask = -1
    special = found.special
    n_kinds = 0 if special is None else int(special.max()) + 1
    if special is not None:
        mask = parts.add(special, n_kinds)
    if found.size > 1 << WIDEST:
        kept = values if special is None else values[special != MISSING]
        parts.buffers.append(store_values(kept, fast=parts.fast))
        return [n_kinds]
    parts.add(found.integers, found.size, mask)
    levels = found.transform.levels
    n_levels = 0
    if levels is not None:
        n_levels = len(levels)
        parts.buffers.append(store_values(levels, fast=parts.fast))
    if len(found.verbatim):
        parts.buffers.append(store_values(found.verbatim, fast=parts.fast))
    return [n_kinds, found.transform.to_json(error), n_levels, len(found.verbatim)]


def read_numbers(
    described: Any,
    columns: Iterator[IntArray],
    buffers: Iterator[bytes],
    dtype: np.dtype[Any],
    n_rows: int,
    error: float,
) -> tuple[Values, IntArray | None]:
    """Return a column of numbers, and where its cells are special.

    Parameters
    ----------
    described : object
        What `write_numbers` returned.
    columns, buffers : iterator
        Of the block, in order.
    dtype : dtype
        The column's type.
    n_rows : int
        The number of rows.
    error : float
        The column's bound, as the header has it.

    Raises
    ------
    DataError
        If these do not go together.
    """
    require(isinstance(described, list) and len(described) in (1, 4), "a column is not understood")
    require(type(described[0]) is int and 0 <= described[0] <= 3, "a column is not understood")
    special = next(columns) if described[0] else None
    if len(described) == 1:
        kept = np.ones(n_rows, np.bool_) if special is None else special != MISSING
        values = np.zeros(n_rows, dtype)
        values[kept] = read_values(next(buffers), int(kept.sum()), dtype)
        return values, special
    integers = next(columns)
    _, transform, n_levels, n_verbatim = described
    require(type(n_levels) is int and 0 <= n_levels <= 1 << 32, "a column is not understood")
    levels = read_values(next(buffers), n_levels, dtype) if n_levels else None
    parsed = Transform.from_json(transform, levels, error)
    require((parsed.kind == "levels") == (levels is not None), "a list of levels is missing")
    if levels is not None:
        require(int(integers.max(initial=0)) < n_levels, "a level is out of range")
    values = parsed.decode(integers, dtype)
    if special is not None:
        odd = special == 1
        require(int(odd.sum()) == n_verbatim, "values stored by their bits are missing")
        if n_verbatim:
            values[odd] = read_values(next(buffers), n_verbatim, dtype)
    return values, special


def integers_of(described: Any) -> int:
    """Return of how many columns of integers `read_numbers` will take."""
    if not isinstance(described, list) or not described:
        return 0
    return int(bool(described[0])) + int(len(described) > 1)


def store_values(values: Values, *, fast: bool = False, beat: float = math.inf) -> bytes:
    """Store numbers as they are, by whatever makes them smallest; ``beat`` as in `pack`."""
    raw = np.ascontiguousarray(values).tobytes()
    offers = []
    if values.dtype.name in _PCODEC_KINDS and values.size:
        by_pcodec = pcodec_bytes(values, fast=fast, beat=beat)
        if by_pcodec is not None:
            offers.append(bytes([_PCODEC]) + by_pcodec)
            beat = min(beat, len(by_pcodec))
    offers.append(bytes([_RAW]) + pack(raw, fast=fast, beat=beat))
    size = values.dtype.itemsize
    if size > 1 and values.size:
        planes = np.frombuffer(raw, np.uint8).reshape(-1, size).T.tobytes()
        offers.append(bytes([_SHUFFLED]) + pack(planes, fast=fast, beat=beat))
    return min(offers, key=len)


def read_values(data: bytes, count: int, dtype: np.dtype[Any]) -> Values:
    """Return numbers that were stored.

    Parameters
    ----------
    data : bytes
        As `store_values` returned it.
    count : int
        How many there must be.
    dtype : dtype
        Their type.

    Raises
    ------
    DataError
        If they are damaged, or another number.
    """
    require(len(data) > 0, "stored numbers are cut off")
    method, n_bytes = data[0], count * dtype.itemsize
    if method == _PCODEC and dtype.name in _PCODEC_KINDS:
        out = np.empty(count, dtype)
        pcodec_into(data[1:], out)
        return out
    require(method in (_RAW, _SHUFFLED), "stored numbers name an unknown method")
    raw = unpack(data[1:], n_bytes)
    require(len(raw) == n_bytes, "stored numbers have another length")
    if method == _SHUFFLED:
        raw = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, count).T.tobytes()
    return np.frombuffer(raw, dtype).copy()


def parse_head(data: bytes, most: int) -> tuple[list[Any], int]:
    """Return what a block's head says: each column, and the number of columns of integers."""
    try:
        value = read_json(unpack(data, _LARGEST_HEAD).decode())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"the file is damaged: a block's head cannot be read: {error}") from error
    require(isinstance(value, dict), "a block's head is not understood")
    described, n_integers = value.get("c"), value.get("n")
    require(isinstance(described, list), "a block's head is not understood")
    require(type(n_integers) is int and 0 <= n_integers <= most, "a block's head is wrong")
    return described, n_integers
