"""Rows of an array -> one block, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from autoencode.compression.effort import EFFORTS, Effort
from autoencode.compression.field_model import FieldShape, field_shape
from autoencode.compression.field_part import decode_fields, encode_fields
from autoencode.compression.integer_part import decode_integers, encode_integers
from autoencode.compression.number_columns import (
    Parts,
    integers_of,
    parse_head,
    read_numbers,
    read_values,
    store_values,
    write_numbers,
)
from autoencode.compression.numbers import Numbers, Values
from autoencode.compression.packing import join, pack, split
from autoencode.compression.pixel_part import are_pictures, decode_pixels, encode_pixels
from autoencode.compression.plans import require
from autoencode.compression.quantising import aligned, quantise, quantise_plainly
from autoencode.compression.table_planning import Column
from autoencode.errors import DataError
from autoencode.strict_json import write_json

__all__ = ["MOST_COLUMNS", "decode_array", "encode_array"]

# Rows of more values are not taken as columns: planning each takes too long.
MOST_COLUMNS = 1024
_MOST_PIXELS = 256
# Values that are turned from columns to rows at a time.
_TURNED = 1 << 15
# A matrix of more columns may be a picture, whose neighbours say as much.
_NARROW = 128
_STORED, _STORED_BY_COLUMN, _COLUMNS, _WHOLE, _FIELD, _COLUMNS_AS_FIELD, _PICTURES = range(7)


def encode_array(
    values: Values, inner: Sequence[int], errors: Sequence[float], effort: Effort
) -> bytes:
    """Code rows of an array.

    Parameters
    ----------
    values : ndarray, shape (n_rows, n_columns)
        Of one of `NUMBER_TYPES`, in the machine's byte order.
    inner : sequence of int
        The shape of each row.
    errors : sequence of float
        The bound of each column; 0 keeps every bit.
    effort : Effort
        How much to try.

    Returns
    -------
    bytes
        One byte for the method, then the rest.
    """
    n_rows, n_columns = values.shape
    offers = []
    as_columns = _is_table(n_rows, inner, n_columns, effort)
    shape = field_shape((n_rows, *inner))
    as_field = shape is not None and len(set(errors)) == 1 and _is_field(inner, effort)
    modelled = bool(values.size) and not effort.stored_only
    if modelled and as_columns:
        columns = [np.ascontiguousarray(values[:, place]) for place in range(n_columns)]
        offers += _encode_columns(columns, errors, effort, _is_narrow(n_rows, n_columns, effort))
    if modelled and shape is not None and as_field:
        offers.append(bytes([_FIELD]) + _encode_field(values, shape, errors[0], effort))
        learned = _encode_pictures(values, shape, errors[0], effort, min(map(len, offers)))
        if learned is not None:
            offers.append(bytes([_PICTURES]) + learned)
    if modelled and not as_columns and not (as_field and effort.fast):
        whole = [np.ascontiguousarray(values).ravel()]
        ((_, *rest),) = _encode_columns(whole, [min(errors)], effort, True)
        offers.append(bytes([_WHOLE, *rest]))
    if not (offers and any(errors) and effort.fast):
        # Within a bound, too: nothing may be larger than it is without loss.
        beat = math.inf if effort.patient or not offers else min(len(offer) for offer in offers)
        offers += _stored(values, effort, beat)
    best = min(offers, key=len)
    if modelled and as_columns and any(errors) and best[0] in (_STORED, _STORED_BY_COLUMN):
        # What repeats exactly may no longer where columns are rounded each by itself.
        best = min(best, _encode_exact(columns, errors, effort), key=len)
    return best


def _stored(values: Values, effort: Effort, beat: float) -> list[bytes]:
    """Return the numbers as they are, by rows and by columns."""
    by_row = bytes([_STORED]) + store_values(values, fast=effort.fast, beat=beat)
    if min(values.shape) < 2:
        return [by_row]
    turned = np.ascontiguousarray(values.T)
    beat = beat if effort.patient else min(beat, len(by_row))
    return [by_row, bytes([_STORED_BY_COLUMN]) + store_values(turned, fast=effort.fast, beat=beat)]


def _is_table(n_rows: int, inner: Sequence[int], n_columns: int, effort: Effort) -> bool:
    """Whether a model of each column may pay for the time of making it."""
    most = MOST_COLUMNS if len(inner) == 1 or effort.patient else _MOST_PIXELS
    return n_columns <= most and (n_columns <= 64 or n_columns <= 4 * n_rows)


def _is_narrow(n_rows: int, n_columns: int, effort: Effort) -> bool:
    """Whether each column may be predicted from those before it."""
    return n_columns <= _NARROW or 4 * n_columns <= n_rows or effort.patient


def _is_field(inner: Sequence[int], effort: Effort) -> bool:
    """Whether neighbours may say more than columns: what a matrix's do is tried if slow."""
    return not effort.fast or len(inner) != 1


