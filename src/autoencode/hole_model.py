"""A fitted network that fills holes in pictures of any size, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.errors import DataError, ModelFileError
from autoencode.hole_network import contrast, improved, smooth
from autoencode.picture_pieces import PIECE, in_type, over_turns

__all__ = ["HoleModel"]

Pixels = npt.NDArray[Any]


@dataclass
class HoleModel:
    """What a fit to pictures learned, and how it becomes a file and back.

    Attributes
    ----------
    network : UNet
        On its device; it has one channel more than the pictures.
    white : float
        What is 1 to the network, in the data's units.
    facts : dict
        Pictures, seconds, stop reason, held-out figures: plain values.
    history : dict of str to list
        Epoch by epoch.
    """

    network: UNet
    white: float
    facts: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[Any]] = field(default_factory=dict)

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

    @torch.inference_mode()
    def _filled(self, values: Tensor, missing: Tensor) -> Tensor:
        """Fill ``(n_colours, height, width)``; pieces without holes are left as they are."""
        step, margin = self.network.step, self.network.margin
        height, width = missing.shape
        rows, columns = (
            torch.from_numpy(np.pad(np.arange(side), (0, -side % step), "symmetric"))
            for side in (height, width)
        )
        hole = missing[None, None]
        mean, unit = contrast(values[None], hole)
        start = smooth(values[None], hole)[..., rows, :][..., columns]
        hole = hole[..., rows, :][..., columns]
        result = start.clone()
        for down in range(0, hole.shape[2], PIECE):
            for right in range(0, hole.shape[3], PIECE):
                inner = (..., slice(down, down + PIECE), slice(right, right + PIECE))
                if not hole[inner].any():
                    continue
                top, left = max(0, down - margin), max(0, right - margin)
                seen = (
                    ...,
                    slice(top, down + PIECE + margin),
                    slice(left, right + PIECE + margin),
                )
                found = self._turns(start[seen], hole[seen], mean, unit)
                tall, wide = hole[inner].shape[2:]
                a, b = down - top, right - left
                result[inner] = found[..., a : a + tall, b : b + wide]
        return result[0, :, :height, :width]

    def _turns(self, start: Tensor, hole: Tensor, mean: Tensor, unit: Tensor) -> Tensor:
        """Fill one piece: the mean over its eight turned and mirrored forms."""
        device = next(self.network.parameters()).device
        start, hole, mean, unit = (part.to(device) for part in (start, hole, mean, unit))
        found = over_turns(
            lambda shown, holes: improved(self.network, shown, holes, mean, unit), start, hole
        )
        return found.cpu()

    def scaled(self, factor: float) -> HoleModel:
        """Return the same for pictures whose white is ``factor`` times as large."""
        return replace(self, white=self.white * factor)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Pixels]]:
        """Return header and tensors."""
        made_of, tensors = self.network.to_file()
        header = {
            "network": made_of,
            "white": self.white,
            "facts": self.facts,
            "history": self.history,
        }
        return header, tensors

    @classmethod
    def from_file(cls, header: dict[str, Any], tensors: dict[str, Pixels]) -> HoleModel:
        """Rebuild a model.

        Raises
        ------
        ModelFileError
            If something is missing or does not fit together.
        """
        try:
            network = UNet.from_file(header["network"], tensors)
            return cls(network, float(header["white"]), header["facts"], header["history"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"the model file does not fit together: {reason}") from None
