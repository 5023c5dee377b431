"""Some rows and columns of a compressed file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa

from autoencode.compression.container import (
    Footer,
    Section,
    read_footer,
    read_section,
    read_start,
)
from autoencode.compression.frequencies import IntArray
from autoencode.compression.members import Member, TableMember
from autoencode.compression.model_reference import finder, open_model
from autoencode.compression.packing import unpack_integers
from autoencode.compression.plans import require
from autoencode.compression.reading import Block, decode_block, parse_header
from autoencode.errors import DataError, SpecError

__all__ = ["CompressedFile"]

_MOST_BLOCKS = 1 << 28


class CompressedFile:
    """A compressed file of which some rows or columns can be read.

    Parameters
    ----------
    path : path
        The file.
    model : path, optional
        The model that it refers to.

    Attributes
    ----------
    header : Header
        What it holds.
    index : ndarray of int64, shape (n_blocks, 4)
        Member, first row, rows and place in the file of each block.

    Raises
    ------
    DataError
        If it is not such a file, or its header, index or footer is damaged.
    """

    def __init__(
        self, path: str | os.PathLike[str], model: str | os.PathLike[str] | None = None
    ) -> None:
        self.path = Path(path)
        given = None if model is None else open_model(model)
        try:
            self._file: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise DataError(f"{self.path}: {error.strerror or error}") from error
        try:
            read_start(self._file)
            start = self._file.tell()
            first = read_section(self._file, start)
            self.header = parse_header(first, finder(self._next, given))
            self.footer = read_footer(self._file)
            self.index = self._read_index(self.footer)
        except DataError as error:
            self._file.close()
            raise DataError(f"{self.path}: {error}") from error
        except BaseException:
            self._file.close()
            raise

    def _next(self) -> Section:
        return read_section(self._file, self._file.tell())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The arrays of an archive; one empty name for anything else."""
        return [member.name for member in self.header.members]

    @property
    def n_rows(self) -> int:
        """Rows of the table, or of the only array."""
        return self._member(None)[1].n_rows

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        columns: Sequence[str] | Sequence[int] | None = None,
        name: str | None = None,
    ) -> Any:
        """Return some rows; only the blocks that hold them are read.

        Parameters
        ----------
        start, stop : int
            Rows from the first up to but without the second; as in slices.
        columns : sequence, optional
            Names of a table's columns, or numbers of an array's second axis.
        name : str, optional
            Which array of an archive.

        Returns
        -------
        ndarray or pyarrow.Table
            Rows of the array or table.

        Raises
        ------
        SpecError
            If there is no such array or column.
        DataError
            Naming the block that is damaged.
        """
        place, member = self._member(name)
        reach = _reach(member, columns)
        start, stop, _ = slice(start, stop).indices(member.n_rows)
        pieces = []
        for number, (owner, first, n_rows, _) in enumerate(self.index.tolist()):
            if owner == place and first < stop and first + n_rows > start:
                rows = self.block(number, reach).rows
                begin = max(0, start - first)
                count = min(stop, first + n_rows) - first - begin
                cut = (
                    rows.slice(begin, count) if isinstance(rows, pa.Table) else rows[begin:][:count]
                )
                pieces.append(_chosen(cut, columns))
        if pieces:
            if isinstance(member, TableMember):
                return pa.concat_tables(pieces)
            if not member.shape:
                return pieces[0].reshape(())
            return np.concatenate(pieces).astype(member.dtype, copy=False)
        if isinstance(member, TableMember):
            return _chosen(member.schema.empty_table(), columns)
        return _chosen(np.empty((0, *member.shape[1:]), member.dtype), columns)

    def block(self, number: int, stop: int | None = None) -> Block:
        """Return a block, checked against the index; ``stop`` as in `decode_block`."""
        owner, first, n_rows, offset = self.index[number].tolist()
        try:
            self._file.seek(offset)
            section = read_section(self._file, offset, number)
            require(section.kind == b"BLCK", f"block {number} is not where the index says")
            found = decode_block(section, self.header, number, stop)
            same = (found.member, found.first, len(found.rows)) == (owner, first, n_rows)
            require(same, f"block {number} is not the one that the index names")
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        return found

    def _member(self, name: str | None) -> tuple[int, Member]:
        members = self.header.members
        if name is None:
            if len(members) != 1:
                listed = ", ".join(member.name for member in members)
                raise SpecError(f"the file holds several arrays; name one of {listed}")
            return 0, members[0]
        for place, member in enumerate(members):
            if member.name == name:
                return place, member
        listed = ", ".join(repr(member.name) for member in members)
        raise SpecError(f"the file holds no array {name!r}; it has {listed}")

    def _read_index(self, footer: Footer) -> IntArray:
        require(footer.n_blocks <= _MOST_BLOCKS, "its footer claims too many blocks")
        self._file.seek(footer.index_at)
        section = read_section(self._file, footer.index_at)
        require(section.kind == b"INDX", "its index is missing")
        deltas = unpack_integers(section.payload, 4 * footer.n_blocks)
        return np.cumsum(deltas.reshape(-1, 4), axis=0)


def _reach(member: Member, columns: Sequence[Any] | None) -> int | None:
    """Return how many of the first columns hold those asked for; None if that is not known."""
    if not columns:
        return None
    if isinstance(member, TableMember):
        places = [member.schema.get_field_index(str(name)) for name in columns]
    elif len(member.inner) == 1 and all(isinstance(column, int) for column in columns):
        places = list(columns)
    else:
        return None
    return max(places) + 1 if min(places) >= 0 and max(places) < member.n_columns else None


def _chosen(rows: Any, columns: Sequence[Any] | None) -> Any:
    if columns is None:
        return rows
    try:
        if isinstance(rows, pa.Table):
            return rows.select(list(columns))
        return rows[:, list(columns)]
    except (KeyError, IndexError, TypeError) as error:
        raise SpecError(f"there is no such column: {error}") from error
