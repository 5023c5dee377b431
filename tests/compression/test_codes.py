"""Codes of fitted autoencoders: within what the header says, coarser from the beginning only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits

from autoencode import Autoencoder, compress, decompress
from autoencode.compression.code_steps import distortion
from autoencode.compression.codes import restored
from autoencode.compression.container import read_sections, read_start
from autoencode.compression.model_reference import finder, open_model
from autoencode.compression.reading import parse_header
from autoencode.compression.recovery import recover_blocks
from autoencode.errors import DataError, SpecError

DIGITS = load_digits().images[:400].astype(np.uint8)


def rows() -> pa.Table:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(300, 2))
    return pa.table(
        {
            "name": [f"row {place}" for place in range(300)],
            "a": base[:, 0],
            "b": pa.array((base[:, 0] * 50).astype(np.int64), pa.int32()),
            "c": base @ [1.0, 2.0] + 0.1 * rng.normal(size=300),
            "kind": np.where(base[:, 1] > 0, "up", "down"),
        }
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fit a model to pictures and one to a table."""
    folder = tmp_path_factory.mktemp("codes")
    options: dict[str, Any] = {"max_epochs": 2, "random_state": 0}
    Autoencoder(6, **options).fit(DIGITS).save(folder / "d.safetensors")
    Autoencoder(3, **options).fit(rows()).save(folder / "t.safetensors")
    compress(DIGITS, folder / "d.aez", model=folder / "d.safetensors", codes=True, embed=True,
             effort="fast")  # fmt: skip
    return folder


def said(path: Path, model: Path | None = None) -> dict[str, Any]:
    with path.open("rb") as stream:
        read_start(stream)
        sections = read_sections(stream)
        given = None if model is None else open_model(model)
        header = parse_header(next(sections), finder(lambda: next(sections), given))
    return header.made_from["distortion"]


def test_pictures_come_back_as_far_off_as_the_header_says(models: Path) -> None:
    measured = said(models / "d.aez")
    found = decompress(models / "d.aez")
    assert found.dtype == DIGITS.dtype
    assert found.shape == DIGITS.shape
    columns, whole = distortion(DIGITS, found)
    assert columns == pytest.approx(measured["columns"], rel=1e-4)
    assert whole == pytest.approx(measured["parts"][-1], rel=1e-4)
    # What storing codes in steps adds, at most.
    from autoencode import load

    exact = distortion(DIGITS, load(models / "d.safetensors").reconstruct(DIGITS))[1]
    assert whole <= 1.05 * exact + 1e-6


def test_the_beginning_of_a_file_decodes_to_something_coarser(models: Path, tmp_path: Path) -> None:
    measured = said(models / "d.aez")["parts"]
    assert len(measured) == 4  # 1, 2, 3 to 4, 5 to 6
    for part, components in enumerate((1, 2, 4, 6)):
        found = decompress(models / "d.aez", components=components)
        assert distortion(DIGITS, found)[1] == pytest.approx(measured[part], rel=1e-4)
    assert measured == sorted(measured, reverse=True)
    data = (models / "d.aez").read_bytes()
    with (models / "d.aez").open("rb") as stream:
        read_start(stream)
        blocks = [part for part in read_sections(stream) if part.kind == b"BLCK"]
    (tmp_path / "cut.aez").write_bytes(data[: blocks[3].offset + 9])
    _, (block,) = restored(*recover_blocks(tmp_path / "cut.aez"))
    assert (block.rows == decompress(models / "d.aez", components=4)).all()


def test_a_table_comes_back_with_its_types_and_identifiers(models: Path, tmp_path: Path) -> None:
    given, model = rows(), models / "t.safetensors"
    compress(given, tmp_path / "t.aez", model=model, codes=True, effort="fast")
    found = decompress(tmp_path / "t.aez", model=model)
    assert found.schema.equals(given.schema, check_metadata=True)
    assert found.column("name").equals(given.column("name"))
    known = ["a", "b", "c", "kind"]
    columns, whole = distortion(given.select(known), found.select(known))
    measured = said(tmp_path / "t.aez", model)
    assert columns == pytest.approx(measured["columns"], rel=1e-3, abs=1e-5)
    assert whole == pytest.approx(measured["parts"][-1], rel=1e-3, abs=1e-5)
    with pytest.raises(DataError, match=r"t\.aez: needs the model t\.safetensors \(SHA-256"):
        decompress(tmp_path / "t.aez")
    with pytest.raises(DataError, match=r"d\.safetensors has [0-9a-f]{64}"):
        decompress(tmp_path / "t.aez", model=models / "d.safetensors")


def test_what_has_no_such_codes_is_refused(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.aez"
    with pytest.raises(DataError, match="one table or one array"):
        compress({"a": DIGITS, "b": DIGITS}, path, model=models / "d.safetensors", codes=True)
    with pytest.raises(DataError, match=r"could be used: d\.aez is not a model file"):
        compress(DIGITS, path, model=models / "d.aez", codes=True)
    compress(DIGITS[:5], path, effort="fast")
    with pytest.raises(DataError, match="holds no codes"):
        decompress(path, components=2)
    with pytest.raises(SpecError, match="components is 0"):
        decompress(path, components=0)


def test_rows_are_not_believed_before_they_are_there(models: Path) -> None:
    with (models / "d.aez").open("rb") as stream:
        read_start(stream)
        sections = read_sections(stream)
        header = parse_header(next(sections), finder(lambda: next(sections), None))
    members = [replace(one, shape=(10**12, *one.shape[1:])) for one in header.members]  # type: ignore[call-arg]
    many = replace(header, members=tuple(members))
    many.made_from["array"] = {**many.made_from["array"], "shape": [10**12, 8, 8]}
    with pytest.raises(DataError, match="its first component is not whole"):
        restored(many, [])
