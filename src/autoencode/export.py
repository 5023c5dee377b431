"""A fitted model as an ONNX file: raw rows go in, codes or rows come out."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from autoencode._version import __version__
from autoencode.errors import AutoencodeError, SpecError
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

_CHATTY = ("torch.onnx", "torch.onnx._internal.exporter._registration", "onnxscript")


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

    The graph takes and returns float32 matrices ``(batch, n_features)`` or
    ``(batch, n_components)`` with a free number of rows; pictures are flattened. The
    metadata hold the columns' names, as JSON, under ``feature_names``.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    path : path
        Replaced as a whole or not at all.
    part : {"encoder", "decoder", "autoencoder"}
        From ``rows`` to ``codes``, from ``codes`` to ``rows``, or from ``rows`` to their
        ``reconstruction``: the names of the graph's input and output.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    SpecError
        If ``part`` is something else.
    DataError
        If the file exists or cannot be written, or the model cannot decode.
    MissingExtraError
        If onnx or onnxscript is not installed.
    """
    if part not in PARTS:
        raise SpecError(f"part={part!r} is not known; choose from {', '.join(PARTS)}")
    check_is_fitted(model)
    if part != "encoder":
        # An encoder-only model refuses here, in its own words.
        model.inverse_transform(np.zeros((1, model.n_components_), dtype=np.float32))
    require_absent(path, force=force)
    _require("onnx", "onnxscript")
    names = [str(name) for name in getattr(model, "feature_names_in_", [])]
    proto = _graph(_module(model, part), *PARTS[part], _width(model, part))
    proto.producer_name, proto.producer_version = "autoencode", __version__
    entry = proto.metadata_props.add()
    entry.key, entry.value = "feature_names", json.dumps(names)
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


def _width(model: Autoencoder, part: str) -> int:
    return int(model.n_components_ if part == "decoder" else model.n_features_in_)


def _module(model: Autoencoder, part: str) -> nn.Module:
    fitted = model._state.fitted(torch.float32)
    whole = {
        "encoder": fitted.encoder,
        "decoder": fitted.decoder,
        "autoencoder": nn.Sequential(fitted.encoder, fitted.decoder),
    }
    return whole[part].eval()


def _graph(module: nn.Module, source: str, result: str, width: int) -> Any:
    """Return the ONNX model of a module on float32 matrices of any number of rows."""
    example = torch.zeros(3, width)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[source],
            output_names=[result],
            dynamic_shapes=({0: "batch"},),
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks about its own insides from the user."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
