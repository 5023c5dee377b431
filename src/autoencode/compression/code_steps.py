"""How finely codes are stored, and how far off what they decode to is."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

__all__ = ["chosen_steps", "distortion", "selected"]

FloatArray = npt.NDArray[np.float64]

# Rows by which steps are chosen, and what storing codes in steps may add to the error.
_SAMPLE_ROWS, _ADDED = 4096, 0.05
_GAIN_ROWS, _MOVED, _MOST_TRIES = 256, 0.05, 60
_SMALLEST_ERROR = 1e-9


def chosen_steps(model: Any, codes: FloatArray, rows: Any) -> FloatArray:
    """Choose the step of each component.

    A component's step is inverse to how far the decoder moves its outputs, in units of their
    scale, when the component moves: each then adds as much error. The common factor is the
    largest of a series, each smaller by the square root of 2, with which the whole distortion
    of at most 4,096 rows grows by at most a twentieth.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    codes : ndarray of float64, shape (n_rows, n_components)
        The codes.
    rows : ndarray or pyarrow.Table
        What they are codes of.

    Returns
    -------
    ndarray of float64, shape (n_components,)
        All above 0.
    """
    places = np.arange(0, len(codes), max(1, -(-len(codes) // _SAMPLE_ROWS)))
    sample = codes[places]
    chosen = rows.take(places) if isinstance(rows, pa.Table) else rows[places]
    gains = _gains(model, sample[:_GAIN_ROWS], codes.std(axis=0))
    spread = codes.std(axis=0) * gains
    factor = 4 * float(spread.max(initial=0)) or 1.0

    def whole(some: FloatArray) -> float:
        found = model.inverse_transform(some)
        return distortion(chosen, selected(found, chosen))[1]

    most = (1 + _ADDED) * whole(sample) + _SMALLEST_ERROR
    for _ in range(_MOST_TRIES):
        steps: FloatArray = factor / gains
        if whole(np.rint(sample / steps) * steps) <= most:
            break
        factor /= 2**0.5
    return steps


def _gains(model: Any, codes: FloatArray, spread: FloatArray) -> FloatArray:
    """Return how far outputs move, in units of their scale, for each unit of a component."""
    decoder = model.decoder_
    found = np.ones(codes.shape[1])
    dtype = decoder.scale.dtype
    with torch.no_grad():
        for place in range(codes.shape[1]):
            moved = _MOVED * max(float(spread[place]), 1e-12)
            ahead, back = (np.array(codes) for _ in range(2))
            ahead[:, place] += moved
            back[:, place] -= moved
            ends = [decoder(torch.as_tensor(end, dtype=dtype)) for end in (ahead, back)]
            slope = (ends[0] - ends[1]).flatten(1) / decoder.scale / (2 * moved)
            found[place] = float(slope.double().square().sum(dim=1).mean().sqrt())
    # What moves nothing may be stored as coarsely as what moves least.
    moving = found[found > 0]
    return np.maximum(found, float(moving.min()) if len(moving) else 1.0)


def selected(found: Any, rows: Any) -> Any:
    """Return what stands for these rows: of a table their columns."""
    return found.select(rows.column_names) if isinstance(rows, pa.Table) else found


def distortion(rows: Any, restored: Any) -> tuple[list[float], float]:
    """Measure how far off rows are.

    Parameters
    ----------
    rows, restored : ndarray or pyarrow.Table
        The rows, and what stands for them; tables of the same columns.

    Returns
    -------
    columns : list of float
        Of each column of a table: the root mean squared error of numbers, else the share of
        cells that differ. Of an array one number: the root mean squared error.
    whole : float
        The mean squared error of a column as a share of its variance, or the share of cells
        that differ, averaged over the columns of a table; of an array the sum of all squared
        errors over that of squared distances from each column's mean. Missing cells do not
        count.
    """
    if not isinstance(rows, pa.Table):
        exact = np.asarray(rows, np.float64).reshape(len(rows), -1)
        off = np.asarray(restored, np.float64).reshape(len(rows), -1) - exact
        # Missing values do not count.
        squared = float(np.nansum(off**2))
        around = float(np.nansum((exact - np.nanmean(exact, axis=0)) ** 2))
        n_known = max(1, int(np.isfinite(off).sum()))
        return [(squared / n_known) ** 0.5], squared / around if around else float(squared > 0)
    pairs = [_of_column(rows.column(name), restored.column(name)) for name in restored.column_names]
    return [own for own, _ in pairs], float(np.mean([share for _, share in pairs] or [0.0]))


def _of_column(column: pa.ChunkedArray, restored: pa.ChunkedArray) -> tuple[float, float]:
    known = pc.and_(column.is_valid(), restored.is_valid())
    column, restored = column.filter(known), restored.filter(known)
    if not len(column):
        return 0.0, 0.0
    numbers = _numbers(column), _numbers(restored)
    if numbers[0] is None or numbers[1] is None:
        share = 1 - float(np.mean([a == b for a, b in _pairs(column, restored)]))
        return share, share
    off = numbers[1] - numbers[0]
    off = off[np.isfinite(off)]
    mean = float(np.mean(off**2)) if len(off) else 0.0
    variance = float(np.nanvar(numbers[0]))
    return mean**0.5, mean / variance if variance else float(mean > 0)


def _pairs(first: pa.ChunkedArray, second: pa.ChunkedArray) -> Any:
    return zip(first.to_pylist(), second.to_pylist(), strict=True)


def _numbers(column: pa.ChunkedArray) -> FloatArray | None:
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        if not pa.types.is_temporal(column.type):
            return None
        wide = pa.int32() if column.type.bit_width == 32 else pa.int64()
        column = column.cast(wide)
    return np.asarray(column.to_numpy(), np.float64)
