"""Choosing the whole numbers for a column; the bound is checked on what will be read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.compression.numbers import BoolArray, Numbers, Transform, Values, exceeds, to_bits
from autoencode.errors import SpecError

__all__ = [
    "absolute_bound",
    "aligned",
    "check_bound",
    "quantise",
    "quantise_plainly",
    "same_bits",
    "shortened",
]

_MOST_LEVELS = 1 << 16
_MOST_SPACES, _SHARPNESS = 4096, 64
# Of so many spaces more of a sample would be alike.
_MOST_DISTINCT = 0.85
# Where more spaces are taken together than this and as many again, they say little.
_MOST_TOGETHER = 2
_TRIED = 2000
# Share of values that may be stored by their bits so that the others fit a coarser grid.
_MOST_VERBATIM = 0.02
_DECIMALS = 12
_WIDEST_SIZE = 1 << 62
_COUNTED_BITS = 16
# What stands in the file about a column of exceptions.
_MASK_BITS = 400.0
# What a digit in a block's head takes once packed.
_DIGIT_BITS = 5.0
_FEW_ROWS = 4096


def check_bound(error: float, name: str) -> float:
    """Return a bound if it is one.

    Raises
    ------
    SpecError
        If it is negative or not finite.
    """
    if not 0 <= error < math.inf:
        raise SpecError(f"{name} is {error!r}; give a finite number, at least 0")
    return float(error)


def absolute_bound(values: Values, relative: float) -> float:
    """Return a bound given as a share of the range of finite values."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size or not relative:
        return 0.0
    low, high = float(finite.min()), float(finite.max())
    bound = relative * (high / 2 - low / 2) * 2
    return shortened(bound, len(values)) if math.isfinite(bound) else 0.0


def shortened(number: float, n_rows: int) -> float:
    """Return a number of few decimal digits that is at most this one, if that is above 0.

    It has three digits for a few thousand rows, five for more, to whose bits each counts.
    """
    if not number > 1e-290:
        return number
    digits = 2 if n_rows <= _FEW_ROWS else 4
    short = float(f"{number:.{digits}e}")
    if short > number:
        unit = 10.0 ** (math.floor(math.log10(short)) - digits)
        short = float(f"{short - unit:.{digits}e}")
    return short if 0 < short <= number else number


def same_bits(first: Values, second: Values) -> BoolArray:
    """Tell where two arrays of one type hold the same bits."""
    if first.dtype.kind != "f":
        return np.asarray(first == second)
    kind = f"u{first.dtype.itemsize}"
    return np.asarray(first.view(kind) == second.view(kind))


def quantise(values: Values, error: float) -> Numbers:
    """Turn a column into whole numbers that give it back within a bound.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Of one of `NUMBER_TYPES`, in the machine's byte order.
    error : float
        The largest absolute difference allowed; 0 keeps every bit.

    Returns
    -------
    Numbers
        NaN, infinities, -0.0 and what no whole number gives back are stored by their bits.
    """
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "b":
        return _checked(Transform("offset"), values, values.astype(np.int64), 0.0)
    if values.dtype.kind in "iu":
        return _whole(values, error)
    return _real(values, error)


def quantise_plainly(values: Values, error: float) -> Numbers:
    """Turn a column of floats into steps of twice a bound from its smallest value.

    Columns that were scaled alike are then alike, which `quantise`, who chooses for each by
    itself, may spoil.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Floats.
    error : float
        The bound; steps of 0 suit none.

    Returns
    -------
    Numbers
        As `quantise` returns them, for values that these steps do not suit.
    """
    ordinary = np.isfinite(values)
    if not error or not ordinary.any():
        return quantise(values, error)
    safe = np.where(ordinary, values, values[np.flatnonzero(ordinary)[0]])
    found = next(_grids(values, safe, error), None)
    fits = found is not None and len(found.verbatim) <= _MOST_VERBATIM * values.size
    return found if found is not None and fits else quantise(values, error)


def _whole(values: Values, error: float) -> Numbers:
    if not values.size:
        return _checked(Transform("offset"), values, values.astype(np.int64), 0.0)
    low = int(values.min())
    above = values.astype(np.uint64) - np.uint64(low % (1 << 64))
    reach = min(math.floor(error), 1 << 53)
    step = max(1, int(np.gcd.reduce(above)) or 1)
    if 2 * reach + 1 > step:
        step = 2 * reach + 1
        integers = (above + np.uint64(reach)) // np.uint64(step)
    else:
        integers = above // np.uint64(step)
    found = _checked(Transform("offset", low, step), values, integers.astype(np.int64), error)
    distinct = _few_levels(values) if not reach else None
    if distinct is not None and 16 * len(distinct) < found.size:
        ranks = np.searchsorted(distinct, values)
        return _checked(Transform("levels", levels=distinct), values, ranks, 0.0)
    return found


