"""A second decoder of tables, in whole numbers of Python alone and one value at a time.

It shares nothing with the package but how a plan is read. What it and the package agree on
is what the format says.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

from autoencode.compression.packing import split
from autoencode.compression.plans import ColumnPlan
from autoencode.compression.stored_plans import PlanReader

TOTAL = 1 << 16
FRACTIONS, N_SCALES = 4, 30
SPREADS = [
    92, 110, 130, 155, 184, 219, 261, 310, 369, 438, 521, 620, 737, 877, 1043, 1240, 1475, 1754,
    2086, 2480, 2950, 3508, 4172, 4961, 5899, 7016, 8343, 9922, 11799, 14031,
]  # fmt: skip


class Symbols:
    """States that take turns, and words."""

    def __init__(self, data: bytes, lanes: int) -> None:
        self.lanes, self.narrow, self.turns = lanes, 0, -1
        if lanes >= 32:
            self.turns, data = int.from_bytes(data[:4], "little"), data[4:]
        heads = [data[5 * lane : 5 * lane + 5] for lane in range(lanes)]
        self.states = [int.from_bytes(head, "little") for head in heads]
        tail = data[5 * lanes :]
        self.words = [tail[at] | tail[at + 1] << 8 for at in range(0, len(tail), 2)][::-1]

    def take(self, at: int, frequencies: list[int]) -> int:
        """Return the next symbol, the one at this place in its group."""
        lane = at % self.lanes
        if lane == 0:
            if self.turns == 0:
                self.begin_tail()
            self.turns -= 1
        lane %= self.narrow or self.lanes
        state = self.states[lane]
        target, symbol = state & (TOTAL - 1), 0
        while target >= frequencies[symbol]:
            target -= frequencies[symbol]
            symbol += 1
        state = frequencies[symbol] * (state >> 16) + target
        if state < 1 << 24:
            state = state << 16 | self.words.pop()
        self.states[lane] = state
        return symbol

    def begin_tail(self) -> None:
        """Take the words that lanes hold which go no further."""
        self.narrow = self.lanes // 8
        while len(self.states) > self.narrow:
            high, low = divmod(self.states.pop() - (1 << 24), 1 << 16)
            self.words += [high, low]


class Bits:
    def __init__(self, data: bytes) -> None:
        self.value, self.place = int.from_bytes(data, "little"), 0

    def take(self, width: int) -> int:
        found = self.value >> self.place & ((1 << width) - 1)
        self.place += width
        return found


def normalised(weights: list[int]) -> list[int]:
    total = sum(weights)
    found = [1 + weight * (TOTAL - len(weights)) // total for weight in weights]
    found[found.index(max(found))] += TOTAL - sum(found)
    return found


def exponential(numerator: int, denominator: int) -> int:
    if numerator > 43 * denominator:
        return 0
    total = term = 1 << 62
    place = 0
    while term:
        place += 1
        term = term * numerator // (denominator * place)
        total += term
    return (1 << 124) // total


@cache
def shape(family: str, scale: int, fraction: int) -> tuple[list[int], int]:
    spread, one, centre = SPREADS[scale], 1 << 62, 2 * fraction + 1
    reach = spread * 12 // 1024 + 3
    if family in ("logistic", "laplace"):
        power, tails = one, []
        for _ in range(8 * reach + 21):
            tails.append((power << 62) // (one + power) if family == "logistic" else power >> 1)
            power = power * exponential(128, spread) >> 62

        def below(value: int) -> int:
            edge = 8 * value - 4 - centre
            return tails[-edge] if edge < 0 else one - tails[edge]

        inside = [below(value + 1) - below(value) for value in range(-reach, reach + 2)]
        weights = [*inside, below(-reach) + one - below(reach + 2)]
    else:
        inside = []
        for value in range(-reach, reach + 2):
            square = (8 * value - centre) ** 2 * 128 * 128
            if family == "heavy":
                share = one * spread * spread // (spread * spread + square)
                inside.append(share * share >> 62)
            else:
                inside.append(exponential(square, 2 * spread * spread))
        weights = [*inside, inside[0] + inside[-1]]
    return normalised([weight >> 20 for weight in weights]), reach


class Levels:
    def __init__(self, n_contexts: int, size: int) -> None:
        self.size, self.seen, self.built = size, 0, 0
        self.counts = [[0] * size for _ in range(n_contexts)]
        self.build()

    def begin_call(self) -> None:
        grown = self.seen - self.built
        if grown and grown >= self.built // 2:
            self.build()

    def build(self) -> None:
        own = [sum(column) for column in zip(*self.counts, strict=True)]
        unit = 4 * self.size
        self.tables = [
            normalised(
                [
                    unit * count + unit * 2 * whole // max(1, self.seen) + 4
                    for count, whole in zip(counts, own, strict=True)
                ]
            )
            for counts in self.counts
        ]
        self.built = self.seen


def row_groups(n_rows: int, mode: str) -> Iterator[list[int]]:
    start, size = 0, 16 if mode == "levels" else 8192
    while start < n_rows:
        stop = min(n_rows, start + size)
        yield list(range(start, stop))
        start, size = stop, min(8192, max(size, stop // 2))


class Decoder:
    """Decodes one table without columns that are stored otherwise."""

    def __init__(self, data: bytes, n_columns: int, n_rows: int) -> None:
        head, symbols, bits = split(data)
        reader = PlanReader(head)
        self.lags, self.length, self.lanes = reader.take(3)
        self.n_rows = n_rows
        self.plans = reader.plans(range(n_columns), n_columns, self.lags)
        self.symbols, self.bits = Symbols(symbols, self.lanes), Bits(bits)
        self.values = [[0] * n_rows for _ in range(n_columns)]
        self.surprises = [[0] * n_rows for _ in range(n_columns)]
        self.seen_spread = 0
        self.levels = {
            place: Levels(plan.n_contexts, plan.size)
            for place, plan in enumerate(self.plans)
            if plan.mode == "levels"
        }

    def run(self) -> list[list[int]]:
        if self.lags:
            for step in range(min(self.length, self.n_rows)):
                for place in range(len(self.plans)):
                    self.group(place, list(range(step, self.n_rows, self.length)))
        else:
            for place, plan in enumerate(self.plans):
                for rows in row_groups(self.n_rows, plan.mode):
                    self.group(place, rows)
        return self.values

    def group(self, place: int, rows: list[int]) -> None:
        plan = self.plans[place]
        kept = rows
        if plan.mask >= 0:
            for row in rows:
                self.values[place][row] = plan.centre
            kept = [row for row in rows if self.values[plan.mask][row] == 0]
        if kept:
            self.column(place, plan, kept)

    def column(self, place: int, plan: ColumnPlan, rows: list[int]) -> None:
        predictions = [self.prediction(plan, row) for row in rows]
        contexts = [
            self.context(place, plan, row, prediction)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        if plan.mode == "levels":
            values = self.by_levels(place, contexts)
        else:
            values = self.by_residuals(plan, predictions, contexts)
        for row, value, prediction in zip(rows, values, predictions, strict=True):
            self.values[place][row] = value
            off = abs(value - (prediction + 8 >> 4))
            self.surprises[place][row] = min(off * 8 >> plan.exponent, 255)

    def by_levels(self, place: int, contexts: list[int]) -> list[int]:
        tables = self.levels[place]
        tables.begin_call()
        values = [
            self.symbols.take(at, tables.tables[context]) for at, context in enumerate(contexts)
        ]
        for context, value in zip(contexts, values, strict=True):
            tables.counts[context][value] += 1
        tables.seen += len(values)
        return values

    def by_residuals(
        self, plan: ColumnPlan, predictions: list[int], contexts: list[int]
    ) -> list[int]:
        coded = []
        for at, (prediction, context) in enumerate(zip(predictions, contexts, strict=True)):
            scale, width = plan.scales[context], 0
            while scale >= N_SCALES:
                scale, width = scale - 4, width + 1
            moved = prediction >> width
            table, reach = shape(plan.family, scale, (moved & 15) * FRACTIONS >> 4)
            symbol = self.symbols.take(at, table)
            escaped = symbol == 2 * reach + 2
            coded.append((escaped, symbol - reach + (moved >> 4), width))
        lows = [0 if escaped else self.bits.take(width) for escaped, _, width in coded]
        lengths = [self.bits.take(6) if escaped else 0 for escaped, _, _ in coded]
        return [
            self.bits.take(length) if escaped else (high << width) + low
            for (escaped, high, width), low, length in zip(coded, lows, lengths, strict=True)
        ]

    def prediction(self, plan: ColumnPlan, row: int) -> int:
        total = 0
        for at, weight in zip(plan.regressors, plan.weights, strict=True):
            lag, column = divmod(at, len(self.plans))
            if not (lag and row % self.length < lag):
                total += weight * (self.values[column][row - lag] - self.plans[column].centre)
        moved = total >> plan.shift if plan.shift >= 0 else total << -plan.shift
        return moved + 16 * plan.centre

    def context(self, place: int, plan: ColumnPlan, row: int, prediction: int) -> int:
        found = 0
        for source in plan.sources:
            if source.kind == "prediction":
                seen = prediction
            elif source.kind == "spread":
                seen = self.seen_spread
            elif source.kind == "surprises":
                seen = sum(self.surprises[at][row] for at in range(max(0, place - 4), place))
            else:
                lag, column = divmod(source.place, len(self.plans))
                outside = lag and row % self.length < lag
                if source.kind == "value":
                    values, default = self.values, self.plans[column].centre
                else:
                    values, default = self.surprises, 0
                seen = default if outside else values[column][row - lag]
            found = found * (len(source.edges) + 1) + bisect_right(source.edges, seen)
        return found
