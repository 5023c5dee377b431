"""Stacks of small pictures of whole numbers -> bytes and back, by a network of neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from autoencode.compression.column_coding import Channel, ReadingChannel, WritingChannel
from autoencode.compression.effort import Effort
from autoencode.compression.field_model import FieldShape
from autoencode.compression.frequencies import IntArray
from autoencode.compression.packing import join, split
from autoencode.compression.pixel_network import (
    AROUND,
    N_INPUTS,
    PICTURE_INPUTS,
    UNIT,
    Matrix,
    PictureRows,
    PixelNetwork,
    positions,
)
from autoencode.compression.pixel_tables import PixelTables
from autoencode.compression.plans import require
from autoencode.compression.table_part import lanes_for
from autoencode.compression.table_planning import Column

__all__ = ["decode_pixels", "encode_pixels"]

LARGEST_SIZE = 256
_FEWEST_PICTURES, _FEWEST_BYTES = 200, 20_000
_SMALLEST_SIDE = 6
_TRAINED_PIXELS = 1 << 20
_UNITS = (64, 32)
# Pixels that see something are picked out if they are no more than this share.
_MOSTLY = 0.9
_SEED = 0


def encode_pixels(
    columns: Sequence[Column], shape: FieldShape, effort: Effort, limit: int
) -> bytes | None:
    """Train a network on pictures and code them with it.

    Parameters
    ----------
    columns : sequence of Column
        The integers of all pixels: a single column without cells left out.
    shape : FieldShape
        How they lie.
    effort : Effort
        How long it may train.
    limit : int
        What they take otherwise, in bytes.

    Returns
    -------
    bytes or None
        With the network in it; None if that is not fewer than the limit.
    """
    fits = len(columns) == 1 and columns[0].mask < 0 and 2 < columns[0].size <= LARGEST_SIZE
    if not fits or not are_pictures(shape) or limit < _FEWEST_BYTES or not effort.training_steps:
        return None
    pictures = columns[0].values.reshape(shape.slices, shape.rows, shape.width)
    network = _trained(pictures, columns[0].size, effort)
    channel = WritingChannel(lanes_for(limit))
    _walk(network, shape, channel, pictures)
    symbols, bits = channel.finish()
    numbers = (columns[0].size, channel.writer.lanes)
    head = b"".join(number.to_bytes(2, "little") for number in numbers)
    coded = join([head, network.to_bytes(), symbols, bits])
    return coded if len(coded) < limit else None


def are_pictures(shape: FieldShape) -> bool:
    """Say whether a field is a stack of many small pictures side by side."""
    small = min(shape.rows, shape.width) >= _SMALLEST_SIDE
    return shape.slices >= _FEWEST_PICTURES and small and not shape.stacked and shape.reach == 1


def decode_pixels(data: bytes, shape: FieldShape) -> IntArray:
    """Return the integers of pictures.

    Parameters
    ----------
    data : bytes
        As `encode_pixels` returned it.
    shape : FieldShape
        How they lie.

    Returns
    -------
    ndarray of int64, shape (1, n_values)
        All pixels.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    head, weights, symbols, bits = split(data, 4)
    require(len(head) == 4, "pictures are cut off")
    size, lanes = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:], "little")
    require(2 < size <= LARGEST_SIZE and lanes > 0, "pictures claim to be what they are not")
    require(are_pictures(shape), "a block of no pictures claims to hold some")
    network = PixelNetwork.from_bytes(weights, size)
    channel = ReadingChannel(symbols, bits, lanes)
    found = _walk(network, shape, channel, None)
    channel.finish()
    return found.reshape(1, -1)


def _walk(
    network: PixelNetwork, shape: FieldShape, channel: Channel, known: IntArray | None
) -> IntArray:
    """Code all pictures side by side, pixel after pixel."""
    state = PictureRows(shape.slices, shape.rows, shape.width)
    tables = PixelTables(network.size, network.scale)
    by_place = None if known is None else np.ascontiguousarray(np.moveaxis(known, 0, 2))
    for row, place, seen, at in _pixels(state):
        predictions, outputs = _said(network, seen, at)
        wanted = None if by_place is None else by_place[row, place]
        state.put(row, place, tables.code(predictions, outputs, wanted, channel))
    return state.pictures


