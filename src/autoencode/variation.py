"""How likely held-out rows are: what variational models are judged by, and their floor."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from autoencode.bottlenecks import GaussianCode
from autoencode.data.rows import Rows
from autoencode.fit_data import FitData
from autoencode.importance import (
    N_DRAWS,
    Bound,
    Coder,
    measure_bound,
    standard_draws,
)
from autoencode.interfaces import Batch, Likelihood
from autoencode.measurement import HeldOut
from autoencode.network import Network
from autoencode.numerics import matrix_products
from autoencode.preprocess.own_units import cell_nats, scale_nats
from autoencode.preprocess.principal import PrincipalComponents
from autoencode.preprocess.table_rows import TableRows
from autoencode.scaled_rows import ScaledRows
from autoencode.selection import gate_opens

__all__ = [
    "REMEDY",
    "LikelihoodJudge",
    "active_units",
    "remedy",
    "total_variance",
    "variational_facts",
]

Array = npt.NDArray[np.float64]

_DRAWN_ROWS = 8_192
_FEW_DRAWS, _GATE_DRAWS = 8, 64
_MOST_ROWS, _FITTED_ROWS, _FIT_STEPS = 1_024, 4_096, 40
_ACTIVE = 0.01
"""Variance of a unit's posterior mean over rows above which it is active (Burda et al.)."""
REMEDY = {"free_bits": 0.1, "warmup": 0.5}


