"""What a file holds of a fitted autoencoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.planning import plain
from autoencode.state import State

__all__ = ["file_contents"]


def file_contents(model: Any, state: State) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return header and tensors.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    state : State
        Its own, or the part of it that is to be kept.
    """
    header, tensors = state.to_file()
    names = [str(name) for name in getattr(model, "feature_names_in_", np.array([]))]
    header |= {
        "estimator": type(model).__name__,
        "parameters": {name: plain(value) for name, value in model.get_params().items()},
        "feature_names": names or None,
        "n_features": model.n_features_in_,
    }
    return header, tensors