def _said(network: PixelNetwork, seen: Matrix, at: tuple[int, int]) -> tuple[Matrix, Matrix]:
    """Return predictions and what the network says; once for all that see nothing but 0."""
    lit = seen.max(axis=0) > 0
    some = lit.nonzero()[0]
    if len(some) > _MOSTLY * len(lit):
        predictions, inputs = network.inputs(seen, *at)
        return predictions, network.outputs(inputs)
    # The last one sees nothing.
    few = np.zeros((len(seen), len(some) + 1), np.float32)
    for own, line in zip(few, seen, strict=True):
        line.take(some, out=own[:-1], mode="clip")
    predictions, inputs = network.inputs(few, *at)
    outputs = network.outputs(inputs)
    where = np.full(len(lit), len(some))
    where[some] = np.arange(len(some))
    return predictions.take(where), np.stack([line.take(where) for line in outputs])


def _pixels(state: PictureRows) -> Iterator[tuple[int, int, Matrix, tuple[int, int]]]:
    """Yield row, place, what is seen and where that is, in the order of coding."""
    rows, places = positions(state.rows, state.width)
    for row in range(state.rows):
        state.begin_row(row)
        for place in range(state.width):
            yield row, place, state.seen(row, place), (rows[row], places[place])


def _trained(pictures: IntArray, size: int, effort: Effort) -> PixelNetwork:
    from autoencode.compression.masked_training import TrainingBudget
    from autoencode.compression.pixel_training import train_pixels

    n_pictures, rows, width = pictures.shape
    count = min(n_pictures, max(1, _TRAINED_PIXELS // (rows * width)))
    chosen = np.random.default_rng(_SEED).choice(n_pictures, count, replace=False)
    some = pictures[np.sort(chosen)]
    seen = np.empty((rows, width, PICTURE_INPUTS, count), np.uint8)
    state = PictureRows(count, rows, width)
    for row, place, found, _ in _pixels(state):
        seen[row, place] = found
        state.put(row, place, some[:, row, place])
    linear, scale = _linear(seen, some, size)
    blank = PixelNetwork(size, linear, scale, (), ())
    table = np.empty((rows, width, count, N_INPUTS + 2), np.float32)
    heights, across = positions(rows, width)
    for row in range(rows):
        for place in range(width):
            own = seen[row, place].astype(np.float32)
            predictions, inputs = blank.inputs(own, heights[row], across[place])
            table[row, place, :, :N_INPUTS] = inputs.T / UNIT
            table[row, place, :, N_INPUTS] = predictions / 16
            table[row, place, :, N_INPUTS + 1] = some[:, row, place]
    budget = TrainingBudget(effort.training_steps, effort.training_seconds)
    flat = table.reshape(-1, N_INPUTS + 2)
    return train_pixels(flat, linear, (size, scale, _UNITS), pictures.size, budget)


def _linear(seen: npt.NDArray[np.uint8], pictures: IntArray, size: int) -> tuple[IntArray, int]:
    """Return weights of neighbours by least squares, and the usual distance in sixteenths."""
    n_around = len(AROUND)
    wanted = np.moveaxis(pictures, 0, 2).astype(np.float64).ravel()
    products = np.zeros((n_around + 1, n_around + 1))
    towards = np.zeros(n_around + 1)
    rows = seen[:, :, :n_around].astype(np.float32)
    flat = np.moveaxis(rows, 2, 0).reshape(n_around, -1)
    for start in range(0, flat.shape[1], 1 << 16):
        piece = np.vstack(
            [flat[:, start : start + (1 << 16)], np.ones(len(wanted[start : start + (1 << 16)]))]
        )
        products += piece @ piece.T
        towards += piece @ wanted[start : start + (1 << 16)]
    ridge = 1e-3 * np.trace(products) / len(products) * np.eye(len(products)) * 1e-3
    solved = np.linalg.solve(products + ridge, towards)
    off = float(np.abs(wanted - solved[:-1] @ flat - solved[-1]).mean())
    whole = np.rint(solved[:-1] * 4096)
    added = np.rint(solved[-1] * 4096 / size)
    return np.append(whole, added).astype(np.int64), max(8, round(16 * 1.25 * off))
