"""The bottleneck of variational autoencoders: a code is a distribution, and costs nats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autoencode.bottlenecks.flow import CouplingFlow
from autoencode.bottlenecks.plain import Projection
from autoencode.errors import SpecError
from autoencode.interfaces import Bottleneck, Code, Context, Features, LinearStart

__all__ = ["POSTERIORS", "GaussianCode"]

POSTERIORS = ("gaussian", "flow")

_LEAST_LOG_VAR, _MOST_LOG_VAR = -14.0, 4.0


class GaussianCode(Bottleneck):
    """Codes are drawn from a posterior, and cost how far it is from N(0, I).

    Kingma and Welling (2014), eq. 10. With a generator the code is drawn,
    ``mean + exp(log_var / 2) * noise``; without, it is the mean, so that predictions are never
    random. ``stats`` has ``mean`` and ``log_var``, ``(batch, n_components)``.

    Parameters
    ----------
    n_hidden, n_linear : int
        Sizes of the features; see `Projection`.
    n_components : int
        Length of the code.
    n_samples : int
        Draws of each row in training. More than one: the importance-weighted bound (Burda et
        al., 2016, eq. 8) by the doubly reparameterized gradient (Tucker et al., 2019, eq. 8).
    posterior : {"gaussian", "flow"}
        "flow": the normal draw is moved by coupling layers that know the row; then the cost
        is ``log q(z) - log p(z)`` of what was drawn, and the code without a generator is
        where the mean is moved to.
    free_bits : float or None
        Nats that each component costs in training at least, on average over a batch, so that
        it need not become idle (Kingma et al., 2016, eq. 15); under a flow that many for each
        component in all.
    warmup : float
        Share of the training over which the weight of the cost rises to 1, in [0, 1).
    """

    costs_nats = True

    def __init__(
        self,
        n_hidden: int,
        n_linear: int,
        n_components: int,
        n_samples: int = 1,
        posterior: str = "gaussian",
        free_bits: float | None = None,
        warmup: float = 0.1,
    ) -> None:
        super().__init__()
        _check(n_samples, posterior, free_bits, warmup)
        self.latent_shape = (n_components,)
        self.n_samples, self.free_bits, self.warmup = n_samples, free_bits, warmup
        self.projection = Projection(n_hidden, n_linear, n_components)
        # The variance needs no path of its own around the hidden layers.
        self.log_variance = Projection(n_hidden, 0 if n_hidden else n_linear, n_components)
        self.flow = CouplingFlow(n_components, n_hidden) if posterior == "flow" else None
        self.cuts = self.flow is None

    def forward(self, features: Features, context: Context) -> Code:
        """Return codes; see `Code` for several draws of each row."""
        stats = {
            "mean": self.projection(features),
            "log_var": self.log_variance(features).clamp(_LEAST_LOG_VAR, _MOST_LOG_VAR),
        }
        if self.flow is not None and features.hidden is not None:
            stats["hidden"] = features.hidden
        mean = stats["mean"]
        if context.rng is None:
            return self._expected(stats)
        noise = torch.randn(
            (self.n_samples, *mean.shape),
            generator=context.rng,
            dtype=mean.dtype,
            device=mean.device,
        )
        if self.n_samples == 1 and self.flow is None:
            costs = divergences(mean, stats["log_var"])
            z = mean + (0.5 * stats["log_var"]).exp() * noise[0]
            return Code(z, costs.sum(1), stats, costs)
        return self.drawn(stats, noise, reparameterized=self.n_samples > 1)

    def drawn(
        self, stats: Mapping[str, Tensor], noise: Tensor, *, reparameterized: bool = False
    ) -> Code:
        """Return several codes of each row, and ``log q(z) - log p(z)`` as their cost.

        Parameters
        ----------
        stats : mapping of str to Tensor
            Those of a code: what is known of each row's posterior.
        noise : Tensor
            ``(n_draws, batch or 1, n_components)``: standard normal numbers.
        reparameterized : bool
            Whether the gradient of the cost is to reach the encoder through the codes alone
            (Roeder et al., 2017), as the doubly reparameterized gradient wants it. Then
            ``stats`` has the codes twice, as ``bound`` and ``free``: only the gradient
            through the former is that of the bound.
        """
        mean, log_var = stats["mean"], stats["log_var"]
        moved = mean + (0.5 * log_var).exp() * noise
        hidden, growth = stats.get("hidden"), None
        if self.flow is not None:
            moved, growth = self.flow(moved, hidden)
        z, more = moved, {}
        if reparameterized:
            mean, log_var = mean.detach(), log_var.detach()
            z = moved.view_as(moved)
            more = {"bound": z, "free": moved.flatten(0, 1)}
        if self.flow is None:
            off = (z - mean).square() * (-log_var).exp() if reparameterized else noise.square()
            costs = 0.5 * (z.square() - off - log_var)
            costs = costs.flatten(0, 1)
            cost = costs.sum(1)
            return Code(z.flatten(0, 1), cost, {**stats, **more}, costs, len(noise))
        base = noise
        if reparameterized:
            source, growth = self.flow.inverse(z, hidden, frozen=True)
            base = (source - mean) * (-0.5 * log_var).exp()
        assert growth is not None
        whole = 0.5 * (z.square() - base.square() - log_var).sum(-1) - growth
        return Code(z.flatten(0, 1), whole.flatten(), {**stats, **more}, None, len(noise))

    def _expected(self, stats: Mapping[str, Tensor]) -> Code:
        """Return the code that stands for the posterior, and its divergence.

        Under a flow the divergence is that of its linear approximation at the mean.
        """
        mean, log_var = stats["mean"], stats["log_var"]
        if self.flow is None:
            costs = divergences(mean, log_var)
            return Code(mean, costs.sum(1), stats, costs)
        moved, growth = self.flow(mean[None], stats.get("hidden"))
        cost = divergences(moved[0], log_var).sum(1) - growth[0]
        return Code(moved[0], cost, stats)

    def charge(self, code: Code) -> Tensor:
        """Return what training pays: of idle components what is free, without a gradient."""
        if self.free_bits is None:
            return code.cost
        parts, least = code.costs, self.free_bits
        if parts is None:
            parts, least = code.cost[:, None], self.free_bits * self.latent_shape[0]
        idle = parts.mean(0) < least
        return torch.where(idle, least, parts).sum(1)

    @torch.no_grad()
    def start_linear(self, start: LinearStart) -> None:
        """Set the mean to the given linear map, and the variance to what it says for all rows."""
        self.projection.start_linear(start)
        for part in (self.log_variance.hidden, self.log_variance.linear_path):
            if part is not None:
                part.weight.zero_()
                if part.bias is not None:
                    part.bias.zero_()
                    if start.log_var is not None:
                        part.bias.copy_(start.log_var)

    def copy_prefix(self, longer: Bottleneck) -> None:
        """Take over the leading components of a bottleneck with more of them."""
        if not isinstance(longer, GaussianCode):
            raise TypeError(f"cannot take components from {type(longer).__name__}")
        self.projection.copy_prefix(longer.projection)
        self.log_variance.copy_prefix(longer.log_variance)
        if self.flow is not None and longer.flow is not None:
            if longer.latent_shape != self.latent_shape:
                raise SpecError("codes of a posterior 'flow' cannot be shortened")
            self.flow.load_state_dict(longer.flow.state_dict())


def divergences(mean: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mean, var) || N(0, 1)) of each component, in nats."""
    return 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var)


def _check(n_samples: Any, posterior: Any, free_bits: Any, warmup: Any) -> None:
    if isinstance(n_samples, bool) or not isinstance(n_samples, int) or n_samples < 1:
        raise SpecError(
            f"bottleneck 'gaussian': n_samples={n_samples!r} should be a positive whole number"
        )
    if posterior not in POSTERIORS:
        raise SpecError(
            f"bottleneck 'gaussian': posterior={posterior!r} is not known; choose from "
            f"{', '.join(POSTERIORS)}"
        )
    if free_bits is not None and not (_is_number(free_bits) and 0 < free_bits < math.inf):
        raise SpecError(
            f"bottleneck 'gaussian': free_bits={free_bits!r} should be None or a positive number"
        )
    if not _is_number(warmup) or not 0 <= warmup < 1:
        raise SpecError(f"bottleneck 'gaussian': warmup={warmup!r} should lie in [0, 1)")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
