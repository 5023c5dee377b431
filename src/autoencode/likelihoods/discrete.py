"""Likelihoods of ones and zeros, of categories and of counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoencode.interfaces import Batch, Layout, Likelihood, LinkStart, Segment

__all__ = ["Bernoulli", "Categorical", "Count"]

_STEEPEST = 10.0
"""The slope, per standard deviation, up to which a link starts along its tangent."""


class _Shared(Likelihood):
    """A likelihood whose weights follow from how values were centred and scaled."""

    cached: Tensor | None = None

    def set_units(self, center: Tensor, unit: Tensor) -> None:
        """Learn how values were centred and scaled."""
        super().set_units(center, unit)
        self.cached = None

    def densities(self) -> Tensor:
        """Return that nats are of probabilities."""
        return torch.zeros_like(self.center, dtype=torch.bool)

    def _cached(self, measure: Callable[[], Tensor]) -> Tensor:
        if self.cached is None or self.cached.device != self.center.device:
            self.cached = measure()
        return self.cached.to(self.center.dtype)


class Bernoulli(_Shared):
    """Values that are 0 or 1 before scaling; the parameter is the log-odds of a 1."""

    def _shares(self) -> Tensor:
        return self.center.clamp(1e-3, 1 - 1e-3)

    def _raw(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.unit + self.center

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the cross-entropy."""
        logits = params[:, 0].flatten(1)
        lost = functional.softplus(logits) - self._raw(x) * logits
        return lost.view(x.shape)

    @torch.no_grad()
    def gradient(
        self, params: Tensor, target: Batch, weights: Tensor | None, *, balanced: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the same as the general way, in closed form."""
        weight = self.value_weights(target, weights, balanced)
        logits, raw = params[:, 0], self._raw(target.x)
        nats = ((functional.softplus(logits) - raw * logits) * weight).sum()
        return nats, ((torch.sigmoid(logits) - raw) * weight)[:, None]

    def mean(self, params: Tensor) -> Tensor:
        """Return the probability of a 1, scaled as the values are."""
        logits = params[:, 0]
        probability = torch.sigmoid(logits.flatten(1))
        return ((probability - self.center) / self.unit).view(logits.shape)

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw zeros and ones, scaled as the values are."""
        logits = params[:, 0]
        flat = logits.flatten(1)
        place = torch.rand(flat.shape, generator=rng, dtype=flat.dtype, device=flat.device)
        drawn = (place < torch.sigmoid(flat)).to(flat.dtype)
        return ((drawn - self.center) / self.unit).view(logits.shape)

    def balance(self) -> Tensor:
        """Return half the values' scaled variance over the entropy of their shares."""
        return self._cached(self._balance)

    def _balance(self) -> Tensor:
        share = self._shares()
        entropy = -(share * share.log() + (1 - share) * (1 - share).log())
        balance: Tensor = 0.5 * share * (1 - share) / self.unit**2 / entropy
        return balance

    def link_start(self) -> LinkStart:
        """Return the tangent of the log-odds at the mean."""
        share = self._shares()
        gain = (self.unit / (share * (1 - share))).clamp(max=_STEEPEST)
        return LinkStart(gain, torch.logit(share))


class Categorical(_Shared):
    """One-hot runs of values, a run for each segment; the parameters are logits.

    A layout without segments is one run. The nats of a run stand at its 1.
    """

    back: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        runs = layout.segments or (Segment("categorical", 0, 0, layout.n_values),)
        by_width: dict[int, list[Segment]] = {}
        for run in runs:
            by_width.setdefault((run.stop - run.start - 1).bit_length(), []).append(run)
        order = []
        # Runs of about the same width are padded to one, so that one softmax does them all.
        # Indices are not in a model's file: they exist also where weights are only outlined.
        for width, group in by_width.items():
            longest = max(run.stop - run.start for run in group)
            places = torch.zeros(len(group), longest, dtype=torch.long, device="cpu")
            beyond = torch.ones(len(group), longest, dtype=torch.bool, device="cpu")
            for number, run in enumerate(group):
                inside = torch.arange(run.start, run.stop, device="cpu")
                places[number, : len(inside)] = inside
                beyond[number, : len(inside)] = False
            self.register_buffer(f"places_{width}", places, persistent=False)
            self.register_buffer(f"beyond_{width}", beyond, persistent=False)
            order.append(torch.where(beyond, -1, places).flatten())
        self.widths = tuple(by_width)
        self.padded = {width: bool(self._group(width)[1].any()) for width in self.widths}
        joined = torch.cat(order)
        back = torch.zeros(layout.n_values, dtype=torch.long, device="cpu")
        real = (joined >= 0).nonzero()[:, 0]
        back[joined[real]] = real
        self.register_buffer("back", back, persistent=False)

    def _group(self, width: int) -> tuple[Tensor, Tensor]:
        return getattr(self, f"places_{width}"), getattr(self, f"beyond_{width}")

    def _groups(self, logits: Tensor) -> list[Tensor]:
        """Return the logits of each group of runs, ``(batch, runs, longest)``."""
        groups = []
        for width in self.widths:
            places, beyond = self._group(width)
            chosen = logits.index_select(1, places.flatten()).unflatten(1, places.shape)
            padded = self.padded[width]
            groups.append(chosen.masked_fill(beyond, -math.inf) if padded else chosen)
        return groups

    def _ungrouped(self, groups: list[Tensor]) -> Tensor:
        joined = (
            groups[0].flatten(1)
            if len(groups) == 1
            else torch.cat([group.flatten(1) for group in groups], 1)
        )
        return joined.index_select(1, self.back)

    def _log_probabilities(self, params: Tensor) -> Tensor:
        groups = self._groups(params[:, 0].flatten(1))
        return self._ungrouped([torch.log_softmax(group, 2) for group in groups])

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return the cross-entropy, each run's at its 1."""
        raw = x.flatten(1) * self.unit + self.center
        return (-raw * self._log_probabilities(params)).view(x.shape)

    @torch.no_grad()
    def gradient(
        self, params: Tensor, target: Batch, weights: Tensor | None, *, balanced: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the same as the general way, in closed form.

        The values of a run are missing together and have one weight, and add up to 1.
        """
        weight = self.value_weights(target, weights, balanced)
        raw = target.x * self.unit + self.center
        logs = self._log_probabilities(params)
        return -(raw * logs * weight).sum(), ((logs.exp() - raw) * weight)[:, None]

    def mean(self, params: Tensor) -> Tensor:
        """Return the probabilities, scaled as the values are."""
        probability = self._log_probabilities(params).exp()
        return ((probability - self.center) / self.unit).view(params[:, 0].shape)

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw one-hot runs, scaled as the values are (Gumbel's trick)."""
        logits = params[:, 0].flatten(1)
        coins = torch.rand(logits.shape, generator=rng, dtype=logits.dtype, device=logits.device)
        noisy = logits - (-coins.clamp(1e-12).log()).log()
        raw = self._ungrouped(
            [
                functional.one_hot(group.argmax(2), group.shape[2]).to(logits.dtype)
                for group in self._groups(noisy)
            ]
        )
        return ((raw - self.center) / self.unit).view(params[:, 0].shape)

    def _by_run(self, values: Tensor) -> Tensor:
        """Return the sum over each value's run."""
        sums = []
        for width in self.widths:
            places, beyond = self._group(width)
            total = torch.where(beyond, 0.0, values[places]).sum(1, keepdim=True)
            sums.append(total.expand(places.shape)[None])
        return self._ungrouped(sums)[0]

    def balance(self) -> Tensor:
        """Return half a run's scaled variance over the entropy of its shares."""
        return self._cached(self._balance)

    def _balance(self) -> Tensor:
        share = self.center.clamp(1e-6, 1 - 1e-6)
        variance = self._by_run(share * (1 - share) / self.unit**2)
        entropy = self._by_run(-share * share.log()).clamp_min(1e-6)
        balance: Tensor = 0.5 * variance / entropy
        return balance

    def link_start(self) -> LinkStart:
        """Return the tangent of the logits at the mean: the softmax's, to first order."""
        share = self.center.clamp(1e-4, 1.0)
        return LinkStart((self.unit / share).clamp(max=_STEEPEST), share.log())


class Count(Likelihood):
    """Whole numbers from 0, given as log(1 + count): negative binomial.

    The parameter is the logarithm of 1 + mean, scaled as the values are; the dispersion
    is learned for every value (Hilbe, 2011, eq. 8.8: variance ``mean + mean**2 / size``).
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.log_size = nn.Parameter(torch.zeros(layout.n_values))

    def densities(self) -> Tensor:
        """Return that nats are of probabilities."""
        return torch.zeros_like(self.center, dtype=torch.bool)

    def _expected(self, params: Tensor) -> Tensor:
        logarithm = (params[:, 0].flatten(1) * self.unit + self.center).clamp(-10, 30)
        # Smooth and positive also where the logarithm is negative.
        return functional.softplus(torch.expm1(logarithm), beta=10.0) + 1e-6

    def _size(self) -> Tensor:
        return self.log_size.clamp(-7, 12).exp()

    def nll(self, params: Tensor, x: Tensor) -> Tensor:
        """Return minus the log-probability of the counts."""
        count = torch.expm1(x.flatten(1) * self.unit + self.center).clamp_min(0)
        expected, size = self._expected(params), self._size()
        total = torch.log(size + expected)
        likely = (
            torch.lgamma(count + size)
            - torch.lgamma(size)
            - torch.lgamma(count + 1)
            + size * (size.log() - total)
            + count * (expected.log() - total)
        )
        return -likely.view(x.shape)

    def mean(self, params: Tensor) -> Tensor:
        """Return the logarithm of 1 + mean, scaled as the values are."""
        return params[:, 0]

    def sample(self, params: Tensor, rng: torch.Generator) -> Tensor:
        """Draw counts: a Poisson number whose mean is gamma distributed."""
        expected, size = self._expected(params), self._size()
        # PyTorch's gamma takes no generator: NumPy's is seeded from the one given.
        seed = int(torch.randint(2**62, (1,), generator=rng, device=rng.device))
        numbers = np.random.default_rng(seed)
        shape = size.detach().cpu().double().expand(expected.shape).numpy()
        mean = expected.detach().cpu().double().numpy()
        drawn = torch.from_numpy(numbers.poisson(numbers.gamma(shape, mean / shape)))
        logarithm = torch.log1p(drawn.to(expected))
        return ((logarithm - self.center) / self.unit).view(params[:, 0].shape)

    def balance(self) -> Tensor:
        """Return one over the nats' curvature at the mean."""
        expected = torch.expm1(self.center).clamp_min(1e-2)
        size = self._size().detach()
        curvature = (expected + 1) ** 2 / (expected + expected**2 / size) * self.unit**2
        balance: Tensor = 1 / curvature
        return balance
