"""Missing cells -> the values that a fitted model expects there, or plausible draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from autoencode.data.frames import to_frame
from autoencode.data.matrix import table_matrix
from autoencode.data.rows import FloatArray, Rows
from autoencode.data.tables import column_array
from autoencode.preprocess.table_rows import TableRows
from autoencode.state import State

__all__ = ["completed", "drawn", "joined", "normal_numbers"]

Array = npt.NDArray[np.float64]


def completed(state: State, rows: Rows, values: FloatArray) -> Any:
    """Return rows with the expected value in every missing cell.

    Parameters
    ----------
    state : State
        The fitted model.
    rows : Rows
        With missing cells.
    values : ndarray of shape (n_rows, n_values)
        Their reconstruction, before it is turned into cells.

    Returns
    -------
    ndarray or frame
        As the data was given; what was observed is the same, bit by bit.
    """
    selection = state.selection()
    if selection is not None:
        expected = selection.mean(_scaled(state, values), missing=True)
        values = state.scaling.backward(expected.numpy())
    if isinstance(rows, TableRows):
        exact = values.astype(np.float64, copy=False)
        cells = rows.schema.expected(exact, _residuals(state))
        return joined(rows, cells)
    return _array(rows, values)


def drawn(state: State, rows: Rows, values: FloatArray, count: int) -> list[Any]:
    """Return several completions that differ as the truth may.

    Every row is given the same standard-normal numbers, so that a row's draws depend on
    nothing but the row.

    Parameters
    ----------
    state, rows, values
        As in `completed`.
    count : int
        How many.

    Returns
    -------
    list of (ndarray or frame)
        ``count`` of them.
    """
    width = rows.schema.n_draws if isinstance(rows, TableRows) else rows.n_features
    seed = int(state.facts["seed"])
    numbers = normal_numbers(count, width, seed)
    residuals = _residuals(state)
    results = []
    for place, normals in enumerate(numbers):
        guess = _selected(state, values, count, place)
        if isinstance(rows, TableRows):
            exact = guess.astype(np.float64, copy=False)
            cells = rows.schema.draw(exact, normals, residuals)
            results.append(joined(rows, cells))
        else:
            results.append(_array(rows, guess + _errors(residuals, normals)))
    return results


def _residuals(state: State) -> Array:
    """Return the spread of errors; none where draws come from the model of missing cells."""
    selection = state.selection()
    if selection is None:
        return state.residuals
    return np.where(selection.numbers.numpy()[:, None], 0.0, state.residuals)


def _selected(state: State, values: FloatArray, count: int, place: int) -> FloatArray:
    """Return values drawn given that they are missing, where that tells something."""
    selection = state.selection()
    if selection is None:
        return values
    seed, width = int(state.facts["seed"]), values.shape[1]
    pair = [normal_numbers(count, width, seed + further)[place] for further in (1, 2)]
    first, second = (torch.from_numpy(part) for part in pair)
    drawn_values = selection.draw(_scaled(state, values), first, second)
    raw = state.scaling.backward(drawn_values.numpy())
    result: FloatArray = np.where(selection.numbers.numpy(), raw, values)
    return result


def _scaled(state: State, values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(state.scaling.forward(values))


def _errors(residuals: Array, normals: Array) -> Array:
    """Return the errors at these standard-normal numbers, one for each value."""
    shares = torch.special.ndtr(torch.from_numpy(normals)).numpy() * residuals.shape[1] - 0.5
    every = np.arange(residuals.shape[1])
    pairs = zip(shares, residuals, strict=True)
    return np.array([np.interp(share, every, spread) for share, spread in pairs])


def normal_numbers(count: int, width: int, seed: int) -> Array:
    """Return ``(count, width)`` standard-normal numbers, each column evenly spread.

    In every column they are the midpoints of ``count`` equal shares, in random order
    (Latin hypercube; McKay, Beckman and Conover, 1979).
    """
    generator = np.random.default_rng(seed)
    shares = (np.arange(count) + 0.5) / count
    columns = [generator.permutation(shares) for _ in range(width)]
    placed = torch.from_numpy(np.stack(columns, axis=1)) if width else torch.zeros(count, 0)
    numbers: Array = torch.special.ndtri(placed.double()).numpy()
    return numbers


def _array(rows: Rows, values: FloatArray) -> FloatArray:
    given = rows.dense()
    result: FloatArray = np.where(np.isnan(given), values.astype(given.dtype), given)
    return result.reshape(len(result), *rows.sample_shape)


def joined(rows: TableRows, cells: Array, taken: npt.NDArray[np.bool_] | None = None) -> Any:
    """Take cells from the table itself, but missing ones from what is restored.

    ``taken`` says which are, ``(n_rows, n_columns)``, where it is not those.
    """
    missing, restored = rows.missing() if taken is None else taken, rows.schema.table(cells)
    columns = []
    for place, (given, guess) in enumerate(zip(rows.table.columns, restored.columns, strict=True)):
        absent = missing[:, place]
        if not absent.any() or guess.null_count == len(guess):
            columns.append(given)
            continue
        columns.append(_chosen(column_array(absent), guess, given))
    fields = [
        field.with_type(column.type)
        for field, column in zip(rows.table.schema, columns, strict=True)
    ]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields, rows.table.schema.metadata))
    if rows.kind == "numpy":
        return table_matrix(table)
    return to_frame(table, rows.kind, index=rows.index, dtypes=rows.dtypes)


def _chosen(absent: pa.Array, guess: pa.ChunkedArray, given: pa.ChunkedArray) -> Any:
    if pa.types.is_null(given.type):
        return guess
    if pa.types.is_dictionary(given.type):
        plain = given.type.value_type
        joined = pc.if_else(absent, guess.cast(plain), given.cast(plain))
        return _encoded(joined, given)
    if guess.type != given.type:
        guess = _like(guess, given.type)
    return pc.if_else(absent, guess, given.cast(guess.type))


def _like(guess: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Return guesses in the type that was given; in a wider one where it is too narrow."""
    if pa.types.is_integer(wanted) and pa.types.is_floating(guess.type):
        guess = pc.round(guess)
    try:
        return guess.cast(wanted, safe=not pa.types.is_temporal(wanted))
    except pa.ArrowInvalid:
        return guess


def _encoded(values: pa.ChunkedArray, like: pa.ChunkedArray) -> pa.Array:
    """Encode values again by the dictionary that they had, and the levels that it lacks."""
    dictionary = like.chunk(0).dictionary if like.num_chunks else pa.array([], like.type.value_type)
    found = pc.unique(values).drop_null()
    lacking = found.filter(pc.invert(pc.is_in(found, dictionary)))
    dictionary = pa.concat_arrays([dictionary, lacking])
    places = pc.index_in(values.combine_chunks(), dictionary).cast(like.type.index_type)
    return pa.DictionaryArray.from_arrays(places, dictionary, ordered=like.type.ordered)
