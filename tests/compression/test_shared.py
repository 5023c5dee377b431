"""Models that small files share: what they code, who needs them, and what is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from autoencode import compress, decompress, open_compressed
from autoencode.compression import masked_part
from autoencode.compression.container import SectionWriter
from autoencode.compression.effort import EFFORTS
from autoencode.compression.members import TableMember
from autoencode.compression.shared_block import decode_shared, encode_shared
from autoencode.compression.shared_model import KIND, SharedModel, learn_shared
from autoencode.errors import AutoencodeError, DataError, SpecError

FAST = EFFORTS["fast"]


def table(n: int, seed: int, colours: tuple[str, ...] = ("blue", "green", "red")) -> pa.Table:
    """Make a table of every form of column that a model may know."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n), 2)
    whole = pa.array([None if i % 7 == 0 else int(v * 100) for i, v in enumerate(x)], pa.int32())
    return pa.table(
        {
            "x": x,
            "y": np.round(x**2 + 0.05 * rng.normal(size=n), 2),
            "whole": whole,
            "colour": rng.choice(colours, n),
            "class": pa.array(rng.choice(colours, n)).dictionary_encode(),
            "yes": x > 0,
            "when": pa.array(np.cumsum(rng.integers(0, 5, n)) * 1000, pa.timestamp("ms")),
            "id": [f"{seed}-{i}" for i in range(n)],
        }
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    compress(table(900, 0), folder / "big.aez", save_model=folder / "m.aem", effort="fast")
    assert decompress(folder / "big.aez").equals(table(900, 0))
    return folder / "m.aem"


def odd() -> pa.Table:
    """Return a table with values, texts and categories that the model has not seen."""
    rows = table(40, 2, ("violet", "red", "blue")).to_pydict()
    rows["x"][3:6] = [float("nan"), -0.0, 1e300]
    rows["x"][8] = None
    rows["whole"][9] = 2**31 - 1
    rows["colour"][11] = None
    rows["class"][12] = None
    rows["yes"][13] = None
    columns = dict(zip(rows, table(1, 0).schema.types, strict=True))
    return pa.table({name: pa.array(rows[name], kind) for name, kind in columns.items()})


def test_small_files_come_back_and_are_smaller(model: Path, tmp_path: Path) -> None:
    small = table(200, 1)
    alone = compress(small, tmp_path / "alone.aez", effort="fast")
    by_model = compress(small, tmp_path / "s.aez", model=model, effort="fast")
    assert by_model < 0.92 * alone
    assert decompress(tmp_path / "s.aez", model=model).equals(small)
    with open_compressed(tmp_path / "s.aez", model=model) as opened:
        some = opened.read(20, 30, columns=["when", "colour"])
    assert some.equals(small.slice(20, 10).select(["when", "colour"]))


@pytest.mark.parametrize("rows", [odd(), table(1, 5), table(40, 3).slice(0, 0)])
def test_what_the_model_has_not_seen_comes_back(rows: pa.Table, model: Path) -> None:
    shared = SharedModel.from_bytes(model.read_bytes())
    member = TableMember(rows.schema, len(rows), (0.0,) * rows.num_columns)
    if len(rows):
        body = encode_shared(shared, member, rows, FAST)
        assert body is not None
        found = decode_shared(shared, member, body, len(rows))
        assert member.digest(found) == member.digest(rows)
        for place in range(0, len(body), 3):
            changed = bytearray(body)
            changed[place] ^= 1 << place % 8
            try:
                decode_shared(shared, member, bytes(changed), len(rows))
            except DataError:
                continue


def test_a_bound_is_that_of_the_model(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(900, 2)) @ rng.normal(size=(2, 4))
    rows[850, 1], rows[860, 2] = np.nan, 1e6
    compress(rows[:800], tmp_path / "b.aez", error=0.01, save_model=tmp_path / "m.aem")
    compress(rows[800:], tmp_path / "s.aez", model=tmp_path / "m.aem")
    found = decompress(tmp_path / "s.aez", model=tmp_path / "m.aem")
    assert found.dtype == rows.dtype
    assert np.nanmax(np.abs(found - rows[800:])) <= 0.01
    assert np.isnan(found[50, 1])
    assert (found != rows[800:]).any()
    # Bounds are whole: the model's is not another one.
    with pytest.raises(SpecError, match="its own bounds"):
        compress(rows, tmp_path / "x.aez", error=0.1, model=tmp_path / "m.aem")


def test_a_network_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 1000, (2, 1500))
    bent = np.abs(first - 400) + rng.integers(0, 3, 1500)
    given = pa.table(
        {
            "first": first,
            "second": second,
            "product": (first - 500) * (second - 500) // 500 + rng.integers(0, 3, 1500),
            "bent": pa.array(bent, mask=rng.random(1500) < 0.2),
        }
    )
    member = TableMember(given.schema, len(given), (0.0,) * 4)
    monkeypatch.setattr(masked_part, "_FEWEST_BYTES", 0)
    effort = replace(EFFORTS["default"], series=False, training_steps=250, training_seconds=600.0)
    again = SharedModel.from_bytes(learn_shared(member, given, effort).to_bytes())
    assert again.network is not None
    some = given.slice(100, 200)
    body = encode_shared(again, member, some, FAST)
    assert body is not None
    assert decode_shared(again, member, body, 200).equals(some)
    without = encode_shared(replace(again, network=None), member, some, FAST)
    assert without is not None
    assert len(body) < len(without)


