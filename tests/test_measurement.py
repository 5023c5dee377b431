"""Errors on held-out rows: PCA's and a network's, of complete rows and of hidden cells."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from autoencode.composition import Composition, linear_start
from autoencode.corruptions import CORRUPTIONS, Hide
from autoencode.data.arrays import open_array
from autoencode.guess import Guess, trust
from autoencode.interfaces import Batch
from autoencode.layout import Layout
from autoencode.measurement import HeldOut, quantiles
from autoencode.network import Network
from autoencode.preprocess.filling import Fill, fit_moments
from autoencode.preprocess.principal import PrincipalComponents, principal_components
from autoencode.preprocess.scaling import fit_scaling
from autoencode.preprocess.shrinking import Shrink
from autoencode.scaled_rows import Pairs, ScaledRows
from autoencode.spec import make

N_VALUES = 5
LAYOUT = Layout(N_VALUES)


def rows(missing: float = 0.0, count: int = 240) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2)) @ rng.normal(size=(2, N_VALUES)) + 0.2 * rng.normal(
        size=(count, N_VALUES)
    )
    return np.where(rng.random(x.shape) < missing, np.nan, x)


class Bench:
    """Training rows, held-out rows, their PCA, and a network that is this PCA."""

    def __init__(self, missing: float = 0.0, hidden: float = 0.0) -> None:
        x = rows(missing)
        scaling = fit_scaling([x[:200]], "standard")
        self.moments = fit_moments(scaling.forward(x[:200])) if missing or hidden else None
        fill = None
        if self.moments is not None:
            fill = Fill(torch.from_numpy(self.moments.precision()))
        pairs = Pairs(open_array(x, checked=False))
        part = partial(
            ScaledRows, pairs, scaling=scaling, dtype=torch.float64,
            device=torch.device("cpu"), fill=fill,
        )  # fmt: skip
        self.training, self.held = part(np.arange(200)), part(np.arange(200, 240))
        self.principal: PrincipalComponents = principal_components(
            self.training.blocks, 200, N_VALUES, N_VALUES, 0
        )
        self.guess = guess = Guess(fill, None, True, False, LAYOUT.first_values())
        hide = None
        if hidden:
            corrupt = Hide(LAYOUT, level=hidden, rows=1.0, together=False)
            hide = partial(corrupt, rng=torch.Generator().manual_seed(3))
        self.held_out = HeldOut(self.held, self.principal, self.training, guess, hide)
        self.x = scaling.forward(x[200:])

    def network(self, masked: bool) -> Network:
        """Return a network without hidden layers: PCA, but for the mean."""
        whole = Composition(
            "mlp", "plain", "none", "gaussian", (), (), (N_VALUES,), nested=True, masked=masked
        )
        network = whole.network(N_VALUES, torch.Generator().manual_seed(0)).double()
        network.start_linear(linear_start(self.principal))
        return network


CASES: list[dict[str, Any]] = [
    {},
    {"missing": 0.2},
    {"hidden": 0.3},
    {"missing": 0.2, "hidden": 0.3},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_errors_of_pca_are_those_of_its_reconstruction(case: dict[str, Any]) -> None:
    held = Bench(**case).held_out
    assert held.pca.shape[1] == N_VALUES + 1
    for size in range(N_VALUES + 1):
        truth, guess = held.compared(None, size)
        expected = np.nansum(np.square(truth - guess), 1)
        np.testing.assert_allclose(held.pca[:, size], expected, atol=1e-12)
        by_value = np.nanmean(np.square(truth - guess), 0)
        np.testing.assert_allclose(held.pca_column_errors(size), by_value, rtol=1e-9, atol=1e-12)


def test_small_pieces_are_worked_out_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, found = Bench(), []
    before, network = torch.get_num_threads(), bench.network(masked=False)
    encode = network.encode

    def watched(*given: Any) -> Any:
        found.append(torch.get_num_threads())
        return encode(*given)

    monkeypatch.setattr(network, "encode", watched)
    torch.set_num_threads(2)
    try:
        bench.held_out.errors(network, [1])
        # As if they were large.
        monkeypatch.setattr("autoencode.numerics._THREADED_FLOPS", 1.0)
        bench.held_out.errors(network, [1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert found == [1, 2]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_network_that_is_pca_errs_like_it(case: dict[str, Any]) -> None:
    bench = Bench(**case)
    network, sizes = bench.network(masked=bool(case)), [1, 2, N_VALUES]
    held = bench.held_out
    errors = held.errors(network, sizes)
    for place, size in enumerate(sizes):
        truth, guess = held.compared(network, size)
        expected = np.nansum(np.square(truth - guess), 1)
        np.testing.assert_allclose(errors[:, place], expected, atol=1e-10)
        by_value = np.nanmean(np.square(truth - guess), 0)
        np.testing.assert_allclose(held.column_errors(network, size), by_value, atol=1e-10)
        # They differ by the mean of the filled rows, which PCA subtracts.
        np.testing.assert_allclose(
            errors[:, place].mean(), held.pca[:, size].mean(), rtol=0.05, atol=1e-3
        )


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_only_what_is_observed_counts(missing: float) -> None:
    bench = Bench(missing)
    truth, _ = bench.held_out.compared(None, 1)
    np.testing.assert_array_equal(np.isnan(truth), np.isnan(bench.x))
    np.testing.assert_allclose(truth, bench.x)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_only_hidden_cells_count_where_cells_are_to_be_restored(missing: float) -> None:
    bench = Bench(missing, hidden=0.3)
    truth, guess = bench.held_out.compared(None, N_VALUES)
    # A few copies of the rows, each with other cells hidden.
    copies = len(truth) // len(bench.x)
    assert copies > 1
    counted = ~np.isnan(truth)
    shown = np.tile(bench.x, (copies, 1))
    np.testing.assert_allclose(truth[counted], shown[counted])
    assert counted[~np.isnan(shown)].mean() == pytest.approx(0.3, abs=0.05)
    first, second = counted[: len(bench.x)], counted[len(bench.x) : 2 * len(bench.x)]
    assert not np.array_equal(first, second)
    # What is shown says something of what is hidden, but a full-length code not everything.
    left = np.square(truth - guess)[counted].mean()
    assert 0.01 < left < 0.6 * np.square(shown[counted]).mean()


NOISY = {"gaussian": "gaussian:level=(0.3,0.9)", "restoring": "restoring:noise=(0.3,0.9),swap=None"}


def judged_under_noise(name: str) -> tuple[Bench, HeldOut, Guess]:
    """Judge by rows that are noisy, or of which every other is."""
    bench = Bench(hidden=0.3)
    corrupt = make("corruption", CORRUPTIONS, NOISY[name], LAYOUT)
    spoil = partial(corrupt, rng=torch.Generator().manual_seed(3))
    shrink = Shrink(torch.from_numpy(bench.moments.covariance))
    guess = Guess(bench.guess.fill, shrink, corrupt.hides, True, LAYOUT.first_values())
    held = HeldOut(bench.held, bench.principal, bench.training, guess, spoil, copies=4)
    return bench, held, guess


def noisy_rows(batch: Batch) -> np.ndarray:
    """Give the values that the encoder is told, before the noise was taken out of them."""
    gain, variance = batch.level[:, :1], batch.level[:, 1:]
    return (batch.told[:, -N_VALUES:] * (gain.square() + variance).sqrt()).numpy()


@pytest.mark.parametrize("name", NOISY)
def test_of_noisy_rows_all_cells_are_to_be_restored(name: str) -> None:
    bench, held, _ = judged_under_noise(name)
    truth, guess = held.compared(None, N_VALUES)
    assert len(truth) == 4 * len(bench.x)
    noisy = held.x.level[:, 1].numpy() > 0
    assert noisy.mean() == (1.0 if name == "gaussian" else 0.5)
    if name == "restoring":
        assert np.array_equal(held.incomplete, ~noisy)
    expected = np.tile(bench.x, (4, 1))
    np.testing.assert_allclose(truth[noisy], expected[noisy])
    hidden = np.zeros_like(expected, dtype=bool)
    if held.x.observed is not None:
        hidden = ~held.x.observed.numpy()
    assert np.array_equal(np.isnan(truth[~noisy]), ~hidden[~noisy])
    # The linear guess, which is what PCA of full length makes of them, is better than rows.
    left = np.square(truth - guess)[noisy].sum(1)
    given = noisy_rows(held.x)[noisy]
    assert left.mean() < 0.8 * np.square(given - expected[noisy]).sum(1).mean()
    np.testing.assert_allclose(held.pca[noisy, -1], left)


def test_errors_are_weighed_by_what_noise_leaves() -> None:
    bench, held, _ = judged_under_noise("restoring")
    weighed = held.weighted(np.ones((len(held.pca), 2)))
    expected = 1 / np.square(trust(held.x.level).numpy())
    np.testing.assert_allclose(weighed, np.tile(expected, (1, 2)))
    assert bench.held_out.weighted(bench.held_out.pca) is bench.held_out.pca


def test_a_network_that_is_pca_restores_noisy_rows_like_it() -> None:
    bench, held, guess = judged_under_noise("gaussian")
    whole = Composition(
        "mlp", "plain", NOISY["gaussian"], "gaussian", (), (), (N_VALUES,), nested=False, noisy=True
    )
    network = whole.network(N_VALUES, torch.Generator().manual_seed(0)).double()
    network.start_linear(linear_start(bench.principal))
    network.shrink = guess.shrink
    errors = held.errors(network, [N_VALUES])[:, 0]
    np.testing.assert_allclose(errors, held.pca[:, -1], rtol=1e-6, atol=1e-9)


def test_the_same_cells_are_hidden_again() -> None:
    first, second = (Bench(hidden=0.3).held_out.pca for _ in range(2))
    assert np.array_equal(first, second)


def test_without_held_out_rows_pca_is_judged_where_it_was_fitted() -> None:
    bench = Bench()
    none = ScaledRows(
        bench.held.pairs, np.arange(0), bench.held.scaling, torch.float64, torch.device("cpu")
    )
    held = HeldOut(none, bench.principal, bench.training, bench.guess)
    values = np.concatenate(list(bench.training.blocks()))
    assert held.pca.shape == (1, N_VALUES + 1)
    for size in range(N_VALUES + 1):
        head = bench.principal.head(size)
        scores = (values - head.mean) @ head.components.T
        left = np.square(values - head.mean - scores @ head.components)
        assert held.pca[0, size] == pytest.approx(left.sum(1).mean(), abs=1e-9)
        np.testing.assert_allclose(held.pca_column_errors(size), left.mean(0), atol=1e-9)


def test_quantiles_are_numpys_at_the_middle_of_equal_shares() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(500, 3)) * [1, 5, 1]
    errors[::3, 1] = np.nan
    errors[:, 2] = np.nan
    found = quantiles(errors)
    shares = (np.arange(found.shape[1]) + 0.5) / found.shape[1]
    np.testing.assert_allclose(found[0], np.quantile(errors[:, 0], shares))
    np.testing.assert_allclose(found[1], np.nanquantile(errors[:, 1], shares))
    assert not found[2].any()


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_all_that_is_known_of_rows_with_noise_counts(missing: float) -> None:
    bench = Bench(missing=missing)
    corrupt = make("corruption", CORRUPTIONS, "gaussian:level=0.5", LAYOUT)
    spoil = partial(corrupt, rng=torch.Generator().manual_seed(5))
    parts = (bench.held, bench.principal, bench.training, bench.guess)
    noisy = HeldOut(*parts, spoil, copies=50, whole=True)
    known = ~np.isnan(bench.x)
    squares = np.where(known, np.square(bench.x - bench.principal.mean), 0.0).sum(1)
    assert np.allclose(noisy.pca[:, 0], np.tile(squares, 50))
    # With all its components PCA gives back the noise, and nothing else.
    assert noisy.pca[:, -1].mean() == pytest.approx(0.25 * known.sum(1).mean(), rel=0.05)
