"""What a compressed file holds: arrays and tables, described in its header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import xxhash

from autoencode.compression.array_block import decode_array, encode_array
from autoencode.compression.arrow_fields import digest_parts
from autoencode.compression.effort import Effort
from autoencode.compression.numbers import NUMBER_TYPES, Values
from autoencode.compression.plans import require
from autoencode.compression.table_block import decode_table_block, encode_table_block
from autoencode.errors import DataError

__all__ = [
    "LIST",
    "TEXT",
    "ArrayMember",
    "Member",
    "TableMember",
    "blocks_of",
    "member_from_json",
    "n_blocks_of",
    "require_block",
    "rows_per_block",
]

# Values in a block, at most: a reader takes some hundred bytes for each.
BLOCK_VALUES = 1 << 22
_MOST_VALUES = 1 << 24
# The name of bytes that are no numbers.
TEXT = "text"
# That of a list of files, while it is written.
LIST = "files"


def rows_per_block(n_columns: int) -> int:
    """Return into how many rows data are cut."""
    return max(1, min(1 << 20, BLOCK_VALUES // max(1, n_columns)))


def require_block(n_rows: int, n_columns: int) -> None:
    """Refuse a block that claims to hold more than any does."""
    require(n_rows >= 0 and n_rows <= max(1, _MOST_VALUES // max(1, n_columns)),
            f"a block claims {n_rows:,} rows")  # fmt: skip


@dataclass(frozen=True)
class ArrayMember:
    """An array.

    Attributes
    ----------
    name : str
        In an archive; empty if it is alone.
    dtype : dtype
        Of the array.
    shape : tuple of int
        Of the array.
    fortran : bool
        Whether it lay in memory by columns.
    errors : tuple of float
        The bound of each column, or one for all.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    errors: tuple[float, ...]

    @property
    def n_rows(self) -> int:
        """The length of the first axis; 1 if there is none."""
        return self.shape[0] if self.shape else 1

    @property
    def stored_type(self) -> np.dtype[Any]:
        """The type of the numbers that are coded."""
        kind, size = self.dtype.kind, self.dtype.itemsize
        if self.dtype.newbyteorder("=").name in NUMBER_TYPES:
            return self.dtype.newbyteorder("=")
        if kind in "mM":
            return np.dtype(np.int64)
        if kind == "c" and size in (8, 16):
            return np.dtype(f"f{size // 2}")
        return np.dtype(np.uint8)

    @property
    def n_columns(self) -> int:
        """Numbers in each row."""
        inner = prod(self.shape[1:])
        return inner * (self.dtype.itemsize // self.stored_type.itemsize)

    @property
    def inner(self) -> tuple[int, ...]:
        """The shape of a row, in numbers as they are coded."""
        parts = self.dtype.itemsize // self.stored_type.itemsize
        return self.shape[1:] if parts == 1 else (*self.shape[1:], parts)

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bound of each column."""
        return self.errors * self.n_columns if len(self.errors) == 1 else self.errors

    def encode(self, rows: Values, effort: Effort) -> tuple[bytes, int]:
        """Code rows of the array; give the hash of what will be read, too."""
        plain = self.plain(rows)
        if self.name == TEXT:
            effort = replace(effort, stored_only=True)
        body = encode_array(plain, self.inner, self.bounds, effort)
        if not any(self.errors):
            return body, self.digest(rows)
        return body, self.digest(self.decode(body, len(rows)))

    def plain(self, rows: Values) -> Values:
        """Return rows as a matrix of numbers."""
        native = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder("="), copy=False))
        flat = native.reshape(len(rows), -1) if native.size else native.reshape(len(rows), 0)
        if flat.dtype == self.stored_type or not flat.size:
            return flat.astype(self.stored_type, copy=False).reshape(len(rows), self.n_columns)
        return flat.view(self.stored_type)

    def decode(self, body: bytes, n_rows: int, stop: int | None = None) -> Values:
        """Return coded rows; with ``stop`` only so many columns of a matrix are sure to be."""
        require_block(n_rows, self.n_columns)
        if len(self.inner) != 1:
            stop = None
        plain = decode_array(body, n_rows, self.inner, self.stored_type, self.bounds, stop)
        return self.shaped(plain, n_rows)

    def shaped(self, plain: Values, n_rows: int) -> Values:
        """Return rows of the array from a matrix of numbers."""
        plain = np.ascontiguousarray(plain)
        native = self.dtype.newbyteorder("=")
        rows = plain.view(native) if plain.size else plain.astype(native)
        return rows.astype(self.dtype, copy=False).reshape(n_rows, *self.shape[1:])

    def digest(self, rows: Values) -> int:
        """Return XXH3 of the rows' bytes, in C order."""
        plain = np.ascontiguousarray(rows).ravel()
        held = plain.view(np.uint8).data if plain.nbytes else b""
        return int(xxhash.xxh3_64_intdigest(held))

    def to_json(self) -> dict[str, Any]:
        """Return what the header says."""
        described: Any = self.dtype.str if self.dtype.names is None else self.dtype.descr
        found = {"array": described, "shape": list(self.shape), **_unusual_errors(self.errors)}
        if self.fortran:
            found["fortran"] = True
        return {**found, "name": self.name} if self.name else found


@dataclass(frozen=True)
class TableMember:
    """A table.

    Attributes
    ----------
    schema : Schema
        Of the table, with its metadata.
    n_rows : int
        Of the table.
    errors : tuple of float
        The bound of each column.
    whole : bool
        Whether it has all columns of the schema in the header; else it names its own.
    """

    schema: pa.Schema
    n_rows: int
    errors: tuple[float, ...]
    name: str = ""
    whole: bool = True

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self.schema)

    def encode(self, rows: pa.Table, effort: Effort) -> tuple[bytes, int]:
        """Code rows of the table; give the hash of what will be read, too."""
        body = encode_table_block(rows, self.errors, effort)
        if not any(self.errors):
            return body, self.digest(rows)
        return body, self.digest(self.decode(body, rows.num_rows))

    def decode(self, body: bytes, n_rows: int, stop: int | None = None) -> pa.Table:
        """Return coded rows; with ``stop`` only so many of the columns."""
        require_block(n_rows, self.n_columns)
        return decode_table_block(body, n_rows, self.schema, self.errors, stop)

    def digest(self, rows: pa.Table) -> int:
        """Return XXH3 of the columns' values, one after the other."""
        found = xxhash.xxh3_64()
        for column in rows.columns:
            if pa.types.is_dictionary(column.type):
                column = column.unify_dictionaries()
            whole = column.combine_chunks()
            chunks = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
            for chunk in chunks:
                for piece in digest_parts(chunk):
                    found.update(piece)
        return int(found.intdigest())

    def to_json(self) -> dict[str, Any]:
        """Return what the header says."""
        found = {"rows": self.n_rows, **_unusual_errors(self.errors)}
        return found if self.whole else {**found, "columns": self.schema.names}


