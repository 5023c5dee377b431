"""Columns of integers -> the smallest of several codings, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autoencode.compression.effort import Effort
from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked_part import encode_masked
from autoencode.compression.plans import require
from autoencode.compression.stored_integers import load_integers, store_integers
from autoencode.compression.table_model import Layout
from autoencode.compression.table_part import decode_table, encode_table
from autoencode.compression.table_planning import Column, Planned, plan_table

__all__ = ["best_plan", "decode_integers", "encode_integers"]

_TABLE, _BY_ROW, _BY_COLUMN, _LEARNED = range(4)
_SERIES_ROWS = 64
# Lanes are as long as leaves many of them, which makes them fast, if that is not too short.
_LONGEST_LANE, _MIDDLE_LANE, _SHORTEST_LANE = 256, 64, 16
_MANY_LANES, _FEWEST_LANES = 1024, 32
# What looking at earlier rows has to save: reading them back takes many short steps.
_WORTH_STEPS = 0.99
# Whole matrices are packed in one piece up to this many integers: xz takes a second for a
# few million.
_MOST_PACKED = 1 << 24


def encode_integers(
    columns: Sequence[Column], n_rows: int, effort: Effort, *, modelled: bool = True
) -> bytes:
    """Code columns of integers together.

    Parameters
    ----------
    columns : sequence of Column
        At least one, all of as many rows.
    n_rows : int
        Their number.
    effort : Effort
        How much to try.
    modelled : bool
        Whether to predict columns from each other, too.

    Returns
    -------
    bytes
        One byte for the method, then the rest.
    """
    if not modelled:
        return min(_packed(columns, math.inf), key=len)
    planned, layout = best_plan(columns, n_rows, effort)
    offers = [bytes([_TABLE]) + encode_table(columns, planned, layout)]
    if len(columns) * n_rows <= _MOST_PACKED and not effort.fast:
        offers.extend(_packed(columns, math.inf if effort.patient else len(offers[0])))
    best = min(offers, key=len)
    learned = encode_masked(columns, planned, layout, effort, len(best) - 1)
    return best if learned is None else bytes([_LEARNED]) + learned


def best_plan(columns: Sequence[Column], n_rows: int, effort: Effort) -> tuple[Planned, Layout]:
    """Plan the linear model, without and with earlier rows."""
    layouts = [Layout(n_rows)]
    if n_rows >= _SERIES_ROWS and effort.series:
        length = max(_SHORTEST_LANE, min(_LONGEST_LANE, n_rows // _MANY_LANES))
        length = max(length, min(_MIDDLE_LANE, n_rows // _FEWEST_LANES))
        layouts.append(Layout(n_rows, 2 if len(columns) <= 16 else 1, length))
    found, layout = plan_table(columns, layouts[0], effort), layouts[0]
    for other in layouts[1:]:
        series = plan_table(columns, other, effort)
        if series.n_bytes < _WORTH_STEPS * found.n_bytes:
            found, layout = series, other
    return found, layout


def _packed(columns: Sequence[Column], beat: float) -> list[bytes]:
    matrix = np.array([column.values for column in columns], np.int64)
    by_row = bytes([_BY_ROW]) + store_integers(matrix.T.ravel(), beat=beat)
    return [by_row, bytes([_BY_COLUMN]) + store_integers(matrix.ravel(), beat=beat)]


def decode_integers(data: bytes, n_columns: int, n_rows: int, stop: int | None = None) -> IntArray:
    """Return columns of integers.

    Parameters
    ----------
    data : bytes
        As `encode_integers` returned it.
    n_columns, n_rows : int
        What must be in it.
    stop : int, optional
        How many of the first columns are asked for; the others may be anything.

    Returns
    -------
    ndarray of int64, shape (n_columns, n_rows)
        Cells that a mask leaves out have any value.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    require(len(data) > 0, "coded integers are cut off")
    method = data[0]
    if method in (_TABLE, _LEARNED):
        return decode_table(data[1:], n_columns, n_rows, stop, learned=method == _LEARNED)
    require(method in (_BY_ROW, _BY_COLUMN), "integers name an unknown method")
    flat = load_integers(data[1:], n_columns * n_rows, 1 << 63)
    if method == _BY_ROW:
        return flat.reshape(n_rows, n_columns).T
    return flat.reshape(n_columns, n_rows)
