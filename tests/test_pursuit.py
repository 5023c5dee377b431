"""Codes by pursuit, parts by turns, and what two dictionaries agree on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode
from torch import Tensor
from torch.nn.functional import normalize

from autoencode.agreement import agreement, tolerance_for
from autoencode.polishing import Parts, Polish, first_gain, polished
from autoencode.pursuit import pursue, pursued_codes


def planted(
    n_parts: int = 48, n_values: int = 24, active: int = 3, n_rows: int = 1500, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Give parts, codes and rows."""
    rng = torch.Generator().manual_seed(seed)
    parts = normalize(torch.randn(n_parts, n_values, generator=rng, dtype=torch.float64), dim=1)
    places = torch.rand(n_rows, n_parts, generator=rng).topk(active).indices
    sizes = 1.0 + torch.rand(n_rows, active, generator=rng, dtype=torch.float64)
    codes = torch.zeros(n_rows, n_parts, dtype=torch.float64).scatter_(1, places, sizes)
    return parts, codes, codes @ parts


def test_planted_codes_are_found_and_nothing_else() -> None:
    parts, codes, x = planted(n_values=40)
    found = pursued_codes(x, parts, 10, 1e-6).dense(len(parts))
    exact = ((found > 1e-6) == (codes > 0)).all(1)
    assert float(exact.double().mean()) > 0.97
    torch.testing.assert_close(found[exact], codes[exact])


def test_coefficients_are_least_squares_on_the_parts_taken() -> None:
    parts, _, x = planted()
    found = pursue(x[:80], parts, 4, 0.0)
    for row in range(80):
        taken = found.gain[row] > 0
        chosen = parts[found.unit[row][taken]]
        expected = torch.linalg.lstsq(chosen.T, x[row]).solution
        torch.testing.assert_close(found.value[row][taken], expected.clamp_min(0.0))


def test_gains_are_what_the_squared_error_falls_by() -> None:
    parts, _, x = planted()
    for most in (1, 2, 3):
        shorter, longer = (pursue(x[:60], parts, n, 0.0) for n in (most, most + 1))
        left = [(x[:60] - p.dense(len(parts)) @ parts).square().sum(1) for p in (shorter, longer)]
        # Where a coefficient would be negative it is cut off, which the gain does not know.
        whole = (longer.value > 0).sum(1) == most + 1
        torch.testing.assert_close((left[0] - left[1])[whole], longer.gain[:, most][whole])


def test_it_takes_the_same_parts_as_the_pursuit_of_scikit_learn() -> None:
    parts, codes, x = planted(n_values=40)
    ours = pursue(x, parts, 3, 0.0).dense(len(parts)).numpy()
    theirs = sparse_encode(x.numpy(), parts.numpy(), algorithm="omp", n_nonzero_coefs=3)
    positive = (theirs >= 0).all(1)
    assert positive.mean() > 0.9
    np.testing.assert_allclose(ours[positive], theirs[positive], atol=1e-8)
    assert len(codes) == len(ours)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_depends_on_nothing_but_itself(dtype: torch.dtype) -> None:
    parts, _, x = (part.to(dtype) for part in planted())
    whole = pursued_codes(x, parts, 6, 0.01).dense(len(parts))
    single = torch.cat([pursued_codes(x[i : i + 1], parts, 6, 0.01).dense(48) for i in range(30)])
    torch.testing.assert_close(single, whole[:30])
    assert whole.dtype == dtype
    assert pursued_codes(x[:0], parts, 6, 0.01).dense(48).shape == (0, 48)