def _unusual_errors(errors: tuple[float, ...]) -> dict[str, Any]:
    """Return bounds as the header has them: nothing if all are 0."""
    return {"errors": list(errors)} if any(errors) else {}


Member: TypeAlias = ArrayMember | TableMember


def member_from_json(value: Any, schema_bytes: bytes) -> Member:
    """Read what ``to_json`` returned, checked.

    Parameters
    ----------
    value : object
        What ``to_json`` returned.
    schema_bytes : bytes
        The schema of a table, as an Arrow message.

    Raises
    ------
    DataError
        If it is not understood.
    """
    require(isinstance(value, Mapping), "a member is not understood")
    name, errors = value.get("name", ""), value.get("errors", [])
    require(isinstance(name, str) and isinstance(errors, list), "a member is not understood")
    bounds = tuple(float(error) for error in errors if type(error) in (int, float))
    require(len(bounds) == len(errors) and all(e >= 0 for e in bounds), "a bound is wrong")
    try:
        if "array" in value:
            return _array_member(value, name, bounds)
        schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(f"the file is damaged: a member is not understood: {error}") from error
    n_rows, names = value.get("rows"), value.get("columns")
    require(type(n_rows) is int and n_rows >= 0, "a table's length is wrong")
    if names is not None:
        fine = isinstance(names, list) and all(schema.names.count(name) == 1 for name in names)
        require(fine, "a table has columns that are not there")
        schema = pa.schema([schema.field(name) for name in names])
    bounds = bounds or (0.0,) * len(schema)
    require(len(bounds) == len(schema), "a table has not one bound per column")
    return TableMember(schema, n_rows, bounds, whole=names is None)


def _array_member(value: Mapping[str, Any], name: str, errors: tuple[float, ...]) -> ArrayMember:
    described = value["array"]
    if isinstance(described, list):
        described = [tuple(_tupled(part) for part in item) for item in described]
    dtype = np.dtype(described)
    shape = value.get("shape", [])
    require(not dtype.hasobject and dtype.itemsize > 0, "an array's type is wrong")
    fine = isinstance(shape, list) and all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
    require(fine and len(shape) <= 32 and prod(shape) < 1 << 60, "an array's shape is wrong")
    errors = errors or (0.0,)
    found = ArrayMember(name, dtype, tuple(shape), value.get("fortran") is True, errors)
    require(len(errors) in (1, found.n_columns), "an array has not one bound per column")
    return found


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def n_blocks_of(member: Member) -> int:
    """Return into how many blocks a member is cut."""
    return -(-member.n_rows // rows_per_block(member.n_columns))


def blocks_of(rows: Any, member: Member) -> Iterator[tuple[int, Any]]:
    """Yield pieces of an array or table, each with the number of its first row."""
    step = rows_per_block(member.n_columns)
    for start in range(0, member.n_rows, step):
        if isinstance(member, TableMember):
            yield start, rows.slice(start, step)
        else:
            yield start, (rows[start : start + step] if member.shape else rows.reshape(1))
