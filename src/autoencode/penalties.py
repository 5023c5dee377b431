"""Penalties: further terms of the loss, each with a weight.

A weight of ``"auto"`` is a place to be filled: a fit chooses it on held-out rows. Those
that make codes sparse can be told the activity to reach instead; they find the weight
while the network is trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from autoencode.errors import SpecError
from autoencode.interfaces import Batch, Context, Pass, Penalty
from autoencode.moves import nearby_places
from autoencode.network import Network, spared

__all__ = [
    "ACTIVE",
    "AUTO",
    "L1",
    "L2",
    "PENALTIES",
    "Contractive",
    "DecoderL2",
    "KlSparsity",
    "Sparsity",
    "active_share",
    "relative_codes",
]

AUTO = "auto"
_FARTHEST = 2
ACTIVE = 0.5
"""A value of a code is active if it is farther from zero than this share of its unit's
root mean square."""

_START = 1e-2
_GAIN = 0.1
_MEMORY = 0.9
_LEAST, _MOST = 1e-6, 1e3
"""Where the weight of an aim starts, how fast it moves, and how far it may go."""


class Sparsity:
    """Base of penalties that make codes sparse.

    Parameters
    ----------
    weight : float or None
        Nats per unit of the penalty. None: found while training, so that what `measured`
        returns becomes ``activity``: integral control of the logarithm of the
        weight, as in dual ascent on a constraint.
    activity : float or None
        Which activity codes should have.
    """

    name = ""

    def __init__(self, weight: float | str | None, activity: float | None) -> None:
        if weight == AUTO:
            raise SpecError(
                f"penalty {self.name!r}: weight='auto' would always be zero, as sparse codes "
                f"never lower the held-out error; ask for a share: '{self.name}:activity=0.1'"
            )
        if activity is not None and not 0 < activity < 1:
            raise SpecError(
                f"penalty {self.name!r}: activity={activity!r} should lie between 0 and 1"
            )
        self.aim = activity if weight is None else None
        self.weight = _START if weight is None else _positive(self.name, weight)
        self._recent: float | None = None

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        return self.weight * self.amount(*relative_codes(result.code.z, result.context.size))

    def amount(self, relative: Tensor, kept: Tensor) -> Tensor:
        """Return the penalty at a weight of 1."""
        raise TypeError(f"{type(self).__name__} does not say what is not sparse")

    def measured(self, z: Tensor, size: Tensor | None = None) -> float:
        """Return the activity of codes: the share of kept values that are active."""
        return active_share(z, size)

    def state(self) -> dict[str, float | None]:
        """Return what changes while training, for a checkpoint."""
        return {"weight": self.weight, "recent": self._recent}

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go on from what `state` returned."""
        self.weight, self._recent = state["weight"] or 0.0, state["recent"]

    def adjust(self, result: Pass) -> None:
        """Raise the weight where more is active than asked for; lower it where less is."""
        if self.aim is None:
            return
        share = self.measured(result.code.z.detach(), result.context.size)
        before = share if self._recent is None else self._recent
        self._recent = _MEMORY * before + (1.0 - _MEMORY) * share
        moved = self.weight * math.exp(_GAIN * (self._recent - self.aim))
        self.weight = min(max(moved, _LEAST), _MOST)


class L1(Sparsity):
    """Sum of absolute code values over units, mean over rows.

    Each unit is measured in its root mean square over the batch: else codes would become
    small, and the decoder's weights large, and nothing sparse.

    Parameters
    ----------
    weight : float or None
        Nats per unit of code. None: 0.001, or found while training if ``activity`` is given.
    activity : float or None
        The share of code values to be active (`ACTIVE`), instead of a weight.
    """

    name = "l1"

    def __init__(self, weight: float | None = None, activity: float | None = None) -> None:
        if weight is not None and activity is not None:
            raise SpecError("penalty 'l1': give weight or activity, not both")
        if weight is None and activity is None:
            weight = 1e-3
        super().__init__(weight, activity)

    def amount(self, relative: Tensor, kept: Tensor) -> Tensor:
        """Return the penalty at a weight of 1."""
        return relative.abs().sum(1).mean()


