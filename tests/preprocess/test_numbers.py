"""Numeric and count columns: transforms, densities, draws and known answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from autoencode.errors import DataError
from autoencode.preprocess.column_kinds import COLUMN_KINDS, Block
from autoencode.preprocess.column_kinds.summary import summarise
from autoencode.preprocess.columns import Schema

RNG = np.random.default_rng(0)
HEAVY = np.exp(2 * RNG.normal(size=2000))
TWO_SIDED = RNG.standard_t(1.2, 2000) + 100
NORMAL = RNG.normal(5, 2, 2000)
LEVELS = (torch.arange(200, dtype=torch.float64) + 0.5) / 200


def fitted(column: Any, spec: str | None = None) -> Any:
    return Schema.look(pa.table({"x": column}), {"x": spec} if spec else None).blocks[0]


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_only_heavy_tails_are_bent() -> None:
    assert fitted(NORMAL).transform == "none"
    assert fitted(RNG.exponential(size=2000)).transform == "none"
    assert fitted(RNG.laplace(size=2000)).transform == "none"
    assert fitted(HEAVY[:40]).transform == "none"
    assert fitted(HEAVY).transform == "asinh"
    assert fitted(TWO_SIDED).transform == "asinh"
    assert fitted(HEAVY, "numeric:transform=none").transform == "none"
    assert fitted(NORMAL, "numeric:transform=asinh").transform == "asinh"


def test_the_bend_is_logarithmic_for_sizes_and_centred_for_deviations() -> None:
    sizes, deviations = fitted(HEAVY), fitted(TWO_SIDED)
    assert sizes.centre == 0
    assert 0 < sizes.width < np.median(HEAVY)
    assert deviations.centre == pytest.approx(np.median(TWO_SIDED), abs=0.01)
    inside = np.abs(TWO_SIDED - deviations.centre) < deviations.width
    assert 0.5 < inside.mean() < 0.8
    for block, numbers in ((sizes, HEAVY), (deviations, TWO_SIDED)):
        values = block.spread(torch.from_numpy(numbers)[:, None])
        assert values.abs().max() < 20
        back = block.gather(values)[:, 0].numpy()
        np.testing.assert_allclose(back, numbers, rtol=1e-12, atol=1e-12)


def test_mostly_equal_numbers_have_a_width_too() -> None:
    numbers = np.where(RNG.random(2000) < 0.9, 5.0, 5 + RNG.standard_t(1.2, 2000))
    block = fitted(numbers)
    assert block.transform == "asinh"
    assert block.width > 0


def test_a_bend_that_cannot_be_undone_is_not_made() -> None:
    numbers = np.concatenate([RNG.normal(0, 1e-200, 1000), [1e300, -1e300]])
    assert fitted(numbers).transform == "none"
    with pytest.raises(DataError, match="transform='asinh' could not be inverted exactly"):
        fitted(numbers, "numeric:transform=asinh")


@pytest.mark.parametrize("numbers", [NORMAL, HEAVY, TWO_SIDED])
def test_densities_integrate_to_one(numbers: np.ndarray) -> None:
    block = fitted(numbers)
    grid = block.gather(torch.linspace(-30, 30, 60001, dtype=torch.float64)[:, None], clip=False)
    values = block.spread(column(float(np.median(numbers)))).expand(len(grid), 1)
    density = block.nats(grid, values, torch.tensor([0.7], dtype=torch.float64)).exp()
    assert torch.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=1e-6)


def test_plain_nats_are_those_of_a_normal_distribution() -> None:
    block = fitted(NORMAL)
    found = block.nats(column(1.0, 3.0), column(2.0, 2.5), torch.tensor([0.5]).double())
    normal = torch.distributions.Normal(torch.tensor([2.0, 2.5]).double(), 0.5)
    torch.testing.assert_close(found, normal.log_prob(torch.tensor([1.0, 3.0]).double()))


def test_numbers_stay_in_the_observed_range_unless_asked() -> None:
    block = fitted(pa.array([3, 250, 100], pa.uint8()))
    values = column(-50.0, 99.6, 251.7, 1e9)
    assert block.gather(values)[:, 0].tolist() == [3, 100, 250, 250]
    free = block.gather(values, clip=False)
    assert free[:, 0].tolist() == [0, 100, 252, 255]
    assert block.column(free.numpy()).to_pylist() == [0, 100, 252, 255]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([-128, 127, 0], pa.int8()),
        pa.array([2**53 - 1, 1 - 2**53, 0]),
        pa.array([0, 86_399_999, 5], pa.time32("ms")),
        pa.array([0, 86_399_999_999_999, 5], pa.time64("ns")),
        pa.array([1 - 2**53, 2**53 - 1, 5], pa.duration("ns")),
        pa.array([Decimal("99.99"), Decimal("-0.01"), None, Decimal("1.10")], pa.decimal128(4, 2)),
        pa.array([Decimal("12300"), Decimal("100"), Decimal("0")], pa.decimal128(5, -2)),
        pa.array([np.float16(0.1), np.float16(65504), np.float16(-6e-8)], pa.float16()),
        pa.array([0.1, 3.4e38, -1e-45], pa.float32()),
        pa.array([0.1, 1.7976931348623157e308, 5e-324], pa.float64()),
    ],
)
def test_every_width_comes_back(column: pa.Array) -> None:
    block = fitted(column)
    assert block.kind == "numeric"
    cells = block.cells(pa.chunked_array([column]))
    assert block.column(cells).equals(column)
    # What a network makes of it never leaves the type.
    for far in (np.full((2, 1), 1e300), np.full((2, 1), -1e300)):
        free = block.gather(torch.from_numpy(far), clip=False).numpy()
        restored = block.column(free)
        assert restored.type == column.type
        np.testing.assert_array_equal(block.cells(pa.chunked_array([restored])), free)


def test_expected_is_the_mean_on_the_original_scale() -> None:
    # x = exp-like of a normal value: the mean lies above what the mean value goes back to.
    block = fitted(HEAVY)
    residuals = torch.special.ndtri(LEVELS)[None] * 0.8
    values = block.spread(column(float(np.median(HEAVY))))
    samples = block.gather(values + residuals.T)
    mean = block.expected(values, residuals)
    torch.testing.assert_close(mean[0, 0], samples.mean())
    assert mean > 1.2 * block.gather(values)
    plain = fitted(NORMAL)
    assert plain.expected(column(4.0), residuals).tolist() == [[4.0]]


@pytest.mark.parametrize("numbers", [NORMAL, RNG.poisson(3, 500)])
def test_draws_follow_the_residuals(numbers: np.ndarray) -> None:
    block = fitted(numbers)
    residuals = (torch.special.ndtri(LEVELS) * 0.3 + 0.1)[None]
    normals = torch.special.ndtri(torch.linspace(0.01, 0.99, 99, dtype=torch.float64))[:, None]
    values = block.spread(column(5.0)).expand(99, 1)
    drawn = block.draw(values, normals, residuals)
    assert (drawn.diff(dim=0) >= 0).all()
    wanted = block.gather(values + 0.3 * normals + 0.1)
    assert (drawn - wanted).abs().max() <= (0.01 if block.kind == "numeric" else 1)


def counts() -> Block:
    numbers = pa.chunked_array([pa.array(RNG.poisson(3, 500))])
    return COLUMN_KINDS["count"].fit(summarise("n", numbers))


@pytest.mark.parametrize("deviation", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("mean", [-0.5, 0.0, 1.4, 6.0])
def test_probabilities_of_counts_sum_to_one(mean: float, deviation: float) -> None:
    block = counts()
    every = torch.arange(2_000_000, dtype=torch.float64)[:, None]
    off = torch.tensor([deviation], dtype=torch.float64)
    nats = block.nats(every, torch.full_like(every, mean), off)
    beyond = torch.special.ndtr((mean - np.log(2_000_000.5)) / off)
    assert nats.exp().sum() + beyond == pytest.approx(1, abs=1e-9)


def test_far_counts_have_finite_nats() -> None:
    block = counts()
    far = column(0.0, 1.0, 1e6, 2.0**40)
    off = torch.tensor([1e-3], dtype=torch.float64)
    for mean in (0.0, 5.0, 20.0):
        nats = block.nats(far, torch.full_like(far, mean), off)
        assert torch.isfinite(nats).all()
        # As much as a normal density that far away, give or take the width of a count.
        steps = (torch.log1p(far) - mean)[:, 0].abs() / off
        beyond = steps > 1000
        ratio = nats[beyond] / (-0.5 * steps[beyond] ** 2)
        assert ((ratio > 0.5) & (ratio < 1.5)).all()


def test_counts_are_whole_and_not_negative() -> None:
    block = counts()
    assert block.gather(column(-9.0, 1.1, 99.0))[:, 0].tolist() == [
        0,
        2,
        block.high,  # type: ignore[attr-defined]
    ]
    assert block.gather(column(-9.0, 99.0), clip=False)[:, 0].tolist() == [0, 2**40]
    for cell in (-3, 2.5):
        fit = fitted(RNG.poisson(3, 500).astype(float))
        assert fit.kind == "count"
        with pytest.raises(DataError, match=rf"'x' holds counts, but has {cell} in row 2; corr"):
            fit.cells(pa.chunked_array([[1.0, cell]]))
    large = torch.arange(2**20, dtype=torch.float64)[:, None] * 2**20
    assert torch.equal(block.gather(block.spread(large), clip=False), large)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([-1, 5, 7], "it goes down to -1"),
        ([1, 2, 2**41], "it goes up to 2.19902e\\+12; allowed is"),
    ],
)
def test_what_cannot_be_counts(numbers: list[int], message: str) -> None:
    with pytest.raises(DataError, match=f"cannot be count: {message}"):
        fitted(numbers, "count")
