"""CSV files of any common dialect -> table sources, through ``pyarrow.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from autoencode.data.dialect import Dialect, sniff
from autoencode.data.tables import TableSource, shortened
from autoencode.data.text_columns import TextColumn
from autoencode.errors import DataError

__all__ = ["delimited_source"]

SAMPLE_BYTES = 256 * 1024
# A header of 100,000 columns is some megabytes long.
LARGEST_SAMPLE_BYTES = 64 * 2**20
# The default of ``pyarrow.csv``.
BLOCK_BYTES = 2**20
LARGEST_BLOCK_BYTES = 64 * 2**20
BLOCK_ROWS = 4096


def delimited_source(path: Path) -> TableSource:
    """Open a CSV file.

    Parameters
    ----------
    path : Path
        Text with commas, semicolons, tabs, bars or single spaces between fields;
        UTF-8, UTF-16 with a byte order mark or Windows/Latin-1; with or without a
        header; compressed if its name ends in .gz, .bz2 or .zst.

    Returns
    -------
    TableSource
        Only the columns asked for are converted.

    Raises
    ------
    DataError
        If the file is empty, not text, has no rows or has lines of different lengths.
    """
    sample, complete = _sample(path)
    dialect = sniff(sample, complete=complete)
    names = dialect.names[:-1] if dialect.trailing else dialect.names

    def read(columns: Sequence[str], verbatim: Set[str]) -> pa.Table:
        return _read_any(path, dialect, columns, verbatim)

    return TableSource(names, read, named=dialect.header_lines > 0)


def _sample(path: Path) -> tuple[bytes, bool]:
    """Read the beginning of the file, and tell whether that is all of it."""
    sample = b""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            while True:
                piece = stream.read(max(SAMPLE_BYTES, len(sample)))
                sample += piece
                if not piece:
                    return sample, True
                enough = sample.count(b"\n") + sample.count(b"\r") >= 4
                if enough or len(sample) >= LARGEST_SAMPLE_BYTES:
                    return sample, False
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read: {_one_line(error)}") from error


def _read_any(path: Path, dialect: Dialect, columns: Sequence[str], verbatim: Set[str]) -> pa.Table:
    """Read the columns, correcting what the sample could not tell about later lines."""

    def read_as(dialect: Dialect, names: Sequence[str], **options: bool) -> dict[str, TextColumn]:
        found = {
            name: TextColumn(
                decimal_point=dialect.decimal_point, verbatim=name in verbatim, **options
            )
            for name in names
        }
        _read(path, dialect, found)
        return found

    try:
        found = read_as(dialect, columns)
        if not dialect.decimals_seen and any(one.has_decimal_comma for one in found.values()):
            dialect = replace(dialect, decimal_point=",", decimals_seen=True)
            found = read_as(dialect, columns)
        lost = [name for name, one in found.items() if one.lost]
        if lost:
            found |= read_as(dialect, lost, is_text=True)
    except _OtherDialectError as error:
        return _read_any(path, error.dialect, columns, verbatim)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read: {_one_line(error)}") from error
    return pa.Table.from_arrays([found[name].finished() for name in columns], names=list(columns))


class _OtherDialectError(Exception):
    """The file is not of the dialect that its sample has; it may be of this one."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect


def _read(path: Path, dialect: Dialect, found: Mapping[str, TextColumn]) -> None:
    """Read columns block by block, so that never more than some blocks are held as text."""
    wrong_lines: list[pacsv.InvalidRow] = []
    try:
        for batch in _open(path, dialect, list(found), wrong_lines):
            for column, cells in zip(found.values(), batch.columns, strict=True):
                column.add(_text(cells, dialect))
    except pa.ArrowInvalid as error:
        if not dialect.newlines_in_values:
            raise _OtherDialectError(replace(dialect, newlines_in_values=True)) from error
        if wrong_lines:
            raise DataError(_wrong_line(wrong_lines[0], dialect)) from error
        raise DataError(f"is not a table: {_one_line(error)}") from error
    except UnicodeDecodeError as error:
        if dialect.encoding != "cp1252":
            raise DataError(f"is not whole {dialect.encoding} text: {error}") from error
        # Bytes that Windows-1252 leaves undefined; every byte is a Latin-1 character.
        raise _OtherDialectError(replace(dialect, encoding="latin-1")) from error


def _text(cells: pa.Array, dialect: Dialect) -> pa.Array:
    try:
        return cells.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise _OtherDialectError(replace(dialect, encoding="cp1252")) from error


def _open(
    path: Path, dialect: Dialect, columns: Sequence[str], wrong_lines: list[pacsv.InvalidRow]
) -> pacsv.CSVStreamingReader:
    """Open the file for reading columns as bytes, empty cells as null."""

    def note(line: pacsv.InvalidRow) -> str:
        wrong_lines.append(line)
        return "error"

    careful = dialect.newlines_in_values
    # A line must fit into a block, and a block of many columns have rows enough that
    # converting a column of it is more work than calling the functions that do so.
    wanted = LARGEST_BLOCK_BYTES if careful else BLOCK_ROWS * dialect.longest_line
    block = min(max(BLOCK_BYTES, wanted), max(LARGEST_BLOCK_BYTES, 4 * dialect.longest_line))
    return pacsv.open_csv(
        str(path),
        read_options=pacsv.ReadOptions(
            # Only one thread knows in which row it is.
            use_threads=not careful,
            encoding=dialect.encoding,
            column_names=dialect.names,
            skip_rows=dialect.header_lines,
            block_size=block,
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.delimiter,
            newlines_in_values=dialect.newlines_in_values,
            invalid_row_handler=note,
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.binary()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _wrong_line(line: pacsv.InvalidRow, dialect: Dialect) -> str:
    row = "a row" if line.number is None else f"row {line.number - dialect.header_lines}"
    fields = f"{line.actual_columns} field{'' if line.actual_columns == 1 else 's'}"
    return (
        f"is not a table: {row} has {fields}, not {line.expected_columns}: {shortened(line.text)}"
    )


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if len(message) <= 200 else message[:197] + "..."