class LikelihoodJudge:
    """Judges networks of a fit by bounds on the log-likelihood of held-out rows.

    Parameters
    ----------
    data : FitData
        The rows.

    Attributes
    ----------
    floor_kind : str
        What they are compared with. "ppca": probabilistic PCA of as many components, where all
        values have densities around their parameters. "independent": the same likelihood
        without a code, where some have not.
    """

    def __init__(self, data: FitData) -> None:
        self.data = data
        likelihood = data.plan.composition.new_likelihood()
        self.densities: npt.NDArray[np.bool_] = likelihood.densities().numpy()
        exact = likelihood.link_start() is None and bool(self.densities.all())
        self.floor_kind = "ppca" if exact else "independent"
        self._floors: dict[int, Array] = {}

    def value(self, network: Network, sizes: list[int] | None = None) -> float:
        """Return what training is stopped and weights are chosen by; lower is better.

        Minus the mean bound of the rows that choose, by a few draws; the importance-weighted
        one if training takes more than one. Of several sizes the mean.
        """
        neck, held = _neck(network), self.data.choose
        count = max(neck.n_samples, min(_FEW_DRAWS, max(1, _DRAWN_ROWS // len(held.x.x))))
        found = []
        for size in sizes or [neck.latent_shape[0]]:
            bound = self.bound(network, held, count, size)
            chosen = bound.elbo if neck.n_samples == 1 else bound.importance
            found.append(-float(chosen.double().mean()))
        return float(np.mean(found))

    def bound(self, network: Network, held: HeldOut, n_draws: int, size: int) -> Bound:
        """Return bounds of some rows."""
        like = held.x.x
        draws = standard_draws(n_draws, _neck(network).latent_shape[0], self.data.plan.seed, like)
        with matrix_products("ieee"):
            return measure_bound(Coder.of(network), held.x, held.y, draws, size=size)

    def opens(self, network: Network, size: int) -> bool:
        """Say whether rows are likelier than under the floor by more than a standard error."""
        bound = self.bound(network, self.data.choose, _GATE_DRAWS, size)
        return gate_opens(-bound.importance.double().cpu().numpy(), -self.floor(size))

    def prefers(self, network: Network, other: Network | None) -> bool:
        """Say whether a network is better than another; it is if there is none."""
        return other is None or self.value(network) < self.value(other)

    def floor(self, size: int) -> Array:
        """Return the log-likelihood of the rows that choose under the floor, scaled units."""
        key = size if self.floor_kind == "ppca" else 0
        if key not in self._floors:
            self._floors[key] = self.floor_of(self.data.choose, size)[0]
        return self._floors[key]

    def floor_of(self, held: HeldOut, size: int) -> tuple[Array, Array]:
        """Return the floor's log-likelihood and rate of each row, scaled units."""
        if self.floor_kind == "ppca":
            return self.data.probabilistic(size).measure(with_missing(held.y))
        likelihood, params = self._independent
        with torch.no_grad():
            nats = likelihood.nll(params.expand(len(held.y.x), -1, -1), held.y.x)
        if held.y.observed is not None:
            nats = nats * held.y.observed
        likely = -nats.flatten(1).sum(1).double().cpu().numpy()
        return likely, np.zeros_like(likely)

    @cached_property
    def _independent(self) -> tuple[Likelihood, Tensor]:
        """Fit a likelihood without a code to training rows: parameters and scales."""
        data = self.data
        numbers = data.split.train[:: -(-len(data.split.train) // _FITTED_ROWS)]
        held = data.judged(data.scaled(data.pairs, numbers), restores=False)
        likelihood = data.plan.composition.new_likelihood()
        scaling = data.scaling
        likelihood.set_units(torch.from_numpy(scaling.center), torch.from_numpy(scaling.scale))
        likelihood.to(device=data.plan.device, dtype=torch.float64)
        start, x = likelihood.link_start(), held.y.x.double()
        params = torch.zeros(1, likelihood.n_params, x.shape[1], dtype=x.dtype, device=x.device)
        if start is not None:
            params[0, 0] = start.offset
        weights = [params.requires_grad_(), *likelihood.parameters()]

        def loss(values: Array) -> tuple[float, Array]:
            vector_to_parameters(torch.from_numpy(values).to(x.device), weights)
            nats = likelihood.nll(params.expand(len(x), -1, -1), x)
            if held.y.observed is not None:
                nats = nats * held.y.observed
            total = nats.sum() / len(x)
            slopes = torch.autograd.grad(total, weights, materialize_grads=True)
            return total.item(), parameters_to_vector(slopes).cpu().numpy()

        first = parameters_to_vector(weights).detach().cpu().numpy()
        # SciPy's: PyTorch's optimizers import its compiler, which takes seconds.
        found = minimize(loss, first, jac=True, options={"maxiter": _FIT_STEPS}, method="L-BFGS-B")
        vector_to_parameters(torch.from_numpy(found.x).to(x.device), weights)
        likelihood.to(dtype=data.plan.dtype)
        return likelihood, params.detach().to(data.plan.dtype)


def with_missing(batch: Batch) -> Array:
    """Return rows in float64; NaN where a value is missing."""
    values: Array = batch.x.double().cpu().numpy()
    if batch.observed is None:
        return values
    result: Array = np.where(batch.observed.cpu().numpy(), values, np.nan)
    return result


def active_units(network: Network, held: HeldOut) -> int:
    """Return how many units have a posterior mean that varies over rows."""
    return int((held.codes(network).var(0) > _ACTIVE).sum())


def remedy(judge: LikelihoodJudge, network: Network, size: int) -> dict[str, Any] | None:
    """Return what is known of a collapse, and how to train again; None: there is none.

    Units collapse where the decoder does without them: their posterior is the prior. That is
    right where rows have no more to tell, and wrong where probabilistic PCA finds more and
    held-out rows bear it out: if no unit is active where it has some, or fewer than half as
    many and rows are no likelier than under the floor.
    """
    data, rows = judge.data, with_missing(judge.data.choose.y)
    found = active_units(network, data.choose)
    with_units, without = (data.probabilistic(count).measure(rows)[0] for count in (size, 0))
    needed = data.probabilistic(size).n_active if gate_opens(-with_units, -without) else 0
    lacking = found == 0 < needed or (2 * found < needed and not judge.opens(network, size))
    return {"active": found, "needed": needed, **REMEDY} if lacking else None


def own_units(judge: LikelihoodJudge, held: HeldOut) -> Array:
    """Return what rows gain by being in the data's units, in nats; see `scale_nats`."""
    observed = np.isfinite(with_missing(held.y))
    gained = scale_nats(judge.data.scaling.scale, judge.densities, observed)
    source: Rows = held.rows.pairs.goal
    if isinstance(source, TableRows):
        gained = gained + cell_nats(source.schema, source.cells[held.rows.numbers])
    return gained


def variational_facts(
    judge: LikelihoodJudge, claim: HeldOut, network: Network | None, size: int
) -> dict[str, Any]:
    """Return what is claimed of a variational model, nats per row in the data's units.

    Parameters
    ----------
    judge : LikelihoodJudge
        Knows the floor.
    claim : HeldOut
        Rows that nothing saw; without any, probabilistic PCA is measured on training rows.
    network : Network or None
        None: the gate is shut.
    size : int
        Length of the code.
    """
    data = judge.data
    pairs, numbers = claim.rows.pairs, claim.rows.numbers
    if not len(numbers):
        pairs, numbers = data.pairs, data.split.train
    if len(numbers) > _MOST_ROWS or not len(claim.rows):
        some = numbers[:: -(-len(numbers) // _MOST_ROWS)]
        claim = data.judged(data.scaled(pairs, some), restores=False)
    units = own_units(judge, claim)
    floor, rate = judge.floor_of(claim, size)
    model = data.probabilistic(size)
    found: dict[str, Any] = {
        "floor": float((floor + units).mean()),
        "floor_kind": judge.floor_kind,
        "n_draws": N_DRAWS,
        "n_rows": len(units),
        "n_components": size,
    }
    if network is None:
        elbo = importance = floor + units
        active = model.n_active if judge.floor_kind == "ppca" else 0
    else:
        bound = judge.bound(network, claim, N_DRAWS, size)
        elbo, importance, rate = (
            part.double().cpu().numpy() for part in (bound.elbo, bound.importance, bound.rate)
        )
        elbo, importance = elbo + units, importance + units
        active = active_units(network, claim)
    spread = importance.std(ddof=1) / math.sqrt(len(units)) if len(units) > 1 else math.nan
    return found | {
        "elbo": float(elbo.mean()),
        "bound": float(importance.mean()),
        "bound_error": None if math.isnan(spread) else float(spread),
        "gap": float((importance - elbo).mean()),
        "rate": float(rate.mean()),
        "distortion": float(-(elbo + rate).mean()),
        "active": active,
    }


def total_variance(rows: ScaledRows, principal: PrincipalComponents) -> float:
    """Return the variance of rows around the mean of their components, summed over values."""
    squares = sum(float(np.square(block - principal.mean).sum()) for block in rows.blocks())
    return squares / len(rows)


def _neck(network: Network) -> GaussianCode:
    neck = network.bottleneck
    assert isinstance(neck, GaussianCode)
    return neck
