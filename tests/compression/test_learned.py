"""Networks in whole numbers: exact, kept only where they pay, refused where they are damaged."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoencode import compress, decompress
from autoencode.compression import array_block, masked_part, members, pixel_part
from autoencode.compression.effort import Effort, effort_named
from autoencode.compression.field_model import FieldShape
from autoencode.compression.integer_part import decode_integers, encode_integers
from autoencode.compression.masked import Feature, MaskedNetwork
from autoencode.compression.masked_step import NetworkStep, OrderedNetwork
from autoencode.compression.members import ArrayMember
from autoencode.compression.packing import join, split
from autoencode.compression.pixel_network import N_INPUTS, PixelNetwork
from autoencode.compression.plans import ColumnPlan
from autoencode.compression.stored_weights import load_weights, store_weights
from autoencode.compression.table_planning import Column
from autoencode.errors import DataError

spec = importlib.util.spec_from_file_location(
    "slow_networks", Path(__file__).with_name("slow_networks.py")
)
assert spec is not None
assert spec.loader is not None
slow_networks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(slow_networks)

EFFORT = replace(effort_named("default"), series=False, training_steps=150, training_seconds=900.0)
UNTRAINED = replace(EFFORT, training_steps=0)
N_ROWS = 1500
DEGREES = (0, 1, 1, 1, 2, 2, 2, 2, 3)


def drawn(network: MaskedNetwork) -> MaskedNetwork:
    """Give a network random weights where it has any."""
    rng = np.random.default_rng(0)

    def whole(most: int, *shape: int) -> Any:
        return rng.integers(-most, most + 1, shape).astype(np.float64)

    return replace(
        network,
        inward=whole(90, *network.inward.shape) * network.seen,
        bias=whole(9000, *network.bias.shape),
        outward=whole(90, *network.outward.shape) * network.used,
        base=whole(9000, *network.base.shape),
        skip=whole(90, *network.skip.shape) * network.direct,
    )


@pytest.fixture(scope="module")
def network() -> MaskedNetwork:
    inputs = [
        (Feature("value", 0, 700, 2), 1),
        (Feature("level", 0, 3), 1),
        (Feature("value", 1, 513, 9), 2),
        (Feature("innovation", 1, 800, 4), 2),
        (Feature("value", 3, 900, 1), 0),
    ]
    return drawn(MaskedNetwork.zeros(4, 6, DEGREES, inputs, [(1, 600, 5), (2, 1000, 0)]))


def by_python(network: MaskedNetwork, inputs: list[int], target: int) -> tuple[int, int]:
    """Return location and spread by whole numbers of Python alone."""

    def weighed(weights: Any, values: list[int], base: Any) -> int:
        pairs = zip(weights, values, strict=True)
        return sum(int(weight) * value for weight, value in pairs) + int(base) >> 6

    units = [
        min(max(weighed(network.inward[unit], inputs, network.bias[unit]), 0), 16 * 256 - 1)
        for unit in range(len(network.bias))
    ]
    at = network.targets.index(target)
    location, spread = (
        min(
            max(
                weighed(
                    [*network.outward[side, at], *network.skip[side, at]],
                    units + inputs,
                    network.base[side, at],
                ),
                -(1 << 20),
            ),
            1 << 20,
        )
        for side in range(2)
    )
    moved = location * network.factors[at] >> network.shifts[at]
    return moved, min(max((4 * spread + 128) // 256, -60), 60)


@pytest.mark.parametrize(("factor", "dtype"), [(1, np.float32), (5000, np.float64)])
def test_a_network_of_columns_is_exact(network: MaskedNetwork, factor: int, dtype: type) -> None:
    rng = np.random.default_rng(1)
    network = replace(network, inward=factor * network.inward)
    assert OrderedNetwork(network).dtype is dtype
    centred = rng.integers(-4000, 4000, (4, 50))
    centred[0] = rng.integers(-5, 6, 50)
    innovation = rng.integers(-900, 900, 50)
    step = NetworkStep(OrderedNetwork(network), 50)
    step.tell(3, centred[3], 7, None)
    step.tell(0, centred[0], 5, None)
    said = {1: step.say(1)}
    step.tell(1, centred[1], 0, innovation)
    said[2] = step.say(2)
    assert step.say(3) is None
    for row in range(50):
        near = [
            int(centred[0, row]) * 700 >> 2,
            256 * int(centred[0, row] + 5 == 3),
            int(centred[1, row]) * 513 >> 9,
            int(innovation[row]) * 800 >> 4,
            int(centred[3, row]) * 900 >> 1,
        ]
        inputs = [min(max(value, -2047), 2047) for value in near]
        for target, found in said.items():
            assert found is not None
            # What is not seen has the weight 0, so all inputs may be passed.
            assert (found[0][row], found[1][row]) == by_python(network, inputs, target)


def test_a_network_of_columns_comes_back_or_is_refused(network: MaskedNetwork) -> None:
    data = network.to_bytes()
    found = MaskedNetwork.from_bytes(data, 4, 0)
    for name in ("inward", "bias", "outward", "base", "skip"):
        assert (getattr(found, name) == getattr(network, name)).all(), name
    assert (found.features, found.first) == (network.features, network.first)
    assert found.degrees.tolist() == list(DEGREES)
    with pytest.raises(DataError, match="column of an input"):
        MaskedNetwork.from_bytes(data, 3, 0)
    with pytest.raises(DataError, match=r"damaged|cut off"):
        MaskedNetwork.from_bytes(data[:-2], 4, 0)
    inputs = list(zip(network.features, network.first, strict=True))
    targets = list(zip(network.targets, network.factors, network.shifts, strict=True))
    for forged, why in (
        (replace(network, bits=11), "bits of weights"),
        (MaskedNetwork.zeros(4, 6, [0] * 1025, inputs, targets), "number of units"),
        (replace(network, targets=(2, 1)), "out of order"),
        (replace(network, shifts=(63, 0)), "a shift"),
    ):
        with pytest.raises(DataError, match=why):
            MaskedNetwork.from_bytes(forged.to_bytes(), 4, 0)
    plan = ColumnPlan("residual", 9, scales=[0])
    network.check([plan, plan, plan, replace(plan, mode="given")])
    with pytest.raises(DataError, match="column 3 too early"):
        network.check([plan] * 4)


def test_weights_come_back() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.integers(-9, 9, 50), np.zeros(0, np.int64), rng.integers(-(1 << 19), 1 << 19, 8)]
    data = store_weights(groups)
    for found, group in zip(load_weights(data, [50, 0, 8]), groups, strict=True):
        assert found.tolist() == group.tolist()
    with pytest.raises(DataError, match=r"damaged|too early|number of weights"):
        load_weights(data, [50, 0, 9])


def curved() -> list[Column]:
    """Return columns of which the last two bend as no line does; one has cells left out."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 1000, N_ROWS)
    second = rng.integers(0, 1000, N_ROWS)
    product = (first - 500) * (second - 500) // 500 + 500 + rng.integers(0, 3, N_ROWS)
    mask = (rng.random(N_ROWS) < 0.2).astype(np.int64)
    bent = np.abs(first - 400) + rng.integers(0, 3, N_ROWS)
    return [
        Column(first, 1000),
        Column(second, 1000),
        Column(product - product.min(), int(np.ptp(product)) + 1),
        Column(mask, 2),
        Column(bent, int(bent.max()) + 1, 3),
    ]


