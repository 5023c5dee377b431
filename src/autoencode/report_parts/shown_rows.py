"""A few rows of any data, as pictures or as cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from autoencode.report_parts.cells import cell_text, column_style
from autoencode.report_parts.markup import MISSING, breakable, shorten, text

__all__ = ["ShownRows", "changes"]

_CELL_LENGTH = 20
_OTHER_LEVEL = 2.0
"""For how many deviations of a number counts another level."""


@dataclass(frozen=True)
class ShownRows:
    """Rows as a reader sees them: pictures or the cells of a table, one of the two.

    Parameters
    ----------
    pictures : array of shape (n, d) or None
        Values in the data's units.
    shape : tuple of int or None
        Height, width and channels of a picture.
    table : pyarrow.Table or None
        Columns with their names.
    limits : tuple of float
        The values of pictures that are drawn as black and as white.
    """

    pictures: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None
    table: pa.Table | None = None
    limits: tuple[float, float] = (0.0, 1.0)

    def __len__(self) -> int:
        """Return the number of rows."""
        if self.pictures is not None:
            return len(self.pictures)
        return 0 if self.table is None else int(self.table.num_rows)

    @property
    def names(self) -> list[str]:
        """The columns' names, shortened and as HTML; none of pictures."""
        return [] if self.table is None else [breakable(n, 60) for n in self.table.column_names]

    def cells(self, column: int, rows: Sequence[int]) -> list[str]:
        """Return some cells of a column as HTML."""
        assert self.table is not None
        values = self.table.column(column)
        style = column_style(values)
        found = [cell_text(values[row], style) for row in rows]
        return [MISSING if cell is None else text(shorten(cell, _CELL_LENGTH)) for cell in found]

    def numbers(self, column: int) -> np.ndarray | None:
        """Return a column as numbers, (n,), NaN where missing; None if it holds none."""
        assert self.table is not None
        values = self.table.column(column)
        kind = values.type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            return None
        found: np.ndarray = values.to_numpy().astype(np.float64)
        return found


def changes(rows: ShownRows, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """Return how much each column changes within each group of rows.

    Parameters
    ----------
    rows : ShownRows
        Cells.
    groups : sequence of sequence of int
        Rows that belong together.

    Returns
    -------
    array of shape (len(groups), d)
        The range of numbers in deviations over all rows; of others 2 if they are not all alike.
    """
    assert rows.table is not None
    found = np.zeros((len(groups), rows.table.num_columns))
    for column in range(rows.table.num_columns):
        numbers = rows.numbers(column)
        deviation = 0.0 if numbers is None else float(np.nan_to_num(np.nanstd(numbers)))
        texts = rows.table.column(column).to_pylist() if numbers is None else []
        for place, group in enumerate(groups):
            if numbers is None:
                different = len({str(texts[row]) for row in group}) > 1
                found[place, column] = _OTHER_LEVEL if different else 0.0
            elif deviation > 0:
                some = numbers[list(group)]
                found[place, column] = np.nan_to_num(np.nanmax(some) - np.nanmin(some)) / deviation
    return found