def test_a_larger_tolerance_takes_fewer_parts_and_a_limit_holds() -> None:
    parts, _, x = planted()
    counts = [
        float((pursued_codes(x, parts, 12, t).gain > 0).sum(1).double().mean())
        for t in (1e-6, 0.1, 1.0, 1e6)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0
    assert int((pursued_codes(x, parts, 2, 0.0).gain > 0).sum(1).max()) == 2


def started(parts: Tensor, spread: float, seed: int) -> Parts:
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(parts.shape, generator=rng, dtype=parts.dtype) / parts.shape[1] ** 0.5
    return Parts(normalize(parts + spread * noise, dim=1), torch.zeros(parts.shape[1]).double())


def matched(found: Tensor, parts: Tensor) -> float:
    return float((found @ parts.T).max(0).values.mean())


def test_polishing_finds_the_planted_parts() -> None:
    parts, _, x = planted(n_rows=3000)
    start = started(parts, 0.8, 1)
    settings = Polish(rounds=20, rows=3000, most=6)
    tolerance = 0.05 * first_gain(x, start)
    rng = torch.Generator().manual_seed(0)
    found = polished(x, start, tolerance, settings, rng)
    assert matched(start.parts, parts) < 0.9
    assert matched(found.parts, parts) > 0.999
    torch.testing.assert_close(found.parts.square().sum(1), torch.ones(48).double())


def test_polishing_moves_the_offset_towards_the_planted_one() -> None:
    parts, _, x = planted(n_rows=3000)
    offset = torch.linspace(-0.3, 0.3, 24, dtype=torch.float64)
    start = started(parts, 0.3, 1)
    tolerance = 0.05 * first_gain(x + offset, start)
    rng = torch.Generator().manual_seed(0)
    found = polished(x + offset, start, tolerance, Polish(rounds=20, rows=3000, most=6), rng)
    # Parts can stand for a part of it.
    assert float((found.offset - offset).abs().mean()) < 0.9 * float(offset.abs().mean())
    assert matched(found.parts, parts) > matched(start.parts, parts)


def test_parts_that_are_not_used_or_twice_there_are_replaced() -> None:
    parts, _, x = planted(n_rows=3000)
    start = started(parts, 0.2, 1)
    start.parts[1] = start.parts[0]
    start.parts[2] = -x.mean(0) / x.mean(0).norm()
    before = matched(start.parts, parts[:3])
    settings = Polish(rounds=14, rows=3000, most=6)
    rng = torch.Generator().manual_seed(0)
    found = polished(x, start, 0.05 * first_gain(x, start), settings, rng)
    assert matched(found.parts, parts[:3]) > before + 0.1
    alike = found.parts @ found.parts.T - 2 * torch.eye(48).double()
    assert float(alike.max()) < 0.95


def test_positive_parts_stay_positive() -> None:
    parts, codes, _ = planted(n_rows=2000)
    positive = normalize(parts.abs().square(), dim=1)
    x = codes @ positive
    start = Parts(started(positive, 0.5, 2).parts.abs(), torch.zeros(24).double())
    settings = Polish(rounds=8, rows=2000, most=6, positive=True)
    found = polished(x, start, 0.05 * first_gain(x, start), settings, torch.Generator())
    assert float(found.parts.min()) >= 0
    assert matched(found.parts, positive) > matched(start.parts, positive)


def test_the_agreed_number_of_parts_is_the_planted_one() -> None:
    parts, _, x = planted(n_rows=2000)
    noisy = x + 0.05 * torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).double()
    found = agreement(started(parts, 0.1, 1), started(parts, 0.1, 2), noisy)
    assert abs(found.n_active - 3.0) < 0.3
    assert found.stability.min() > 0.9
    assert found.curve[:, 2].max() > 0.9
    # A stranger's dictionary agrees with nobody's.
    strange = started(planted(seed=9)[0], 0.1, 3)
    other = agreement(started(parts, 0.1, 1), strange, noisy)
    assert other.curve[:, 2].max() < 0.5
    assert np.median(other.stability) < 0.8


@pytest.mark.parametrize("wanted", [1.5, 2.0, 4.0])
def test_the_tolerance_gives_the_count_that_is_asked_for(wanted: float) -> None:
    parts, _, x = planted()
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).double()
    tolerance = tolerance_for(Parts(parts, torch.zeros(24).double()), noisy, wanted)
    taken = pursued_codes(noisy, parts, 24, tolerance).gain > 0
    assert float(taken.sum(1).double().mean()) == pytest.approx(wanted, abs=0.01)
