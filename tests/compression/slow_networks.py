"""A second decoder of tables with networks of columns, in whole numbers of Python alone.

Like `slow_decoder`, it shares nothing with the package but how a plan is read.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from autoencode.compression.packing import join, split, unpack_integers
from autoencode.compression.plans import ColumnPlan

found = importlib.util.spec_from_file_location(
    "slow_decoder", Path(__file__).with_name("slow_decoder.py")
)
assert found is not None
assert found.loader is not None
slow_decoder = importlib.util.module_from_spec(found)
found.loader.exec_module(slow_decoder)

if TYPE_CHECKING:
    from slow_decoder import Decoder
else:
    Decoder = slow_decoder.Decoder

FAMILIES = ("logistic", "laplace", "normal", "heavy")
VALUE, INNOVATION, LEVEL = range(3)
MIDDLE = 1 << 20


def clipped(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def weights_of(data: bytes, counts: list[int]) -> list[list[int]]:
    """Return groups of stored weights."""
    (exponent, *settings), symbols, bits = split(data)
    lanes = 1 << exponent
    own = SimpleNamespace(
        symbols=slow_decoder.Symbols(symbols, lanes), bits=slow_decoder.Bits(bits), lanes=lanes
    )
    groups = []
    for at, count in enumerate(counts):
        plan = SimpleNamespace(family=FAMILIES[settings[2 * at]], scales=[settings[2 * at + 1]])
        values = Decoder.by_residuals(own, plan, [16 * MIDDLE] * count, [0] * count)  # type: ignore[arg-type]
        groups.append([value - MIDDLE for value in values])
    return groups


class Network:
    """Inputs, units and outputs, and what sees what."""

    def __init__(self, data: bytes, n_columns: int) -> None:
        head, weights = split(data)
        numbers = unpack_integers(head[4:], int.from_bytes(head[:4], "little")).tolist()
        n_inputs, n_outputs = numbers[:2]
        rest, per_degree = numbers[2:-n_columns], numbers[-n_columns:]
        self.inputs = [rest[at : at + 5] for at in range(0, 5 * n_inputs, 5)]
        rest = rest[5 * n_inputs :]
        outputs = [rest[at : at + 3] for at in range(0, 3 * n_outputs, 3)]
        self.of = {column: at for at, (column, _, _) in enumerate(outputs)}
        self.scaled = [(factor, shift) for _, factor, shift in outputs]
        degrees = [place + 1 if counted else 0 for _, place, _, _, counted in self.inputs]
        units = [degree for degree, count in enumerate(per_degree) for _ in range(count)]
        n_units = len(units)
        self.unit_sees = [[at for at, d in enumerate(degrees) if d <= own] for own in units]
        self.sees_units = [[at for at, d in enumerate(units) if d <= j] for j, _, _ in outputs]
        self.sees_inputs = [[at for at, d in enumerate(degrees) if d <= j] for j, _, _ in outputs]
        inward, outward = sum(map(len, self.unit_sees)), sum(map(len, self.sees_units))
        direct = sum(map(len, self.sees_inputs))
        counts = [inward, n_units, outward, outward, n_outputs, n_outputs, direct, direct]
        groups = weights_of(weights, counts)
        self.inward, self.bias = parted(groups[0], self.unit_sees), groups[1]
        self.outward = [parted(group, self.sees_units) for group in groups[2:4]]
        self.base = groups[4:6]
        self.direct = [parted(group, self.sees_inputs) for group in groups[6:8]]

    def outputs(self, at: int, inputs: list[int]) -> list[int]:
        """Return location and spread of an output, in 1/256."""
        units = {
            unit: clipped(
                weighed(self.inward[unit], self.unit_sees[unit], inputs, self.bias[unit]), 0, 4095
            )
            for unit in self.sees_units[at]
        }
        return [
            clipped(
                weighed(
                    [*self.outward[side][at], *self.direct[side][at]],
                    range(len(self.outward[side][at]) + len(self.direct[side][at])),
                    [*units.values(), *(inputs[place] for place in self.sees_inputs[at])],
                    self.base[side][at],
                ),
                -MIDDLE,
                MIDDLE,
            )
            for side in range(2)
        ]


def parted(flat: list[int], seen: list[list[int]]) -> list[list[int]]:
    """Cut weights into those of each unit or output."""
    rest = iter(flat)
    return [[next(rest) for _ in own] for own in seen]


def weighed(weights: list[int], places: range | list[int], values: list[int], base: int) -> int:
    pairs = zip(weights, places, strict=True)
    return sum(weight * values[place] for weight, place in pairs) + base >> 5


class LearnedDecoder(Decoder):
    """Decodes a table of integers that was coded with a network."""

    def __init__(self, data: bytes, n_columns: int, n_rows: int) -> None:
        network, *others = split(data)
        super().__init__(join(others), n_columns, n_rows)
        self.network = Network(network, n_columns)
        self.innovations = [[0] * n_rows for _ in range(n_columns)]
        self.spreads: dict[int, int] = {}

    def column(self, place: int, plan: ColumnPlan, rows: list[int]) -> None:
        linear = {row: super(LearnedDecoder, self).prediction(plan, row) for row in rows}
        self.spreads = {row: self.said(place, row)[1] for row in rows}
        super().column(place, plan, rows)
        if plan.regressors:
            for row in rows:
                self.innovations[place][row] = 16 * self.values[place][row] - linear[row]

    def prediction(self, plan: ColumnPlan, row: int) -> int:
        place = next(at for at, own in enumerate(self.plans) if own is plan)
        moved = super().prediction(plan, row) + self.said(place, row)[0]
        return clipped(moved, -(1 << 56), 1 << 56)

    def said(self, place: int, row: int) -> tuple[int, int]:
        """Return what the network adds to a prediction, and to a scale."""
        at = self.network.of.get(place)
        if at is None:
            return 0, 0
        inputs = [self.input(item, row) for item in self.network.inputs]
        location, spread = self.network.outputs(at, inputs)
        factor, shift = self.network.scaled[at]
        return location * factor >> shift, clipped(4 * spread + 128 >> 8, -60, 60)

    def input(self, item: list[int], row: int) -> int:
        kind, place, factor, shift, _ = item
        lag, column = divmod(place, len(self.plans))
        if lag and row % self.length < lag:
            return 0
        value = self.values[column][row - lag]
        if kind == LEVEL:
            return 256 if value == factor else 0
        off = value - self.plans[column].centre
        if kind == INNOVATION:
            off = self.innovations[column][row - lag]
        return clipped(clipped(off, -(1 << 40), 1 << 40) * factor >> shift, -2047, 2047)

    def context(self, place: int, plan: ColumnPlan, row: int, prediction: int) -> int:
        self.seen_spread = self.spreads[row]
        return super().context(place, plan, row, prediction)

    def by_residuals(
        self, plan: ColumnPlan, predictions: list[int], contexts: list[int]
    ) -> list[int]:
        scales = [
            clipped(plan.scales[context] + spread, 0, 221)
            for context, spread in zip(contexts, self.spreads.values(), strict=True)
        ]
        moved = SimpleNamespace(family=plan.family, scales=scales)
        return super().by_residuals(moved, predictions, list(range(len(scales))))  # type: ignore[arg-type]
