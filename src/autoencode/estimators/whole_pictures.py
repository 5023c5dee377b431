"""What estimators of pictures of any size have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from autoencode import defaults
from autoencode.checkpoint import Checkpoint, identify
from autoencode.errors import DataError, SpecError
from autoencode.model_file import write_model
from autoencode.pictures.model import FittedPictures
from autoencode.planning import plain, said

__all__ = ["PictureEstimator", "pictures_given", "whole_or_auto"]

Pixels = npt.NDArray[Any]


class PictureEstimator(BaseEstimator):
    """Checks parameters that such estimators share, reads pictures, and writes models."""

    _model: Any

    def _shared_wishes(self, widths: tuple[int, ...]) -> dict[str, Any]:
        """Return what is the same for all fits to pictures; ``widths`` are those of "auto"."""
        given = self.get_params()
        fraction, sizes = given["validation_fraction"], given["hidden_layer_sizes"]
        if not isinstance(fraction, int | float | np.number) or not 0 < fraction < 1:
            raise SpecError(f"validation_fraction={fraction!r} should lie between 0 and 1")
        chosen = defaults.hidden_layer_sizes(sizes, 1)
        if not chosen:
            raise SpecError("hidden_layer_sizes=() leaves no network: give one size at least")
        limit, verbose = given["max_time"], given["verbose"]
        return {
            "widths": widths if isinstance(sizes, str) else chosen,
            "max_epochs": whole_or_auto("max_epochs", given["max_epochs"]),
            "batch_size": whole_or_auto("batch_size", given["batch_size"]),
            "max_time": None if limit is None else defaults.positive("max_time", limit),
            "learning_rate": defaults.learning_rate(given["learning_rate"]),
            "validation_fraction": float(fraction),
            "device": defaults.device(given["device"]),
            "n_threads": whole_or_auto("n_threads", given["n_threads"]),
            "seed": defaults.seed(given["random_state"]),
            "report": verbose if callable(verbose) else said if verbose else None,
        }

    def _fitted(
        self,
        sources: Mapping[str, Sequence[Pixels] | None],
        fit: Callable[[Checkpoint | None], FittedPictures],
        checkpoint: str | os.PathLike[str] | None,
    ) -> Self:
        """Fit and adopt what comes of it.

        Parameters
        ----------
        sources : mapping of str to sequence of ndarray or None
            All that the fit is given, by name.
        fit : callable
            Takes what keeps the state of training, and returns the model.
        checkpoint : path or None
            The file that does.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, when what was learned is adopted.
        """
        keeper: AbstractContextManager[Checkpoint | None] = nullcontext()
        if checkpoint is not None:
            given = self.get_params() | {"verbose": False}
            parameters = {name: plain(value) for name, value in given.items()}
            keeper = Checkpoint(checkpoint, identify(type(self).__name__, parameters, sources))
        with keeper as kept:
            self._adopt(fit(kept))
            if self.stop_reason_ == "interrupted":
                raise KeyboardInterrupt
        return self

    def _adopt(self, model: Any) -> None:
        """Set the fitted attributes."""
        self._model = model
        self.stop_reason_ = model.facts["stop_reason"]
        self.history_ = model.history

    def _is_one(self, X: Any) -> bool:
        """Say whether this is one picture, and not several."""
        return isinstance(X, np.ndarray) and X.ndim == (2 if self._model.n_colours == 1 else 3)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file (safetensors, no code inside).

        Parameters
        ----------
        path : path
            Replaced as a whole or not at all.
        """
        check_is_fitted(self, "_model")
        header, tensors = self._model.to_file()
        given = self.get_params() | {"verbose": bool(self.get_params()["verbose"])}
        parameters = {name: plain(value) for name, value in given.items()}
        header |= {"estimator": type(self).__name__, "parameters": parameters}
        write_model(path, header, tensors)


def pictures_given(X: Any, name: str) -> Sequence[Pixels]:
    """Return pictures as a sequence of arrays of numbers, all with the same channels.

    Parameters
    ----------
    X : object
        What a user gave.
    name : str
        What it is called in errors.

    Raises
    ------
    DataError
        If these are no pictures, or of several kinds.
    """
    if isinstance(X, np.ndarray) and X.ndim < 3:
        raise DataError(
            f"{name} has the shape {X.shape}: give pictures as a list of arrays, or as one array "
            "(n, height, width)"
        )
    found = [np.asarray(picture) for picture in X]
    if not found:
        raise DataError(f"{name} has no pictures: give one at least")
    channels = {picture.shape[2:] for picture in found if picture.ndim in (2, 3)}
    if len(channels) != 1 or any(picture.ndim not in (2, 3) for picture in found):
        shapes = sorted({picture.shape for picture in found}, key=str)[:3]
        raise DataError(
            f"{name} has pictures of the shapes {', '.join(map(str, shapes))}: all should be "
            "(height, width), or (height, width, colours) with the same colours"
        )
    if len({picture.dtype for picture in found}) > 1 or found[0].dtype.kind not in "uif":
        types = sorted({str(picture.dtype) for picture in found})[:3]
        raise DataError(
            f"{name} has pictures of {', '.join(types)}: give all as one type of numbers"
        )
    return found


def whole_or_auto(name: str, value: Any) -> Any:
    """Return a parameter that is a positive whole number or "auto", checked."""
    return value if value == "auto" else int(defaults.positive(name, value, whole=True))
