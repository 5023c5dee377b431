"""``autoencode impute``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autoencode.commands.files import naming, read_for_fit
from autoencode.commands.fit_job import fit_model
from autoencode.commands.models import load_with_rows, require_output, write_rows
from autoencode.commands.options import (
    Columns,
    Drop,
    Force,
    Keep,
    Quiet,
    Table,
    Trust,
    parse_columns,
)
from autoencode.commands.progress import Progress
from autoencode.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from autoencode.data.rows import Rows

__all__ = ["impute"]

_PLACE = "{draw}"
_SHOWN = 5


def _fitting(text: str, **options: Any) -> Any:
    return typer.Option(help=text, rich_help_panel="Without MODEL", **options)


First = Annotated[
    str | None, typer.Argument(help="A fitted model, if there is one.", metavar="MODEL")
]
Second = Annotated[
    str | None,
    typer.Argument(help="Rows with the columns of the model. Required.", metavar="DATA"),
]
Draws = Annotated[
    int | None,
    typer.Option(
        help="Write this many plausible tables, not the one of expected values: one below the "
        f"other, numbered in a column draw, or one file each if FILE's name holds {_PLACE}.",
        metavar="M",
        min=1,
    ),
]
Missing = Annotated[
    Literal["ignorable", "informative"] | None,
    _fitting("As for fit; ignorable if not given."),
]
Seconds = Annotated[float | None, _fitting("Seconds of fitting.", metavar="S")]
Seed = Annotated[int | None, _fitting("As for fit; 0 if not given.", min=0)]


def impute(
    first: First = None,
    second: Second = None,
    output: Table = Path("-"),
    draws: Draws = None,
    drop: Drop = None,
    keep: Keep = None,
    column: Columns = None,
    missing: Missing = None,
    max_time: Seconds = None,
    seed: Seed = None,
    trust: Trust = None,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fill in the missing cells of a table; what is there stays as it is.

    MODEL may be any model; the one made for it is fitted with --components none
    and learns to restore hidden cells. Without MODEL, such a one is fitted to
    DATA first. Columns that a model leaves out, such as identifiers, stay as
    they are.
    """
    model, data = (first, second) if second is not None else (None, first)
    fitting = _given(
        columns=parse_columns(column), missing=missing, max_time=max_time, random_state=seed
    )
    if data is None:
        raise typer.BadParameter("name the rows: MODEL DATA, or DATA alone")
    _require_usage(model, output, draws, fitting, trust)
    _refuse_pictures(data)
    outputs = _outputs(output, draws)
    for path in outputs:
        require_output(path, force=force)
    if model is None:
        rows = read_for_fit(data, drop=drop, keep=keep, columns=fitting.get("columns"))
        found = _completed_by_a_fit(data, rows, draws, fitting, quiet=quiet)
    else:
        fitted, rows = load_with_rows(
            Path(model), data, drop=drop, keep=keep, trust=trust, decodes=True
        )
        with naming(data):
            found = fitted.impute(rows, draws)
    tables = [found] if draws is None else found
    _say_what_stays_missing(data, rows, tables[0])
    numbered = draws is not None and _PLACE not in str(output)
    _write(outputs, tables, data, rows, numbered=numbered, force=force)


def _refuse_pictures(data: str) -> None:
    from autoencode.data.reading import is_of_pictures

    if is_of_pictures(Path(data)):
        raise DataError(
            f"{data} holds pictures, in which no cell is missing: say which pixels are to be "
            "restored by autoencode restore MODEL IMAGES --mask MASKS"
        )


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _require_usage(
    model: str | None,
    output: Path,
    draws: int | None,
    fitting: Mapping[str, Any],
    trust: Sequence[str] | None,
) -> None:
    """Refuse options that would do nothing."""
    if model is not None and fitting:
        raise typer.BadParameter(
            "--column, --missing, --max-time and --seed are for fitting, but MODEL is fitted; "
            "leave out either"
        )
    if model is None and trust:
        raise typer.BadParameter("--trust is for the parts of a MODEL, but none is given")
    if draws is None and _PLACE in str(output):
        raise typer.BadParameter(f"{_PLACE} in a file's name needs --draws")


