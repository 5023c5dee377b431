"""What a model that takes noise out learns of noise from the rows of its fit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from autoencode.corruptions import real_values
from autoencode.data.rows import Rows
from autoencode.noise import Exchanges, LevelCurve, Others, are_few, usual
from autoencode.noise_finding import units_of
from autoencode.noise_parts.description import Array
from autoencode.noise_sample import numbers_of
from autoencode.preprocess.filling import Moments
from autoencode.row_restoring import complete_rows
from autoencode.state import State

__all__ = ["exchanges_of", "level_curve", "usual_values"]

_CURVE_ROWS = 1000
_DESCRIBED_ROWS = 4000


def level_curve(state: State, rows: Rows) -> dict[str, Any]:
    """Return how strong noise seems in rows that the model was fitted to, as plain values."""
    if state.precision is None:
        return asdict(LevelCurve((0.0,), ((0.0, 0.0, 0.0),)))
    parts = [(moments, values) for moments, values, _ in _judged(state, rows)]
    return asdict(LevelCurve.measure(parts))


def usual_values(state: State, rows: Rows) -> list[list[float]]:
    """Return common values and how often they are out of place in rows without noise."""
    if state.precision is None:
        return []
    found = _judged(state, rows)
    mean = np.concatenate(
        [Others.noisy(moments, part).expected(part) for moments, part, _ in found]
    )
    values, raw = (np.concatenate([part[place] for part in found]) for place in (1, 2))
    _, others = units_of(state, None, real_values(state.composition.layout))
    if others.around is not None:
        mean = others.around.beside(mean, values)
    scales = others.widths(values, mean)
    return [list(pair) for pair in usual(mean, values, raw, scales).items()]


def _judged(state: State, rows: Rows) -> list[tuple[Moments, Array, Array]]:
    """Return some rows, scaled and as they are, each with moments that predict them.

    These are the model's, or, where rows are few for their columns, those of other rows.
    """
    real = real_values(state.composition.layout)
    few = are_few(rows.n_rows, len(real))
    every = 1 if few else -(-rows.n_rows // _CURVE_ROWS)
    places = np.arange(0, rows.n_rows, every)
    raw = rows.take(places).astype(np.float64, copy=False)
    values, raw = complete_rows(state, raw)[:, real], numbers_of(rows, raw, real, places)
    others = Others.apart(values) if few else units_of(state, None, real)[1]
    each = _CURVE_ROWS // len(others.parts)
    return [(moments, values[part][:each], raw[part][:each]) for part, moments in others.parts]


def exchanges_of(state: State, rows: Rows) -> dict[str, Any] | None:
    """Return how rows are in which nothing is exchanged, as plain values; None: not known."""
    every = -(-rows.n_rows // _DESCRIBED_ROWS)
    raw = rows.take(np.arange(0, rows.n_rows, every)).astype(np.float64, copy=False)
    found = Exchanges.fitting(raw[:, real_values(state.composition.layout)])
    return None if found is None else asdict(found)
