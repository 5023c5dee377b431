"""Rows of a table -> one block, and back."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from autoencode.compression.arrow_fields import integers_of_field, read_field, write_field
from autoencode.compression.effort import Effort
from autoencode.compression.integer_part import decode_integers, encode_integers
from autoencode.compression.number_columns import Parts, parse_head
from autoencode.compression.packing import join, pack, split
from autoencode.compression.plans import require
from autoencode.strict_json import write_json

__all__ = ["decode_table_block", "encode_table_block", "one_chunk"]


def encode_table_block(table: pa.Table, errors: Sequence[float], effort: Effort) -> bytes:
    """Code rows of a table.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    errors : sequence of float
        The bound of each column; 0 keeps every bit.
    effort : Effort
        How much to try.

    Returns
    -------
    bytes
        The block.
    """
    parts = Parts(fast=effort.fast)
    described = []
    for column, error in zip(table.columns, errors, strict=True):
        described.append(write_field(one_chunk(column), error, parts))
    head = write_json({"c": described, "n": len(parts.columns)}, "a block")
    coded = b""
    if parts.columns:
        coded = encode_integers(parts.columns, table.num_rows, effort)
    return join([pack(head.encode()), coded, *parts.buffers])


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, its categories in one list."""
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def decode_table_block(
    data: bytes,
    n_rows: int,
    schema: pa.Schema,
    errors: Sequence[float],
    stop: int | None = None,
) -> pa.Table:
    """Return rows of a table.

    Parameters
    ----------
    data : bytes
        As `encode_table_block` returned it.
    n_rows : int
        How many must be in it.
    schema : Schema
        Of the table.
    errors : sequence of float
        The bound of each column.
    stop : int, optional
        How many of the first columns are asked for: the table has these only.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    pieces = split(data)
    require(len(pieces) >= 2, "a block has too few pieces")
    head, coded, *buffers = pieces
    described, n_integers = parse_head(head, 3 * len(schema) + 1)
    require(len(described) == len(schema), "a block has another number of columns")
    upto = None if stop is None else sum(integers_of_field(item) for item in described[:stop])
    integers = decode_integers(coded, n_integers, n_rows, upto) if n_integers else ()
    columns, stored = iter(integers), iter(buffers)
    found = [
        read_field(item, field.type, columns, stored, n_rows, error)
        for item, field, error in zip(described[:stop], schema, errors, strict=False)
    ]
    if stop is not None:
        return pa.Table.from_arrays(found, schema=pa.schema(list(schema)[:stop]))
    require(next(columns, None) is None and next(stored, None) is None, "a block has more in it")
    return pa.Table.from_arrays(found, schema=schema)
