"""A fitted network that fills holes in pictures of any size, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.errors import DataError
from autoencode.pictures.hole_network import contrast, improved, smooth
from autoencode.pictures.model import FittedPictures
from autoencode.pictures.pieces import in_type, over_pieces, over_turns

__all__ = ["HoleModel"]

Pixels = npt.NDArray[Any]


@dataclass
class HoleModel(FittedPictures):
    """What a fit to holes learned; the network has one channel more than the pictures."""

    @property
    def n_colours(self) -> int:
        """Channels of the pictures."""
        return self.network.n_colours - 1

    def restored(self, picture: Pixels, hole: npt.NDArray[np.bool_]) -> Pixels:
        """Fill the holes of one picture.

        Parameters
        ----------
        picture : ndarray of shape (height, width) or (height, width, n_colours)
            In the data's units.
        hole : ndarray of bool, of the same shape
            Where to fill: a pixel of which one colour is to be filled is seen by none of its
            colours.

        Returns
        -------
        ndarray
            Of the same shape and type; what is not to be filled is the same, bit by bit.
        """
        missing = hole.reshape(*picture.shape[:2], self.n_colours).any(2)
        if not missing.any():
            return picture.copy()
        if missing.all():
            raise DataError("a picture is one hole: there is nothing to fill it from")
        planes = picture.reshape(*missing.shape, self.n_colours).transpose(2, 0, 1)
        values = np.where(missing, 0, planes).astype(np.float32) / np.float32(self.white)
        found = self.white * self._filled(torch.from_numpy(values), torch.from_numpy(missing))
        whole = found.numpy().transpose(1, 2, 0).reshape(picture.shape)
        result: Pixels = np.where(hole, in_type(whole, picture.dtype), picture)
        return result

    def _filled(self, values: Tensor, missing: Tensor) -> Tensor:
        """Fill ``(n_colours, height, width)``; the mean over eight turned and mirrored forms."""
        holes = missing[None, None]
        device = next(self.network.parameters()).device
        mean, unit = (part.to(device) for part in contrast(values[None], holes))
        start = smooth(values[None], holes)

        def improve(piece: Tensor, hole: Tensor) -> Tensor:
            return improved(self.network, piece, hole, mean, unit)

        def fill(piece: Tensor, hole: Tensor) -> Tensor:
            return over_turns(improve, piece, hole)

        return over_pieces(self.network, fill, start, holes, where=missing)[0]
