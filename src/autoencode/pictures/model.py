"""A fitted network of pictures; one that takes noise out of those of any size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.architectures.unet import UNet
from autoencode.errors import DataError, ModelFileError
from autoencode.noise import Noise
from autoencode.pictures.adapting import adapted_to_noise, errs_less
from autoencode.pictures.levels import noise_level
from autoencode.pictures.network import middle, noise_and_slope
from autoencode.pictures.pieces import PIECE, in_type, over_pieces, over_turns
from autoencode.pictures.quality import beside_filter, weight_at, wiener

__all__ = ["FittedPictures", "PictureModel", "in_planes"]

Pixels = npt.NDArray[Any]

_REFINED, _LEAST_SLOPE = 3, 1e-3


@dataclass
class FittedPictures:
    """What any fit to pictures learned, and how it becomes a file and back.

    Attributes
    ----------
    network : UNet
        On its device.
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
        return self.network.n_colours

    def scaled(self, factor: float) -> Self:
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
    def from_file(cls, header: dict[str, Any], tensors: dict[str, Pixels]) -> Self:
        """Rebuild a model.

        Raises
        ------
        ModelFileError
            If something is missing or does not fit together.
        """
        try:
            return cls(UNet.from_file(header["network"], tensors), **cls._parts(header))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelFileError(f"the model file does not fit together: {reason}") from None

    @classmethod
    def _parts(cls, header: dict[str, Any]) -> dict[str, Any]:
        """Return what a header says, beside the network."""
        white, facts, history = (header[name] for name in ("white", "facts", "history"))
        return {"white": float(white), "facts": facts, "history": history}


@dataclass
class PictureModel(FittedPictures):
    """What a fit to noise learned.

    Attributes
    ----------
    situation : {"pairs", "clean", "noisy"}
        What it was fitted to.
    noise : Noise
        What noise the pictures of the fit had, in the data's units.
    """

    situation: str = "clean"
    noise: Noise = field(default_factory=lambda: Noise("none"))

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
            Steps of further fitting to this picture alone; see `adapting`.

        Returns
        -------
        picture : ndarray
            Of the same shape and type; whole numbers are rounded, and stay in their range.
        level : float
            The deviation that was told or estimated.
        """
        values = torch.from_numpy(in_planes(picture, self.n_colours) / self.white)
        if level is None:
            level = self.level_of(picture)
        told = level / self.white
        weight = weight_at(self.facts["held_out"], told)
        restored = _restored(self.network, values, told, weight)
        if adapt and told:
            network = adapted_to_noise(self.network, values, restored, told, adapt)
            before = beside_filter(self.network, weight)
            if weight == 1.0 or errs_less(network, before, values, told):
                restored = _restored(network, values, told, 1.0)
        result = self.white * restored.numpy()
        result = result[0] if picture.ndim == 2 else result.transpose(1, 2, 0)
        return in_type(result, picture.dtype), level

    def level_of(self, picture: Pixels) -> float:
        """Estimate the deviation of a picture's noise, in the data's units.

        Texture makes the first estimate too high. The best guess of the noise has a mean square
        of the true variance times its mean slope (Tweedie's formula: Efron, 2011, eq. 2.8), so
        that their ratio says the variance, nearly whatever level is told.
        """
        values = in_planes(picture, self.n_colours) / self.white
        level = noise_level(values.transpose(1, 2, 0))
        piece = middle(torch.from_numpy(values), PIECE, self.network.step)
        if not (self.adapts and piece.numel() and level):
            # From pairs as they are it was learned under the first estimate.
            return level * self.white
        piece = piece.to(next(self.network.parameters()).device)[None]
        probe = torch.randn(piece.shape, generator=torch.Generator().manual_seed(0)).to(piece)
        for _ in range(_REFINED):
            square, slope = noise_and_slope(self.network, piece, probe, level)
            level = min(level, math.sqrt(square / max(slope, _LEAST_SLOPE)))
        return level * self.white

    def to_file(self) -> tuple[dict[str, Any], dict[str, Pixels]]:
        """Return header and tensors."""
        header, tensors = super().to_file()
        return header | {"situation": self.situation, "noise": self.noise.header()}, tensors

    @classmethod
    def _parts(cls, header: dict[str, Any]) -> dict[str, Any]:
        known = {"situation": str(header["situation"]), "noise": Noise.from_header(header["noise"])}
        return super()._parts(header) | known


def _restored(network: UNet, values: Tensor, level: float, weight: float) -> Tensor:
    """Return a picture without noise, ``(n_colours, height, width)``; white is 1.

    The noise is the mean over that of the eight turned and mirrored forms. A network that
    has not learned enough to be much better than a Wiener filter counts beside it only.
    """

    def noise(piece: Tensor) -> Tensor:
        levels = torch.full((1,), level, dtype=piece.dtype, device=piece.device)
        return over_turns(lambda found: network(found[None], levels)[0], piece)

    learned = values - over_pieces(network, noise, values)
    if weight == 1.0:
        return learned
    filtered = wiener(values[None], torch.tensor([level], dtype=values.dtype))[0]
    return torch.lerp(filtered, learned, weight)


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
