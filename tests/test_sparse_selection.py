"""What is chosen is exactly what torch.topk chooses of the whole float32 product."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from autoencode import sparse_selection
from autoencode.sparse_selection import above, largest, largest_of_batch

BATCH, N_VALUES, N_COMPONENTS, COUNT = 37, 24, 300, 6


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def encoder(batch: int = BATCH, n_components: int = N_COMPONENTS) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows, weights and biases."""
    x, weight = normal(batch, N_VALUES, seed=0), normal(n_components, N_VALUES, seed=1)
    return x, weight, 0.3 * normal(n_components, seed=2)


def assert_same_choice(mine: tuple[Tensor, Tensor], before: Tensor, count: int) -> None:
    """Check values against torch.topk's, and that they stand where the index says."""
    index, value = mine
    assert index.dtype == torch.int64
    reference = before.topk(count, dim=1).values.clamp_min(0)
    ordered = value.sort(dim=1, descending=True).values
    torch.testing.assert_close(ordered, reference, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(value, before.gather(1, index).clamp_min(0), rtol=1e-5, atol=1e-6)
    assert all(len(set(row)) == count for row in index.tolist())


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("n_components", [299, 300, 304, 1000])
@pytest.mark.parametrize("count", [1, 5, 90])
def test_the_largest_are_those_of_topk(screened: bool, n_components: int, count: int) -> None:
    x, weight, bias = encoder(150, n_components)
    before = torch.addmm(bias, x, weight.T)
    mine = largest(x, weight, bias, count, screened=screened)
    assert_same_choice(mine, before, count)
    index = mine[0].sort(1).values
    assert torch.equal(index, before.topk(count, dim=1).indices.sort(1).values)


def test_pieces_of_rows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (*(part.double() for part in encoder(150)), COUNT)
    whole, whole_batch = largest(*arguments), largest_of_batch(*arguments)
    monkeypatch.setattr(sparse_selection, "_PIECE", 1)
    monkeypatch.setattr(sparse_selection, "_FEWEST_ROWS", 64)
    for mine, reference in zip(largest(*arguments), whole, strict=True):
        torch.testing.assert_close(mine, reference)
    for mine, reference in zip(largest_of_batch(*arguments), whole_batch, strict=True):
        torch.testing.assert_close(mine, reference)


@pytest.mark.parametrize("screened", [False, True])
@pytest.mark.parametrize("case", ["tied", "negative", "zero", "all", "one row", "no rows"])
def test_the_largest_at_the_edges(case: str, screened: bool) -> None:
    x, weight, bias = encoder()
    count = COUNT
    if case == "tied":
        x, weight, bias = x.sign(), weight.sign(), torch.zeros_like(bias)
    if case == "negative":
        bias = bias - 1000
    if case == "zero":
        x, bias = torch.zeros_like(x), torch.zeros_like(bias)
    if case == "all":
        count = N_COMPONENTS
    if case.endswith(("row", "rows")):
        x = x[: case == "one row"]
    mine = largest(x, weight, bias, count, screened=screened)
    assert mine[0].shape == mine[1].shape == (len(x), count)
    assert_same_choice(mine, x @ weight.T + bias, count)


def test_the_largest_of_what_is_not_contiguous() -> None:
    x, weight, bias = encoder()
    x, weight, bias = torch.cat([x, x], 1)[:, ::2], weight.T.contiguous().T, bias.repeat(2)[::2]
    assert not any(part.is_contiguous() for part in (x, weight, bias))
    assert_same_choice(largest(x, weight, bias, COUNT), x @ weight.T + bias, COUNT)


@pytest.mark.parametrize("screened", [False, True])
def test_each_row_keeps_to_its_size_and_to_what_is_allowed(screened: bool) -> None:
    x, weight, bias = encoder()
    sizes = torch.arange(BATCH) * 8 + 1
    bias[::2] = -torch.inf
    index, value = largest(x, weight, bias, COUNT, sizes=sizes, screened=screened)
    before = x @ weight.T + bias
    before[torch.arange(N_COMPONENTS) >= sizes[:, None]] = -torch.inf
    reference = before.topk(COUNT, dim=1).values.clamp_min(0)
    torch.testing.assert_close(value.sort(1, descending=True).values, reference)
    active = value > 0
    assert (index < sizes[:, None])[active].all()
    assert (index[active] % 2 == 1).all()
    assert active.sum() > BATCH


def test_screening_is_exact_where_rounding_alone_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = 1 + 1e-4 * normal(2000, 1, seed=7)
    weight = normalize(crowd * normal(1, 256, seed=8) + 1e-3 * normal(2000, 256, seed=9), dim=1)
    x, bias = normal(64, 256, seed=10), torch.zeros(2000)
    x[:32] += 3 * weight[:32]
    before = x @ weight.T
    rounded = x.bfloat16().float() @ weight.bfloat16().float().T
    wanted = before.topk(16, dim=1).indices.sort(1).values
    assert not torch.equal(rounded.topk(16, dim=1).indices.sort(1).values, wanted)
    assert_same_choice(largest(x, weight, bias, 16, screened=True), before, 16)
    # Without its margin the same path is wrong: the rows in this test do ask for it.
    monkeypatch.setattr(
        sparse_selection, "_screening_error", lambda *values: torch.full((64,), -torch.inf)
    )
    _, value = largest(x, weight, bias, 16, screened=True)
    reference = before.topk(16, dim=1).values.clamp_min(0)
    assert (value.sort(1, descending=True).values - reference).abs().max() > 1e-4


@pytest.mark.parametrize("rounded", ["x", "weight"])
def test_the_screening_error_bounds_what_rounding_does(rounded: str) -> None:
    def single(values: Tensor) -> Tensor:
        return values.bfloat16().float()

    # The worst case of Cauchy-Schwarz: one side along the rounding errors of the other.
    one, other = normal(200, 96, seed=11), single(normal(200, 96, seed=12))
    other[:100] = single(500 * (one - single(one))[:100])
    x, weight = (one, other) if rounded == "x" else (other, one)
    bias = normal(200, seed=13)
    error = sparse_selection._screening_error(x, weight, bias, single(x), single(weight))
    exact = x.double() @ weight.double().T
    off = (single(x).double() @ single(weight).double().T - exact).abs().amax(1)
    assert (off <= error).all()
    assert (off > 0.5 * error).any()


@pytest.mark.parametrize("threshold", ["none", "near", "low", "high", "too high"])
@pytest.mark.parametrize("count", [1, 6, 40])
def test_the_largest_of_the_batch_are_exact(threshold: str, count: int) -> None:
    x, weight, bias = encoder(150)
    before = x @ weight.T + bias
    reference = before.flatten().topk(count * len(x)).values
    smallest = float(reference.amin())
    factor = {"none": 0, "near": 1.0, "low": 1e-3, "high": 1.5, "too high": 1e4}[threshold]
    row, index, value = largest_of_batch(x, weight, bias, count, factor * smallest)
    torch.testing.assert_close(value, before[row, index])
    torch.testing.assert_close(value.sort(descending=True).values, reference)
    assert torch.equal(row, row.sort().values)
    assert len(set(zip(row.tolist(), index.tolist(), strict=True))) == count * len(x)


def test_the_largest_of_the_batch_keep_to_sizes() -> None:
    x, weight, bias = encoder()
    sizes = torch.arange(BATCH) * 4 + 1
    before = x @ weight.T + bias
    before[torch.arange(N_COMPONENTS) >= sizes[:, None]] = -torch.inf
    row, index, value = largest_of_batch(x, weight, bias, COUNT, sizes=sizes)
    assert (index < sizes[row]).all()
    reference = before.flatten().topk(COUNT * BATCH).values
    torch.testing.assert_close(value.sort(descending=True).values, reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_above_a_threshold(dtype: torch.dtype) -> None:
    x, weight, bias = (part.to(dtype) for part in encoder())
    before = torch.addmm(bias, x, weight.T)
    each = torch.linspace(-1, 5, N_COMPONENTS, dtype=dtype)
    for threshold in (2.0, each, torch.nn.Parameter(each)):
        row, index, value = above(x, weight, bias, threshold)
        expected = (before > threshold).nonzero(as_tuple=True)
        assert 0 < len(row) < before.numel()
        assert torch.equal(row, expected[0])
        assert torch.equal(index, expected[1])
        assert torch.equal(value, before[expected])


@pytest.mark.parametrize("threads", [0, 64])
@pytest.mark.parametrize("count", [1, 8, 30])
def test_rows_do_not_mix_where_values_are_equal_or_no_numbers(
    threads: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sparse_selection, "_PARTITION_THREADS", threads)
    values = normal(6, 60, seed=16)
    values[1] = torch.nan
    values[2] = 1.0
    values[2, 2 * count :] = 0.0
    places = sparse_selection._places_of_largest(values, count)
    assert places.shape == (6, count)
    found = values.gather(1, places).sort(1, descending=True).values
    reference = values.topk(count, dim=1).values
    torch.testing.assert_close(found, reference, equal_nan=True)


def test_a_batch_gives_no_more_than_its_positive_values() -> None:
    x, weight, bias = encoder()
    bias = bias - 12
    before = x @ weight.T + bias
    row, index, value = largest_of_batch(x, weight, bias, COUNT)
    assert 0 < len(value) < COUNT * BATCH
    assert len(value) == (before > 0).sum()
    assert (before[row, index] > 0).all()
    for rows, changed in ((x, bias - 1000), (x[:0], bias)):
        assert [len(part) for part in largest_of_batch(rows, weight, changed, COUNT)] == [0, 0, 0]
