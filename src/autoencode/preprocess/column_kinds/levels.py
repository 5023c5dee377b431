"""The levels of a column that is looked up rather than computed with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autoencode.errors import DataError, ModelFileError
from autoencode.preprocess.column_kinds.conversion import keys_as
from autoencode.preprocess.column_kinds.keys import (
    family,
    floats,
    from_keys,
    key_type,
    keys,
    keys_from_list,
    masked_array,
    value_type,
)
from autoencode.preprocess.column_kinds.number_texts import misspelling
from autoencode.preprocess.column_kinds.summary import ColumnSummary

__all__ = ["Levels"]


@dataclass(frozen=True)
class Levels:
    """The different values of a column in order: ascending, or a dictionary's own.

    Attributes
    ----------
    type : pyarrow.DataType
        The column's type.
    keys : pyarrow.Array
        The levels' keys, a dictionary's unused ones included.
    """

    type: pa.DataType
    keys: pa.Array

    @classmethod
    def of(cls, summary: ColumnSummary) -> tuple[Levels, npt.NDArray[np.int64]]:
        """Return a column's levels and how many rows have each.

        Raises
        ------
        DataError
            If they are text that is not UTF-8, which could not be stored.
        """
        levels = summary.distinct if summary.dictionary is None else summary.dictionary
        try:
            levels.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(
                f"column {summary.name!r} has text that is not UTF-8; write it anew as UTF-8"
            ) from error
        if summary.dictionary is None:
            return cls(summary.type, levels), summary.counts
        counts = np.zeros(len(levels), dtype=np.int64)
        place = pc.index_in(summary.distinct, value_set=levels)
        counts[floats(pa.chunked_array([place])).astype(np.int64)] = summary.counts
        return cls(summary.type, levels), counts

    def __len__(self) -> int:
        return len(self.keys)

    def places(self, name: str, column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """Return each cell's place among the levels.

        Returns
        -------
        ndarray of shape (n,)
            NaN where missing, the number of levels where a cell is none of them.

        Raises
        ------
        DataError
            If the column has a type whose cells cannot be compared with the levels.
        """
        if not len(self.keys):
            found = column if key_type(column.type) is None else keys(name, column)
            return np.where(floats(found.is_valid()) == 1, 0.0, np.nan)
        found = keys_as(name, column, self.type)
        places = pc.index_in(found, value_set=self.keys)
        if places.null_count > found.null_count:
            unseen = pc.and_(places.is_null(), found.is_valid())
            return np.where(floats(unseen) == 1, float(len(self.keys)), floats(places))
        return floats(places)

    def take(self, places: npt.NDArray[np.float64]) -> pa.Array:
        """Return the column with these levels; null where there is no such place."""
        outside = ~((places >= 0) & (places < len(self.keys)))
        inside = np.where(outside, 0, places).astype(np.int64)
        if pa.types.is_dictionary(self.type):
            index_type = self.type.index_type
            narrow = inside.astype(index_type.to_pandas_dtype())
            return pa.DictionaryArray.from_arrays(
                masked_array(narrow, outside, index_type), self._values, ordered=self.type.ordered
            )
        if not len(self.keys):
            return pa.nulls(len(places), self.type)
        # Keys can be taken of every type, views and narrow decimals not.
        return from_keys(self.keys.take(masked_array(inside, outside, pa.int64())), self.type)

    def text(self, place: int, limit: int = 30) -> str:
        """Return a level as people read it."""
        cell = str(
            from_keys(self.keys.slice(place, 1), value_type(self.type))
            .cast(pa.large_string())[0]
            .as_py()
        )
        return cell if len(cell) <= limit else cell[: limit - 3] + "..."

    @cached_property
    def words(self) -> str:
        """Name what is no number where nearly all levels are: ``'groß' and 2 more``, or nothing."""
        found = misspelling(pa.chunked_array([self.keys])) if family(self.type) == "text" else None
        if found is None:
            return ""
        others = len(self.keys) - found[0] - 1
        return f"{self.text(found[1])!r}{f' and {others} more' if others else ''}"

    @cached_property
    def _values(self) -> pa.Array:
        return from_keys(self.keys, value_type(self.type))

    def to_json(self) -> list[Any]:
        """Return the keys as plain values; the type is stored by the block."""
        plain: list[Any] = self.keys.to_pylist()
        return plain

    @classmethod
    def from_json(cls, arrow_type: pa.DataType, plain: Any) -> Levels:
        """Return the levels that `to_json` wrote.

        Raises
        ------
        ModelFileError
            If the values do not belong to the type.
        """
        try:
            return cls(arrow_type, keys_from_list(plain, key_type(arrow_type) or pa.null()))
        except (pa.ArrowException, AttributeError, OverflowError, TypeError, ValueError) as error:
            raise ModelFileError(f"the levels of a column are not of type {arrow_type}") from error
