"""Rows of a table or matrix coded by a shared model, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.compression.arrow_fields import arrow_numbers, nulls, number_type, plain_numbers
from autoencode.compression.column_coding import ReadingChannel, WritingChannel
from autoencode.compression.effort import Effort
from autoencode.compression.frequencies import IntArray
from autoencode.compression.members import Member, TableMember, require_block
from autoencode.compression.number_columns import MISSING, read_values
from autoencode.compression.numbers import Values
from autoencode.compression.packing import join, pack_integers, split, unpack_integers
from autoencode.compression.plans import LARGEST_LEVELS, ColumnPlan, check_order, require, within
from autoencode.compression.shared_columns import (
    Found,
    SharedColumn,
    SharedList,
    SharedNumber,
    load_texts,
)
from autoencode.compression.shared_model import SharedModel
from autoencode.compression.table_block import (
    decode_table_block,
    encode_table_block,
    one_chunk,
)
from autoencode.compression.table_model import Layout, TableWalk
from autoencode.compression.table_part import MOST_LANES, lanes_for
from autoencode.errors import DataError

__all__ = ["decode_shared", "encode_shared"]

_SHORTEST_LANE, _LONGEST_LANE, _FEWEST_LANES = 16, 256, 32
_BITS_PER_CELL = 4


def encode_shared(model: SharedModel, member: Member, rows: Any, effort: Effort) -> bytes | None:
    """Code rows by a model.

    Parameters
    ----------
    model : SharedModel
        Of the member's kind.
    member : Member
        What the rows belong to.
    rows : ndarray or pyarrow.Table
        The rows.
    effort : Effort
        How much to try for columns that the model leaves out.

    Returns
    -------
    bytes or None
        The body of a block; None if the rows are not such as the model can code.
    """
    if isinstance(member, TableMember):
        given: list[Any] = [one_chunk(column) for column in rows.columns]
    else:
        given = [np.ascontiguousarray(column) for column in member.plain(rows).T]
    try:
        found = [
            None if column is None else _found(column, values, error)
            for column, values, error in zip(model.columns, given, model.errors, strict=True)
        ]
        plans = _fitted(model, [one for one in found if one is not None])
    except DataError:
        return None
    integers, numbers, buffers = [], [], []
    for column, one in zip(model.columns, found, strict=True):
        if column is None or one is None:
            continue
        integers += [one.special, one.integers] if column.marked else [one.integers]
        odd = np.empty(0, np.int64) if column.marked else np.flatnonzero(one.special)
        numbers += [*one.counts, *([] if column.marked else [len(odd)])]
        listed = [pack_integers(2 * np.diff(odd, prepend=0) + one.special[odd] // 2)]
        buffers += [*(listed if len(odd) else []), *one.buffers]
    length = max(_SHORTEST_LANE, min(_LONGEST_LANE, len(rows) // _FEWEST_LANES))
    channel = WritingChannel(lanes_for(len(rows) * len(integers) * _BITS_PER_CELL / 8))
    layout = Layout(len(rows), model.lags, length if model.lags else 0)
    walk = TableWalk(plans, layout, {}, model.network, model.counts)
    walk.run(channel, np.array(integers, np.int64))
    coded = channel.finish()
    head = np.array([layout.length, channel.writer.lanes, *numbers], np.int64)
    rest = _rest_encoded(model, member, rows, effort)
    return join([pack_integers(head), *coded, rest, *buffers])


def _found(column: SharedColumn, values: Any, error: float) -> Found:
    if isinstance(column, SharedList):
        return column.integers(values)
    if isinstance(values, np.ndarray):
        return column.integers(values, None, error)
    dtype = number_type(values.type)
    assert dtype is not None
    plain = np.array(plain_numbers(values, dtype))
    return column.integers(plain, nulls(values) if values.null_count else None, error)


def _fitted(model: SharedModel, sizes: Sequence[Found] | Sequence[int]) -> list[ColumnPlan]:
    """Return plans with room for texts that the model does not know."""
    plans = list(model.plans)
    own: Iterator[Found | int] = iter(sizes)
    place = -1
    for column in model.columns:
        if column is None:
            continue
        place += 2 if column.marked else 1
        one = next(own)
        size = one.size if isinstance(one, Found) else int(one)
        most = LARGEST_LEVELS if plans[place].mode == "levels" else 1 << 48
        require(size <= most, "a column has too many texts")
        plans[place] = replace(plans[place], size=size)
    check_order(plans, model.lags)
    return plans


def _rest(model: SharedModel) -> list[int]:
    """Return the columns that are coded without the model."""
    return [place for place, column in enumerate(model.columns) if column is None]


def _rest_encoded(model: SharedModel, member: Member, rows: Any, effort: Effort) -> bytes:
    places = _rest(model)
    if not places:
        return b""
    errors = [model.errors[place] for place in places]
    return encode_table_block(_as_table(member, rows).select(places), errors, effort)


def _as_table(member: Member, rows: Any) -> pa.Table:
    if isinstance(member, TableMember):
        return rows
    columns = [pa.array(np.ascontiguousarray(column)) for column in member.plain(rows).T]
    return pa.table(columns, names=[str(place) for place in range(len(columns))])


def decode_shared(model: SharedModel, member: Member, body: bytes, n_rows: int) -> Any:
    """Return rows that `encode_shared` coded.

    Raises
    ------
    DataError
        If the bytes are damaged, or the model is not of the member's kind.
    """
    why = model.unlike(member)
    require(why is None, f"its model is not one of its data: {why}")
    require_block(n_rows, member.n_columns)
    pieces = split(body)
    require(len(pieces) >= 4, "a block has too few pieces")
    columns = [column for column in model.columns if column is not None]
    counts = [_n_counts(column) for column in columns]
    numbers = iter(unpack_integers(pieces[0], 2 + sum(counts)).tolist())
    lags = model.lags
    length = within(next(numbers), 1 if lags else 0, max(n_rows, 1), "the length of lanes")
    lanes = within(next(numbers), 1, MOST_LANES, "the number of lanes")
    own = [[next(numbers) for _ in range(count)] for count in counts]
    sizes = [
        column.size + (within(said[0], 0, LARGEST_LEVELS, "new texts") if _lists(column) else 0)
        for column, said in zip(columns, own, strict=True)
    ]
    channel = ReadingChannel(pieces[1], pieces[2], lanes)
    layout = Layout(n_rows, lags, length)
    walk = TableWalk(_fitted(model, sizes), layout, {}, model.network, model.counts)
    integers = iter(walk.run(channel, None))
    channel.finish()
    rest = _rest_decoded(model, member, pieces[3], n_rows)
    buffers, said = iter(pieces[4:]), iter(own)
    found = []
    try:
        for place, column in enumerate(model.columns):
            if column is None:
                found.append(next(rest))
            else:
                kind = member.schema.types[place] if isinstance(member, TableMember) else None
                read = _Reading(integers, buffers, n_rows, kind)
                found.append(read.column(column, next(said), member))
    except (pa.ArrowException, StopIteration) as error:
        message = " ".join(str(error).split())
        raise DataError(f"the file is damaged: a column cannot be read: {message}") from error
    require(next(buffers, None) is None, "a block has more in it")
    if isinstance(member, TableMember):
        return pa.Table.from_arrays(found, schema=member.schema)
    return member.shaped(np.array(found, member.stored_type).T, n_rows)


def _lists(column: SharedColumn) -> bool:
    return isinstance(column, SharedList)


def _n_counts(column: SharedColumn) -> int:
    """Return how many numbers of a block's head belong to a column."""
    return 1 + (not column.marked) + (isinstance(column, SharedList) and column.by_category)


