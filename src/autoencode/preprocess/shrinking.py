"""The best linear guess of rows under noise of a known strength."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Shrink"]


class Shrink(nn.Module):
    """Take noise out of complete rows as the Wiener filter does, at any strength.

    Along each principal axis, of variance v, a value is multiplied by ``g v / (g² v + s)``,
    where noise multiplies values by g and adds the variance s: the linear guess of least
    expected squared error (Wiener, 1949).

    Parameters
    ----------
    covariance : Tensor
        ``(n_values, n_values)``, of rows without noise.
    """

    axes: Tensor
    variances: Tensor

    def __init__(self, covariance: Tensor) -> None:
        super().__init__()
        exact = covariance.double().cpu()
        variances, axes = torch.linalg.eigh((exact + exact.T) / 2)
        floor = torch.finfo(torch.float64).eps * variances[-1].clamp_min(1.0)
        self.register_buffer("axes", axes.to(covariance), persistent=False)
        kept = variances.clamp_min(floor).to(covariance)
        self.register_buffer("variances", kept, persistent=False)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Return rows with less noise.

        Parameters
        ----------
        x : Tensor
            ``(batch, n_values)``, centred.
        level : Tensor
            ``(batch, 2)``: gain and variance of the noise in each row.
        """
        shrunk: Tensor = (x @ self.axes * self.factors(level)) @ self.axes.T
        # A row without noise stays as it is, bit by bit.
        clean = (level[:, :1] == 1.0) & (level[:, 1:] == 0.0)
        return torch.where(clean, x, shrunk)

    def factors(self, level: Tensor) -> Tensor:
        """Return by how much each axis is multiplied, ``(batch, n_values)``."""
        gain, variance = level[:, :1], level[:, 1:]
        return gain * self.variances / (gain * gain * self.variances + variance)
