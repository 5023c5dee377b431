"""From a fitted model of pictures to the filters that a report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch.nn import functional

from autoencode.report_parts.filters import Filters

if TYPE_CHECKING:
    from autoencode.architectures.unet import UNet
    from autoencode.estimators import Autoencoder

__all__ = ["filters_of", "photograph_filters"]

_MOST = 32


def filters_of(model: Autoencoder, shape: tuple[int, int, int] | None) -> Filters | None:
    """Return the filters of the first layer.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    shape : tuple of int or None
        Height, width and channels if rows are pictures.

    Returns
    -------
    Filters or None
        At most 32; None if rows are no pictures, or the model has no such layer.
    """
    from autoencode.architectures.conv import ConvEncoder
    from autoencode.architectures.mlp import MlpEncoder, dense_layers

    state = model._state
    network = state.networks.get(state.source(state.n_components))
    if shape is None or network is None:
        return None
    encoder, colours = network.encoder, shape[2]
    if isinstance(encoder, ConvEncoder):
        # What a network is told of a picture beside its pixels are further planes.
        planes = encoder.narrowing.first.weight.detach()[:, :colours]
        size, weights = tuple(planes.shape[2:]), planes.permute(0, 2, 3, 1).flatten(1)
    elif isinstance(encoder, MlpEncoder) and dense_layers(encoder.layers):
        layer = dense_layers(encoder.layers)[0]
        size, weights = shape[:2], layer.weight.detach()[:, : int(np.prod(shape))]
    else:
        return None
    whole = (int(size[0]), int(size[1]), colours)
    return _largest(weights, whole, convolves=isinstance(encoder, ConvEncoder))


def photograph_filters(network: UNet, colours: int) -> Filters:
    """Return the filters of a network of pictures of any size, as it applies them.

    Its first layer sees squares of pixels as channels: filters are as many times as large.

    Parameters
    ----------
    network : UNet
        Fitted.
    colours : int
        How many of its planes are colours.
    """
    planes = functional.pixel_shuffle(network.first_filters(), 2)[:, :colours]
    whole = (planes.shape[2], planes.shape[3], colours)
    return _largest(planes.permute(0, 2, 3, 1).flatten(1), whole, convolves=True)


def _largest(weights: Tensor, shape: tuple[int, int, int], *, convolves: bool) -> Filters:
    """Return the filters with the largest weights."""
    found = weights.detach().double().cpu().numpy()
    order = np.argsort(-np.square(found).sum(axis=1), kind="stable")[:_MOST]
    return Filters(weights=found[order], shape=shape, n_filters=len(found), convolves=convolves)
