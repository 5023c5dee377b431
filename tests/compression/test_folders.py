"""Folders: pictures by their pixels, other files by their bytes, and names that lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin

from autoencode import compress, decompress
from autoencode.compression.effort import EFFORTS
from autoencode.compression.folders import _LIST
from autoencode.compression.members import ArrayMember, TableMember, blocks_of
from autoencode.compression.restoring import write_restored
from autoencode.compression.writing import write_members
from autoencode.errors import DataError, SpecError

MODES = {"1": bool, "L": np.uint8, "LA": np.uint8, "RGB": np.uint8, "RGBA": np.uint8,
         "I;16": np.uint16}  # fmt: skip
CHANNELS = {"LA": (2,), "RGB": (3,), "RGBA": (4,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of pictures of every mode, and of files that are none."""
    found = tmp_path_factory.mktemp("folders") / "all"
    (found / "sub" / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for mode, dtype in MODES.items():
        shape = (3, 9, 7, *CHANNELS.get(mode, ()))
        stack = rng.integers(0, 2 if mode == "1" else 250, shape).astype(dtype)
        for place, pixels in enumerate(stack):
            Image.fromarray(pixels).save(found / "sub" / f"{mode.replace(';', '')}-{place}.png")
    pixels = rng.integers(0, 255, (9, 7, 3)).astype(np.uint8)
    for name in ("a.bmp", "a.ppm", "a.jpg"):
        Image.fromarray(pixels).save(found / name)
    Image.fromarray(pixels).save(found / "resolved.png", dpi=(72, 72))
    Image.fromarray(pixels).save(found / "profile.png", icc_profile=b"some profile")
    Image.fromarray(pixels).convert("P").save(found / "palette.png")
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("Title", "left out")
    Image.fromarray(pixels).save(found / "sub" / "deeper" / "text.png", pnginfo=chunk)
    (found / "cut.png").write_bytes((found / "resolved.png").read_bytes()[:60])
    (found / "empty").touch()
    (found / "é ü.txt").write_text("text " * 100)
    return found


def files(folder: Path) -> dict[str, Path]:
    """Return all files by their names within."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def test_pictures_come_back_by_pixels_and_all_else_by_bytes(folder: Path, tmp_path: Path) -> None:
    compress(folder, tmp_path / "f.aez", effort="fast")
    found = decompress(tmp_path / "f.aez")
    assert sorted(found) == sorted(files(folder))
    with (tmp_path / "f.aez").open("rb") as stream:
        write_restored(stream, tmp_path / "back")
    back = files(tmp_path / "back")
    assert sorted(back) == sorted(files(folder))
    as_pixels = 0
    for name, path in files(folder).items():
        if isinstance(found[name], bytes):
            assert found[name] == path.read_bytes() == back[name].read_bytes()
            continue
        as_pixels += 1
        with Image.open(path) as given, Image.open(back[name]) as made:
            assert given.mode == made.mode
            assert given.format == made.format
            assert (np.asarray(given) == np.asarray(made)).all()
            assert (np.asarray(given) == found[name]).all()
    # Those with a palette, a colour profile, damage, or loss in their format keep all bytes.
    kept = [name for name, content in found.items() if isinstance(content, bytes)]
    assert kept == ["a.jpg", "cut.png", "empty", "palette.png", "profile.png", "é ü.txt"]
    assert as_pixels == 18 + 4


def test_exact_keeps_every_byte(folder: Path, tmp_path: Path) -> None:
    compress(folder, tmp_path / "f.aez", effort="fast", exact=True)
    found = decompress(tmp_path / "f.aez")
    assert found == {name: path.read_bytes() for name, path in files(folder).items()}


def test_a_folder_is_not_compressed_with_loss(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a folder is compressed without loss"):
        compress(folder, tmp_path / "f.aez", relative=0.1)


def test_blocks_end_within_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoencode.compression.members.BLOCK_VALUES", 50)
    (tmp_path / "d").mkdir()
    content = {f"{place}.bin": bytes(range(place * 7 % 120)) for place in range(9)}
    for name, data in content.items():
        (tmp_path / "d" / name).write_bytes(data)
    for place in range(3):
        Image.fromarray(np.full((5, 6), place, np.uint8)).save(tmp_path / "d" / f"{place}.png")
    compress(tmp_path / "d", tmp_path / "f.aez", effort="fast")
    found = decompress(tmp_path / "f.aez")
    assert {name: found[name] for name in content} == content
    assert [int(found[f"{place}.png"].max()) for place in range(3)] == [0, 1, 2]


def written(path: Path, rows: list[tuple[Any, ...]], content: bytes = b"abcdef") -> Path:
    """Write a container whose list of files nobody checked."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, _LIST.types, strict=True)]
    listed = pa.Table.from_arrays(arrays, schema=_LIST)
    held = np.frombuffer(content, np.uint8)
    members = [
        TableMember(_LIST, len(listed), (0.0,) * len(_LIST)),
        ArrayMember("text", held.dtype, held.shape, False, (0.0,)),
    ]
    contents = [blocks_of(listed, members[0]), blocks_of(held, members[1])]
    with path.open("wb") as stream:
        write_members(stream, members, contents, {"kind": "folder"}, EFFORTS["fast"])
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("/etc/x", 1, 0, 6, "")], "leads out"),
        ([("../x", 1, 0, 6, "")], "leads out"),
        ([("a/../../x", 1, 0, 6, "")], "leads out"),
        ([("C:/x", 1, 0, 6, "")], "leads out"),
        ([("a\\x", 1, 0, 6, "")], "leads out"),
        ([("a", 1, 0, 3, ""), ("a", 1, 3, 3, "")], "twice"),
        ([("a", 1, 0, 3, ""), ("a/b", 1, 3, 3, "")], "that is a folder"),
        ([("a", 1, 0, 4, ""), ("b", 1, 3, 3, "")], "overlap"),
        ([("a", 1, 0, 10**12, "")], "unnamed files"),
        ([("a", 7, 0, 6, "")], "does not hold"),
        ([("a", 1, 0, -1, "")], "does not hold"),
        ([("a", 1, 0, 5, "")], "unnamed files"),
    ],
)
def test_lists_that_lead_elsewhere_are_refused(
    rows: list[tuple[Any, ...]], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "f.aez", rows)
    with path.open("rb") as stream, pytest.raises(DataError, match=message):
        write_restored(stream, tmp_path / "out")
    assert [one.name for one in tmp_path.iterdir()] == ["f.aez"]


def test_only_a_folder_of_the_same_files_is_replaced(tmp_path: Path) -> None:
    path = written(tmp_path / "f.aez", [("a", 1, 0, 2, ""), ("s/b", 1, 2, 4, "")])
    for force in (False, True):
        with path.open("rb") as stream:
            write_restored(stream, tmp_path / "out", force=force)
        assert (tmp_path / "out" / "s" / "b").read_bytes() == b"cdef"
        (tmp_path / "out" / "mine").write_text("x")
        message = "also holds 'mine'" if force else "exists"
        with path.open("rb") as stream, pytest.raises(DataError, match=message):
            write_restored(stream, tmp_path / "out", force=force)
        (tmp_path / "out" / "mine").unlink()