@pytest.fixture(scope="module")
def coded() -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masked_part, "_FEWEST_BYTES", 0)
        return encode_integers(curved(), N_ROWS, EFFORT)


def test_columns_come_back_and_take_less(coded: bytes) -> None:
    columns = curved()
    plain = encode_integers(columns, N_ROWS, UNTRAINED)
    assert coded[0] == 3
    assert len(coded) < len(plain)
    found = decode_integers(coded, 5, N_ROWS)
    stored = columns[3].values == 0
    for place, column in enumerate(columns):
        kept = stored if place == 4 else slice(None)
        assert (found[place][kept] == column.values[kept]).all()


def test_columns_are_what_an_independent_decoder_of_networks_reads(coded: bytes) -> None:
    whole = decode_integers(coded, 5, N_ROWS)
    assert slow_networks.LearnedDecoder(coded[1:], 5, N_ROWS).run() == whole.tolist()


def test_leading_columns_are_decoded_without_those_after_them(coded: bytes) -> None:
    whole = decode_integers(coded, 5, N_ROWS)
    for stop in range(1, 5):
        assert (decode_integers(coded, 5, N_ROWS, stop)[:stop] == whole[:stop]).all()


def test_the_same_columns_make_the_same_bytes(
    coded: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masked_part, "_FEWEST_BYTES", 0)
    assert encode_integers(curved(), N_ROWS, EFFORT) == coded


