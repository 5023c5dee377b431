"""Likelihoods: how far values are from what the parameters say, in nats per value.

Parameters have shape ``(batch, n_params, *shape)``, values ``(batch, *shape)``. The
scale is that of the preprocessed data; jobs that report nats in the data's units
replace it by one measured on held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable

from autoencode.interfaces import Likelihood
from autoencode.likelihoods.discrete import Bernoulli, Categorical, Count
from autoencode.likelihoods.mixed import Mixed
from autoencode.likelihoods.real import Gaussian, Huber

__all__ = ["LIKELIHOODS", "Bernoulli", "Categorical", "Count", "Gaussian", "Huber", "Mixed"]

LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    "gaussian": Gaussian,
    "huber": Huber,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "count": Count,
    "mixed": Mixed,
}
