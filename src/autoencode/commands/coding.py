"""``autoencode encode``, ``decode`` and ``reconstruct``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.files import naming, read_data
from autoencode.commands.models import (
    header_of,
    load_model,
    load_with_rows,
    require_output,
    write_rows,
)
from autoencode.commands.options import (
    Data,
    Drop,
    Force,
    Keep,
    Model,
    SkipBad,
    Table,
    Trust,
)
from autoencode.commands.picture_folders import (
    blocks_of,
    folder_form,
    write_as_pictures,
    write_decoded,
)
from autoencode.errors import AutoencodeError, DataError

if TYPE_CHECKING:
    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder

__all__ = ["decode", "encode", "reconstruct"]

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
    skip_bad: SkipBad = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Turn rows into codes.

    Columns that are kept come first in the output, so that codes can be joined back;
    of pictures their names do, in a column picture.
    Sparse codes are written to .npz as SciPy's save_npz does, to other files with zeros.
    """
    require_output(output, force=force)
    fitted, rows = load_with_rows(
        model, data, drop=drop, keep=keep, trust=trust, decodes=False, skip_bad=skip_bad
    )
    with naming(data):
        codes = fitted.transform(rows)
    from autoencode.data.arrays import is_sparse
    from autoencode.data.reading import pictures_of
    from autoencode.data.writing import write_sparse, write_table

    kept = rows.kept
    bare = ".npz" if is_sparse(codes) else ".npy"
    if pictures_of(rows) is not None and output.suffix.lower() == bare:
        kept = None  # nobody asked for names where none can be written
    names = [str(name) for name in fitted.get_feature_names_out()]
    if is_sparse(codes):
        write_sparse(output, names, codes, kept=kept, force=force)
    else:
        write_table(output, (names, codes), kept=kept, force=force)


def decode(
    model: Model,
    codes: Codes,
    output: Table = Path("-"),
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Turn codes back into rows: names, types and units as the model was fitted to.

    Identifiers, which models leave out, come back empty unless CODES carry them
    along. Pictures come back as one .npy array of pictures; those of files also as
    files, if FILE is a folder: of the model's size, under the names in CODES.
    """
    form = folder_form(output, model, force=force)
    estimator, length, facts = header_of(model, "estimator", "n_components", "facts")
    length += 2 if facts.get("aligned") else 0
    # The names that scikit-learn gives to what an estimator puts out.
    rows = _read_codes(codes, [f"{estimator.lower()}{number}" for number in range(length)])
    if rows.n_features != length:
        raise DataError(
            f"{codes}: codes have {rows.n_features} components, but {model} has {length}"
        )
    fitted = load_model(model, trust, decodes=True)
    if form is not None:
        with naming(codes):
            write_decoded(output, form, rows, fitted.inverse_transform, force=force)
        return
    with naming(codes):
        decoded = fitted.inverse_transform(rows)
    _write(output, fitted, decoded, rows, force=force)


def reconstruct(
    model: Model,
    data: Data,
    output: Table = Path("-"),
    drop: Drop = None,
    keep: Keep = None,
    skip_bad: SkipBad = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Encode rows and decode them again: what is left of them.

    Identifiers, which models leave out, come back empty unless they are kept.
    Pictures come back as one .npy array of pictures; those of files also as files, if
    FILE is a folder: of their own size, under their own names.
    """
    form = folder_form(output, model, force=force)
    fitted, rows = load_with_rows(
        model, data, drop=drop, keep=keep, trust=trust, decodes=True, skip_bad=skip_bad
    )
    if form is not None:
        blocks = (fitted.reconstruct(block) for block in blocks_of(fitted, rows))
        with naming(data):
            write_as_pictures(output, form, rows, blocks, force=force)
        return
    if rows.mapped and output.suffix.lower() == ".npy" and fitted._state.schema is None:
        with naming(data):
            _reconstruct_in_pieces(output, fitted, rows, force=force)
        return
    with naming(data):
        found = fitted.reconstruct(rows)
    _write(output, fitted, found, rows, force=force)


def _reconstruct_in_pieces(output: Path, fitted: Autoencoder, rows: Rows, *, force: bool) -> None:
    """Write what is left of rows that are read from files, a few megabytes at a time."""
    from autoencode.data.finite import require_finite
    from autoencode.data.rows import Rows
    from autoencode.data.writing import write_blocks

    if not fitted._state.composition.masked:
        require_finite(rows)
    pieces = (
        fitted.reconstruct(Rows(block, kind="numpy", names=rows.names))
        for block in blocks_of(fitted, rows)
    )
    write_blocks(output, pieces, rows.n_rows, force=force)


def _write(output: Path, fitted: Autoencoder, found: Any, rows: Rows, *, force: bool) -> None:
    names = getattr(fitted, "feature_names_in_", None)
    known = None if names is None else [str(name) for name in names]
    schema = fitted._state.schema
    write_rows(output, found, rows.kept, names=known, schema=schema, force=force)


def _read_codes(path: str, names: Sequence[str]) -> Rows:
    """Read the columns of codes by name, and carry the others along."""
    others = [name for name in _column_names(path) if name not in names]
    if len(others) == len(_column_names(path)):
        others = []  # none of them is a code: the message below says what is missing
    found = read_data(path, keep=others, expected_names=names)
    from autoencode.opening import open_codes

    with naming(path):
        return open_codes(found)


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