def test_a_network_that_does_not_pay_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_part, "_FEWEST_BYTES", 0)
    noise = [Column(np.random.default_rng(at).integers(0, 50, 600), 50) for at in range(2)]
    few = replace(EFFORT, training_steps=4)
    assert encode_integers(noise, 600, few) == encode_integers(noise, 600, UNTRAINED)


def test_rows_that_follow_each_other_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_part, "_FEWEST_BYTES", 0)
    monkeypatch.setattr(masked_part, "_FEWEST_ROWS", 100)
    rng = np.random.default_rng(0)
    wave = np.cumsum(rng.integers(-2, 3, 600)) + 200
    columns = [Column(wave, 1000), Column(np.abs(wave - 200) + rng.integers(0, 2, 600), 1000)]
    planned, layout = plan_of_series(columns)
    few = replace(EFFORT, training_steps=10)
    data = masked_part.encode_masked(columns, planned, layout, few, 1 << 30)
    assert data is not None
    found = decode_integers(b"\x03" + data, 2, 600)
    assert (found == np.array([column.values for column in columns])).all()


def plan_of_series(columns: list[Column]) -> Any:
    from autoencode.compression.table_model import Layout
    from autoencode.compression.table_planning import plan_table

    layout = Layout(600, 1, 20)
    return plan_table(columns, layout), layout


def test_a_damaged_network_is_refused(coded: bytes) -> None:
    learned, *rest = split(coded[1:])
    for damaged in (learned[:-1], learned[:40], b""):
        with pytest.raises(DataError):
            decode_integers(b"\x03" + join([damaged, *rest]), 5, N_ROWS)


