"""A table's columns -> cells -> values, and back: one block for each column."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from autoencode.data.columns import require_known, require_unique
from autoencode.data.finite import quoted_list
from autoencode.errors import DataError, ModelFileError, SpecError
from autoencode.preprocess.column_kinds import COLUMN_KINDS, Block
from autoencode.preprocess.column_kinds.summary import ColumnSummary, summarise
from autoencode.preprocess.fields import (
    fields_from_json,
    fields_to_json,
    without_stale_metadata,
)
from autoencode.spec import make, parse

__all__ = ["Schema", "Segment"]

FloatArray = npt.NDArray[np.float64]

# Rows are spread and gathered in pieces of about this many numbers (2 MB), so that what
# one block leaves is still in the cache when it is copied into place.
PIECE_NUMBERS = 2**18
FEWEST_PIECE_ROWS = 2048


class Segment(NamedTuple):
    """A run of values with one likelihood.

    Attributes
    ----------
    likelihood : str
        gaussian, bernoulli, categorical or count.
    column : int
        Which column of the table.
    start, stop : int
        Which values.
    """

    likelihood: str
    column: int
    start: int
    stop: int


class Span(NamedTuple):
    """Where one block's cells, values and random numbers are."""

    block: Block
    cells: slice
    values: slice
    draws: slice