class KlSparsity(Sparsity):
    """Divergence of each unit's mean activation from a stated one, summed over units.

    ``KL(p || q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q))`` where ``p`` is the stated
    and ``q`` the unit's mean activation over the batch; Ng, "Sparse autoencoder" (CS294A
    lecture notes, 2011), section 3. There units are sigmoids. Codes are not bounded: here
    the activation is ``u^2 / (u^2 + a^2)``, where ``u`` is the code in the unit's root mean
    square and ``a`` is `ACTIVE`. It is the sigmoid of ``2 log(|u| / a)``: 0 at zero, a half
    where a value begins to count as active, and near 1 far from there.

    Parameters
    ----------
    weight : float or None
        Nats per nat of divergence. None: found while training.
    activity : float
        The stated mean activation.
    """

    name = "kl_sparsity"

    def __init__(self, weight: float | None = None, activity: float = 0.1) -> None:
        super().__init__(weight, activity)
        self.activity = activity

    def amount(self, relative: Tensor, kept: Tensor) -> Tensor:
        """Return the penalty at a weight of 1."""
        mean = self.activations(relative).sum(0) / kept.sum(0).clamp_min(1)
        mean = mean[kept.any(0)].clamp(1e-4, 1 - 1e-4)
        p = self.activity
        both = p * (p / mean).log() + (1 - p) * ((1 - p) / (1 - mean)).log()
        return both.sum()

    def measured(self, z: Tensor, size: Tensor | None = None) -> float:
        """Return the activity of codes: the mean activation of kept values."""
        relative, kept = relative_codes(z, size)
        return float(self.activations(relative).sum() / kept.sum())

    @staticmethod
    def activations(relative: Tensor) -> Tensor:
        """Return values in [0, 1] from codes in their units' root mean squares."""
        squares = relative.square()
        return squares / (squares + ACTIVE**2)


class L2:
    """Sum of squared weights of all hidden layers; not of biases, nor of the linear path.

    Parameters
    ----------
    weight : float or "auto"
        Nats per unit of the sum; "auto" is chosen on held-out rows.
    """

    name = "l2"

    def __init__(self, weight: float | str = 1e-3) -> None:
        self.weight = _strength(self.name, weight)

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        parts = (network.encoder, network.bottleneck, network.decoder)
        return _number(self) * _squares(parts, result)


class DecoderL2:
    """Sum of squared weights of the decoder's hidden layers and output; as `L2`.

    Parameters
    ----------
    weight : float or "auto"
        Nats per unit of the sum; "auto" is chosen on held-out rows.
    """

    name = "decoder_l2"

    def __init__(self, weight: float | str = 1e-3) -> None:
        self.weight = _strength(self.name, weight)

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        return _number(self) * _squares((network.decoder,), result)


class Contractive:
    """Squared Frobenius norm of the encoder's Jacobian, mean over rows.

    Estimated without bias from one random projection per row (Hutchinson):
    ``E |v^T J|^2 = |J|_F^2`` for random signs ``v``; Rifai et al. (2011), eq. 2.

    Parameters
    ----------
    weight : float or "auto"
        Nats per unit of the squared norm; "auto" is chosen on held-out rows.
    """

    name = "contractive"

    def __init__(self, weight: float | str = 1e-3) -> None:
        self.weight = _strength(self.name, weight)

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        x = result.batch.x.detach().requires_grad_()
        z = network.encode(Batch(x, result.batch.observed), Context()).z
        coins = torch.rand(z.shape, generator=result.context.rng, dtype=z.dtype, device=z.device)
        signs = torch.where(coins < 0.5, -1.0, 1.0)
        (slope,) = torch.autograd.grad((z * signs).sum(), x, create_graph=True)
        return _number(self) * slope.flatten(1).square().sum(1).mean()


