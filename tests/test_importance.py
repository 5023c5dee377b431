"""The importance-weighted bound and probabilistic PCA: known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from autoencode.bottlenecks import GaussianCode
from autoencode.composition import Composition
from autoencode.importance import Coder, measure_bound, standard_draws
from autoencode.interfaces import Batch
from autoencode.network import Network
from autoencode.preprocess.principal import PrincipalComponents, principal_components
from autoencode.preprocess.probabilistic import ProbabilisticPca
from autoencode.starting import probabilistic_start

N_VALUES, N_COMPONENTS = 6, 2


def data(count: int = 400) -> np.ndarray:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(N_COMPONENTS, N_VALUES))
    rows = rng.normal(size=(count, N_COMPONENTS)) @ mixing
    rows = rows + 0.4 * rng.normal(size=(count, N_VALUES))
    return rows - rows.mean(0)


def principal(rows: np.ndarray, count: int = N_COMPONENTS) -> PrincipalComponents:
    return principal_components(lambda: iter([rows]), len(rows), rows.shape[1], count, 0)


def model(rows: np.ndarray, count: int = N_COMPONENTS) -> ProbabilisticPca:
    return ProbabilisticPca.fit(principal(rows, count), float(np.square(rows).sum() / len(rows)))


def covariance(fitted: ProbabilisticPca) -> np.ndarray:
    weights = fitted.components.T * fitted.loadings
    return weights @ weights.T + fitted.noise * np.eye(len(weights))


def network(posterior: str = "gaussian", hidden: tuple[int, ...] = (8,)) -> Network:
    whole = Composition(
        architecture="mlp",
        bottleneck=f"gaussian:posterior={posterior}",
        corruption="none",
        likelihood="gaussian:scale=learned",
        penalties=(),
        hidden_layer_sizes=hidden,
        sample_shape=(N_VALUES,),
        nested=False,
    )
    return whole.network(N_COMPONENTS, torch.Generator().manual_seed(0)).double()


def started(rows: np.ndarray, **choices: str) -> Network:
    result = network(**choices)
    result.start_linear(probabilistic_start(model(rows)))
    return result


def bound(whole: Network, rows: np.ndarray, n_draws: int, observed: np.ndarray | None = None):
    known = None if observed is None else torch.from_numpy(observed)
    batch = Batch(torch.from_numpy(rows), known)
    draws = standard_draws(n_draws, N_COMPONENTS, 0, batch.x)
    return measure_bound(Coder.of(whole), batch, batch, draws)


# Probabilistic PCA.


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_density_of_probabilistic_pca_is_the_normal_one(count: int) -> None:
    rows = data()
    fitted = model(rows, count)
    expected = multivariate_normal(fitted.mean, covariance(fitted)).logpdf(rows)
    np.testing.assert_allclose(fitted.measure(rows)[0], expected, rtol=1e-10)


def test_with_all_components_it_has_the_covariance_of_the_rows() -> None:
    rows = data()
    fitted = model(rows, N_VALUES)
    np.testing.assert_allclose(covariance(fitted), rows.T @ rows / len(rows), atol=1e-10)


def test_it_is_the_likeliest_of_its_form() -> None:
    rows = data()
    fitted = model(rows)
    best = fitted.measure(rows)[0].mean()
    for factor in (0.9, 1.1):
        noisier = ProbabilisticPca(
            fitted.mean, fitted.components, fitted.loadings, factor * fitted.noise
        )
        longer = ProbabilisticPca(
            fitted.mean, fitted.components, factor * fitted.loadings, fitted.noise
        )
        assert noisier.measure(rows)[0].mean() < best
        assert longer.measure(rows)[0].mean() < best


def test_missing_values_do_not_count_in_it() -> None:
    rows = data(30)
    fitted = model(data())
    holes = np.random.default_rng(1).random(rows.shape) < 0.3
    holes[:, 0] = False
    found = fitted.measure(np.where(holes, np.nan, rows))[0]
    for row, hole, value in zip(rows, holes, found, strict=True):
        kept = np.flatnonzero(~hole)
        part = multivariate_normal(np.zeros(len(kept)), covariance(fitted)[np.ix_(kept, kept)])
        assert value == pytest.approx(part.logpdf(row[kept]), rel=1e-9)


def test_its_rate_is_the_divergence_of_the_exact_posterior() -> None:
    rows = data(20)
    fitted = model(data())
    weights = fitted.components.T * fitted.loadings
    precision = np.eye(N_COMPONENTS) + weights.T @ weights / fitted.noise
    means = rows @ weights @ np.linalg.inv(precision) / fitted.noise
    prior = torch.distributions.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
    own = torch.distributions.MultivariateNormal(
        torch.from_numpy(means), precision_matrix=torch.from_numpy(precision)
    )
    expected = torch.distributions.kl_divergence(own, prior).numpy()
    np.testing.assert_allclose(fitted.measure(rows)[1], expected, rtol=1e-10)
    varying = fitted.shrinkage
    own_means = data() @ weights @ np.linalg.inv(precision) / fitted.noise
    np.testing.assert_allclose(own_means.var(0), varying, rtol=1e-10)


# The bound.


@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
@pytest.mark.parametrize("hidden", [(8,), ()])
def test_the_start_is_probabilistic_pca_and_its_bound_exact(
    posterior: str, hidden: tuple[int, ...]
) -> None:
    """Where the posterior is exact, every draw says the same."""
    rows = data()
    exact, rate = model(rows).measure(rows)
    found = bound(started(rows, posterior=posterior, hidden=hidden), rows, 3)
    np.testing.assert_allclose(found.importance.numpy(), exact, rtol=1e-9)
    np.testing.assert_allclose(found.elbo.numpy(), exact, rtol=1e-9)
    if posterior == "gaussian":
        np.testing.assert_allclose(found.rate.numpy(), rate, rtol=1e-9)


def test_the_bound_is_exact_to_a_hundredth_where_the_posterior_is_not() -> None:
    rows = data(100)
    whole = started(rows)
    neck = whole.bottleneck
    assert isinstance(neck, GaussianCode)
    assert neck.log_variance.hidden is not None
    with torch.no_grad():
        neck.log_variance.hidden.bias.add_(0.4)
        neck.projection.linear_path.weight.mul_(0.95)  # type: ignore[union-attr]
    exact = model(rows).measure(rows)[0].mean()
    values = [bound(whole, rows, count) for count in (10, 500, 5000)]
    means = [value.importance.mean().item() for value in values]
    assert values[2].elbo.mean().item() < exact - 0.05
    assert means[0] < means[1] + 0.02
    assert abs(means[1] - exact) < 0.01
    assert abs(means[2] - exact) < 0.01


def test_missing_values_do_not_count_in_the_bound() -> None:
    rows = data(50)
    whole = started(data())
    observed = np.random.default_rng(1).random(rows.shape) > 0.3
    other = np.where(observed, rows, 1e3)
    batch = Batch(torch.from_numpy(rows))
    draws = standard_draws(4000, N_COMPONENTS, 0, batch.x)
    coder = Coder.of(whole)
    found = [
        measure_bound(coder, batch, Batch(torch.from_numpy(x), torch.from_numpy(observed)), draws)
        for x in (rows, other)
    ]
    assert torch.equal(found[0].importance, found[1].importance)
    exact = model(data()).measure(np.where(observed, rows, np.nan))[0]
    # The posterior is that of the whole row: a bound, and near for rows with most values.
    most = observed.sum(1) >= N_VALUES - 1
    assert most.sum() >= 5
    assert np.abs(found[0].importance.numpy() - exact)[most].mean() < 0.1


def test_a_row_has_the_same_bound_in_any_company() -> None:
    rows = data(700)
    whole = network()
    every = bound(whole, rows, 100).importance
    order = np.random.default_rng(0).permutation(700)
    shuffled = bound(whole, rows[order], 100).importance
    torch.testing.assert_close(shuffled, every[order], rtol=1e-12, atol=1e-12)
    alone = bound(whole, rows[5:6], 100).importance
    torch.testing.assert_close(alone, every[5:6], rtol=1e-12, atol=1e-12)


def test_rate_and_distortion_add_up() -> None:
    found = bound(network(), data(40), 50)
    torch.testing.assert_close(found.rate + found.distortion, -found.elbo)
    assert bool((found.importance > found.elbo).all())


def test_fewer_components_are_a_prefix() -> None:
    rows = data(40)
    whole = started(rows)
    batch = Batch(torch.from_numpy(rows))
    draws = standard_draws(2000, N_COMPONENTS, 0, batch.x)
    found = measure_bound(Coder.of(whole), batch, batch, draws, size=1)
    one = ProbabilisticPca(
        model(rows).mean, model(rows).components[:1], model(rows).loadings[:1], model(rows).noise
    )
    np.testing.assert_allclose(found.importance.numpy(), one.measure(rows)[0], rtol=1e-6)
