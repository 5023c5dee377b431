"""Whole-number weights of networks -> coded bytes and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoencode.compression.column_coding import ReadingChannel, WritingChannel
from autoencode.compression.context_choice import residual_bits
from autoencode.compression.frequencies import FAMILIES, SCALES, IntArray
from autoencode.compression.packing import join, split
from autoencode.compression.plans import ColumnPlan, require, within
from autoencode.compression.residual_coding import ResidualCoder
from autoencode.compression.sparse_weights import code_sparse, sparse_bits

__all__ = ["LARGEST_WEIGHT", "WeightReader", "load_weights", "store_weights", "weight_bytes"]

# Weights lie within so much of 0.
LARGEST_WEIGHT = (1 << 20) - 1
_MIDDLE = 1 << 20
# Lanes, as a power of 2: more are read faster, and take more bytes.
_MOST_LANES, _WEIGHTS_PER_LANE = 6, 512
_WIDEST = len(SCALES) + 4 * 16
# Beside the families of frozen tables: an adaptive one.
_KINDS = (*FAMILIES, "sparse")


def store_weights(groups: Sequence[IntArray]) -> bytes:
    """Code groups of weights, each by the table that suits it best, a frozen or an adaptive one.

    Parameters
    ----------
    groups : sequence of ndarray of int64
        Each flat; within `LARGEST_WEIGHT` of 0.

    Returns
    -------
    bytes
        Joined pieces: the number of lanes as a power of 2, a family and a scale for each group;
        symbols; bits.
    """
    total = sum(map(len, groups))
    lanes = max(1, min(_MOST_LANES, (total // _WEIGHTS_PER_LANE).bit_length()))
    channel = WritingChannel(1 << lanes)
    head = bytearray()
    for group in groups:
        family, scale, _ = _best(group)
        head += bytes([_KINDS.index(family), scale])
        _code(family, scale, len(group), group, channel)
    symbols, bits = channel.finish()
    lanes = channel.writer.lanes.bit_length() - 1
    return join([bytes([lanes, *head]), symbols, bits])


class WeightReader:
    """Reads what `store_weights` returned, group after group.

    Parameters
    ----------
    data : bytes
        As it was returned.

    Attributes
    ----------
    n_groups : int
        How many there are.

    Raises
    ------
    DataError
        If it is damaged.
    """

    def __init__(self, data: bytes) -> None:
        self._head, symbols, bits = split(data, 3)
        require(len(self._head) % 2 == 1, "a network is cut off")
        self.n_groups = len(self._head) // 2
        lanes = 1 << within(self._head[0], 0, _MOST_LANES, "the number of lanes")
        self._channel = ReadingChannel(symbols, bits, lanes)
        self._place = 0

    def take(self, count: int) -> IntArray:
        """Return the next group, of so many weights."""
        require(self._place < self.n_groups, "a network has another number of weights")
        family, scale = self._head[1 + 2 * self._place : 3 + 2 * self._place]
        self._place += 1
        require(family < len(_KINDS) and scale < _WIDEST, "a network's tables are not known")
        return _code(_KINDS[family], scale, count, None, self._channel)

    def finish(self) -> None:
        """Check that everything was read."""
        require(self._place == self.n_groups, "a network has another number of weights")
        self._channel.finish()


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
    reader = WeightReader(data)
    require(reader.n_groups == len(counts), "a network has another number of weights")
    found = [reader.take(count) for count in counts]
    reader.finish()
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
    offers.append((sparse_bits(group), "sparse", 0))
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
    if family == "sparse":
        return code_sparse(count, known, channel)
    plan = ColumnPlan("residual", 2 * _MIDDLE, _MIDDLE, family=family, scales=[scale])
    wanted = None if known is None else known + _MIDDLE
    predictions = np.full(count, 16 * _MIDDLE)
    return ResidualCoder(plan).code(None, predictions, None, wanted, channel) - _MIDDLE
