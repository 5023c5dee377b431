"""What is learned from one table or matrix to make many small ones of its kind smaller."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.compression.arrow_fields import is_text, nulls, number_type, plain_numbers
from autoencode.compression.container import SectionWriter, read_section, read_start
from autoencode.compression.effort import Effort
from autoencode.compression.frequencies import IntArray
from autoencode.compression.integer_part import best_plan
from autoencode.compression.masked import MaskedNetwork
from autoencode.compression.masked_part import encode_masked
from autoencode.compression.members import ArrayMember, Member, TableMember
from autoencode.compression.number_columns import MISSING, read_values, store_values
from autoencode.compression.numbers import Transform
from autoencode.compression.packing import (
    join,
    pack,
    split,
    unpack,
)
from autoencode.compression.plans import ColumnPlan, check_order, require, within
from autoencode.compression.range_coder import SymbolTables
from autoencode.compression.shared_columns import (
    SharedColumn,
    SharedList,
    SharedNumber,
    learn_list,
    learn_number,
    load_texts,
    store_texts,
)
from autoencode.compression.stored_integers import load_integers, store_integers
from autoencode.compression.stored_plans import PlanReader, store_plans
from autoencode.compression.table_block import one_chunk
from autoencode.compression.table_model import Layout, TableWalk
from autoencode.compression.table_part import encode_table
from autoencode.compression.table_planning import Column
from autoencode.errors import DataError
from autoencode.strict_json import read_json, write_json

__all__ = ["KIND", "SharedModel", "learn_shared", "parts_of"]

KIND = b"SHRD"
_MOST_COUNTS, _LARGEST_COUNT = 1 << 22, 1 << 32
_LARGEST_HEAD, _MOST_COLUMNS = 1 << 28, 1 << 16


@dataclass(frozen=True)
class SharedModel:
    """A model of columns.

    Attributes
    ----------
    schema : Schema or None
        Of the table; None for a matrix.
    dtype : dtype or None
        Of the matrix.
    errors : tuple of float
        The bound of each column.
    columns : tuple of SharedColumn or None
        How each becomes whole numbers; None for one that is coded without the model.
    lags : int
        Earlier rows that are known.
    plans : tuple of ColumnPlan
        Of all columns of integers: of each column that has any, its special cells if it is
        marked, then its whole numbers.
    network : MaskedNetwork or None
        What adds to predictions.
    counts : dict of int to ndarray
        What tables of levels begin with, by column of integers.
    """

    schema: pa.Schema | None
    dtype: np.dtype[Any] | None
    errors: tuple[float, ...]
    columns: tuple[SharedColumn | None, ...]
    lags: int
    plans: tuple[ColumnPlan, ...]
    network: MaskedNetwork | None
    counts: dict[int, IntArray]

    def unlike(self, member: Member) -> str | None:
        """Say why a member is not of this model's kind; None if it is."""
        if isinstance(member, ArrayMember):
            if self.dtype is None:
                return "the model is one of tables, not of arrays"
            if member.dtype != self.dtype or len(member.inner) != 1:
                return f"the model is one of matrices of {self.dtype}, not of this array's kind"
            if member.n_columns != len(self.columns):
                return f"it has {member.n_columns} columns, the model {len(self.columns)}"
            return None
        if self.schema is None:
            return "the model is one of arrays, not of tables"
        mine, its = (list(zip(s.names, s.types, strict=True)) for s in (self.schema, member.schema))
        for place, (wanted, found) in enumerate(zip(mine, its, strict=False)):
            if wanted != found:
                return (
                    f"column {place} is {found[0]!r} of type {found[1]}, "
                    f"in the model {wanted[0]!r} of type {wanted[1]}"
                )
        if len(mine) != len(its):
            return f"it has {len(its)} columns, the model {len(mine)}"
        return None

    def to_bytes(self) -> bytes:
        """Return it as a file."""
        head: dict[str, Any] = {
            "columns": [_described(*pair) for pair in zip(self.columns, self.errors, strict=True)],
            "errors": list(self.errors),
            "lags": self.lags,
        }
        if self.dtype is not None:
            head["array"] = self.dtype.str
        schema = b"" if self.schema is None else bytes(self.schema.serialize())
        plan = store_plans(self.plans, range(len(self.plans)), ())
        network = b"" if self.network is None else self.network.to_bytes()
        counts = [self.counts[place].ravel() for place in sorted(self.counts)]
        joined = store_integers(np.concatenate(counts)) if counts else b""
        pieces = [pack(write_json(head, "a model").encode()), pack(schema), plan, network, joined]
        for column in self.columns:
            if isinstance(column, SharedList):
                pieces += store_texts(column.texts)
            elif column is not None and column.transform.levels is not None:
                pieces.append(store_values(column.transform.levels))
        stream = io.BytesIO()
        SectionWriter(stream).write(KIND, join(pieces))
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SharedModel:
        """Read what `to_bytes` returned, checked.

        Raises
        ------
        DataError
            If it is none, or damaged.
        """
        stream = io.BytesIO(data)
        read_start(stream)
        section = read_section(stream, stream.tell())
        require(section.kind == KIND and not stream.read(1), "it is no shared model")
        try:
            return _parsed(split(section.payload))
        except (ValueError, KeyError, TypeError, StopIteration, pa.ArrowException) as error:
            raise DataError(f"the model is damaged: {' '.join(str(error).split())}") from error