@dataclasses.dataclass(frozen=True)
class Schema:
    """Every column of a table as a fitted block; see `Block` for cells and values.

    Attributes
    ----------
    blocks : tuple of Block
        In the order of the columns.
    fields : pyarrow.Schema
        Names, types, nullability and metadata as they were fitted.
    """

    blocks: tuple[Block, ...]
    fields: pa.Schema

    @classmethod
    def look(cls, table: pa.Table, overrides: Mapping[str, str] | None = None) -> Self:
        """Choose a kind for each column by looking at it, and fit it.

        Parameters
        ----------
        table : pyarrow.Table
            All rows.
        overrides : mapping of str to str, optional
            Kinds to use instead: ``{"zip": "categorical", "x": "numeric:transform=none"}``.

        Returns
        -------
        Schema
            One block for each column.

        Raises
        ------
        SpecError
            If a kind or an option is not one of the allowed.
        DataError
            If there is no such column, one is there twice, has infinite values, or
            cannot be of the kind that was asked for.
        """
        overrides = dict(overrides or {})
        require_unique(table.column_names)
        require_known(table.column_names, list(overrides))
        blocks = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            summary = summarise(name, column)
            asked = overrides.get(name)
            blocks.append(_chosen(summary) if asked is None else _asked(summary, asked))
        return cls(tuple(blocks), without_stale_metadata(table.schema))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(block.name for block in self.blocks)

    @property
    def n_columns(self) -> int:
        """How many columns there are."""
        return len(self.blocks)

    @cached_property
    def n_cells(self) -> int:
        """Width of the cells."""
        return sum(block.n_cells for block in self.blocks)

    @cached_property
    def n_values(self) -> int:
        """Width of the values."""
        return sum(block.n_values for block in self.blocks)

    @cached_property
    def n_draws(self) -> int:
        """How many standard normal numbers `draw` needs for a row."""
        return sum(block.n_draws for block in self.blocks)

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The likelihood of each run of values, in order."""
        found, start = [], 0
        for column, block in enumerate(self.blocks):
            for likelihood, width in block.segments:
                found.append(Segment(likelihood, column, start, start + width))
                start += width
        return tuple(found)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """Where each block's numbers are."""
        found, cell, value, draw = [], 0, 0, 0
        for block in self.blocks:
            ends = cell + block.n_cells, value + block.n_values, draw + block.n_draws
            cells, values, draws = slice(cell, ends[0]), slice(value, ends[1]), slice(draw, ends[2])
            found.append(Span(block, cells, values, draws))
            cell, value, draw = ends
        return tuple(found)

    def cells(self, table: pa.Table) -> FloatArray:
        """Return the cells of a table.

        Parameters
        ----------
        table : pyarrow.Table
            With exactly these columns, in any order. Types may differ from the fitted
            ones where cells have an obvious equal: whole numbers and floats, text and
            dictionaries, numbers as text.

        Returns
        -------
        ndarray of shape (n_rows, n_cells)
            NaN where missing.

        Raises
        ------
        DataError
            If columns are missing, too many or there twice, or a cell is not one that
            its column can have; the message names column, row (from 1) and cell.
        """
        require_unique(table.column_names)
        if set(table.column_names) != set(self.names):
            raise _other_columns(table.column_names, self.names)
        cells = np.empty((table.num_rows, self.n_cells))
        for block, where, _, _ in self.spans:
            if block.n_cells:
                cells[:, where] = block.cells(table.column(block.name))
        return cells

    def table(self, cells: FloatArray) -> pa.Table:
        """Return the table of cells: original names, order, types and metadata.

        A field that was declared without nulls is declared with them if there are any.
        """
        arrays, fields = [], []
        for span, field in zip(self.spans, self.fields, strict=True):
            array = span.block.column(cells[:, span.cells])
            nullable = field.nullable or array.null_count > 0
            arrays.append(array)
            fields.append(field.with_nullable(nullable))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields, self.fields.metadata))

    def missing(self, cells: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which cells are missing, ``(n, n_columns)``; those of identifiers never are."""
        found = np.zeros((len(cells), self.n_columns), dtype=np.bool_)
        for column, span in enumerate(self.spans):
            if span.block.n_cells:
                found[:, column] = np.isnan(cells[:, span.cells.start])
        return found

    def spread(self, cells: FloatArray) -> FloatArray:
        """Return the values of cells, ``(n, n_values)``."""
        values = np.empty((len(cells), self.n_values))
        into, given = torch.from_numpy(values), _tensor(cells)
        for rows in self._pieces(len(cells)):
            self._spread(given[rows], into[rows])
        return values

    def spread_tensor(self, cells: Tensor) -> Tensor:
        """Return the values of cells by operations that can be exported."""
        pieces = [span.block.spread(cells[:, span.cells]) for span in self.spans]
        return torch.cat(pieces, 1) if pieces else cells

    def gather(self, values: FloatArray, *, clip: bool = True) -> FloatArray:
        """Return the cells nearest to values, ``(n, n_cells)``; see `Block.gather`."""
        return self._each(values, lambda span, _, piece: span.block.gather(piece, clip=clip))

    def expected(self, values: FloatArray, residuals: FloatArray) -> FloatArray:
        """Return the best single guess as cells.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Means; see `Block.gather`.
        residuals : ndarray of shape (n_values, q)
            Quantiles of held-out residuals; see `Block.draw`.
        """
        known = _tensor(residuals)
        return self._each(
            values, lambda span, _, piece: span.block.expected(piece, known[span.values])
        )

    def draw(self, values: FloatArray, normals: FloatArray, residuals: FloatArray) -> FloatArray:
        """Return plausible cells.

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
            Means; see `Block.gather`.
        normals : ndarray of shape (n_draws,) or (n, n_draws)
            Standard normal numbers, the same for all rows or one set for each.
        residuals : ndarray of shape (n_values, q)
            Quantiles of held-out residuals; see `Block.draw`.
        """
        known, numbers = _tensor(residuals), _tensor(normals)

        def drawn(span: Span, rows: slice, piece: Tensor) -> Tensor:
            own = numbers[rows, span.draws] if numbers.dim() == 2 else numbers[span.draws]
            return span.block.draw(piece, own, known[span.values])

        return self._each(values, drawn)

    def nats(self, cells: FloatArray, values: FloatArray, deviation: FloatArray) -> FloatArray:
        """Return the log-density of each cell in nats, ``(n, n_columns)``; NaN if missing.

        Parameters
        ----------
        cells : ndarray of shape (n, n_cells)
            What was observed.
        values : ndarray of shape (n, n_values)
            What was expected; see `Block.gather`.
        deviation : ndarray of shape (n_values,)
            Root mean squared residuals on held-out rows; positive.
        """
        found = np.empty((len(cells), self.n_columns))
        into, given = torch.from_numpy(found), _tensor(cells)
        means, off = _tensor(values), _tensor(deviation)
        for rows in self._pieces(len(cells)):
            for column, span in enumerate(self.spans):
                into[rows, column] = span.block.nats(
                    given[rows, span.cells], means[rows, span.values], off[span.values]
                )
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Return one row for each column: name, type, kind, detail, missing cells."""
        return [
            {
                "name": block.name,
                "type": str(block.type),
                "kind": block.kind,
                "detail": block.describe(),
                "missing": block.n_missing,
                "missing_share": block.n_missing / max(1, block.n_rows),
            }
            for block in self.blocks
        ]

    def header(self) -> dict[str, Any]:
        """Return everything that was fitted as plain JSON values."""
        return {"blocks": [block.header() for block in self.blocks], **fields_to_json(self.fields)}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Return the schema that `header` described.

        Raises
        ------
        ModelFileError
            If it is not the header of a schema.
        """
        try:
            blocks = tuple(
                COLUMN_KINDS[block["kind"]].from_header(block) for block in header["blocks"]
            )
            types = [block.type for block in blocks]
            return cls(blocks, fields_from_json(header, [block.name for block in blocks], types))
        except ModelFileError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"the description of the columns is damaged: {error}") from error

    def _pieces(self, n_rows: int) -> list[slice]:
        step = max(FEWEST_PIECE_ROWS, PIECE_NUMBERS // max(1, self.n_values))
        return [slice(start, start + step) for start in range(0, n_rows, step)]

    def _each(
        self, values: FloatArray, restore: Callable[[Span, slice, Tensor], Tensor]
    ) -> FloatArray:
        cells = np.empty((len(values), self.n_cells))
        into, given = torch.from_numpy(cells), _tensor(values)
        for rows in self._pieces(len(values)):
            for span in self.spans:
                if span.block.n_cells:
                    into[rows, span.cells] = restore(span, rows, given[rows, span.values])
        return cells

    @cached_property
    def _runs(self) -> tuple[tuple[Block | None, slice, slice], ...]:
        """Blocks and where their numbers are; neighbours that only copy become one run."""
        runs: list[tuple[Block | None, slice, slice]] = []
        for block, cells, values, _ in self.spans:
            last = runs[-1] if runs else None
            if block.copies and last and last[0] is None and last[1].stop == cells.start:
                _, first_cells, first_values = runs.pop()
                cells = slice(first_cells.start, cells.stop)
                values = slice(first_values.start, values.stop)
            if block.n_values:
                runs.append((None if block.copies else block, cells, values))
        return tuple(runs)

    def _spread(self, cells: Tensor, values: Tensor) -> None:
        for block, where, into in self._runs:
            piece = cells[:, where]
            values[:, into] = piece if block is None else block.spread(piece)


def _tensor(array: npt.ArrayLike) -> Tensor:
    # torch warns of arrays that cannot be written to.
    return torch.from_numpy(np.require(array, np.float64, ["W"]))


def _chosen(summary: ColumnSummary) -> Block:
    for kind in COLUMN_KINDS.values():
        if kind.look(summary):
            return kind.fit(summary)
    raise DataError(f"column {summary.name!r} ({summary.type}) suits no kind of column")


def _asked(summary: ColumnSummary, spec: str) -> Block:
    axis = f"columns[{summary.name!r}]"
    if not isinstance(spec, str) or ":" in parse(spec)[0]:
        raise SpecError(f"{axis}={spec!r} is not known; choose from {', '.join(COLUMN_KINDS)}")
    fits: dict[str, Callable[..., Block]] = {name: kind.fit for name, kind in COLUMN_KINDS.items()}
    block: Block = make(axis, fits, spec, summary)
    return block


def _other_columns(given: list[str], fitted: tuple[str, ...]) -> DataError:
    absent = [name for name in fitted if name not in set(given)]
    if absent:
        return DataError(
            f"the model was fitted with {quoted_list(absent)}, which the data lacks; it has "
            f"{quoted_list(given)}"
        )
    extra = [name for name in given if name not in set(fitted)]
    return DataError(f"the model was fitted without {quoted_list(extra)}; leave it out")
