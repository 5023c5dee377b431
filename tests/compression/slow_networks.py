"""A second decoder of tables with networks of columns, in whole numbers of Python alone.

Like `slow_decoder`, it shares nothing with the package but how a plan is read.
"""

from __future__ import annotations

import importlib.util
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from autoencode.compression.packing import join, split
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
SPARSE = 4
VALUE, INNOVATION, LEVEL = range(3)
MIDDLE = 1 << 20


def clipped(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


class Weights:
    """Groups of stored weights, one after the other."""

    def __init__(self, data: bytes) -> None:
        (exponent, *settings), symbols, bits = split(data)
        self.lanes, self.settings = 1 << exponent, iter(settings)
        self.symbols = slow_decoder.Symbols(symbols, self.lanes)
        self.bits = slow_decoder.Bits(bits)

    def take(self, count: int) -> list[int]:
        family, scale = next(self.settings), next(self.settings)
        if family == SPARSE:
            return self.sparse(count)
        plan = SimpleNamespace(family=FAMILIES[family], scales=[scale])
        values = Decoder.by_residuals(self, plan, [16 * MIDDLE] * count, [0] * count)  # type: ignore[arg-type]
        return [value - MIDDLE for value in values]

    def sparse(self, count: int) -> list[int]:
        tables = slow_decoder.Levels(1, 30)
        found: list[int] = []
        size = 16
        while len(found) < count:
            tables.begin_call()
            own = [
                self.symbols.take(at % self.lanes, tables.tables[0])
                for at in range(min(size, count - len(found)))
            ]
            for symbol in own:
                tables.counts[0][symbol] += 1
            tables.seen += len(own)
            found += [self.sized(symbol) for symbol in own]
            size = min(16384, max(size, len(found) // 2))
        return found

    def sized(self, symbol: int) -> int:
        if not symbol:
            return 0
        long = symbol - 9 if symbol >= 12 else 0
        rest = self.bits.take(1 + long)
        size = (1 << long) + (rest >> 1) if long else symbol
        return -size if rest & 1 else size


class Network:
    """Inputs, units and outputs, and what sees what."""

    def __init__(self, data: bytes, n_columns: int) -> None:
        weights = Weights(data)
        n_inputs, n_outputs, self.bits = weights.take(3)
        kinds, steps, *others = [weights.take(n_inputs) for _ in range(5)]
        self.inputs = list(zip(kinds, accumulate(steps), *others, strict=True))
        columns, *factors = [weights.take(n_outputs) for _ in range(3)]
        outputs = list(accumulate(columns))
        self.of = {column: at for at, column in enumerate(outputs)}
        self.scaled = list(zip(*factors, strict=True))
        units = [degree for degree, n in enumerate(weights.take(n_columns)) for _ in range(n)]
        degrees = [place + 1 if counted else 0 for _, place, _, _, counted in self.inputs]
        self.unit_sees = [[at for at, d in enumerate(degrees) if d <= own] for own in units]
        self.sees_units = [[at for at, d in enumerate(units) if d <= j] for j in outputs]
        self.sees_inputs = [[at for at, d in enumerate(degrees) if d <= j] for j in outputs]

        def parted(sees: list[list[int]]) -> list[list[int]]:
            flat = iter(weights.take(sum(map(len, sees))))
            return [[next(flat) for _ in own] for own in sees]

        self.inward, self.bias = parted(self.unit_sees), weights.take(len(units))
        self.outward = [parted(self.sees_units) for _ in range(2)]
        self.base = [weights.take(n_outputs) for _ in range(2)]
        self.direct = [parted(self.sees_inputs) for _ in range(2)]

    def outputs(self, at: int, inputs: list[int]) -> list[int]:
        """Return location and spread of an output, in 1/256."""
        units = {
            unit: clipped(
                weighed(
                    self.inward[unit], self.unit_sees[unit], inputs, self.bias[unit], self.bits
                ),
                0,
                4095,
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
                    self.bits,
                ),
                -MIDDLE,
                MIDDLE,
            )
            for side in range(2)
        ]


def weighed(
    weights: list[int], places: range | list[int], values: list[int], base: int, bits: int
) -> int:
    pairs = zip(weights, places, strict=True)
    return sum(weight * values[place] for weight, place in pairs) + base >> bits


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

    def input(self, item: tuple[int, ...], row: int) -> int:
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