def _described(column: SharedColumn | None, error: float) -> list[Any]:
    if column is None:
        return []
    if isinstance(column, SharedList):
        return [int(column.marked), len(column.texts)]
    levels = column.transform.levels
    n_levels = 0 if levels is None else len(levels)
    return [int(column.marked), column.transform.to_json(error), column.size, n_levels]


def _parsed(pieces: list[bytes]) -> SharedModel:
    require(len(pieces) >= 5, "a model has too few pieces")
    head = read_json(unpack(pieces[0], _LARGEST_HEAD).decode())
    errors = tuple(float(error) for error in head["errors"])
    described = head["columns"]
    fine = isinstance(described, list) and 0 < len(described) == len(errors) <= _MOST_COLUMNS
    require(fine and all(error >= 0 for error in errors), "a model's head is wrong")
    dtype = np.dtype(head["array"]) if "array" in head else None
    require(dtype is None or dtype.kind in "biuf", "a model's type is wrong")
    schema = None if dtype is not None else pa.ipc.read_schema(pa.py_buffer(unpack(pieces[1])))
    types = [None] * len(described) if schema is None else schema.types
    require(len(types) == len(described), "a model has not one column per field")
    buffers = iter(pieces[5:])
    columns = tuple(
        _column(item, arrow_type, dtype, error, buffers)
        for item, arrow_type, error in zip(described, types, errors, strict=True)
    )
    require(next(buffers, None) is None, "a model has more in it")
    lags = within(head["lags"], 0, 2, "the number of lags")
    plans = _plans(pieces[2], columns, lags)
    network = MaskedNetwork.from_bytes(pieces[3], len(plans), lags) if pieces[3] else None
    if network is not None:
        network.check(plans)
    counts = _counts(pieces[4], plans)
    return SharedModel(schema, dtype, errors, columns, lags, plans, network, counts)


def _column(
    item: list[Any],
    arrow_type: pa.DataType | None,
    dtype: np.dtype[Any] | None,
    error: float,
    buffers: Iterator[bytes],
) -> SharedColumn | None:
    if not item:
        return None
    numbers = number_type(arrow_type) if dtype is None else dtype.newbyteorder("=")
    require(type(item[0]) is int and item[0] in (0, 1), "a model's column is not understood")
    marked = item[0] == 1
    if numbers is None:
        assert arrow_type is not None  # else numbers are those of the matrix
        count = within(item[1], 0, 1 << 20, "the number of texts")
        kind = arrow_type.value_type if pa.types.is_dictionary(arrow_type) else arrow_type
        require(is_text(kind), "a model lists what is no text")
        texts = load_texts(next(buffers), next(buffers), count, kind)
        return SharedList(texts, marked, kind is not arrow_type)
    _, transform, size, n_levels = item
    n_levels = within(n_levels, 0, 1 << 20, "the number of levels")
    levels = read_values(next(buffers), n_levels, numbers) if n_levels else None
    parsed = Transform.from_json(transform, levels, error)
    require((parsed.kind == "levels") == (levels is not None), "a list of levels is missing")
    size = within(size, 1, n_levels or 1 << 48, "the size of a column")
    return SharedNumber(parsed, size, marked)


def _plans(
    data: bytes, columns: Sequence[SharedColumn | None], lags: int
) -> tuple[ColumnPlan, ...]:
    places = list(parts_of(columns))
    n_columns = len(places)
    require(n_columns > 0, "a model has no columns")
    plans = tuple(_read_plans(data, 0, n_columns, lags))
    check_order(plans, lags)
    for plan, (size, mask) in zip(plans, places, strict=True):
        fits = plan.mode != "given" and plan.size == size and plan.mask == mask
        require(fits, "a plan is not one of its column")
    return plans


def _read_plans(data: bytes, n_first: int, n_columns: int, lags: int) -> list[ColumnPlan]:
    """Return the plans of all columns, which follow some other numbers."""
    reader = PlanReader(data)
    reader.take(n_first)
    plans = reader.plans(range(n_columns), n_columns, lags)
    reader.finish()
    return plans