def _outputs(output: Path, draws: int | None) -> list[Path]:
    """Return the file to write, or one for each draw."""
    name = str(output)
    if draws is not None and _PLACE in name:
        return [Path(name.replace(_PLACE, str(number))) for number in range(1, draws + 1)]
    if draws is not None and output.suffix.lower() == ".npy":
        raise DataError(
            f"{output}: .npy holds one matrix; put {_PLACE} into its name, or write .parquet"
        )
    return [output]


def _completed_by_a_fit(
    data: str, rows: Rows, draws: int | None, fitting: Mapping[str, Any], *, quiet: bool
) -> Any:
    """Complete rows by a model that is fitted to them, if there is anything to complete."""
    if not rows.has_missing:
        return _as_it_is(rows) if draws is None else [_as_it_is(rows)] * draws
    parameters = {"n_components": None, "random_state": 0, **fitting}
    with Progress(quiet=quiet, max_time=fitting.get("max_time")) as progress, naming(data):
        progress.say("starting")
        model, interrupted = fit_model(parameters, rows, progress)
        if interrupted:
            raise KeyboardInterrupt
        progress.say("filling in")
        return model.impute(rows, draws)


def _as_it_is(rows: Rows) -> Any:
    from autoencode.preprocess.table_rows import TableRows

    if isinstance(rows, TableRows):
        return rows.table
    return rows.dense().reshape(rows.n_rows, *rows.sample_shape)


def _say_what_stays_missing(data: str, rows: Rows, completed: Any) -> None:
    """Tell on standard error if there was nothing to do, or not all could be done."""
    from autoencode.data.table_files import with_nulls
    from autoencode.preprocess.table_rows import TableRows

    left: list[str] = []
    if isinstance(rows, TableRows):
        left = [
            f"{block.name!r} ({block.describe()})"
            for block, cells in zip(rows.schema.blocks, with_nulls(completed).columns, strict=True)
            if cells.null_count
        ]
    more = f" and {len(left) - _SHOWN} more columns" if len(left) > _SHOWN else ""
    if left:
        text = f"cells stay missing in {', '.join(left[:_SHOWN])}{more}"
    elif not rows.has_missing:
        text = "no cell is missing; it is written as it is"
    else:
        return
    sys.stderr.write(f"autoencode: {data}: {text}\n")


def _write(
    outputs: Sequence[Path],
    tables: Sequence[Any],
    data: str,
    rows: Rows,
    *,
    numbered: bool,
    force: bool,
) -> None:
    from autoencode.preprocess.table_rows import TableRows

    kept = rows.kept
    if numbered:
        tables, kept = _stacked(data, tables, kept)
    schema = rows.schema if isinstance(rows, TableRows) else None
    for path, table in zip(outputs, tables, strict=True):
        write_rows(path, table, kept, names=rows.names, schema=schema, force=force)


def _stacked(data: str, tables: Sequence[Any], kept: pa.Table | None) -> tuple[list[Any], pa.Table]:
    """Put the draws one below the other, and their numbers before the kept columns."""
    import numpy as np
    import pyarrow as pa

    from autoencode.data.tables import column_array

    is_table = isinstance(tables[0], pa.Table)
    names = [*(tables[0].column_names if is_table else ()), *(kept.column_names if kept else ())]
    if "draw" in names:
        raise DataError(
            f"{data} has a column 'draw' already; write each draw to its own file, with "
            f"{_PLACE} in its name"
        )
    numbers = np.repeat(np.arange(1, len(tables) + 1), len(tables[0]))
    stacked = pa.table({"draw": column_array(numbers)})
    if kept is not None:
        for field, column in zip(
            kept.schema, pa.concat_tables([kept] * len(tables)).columns, strict=True
        ):
            stacked = stacked.append_column(field, column)
    return [pa.concat_tables(tables) if is_table else np.concatenate(tables)], stacked
