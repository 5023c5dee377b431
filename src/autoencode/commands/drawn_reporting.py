"""From a fitted model to what a report shows of new rows and of the meaning of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.data.rows import Rows
from autoencode.errors import DataError
from autoencode.exploration import strongest_components
from autoencode.preprocess.table_rows import TableRows
from autoencode.report_parts.data import picture_shape_of
from autoencode.report_parts.drawn import Drawn
from autoencode.report_parts.explored import Explored, Map
from autoencode.report_parts.pictures import value_limits
from autoencode.report_parts.shown_rows import ShownRows
from autoencode.report_parts.table_content import take_rows
from autoencode.sample_quality import SampleQuality, evaluate_samples
from autoencode.sampling import drawn_pieces, part_numbers

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["drawn_of", "explored_of"]

_PICTURES, _TABLE_ROWS = 32, 8
_PICTURE_WAYS, _TABLE_WAYS = 4, 2
_PICTURE_STEPS, _TABLE_STEPS = 9, 5
_FEWEST, _MOST_MEASURED, _MOST_TRAINING = 20, 1_000, 5_000
_MOST_VALUES = 1_024_000
"""Values of the rows that figures are measured by, at most: of a variational model."""
_CHEAP_VALUES = 20_000
"""Of any other model: figures are measured where they cost a few seconds."""
_MAP_ROWS, _MAP_STEPS = 1_000, 12
_COMPONENTS, _SPAN, _COMPONENT_STEPS = 6, 2.0, 9

Numbers = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]


def drawn_of(
    model: Autoencoder, rows: Rows, shown: Rows, numbers: Numbers, *, unseen: bool
) -> Drawn | None:
    """Return new rows beside real ones; None if the model does not know what to draw from.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    rows : Rows
        What it was fitted to.
    shown : Rows
        What the report shows rows of.
    numbers : ndarray of int
        Which of these.
    unseen : bool
        Whether the fit never saw those.
    """
    state = model._state
    if state.sampler is None or not len(numbers):
        return None
    pictures = _shape(model) is not None
    count = min(len(numbers), _PICTURES if pictures else _TABLE_ROWS)
    n_ways = min(len(numbers) // 2, _PICTURE_WAYS if pictures else _TABLE_WAYS)
    chosen = np.random.default_rng(0).permutation(len(numbers))[: max(count, 2 * n_ways)]
    pairs = numbers[chosen[: 2 * n_ways]].reshape(2, -1)
    n_steps = _PICTURE_STEPS if pictures else _TABLE_STEPS
    limits = _limits(model, shown, numbers)
    quality, said = _quality(model, rows, shown, numbers, unseen=unseen)
    return Drawn(
        real=_as_shown(model, _cells(shown, numbers[chosen[:count]]), limits),
        drawn=_as_shown(model, _new(model, count), limits),
        ways=_as_shown(model, _ways(model, shown, pairs, n_steps), limits),
        n_steps=n_steps + 2,
        way_numbers=tuple((int(a), int(b)) for a, b in pairs.T),
        quality=quality,
        rows_said=said,
    )


def explored_of(model: Autoencoder, shown: Rows, numbers: Numbers) -> Explored | None:
    """Return what codes mean; None if the model does not know how they vary.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    shown : Rows
        What the report shows rows of.
    numbers : ndarray of int
        Which of these.
    """
    state = model._state
    if state.sampler is None or not len(numbers):
        return None
    chosen = numbers[:: -(-len(numbers) // _MAP_ROWS)]
    rows, limits = _some(shown, chosen), _limits(model, shown, chosen)
    components = tuple(strongest_components(state, state.sampler, _COMPONENTS))
    codes = model._dense_codes(rows)
    middle = int(np.square(codes - codes.mean(0)).sum(1).argmin())
    steps = model._traversed(components, codes[middle], n_steps=_COMPONENT_STEPS, span=_SPAN)
    return Explored(
        map=_map(model, rows, limits),
        components=components,
        steps=_as_shown(model, _gathered(model, steps), limits),
        n_steps=_COMPONENT_STEPS,
        span=_SPAN,
        around=int(chosen[middle]),
        row_numbers=chosen,
    )


def _map(model: Autoencoder, rows: Rows, limits: tuple[float, float]) -> Map | None:
    if model.n_components_ < 2:
        return None
    found = model._mapped(rows, _MAP_STEPS)
    return Map(
        positions=found.positions,
        across=found.across,
        up=found.up,
        grid=_as_shown(model, _gathered(model, found.grid), limits),
        counts=found.counts,
        explained=found.explained,
        are_codes=model.n_components_ == 2,
    )


def _shape(model: Autoencoder) -> tuple[int, int, int] | None:
    if model._state.schema is not None:
        return None
    return picture_shape_of(model._state.facts["sample_shape"])


def _limits(model: Autoencoder, rows: Rows, numbers: Numbers) -> tuple[float, float]:
    """Return what is drawn as black and as white in all pictures."""
    return (0.0, 1.0) if _shape(model) is None else value_limits(rows.take(numbers))


def _some(rows: Rows, numbers: Numbers) -> Rows:
    """Return some rows."""
    if isinstance(rows, TableRows):
        return take_rows(rows, numbers)
    found = rows.take(numbers).reshape(len(numbers), *rows.sample_shape)
    return Rows(found, kind="numpy", names=rows.names)


def _cells(rows: Rows, numbers: Numbers) -> Array:
    """Return some rows as cells of a table, or as numbers."""
    if isinstance(rows, TableRows):
        return np.asarray(rows.cells[numbers])
    return np.asarray(rows.take(numbers), dtype=np.float64)


def _gathered(model: Autoencoder, values: Array) -> Array:
    """Return decoded values as cells of a table; those of arrays as they are."""
    schema = model._state.schema
    return values if schema is None else schema.gather(values, clip=True)


def _new(model: Autoencoder, count: int) -> Array:
    """Return new rows as cells, or as numbers; always the same."""
    state, generator = model._state, np.random.default_rng(0)
    assert state.sampler is not None
    parts = part_numbers(state.sampler, count, None, generator)
    noise = model._noisy("auto")
    return np.concatenate(list(drawn_pieces(state, parts, generator, noise=noise)))


def _ways(model: Autoencoder, shown: Rows, pairs: Numbers, n_steps: int) -> Array:
    """Return ways between rows, each with the rows themselves at its ends."""
    first, last = (_some(shown, side) for side in pairs)
    decoded = _gathered(model, model._interpolated(first, last, n_steps))
    ends = [_cells(shown, side)[:, None] for side in pairs]
    ways = np.concatenate([ends[0], decoded.reshape(pairs.shape[1], n_steps, -1), ends[1]], 1)
    return ways.reshape(-1, ways.shape[2])


def _as_shown(model: Autoencoder, rows: Array, limits: tuple[float, float]) -> ShownRows:
    """Return rows, given as cells or as numbers, as a reader sees them."""
    schema, shape = model._state.schema, _shape(model)
    if schema is not None:
        return ShownRows(table=schema.table(rows))
    if shape is not None:
        return ShownRows(pictures=rows, shape=shape, limits=limits)
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = [f"column {place}" for place in range(rows.shape[1])]
    columns = [pa.array(column) for column in np.ascontiguousarray(rows.T)]
    return ShownRows(table=pa.Table.from_arrays(columns, names=[str(name) for name in names]))


def _quality(
    model: Autoencoder, rows: Rows, shown: Rows, numbers: Numbers, *, unseen: bool
) -> tuple[SampleQuality | None, str]:
    """Return figures of new rows, and on which rows; or None and why there are none."""
    if not unseen:
        return None, "there are no rows that the fit never saw"
    if len(numbers) < _FEWEST:
        return None, (
            f"{len(numbers)} rows that the fit never saw are too few, {_FEWEST} are needed: "
            "autoencode.evaluate_samples measures by any others"
        )
    most = _MOST_VALUES if model._state.composition.variational else _CHEAP_VALUES
    some = numbers[:_MOST_MEASURED]
    if len(some) * model._state.n_values > most:
        return None, "rows are many or long; autoencode.evaluate_samples measures them"
    real = _some(shown, some)
    others = np.arange(rows.n_rows)
    if shown is rows:
        others = np.setdiff1d(others, np.asarray(model._state.facts["claim_rows"], dtype=np.int64))
    others = others[:: -(-len(others) // _MOST_TRAINING)]
    new = _new(model, len(some))
    schema = model._state.schema
    try:
        found = evaluate_samples(
            real,
            new.reshape(len(new), *shown.sample_shape) if schema is None else schema.table(new),
            training=_some(rows, others) if len(others) else None,
        )
    except DataError as error:
        return None, str(error)
    said = (
        f"on {len(some):,} held-out rows and as many drawn ones, training rows being "
        f"{len(others):,}; real rows: one half of the held-out against the other"
    )
    return found, said