def _encode_field(values: Values, shape: FieldShape, error: float, effort: Effort) -> bytes:
    parts, head = _as_one(values, error)
    fields = encode_fields(parts.columns, shape, effort) if parts.columns else b""
    return join([head, fields, *parts.buffers])


def _as_one(values: Values, error: float) -> tuple[Parts, bytes]:
    """Return all values as a single column of integers, and the head of a block."""
    flat = np.ascontiguousarray(values).ravel()
    return _written([quantise(flat, error)], [flat], [error], EFFORTS["fast"])


def _encode_pictures(
    values: Values, shape: FieldShape, error: float, effort: Effort, limit: int
) -> bytes | None:
    if not are_pictures(shape):
        return None
    parts, head = _as_one(values, error)
    coded = encode_pixels(parts.columns, shape, effort, limit - len(head))
    return None if coded is None else join([head, coded, *parts.buffers])


def _encode_columns(
    columns: Sequence[Values], errors: Sequence[float], effort: Effort, narrow: bool
) -> list[bytes]:
    """Code columns given each other if there are few, and by neighbours in the matrix."""
    pairs = list(zip(columns, errors, strict=True))
    numbers = aligned([quantise(column, error) for column, error in pairs])
    parts, packed = _written(numbers, columns, errors, effort)
    coded = b""
    n_rows = len(columns[0])
    if parts.columns:
        coded = encode_integers(parts.columns, n_rows, effort, modelled=narrow)
    found = [bytes([_COLUMNS]) + join([packed, coded, *parts.buffers])]
    shape = field_shape((n_rows, len(parts.columns)))
    if (
        shape is not None
        and min(len(columns), len(parts.columns)) > 1
        and not (narrow and effort.fast)
    ):
        woven = np.array([column.values for column in parts.columns], np.int64).T.ravel()
        whole = [Column(woven, max(column.size for column in parts.columns))]
        coded = encode_fields(whole, shape, effort)
        found.append(bytes([_COLUMNS_AS_FIELD]) + join([packed, coded, *parts.buffers]))
    if not narrow and any(errors) and columns[0].dtype.kind == "f":
        numbers = [quantise_plainly(column, error) for column, error in pairs]
        parts, packed = _written(numbers, columns, errors, effort)
        coded = encode_integers(parts.columns, n_rows, effort, modelled=False)
        found.append(bytes([_COLUMNS]) + join([packed, coded, *parts.buffers]))
    return found


def _encode_exact(columns: Sequence[Values], errors: Sequence[float], effort: Effort) -> bytes:
    """Pack columns of integers that keep every bit."""
    numbers = aligned([quantise(column, 0.0) for column in columns])
    parts, packed = _written(numbers, columns, errors, effort)
    coded = b""
    if parts.columns:
        coded = encode_integers(parts.columns, len(columns[0]), effort, modelled=False)
    return bytes([_COLUMNS]) + join([packed, coded, *parts.buffers])


def _written(
    numbers: Sequence[Numbers],
    columns: Sequence[Values],
    errors: Sequence[float],
    effort: Effort,
) -> tuple[Parts, bytes]:
    """Return the columns of integers and the head of a block."""
    parts = Parts(fast=effort.fast)
    described = [
        write_numbers(found, parts, column, error)
        for found, column, error in zip(numbers, columns, errors, strict=True)
    ]
    head = write_json({"c": described, "n": len(parts.columns)}, "a block")
    return parts, pack(head.encode())