def _counts(data: bytes, plans: Sequence[ColumnPlan]) -> dict[int, IntArray]:
    shapes = {
        place: (plan.n_contexts, plan.size)
        for place, plan in enumerate(plans)
        if plan.mode == "levels"
    }
    total = sum(rows * size for rows, size in shapes.values())
    require(total <= _MOST_COUNTS, "a model's tables claim to be too large")
    flat = load_integers(data, total, _LARGEST_COUNT) if total else np.empty(0, np.int64)
    found, start = {}, 0
    for place, (rows, size) in shapes.items():
        found[place] = flat[start : start + rows * size].reshape(rows, size)
        start += rows * size
    return found


def parts_of(columns: Sequence[SharedColumn | None]) -> Iterator[tuple[int, int]]:
    """Yield the size and the mask of each column of integers."""
    place = 0
    for column in columns:
        if column is None:
            continue
        if column.marked:
            yield MISSING + 1, -1
            place += 1
        yield column.size, place - 1 if column.marked else -1
        place += 1


def learn_shared(member: Member, rows: Any, effort: Effort) -> SharedModel:
    """Learn a model from rows.

    Parameters
    ----------
    member : Member
        What the rows belong to: a table, or an array of two axes.
    rows : ndarray or pyarrow.Table
        At least one.
    effort : Effort
        How long to try.

    Raises
    ------
    DataError
        If no column can be modelled, or the array has another number of axes.
    """
    table = isinstance(member, TableMember)
    if isinstance(member, ArrayMember) and (
        len(member.inner) != 1 or member.dtype.kind not in "biuf"
    ):
        raise DataError("a shared model is one of tables or of matrices of numbers")
    bounds = member.errors if isinstance(member, TableMember) else member.bounds
    learned: list[SharedColumn | None] = []
    integers: list[Column] = []
    given = rows.columns if table else member.plain(rows).T  # type: ignore[union-attr]
    for values, error in zip(given, bounds, strict=True):
        column, found = _learned(values, error)
        learned.append(column)
        for part, (size, mask) in zip(found, parts_of([column]), strict=True):
            integers.append(Column(part, size, mask if mask < 0 else len(integers) - 1))
    if not integers or not len(rows):
        raise DataError("there is nothing in the data that a shared model could learn")
    planned, layout = best_plan(integers, len(rows), effort)
    plain = encode_table(integers, planned, layout)
    pieces = split(plain)
    network = None
    # Small files do not pay for the network: only what it leaves has to be less.
    coded = encode_masked(integers, planned, layout, effort, 2 * len(plain))
    if coded is not None:
        weights, *others = split(coded)
        if len(coded) - len(weights) < len(plain):
            pieces = others
            network = MaskedNetwork.from_bytes(weights, len(integers), layout.lags)
    plans = _read_plans(pieces[0], 3, len(integers), layout.lags)
    counts = _counted(integers, plans, layout, network)
    schema = member.schema if isinstance(member, TableMember) else None
    dtype = None if isinstance(member, TableMember) else member.dtype
    return SharedModel(
        schema, dtype, bounds, tuple(learned), layout.lags, tuple(plans), network, counts
    )


def _learned(values: Any, error: float) -> tuple[SharedColumn | None, list[IntArray]]:
    """Fix how a column becomes whole numbers, and return them."""
    if isinstance(values, np.ndarray):
        numbers: SharedColumn | None = learn_number(np.ascontiguousarray(values), None, error)
        given: Any = np.ascontiguousarray(values), None, error
    else:
        numbers, given = _of_field(one_chunk(values), error)
    if numbers is None:
        return None, []
    found = numbers.integers(*given)
    return numbers, [found.special, found.integers] if numbers.marked else [found.integers]


def _of_field(array: pa.Array, error: float) -> tuple[SharedColumn | None, Any]:
    dtype = number_type(array.type)
    if dtype is None:
        return (learn_list(array) if _is_listed(array.type) else None), (array,)
    missing = nulls(array) if array.null_count else None
    values = np.array(plain_numbers(array, dtype))
    return learn_number(values, missing, error), (values, missing, error)


def _is_listed(arrow_type: pa.DataType) -> bool:
    if pa.types.is_dictionary(arrow_type):
        return is_text(arrow_type.value_type)
    return is_text(arrow_type)


class _Silent:
    """Writes nothing."""

    def symbols(self, tables: SymbolTables, chosen: IntArray, known: IntArray | None) -> IntArray:
        """Return what is known."""
        assert known is not None
        return known

    def bits(self, widths: IntArray, known: IntArray | None) -> IntArray:
        """Return what is known."""
        assert known is not None
        return known


def _counted(
    columns: Sequence[Column],
    plans: Sequence[ColumnPlan],
    layout: Layout,
    network: MaskedNetwork | None,
) -> dict[int, IntArray]:
    walk = TableWalk(plans, layout, {}, network)
    walk.run(_Silent(), np.array([column.values for column in columns], np.int64))
    return walk.counts
