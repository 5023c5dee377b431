"""Pictures of whole numbers come back as whole numbers of the same type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_pixels", "pixel_dtype"]

_WHOLE = ("uint8", "uint16")


def pixel_dtype(dtype: np.dtype[Any], sample_shape: tuple[int, ...]) -> str | None:
    """Return the type that pictures are given back in; None: as they are computed.

    Parameters
    ----------
    dtype : numpy.dtype
        Of what was given.
    sample_shape : tuple of int
        Of one row: pictures have two or three axes.
    """
    return dtype.name if len(sample_shape) > 1 and dtype.name in _WHOLE else None


def as_pixels(values: npt.NDArray[np.floating[Any]], facts: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return pictures in the type of those that a model was fitted to.

    Parameters
    ----------
    values : ndarray
        In the data's units.
    facts : mapping
        Those of the model's state: ``pixels`` names the type, if there is one.

    Returns
    -------
    ndarray
        Rounded, and within the type's range: 0 to 255 or to 65,535.
    """
    name = facts.get("pixels")
    if name is None:
        return values
    most = np.iinfo(name).max
    whole: npt.NDArray[Any] = np.clip(np.rint(values), 0, most).astype(name)
    return whole
