"""CSV files of any common dialect -> table sources, through ``pyarrow.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv

from autoencode.data.dialect import Dialect, is_decimal_comma, sniff
from autoencode.data.tables import TableSource, first_bad_cell
from autoencode.errors import DataError

__all__ = ["delimited_source"]

SAMPLE_BYTES = 256 * 1024
# A header of 100,000 columns is some megabytes long.
LARGEST_SAMPLE_BYTES = 64 * 2**20
# The default of ``pyarrow.csv``.
BLOCK_BYTES = 2**20


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

    def read(columns: Sequence[str]) -> pa.Table:
        return _read_any(path, dialect, columns)

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


def _read_any(path: Path, dialect: Dialect, columns: Sequence[str]) -> pa.Table:
    """Read the columns, correcting what the sample could not tell about later lines."""
    try:
        table = _read_quickly(path, dialect, columns)
        if table is None:
            table = _read(path, dialect, columns)
    except pa.ArrowInvalid as error:
        if dialect.newlines_in_values:
            raise DataError(f"is not a table: {_one_line(error)}") from error
        return _read_any(path, replace(dialect, newlines_in_values=True), columns)
    except UnicodeDecodeError as error:
        if dialect.encoding != "cp1252":
            raise DataError(f"is not whole {dialect.encoding} text: {error}") from error
        # Bytes that Windows-1252 leaves undefined; every byte is a Latin-1 character.
        return _read_any(path, replace(dialect, encoding="latin-1"), columns)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read: {_one_line(error)}") from error
    if any(pa.types.is_binary(field.type) for field in table.schema):
        return _read_any(path, replace(dialect, encoding="cp1252"), columns)
    if dialect.delimiter != "," and dialect.decimal_point == "." and _has_comma_numbers(table):
        return _read_any(path, replace(dialect, decimal_point=","), columns)
    return table


def _read_quickly(path: Path, dialect: Dialect, columns: Sequence[str]) -> pa.Table | None:
    """Read as the sample promises; None if the rest of the file does not keep to that.

    Telling types beforehand and not looking for "NA" in every cell saves a fifth of the
    time. Integers are not turned into reals: they may be identifiers to be kept.
    """
    if not dialect.plain:
        return None
    types = {name: pa.float64() for name in columns if name in dialect.reals}
    try:
        table = _read(path, dialect, columns, types=types, null_values=[""])
    except pa.ArrowInvalid:
        return None
    numbers = dialect.reals | dialect.integers
    kept_to = all(
        pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        for field in table.schema
        if field.name in numbers
    )
    return table if kept_to else None


def _read(
    path: Path,
    dialect: Dialect,
    columns: Sequence[str],
    *,
    types: Mapping[str, pa.DataType] | None = None,
    null_values: Sequence[str] | None = None,
) -> pa.Table:
    """Read the columns; types not given are inferred, unusual missing values recognised."""
    return pacsv.read_csv(
        str(path),
        read_options=pacsv.ReadOptions(
            encoding=dialect.encoding,
            column_names=dialect.names,
            skip_rows=dialect.header_lines,
            # A line must fit into a block.
            block_size=max(BLOCK_BYTES, 4 * dialect.longest_line),
        ),
        parse_options=pacsv.ParseOptions(
            delimiter=dialect.delimiter, newlines_in_values=dialect.newlines_in_values
        ),
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            decimal_point=dialect.decimal_point,
            column_types=types,
            null_values=null_values,
        ),
    )


def _has_comma_numbers(table: pa.Table) -> bool:
    """Whether a column is text only for decimal commas that begin after the sample."""
    for column in table.columns:
        if pa.types.is_string(column.type):
            _, cell = first_bad_cell(column)
            if is_decimal_comma(cell):
                return True
    return False


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return message if len(message) <= 200 else message[:197] + "..."
