"""From a fitted model of pictures to the filters that a report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autoencode.report_parts.filters import Filters

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["filters_of"]

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
    found = weights.double().cpu().numpy()
    order = np.argsort(-np.square(found).sum(axis=1), kind="stable")[:_MOST]
    return Filters(
        weights=found[order],
        shape=(int(size[0]), int(size[1]), colours),
        n_filters=len(found),
        convolves=isinstance(encoder, ConvEncoder),
    )
