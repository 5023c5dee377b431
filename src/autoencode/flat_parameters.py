"""All weights of a module in two pieces of memory, and their updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoencode.network import decay_groups

__all__ = ["FlatParameters", "FusedAdamW"]

_BETAS = (0.9, 0.99)


class FusedAdamW:
    """AdamW by the kernel that `torch.optim.AdamW` calls with ``fused=True``: the same bits.

    PyTorch's own class imports its compiler, which takes seconds, when the first one is made,
    and what it looks up at every step takes longer than the update of a small network.

    Parameters
    ----------
    groups : list of dict
        ``params`` (one tensor with its gradient) and ``weight_decay`` of each.
    learning_rate : float
        Of all groups; ``lr`` of a group may be set before any step.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019,
    algorithm 2.
    """

    def __init__(self, groups: list[dict[str, Any]], learning_rate: float) -> None:
        self.param_groups = [{**group, "lr": learning_rate} for group in groups]
        tensors = [values for group in groups for values in group["params"]]
        self.values = [[values.detach()] for values in tensors]
        self.gradients = [[values.grad] for values in tensors]
        self.moments = [
            {
                "step": torch.zeros((), device=values.device),
                "exp_avg": torch.zeros_like(values),
                "exp_avg_sq": torch.zeros_like(values),
            }
            for (values,) in self.values
        ]

    def step(self) -> None:
        """Update the values of all groups from their gradients."""
        parts = zip(self.param_groups, self.values, self.gradients, self.moments, strict=True)
        for group, values, gradients, moments in parts:
            moments["step"] += 1
            torch._fused_adamw_(
                values,
                gradients,
                [moments["exp_avg"]],
                [moments["exp_avg_sq"]],
                [],
                [moments["step"]],
                lr=group["lr"],
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=group["weight_decay"],
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the moments of each group and the groups, as PyTorch's optimizers do."""
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.param_groups
        ]
        return {"state": dict(enumerate(self.moments)), "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put moments in place that `state_dict` returned."""
        for place, parts in state["state"].items():
            for name, value in parts.items():
                self.moments[place][name].copy_(value)


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

    def optimizer(
        self, learning_rate: float, weight_decay: float
    ) -> FusedAdamW | torch.optim.Optimizer:
        """Return AdamW that decays the first group only, fused where the device can."""
        groups = [
            {"params": [group], "weight_decay": decay}
            for group, decay in zip(self.groups, (weight_decay, 0.0), strict=True)
            if group.numel()
        ]
        if self.values.device.type in ("cpu", "cuda", "mps"):
            return FusedAdamW(groups, learning_rate)
        return torch.optim.AdamW(groups, lr=learning_rate, betas=_BETAS)
