"""New rows of which some cells are given: draws are chosen again by how likely those cells are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from autoencode.errors import AutoencodeError, DataError, SpecError
from autoencode.interfaces import Segment
from autoencode.sampler import Sampler
from autoencode.sampling import PIECE, Decoding, part_numbers
from autoencode.state import State

__all__ = ["Wanted", "drawn_given", "wanted_cells"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_NEAR = 0.05
"""Numbers count as equal to the given one about this close, in deviations of the column."""
_ENOUGH, _MOST_PIECES = 2000.0, 50
_NEGLIGIBLE = 14.0


class Wanted(NamedTuple):
    """What is given of every new row.

    Attributes
    ----------
    runs : tuple of Segment
        The values of the given columns.
    values : ndarray of shape (n_values,)
        What they should be; NaN for all others.
    cells : dict of int to float
        The given cells by their places.
    """

    runs: tuple[Segment, ...]
    values: Array
    cells: dict[int, float]


def wanted_cells(state: State, given: Mapping[Any, Any]) -> Wanted:
    """Check given cells, and return them as values.

    Parameters
    ----------
    state : State
        The fitted model.
    given : mapping
        From the names of columns (of an array without names: their places) to cells.

    Raises
    ------
    SpecError
        If there is no such column, or it cannot be given.
    DataError
        If a cell is missing, or is not one that its column has.
    """
    values = np.full(state.n_values, np.nan)
    cells: dict[int, float] = {}
    columns = set()
    for name, cell in given.items():
        column, found, spread = _one(state, name, cell)
        if np.isnan(spread).any():
            raise DataError(f"given[{name!r}]={cell!r} is not a cell that was there in the fit")
        runs = [run for run in state.composition.layout.parts if run.column == column]
        if not runs:
            raise SpecError(f"given: the model does not learn column {name!r}; leave it out")
        columns.add(column)
        values[runs[0].start : runs[-1].stop] = spread
        cells |= found
    kept = tuple(run for run in state.composition.layout.parts if run.column in columns)
    return Wanted(kept, values, cells)


def _one(state: State, name: Any, cell: Any) -> tuple[int, dict[int, float], Array]:
    """Return one given cell's column, cells and values."""
    schema = state.schema
    if schema is None:
        if len(state.facts["sample_shape"]) > 1:
            raise SpecError("given needs a table or an array with columns, not pictures")
        whole = isinstance(name, int | np.integer) and not isinstance(name, bool)
        if not whole or not 0 <= name < state.n_values:
            raise SpecError(
                f"given: {name!r} should be the number of a column, 0 to {state.n_values - 1}"
            )
        try:
            number = float(cell)
        except (TypeError, ValueError):
            raise DataError(f"given[{name!r}]={cell!r} should be a number") from None
        return int(name), {int(name): number}, np.array([number])
    if name not in schema.names:
        raise SpecError(f"given: there is no column {name!r}; choose from {list(schema.names)}")
    column = schema.names.index(name)
    span = schema.spans[column]
    if not span.block.n_values:
        return column, {}, np.zeros(0)
    try:
        found = span.block.cells(pa.chunked_array([pa.array([cell])]))
    except AutoencodeError as error:
        raise DataError(f"given: {error}") from None
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"given[{name!r}]={cell!r} cannot be read: {error}") from None
    spread: Array = span.block.spread(torch.from_numpy(found.copy()))[0].numpy()
    places = range(span.cells.start, span.cells.stop)
    return column, dict(zip(places, found[0].tolist(), strict=True)), spread


