"""A fitted model as an ONNX file."""

from __future__ import annotations

import importlib
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from autoencode._version import __version__
from autoencode.errors import AutoencodeError, SpecError
from autoencode.export.graph import traced
from autoencode.export.table_graph import table_graph
from autoencode.files import replacing, require_absent

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["PARTS", "MissingExtraError", "export_onnx"]

PARTS = {
    "encoder": ("rows", "codes"),
    "decoder": ("codes", "rows"),
    "autoencoder": ("rows", "reconstruction"),
}
"""What can be exported, and the names of its input and its output."""


class MissingExtraError(AutoencodeError):
    """A package that only an extra installs is missing."""


def export_onnx(
    model: Autoencoder,
    path: str | os.PathLike[str],
    *,
    part: str = "encoder",
    force: bool = False,
) -> None:
    """Write a fitted model as ONNX, centring and scaling included.

    Of a model of arrays, the graph takes and returns float32 matrices
    ``(batch, n_features)`` or ``(batch, n_components)`` with a free number of rows;
    pictures are flattened. The metadata hold the columns' names, as JSON, under
    ``feature_names``.

    Of a model of tables, every column that is used is an input by its own name,
    ``(batch,)``, and every one that comes back an output. ``inputs`` and ``outputs`` of
    the metadata tell, as JSON, each one's name, column, type, unit and how a missing cell
    is given:

    - text: as strings. The empty text is a missing cell; where it is a level,
      ``"<missing>"`` is.
    - floats and decimals: as doubles, NaN where missing.
    - integers, booleans (0 or 1), times and durations: as int64, -2^63 where missing.
    - dates and timestamps: as int64 in the unit of their type, since 1970; so are those
      that were text: in days, or in the coarsest unit that holds them.
    - dictionaries: as their levels, text or numbers.

    Scaling, and filling in what is missing, is done in float64, the layers in float32.
    Unlike the model, the graph checks nothing: a level that it does not know is unseen, a
    number far out of range is used as it is. Columns that the model leaves out do not
    occur, and constant ones only come out.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    path : path
        Replaced as a whole or not at all.
    part : {"encoder", "decoder", "autoencoder"}
        From ``rows`` to ``codes``, from ``codes`` to ``rows``, or from ``rows`` to their
        ``reconstruction``: the names of the graph's input and output. In place of
        ``rows`` a table has its columns, and in place of ``reconstruction`` their names
        with ``_reconstruction``; where a name is taken, ``_`` is added to it.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    SpecError
        If ``part`` is something else.
    DataError
        If the file exists or cannot be written, the model cannot decode, or a column
        cannot be part of a graph.
    MissingExtraError
        If onnx or onnxscript is not installed.
    """
    if part not in PARTS:
        raise SpecError(f"part={part!r} is not known; choose from {', '.join(PARTS)}")
    check_is_fitted(model)
    if model._state.facts.get("aligned"):
        raise SpecError(
            "a model of aligned pictures finds their places outside the network, which a graph "
            "does not have: fit without aligned=True to export"
        )
    if part != "encoder":
        # An encoder-only model refuses here, in its own words.
        model.inverse_transform(np.zeros((1, model.n_components_), dtype=np.float32))
    require_absent(path, force=force)
    _require("onnx", "onnxscript")
    proto, metadata = _graph(model, part)
    proto.producer_name, proto.producer_version = "autoencode", __version__
    for key, value in metadata.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    content: bytes = proto.SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _require(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingExtraError(
                f"export to ONNX needs the package {package!r}; pip install 'autoencode[onnx]'"
            ) from None


def _graph(model: Autoencoder, part: str) -> tuple[Any, dict[str, Any]]:
    """Return the ONNX model of a part, and its metadata."""
    metadata: dict[str, Any] = {
        "feature_names": [str(name) for name in getattr(model, "feature_names_in_", [])]
    }
    state = model._state
    if state.schema is not None:
        proto, ends = table_graph(state, state.schema, part)
        return proto, metadata | ends
    fitted = state.fitted(torch.float32)
    encoder = fitted.encoder
    parts: dict[str, list[nn.Module]] = {
        "encoder": [encoder],
        "decoder": [fitted.decoder],
        "autoencoder": [encoder, fitted.decoder],
    }
    width = model.n_components_ if part == "decoder" else model.n_features_in_
    source, result = PARTS[part]
    return traced(parts[part], [torch.zeros(3, width)], [source], [result]), metadata
