"""Pictures are written as files, whole folders or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autoencode import picture_files
from autoencode.data.picture_decoding import resized
from autoencode.data.picture_form import PictureForm
from autoencode.data.picture_writing import file_names, whole_pictures, write_pictures
from autoencode.data.pictures import read_pictures
from autoencode.errors import DataError, SpecError

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: Any = np.uint8) -> Any:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2), (5, 7, 3), (5, 7, 4)])
def test_what_is_written_is_read_again(tmp_path: Path, shape: tuple[int, ...]) -> None:
    given = [noise(*shape), noise(*shape)]
    write_pictures(tmp_path / "out", ["sub/b.jpg", "a.tif"], given)
    assert listing(tmp_path) == ["out", "out/a.png", "out/sub", "out/sub/b.png"]
    found = read_pictures(tmp_path / "out")
    np.testing.assert_array_equal(found.pixels, given[::-1])


def test_sixteen_bits_are_written(tmp_path: Path) -> None:
    given = noise(1, 4, 4, dtype=np.uint16)
    write_pictures(tmp_path / "out", ["a.png"], given)
    np.testing.assert_array_equal(read_pictures(tmp_path / "out").pixels, given)


def test_names_stay_different_and_inside() -> None:
    assert file_names(["a.jpg", "b.tif", "s/a.jpg"]) == ["a.png", "b.png", "s/a.png"]
    assert file_names(["a.jpg", "a.png"]) == ["a.jpg.png", "a.png.png"]
    for name in ("../a.png", "/a.png", "a/../../b", "c:a.png", "", "a\0.png", "a//b.png", "."):
        with pytest.raises(DataError, match="leads out of the folder"):
            file_names([name])
    with pytest.raises(DataError, match=r"two pictures would be written as 'a\.png\.png'"):
        file_names(["a.png", "A.png"])
    with pytest.raises(DataError, match="both a picture and a folder"):
        file_names(["a.png", "a.png/b.png"])


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def failing() -> Any:
        yield noise(4, 4)
        raise DataError("no more")

    with pytest.raises(DataError, match="no more"):
        write_pictures(tmp_path / "out", ["s/a.png", "b.png"], failing())
    assert listing(tmp_path) == []


def test_only_a_folder_of_such_files_is_replaced(tmp_path: Path) -> None:
    folder, names = tmp_path / "out", ["s/a.png", "b.png"]
    write_pictures(folder, names, noise(2, 4, 4))
    with pytest.raises(DataError, match="exists; pass --force"):
        write_pictures(folder, names, noise(2, 4, 4))
    given = noise(2, 4, 4)
    write_pictures(folder, names, given, force=True)
    np.testing.assert_array_equal(read_pictures(folder).pixels, given[::-1])
    (folder / "s" / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match=r"also holds 's/mine\.txt'"):
        write_pictures(folder, names, given, force=True)
    assert listing(folder) == ["b.png", "s", "s/a.png", "s/mine.txt"]
    assert listing(tmp_path)[0] == "out"


def test_tiles_make_their_picture_again(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    given = {"a.png": noise(9, 6, 3), "b.png": noise(4, 4, 3)}
    for name, pixels in given.items():
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    found = read_pictures(tmp_path / "in", size=(4, 4), fit="tile")
    blocks = np.split(found.pixels.astype(np.float32), [2, 5])
    whole = dict(whole_pictures(blocks, found.form, found.names, found.places))
    for name, pixels in given.items():
        np.testing.assert_array_equal(whole[name], pixels)
    for spots in ([[0, 0], [0, 10**9]], [[0, 0], [-1, 0]], [[0, 0], [1, 1]]):
        with pytest.raises(DataError, match="tiles of a picture are missing"):
            list(whole_pictures([blocks[0]], found.form, ["a"] * 2, np.array(spots)))


def test_values_are_rounded_into_the_form() -> None:
    values = np.array([[-3.0, 0.4, 254.6], [np.nan, 300.0, 7.5]], np.float32)
    found = PictureForm(2, 3).rounded(values)
    np.testing.assert_array_equal(found, np.array([[0, 0, 255], [0, 255, 8]], np.uint8))
    assert PictureForm(2, 3, bits=16).rounded(values * 100).max() == 30_000


@pytest.mark.parametrize(
    ("values", "dtype"), [((77,), np.uint8), ((77, 255), np.uint8), ((700,), np.uint16)]
)
def test_sizes_change_for_every_mode(values: tuple[int, ...], dtype: Any) -> None:
    found = resized(np.full((8, 8, len(values)), values, dtype), 3, 5)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.full((3, 5, len(values)), values))


def test_the_public_functions_read_and_write(tmp_path: Path) -> None:
    given = noise(3, 4, 5)
    write_pictures(tmp_path / "in", ["c.png", "b.png", "a.png"], given[::-1])
    found = picture_files.read_pictures(tmp_path / "in", like=None)
    picture_files.write_pictures(tmp_path / "out", found.pixels + 0.2, like=found)
    assert listing(tmp_path / "out") == ["1.png", "2.png", "3.png"]
    again = picture_files.read_pictures(tmp_path / "out", like=found)
    np.testing.assert_array_equal(again.pixels, given)
    with pytest.raises(
        DataError, match=r"shape \(3, 4, 4\), but pictures of this form \(n, 4, 5\)"
    ):
        picture_files.write_pictures(tmp_path / "x", found.pixels[..., :4], like=found)
    with pytest.raises(DataError, match="there are 1 names for 3 pictures"):
        picture_files.write_pictures(tmp_path / "x", found.pixels, ["a"], like=found)
    with pytest.raises(SpecError, match="leave these out"):
        picture_files.read_pictures(tmp_path / "in", size=(2, 2), like=found)
    with pytest.raises(DataError, match="none: there is no such file or folder"):
        picture_files.read_pictures(tmp_path / "none")
