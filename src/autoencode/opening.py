"""What a user hands to an estimator -> rows under the schema of the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from autoencode.data.arrays import open_array
from autoencode.data.picture_form import PictureForm
from autoencode.data.picture_wish import PictureWish
from autoencode.data.reading import open_data
from autoencode.data.rows import Rows
from autoencode.data.tables import TableData, column_array, to_rows
from autoencode.errors import DataError, SpecError
from autoencode.preprocess.columns import Schema
from autoencode.preprocess.table_rows import TableRows

__all__ = ["open_codes", "open_for_fit", "open_like"]


def open_for_fit(data: Any, columns: Mapping[str, str] | None) -> Rows:
    """Open what a model is to be fitted to.

    Parameters
    ----------
    data : array-like, frame, table, path, Rows or TableData
        As for `autoencode.data.reading.open_data`.
    columns : mapping of str to str, optional
        Kinds of columns that are not to be found by looking.

    Returns
    -------
    Rows
        `TableRows` for a table, with a schema found by looking.

    Raises
    ------
    DataError
        If the data cannot be used; the message names the column.
    SpecError
        If a kind is not known or does not fit its column.
    """
    found = data if isinstance(data, Rows | TableData) else open_data(data)
    if isinstance(found, Rows):
        if columns and not isinstance(found, TableRows):
            raise SpecError("columns= names kinds of columns: it needs a table with column names")
        if found.has_missing and all(np.isnan(block).all() for _, block in found.blocks()):
            raise DataError("every value of X is missing (NaN): there is nothing to learn from")
        return found
    schema = Schema.look(found.table, columns)
    if not schema.n_values:
        raise DataError(
            f"none of the {schema.n_columns} columns can be learned from: "
            f"{schema.blocks[0].name!r} is {schema.blocks[0].describe()}"
        )
    return TableRows(schema, found)


def open_like(
    data: Any,
    schema: Schema | None,
    names: Sequence[str] | None,
    form: PictureForm | None = None,
) -> Rows:
    """Open rows for a fitted model.

    Parameters
    ----------
    data : array-like, frame, table, path, Rows or TableData
        As above; a table needs the columns of the fit, in any order if it is a file.
    schema : Schema or None
        That of the fit; None if that was to an array.
    names : sequence of str or None
        The columns of the fit.
    form : PictureForm, optional
        Which files of pictures are brought to.

    Returns
    -------
    Rows
        `TableRows` if there is a schema.

    Raises
    ------
    DataError
        If the data cannot be used; the message names column, row and cell.
    """
    if schema is None and isinstance(data, np.ndarray):
        return open_array(data, checked=False)
    found = data
    if not isinstance(data, Rows | TableData):
        found = open_data(data, expected_names=names, pictures=PictureWish(form=form))
    if isinstance(found, TableRows):
        return found
    if schema is None:
        return found if isinstance(found, Rows) else to_rows(found)
    if isinstance(found, Rows):
        found = _as_table(found, schema)
    return TableRows(schema, found)


def open_codes(data: Any) -> Rows:
    """Open codes: a matrix, or a table of numbers."""
    found = data if isinstance(data, Rows | TableData) else open_data(data)
    return found if isinstance(found, Rows) else to_rows(found)


def _as_table(rows: Rows, schema: Schema) -> TableData:
    """Give the columns of an array the names of the fit."""
    if rows.n_features != schema.n_columns:
        raise DataError(
            f"X has {rows.n_features} features, but the model was fitted to "
            f"{schema.n_columns} columns"
        )
    matrix = rows.dense()
    arrays = [column_array(np.ascontiguousarray(column)) for column in matrix.T]
    return TableData(pa.Table.from_arrays(arrays, names=list(schema.names)), "numpy")
