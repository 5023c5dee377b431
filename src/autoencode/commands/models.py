"""A fitted model, the rows that it is applied to, and writing what comes out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencode.commands.files import naming, read_data, require_writable
from autoencode.data.picture_wish import PictureWish
from autoencode.errors import DataError, ModelFileError

if TYPE_CHECKING:
    import pyarrow as pa

    from autoencode.data.picture_form import PictureForm
    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder
    from autoencode.preprocess.columns import Schema

__all__ = [
    "form_of",
    "header_of",
    "load_model",
    "load_with_rows",
    "require_codes",
    "require_output",
    "write_rows",
]

_SINGLE = {
    "AnomalyDetector": "finds anomalies and nothing else: use autoencode detect",
    "PictureDenoiser": "takes noise out of pictures and nothing else: use autoencode denoise",
    "PictureRestorer": "fills holes in pictures and nothing else: use autoencode restore",
}


def require_output(output: Path, *, force: bool) -> None:
    """Refuse a name under which no table could be written, before any work is done.

    Parameters
    ----------
    output : Path
        The file to be written; ``-`` is standard output.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If its suffix names no format, or it could not be written.
    """
    from autoencode.data.writing import require_table_suffix

    require_table_suffix(output)
    if os.fspath(output) != "-":
        require_writable(output, force=force)


def header_of(model: Path, *names: str) -> list[Any]:
    """Return entries of a model's header: the model proper takes seconds to load.

    A folder of another project's sparse autoencoder has a few of them too.

    Raises
    ------
    ModelFileError
        If the file cannot be used or lacks one of them.
    """
    from autoencode.model_file import read_header

    header = _header_of_folder(model) if model.is_dir() else read_header(model)
    missing = [name for name in names if name not in header]
    if missing:
        raise ModelFileError(f"{model} does not fit together: it has no {missing[0]!r}")
    return [header[name] for name in names]


def require_codes(model: Path) -> None:
    """Refuse models that have no codes: they do one thing.

    Raises
    ------
    ModelFileError
        If the file is one, or cannot be used.
    """
    (estimator,) = header_of(model, "estimator")
    if estimator in _SINGLE:
        raise ModelFileError(f"{model} {_SINGLE[estimator]}")


def _header_of_folder(folder: Path) -> dict[str, Any]:
    from autoencode.dictionary_files import read_dictionary

    n_components, n_values = read_dictionary(folder).parts.shape
    return {
        "estimator": "SparseAutoencoder",
        "n_components": n_components,
        "n_features": n_values,
        "feature_names": None,
        "facts": {},
    }


def form_of(model: Path) -> PictureForm | None:
    """Return the form of the pictures that a model was fitted to; None if it was not to files.

    Raises
    ------
    ModelFileError
        If the file cannot be used.
    """
    if model.is_dir():
        return None
    (facts,) = header_of(model, "facts")
    if "pictures" not in facts:
        return None
    from autoencode.data.picture_form import PictureForm

    with naming(model):
        return PictureForm.from_header(facts["pictures"])


def load_model(model: Path, trust: Sequence[str] | None, *, decodes: bool) -> Autoencoder:
    """Load a model that gives tables back as files hold them.

    Parameters
    ----------
    model : Path
        Its file.
    trust : sequence of str or None
        Packages from which parts may be imported.
    decodes : bool
        Whether it is to decode.

    Raises
    ------
    ModelFileError
        If the file cannot be used.
    DataError
        If the model is to decode, but holds nothing but an encoder.
    """
    from autoencode.loading import load

    require_codes(model)
    fitted: Autoencoder = load(model, trusted=tuple(trust or ()))
    if decodes:
        with naming(model):
            fitted._require_decoder()
    if fitted._state.schema is not None:
        # Not as the frame that it was fitted to in Python.
        fitted._state.facts["frame"] = {"kind": "arrow", "dtypes": None}
    return fitted


def load_with_rows(
    model: Path,
    data: str,
    *,
    drop: Sequence[str] | None,
    keep: Sequence[str] | None,
    trust: Sequence[str] | None,
    decodes: bool,
    skip_bad: bool = False,
) -> tuple[Autoencoder, Rows]:
    """Load a model and the rows for it, which should have the columns of its fit.

    Parameters
    ----------
    model : Path
        A model's file.
    data : str
        A file of rows.
    drop, keep
        As for `read_data`.
    trust, decodes
        As for `load_model`.
    skip_bad : bool
        Whether pictures that cannot be read are left out.

    Returns
    -------
    Autoencoder
        The model.
    Rows
        The rows, under the schema of its fit.

    Raises
    ------
    DataError, ModelFileError
        With the name of the file that is at fault.
    """
    from autoencode.data.reading import is_of_pictures

    require_codes(model)
    names, width = header_of(model, "feature_names", "n_features")
    wish = PictureWish(skip_bad=skip_bad)
    if names is None and is_of_pictures(Path(data)):
        wish = PictureWish(skip_bad=skip_bad, form=form_of(model))
        if wish.form is None:
            raise DataError(
                f"{data} holds pictures, but {model} was fitted to an array of numbers: hand it "
                "over as an array (.npy)"
            )
    found = read_data(data, drop=drop, keep=keep, expected_names=names, pictures=wish)
    if found.n_columns != width:
        raise DataError(f"{data} has {found.n_columns} columns, but {model} was fitted to {width}")
    fitted = load_model(model, trust, decodes=decodes)
    from autoencode.opening import open_like

    with naming(data):
        return fitted, open_like(found, fitted._state.schema, names)


def write_rows(
    output: Path,
    found: Any,
    kept: pa.Table | None,
    *,
    names: Sequence[str] | None,
    schema: Schema | None,
    force: bool,
) -> None:
    """Write rows in the data's units, with the columns that are carried along.

    Parameters
    ----------
    output : Path
        Where they go.
    found : pyarrow.Table or ndarray
        A table, rows of numbers, or pictures, which are written as such where the format
        can.
    kept : pyarrow.Table or None
        Columns that go first, except for those that the schema leaves out, which go where
        they were.
    names : sequence of str or None
        Of the columns, if they have any.
    schema : Schema or None
        That of the model, if it was fitted to a table.
    force : bool
        Whether an existing file may be replaced.
    """
    from autoencode.data.writing import write_array, write_frame, write_table

    if schema is not None:
        for block in schema.blocks:
            if kept is not None and not block.n_cells and block.name in kept.column_names:
                place = found.column_names.index(block.name)
                field, column = kept.field(block.name), kept.column(block.name)
                found = found.set_column(place, field, column)
                kept = kept.drop_columns([block.name])
        write_frame(output, found, kept=kept, force=force)
    elif found.ndim > 2 and output.suffix.lower() == ".npy":
        write_array(output, found, force=force)
    else:
        flat = found.reshape(len(found), -1)
        if names is None:
            names = [f"x{number}" for number in range(flat.shape[1])]
        write_table(output, (names, flat), kept=kept, force=force)
