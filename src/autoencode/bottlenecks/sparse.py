"""Bottlenecks with many units of which few are active: sparse codes, never negative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoencode.bottlenecks.plain import Projection
from autoencode.errors import SpecError
from autoencode.interfaces import Bottleneck, Code, Context, Features, LinearStart

__all__ = ["BatchTopK", "JumpRelu", "Relu", "Sparse", "TopK"]

IDLE_STEPS = 50
"""Steps without being active after which a unit counts as dead in training."""
_REVIVAL = 1 / 32
_MEMORY, _EARLY = 0.98, 10.0
_GAIN = 0.02
_BANDWIDTH = 0.2
_ALIKE = 1e-4


class Sparse(Bottleneck):
    """Base of sparse bottlenecks: a projection, of which a part is kept.

    Parameters
    ----------
    n_hidden, n_linear : int
        Sizes of the features; see `Projection`.
    n_components : int
        Length of the code.
    active : float or None
        How many units of a row are to be active; None: the square root of their number.
    """

    sparse = True
    idle: Tensor

    def __init__(
        self, n_hidden: int, n_linear: int, n_components: int, active: float | None = None
    ) -> None:
        super().__init__()
        self.latent_shape = (n_components,)
        self.projection = Projection(n_hidden, n_linear, n_components)
        self.active = _checked(type(self).__name__.lower(), active, n_components)
        self.register_buffer("idle", torch.zeros(n_components))

    def forward(self, features: Features, context: Context) -> Code:
        """Return codes ``(batch, n_components)``; ``stats`` has what they were chosen from."""
        before = self.projection(features)
        learning = self.training and context.rng is not None
        z = self.select(before, learning=learning)
        if learning:
            self.note(z)
        return Code(z, z.new_zeros(len(z)), {"before": before})

    def select(self, before: Tensor, *, learning: bool) -> Tensor:
        """Return codes, zero but where units are active."""
        raise TypeError(f"{type(self).__name__} does not say which units are active")

    @torch.no_grad()
    def note(self, z: Tensor) -> None:
        """Count for how many steps each unit has not been active."""
        self.idle.add_(1.0).masked_fill_((z > 0).any(0), 0.0)

    def calibrate(self, before: Tensor) -> None:
        """Set what predictions need so that as many units are active as are asked for.

        Parameters
        ----------
        before : Tensor
            ``(rows, n_components)``: what codes are chosen from, by the final weights.
        """

    def n_active(self) -> int:
        """Return how many components of a code are not zero, on average."""
        return max(1, min(round(self.active), self.latent_shape[0]))

    def revival(self, code: Code, residual: Tensor, decoder: Any) -> Tensor | None:
        """Return how badly dead units reconstruct what is left, were they active.

        The auxiliary loss of Gao et al. (2024), appendix A.2: of the units that are idle,
        those that come nearest to being active, half as many as there are values; half the
        squared error, summed over values, mean over rows, times 1/32. None are dead: zero.
        """
        dead = self.dead()
        if not len(dead):
            return residual.new_zeros(())
        before = code.stats["before"].index_select(1, dead)

        def spread(z: Tensor) -> Tensor:
            whole = torch.zeros_like(code.z).index_copy(1, dead, z)
            result: Tensor = decoder.linear_part(whole).flatten(1)
            return result

        return self.revived(before, residual, spread)

    def dead(self) -> Tensor:
        """Return which units have not been active for long."""
        return torch.nonzero(self.idle > IDLE_STEPS)[:, 0]

    @staticmethod
    def revived(before: Tensor, residual: Tensor, spread: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the term of `revival` from what dead units are before the choice.

        Parameters
        ----------
        before : Tensor
            ``(batch, dead units)``.
        residual : Tensor
            ``(batch, n_values)``.
        spread : callable
            From codes of the dead units to what they add to the values.
        """
        count = min(before.shape[1], max(1, residual.shape[1] // 2))
        values, places = before.topk(count, sorted=False)
        z = torch.zeros_like(before).scatter(1, places, values.relu())
        error = (spread(z) - residual).square().sum(1).mean()
        return 0.5 * _REVIVAL * error

    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to the scores of a dictionary's parts; the rest to zero."""
        self.projection.start_linear(start)

    def copy_prefix(self, longer: Bottleneck) -> None:
        """Take over the leading components of a bottleneck with more of them."""
        if not isinstance(longer, type(self)):
            raise TypeError(f"cannot take components from {type(longer).__name__}")
        self.projection.copy_prefix(longer.projection)
        count = self.latent_shape[0]
        for name, mine in [*self.named_buffers(recurse=False), *self.named_parameters()]:
            if "." not in name:
                theirs = getattr(longer, name)
                mine.data.copy_(theirs.data[:count] if theirs.ndim else theirs.data)


class TopK(Sparse):
    """The largest units of each row are active, if they are positive.

    Makhzani and Frey (2014), with the rectifier of Gao et al. (2024), eq. 2.
    """

    def select(self, before: Tensor, *, learning: bool) -> Tensor:
        """Return codes with ``active`` units of each row at most."""
        values, places = before.topk(self.n_active(), sorted=False)
        return torch.zeros_like(before).scatter(1, places, values.relu())


class BatchTopK(Sparse):
    """The largest units of a whole batch are active: rows take as many as they need.

    Bussmann et al. (2024), eq. 3 and 5. Predictions use a threshold, so that a row's code
    depends on nothing but the row: while training the running mean of the smallest active
    value, afterwards what gives the count that is asked for on training rows.
    """

    threshold: Tensor
    followed: Tensor

    def __init__(
        self, n_hidden: int, n_linear: int, n_components: int, active: float | None = None
    ) -> None:
        super().__init__(n_hidden, n_linear, n_components, active)
        self.register_buffer("threshold", torch.tensor(math.inf))
        self.register_buffer("followed", torch.tensor(0.0))

    def select(self, before: Tensor, *, learning: bool) -> Tensor:
        """Return codes with ``active`` units a row on average."""
        positive = before.relu()
        if not learning:
            return positive * (positive > self.threshold)
        count = min(max(1, round(self.active * len(before))), before.numel())
        values, places = positive.flatten().topk(count, sorted=False)
        z = torch.zeros_like(positive).flatten().scatter(0, places, values)
        self.follow(values.detach())
        return z.view_as(positive)

    @torch.no_grad()
    def calibrate(self, before: Tensor) -> None:
        """Set the threshold that as many values exceed as units are to be active."""
        self.threshold.copy_(_exceeded(before, self.active))

    @torch.no_grad()
    def follow(self, values: Tensor) -> None:
        """Move the threshold towards the smallest of the values that are active."""
        smallest = torch.where(values > 0, values, math.inf).min()
        # Early values, of weights that change fast, are forgotten fast.
        share = (_EARLY / (_EARLY + self.followed)).clamp_min(1.0 - _MEMORY)
        known = torch.isfinite(self.threshold)
        moved = torch.where(known, self.threshold.lerp(smallest, share), smallest)
        self.threshold.copy_(torch.where(torch.isfinite(smallest), moved, self.threshold))
        self.followed.add_(1.0)


class JumpRelu(Sparse):
    """Each unit is active above a threshold of its own, which is learned.

    Rajamanoharan et al. (2024), eq. 3 and 11, for a count that is asked for: instead of a
    price for being active, all thresholds rise together while more units are active than they
    should be, and fall while fewer are. The kernel is as wide as a fifth of the mean
    threshold.
    """

    recent: Tensor
    log_level: Tensor

    def __init__(
        self, n_hidden: int, n_linear: int, n_components: int, active: float | None = None
    ) -> None:
        super().__init__(n_hidden, n_linear, n_components, active)
        self.log_threshold = torch.nn.Parameter(torch.zeros(n_components))
        self.register_buffer("log_level", torch.tensor(0.0))
        self.register_buffer("recent", torch.tensor(math.nan))

    @property
    def threshold(self) -> Tensor:
        """The value above which each unit is active, ``(n_components,)``."""
        return (self.log_threshold + self.log_level).exp()

    def select(self, before: Tensor, *, learning: bool) -> Tensor:
        """Return codes that are zero below the thresholds."""
        threshold = self.threshold
        width = _BANDWIDTH * threshold.detach().mean()
        z: Tensor = _Jump.apply(before, threshold, width)  # type: ignore[no-untyped-call]
        if learning:
            self._adjust((z.detach() > 0).sum(1).to(z.dtype).mean())
        return z

    @torch.no_grad()
    def _adjust(self, count: Tensor) -> None:
        """Raise all thresholds where more units are active than asked for."""
        known = torch.isfinite(self.recent)
        self.recent.copy_(torch.where(known, self.recent.lerp(count, 0.1), count))
        wanted = min(self.active, float(self.latent_shape[0]))
        self.log_level.add_(_GAIN * (self.recent / wanted - 1.0).clamp(-1.0, 1.0))

    @torch.no_grad()
    def calibrate(self, before: Tensor) -> None:
        """Set the level of all thresholds so that as many values exceed theirs as should."""
        level = _exceeded(before / self.log_threshold.exp(), self.active)
        self.log_level.copy_(level.clamp_min(torch.finfo(level.dtype).tiny).log())

    def start_linear(self, start: LinearStart) -> None:
        """Set the linear path to a dictionary, and thresholds to one."""
        super().start_linear(start)
        with torch.no_grad():
            self.log_threshold.zero_()
            self.log_level.zero_()


class Relu(Sparse):
    """Each unit is active where it is positive; penalties make it sparse.

    With ``penalties=("kl_sparsity:activity=0.05",)`` or ``"l1:activity=0.05"``: this share of
    the units.
    """

    def __init__(self, n_hidden: int, n_linear: int, n_components: int) -> None:
        super().__init__(n_hidden, n_linear, n_components)

    def select(self, before: Tensor, *, learning: bool) -> Tensor:
        """Return the positive part."""
        return before.relu()


class _Jump(torch.autograd.Function):
    """Values above a threshold, with the threshold's pseudo-derivative."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, threshold: Tensor, width: Tensor) -> Tensor:
        ctx.save_for_backward(before, threshold, width)
        return before * (before > threshold)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        before, threshold, width = ctx.saved_tensors
        near = ((before - threshold).abs() < 0.5 * width) / width
        by_threshold = -(threshold * near * slopes[0]).sum(0)
        return slopes[0] * (before > threshold), by_threshold, None


def _exceeded(values: Tensor, active: float) -> Tensor:
    """Return what ``active`` values of a row exceed, on average; 0 if fewer are positive.

    Half way between two values, or above those that are alike, as those of equal rows: so
    that rounding elsewhere does not decide.
    """
    count = min(round(active * len(values)) + 1, values.numel())
    last = values.flatten().topk(count).values[-2:].clamp_min(0.0)
    alike = last[0] - last[-1] <= _ALIKE * last[0]
    return torch.where(alike, last[0] * (1.0 + _ALIKE), last.mean())


def _checked(name: str, active: Any, n_components: int) -> float:
    if active is None:
        return math.sqrt(n_components)
    if isinstance(active, bool) or not isinstance(active, int | float) or not active > 0:
        raise SpecError(f"bottleneck {name!r}: active={active!r} should be a positive number")
    return float(active)
