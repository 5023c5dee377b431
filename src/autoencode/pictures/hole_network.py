"""Holes in pictures of any size filled: smoothly, and by a network that starts from that."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoencode.architectures.unet import UNet
from autoencode.holes import blocks

__all__ = ["contrast", "drawn_holes", "filled", "hole_errors", "improved", "smooth"]

_RELAXED, _STRAIGHTENED = 16, 3
_NOTHING = 1e-12
_LEAST_CONTRAST = 2 / 255
_MOST_BLOCKS = 4
_SHARES = (0.05, 0.6)


def smooth(pictures: Tensor, holes: Tensor) -> Tensor:
    """Fill holes from coarser and coarser pictures of what is known around them.

    Means of known pixels, halved in size until nothing is unknown, and linearly between them on
    the way back (Gortler et al., 1996, section 3.5, pull and push). Then each pixel of a hole
    becomes the mean of its four neighbours a few times. Last come a few conjugate gradient
    steps towards the least curvature: these reach a few pixels far, so that single pixels are
    as in biharmonic inpainting, while blocks do not swing.

    Parameters
    ----------
    pictures : Tensor
        ``(batch, n_colours, height, width)``; what stands in holes does not count.
    holes : Tensor
        ``(batch, 1, height, width)``, of bool.

    Returns
    -------
    Tensor
        The shape of the pictures.
    """
    known = (~holes).to(pictures.dtype)
    found = _pulled(torch.where(holes, 0.0, pictures), known)
    for _ in range(_RELAXED):
        found = torch.where(holes, found + _curvature(found) / 4, pictures)
    return _straightened(found, holes)


def _curvature(pictures: Tensor) -> Tensor:
    """Return the sum of the four neighbours less four times each pixel; edges are repeated."""
    wide = functional.pad(pictures, (1, 1, 1, 1), mode="replicate")
    lines = wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]
    return lines + wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:] - 4 * pictures


def _straightened(pictures: Tensor, holes: Tensor) -> Tensor:
    """Make the squared curvature of pictures less by what is in holes: conjugate gradients."""

    def slope(values: Tensor) -> Tensor:
        return torch.where(holes, _curvature(_curvature(values)), 0.0)

    def square(values: Tensor) -> Tensor:
        return values.square().sum((1, 2, 3), keepdim=True)

    left = -slope(pictures)
    way, length = left, square(left)
    for _ in range(_STRAIGHTENED):
        bent = slope(way)
        step = length / (way * bent).sum((1, 2, 3), keepdim=True).clamp_min(_NOTHING)
        pictures, left = pictures + step * way, left - step * bent
        before, length = length, square(left)
        way = left + length / before.clamp_min(_NOTHING) * way
    return pictures


def _pulled(pictures: Tensor, weights: Tensor) -> Tensor:
    """Return pictures with what has no weight filled in from coarser ones."""
    size = tuple(pictures.shape[2:])
    if max(size) == 1:
        return pictures
    share = functional.avg_pool2d(weights, 2, ceil_mode=True)
    sums = functional.avg_pool2d(pictures * weights, 2, ceil_mode=True)
    coarse = _pulled(sums / share.clamp_min(1e-6), (2 * share).clamp_max(1.0))
    between = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
    return weights * pictures + (1 - weights) * between


def contrast(pictures: Tensor, holes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of what is known of each picture, and its deviation, ``(batch, 1, 1, 1)``.

    The deviation is 2/255 of white at least.
    """
    known = (~holes).to(pictures.dtype)
    count = known.sum((1, 2, 3), keepdim=True).clamp_min(1.0) * pictures.shape[1]
    mean = (pictures * known).sum((1, 2, 3), keepdim=True) / count
    spread = ((pictures - mean) * known).square().sum((1, 2, 3), keepdim=True) / count
    return mean, spread.sqrt().clamp_min(_LEAST_CONTRAST)


def improved(network: UNet, start: Tensor, holes: Tensor, mean: Tensor, unit: Tensor) -> Tensor:
    """Return smoothly filled pictures with what a network adds in holes.

    Parameters
    ----------
    network : UNet
        For one channel more than the pictures have: it says where the holes were.
    start : Tensor
        ``(batch, n_colours, height, width)``, from `smooth`; sides multiples of the network's
        step.
    holes : Tensor
        ``(batch, 1, height, width)``, of bool.
    mean, unit : Tensor
        From `contrast`: what is 0 and 1 to the network.
    """
    shown = torch.cat([(start - mean) / unit, holes.to(start.dtype)], 1)
    added = network(shown, torch.ones_like(start[:, 0, 0, 0]))[:, :-1]
    return torch.where(holes, start + unit * added, start)


def filled(network: UNet, pictures: Tensor, holes: Tensor) -> Tensor:
    """Fill holes smoothly, and by what a network adds to that; arguments as of `improved`."""
    mean, unit = contrast(pictures, holes)
    return improved(network, smooth(pictures, holes), holes, mean, unit)


def hole_errors(found: Tensor, pictures: Tensor, holes: Tensor) -> Tensor:
    """Return the mean squared error in each picture's holes, ``(batch,)``."""
    squares = ((found - pictures).square() * holes).sum((1, 2, 3))
    return squares / (holes.sum((1, 2, 3)).clamp_min(1) * pictures.shape[1])


def drawn_holes(
    count: int, side: int, rng: torch.Generator, *, share: float | None = None
) -> Tensor:
    """Draw holes, ``(count, 1, side, side)``: blocks in every other picture, else single pixels.

    Parameters
    ----------
    count, side : int
        Squares, and their length.
    rng : torch.Generator
        On the CPU.
    share : float or None
        Of a picture; then blocks are one square each. None: 5% to 60%, up to four blocks.
    """
    coins = torch.rand(count, 1, generator=rng)
    shares = _SHARES[0] + (_SHARES[1] - _SHARES[0]) * coins
    shares = shares if share is None else torch.full((count, 1), share)
    most = _MOST_BLOCKS if share is None else 1
    found = torch.rand(count, side * side, generator=rng) < shares
    found[::2] = blocks((side, side), shares[::2], rng, most=most)
    return found.reshape(count, 1, side, side)
