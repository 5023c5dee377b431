"""``autoencode encode``, ``decode`` and ``reconstruct``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.files import read_rows, require_writable
from autoencode.commands.options import Drop, Force, Keep, Model, Table, Trust
from autoencode.errors import AutoencodeError, DataError, ModelFileError

if TYPE_CHECKING:
    import numpy.typing as npt

    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder

__all__ = ["decode", "encode", "reconstruct"]

Data = Annotated[
    str, typer.Argument(help="Rows with the columns that the model knows.", metavar="DATA")
]
Codes = Annotated[
    str,
    typer.Argument(
        help="Codes as encode writes them; other columns are carried along.", metavar="CODES"
    ),
]


def encode(
    model: Model,
    data: Data,
    output: Table = Path("-"),
    drop: Drop = None,
    keep: Keep = None,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Turn rows into codes.

    Columns that are kept come first in the output, so that codes can be joined back.
    """
    _require_output(output, force=force)
    rows = _rows_for(model, data, drop, keep)
    fitted = _loaded(model, trust)
    codes = fitted.transform(rows)
    names = [str(name) for name in fitted.get_feature_names_out()]
    _write(output, names, codes, rows, force=force)


def decode(
    model: Model,
    codes: Codes,
    output: Table = Path("-"),
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Turn codes back into rows, in the units of the data.

    Pictures come back as one .npy array of pictures.
    """
    _require_output(output, force=force)
    estimator, length = _header(model, "estimator", "n_components")
    # The names that scikit-learn gives to what an estimator puts out.
    rows = _read_codes(codes, [f"{estimator.lower()}{number}" for number in range(length)])
    if rows.n_features != length:
        raise DataError(
            f"{codes}: codes have {rows.n_features} components, but {model} has {length}"
        )
    fitted = _loaded(model, trust)
    _write_rows(output, fitted, fitted.inverse_transform(rows), rows, force=force)


def reconstruct(
    model: Model,
    data: Data,
    output: Table = Path("-"),
    drop: Drop = None,
    keep: Keep = None,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Encode rows and decode them again: what is left of them.

    Pictures come back as one .npy array of pictures.
    """
    _require_output(output, force=force)
    rows = _rows_for(model, data, drop, keep)
    fitted = _loaded(model, trust)
    _write_rows(output, fitted, fitted.reconstruct(rows), rows, force=force)


def _require_output(output: Path, *, force: bool) -> None:
    from autoencode.data.writing import require_table_suffix

    require_table_suffix(output)
    if os.fspath(output) != "-":
        require_writable(output, force=force)


def _loaded(model: Path, trust: Sequence[str] | None) -> Autoencoder:
    from autoencode.loading import load

    return load(model, trusted=tuple(trust or ()))


def _header(model: Path, *names: str) -> list[Any]:
    """Read what a model's file says about itself: the model proper takes seconds to load."""
    from autoencode.model_file import read_header

    header = read_header(model)
    missing = [name for name in names if name not in header]
    if missing:
        raise ModelFileError(f"{model} does not fit together: it has no {missing[0]!r}")
    return [header[name] for name in names]


def _rows_for(
    model: Path, data: str, drop: Sequence[str] | None, keep: Sequence[str] | None
) -> Rows:
    """Read rows, which should have as many columns as the model, of the same names."""
    names, width = _header(model, "feature_names", "n_features")
    rows = read_rows(data, drop=drop, keep=keep, expected_names=names)
    if rows.n_features != width:
        raise DataError(f"{data} has {rows.n_features} columns, but {model} was fitted to {width}")
    return rows


def _read_codes(path: str, names: Sequence[str]) -> Rows:
    """Read the columns of codes by name, and carry the others along."""
    others = [name for name in _column_names(path) if name not in names]
    if len(others) == len(_column_names(path)):
        others = []  # none of them is a code: the message below says what is missing
    return read_rows(path, keep=others, expected_names=names)


def _column_names(path: str) -> tuple[str, ...]:
    """Return a table's column names; none for arrays, tables without names and bad files."""
    from autoencode.data.reading import table_source

    if path.lower().endswith(".npy") or ".npz" in path.lower():
        return ()
    try:
        source = table_source(Path(path))
    except (AutoencodeError, OSError):
        return ()  # opening it for its rows says what is wrong
    return source.names if source.named else ()


def _write_rows(
    output: Path, fitted: Autoencoder, values: npt.NDArray[Any], rows: Rows, *, force: bool
) -> None:
    """Write rows in the data's units: pictures as such where the format can."""
    from autoencode.data.writing import write_array

    if values.ndim > 2 and output.suffix.lower() == ".npy":
        write_array(output, values, force=force)
        return
    known = getattr(fitted, "feature_names_in_", None)
    names = [f"x{number}" for number in range(fitted.n_features_in_)] if known is None else known
    _write(
        output, [str(name) for name in names], values.reshape(len(values), -1), rows, force=force
    )


def _write(
    output: Path, names: Sequence[str], values: npt.NDArray[Any], rows: Rows, *, force: bool
) -> None:
    from autoencode.data.writing import write_table

    write_table(output, (names, values), kept=rows.kept, force=force)