def decode_array(
    data: bytes,
    n_rows: int,
    inner: Sequence[int],
    dtype: np.dtype[Any],
    errors: Sequence[float],
    stop: int | None = None,
) -> Values:
    """Return rows of an array.

    Parameters
    ----------
    data : bytes
        As `encode_array` returned it.
    n_rows : int
        How many must be in it.
    inner : sequence of int
        The shape of each row.
    dtype : dtype
        Their type.
    errors : sequence of float
        The bound of each column.
    stop : int, optional
        How many of the first columns are asked for; the others may be anything.

    Returns
    -------
    ndarray, shape (n_rows, n_columns)
        The values.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    require(len(data) > 0, "a block is empty")
    method, body = data[0], data[1:]
    n_columns = prod(inner)
    count = n_rows * n_columns
    if method == _STORED:
        return read_values(body, count, dtype).reshape(n_rows, n_columns)
    if method == _STORED_BY_COLUMN:
        return read_values(body, count, dtype).reshape(n_columns, n_rows).T
    if method in (_FIELD, _PICTURES):
        shape = field_shape((n_rows, *inner))
        require(shape is not None, "a block of no field claims to be one")
        pictures = method == _PICTURES
        (whole,) = _decode_columns(body, count, errors[:1], dtype, shape, pictures=pictures)
        return whole.reshape(n_rows, n_columns)
    known = (_COLUMNS, _WHOLE, _COLUMNS_AS_FIELD)
    require(method in known, "a block names an unknown method")
    if method == _WHOLE:
        (whole,) = _decode_columns(body, count, [min(errors)], dtype)
        return whole.reshape(n_rows, n_columns)
    if method == _COLUMNS_AS_FIELD:
        columns = _decode_columns(body, n_rows, errors, dtype, woven=True)
    else:
        columns = _decode_columns(body, n_rows, errors, dtype, stop=stop)
    return _side_by_side(columns, n_rows, n_columns, dtype)


def _side_by_side(
    columns: Sequence[Values], n_rows: int, n_columns: int, dtype: np.dtype[Any]
) -> Values:
    """Put columns side by side, some rows at a time, which stay in a cache; 0 beyond them."""
    found = np.zeros((n_rows, n_columns), dtype)
    together = max(256, _TURNED // max(1, n_columns))
    for start in range(0, n_rows, together):
        rows = slice(start, start + together)
        pieces = [column[rows] for column in columns]
        if pieces:
            found[rows, : len(pieces)] = np.array(pieces, dtype).T
    return found


def _decode_columns(
    body: bytes,
    n_rows: int,
    errors: Sequence[float],
    dtype: np.dtype[Any],
    shape: FieldShape | None = None,
    *,
    stop: int | None = None,
    woven: bool = False,
    pictures: bool = False,
) -> list[Values]:
    pieces = split(body)
    require(len(pieces) >= 2, "a block has too few pieces")
    head, coded, *buffers = pieces
    described, n_integers = parse_head(head, 3 * len(errors))
    require(len(described) == len(errors), "a block has another number of columns")
    integers: Any = ()
    if pictures and shape is not None:
        require(n_integers == 1, "pictures have another number of columns")
        integers = decode_pixels(coded, shape)
    elif n_integers and shape is not None:
        integers = decode_fields(coded, n_integers, n_rows, shape)
    elif n_integers and woven:
        matrix = field_shape((n_rows, n_integers))
        if matrix is None:
            raise DataError("a block of no field claims to be one")
        flat = decode_fields(coded, 1, n_rows * n_integers, matrix)
        integers = flat.reshape(n_rows, n_integers).T
    elif n_integers:
        upto = None if stop is None else sum(integers_of(item) for item in described[:stop])
        integers = decode_integers(coded, n_integers, n_rows, upto)
    columns, stored = iter(integers), iter(buffers)
    return [
        read_numbers(item, columns, stored, dtype, n_rows, error)[0]
        for item, error in zip(described[:stop], errors, strict=stop is None)
    ]