def _rest_decoded(model: SharedModel, member: Member, body: bytes, n_rows: int) -> Iterator[Any]:
    places = _rest(model)
    require(bool(body) == bool(places), "a block has not the columns it should")
    if not places:
        return iter(())
    errors = [model.errors[place] for place in places]
    if isinstance(member, TableMember):
        schema = pa.schema([member.schema.field(place) for place in places])
        return iter(decode_table_block(body, n_rows, schema, errors).columns)
    plain = pa.from_numpy_dtype(member.stored_type)
    schema = pa.schema([(str(place), plain) for place in places])
    table = decode_table_block(body, n_rows, schema, errors)
    return iter([column.to_numpy() for column in table.columns])


class _Reading:
    """What columns are read from, in their order."""

    def __init__(
        self,
        integers: Iterator[IntArray],
        buffers: Iterator[bytes],
        n_rows: int,
        kind: pa.DataType | None,
    ) -> None:
        self.integers, self.buffers, self.n_rows, self.kind = integers, buffers, n_rows, kind

    def column(self, column: SharedColumn, counts: list[int], member: Member) -> Any:
        """Return a column's values."""
        special = next(self.integers) if column.marked else self._listed(counts.pop())
        integers = next(self.integers)
        if isinstance(column, SharedNumber):
            return self._numbers(column, integers, special, counts[0], member)
        texts = column.texts
        if counts[0]:
            new = load_texts(next(self.buffers), next(self.buffers), counts[0], texts.type)
            texts = pa.concat_arrays([texts, new])
        missing = special == MISSING
        if not column.by_category:
            integers = np.where(missing, 0, integers)
            return texts.take(pa.array(integers, mask=missing if missing.any() else None))
        return self._categories(texts, integers, missing, counts[1])

    def _listed(self, count: int) -> IntArray:
        special = np.zeros(self.n_rows, np.int64)
        within(count, 0, self.n_rows, "the number of special cells")
        if count:
            numbers = unpack_integers(next(self.buffers), count)
            places = np.cumsum(numbers >> 1)
            fine = int(places.min()) >= 0 and int(places.max()) < self.n_rows
            require(fine and int((numbers >> 1).min()) >= 0, "a special cell is out of range")
            special[places] = 1 + (numbers & 1)
        return special

    def _numbers(
        self,
        column: SharedNumber,
        integers: IntArray,
        special: IntArray,
        n_verbatim: int,
        member: Member,
    ) -> Any:
        dtype = number_type(self.kind) if self.kind is not None else member.stored_type  # type: ignore[union-attr]
        if dtype is None:
            raise DataError("the file is damaged: a column has another type")
        values: Values = column.transform.decode(integers, dtype)
        odd = special == 1
        require(int(odd.sum()) == n_verbatim, "values stored by their bits are missing")
        if n_verbatim:
            values[odd] = read_values(next(self.buffers), n_verbatim, dtype)
        return values if self.kind is None else arrow_numbers(values, special, self.kind)

    def _categories(
        self, texts: pa.Array, integers: IntArray, missing: Any, count: int
    ) -> pa.Array:
        kind: Any = self.kind
        own = np.arange(len(texts))
        if count >= 0:
            own = unpack_integers(next(self.buffers), within(count, 0, len(texts), "categories"))
            fine = not count or (int(own.min()) >= 0 and int(own.max()) < len(texts))
            require(fine and len(np.unique(own)) == count, "a category is out of range")
        inverse = np.full(len(texts) + 1, -1, np.int64)
        inverse[own] = np.arange(len(own))
        indices = inverse[np.where(missing, len(texts), integers)]
        require(bool((indices[~missing] >= 0).all()), "a cell has a category that is not there")
        indices[missing] = 0
        index: Any = np.dtype(kind.index_type.to_pandas_dtype())
        require(len(own) <= np.iinfo(index).max + 1, "there are too many categories")
        cells = arrow_numbers(indices.astype(index), MISSING * missing, kind.index_type)
        levels = texts.take(pa.array(own))
        return pa.DictionaryArray.from_arrays(cells, levels, ordered=kind.ordered, safe=True)
