"""A fitted network that takes noise out of pictures of any size, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.errors import DataError, ModelFileError
from autoencode.noise import Noise
from autoencode.picture_adapting import adapted
from autoencode.picture_levels import noise_level
from autoencode.picture_network import middle, noise_and_slope
from autoencode.picture_pieces import PIECE, in_type, over_turns

__all__ = ["PictureModel", "in_planes"]

Pixels = npt.NDArray[Any]

_REFINED, _LEAST_SLOPE = 3, 1e-3


@dataclass
class PictureModel:
    """What a fit to pictures learned, and how it becomes a file and back.

    Attributes
    ----------
    network : UNet
        On its device.
    white : float
        What is 1 to the network, in the data's units.
    situation : {"pairs", "clean", "noisy"}
        What it was fitted to.
    noise : Noise
        What noise the pictures of the fit had, in the data's units.
    facts : dict
        Pictures, seconds, stop reason, held-out figures: plain values.
    history : dict of str to list
        Epoch by epoch.
    """

    network: UNet
    white: float
    situation: str
    noise: Noise
    facts: dict[str, Any] = field(default_factory=dict)
    history: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def n_colours(self) -> int:
        """Channels of the pictures."""
        return self.network.n_colours

    @property
    def adapts(self) -> bool:
        """Whether the network may be fitted further to a picture: its noise is normal."""
        return bool(self.facts["noise"] != "given")

    def denoised(
        self, picture: Pixels, level: float | None = None, adapt: int = 0
    ) -> tuple[Pixels, float]:
        """Take the noise out of one picture.

        Parameters
        ----------
        picture : ndarray of shape (height, width) or (height, width, n_colours)
            In the data's units.
        level : float or None
            Deviation of its noise, in these units; None: estimated.
        adapt : int
            Steps of further fitting to this picture alone; see `picture_adapting.adapted`.

        Returns
        -------
        picture : ndarray
            Of the same shape and type; whole numbers are rounded, and stay in their range.
        level : float
            The deviation that was told or estimated.
        """
        values = in_planes(picture, self.n_colours) / self.white
        if level is None:
            level = self._level(values) * self.white
        told = level / self.white
        restored = self._restored(values, told)
        if adapt and told:
            pair = torch.from_numpy(values), torch.from_numpy(restored)
            network = adapted(self.network, *pair, told, adapt)
            restored = replace(self, network=network)._restored(values, told)
        result = self.white * restored
        result = result[0] if picture.ndim == 2 else result.transpose(1, 2, 0)
        return in_type(result, picture.dtype), level

    def _level(self, values: npt.NDArray[np.float32]) -> float:
        """Estimate the deviation of a picture's noise; white is 1.

        Texture makes the first estimate too high. The best guess of the noise has a mean square
        of the true variance times its mean slope (Tweedie's formula: Efron, 2011, eq. 2.8), so
        that their ratio says the variance, nearly whatever level is told.
        """
        level = noise_level(values.transpose(1, 2, 0))
        piece = middle(torch.from_numpy(values), PIECE, self.network.step)
        if not (self.adapts and piece.numel() and level):
            # From pairs as they are it was learned under the first estimate.
            return level
        piece = piece.to(next(self.network.parameters()).device)[None]
        probe = torch.randn(piece.shape, generator=torch.Generator().manual_seed(0)).to(piece)
        for _ in range(_REFINED):
            square, slope = noise_and_slope(self.network, piece, probe, level)
            level = min(level, math.sqrt(square / max(slope, _LEAST_SLOPE)))
        return level

    def _restored(self, values: npt.NDArray[np.float32], level: float) -> npt.NDArray[np.float32]:
        """Return a picture without noise, ``(n_colours, height, width)``; white is 1."""
        step, margin = self.network.step, self.network.margin
        height, width = values.shape[1:]
        ends = [(0, -side % step) for side in (height, width)]
        padded = torch.from_numpy(np.pad(values, [(0, 0), *ends], mode="symmetric"))
        device = next(self.network.parameters()).device
        result = np.empty_like(values)
        for rows, seen_rows in _pieces(padded.shape[1], margin):
            for columns, seen_columns in _pieces(padded.shape[2], margin):
                piece = padded[:, seen_rows, seen_columns].to(device)
                top, left = rows.start - seen_rows.start, columns.start - seen_columns.start
                noise = self._noise(piece, level)
                kept = (
                    slice(rows.start, min(rows.stop, height)),
                    slice(columns.start, min(columns.stop, width)),
                )
                tall, wide = (part.stop - part.start for part in kept)
                inner = noise[:, top : top + tall, left : left + wide]
                result[:, *kept] = values[:, *kept] - inner.cpu().numpy()
        return result

    @torch.inference_mode()
    def _noise(self, piece: Tensor, level: float) -> Tensor:
        """Return the noise of a piece: the mean over its eight turned and mirrored forms."""
        levels = torch.full((1,), level, dtype=piece.dtype, device=piece.device)
        return over_turns(lambda found: self.network(found[None], levels)[0], piece)

    def scaled(self, factor: float) -> PictureModel:
        """Return the same for pictures whose white is ``factor`` times as large."""
        return replace(self, white=self.white * factor)

    def to_file(self) -> tuple[dict[str, Any], dict[str, Pixels]]:
        """Return header and tensors."""
        made_of, tensors = self.network.to_file()
        header = {
            "network": made_of,
            "white": self.white,
            "situation": self.situation,
            "noise": self.noise.header(),
            "facts": self.facts,
            "history": self.history,
        }
        return header, tensors

    @classmethod
    def from_file(cls, header: dict[str, Any], tensors: dict[str, Pixels]) -> PictureModel:
        """Rebuild a model.

        Raises
        ------
        ModelFileError
            If something is missing or does not fit together.
        """
        try:
            return cls(
                UNet.from_file(header["network"], tensors),
                float(header["white"]),
                str(header["situation"]),
                Noise.from_header(header["noise"]),
                header["facts"],
                header["history"],
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"the model file does not fit together: {reason}") from None


def in_planes(picture: Pixels, n_colours: int) -> npt.NDArray[np.float32]:
    """Return a picture as ``(n_colours, height, width)``.

    Raises
    ------
    DataError
        If it has other channels, or a value that is no number.
    """
    shaped = picture[..., None] if picture.ndim == 2 else picture
    if shaped.ndim != 3 or shaped.shape[2] != n_colours or not shaped.size:
        wanted = "(height, width)" if n_colours == 1 else f"(height, width, {n_colours})"
        raise DataError(
            f"a picture has the shape {picture.shape}, but the model knows pictures of {wanted}"
        )
    found = np.ascontiguousarray(shaped.transpose(2, 0, 1), dtype=np.float32)
    if not np.isfinite(found).all():
        raise DataError(
            "a picture has missing or infinite values: fill them in first (see "
            "ConvolutionalAutoencoder(None).restore)"
        )
    return found


def _pieces(length: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Yield where pieces of a side lie, and what has to be seen for them."""
    for start in range(0, length, PIECE):
        stop = min(start + PIECE, length)
        yield slice(start, stop), slice(max(0, start - margin), min(length, stop + margin))