class Steady:
    """How far codes go when pictures move, against how far they are spread.

    Each picture is moved by up to two pixels, what enters is its edge, and encoded again. The
    penalty is the weight times the code's length times the squared distance of both codes,
    over twice the variance of codes in the batch, summed over components: 1 for a picture
    whose moved code is that of any other. Of columns that are no pictures a row moves along
    itself.

    Parameters
    ----------
    weight : float or "auto"
        Nats per component; "auto" is chosen on held-out rows.
    """

    name = "steady"

    def __init__(self, weight: float | str = 0.1) -> None:
        self.weight = _strength(self.name, weight)
        self.tables: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, network: Network, result: Pass) -> Tensor:
        """Return the weighted penalty."""
        layout, x = network.likelihood.layout, result.batch.x
        shape = layout.shape if layout.is_picture else (layout.n_values,)
        if shape not in self.tables:
            self.tables[shape] = nearby_places(shape, _FARTHEST).to(x.device)
        tables, device = self.tables[shape], x.device
        coins = torch.rand(len(x), generator=result.context.rng, device=device)
        places = tables[(coins * len(tables)).long().clamp_max(len(tables) - 1)]
        center, unit = network.likelihood.center, network.likelihood.unit
        moved = (torch.addcmul(center, x, unit).gather(1, places) - center) / unit
        here = result.code.stats.get("mean", result.code.z)
        there = network.encode(Batch(moved), Context())
        if result.code.n_draws == 1:
            there = network.cut(there, result.context)
        z = there.stats.get("mean", there.z)
        spread = here.var(0, correction=0).sum() + torch.finfo(x.dtype).tiny
        change = 0.5 * (here - z).square().sum(1).mean() / spread
        return _number(self) * here.shape[1] * change


def relative_codes(z: Tensor, size: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return codes in their units' root mean squares, and which of them are kept.

    Parameters
    ----------
    z : Tensor
        ``(batch, n_components)``, zero where a code is cut.
    size : Tensor or None
        ``(batch,)``: how many leading components are kept; None: all.
    """
    kept = torch.ones_like(z, dtype=torch.bool)
    if size is not None:
        kept = torch.arange(z.shape[1], device=z.device) < size[:, None]
    mean_square = z.square().sum(0) / kept.sum(0).clamp_min(1)
    return z * (mean_square + torch.finfo(z.dtype).tiny).rsqrt(), kept


def active_share(z: Tensor, size: Tensor | None = None) -> float:
    """Return the share of kept code values that are active; see `ACTIVE`."""
    relative, kept = relative_codes(z, size)
    return float((relative.abs() > ACTIVE).sum() / kept.sum())


def _squares(parts: Iterable[nn.Module], result: Pass) -> Tensor:
    total = result.params.new_zeros(())
    for part in parts:
        for name, parameter in part.named_parameters():
            if not spared(name, parameter):
                total = total + parameter.square().sum()
    return total


def _strength(name: str, weight: float | str) -> float | str:
    return AUTO if weight == AUTO else _positive(name, weight)


def _number(penalty: Any) -> float:
    """Return the weight of a penalty that is to be computed."""
    if penalty.weight == AUTO:
        raise SpecError(f"penalty {penalty.name!r}: weight='auto' is chosen by a fit")
    return float(penalty.weight)


def _positive(name: str, weight: Any) -> float:
    if not (weight > 0 and math.isfinite(weight)):
        raise SpecError(f"penalty {name!r}: weight={weight!r} should be a positive number")
    return float(weight)


PENALTIES: dict[str, Callable[..., Penalty]] = {
    "l1": L1,
    "l2": L2,
    "decoder_l2": DecoderL2,
    "kl_sparsity": KlSparsity,
    "contractive": Contractive,
    "steady": Steady,
}