def drawn_given(
    state: State,
    wanted: Wanted,
    n: int,
    classes: Places | None,
    generator: np.random.Generator,
    *,
    noise: bool,
) -> tuple[Array, Places, float]:
    """Draw rows in which some cells are given, by importance resampling.

    Rows are drawn freely and chosen again with chances in proportion to how likely the given
    cells are in them (Rubin, 1988): a category by its chance, a number by a normal density
    around the drawn one, a twentieth of the column's deviation wide.

    Parameters
    ----------
    state : State
        With a sampler.
    wanted : Wanted
        The given cells.
    n : int
        Rows.
    classes : ndarray of int of shape (n,) or None
        The class of each.
    generator : numpy.random.Generator
        The only source of randomness.
    noise : bool
        As in `autoencode.sampling.drawn_pieces`.

    Returns
    -------
    rows : ndarray
        Cells of a table, or numbers.
    parts : ndarray of int of shape (n,)
        Where each was drawn from.
    effective : float
        How many independent draws the choice was made from: ``1 / sum(weights**2)`` (Kong,
        1992); with classes the least of all.
    """
    sampler = state.sampler
    assert sampler is not None  # the caller has asked
    decoding = Decoding(state, sampler)
    if classes is None:
        return _of_class(decoding, wanted, (n, None), generator, noise=noise)
    found, parts, least = None, np.empty(n, np.intp), np.inf
    for number in np.unique(classes):
        mine = np.flatnonzero(classes == number)
        rows, own, effective = _of_class(
            decoding, wanted, (len(mine), int(number)), generator, noise=noise
        )
        found = np.empty((n, rows.shape[1])) if found is None else found
        found[mine], parts[mine], least = rows, own, min(least, effective)
    assert found is not None
    return found, parts, float(least)


def _of_class(
    decoding: Decoding,
    wanted: Wanted,
    asked: tuple[int, int | None],
    generator: np.random.Generator,
    *,
    noise: bool,
) -> tuple[Array, Places, float]:
    n, number = asked
    pieces: list[tuple[npt.NDArray[Any], ...]] = []
    effective, widths, best = 0.0, None, -np.inf
    for _ in range(_MOST_PIECES):
        parts = _parts(decoding.sampler, number, generator)
        values, parts = decoding.drawn(parts, generator, noise=noise)
        values = decoding.with_chances(values, parts)
        values, levels = decoding.with_margins(values)
        if widths is None:
            widths = np.maximum(_NEAR * values.std(0), 1e-12)
        pieces.append((_nats(values, wanted, widths), parts, values, levels))
        best = max(best, float(pieces[-1][0].max()))
        # What is never chosen need not be kept.
        pieces = [tuple(p[piece[0] > best - _NEGLIGIBLE] for p in piece) for piece in pieces]
        pieces = [piece for piece in pieces if len(piece[0])]
        weights = np.exp(np.concatenate([piece[0] for piece in pieces]) - best)
        effective = float(weights.sum() ** 2 / np.square(weights).sum())
        if effective >= min(max(float(n), 100.0), _ENOUGH):
            break
    places = (np.arange(n) + generator.random()) / n
    upto = np.cumsum(weights) / weights.sum()
    chosen = np.minimum(np.searchsorted(upto, places), len(weights) - 1)
    chosen = generator.permutation(chosen)
    parts, values, levels = (np.concatenate([p[k] for p in pieces])[chosen] for k in (1, 2, 3))
    finish = decoding.numbers if decoding.state.schema is None else decoding.cells
    rows = finish(values, levels, generator)
    for place, cell in wanted.cells.items():
        rows[:, place] = cell
    return rows, parts.astype(np.intp), effective


def _parts(sampler: Sampler, number: int | None, generator: np.random.Generator) -> Places:
    classes = None if number is None else np.full(PIECE, number)
    return part_numbers(sampler, PIECE, classes, generator)


def _nats(values: Array, wanted: Wanted, widths: Array) -> Array:
    """Return how likely the given cells are in each row, as logarithms."""
    total = np.zeros(len(values))
    for run in wanted.runs:
        inside = slice(run.start, run.stop)
        found, target = values[:, inside], wanted.values[inside]
        if run.likelihood not in ("bernoulli", "categorical"):
            total -= 0.5 * np.square((found - target) / widths[inside]).sum(1)
            continue
        shares = np.clip(found, 1e-12, 1.0)
        total += (target * np.log(shares)).sum(1)
        if run.likelihood == "bernoulli":
            total += ((1 - target) * np.log(np.clip(1 - found, 1e-12, 1.0))).sum(1)
    return total
