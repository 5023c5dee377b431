"""From a model file back to a fitted estimator."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.anomaly import Detector, group
from autoencode.errors import ModelFileError
from autoencode.estimators import (
    AnomalyDetector,
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    PictureDenoiser,
    PictureRestorer,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from autoencode.model_file import read_model
from autoencode.pictures.hole_model import HoleModel
from autoencode.pictures.model import PictureModel
from autoencode.state import State

__all__ = ["load"]

_ESTIMATORS = {
    kind.__name__: kind
    for kind in (
        Autoencoder,
        ConvolutionalAutoencoder,
        DenoisingAutoencoder,
        SparseAutoencoder,
        VariationalAutoencoder,
    )
}


def load(path: str | os.PathLike[str], *, trusted: tuple[str, ...] = ()) -> Any:
    """Read a model written by ``save``; nothing in the file is executed.

    A folder is read as a sparse autoencoder of another project; see
    `SparseAutoencoder.from_dictionary`.

    Parameters
    ----------
    path : path
        The file, or the folder.
    trusted : tuple of str
        Packages from which parts that the model names may be imported.

    Returns
    -------
    Autoencoder, AnomalyDetector, PictureDenoiser or PictureRestorer
        Fitted.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, from a newer version, or names a part from a
        package that is not trusted.
    """
    if os.path.isdir(path):
        return SparseAutoencoder.from_dictionary(path)
    header, tensors = read_model(path)
    if header.get("estimator") == AnomalyDetector.__name__:
        return _detector(os.fspath(path), header, tensors, trusted)
    if header.get("estimator") in (PictureDenoiser.__name__, PictureRestorer.__name__):
        return _of_pictures(os.fspath(path), header, tensors)
    return _autoencoder(os.fspath(path), header, tensors, trusted)


def _autoencoder(
    path: str,
    header: dict[str, Any],
    tensors: dict[str, npt.NDArray[Any]],
    trusted: tuple[str, ...],
) -> Any:
    kind = _ESTIMATORS.get(header.get("estimator", ""))
    if kind is None:
        raise ModelFileError(f"{path} holds a {header.get('estimator')!r}, not a model")
    try:
        parameters = header["parameters"]
        for name in ("penalties", "hidden_layer_sizes"):
            if isinstance(parameters[name], list):
                parameters[name] = tuple(parameters[name])
        model = kind(**parameters)
        model.n_features_in_ = int(header["n_features"])
        if header["feature_names"]:
            model.feature_names_in_ = np.array(header["feature_names"], dtype=object)
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None
    model._adopt(State.from_file(header, tensors, trusted))
    return model


def _detector(
    path: str,
    header: dict[str, Any],
    tensors: dict[str, npt.NDArray[Any]],
    trusted: tuple[str, ...],
) -> AnomalyDetector:
    try:
        model = AnomalyDetector(**header["parameters"])
        model.n_features_in_ = int(header["n_features"])
        if header["feature_names"]:
            model.feature_names_in_ = np.array(header["feature_names"], dtype=object)
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None
    inner = None
    if header.get("autoencoder") is not None:
        inner = _autoencoder(path, header["autoencoder"], group(tensors, "autoencoder."), trusted)
        model.estimator = inner
    model._adopt(Detector.from_file(header, tensors, inner))
    return model


def _of_pictures(
    path: str, header: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]
) -> PictureDenoiser | PictureRestorer:
    try:
        parameters = header["parameters"]
        if isinstance(parameters["hidden_layer_sizes"], list):
            parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
        if header["estimator"] == PictureRestorer.__name__:
            restorer = PictureRestorer(**parameters)
            restorer._adopt(HoleModel.from_file(header, tensors))
            return restorer
        model = PictureDenoiser(**parameters)
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{path} does not fit together: {error}") from None
    model._adopt(PictureModel.from_file(header, tensors))
    return model
