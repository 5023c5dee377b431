"""All weights of a module in two pieces of memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoencode.network import decay_groups

__all__ = ["FlatParameters"]


_USUAL = 0.01
"""How much each step's gradient counts in its usual length."""


class FlatParameters:
    """All weights of a module as two flat tensors: decayed ones, then the others.

    The module's parameters become views, so an optimizer has two tensors to update
    whatever the number of layers, and a snapshot is one copy.

    Parameters
    ----------
    module : nn.Module
        Its parameters are moved into the flat tensor, values unchanged.
    """

    def __init__(self, module: nn.Module) -> None:
        decayed, free = decay_groups(module)
        ordered = [*decayed, *free]
        total = sum(parameter.numel() for parameter in ordered)
        split = self.n_decayed = sum(parameter.numel() for parameter in decayed)
        first = ordered[0]
        self.values = torch.empty(total, dtype=first.dtype, device=first.device)
        self.gradients = torch.zeros_like(self.values)
        place = 0
        for parameter in ordered:
            view = slice(place, place + parameter.numel())
            self.values[view] = parameter.detach().flatten()
            parameter.data = self.values[view].view(parameter.shape)
            parameter.grad = self.gradients[view].view(parameter.shape)
            place += parameter.numel()
        self.parameters = ordered
        self.groups = []
        for part in (slice(0, split), slice(split, total)):
            group = nn.Parameter(self.values[part])
            group.grad = self.gradients[part]
            self.groups.append(group)

    def release(self) -> None:
        """Give the module's parameters memory of their own again, and no gradients."""
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None

    def clip(self, usual: Tensor, times: float) -> None:
        """Cut a gradient that is longer than so many times the usual; move the usual towards it.

        Parameters
        ----------
        usual : Tensor
            ``(1,)``: a running mean of the lengths; 0 before the first.
        times : float
            At least 1.
        """
        length = self.gradients.norm()
        usual.copy_(torch.where(usual > 0, usual, length))
        limit = times * usual
        # A length of 0 needs no cut; one that is not finite is seen in the loss.
        self.gradients.mul_((limit / length).nan_to_num(1.0).clamp(max=1.0))
        usual.lerp_(torch.minimum(length, limit).nan_to_num(0.0), _USUAL)

    def optimizer(self, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
        """Return fused AdamW that decays the first group only."""
        groups = [
            {"params": [group], "weight_decay": decay}
            for group, decay in zip(self.groups, (weight_decay, 0.0), strict=True)
            if group.numel()
        ]
        rate = torch.tensor(learning_rate) if self.values.is_cuda else learning_rate
        return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=_can_fuse(self.values))


def _can_fuse(values: Tensor) -> bool:
    return values.device.type in ("cpu", "cuda", "mps")
