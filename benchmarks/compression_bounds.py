"""Values off by more than their bound: ours, beside rounding to steps and casting.

Hard values of every type: offsets that float32 hardly holds, lognormal with a spread of 5,
subnormal, decimals at ties, whole numbers that were scaled or are at the limits of their types,
with NaN, infinities and -0.0 among them. Differences are judged exactly. Within a bound no value
may be off, and what is not finite has to keep its bits.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from autoencode.compression.numbers import exceeds
from autoencode.compression.quantising import quantise, same_bits
from harness import print_table


def cases(rng: np.random.Generator, count: int) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield names, values and bounds."""
    tiny = float(np.finfo(np.float32).smallest_subnormal)
    yield "offset 1e5, float32", (1e5 + rng.normal(size=count)).astype(np.float32), 5e-3
    yield "offset 1e3, float32", (1e3 + rng.normal(size=count)).astype(np.float32), 1e-4
    yield "lognormal, float32", np.exp(5 * rng.normal(size=count)).astype(np.float32), 1e-3
    yield "lognormal, float64", np.exp(5 * rng.normal(size=count)), 1e-3
    yield "subnormal, float32", (rng.integers(0, 999, count) * tiny).astype(np.float32), 3 * tiny
    yield "half", rng.normal(size=count).astype(np.float16), 1e-3
    yield "decimals", np.round(rng.normal(size=count), 3), 5e-3
    yield "ties", rng.integers(0, 4000, count) / 4, 0.25
    scaled = (rng.integers(0, 3000, count) - 1234.5) / 567.8
    yield "scaled, float32", scaled.astype(np.float32), 1e-4
    yield "scaled, together", scaled, 3e-3
    yield "int8", rng.integers(-128, 128, count).astype(np.int8), 3.0
    yield "int64", rng.integers(-(1 << 63), (1 << 63) - 1, count), 1e12
    yield "uint64", rng.integers(0, (1 << 64) - 1, count, dtype=np.uint64), 1e12


def spoiled(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Return floats with some that are special."""
    if values.dtype.kind == "f":
        places = rng.integers(0, len(values), max(4, len(values) // 1000))
        values[places] = rng.choice(np.array([np.nan, np.inf, -np.inf, -0.0]), len(places))
    return values


def naive(values: np.ndarray, error: float) -> int:
    """Count what breaks the bound after rounding to steps and casting."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low = float(finite.min())
    steps = np.rint((finite.astype(np.float64) - low) / (2 * error))
    with np.errstate(invalid="ignore"):
        decoded = (low + steps * 2 * error).astype(values.dtype)
    return int(exceeds(decoded, finite, error).sum())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--values", type=int, default=10**8, help="in all")
    parser.add_argument("--piece", type=int, default=10**6, help="values of one column")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    ours: dict[str, int] = {}
    others: dict[str, int] = {}
    counts: dict[str, int] = {}
    while sum(counts.values()) < arguments.values:
        for name, values, error in cases(rng, arguments.piece):
            values = spoiled(rng, values)
            decoded = quantise(values, error).decoded(values.dtype)
            finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones(len(values), bool)
            wrong = int(exceeds(decoded[finite], values[finite], error).sum())
            wrong += int((~same_bits(decoded[~finite], values[~finite])).sum())
            ours[name] = ours.get(name, 0) + wrong
            others[name] = others.get(name, 0) + naive(values, error)
            counts[name] = counts.get(name, 0) + len(values)
    rows = [(name, f"{counts[name]:,}", ours[name], f"{others[name]:,}") for name in counts]
    print_table("Values off by more than the bound", ("values", "number", "ours", "naive"), rows)
    print(f"{sum(counts.values()):,} values, {sum(ours.values())} violations")


if __name__ == "__main__":
    main()