@pytest.fixture(scope="module")
def pictures() -> Any:
    """Return dark pictures of bright spots, 8 by 8."""
    rng = np.random.default_rng(0)
    rows, places = np.mgrid[:8, :8]
    middle = rng.uniform(2, 5, (2, 260, 1, 1))
    near = (rows - middle[0]) ** 2 + (places - middle[1]) ** 2
    return np.maximum(0, 60 - 9 * near + rng.integers(0, 6, near.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def coded_pictures(pictures: Any) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_part, "_FEWEST_BYTES", 0)
        found = pixel_part.encode_pixels(
            [Column(pictures.ravel().astype(np.int64), 67)],
            FieldShape(260, 8, 8, False),
            EFFORT,
            1 << 20,
        )
    assert found is not None
    return found


def test_pictures_come_back(pictures: Any, coded_pictures: bytes) -> None:
    shape = FieldShape(260, 8, 8, False)
    found = pixel_part.decode_pixels(coded_pictures, shape)
    assert (found[0] == pictures.ravel()).all()


def test_a_block_of_pictures_comes_back(pictures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_part, "_FEWEST_BYTES", 0)
    flat, shape = pictures.reshape(260, 64), FieldShape(260, 8, 8, False)
    few = replace(EFFORT, training_steps=2)
    body = array_block._encode_pictures(flat, shape, 0.0, few, 1 << 20)
    assert body is not None
    assert array_block._encode_pictures(flat, shape, 0.0, few, 100) is None
    found = array_block.decode_array(b"\x06" + body, 260, (8, 8), flat.dtype, (0.0,) * 64)
    assert (found == flat).all()


def test_damaged_pictures_are_refused(coded_pictures: bytes) -> None:
    shape = FieldShape(260, 8, 8, False)
    head, weights, symbols, bits = split(coded_pictures)
    for pieces in (
        [head, weights[:-1], symbols, bits],
        [head, weights, symbols[:-2], bits],
        [bytes(4), weights, symbols, bits],
        [head, b"", symbols, bits],
    ):
        with pytest.raises(DataError):
            pixel_part.decode_pixels(join(pieces), shape)
    with pytest.raises(DataError, match="of no pictures"):
        pixel_part.decode_pixels(coded_pictures, FieldShape(4, 40, 104, False))


@pytest.mark.parametrize(("largest", "dtype"), [(60, np.float32), (9000, np.float64)])
def test_a_network_of_pixels_is_exact(largest: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    widths = (N_INPUTS, 7, 5, 3)
    weights = [rng.integers(-largest, largest, (n, m)) for m, n in pairwise(widths)]
    biases = [rng.integers(-9000, 9000, n) for n in widths[1:]]
    network = PixelNetwork(
        256,
        rng.integers(-500, 900, 24),
        90,
        tuple(part.astype(np.float64) for part in weights),
        tuple(part.astype(np.float64) for part in biases),
    )
    again = PixelNetwork.from_bytes(network.to_bytes(), 256)
    assert {part.dtype for pair in again.layers for part in pair} == {np.dtype(dtype)}
    inputs = rng.integers(-2047, 2048, (N_INPUTS, 30))
    found = again.outputs(inputs)
    for row in range(30):
        values = [int(value) for value in inputs[:, row]]
        for place, (matrix, bias) in enumerate(zip(weights, biases, strict=True)):
            sums = [
                sum(int(weight) * value for weight, value in zip(line, values, strict=True))
                + int(base)
                >> 5
                for line, base in zip(matrix, bias, strict=True)
            ]
            low, high = (-(1 << 20), 1 << 20) if place == 2 else (0, 16 * 256 - 1)
            values = [min(max(total, low), high) for total in sums]
        assert found[:, row].tolist() == values


def test_blocks_of_a_file_share_what_is_trained() -> None:
    whole = effort_named("default")
    assert whole.shared(1) == whole.shared(0) == whole
    quarter = whole.shared(4)
    assert (quarter.training_steps, quarter.training_seconds) == (1000, 15.0)
    none = whole.shared(5)
    assert (none.training_steps, none.training_seconds) == (0, 0.0)
    assert replace(none, training_steps=4000, training_seconds=60.0) == whole


def test_a_file_of_many_blocks_trains_no_longer_than_one_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, steps = np.arange(80.0).reshape(40, 2), []
    encode = ArrayMember.encode

    def noted(self: ArrayMember, rows: Any, effort: Effort) -> Any:
        steps.append(effort.training_steps)
        return encode(self, rows, effort)

    monkeypatch.setattr(ArrayMember, "encode", noted)
    for n_blocks, each in ((1, [4000]), (4, [1000] * 4), (5, [0] * 5)):
        monkeypatch.setattr(members, "BLOCK_VALUES", 80 // n_blocks)
        steps.clear()
        compress(rows, tmp_path / f"{n_blocks}.aez")
        assert steps == each
        assert (decompress(tmp_path / f"{n_blocks}.aez") == rows).all()
