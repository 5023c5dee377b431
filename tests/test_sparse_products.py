"""Sparse products and their gradients equal those of dense matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from autoencode import sparse_products
from autoencode.sparse_coding import (
    CodingGradients,
    SparseCoding,
    project_off_parts,
    renormalize_parts,
    sparse_coding,
    sparse_gradients,
)
from autoencode.sparse_products import (
    code_gradient,
    decode,
    dense_code,
    is_sparse_faster,
    part_gradient,
    sums_by_component,
    transposed,
)
from autoencode.sparse_selection import largest, largest_of_batch

BATCH, N_VALUES, N_COMPONENTS, COUNT = 37, 24, 300, 6
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DTYPES = list(TOLERANCE)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(mine: Tensor, reference: Tensor) -> float:
    assert mine.shape == reference.shape
    off = (mine - reference).detach().abs().max()
    return float(off / reference.detach().abs().max().clamp_min(1e-30))


def dictionary(
    dtype: torch.dtype, batch: int = BATCH, n_components: int = N_COMPONENTS
) -> dict[str, Tensor]:
    return {
        "x": normal(batch, N_VALUES, seed=0, dtype=dtype),
        "weight": normal(n_components, N_VALUES, seed=1, dtype=dtype),
        "weight_bias": 0.3 * normal(n_components, seed=2, dtype=dtype),
        "parts": normalize(normal(n_components, N_VALUES, seed=3, dtype=dtype), dim=1),
        "bias": normal(N_VALUES, seed=4, dtype=dtype),
    }


def entries(dtype: torch.dtype, *, flat: bool) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Return index, value, row and the same code as a matrix."""
    index = torch.rand(BATCH, N_COMPONENTS, generator=torch.Generator().manual_seed(5))
    index = index.topk(COUNT, dim=1).indices
    value = normal(BATCH, COUNT, seed=6, dtype=dtype)
    code = torch.zeros(BATCH, N_COMPONENTS, dtype=dtype).scatter_(1, index, value)
    if not flat:
        return index, value, None, code
    code[3] = 0
    code[-1] = 0
    row, places = code.nonzero(as_tuple=True)
    return places, code[row, places], row, code


