"""Arrow tables -> Parquet, Arrow and text files."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from autoencode.data.tables import text_array
from autoencode.errors import DataError

__all__ = ["with_nulls", "write_file", "write_text"]

# Of a second, in a duration's unit.
DECIMALS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
UNFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)


def write_file(path: Path, table: pa.Table, delimiter: str | None) -> None:
    """Write a table of columns of any type.

    Parameters
    ----------
    path : Path
        Its suffix names the format: .parquet; .gz or another one for text, if there is a
        delimiter; else Arrow's IPC format.
    table : pyarrow.Table
        The table.
    delimiter : str or None
        What stands between cells of a text file.

    Raises
    ------
    DataError
        If a column is of a type that the format has not.
    """
    if delimiter is not None:
        packing = "gzip" if path.suffix.lower() == ".gz" else None
        with pa.output_stream(str(path), compression=packing) as stream:
            write_text(table, stream, delimiter)
        return
    try:
        if path.suffix.lower() == ".parquet":
            # Real numbers hardly repeat: a dictionary of them is built only to be dropped.
            repeating = [field.name for field in table.schema if _may_repeat(field.type)]
            pq.write_table(
                table,
                path,
                compression="zstd",
                use_dictionary=repeating,
                write_page_checksum=True,
            )
        else:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
                writer.write_table(table)
    except UNFIT as error:
        raise DataError(
            f"the table does not fit the format {path.suffix}: {_one_line(error)}"
        ) from error


def _may_repeat(arrow_type: pa.DataType) -> bool:
    is_text = pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type)
    return bool(is_text or pa.types.is_dictionary(arrow_type))


def write_text(table: pa.Table, stream: IO[bytes] | Any, delimiter: str) -> None:
    """Write a table as lines of text, names first.

    Missing values are empty cells, dates and times as in ISO 8601, durations seconds.

    Parameters
    ----------
    table : pyarrow.Table
        The table.
    stream : binary file
        Where it goes.
    delimiter : str
        What stands between cells. Text is quoted only if some text needs it.
    """
    columns = {name: _text_column(name, table.column(name)) for name in table.column_names}
    if len(columns) == 1:
        # A line of nothing is not a row; quotes of nothing are.
        columns = {
            name: column.cast(pa.string()).fill_null(text_array([""])[0])
            if column.null_count
            else column
            for name, column in columns.items()
        }
    header = io.StringIO()
    csv.writer(header, delimiter=delimiter, lineterminator="\n").writerow(columns)
    # pyarrow quotes either no text at all or all of it.
    quoted = any(_needs_quotes(column, delimiter) for column in columns.values())
    options = pacsv.WriteOptions(
        delimiter=delimiter, quoting_style="needed" if quoted else "none", include_header=False
    )
    stream.write(header.getvalue().encode("utf-8"))
    pacsv.write_csv(pa.table(columns), stream, write_options=options)


def _text_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert a column to a type that ``pyarrow.csv`` writes."""
    if pa.types.is_dictionary(column.type):
        return _text_column(name, column.cast(column.type.value_type))
    if pa.types.is_duration(column.type):
        # In whole units they would be numbers of which nothing says what they count.
        counted = column.cast(pa.int64()).cast(pa.decimal128(19, 0))
        unit = Decimal(1).scaleb(-DECIMALS[column.type.unit])
        return pc.multiply(counted, pa.scalar(unit))
    if _is_written_by_pyarrow(column.type):
        return column
    try:
        return column.cast(pa.large_string())
    except UNFIT as error:
        raise DataError(
            f"column {name!r} does not fit a text file, as it is {column.type}; write .parquet"
        ) from error


def _is_written_by_pyarrow(arrow_type: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_primitive(arrow_type)
        or types.is_decimal(arrow_type)
        or types.is_null(arrow_type)
        or types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
    )


def _needs_quotes(column: pa.ChunkedArray, delimiter: str) -> bool:
    """Whether a text holds what separates cells or lines, or is empty, unlike a missing one."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    if pc.min(pc.binary_length(column)).as_py() == 0:
        return True
    return any(
        pc.any(pc.match_substring(column, pattern)).as_py() for pattern in (delimiter, *'"\r\n')
    )


def with_nulls(table: pa.Table) -> pa.Table:
    """Give a table with null in place of NaN: text has an empty cell for either."""
    for place, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(place)
            holes = pc.is_nan(column)
            if pc.any(holes).as_py():
                column = pc.if_else(holes, pa.nulls(1, field.type)[0], column)
                table = table.set_column(place, field, column)
    return table


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
