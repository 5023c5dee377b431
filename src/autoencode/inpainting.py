"""Pictures with holes -> pictures in which a fitted model filled them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from autoencode.bottlenecks import GaussianCode
from autoencode.data.arrays import open_array
from autoencode.data.rows import FloatArray, Rows
from autoencode.errors import DataError, SpecError
from autoencode.imputation import normal_numbers
from autoencode.interfaces import Batch, Context
from autoencode.network import encode_observed
from autoencode.preprocess.pixels import as_pixels
from autoencode.state import State

__all__ = ["drawn_pictures", "holes_of", "mended", "with_holes"]

_SEAM = 2
"""Pixels from its edge over which a hole is adapted to what is around it."""


def holes_of(pictures: npt.NDArray[Any], mask: Any) -> npt.NDArray[np.bool_]:
    """Return which values of pictures are to be filled, in their shape.

    Parameters
    ----------
    pictures : ndarray of shape (n, height, width) or (n, height, width, colours)
        Of any real type; NaN is a hole too.
    mask : array-like or None
        True where a pixel is to be filled: ``(height, width)`` for all pictures alike,
        ``(n, height, width)`` or the shape of the pictures. None: NaN alone.

    Raises
    ------
    DataError
        If the shapes do not fit, or the mask is not of yes and no.
    """
    missing = np.isnan(pictures) if pictures.dtype.kind == "f" else np.zeros(pictures.shape, bool)
    if mask is None:
        return missing
    given = np.asarray(mask)
    if given.dtype != np.bool_:
        raise DataError(
            f"the mask holds {given.dtype}: it should be True where to fill, else False"
        )
    allowed = (pictures.shape, pictures.shape[:3], pictures.shape[1:3])
    if given.shape not in allowed:
        raise DataError(
            f"the mask has the shape {given.shape}; allowed: {', '.join(map(str, allowed))}"
        )
    if given.ndim == 2:
        given = given[None]
    if given.ndim < pictures.ndim:
        given = given[..., None]
    holes: npt.NDArray[np.bool_] = missing | np.broadcast_to(given, pictures.shape)
    return holes


def with_holes(pictures: npt.NDArray[Any], holes: npt.NDArray[np.bool_]) -> Rows:
    """Return pictures as rows in which what is to be filled is missing."""
    dtype = np.float64 if pictures.dtype == np.float64 else np.float32
    values = pictures.astype(dtype)
    values[holes] = np.nan
    return open_array(values)


def mended(
    state: State, pictures: npt.NDArray[Any], holes: npt.NDArray[np.bool_], values: FloatArray
) -> npt.NDArray[Any]:
    """Return pictures with their holes filled; every other pixel is as it was, bit by bit.

    Parameters
    ----------
    state : State
        The fitted model.
    pictures : ndarray
        As they were given.
    holes : ndarray of bool
        As from `holes_of`.
    values : ndarray of shape (n, n_values)
        What the model makes of all pixels.
    """
    whole = values.reshape(pictures.shape)
    known = ~holes
    gap = np.where(known, pictures, 0).astype(whole.dtype) - np.where(known, whole, 0)
    whole = as_pixels(whole + _spread(gap, known), {"pixels": _whole(pictures, state)})
    return np.where(holes, whole.astype(pictures.dtype, copy=False), pictures)


def _whole(pictures: npt.NDArray[Any], state: State) -> str | None:
    """Return the type of whole numbers that is asked for."""
    return pictures.dtype.name if pictures.dtype.kind == "u" else state.facts.get("pixels")


def _spread(
    gap: npt.NDArray[np.floating[Any]], known: npt.NDArray[np.bool_]
) -> npt.NDArray[np.floating[Any]]:
    """Return what a model misses at known pixels, carried a little way into holes.

    The mean of the near known pixels, weighted by a binomial filter; where less than half of
    the weight is on known ones, less of it. So there is no seam, and far inside a hole the model
    alone speaks.
    """
    weights = torch.from_numpy(known).to(torch.from_numpy(gap).dtype)
    carried = _blurred(torch.from_numpy(gap))
    near = _blurred(weights)
    result: npt.NDArray[np.floating[Any]] = (carried / near.clamp_min(0.5)).numpy()
    return result


def _blurred(pictures: Tensor) -> Tensor:
    """Filter ``(n, height, width[, colours])`` binomially over a few pixels."""
    shaped = pictures if pictures.ndim == 4 else pictures[..., None]
    shaped = shaped.permute(0, 3, 1, 2)
    width = 2 * _SEAM + 1
    line = torch.ones(1, dtype=pictures.dtype)
    for _ in range(width - 1):
        line = functional.pad(line, (1, 0)) + functional.pad(line, (0, 1))
    line = line / line.sum()
    kernel = (line[:, None] * line).expand(shaped.shape[1], 1, width, width)
    found = functional.conv2d(shaped, kernel, padding=_SEAM, groups=shaped.shape[1])
    return found.permute(0, 2, 3, 1).reshape(pictures.shape)


def drawn_pictures(state: State, rows: Rows, count: int) -> list[FloatArray]:
    """Return what a variational model may make of pictures, several times.

    Codes are drawn from each picture's posterior given what is known of it; every picture is
    given the same standard-normal numbers.

    Parameters
    ----------
    state : State
        The fitted model.
    rows : Rows
        With missing values.
    count : int
        How many times.

    Returns
    -------
    list of ndarray of shape (n, n_values)
        In the data's units.

    Raises
    ------
    SpecError
        If codes of this model are not drawn.
    """
    network = state.networks.get(state.source(state.n_components))
    if network is None or not isinstance(network.bottleneck, GaussianCode):
        raise SpecError(
            "n_draws needs codes that are drawn, and this model has none: fit with "
            "bottleneck='gaussian' (where PCA was better its codes are not drawn either)"
        )
    fitted = state.fitted(torch.float32)
    encoder, decoder, neck = fitted.encoder, fitted.decoder, fitted.encoder.bottleneck
    assert isinstance(neck, GaussianCode)
    numbers = normal_numbers(count, state.n_components, int(state.facts["seed"]))
    noise = torch.from_numpy(numbers).float()[:, None]
    results = [np.empty((rows.n_rows, state.n_values), np.float32) for _ in range(count)]
    with torch.inference_mode():
        for start, block in rows.blocks(256):
            scaled = encoder.scaled(torch.from_numpy(block).float())
            observed = torch.isnan(scaled).logical_not()
            batch = Batch(torch.nan_to_num(scaled, nan=0.0), observed)
            stats = encode_observed(encoder, batch, Context()).stats
            codes = neck.drawn(stats, noise).z.unflatten(0, (count, len(block)))
            for result, z in zip(results, codes, strict=True):
                result[start : start + len(block)] = decoder(z * encoder.code_scale).numpy()
    return [result.astype(rows.dtype, copy=False) for result in results]
