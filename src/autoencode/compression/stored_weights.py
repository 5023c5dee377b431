"""Whole-number weights of networks -> coded bytes and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencode.compression.column_coding import (
    ReadingChannel,
    WritingChannel,
    code_residuals,
)
from autoencode.compression.context_choice import residual_bits
from autoencode.compression.frequencies import FAMILIES, SCALES, IntArray
from autoencode.compression.packing import join, split
from autoencode.compression.plans import ColumnPlan, require

__all__ = ["LARGEST_WEIGHT", "load_weights", "store_weights", "weight_bytes"]

# Weights lie within so much of 0.
LARGEST_WEIGHT = (1 << 20) - 1
_MIDDLE = 1 << 20
_LANES = 2
_WIDEST = len(SCALES) + 4 * 16


def store_weights(groups: Sequence[IntArray]) -> bytes:
    """Code groups of weights, each by the frozen table that suits it best.

    Parameters
    ----------
    groups : sequence of ndarray of int64
        Each flat; within `LARGEST_WEIGHT` of 0.

    Returns
    -------
    bytes
        Joined pieces: a family and a scale for each group, symbols, bits.
    """
    channel = WritingChannel(_LANES)
    head = bytearray()
    for group in groups:
        family, scale, _ = _best(group)
        head += bytes([FAMILIES.index(family), scale])
        _code(family, scale, len(group), group, channel)
    return join([bytes(head), channel.writer.finish(), channel.bit_writer.finish()])


def load_weights(data: bytes, counts: Sequence[int]) -> list[IntArray]:
    """Return groups of weights.

    Parameters
    ----------
    data : bytes
        As `store_weights` returned it.
    counts : sequence of int
        How many weights each group must have.

    Raises
    ------
    DataError
        If the bytes are damaged.
    """
    head, symbols, bits = split(data, 3)
    require(len(head) == 2 * len(counts), "a network has another number of weights")
    channel = ReadingChannel(symbols, bits, _LANES)
    found = []
    for place, count in enumerate(counts):
        family, scale = head[2 * place], head[2 * place + 1]
        require(family < len(FAMILIES) and scale < _WIDEST, "a network's tables are not known")
        found.append(_code(FAMILIES[family], scale, count, None, channel))
    channel.finish()
    return found


def weight_bytes(groups: Sequence[IntArray]) -> float:
    """Return about what `store_weights` takes."""
    return 40 + sum(2 + _best(group)[2] / 8 for group in groups)


def _best(group: IntArray) -> tuple[str, int, float]:
    if not len(group):
        return FAMILIES[0], 0, 0.0
    values = group + _MIDDLE
    zero = np.full(len(group), 16 * _MIDDLE)
    middle = 4 * np.log2(max(float(np.abs(group).mean()), 0.05) / 0.09)
    near = np.clip(np.arange(-6, 7) + round(middle), 0, _WIDEST - 1)
    offers = [
        (float(residual_bits(family, zero, scale, values).sum()) / 256, family, scale)
        for family in FAMILIES
        for scale in sorted(set(near.tolist()))
    ]
    bits, family, scale = min(offers, key=lambda offer: offer[0])
    return family, scale, bits


def _code(
    family: str,
    scale: int,
    count: int,
    known: IntArray | None,
    channel: WritingChannel | ReadingChannel,
) -> IntArray:
    if not count:
        return np.zeros(0, np.int64)
    plan = ColumnPlan("residual", 2 * _MIDDLE, _MIDDLE, family=family, scales=[scale])
    wanted = None if known is None else known + _MIDDLE
    predictions = np.full(count, 16 * _MIDDLE)
    return code_residuals(plan, predictions, np.full(count, scale), wanted, channel) - _MIDDLE