@pytest.fixture(params=["sparse", "dense"])
def way(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take one way or the other whatever the shape."""
    taken = request.param == "sparse"
    monkeypatch.setattr(sparse_products, "is_sparse_faster", lambda *_: taken)
    return str(request.param)


def test_the_way_is_chosen_by_shape_dtype_and_device() -> None:
    like = torch.zeros(1)
    assert is_sparse_faster(32 * 100, 100, 4096, like)
    assert not is_sparse_faster(2048 * 100, 100, 4096, like)
    assert not is_sparse_faster(100, 100, 16, like)
    assert not is_sparse_faster(32 * 100, 100, 4096, like.to("meta"))
    assert not is_sparse_faster(32 * 100, 100, 4096, like.bfloat16())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("flat", [False, True])
def test_products_equal_dense_ones(way: str, dtype: torch.dtype, flat: bool) -> None:
    index, value, row, code = entries(dtype, flat=flat)
    have = dictionary(dtype)
    x, parts, bias = have["x"], have["parts"], have["bias"]
    allowed = TOLERANCE[dtype]
    mine = decode(index, value, parts, bias, row, BATCH)
    assert relative(mine, code @ parts + bias) < allowed
    assert relative(decode(index, value, parts, None, row, BATCH), code @ parts) < allowed
    places = torch.arange(BATCH)[:, None] if row is None else row
    assert relative(code_gradient(x, parts, index, row), (x @ parts.T)[places, index]) < allowed
    reference = code.T @ x
    assert relative(part_gradient(index, value, x, N_COMPONENTS, row), reference) < allowed
    out = torch.full_like(reference, torch.nan)
    known = transposed(index, N_COMPONENTS, row)
    part_gradient(index, value, x, N_COMPONENTS, row, entries=known, out=out)
    assert relative(out, reference) < allowed
    sums = torch.full_like(reference[:, 0], torch.nan)
    assert sums_by_component(index, value, N_COMPONENTS, out=sums) is sums
    assert relative(sums, code.sum(0)) < allowed
    assert torch.equal(dense_code(index, value, BATCH, N_COMPONENTS, row), code)


def test_products_take_what_is_not_contiguous(way: str) -> None:
    index, value, _, code = entries(torch.float32, flat=False)
    have = dictionary(torch.float32)
    parts = have["parts"].T.contiguous().T
    x = torch.cat([have["x"], have["x"]], 1)[:, ::2]
    index, value = index.T.contiguous().T, value.T.contiguous().T
    assert not any(part.is_contiguous() for part in (parts, x, index, value))
    assert relative(decode(index, value, parts, have["bias"]), code @ parts + have["bias"]) < 1e-5
    assert relative(code_gradient(x, parts, index), (x @ parts.T).gather(1, index)) < 1e-5
    assert relative(part_gradient(index, value, x, N_COMPONENTS), code.T @ x) < 1e-5


def test_a_flat_code_needs_its_number_of_rows() -> None:
    index, value, row, _ = entries(torch.float32, flat=True)
    with pytest.raises(TypeError, match="n_rows"):
        decode(index, value, dictionary(torch.float32)["parts"], None, row)


def gradients_of(have: dict[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
    return dict(zip(have, torch.autograd.grad(loss, list(have.values())), strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 0.1])
def test_gradients_equal_autograd(
    way: str, dtype: torch.dtype, sized: bool, penalty: float
) -> None:
    have = {name: part.requires_grad_() for name, part in dictionary(dtype).items()}
    sizes = torch.arange(BATCH) * 8 + 1 if sized else None
    target = normal(BATCH, N_VALUES, seed=14, dtype=dtype)
    result, index, value = sparse_coding(*have.values(), COUNT, sizes)
    mine = gradients_of(have, (result - target).square().sum() + penalty * value.sum())

    before = have["x"] @ have["weight"].T + have["weight_bias"]
    if sizes is not None:
        beyond = torch.arange(N_COMPONENTS) >= sizes[:, None]
        before = before.masked_fill(beyond, -torch.inf)
    top, places = before.topk(COUNT, dim=1)
    code = torch.zeros_like(before).scatter(1, places, top.relu())
    reference = code @ have["parts"] + have["bias"]
    assert relative(result, reference) < TOLERANCE[dtype]
    assert not index.is_floating_point()
    loss = (reference - target).square().sum() + penalty * code.sum()
    for name, gradient in gradients_of(have, loss).items():
        assert relative(mine[name], gradient) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_a_batch_of_uneven_rows_equal_autograd(way: str, dtype: torch.dtype) -> None:
    have = {name: part.requires_grad_() for name, part in dictionary(dtype).items()}
    row, index, value = largest_of_batch(have["x"], have["weight"], have["weight_bias"], COUNT)
    result, value = SparseCoding.apply(*have.values(), index, value, row)
    mine = gradients_of(have, (result**3).sum() + value.square().sum())
    before = have["x"] @ have["weight"].T + have["weight_bias"]
    level = before.flatten().topk(COUNT * BATCH).values[-1]
    code = torch.where(before >= level, before, torch.zeros_like(before))
    loss = ((code @ have["parts"] + have["bias"]) ** 3).sum() + code.square().sum()
    for name, gradient in gradients_of(have, loss).items():
        assert relative(mine[name], gradient) < TOLERANCE[dtype], name


def test_only_gradients_that_are_needed_are_made() -> None:
    have = dictionary(torch.float32)
    have["bias"].requires_grad_()
    result, _, value = sparse_coding(*have.values(), COUNT)
    result.sum().backward()
    assert relative(have["bias"].grad, torch.full((N_VALUES,), float(BATCH))) < 1e-6
    have["weight_bias"].requires_grad_()
    _, index, value = sparse_coding(*have.values(), COUNT)
    (mine,) = torch.autograd.grad(value.sum(), have["weight_bias"])
    counts = torch.bincount(index[value > 0], minlength=N_COMPONENTS)
    assert torch.equal(mine, counts.float())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_the_step_written_out_equals_autograd(
    way: str, dtype: torch.dtype, weighted: bool, flat: bool
) -> None:
    have = dictionary(dtype)
    target = normal(BATCH, N_VALUES, seed=14, dtype=dtype)
    weights = torch.rand(BATCH, generator=torch.Generator().manual_seed(15), dtype=dtype)
    names = ("weight", "weight_bias", "parts", "bias")
    out = CodingGradients(*(torch.full_like(have[name], torch.nan) for name in names))
    # Some rows have fewer positive entries than are asked for.
    have["weight_bias"] -= 11
    encoder = have["x"], have["weight"], have["weight_bias"]
    row = None
    if flat:
        row, index, value = largest_of_batch(*encoder, COUNT)
    else:
        index, value = largest(*encoder, COUNT)
        assert 0 < (value == 0).sum() < value.numel() / 2
    energy, residual = sparse_gradients(
        have["x"], target, weights if weighted else None, have["parts"], have["bias"],
        index, value, out, row,
    )  # fmt: skip
    for part in have.values():
        part.requires_grad_()
    reference, _ = SparseCoding.apply(*have.values(), index, value, row)
    errors = (reference - target).square().sum(1) * (weights if weighted else 1.0)
    loss = 0.5 * errors.mean()
    expected = gradients_of(have, loss)
    project_off_parts(expected["parts"], have["parts"].detach())
    assert relative(energy, loss.detach()) < TOLERANCE[dtype]
    assert relative(residual, (reference - target).detach()) < TOLERANCE[dtype]
    for name in names:
        assert relative(getattr(out, name), expected[name]) < TOLERANCE[dtype], name
    assert torch.linalg.vecdot(out.parts, have["parts"]).abs().max() < TOLERANCE[dtype]


def test_parts_have_norm_one_again() -> None:
    parts = normal(5, 7, seed=0)
    parts[2] = 0
    directions = normalize(parts, dim=1)
    assert renormalize_parts(parts) is parts
    torch.testing.assert_close(parts, directions)
    assert not parts[2].any()


def test_no_rows_have_gradients_of_zero() -> None:
    have = {name: part.requires_grad_() for name, part in dictionary(torch.float32, 0).items()}
    result, _, _ = sparse_coding(*have.values(), COUNT)
    assert result.shape == (0, N_VALUES)
    for gradient in gradients_of(have, result.sum()).values():
        assert not gradient.any()


def test_shapes_are_right_without_values() -> None:
    have = {
        name: part.to("meta").requires_grad_() for name, part in dictionary(torch.float32).items()
    }
    result, index, value = sparse_coding(*have.values(), COUNT)
    assert result.device.type == "meta"
    assert (result.shape, index.shape, value.shape) == (
        (BATCH, N_VALUES),
        (BATCH, COUNT),
        (BATCH, COUNT),
    )
    for name, gradient in gradients_of(have, result.sum()).items():
        assert gradient.shape == have[name].shape


def test_the_same_input_gives_the_same_bits() -> None:
    have = dictionary(torch.float32, batch=300)
    out = [
        CodingGradients(*(torch.empty_like(have[name]) for name in list(have)[1:])) for _ in "ab"
    ]
    for place in out:
        index, value = largest(have["x"], have["weight"], have["weight_bias"], COUNT)
        sparse_gradients(
            have["x"], have["x"], None, have["parts"], have["bias"], index, value, place
        )
    assert all(torch.equal(a, b) for a, b in zip(*out, strict=True))
