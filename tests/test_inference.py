"""Running a fitted module over rows: in pieces, padded, quickly, with the same result."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from autoencode import Autoencoder
from autoencode.codec import Encoder, fast_encoder
from autoencode.composition import Composition
from autoencode.data.arrays import open_array
from autoencode.errors import DataError
from autoencode.inference import apply, chunk_rows


def drawn(
    hidden: tuple[int, ...], dtype: torch.dtype, offset: float = 100.0, **changes: Any
) -> Encoder:
    """Make an encoder with random weights and scales."""
    choices = {
        "architecture": "mlp",
        "bottleneck": "plain",
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": hidden,
        "sample_shape": (9,),
        "nested": True,
    }
    rng = torch.Generator().manual_seed(0)
    network = Composition(**(choices | changes)).network(4, rng).to(dtype)
    center, scale = (torch.rand(9, generator=rng).double() + 0.5 for _ in range(2))
    code_scale = torch.tensor([3.0, 2.0, 1.0, 0.1]).double()
    scales = (offset * center, scale, code_scale)
    return Encoder(network, None, network.masked, None, *scales, dtype).eval()


def rows(count: int, dtype: Any) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(count, 9)) + 80).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 5, 16, 17, 100])
@pytest.mark.parametrize("per_block", [1, 2, 1000])
def test_pieces_give_what_one_call_gives(
    dtype: Any, count: int, per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autoencode.inference._PIECES_AT_ONCE", per_block)
    encoder = drawn((16, 8), torch.float32 if dtype == np.float32 else torch.float64)
    X = rows(count, dtype)
    out = np.full((count, 4), np.nan, dtype)
    apply(encoder, open_array(X), out, 16)
    with torch.no_grad():
        whole = encoder(torch.from_numpy(X)).numpy()
    limit = 1e-6 if dtype == np.float32 else 1e-14
    assert np.abs(out - whole).max() <= limit * np.abs(whole).max()


def test_every_call_has_the_same_number_of_rows() -> None:
    lengths = []

    def watch(x: torch.Tensor) -> torch.Tensor:
        lengths.append(len(x))
        return x[:, :2].clone()

    X = rows(50, np.float32)
    out = np.empty((50, 2), np.float32)
    apply(watch, open_array(X), out, 16)
    assert set(lengths) == {16}
    assert np.array_equal(out, X[:, :2])


def test_rows_that_may_not_be_written_are_only_read() -> None:
    X = rows(20, np.float32)
    before = X.copy()
    X.flags.writeable = False
    out = np.empty((20, 9), np.float32)
    apply(lambda x: x * 2, open_array(X), out, 64)
    assert np.array_equal(out, 2 * before)
    assert np.array_equal(X, before)


def test_gradients_and_settings_are_as_before() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision, torch.is_grad_enabled()
    out = np.empty((20, 4), np.float32)
    apply(drawn((8,), torch.float32), open_array(rows(20, np.float32)), out, 64)
    assert (torch.backends.mkldnn.matmul.fp32_precision, torch.is_grad_enabled()) == before


@pytest.mark.parametrize("widest", [1, 9, 64, 784, 20_000, 10_000_000])
def test_a_piece_is_a_power_of_two_within_bounds(widest: int) -> None:
    count = chunk_rows(widest)
    assert 64 <= count <= 4096
    assert count & (count - 1) == 0
    assert chunk_rows(2 * widest) <= count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [1.0, 100.0])
@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize("hidden", [(), (16,), (16, 8), (16, 12, 8)], ids=len)
def test_the_fast_encoder_equals_the_encoder(
    hidden: tuple[int, ...], activation: str, dtype: torch.dtype, offset: float
) -> None:
    encoder = drawn(hidden, dtype, offset, architecture=f"mlp:activation={activation}")
    fast = fast_encoder(encoder)
    assert (fast == encoder.complete) == (not hidden)
    # Far from zero the center is subtracted first, near it goes into the bias.
    assert not hidden or (fast.center is None) == (offset == 1.0)  # type: ignore[attr-defined]
    limit = 1e-6 if dtype == torch.float32 else 1e-14
    with torch.inference_mode():
        # Buffers are used again, and made anew for another number of rows.
        for count in (5, 5, 3, 5):
            x = torch.from_numpy(rows(count, np.float64)).to(dtype) + count
            given = x.clone()
            codes, expected = fast(x), encoder(x)
            assert float((codes - expected).abs().max()) <= limit * float(expected.abs().max())
            assert torch.equal(x, given)


def test_parts_from_outside_have_no_fast_encoder(outside: str) -> None:
    encoder = drawn((8,), torch.float32, bottleneck=f"{outside}:Doubled")
    assert fast_encoder(encoder) == encoder.complete


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_transform_equals_the_encoder_that_users_see(
    network_model: Autoencoder, bent: np.ndarray, dtype: Any
) -> None:
    X = bent.astype(dtype)
    codes = network_model.transform(X)
    with torch.no_grad():
        seen = network_model.encoder_(torch.from_numpy(bent).float()).numpy()
    assert codes.dtype == dtype
    assert np.abs(codes - seen).max() <= 3e-6 * np.abs(seen).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_are_checked_on_the_way(bad: float) -> None:
    X = rows(50, np.float32)
    X[41, 3] = bad
    unchecked = open_array(X, checked=False)
    with pytest.raises(DataError, match="column 3"):
        apply(lambda x: x.clamp(0, 1), unchecked, np.empty((50, 9), np.float32), 16)


def test_a_sum_that_overflows_is_no_missing_value() -> None:
    X = np.full((20, 9), 3e38, np.float32)
    out = np.empty((20, 9), np.float32)
    apply(lambda x: x / 2, open_array(X, checked=False), out, 16)
    assert np.array_equal(out, X / 2)


# Missing values.


def halves(x: torch.Tensor) -> torch.Tensor:
    return x / 2


def counted(x: torch.Tensor) -> torch.Tensor:
    """Stand for the way of rows with missing values: say how many there are."""
    return torch.isnan(x).sum(1, keepdim=True).to(x.dtype).expand(-1, x.shape[1])


@pytest.mark.parametrize("count", [1, 16, 50])
def test_only_rows_that_lack_values_go_another_way(count: int) -> None:
    X = rows(count, np.float32)
    lacking = np.arange(count) % 3 == 0
    X[lacking, 2] = X[lacking, 5] = np.nan
    out = np.full((count, 9), -1, np.float32)
    apply(halves, open_array(X, checked=False), out, 16, missing=counted)
    assert (out[lacking] == 2).all()
    assert np.array_equal(out[~lacking], X[~lacking] / 2)


def test_every_call_has_the_same_number_of_rows_also_where_values_are_missing() -> None:
    lengths = {"usual": [], "missing": []}

    def watch(kind: str, x: torch.Tensor) -> torch.Tensor:
        lengths[kind].append(len(x))
        # What is complete never sees a missing value.
        assert kind == "missing" or bool(torch.isfinite(x).all())
        return x.clone()

    X = rows(70, np.float32)
    X[3, 3] = X[40, 1] = X[41, 1] = np.nan
    out = np.empty_like(X)
    usual, missing = (functools.partial(watch, kind) for kind in lengths)
    apply(usual, open_array(X, checked=False), out, 16, missing=missing)
    assert set(lengths["usual"]) == set(lengths["missing"]) == {16}
    assert len(lengths["missing"]) == 2
    assert np.array_equal(out, X, equal_nan=True)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("beside", [np.nan, 1.0, np.inf, -np.inf])
def test_infinity_is_refused_also_where_values_may_be_missing(bad: float, beside: float) -> None:
    X = rows(50, np.float32)
    X[41, 3], X[41, 4] = bad, beside
    with pytest.raises(DataError, match="column 3"):
        apply(
            lambda x: x.clamp(0, 1), open_array(X, checked=False),
            np.empty((50, 9), np.float32), 16, missing=lambda x: x.clamp(0, 1),
        )  # fmt: skip


def test_a_masked_encoder_has_no_fast_way() -> None:
    encoder = drawn((8,), torch.float32, masked=True)
    assert encoder.takes_missing
    assert fast_encoder(encoder) == encoder.complete
    assert not drawn((8,), torch.float32).takes_missing


def test_an_encoder_fills_in_what_is_missing() -> None:
    encoder = drawn((8,), torch.float64, offset=1.0, masked=True)
    x = torch.from_numpy(rows(4, np.float64) / 80)
    lacking = x.clone()
    lacking[:, 2] = torch.nan
    mean = x.clone()
    # The fill of a new network knows of no correlations: the mean is its best guess.
    mean[:, 2] = encoder.center[2]
    with torch.no_grad():
        codes, known = encoder(lacking), encoder(mean)
        assert bool(codes.isfinite().all())
        # It is told that the value is missing.
        assert not torch.allclose(codes, known)
        encoder.encoder.layers[0].weight[:, 9:] = 0
        torch.testing.assert_close(encoder(lacking), encoder(mean))
