"""A table of integers -> bytes and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencode.compression.column_coding import ReadingChannel, WritingChannel
from autoencode.compression.frequencies import IntArray
from autoencode.compression.masked import MaskedNetwork
from autoencode.compression.packing import join, split
from autoencode.compression.plans import check_order, require, within
from autoencode.compression.stored_integers import load_integers, store_integers
from autoencode.compression.stored_plans import PlanReader, store_plans
from autoencode.compression.table_model import Layout, TableWalk
from autoencode.compression.table_planning import Column, Planned

__all__ = ["MOST_LANES", "decode_table", "encode_table", "lanes_for"]

MOST_LANES = 4096
_BYTES_PER_LANE = 256
_MOST_LAGS = 2


def lanes_for(n_bytes: float) -> int:
    """Return how many lanes the coder uses: each costs little over a byte, and makes it faster."""
    exponent = round(float(np.log2(max(n_bytes, 1) / _BYTES_PER_LANE)))
    return 1 << max(2, min(exponent, MOST_LANES.bit_length() - 1))


def encode_table(
    columns: Sequence[Column],
    planned: Planned,
    layout: Layout,
    network: MaskedNetwork | None = None,
) -> bytes:
    """Code a table of integers by its plan.

    Parameters
    ----------
    columns : sequence of Column
        The integers.
    planned : Planned
        As `plan_table` made it for this layout.
    layout : Layout
        The order of rows.
    network : MaskedNetwork, optional
        What adds to predictions; it comes first in what is returned.

    Returns
    -------
    bytes
        Plan, columns stored otherwise, coded symbols and bits.
    """
    given = {
        place: columns[place].values
        for place, plan in enumerate(planned.plans)
        if plan.mode == "given"
    }
    channel = WritingChannel(lanes_for(planned.n_bytes))
    known = np.array([column.values for column in columns], np.int64)
    TableWalk(planned.plans, layout, given, network).run(channel, known)
    stored = [store_integers(values) for values in given.values()]
    learned = [] if network is None else [network.to_bytes()]
    symbols, bits = channel.finish()
    first = (layout.lags, layout.length, channel.writer.lanes)
    head = store_plans(planned.plans, range(len(columns)), first)
    return join([*learned, head, symbols, bits, *stored])


def decode_table(
    data: bytes, n_columns: int, n_rows: int, stop: int | None = None, *, learned: bool = False
) -> IntArray:
    """Return the integers of a table.

    Parameters
    ----------
    data : bytes
        As `encode_table` returned it.
    n_columns, n_rows : int
        What must be in it.
    stop : int, optional
        How many of the first columns are asked for: others may stay 0, and that what comes
        after them is whole is not checked.
    learned : bool
        Whether it was coded with a network.

    Returns
    -------
    ndarray of int64, shape (n_columns, n_rows)
        Cells that a mask leaves out have some value of their column's range.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    pieces = split(data)
    learned_bytes = pieces.pop(0) if learned and pieces else b""
    require(len(pieces) >= 3, "a table has too few pieces")
    reader = PlanReader(pieces[0])
    first = reader.take(3)
    lags = within(first[0], 0, _MOST_LAGS, "the number of lags")
    length = within(first[1], 1 if lags else 0, max(n_rows, 1), "the length of lanes")
    lanes = within(first[2], 1, MOST_LANES, "the number of lanes")
    plans = reader.plans(range(n_columns), n_columns, lags)
    reader.finish()
    check_order(plans, lags)
    places = [place for place, plan in enumerate(plans) if plan.mode == "given"]
    require(len(pieces) == 3 + len(places), "a table has not one piece per stored column")
    given = {
        place: load_integers(piece, n_rows, plans[place].size)
        for place, piece in zip(places, pieces[3:], strict=True)
    }
    channel = ReadingChannel(pieces[1], pieces[2], lanes)
    network = MaskedNetwork.from_bytes(learned_bytes, n_columns, lags) if learned else None
    walk = TableWalk(plans, Layout(n_rows, lags, length), given, network)
    found = walk.run(channel, None, stop)
    if stop is None:
        channel.finish()
    return found
