"""What sparse bottlenecks promise beside what every bottleneck does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autoencode.architectures import ARCHITECTURES
from autoencode.composition import Composition
from autoencode.interfaces import Batch, Context, LinearStart
from autoencode.network import Network
from autoencode.objective import Objective
from autoencode.starting import dictionary_start, scaled_start

N_VALUES = 7
SPARSE = ("topk", "batchtopk", "jumprelu", "relu")


def composition(bottleneck: str, **changes: Any) -> Composition:
    choices = {
        "architecture": "dictionary",
        "bottleneck": bottleneck,
        "corruption": "none",
        "likelihood": "gaussian",
        "penalties": (),
        "hidden_layer_sizes": (),
        "sample_shape": (N_VALUES,),
        "nested": False,
        **changes,
    }
    return Composition(**choices)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(dtype: torch.dtype, count: int) -> Batch:
    return Batch(torch.randn(count, N_VALUES, generator=seeded(1), dtype=dtype))


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sparse_start_is_a_dictionary_around_its_center(architecture: str, name: str) -> None:
    network = composition(name, architecture=architecture, hidden_layer_sizes=(12, 8)).network(
        12, seeded()
    )
    parts = torch.nn.functional.normalize(rows(torch.float64, 12).x, dim=1)
    center = torch.linspace(-1, 1, N_VALUES, dtype=torch.float64)
    start = LinearStart(parts, torch.ones(12).double(), center=center)
    network.double().start_linear(start)
    x = rows(torch.float64, 50).x
    code = network.encode(Batch(x), Context())
    torch.testing.assert_close(code.stats["before"], (x - center) @ parts.T)
    result = network.decode(code, Context())[:, 0]
    torch.testing.assert_close(result, code.z @ parts + center)
    assert bool((code.z >= 0).all())


def learned(spec: str, steps: int = 200) -> Network:
    """Train one bottleneck on rows that are sums of two of twelve parts."""
    whole = composition(spec)
    network, rng = whole.network(12, seeded()), seeded(5)
    parts = torch.nn.functional.normalize(torch.randn(12, N_VALUES, generator=rng), dim=1)
    network.start_linear(LinearStart(parts, torch.ones(12), center=torch.zeros(N_VALUES)))
    optimizer, objective = torch.optim.Adam(network.parameters(), 0.003), whole.objective()
    for _ in range(steps):
        places = torch.rand(256, 12, generator=rng).topk(2).indices
        x = torch.zeros(256, 12).scatter_(1, places, 1.0 + torch.rand(256, 2, generator=rng))
        optimizer.zero_grad()
        batch = Batch(x @ parts)
        result = network(batch, Context(rng=rng))
        objective(network, result, batch, None).total.backward()
        optimizer.step()
    network.test_rows = batch  # type: ignore[assignment]
    return network


@pytest.mark.parametrize("name", ["topk", "batchtopk", "jumprelu"])
@pytest.mark.parametrize("active", [1.0, 2.0, 4.0])
def test_as_many_units_are_active_as_are_asked_for(name: str, active: float) -> None:
    network = learned(f"{name}:active={active}", 600 if name == "jumprelu" else 200)
    z = network.encode(network.test_rows, Context()).z  # type: ignore[arg-type]
    count = float((z > 0).sum(1).double().mean())
    assert count <= 1.15 * active
    assert count >= (0.7 if name == "topk" else 0.85) * active
    if name == "topk":
        assert int((z > 0).sum(1).max()) <= active


@pytest.mark.parametrize("name", SPARSE)
def test_units_that_are_dead_for_long_are_woken_and_others_are_not(name: str) -> None:
    network = learned(name, 1)
    path, idle = network.bottleneck.projection.linear_path, network.bottleneck.idle
    assert isinstance(path, torch.nn.Linear)
    assert isinstance(idle, torch.Tensor)
    with torch.no_grad():
        path.bias[3] = -1e3
    batch, slopes = network.test_rows, []
    for steps in (10.0, 1e6):
        idle.zero_()
        idle[3] = steps
        network.zero_grad()
        result = network(batch, Context(rng=seeded()))
        term = Objective()(network, result, batch, None).terms["revival"]  # type: ignore[arg-type]
        slopes.append(float(term.detach()))
        assert float(idle[3]) == steps + 1
    assert slopes[0] == 0 < slopes[1]


def test_a_start_is_scaled_so_that_alike_parts_are_not_too_much_together() -> None:
    x = rows(torch.float64, 400).x + 3.0
    plain = dictionary_start(x, 60, seeded(), "data")
    start = scaled_start(plain, x, 20)
    assert start.encoder is not None
    whole = composition("topk:active=20")
    errors = []
    for one in (plain, start):
        network = whole.network(60, seeded()).double()
        network.start_linear(one)
        found = network(Batch(x), Context()).params[:, 0]
        errors.append(float((found - x).detach().square().sum()))
    spread = float((x - x.mean(0)).square().sum())
    assert errors[1] < spread < errors[0]
    weight, _ = start.encoder
    torch.testing.assert_close(torch.nn.functional.normalize(weight, dim=1), plain.components)


@pytest.mark.parametrize("name", ["batchtopk", "jumprelu"])
@pytest.mark.parametrize("active", [0.5, 3.0, 7.0])
def test_calibrated_thresholds_give_the_count_that_is_asked_for(name: str, active: float) -> None:
    network = learned(f"{name}:active=2", 5)
    network.bottleneck.active = active
    batch = network.test_rows
    before = network.encode(batch, Context()).stats["before"]  # type: ignore[arg-type]
    network.bottleneck.calibrate(before)  # type: ignore[operator]
    z = network.encode(batch, Context()).z  # type: ignore[arg-type]
    possible = float((before > 0).sum(1).double().mean())
    assert float((z > 0).sum(1).double().mean()) == pytest.approx(min(active, possible), abs=0.01)
