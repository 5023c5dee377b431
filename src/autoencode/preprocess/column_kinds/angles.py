"""Directions -> angles, exact in float64 and in exported graphs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["angle"]


def angle(sine: Tensor, cosine: Tensor) -> Tensor:
    """Return ``atan2`` in float64 from its value in float32, the only one in ONNX runtimes.

    What is missing is the angle between the two directions, 1e-7 or so, whose sine is
    their cross product: an arc sine with two terms is exact.
    """
    length = torch.sqrt(sine * sine + cosine * cosine).clamp(min=1e-300)
    sine, cosine = sine / length, cosine / length
    rough = torch.atan2(sine.to(torch.float32), cosine.to(torch.float32)).to(sine.dtype)
    off = sine * torch.cos(rough) - cosine * torch.sin(rough)
    return rough + off + off * off * off / 6