def _few_levels(values: Values) -> Values | None:
    """Return the distinct values, if they are few beside the rows."""
    most = min(_MOST_LEVELS, values.size // 4)
    if len(np.unique(values[:: max(1, values.size // _TRIED)])) > most:
        return None
    distinct = np.unique(values)
    return distinct if len(distinct) <= most else None


def _real(values: Values, error: float) -> Numbers:
    zero = np.zeros(values.shape, values.dtype)
    ordinary = np.isfinite(values) & ~((values == 0) & ~same_bits(values, zero))
    if not ordinary.any():
        return _checked(Transform("bits"), values, np.zeros(values.shape, np.int64), error)
    offers = list(_offers(values, ordinary, error))
    spaced = _evenly_spaced(values, ordinary, error) if error else None
    known = [offer.size for offer in offers if offer.transform.kind == "decimal"]
    if spaced is not None and spaced.size < min(known, default=_WIDEST_SIZE):
        return spaced
    few = _few_levels(values[ordinary])
    smallest = min((found.size for found in offers), default=_WIDEST_SIZE)
    if few is not None and (16 * len(few) < smallest or (not error and not offers)):
        ranks = np.searchsorted(few, np.where(ordinary, values, few[0]))
        offers.append(_checked(Transform("levels", levels=few), values, ranks, 0.0))
        return offers[-1]
    if not offers or (smallest >= 1 << 48 and not error):
        offers.append(_bits(values, ordinary))
    return min(offers, key=_expected_bits)


def _expected_bits(found: Numbers) -> float:
    """Return about what a column takes: the entropy of its integers, head and exceptions."""
    n_rows = found.integers.size
    low_bits = max(0, (found.size - 1).bit_length() - _COUNTED_BITS)
    counts = np.bincount(found.integers >> low_bits) if found.size < 1 << 62 else np.ones(n_rows)
    share = counts[counts > 0] / n_rows
    bits = n_rows * (low_bits - float((share * np.log2(share)).sum()))
    way = found.transform
    if way.kind == "decimal" and way.step > 1:
        bits += _DIGIT_BITS * (len(str(way.low)) + len(str(way.step)))
    exceptions = len(found.verbatim)
    if exceptions:
        where = math.log2(n_rows / exceptions) + 1.5
        bits += exceptions * (8.0 * found.verbatim.dtype.itemsize + where) + _MASK_BITS
    return bits


def _offers(values: Values, ordinary: BoolArray, error: float) -> Iterator[Numbers]:
    """Yield ways that keep the bound with few exceptions."""
    typical = np.flatnonzero(ordinary)
    safe = np.where(ordinary, values, values[typical[0]])
    decimals = _decimals(safe[ordinary])
    if decimals is not None:
        yield _decimal(values, safe.astype(np.float64), decimals, error)
    if error:
        yield from _grids(values, safe, error)
        bits = _bits(values, ordinary)
        if bits.size < 1 << 48:
            yield bits


def _decimals(values: Values) -> int | None:
    """Return with how many decimals nearly all values are written; None if with too many."""
    sample = values[:: max(1, values.size // _TRIED)]
    for decimals in range(_DECIMALS + 1):
        if _fits(sample, decimals) and _fits(values, decimals):
            return decimals
    return None


def _fits(values: Values, decimals: int) -> bool:
    scale = 10.0**decimals
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.rint(values.astype(np.float64) * scale)
        again = (whole / scale).astype(values.dtype)
        wrong = ~((again == values) & (np.abs(whole) < 1 << 52))
    return int(wrong.sum()) <= _MOST_VERBATIM * values.size


def _decimal(values: Values, safe: npt.NDArray[np.float64], decimals: int, error: float) -> Numbers:
    whole = np.rint(np.clip(safe * 10.0**decimals, -(2.0**52), 2.0**52)).astype(np.int64)
    low = int(whole.min())
    reach = math.floor(error * 10.0**decimals * (1 + 1e-9))
    step = 2 * reach + 1
    if reach:
        integers = (whole - low + reach) // step
    else:
        step = max(1, int(np.gcd.reduce(whole - low)) or 1)
        integers = (whole - low) // step
    return _checked(Transform("decimal", low, step, decimals), values, integers, error)


def _evenly_spaced(values: Values, ordinary: BoolArray, error: float) -> Numbers | None:
    """Count even spaces, as whole numbers that were scaled have, one by one or so many together.

    Decimals of enough places stand for where they begin and how wide they are.
    """
    safe = np.where(ordinary, values, values[np.flatnonzero(ordinary)[0]])
    sample = safe[:: max(1, safe.size // _TRIED)]
    if safe.size > _MOST_SPACES and len(np.unique(sample)) > _MOST_DISTINCT * len(sample):
        return None
    distinct, place = np.unique(safe, return_inverse=True)
    if not 2 < len(distinct) <= _MOST_SPACES:
        return None
    exact = distinct.astype(np.float64)
    low, span = float(exact[0]), float(exact[-1] / 2 - exact[0] / 2) * 2
    if not math.isfinite(span):
        return None
    gaps = np.diff(exact)
    counts = np.concatenate([[0.0], np.cumsum(np.rint(gaps / gaps.min()))])
    if counts[-1] > _MOST_LEVELS:
        return None
    width = span / counts[-1]
    sharp = min(width / _SHARPNESS, error / 8)
    decimals = max(0, math.ceil(-math.log10(sharp / counts[-1])))
    if decimals > _DECIMALS:
        return None
    unit = 10.0**decimals
    off = np.abs(low + width * counts - exact).max()
    whole = max(abs(low), width * counts[-1]) * unit
    if off > width / _SHARPNESS or whole >= 1 << 52:
        return None
    reach = max(0, math.floor(error / width - 4 / _SHARPNESS))
    if reach > _MOST_TOGETHER or (not reach and width < 2 * error):
        return None
    together = 2 * reach + 1
    integers = (counts.astype(np.int64) + reach) // together
    transform = Transform("decimal", round(low * unit), together * round(width * unit), decimals)
    found = _checked(transform, values, integers[place], error)
    return found if len(found.verbatim) == int((~ordinary).sum()) else None


def _grids(values: Values, safe: Values, error: float) -> Iterator[Numbers]:
    """Yield whole steps of twice the bound, and narrower ones where the type is coarse."""
    exact = safe.astype(np.float64)
    low, high = float(exact.min()), float(exact.max())
    coarse = float(np.abs(np.spacing(np.abs(safe).max()))) / 2
    for step in (2 * error, shortened(2 * (error - coarse), len(values))):
        if step <= 0 or not max(-low, high) / step < 1 << 50:
            continue
        places = np.rint(exact / step).astype(np.int64)
        first = int(places.min())
        integers = places - first
        transform = Transform("grid", first, step)
        decoded = transform.decode(integers, values.dtype)
        wrong = np.isfinite(values) & exceeds(decoded, safe, error)
        if wrong.any():
            # A neighbour may lie within the bound once it is rounded to the type.
            toward = np.where(decoded.astype(np.float64) < exact, 1, -1)
            integers = np.maximum(np.where(wrong, integers + toward, integers), 0)
        yield _checked(transform, values, integers, error)
        if not wrong.any():
            return


def _bits(values: Values, ordinary: BoolArray) -> Numbers:
    numbers = to_bits(values)
    low = int(numbers[ordinary].min())
    integers = np.where(ordinary, numbers, low) - low
    return _checked(Transform("bits", low), values, integers, 0.0)


def _checked(transform: Transform, values: Values, integers: Any, error: float) -> Numbers:
    """Decode as a reader will, and store what breaks the bound by its bits."""
    integers = np.asarray(integers, np.int64)
    wide = bool(values.size) and int(integers.min()) < 0
    decoded = transform.decode(integers, values.dtype)
    wrong = ~same_bits(decoded, values)
    if error:
        unlike = np.isfinite(values) & np.isfinite(decoded)
        unlike &= ~((values == 0) & np.signbit(values)) if values.dtype.kind == "f" else True
        wrong[unlike] = exceeds(decoded[unlike], values[unlike], error)
    size = 1 << 63 if wide else int(integers.max(initial=0)) + 1
    if not wrong.any():
        return Numbers(transform, integers, size, None, values[:0])
    kept = np.where(wrong, 0, integers)
    size = 1 << 63 if wide else int(kept.max(initial=0)) + 1
    return Numbers(transform, kept, size, wrong.astype(np.int64), values[wrong])


def aligned(columns: Sequence[Numbers]) -> list[Numbers]:
    """Count columns of the same steps from the same number, where that costs little.

    What is equal in two columns, such as a pixel that moved on, is then the same whole
    number, which general packers find.

    Parameters
    ----------
    columns : sequence of Numbers
        Of one array.

    Returns
    -------
    list of Numbers
        The same values.
    """
    lows: dict[tuple[str, float, int], int] = {}
    for column in columns:
        way = column.transform
        lows[_steps(way)] = min(lows.get(_steps(way), way.low), way.low)
    return [_counted_from(column, lows[_steps(column.transform)]) for column in columns]


def _steps(way: Transform) -> tuple[str, float, int]:
    return way.kind, way.step, way.decimals


def _counted_from(column: Numbers, low: int) -> Numbers:
    way = column.transform
    unit = 1 if way.kind == "grid" else int(way.step)
    moved, rest = divmod(way.low - low, unit)
    fits = column.size + moved <= max(4 * column.size, 256)
    if way.kind not in ("offset", "decimal", "grid") or rest or not moved or not fits:
        return column
    integers = column.integers + moved
    if column.special is not None:
        integers[column.special > 0] = 0
    return replace(
        column,
        transform=replace(way, low=low),
        integers=integers,
        size=column.size + moved,
    )