def test_who_needs_a_model_says_which(model: Path, tmp_path: Path) -> None:
    small = table(60, 1)
    compress(small, tmp_path / "s.aez", model=model, effort="fast")
    compress(small, tmp_path / "e.aez", model=model, embed=True, effort="fast")
    assert decompress(tmp_path / "e.aez").equals(small)
    with pytest.raises(DataError, match=r"s\.aez: needs the model m\.aem \(SHA-256 [0-9a-f]{64}\)"):
        decompress(tmp_path / "s.aez")
    with pytest.raises(DataError, match=r"needs the model m\.aem"):
        open_compressed(tmp_path / "s.aez")
    other = tmp_path / "other.aem"
    other.write_bytes(model.read_bytes() + b"!")
    with pytest.raises(DataError, match=r"needs the model m\.aem with SHA-256 .*; other\.aem has"):
        decompress(tmp_path / "s.aez", model=other)
    with pytest.raises(DataError, match=r"nothing\.aem: No such file"):
        decompress(tmp_path / "s.aez", model=tmp_path / "nothing.aem")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (table(9, 0).drop_columns(["x"]), "column 0 is 'y' of type double, in the model 'x'"),
        (table(9, 0).drop_columns(["id"]), "it has 7 columns, the model 8"),
        (np.zeros((3, 8)), "the model is one of tables"),
    ],
)
def test_other_data_are_refused(data: Any, message: str, model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        compress(data, tmp_path / "x.aez", model=model)
    assert not list(tmp_path.iterdir())


def test_options_that_exclude_each_other(model: Path, tmp_path: Path) -> None:
    for options in ({"save_model": "x"}, {"relative": 0.1}):
        with pytest.raises(SpecError):
            compress(table(9, 0), tmp_path / "x.aez", model=model, **options)
    for options in ({"embed": True}, {"codes": True}, {"exact": True}):
        with pytest.raises(SpecError):
            compress(table(9, 0), tmp_path / "x.aez", **options)


def test_damaged_models_are_refused_or_read_the_same(model: Path) -> None:
    data = model.read_bytes()
    for length in range(0, len(data), 97):
        with pytest.raises(DataError):
            SharedModel.from_bytes(data[:length])
    payload = data[28:-8]
    for place in range(0, len(payload), 13):
        changed = bytearray(payload)
        changed[place] ^= 1 << place % 8
        stream = io.BytesIO()
        SectionWriter(stream).write(KIND, bytes(changed))
        try:
            found = SharedModel.from_bytes(stream.getvalue())
        except AutoencodeError:
            continue
        assert len(found.columns) == 8
