"""Files of pictures are read into one array, in one form that is stated."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from autoencode.data import picture_decoding, pictures
from autoencode.data.picture_form import Look, PictureForm, choose_form, tile_starts
from autoencode.data.pictures import PictureRows, read_pictures
from autoencode.data.reading import open_data
from autoencode.errors import DataError, SpecError

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: Any = np.uint8) -> Any:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(path: Path, pixels: Any, **options: Any) -> Any:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def bomb(height: int, width: int) -> bytes:
    """A small PNG file whose header declares a huge picture."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_pictures(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "gif", "bmp"])
def test_grey_pictures_come_as_they_are(tmp_path: Path, suffix: str) -> None:
    given = [noise(5, 7) for _ in range(3)]
    for place, pixels in enumerate(given):
        options = {"lossless": True} if suffix == "webp" else {}
        save(tmp_path / "sub" / f"{2 - place}.{suffix}", pixels, **options)
    found = read_pictures(tmp_path)
    assert found.form == PictureForm(5, 7)
    assert found.names == tuple(f"sub/{place}.{suffix}" for place in range(3))
    np.testing.assert_array_equal(found.pixels, given[::-1])
    assert found.summary == "3 pictures as 5 x 7 grey, 8 bits"


def test_colours_alpha_palettes_and_bits_have_one_form(tmp_path: Path) -> None:
    colour, clear = noise(6, 6, 3), noise(6, 6, 4)
    save(tmp_path / "a.png", colour)
    save(tmp_path / "b.png", clear)
    Image.fromarray(colour).quantize(16).save(tmp_path / "c.png")
    Image.fromarray(noise(6, 6)).convert("1").save(tmp_path / "d.png")
    Image.fromarray(noise(6, 6, 2)).save(tmp_path / "e.png")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "f.tif")
    found = read_pictures(tmp_path)
    assert found.form == PictureForm(6, 6, colour=True, alpha=True)
    np.testing.assert_array_equal(found.pixels[0, ..., :3], colour)
    np.testing.assert_array_equal(found.pixels[1], clear)
    assert (found.pixels[0, ..., 3] == 255).all()
    assert set(np.unique(found.pixels[3, ..., :3])) <= {0, 255}
    np.testing.assert_array_equal(found.pixels[4, ..., 0], found.pixels[4, ..., 2])
    np.testing.assert_array_equal(found.pixels[5, ..., :3], colour)  # there and back is exact
    assert "1 brought from CMYK to RGB" in found.summary


def test_channels_that_say_nothing_are_left_out(tmp_path: Path) -> None:
    grey = noise(4, 5)
    opaque = np.full_like(grey, 255)
    save(tmp_path / "a.png", np.dstack([grey, grey, grey, opaque]))
    save(tmp_path / "b.png", np.dstack([grey, grey, grey]))
    found = read_pictures(tmp_path)
    assert found.form == PictureForm(4, 5)
    np.testing.assert_array_equal(found.pixels, [grey, grey])
    save(tmp_path / "c.png", np.dstack([grey, noise(4, 5)]))
    assert read_pictures(tmp_path).form == PictureForm(4, 5, alpha=True)


def test_sixteen_bits_stay_among_grey_pictures(tmp_path: Path) -> None:
    deep, shallow = noise(4, 4, dtype=np.uint16), noise(4, 4)
    save(tmp_path / "a.png", deep)
    save(tmp_path / "b.tif", deep)
    save(tmp_path / "c.png", shallow)
    found = read_pictures(tmp_path)
    assert found.form == PictureForm(4, 4, bits=16)
    np.testing.assert_array_equal(found.pixels, [deep, deep, shallow * np.uint16(257)])
    save(tmp_path / "d.png", noise(4, 4, 3))
    found = read_pictures(tmp_path)
    assert found.form == PictureForm(4, 4, colour=True)
    np.testing.assert_array_equal(found.pixels[0, ..., 1], np.rint(deep / 257))
    np.testing.assert_array_equal(found.pixels[2, ..., 0], shallow)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", [2, 6, 7, 8])
def test_exif_rotation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    save(tmp_path / f"a.{suffix}", noise(8, 16, 3), exif=exif, **options)
    found = read_pictures(tmp_path)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(found.pixels[0], expected)
    assert "1 turned as their EXIF data say" in found.summary


def test_of_several_frames_the_first_is_taken(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(4, 4)) for _ in range(3)]
    for suffix in ("tif", "gif"):
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
    found = read_pictures(tmp_path)
    np.testing.assert_array_equal(found.pixels, [np.asarray(frames[0])] * 2)
    assert "2 of several frames, of which the first was taken" in found.summary


def looks(*sizes: tuple[int, int]) -> list[Look]:
    return [Look(*size) for size in sizes]


def test_the_commonest_size_is_chosen_or_medians_of_bounded_area() -> None:
    def size(given: list[Look], fit: str | None = None) -> tuple[int, int]:
        form = choose_form(given, fit=fit)
        return form.height, form.width

    assert size(looks((8, 9), (8, 9), (20, 20))) == (8, 9)
    assert size(looks((9, 9), (8, 8))) == size(looks((8, 8), (9, 9))) == (9, 9)
    assert size(looks((10, 30), (20, 20), (30, 10), (40, 40), (50, 90))) == (30, 30)
    assert size(looks((3000, 4000))) == (222, 296)
    assert size(looks((300, 50)), "tile") == (64, 50)
    assert choose_form(looks((3000, 4000)), (500, 600)).sample_shape == (500, 600)
    with pytest.raises(SpecError, match="choose from resize, crop, tile"):
        choose_form(looks((8, 8)), fit="strech")
    with pytest.raises(SpecError, match="whole numbers from 1"):
        choose_form(looks((8, 8)), (0, 8))


def test_other_sizes_are_resized_or_cropped(tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None], 8, axis=0)  # 8 x 24
    save(tmp_path / "a.png", ramp)
    for fit, expected in (("resize", (10, 220)), ("crop", (80, 150))):
        found = read_pictures(tmp_path, size=(8, 8), fit=fit)
        ends = found.pixels[0, 0, [0, -1]].astype(int)
        np.testing.assert_allclose(ends, expected, atol=12)
        assert found.sizes == {"a.png": (8, 24)}
    assert f"1 {'cropped'}" in found.summary


def test_large_jpegs_are_shrunk_like_others(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(256), np.arange(256)).astype(np.float64) / 2
    pixels = save(tmp_path / "a.jpg", smooth.astype(np.uint8), quality=98)
    found = read_pictures(tmp_path, size=(16, 16)).pixels[0]
    expected = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(found.astype(int), np.asarray(expected).astype(int), atol=3)


def test_tiles_cover_every_pixel(tmp_path: Path) -> None:
    assert tile_starts(10, 4) == [0, 4, 6]
    assert tile_starts(8, 4) == [0, 4]
    assert tile_starts(4, 4) == [0]
    pixels = save(tmp_path / "a.png", noise(10, 6, 3))
    save(tmp_path / "b.png", noise(2, 2, 3))
    found = read_pictures(tmp_path, size=(4, 4), fit="tile")
    assert found.names == ("a.png",) * 6 + ("b.png",)
    for row, (top, left) in zip(found.pixels[:6], found.places[:6], strict=True):
        np.testing.assert_array_equal(row, pixels[top : top + 4, left : left + 4])
    assert found.sizes["b.png"] == (2, 2)
    table = PictureRows(found).kept
    assert table is not None
    assert table.column_names == ["picture", "top", "left"]


def test_a_given_form_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.dstack([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)]))
    save(tmp_path / "b.png", noise(8, 8, 3))
    found = read_pictures(tmp_path, form=PictureForm(4, 4))
    assert found.pixels.shape == (2, 4, 4)
    assert (found.pixels[0] == 255).all()  # nothing but background
    for part in ("1 with transparent pixels put on white", "2 brought from colours to grey"):
        assert part in found.summary


def test_pictures_that_do_not_fit_into_memory_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [save(tmp_path / f"{place}.png", noise(4, 4, 3)) for place in range(5)]
    (tmp_path / "1.png").write_bytes(b"")
    monkeypatch.setattr(pictures, "IN_MEMORY_BYTES", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = PictureRows(read_pictures(tmp_path, skip_bad=True))
    assert rows.mapped
    assert not rows.in_memory
    np.testing.assert_array_equal(rows.dense(), np.stack(given)[[0, 2, 3, 4]].reshape(4, -1))
    monkeypatch.setattr(pictures.os, "posix_fallocate", full_disk)
    assert "No space left" in refused(tmp_path, skip_bad=True)


def full_disk(*_: int) -> None:
    raise OSError(28, "No space left on device")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder with two good pictures, and five that cannot be read."""
    for name in ("a.png", "e.png"):
        save(tmp_path / name, noise(16, 16, 3))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "d.jpg").write_text("not a picture")
    (tmp_path / "f.png").write_bytes(bomb(50_000, 50_000))
    save(tmp_path / "g.jpg", noise(16, 16, 3))
    (tmp_path / "g.jpg").write_bytes((tmp_path / "g.jpg").read_bytes()[:-200])
    (tmp_path / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden.png").write_text("passed over")
    (tmp_path / "h.heic").write_text("named")
    return tmp_path


def test_every_bad_picture_is_named(mixed: Path) -> None:
    message = refused(mixed)
    assert message.startswith("5 of 7 pictures cannot be read (mend or remove them; --skip-bad, ")
    for part in (
        "b.png is empty",
        "c.png is damaged: ",
        "d.jpg is not a PNG, JPEG, TIFF, WebP, GIF or BMP picture",
        "f.png is 50,000 x 50,000 pixels large; at most 120,000,000 pixels are read",
        "g.jpg is damaged: ",
    ):
        assert part in message


def test_bad_pictures_are_left_out_if_asked_for(mixed: Path) -> None:
    found = read_pictures(mixed, skip_bad=True)
    assert found.names == ("a.png", "e.png")
    assert sorted(found.bad) == ["b.png", "c.png", "d.jpg", "f.png", "g.jpg"]
    assert "5 left out; 1 .heic passed over" in found.summary
    for name in found.names:
        (mixed / name).unlink()
    assert refused(mixed, skip_bad=True).startswith("no picture can be read: b.png is empty; ")


def test_a_bomb_takes_no_memory_and_no_global_limit_is_touched(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bomb(50_000, 50_000))
    before = Image.MAX_IMAGE_PIXELS
    tracemalloc.start()
    refused(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert before == Image.MAX_IMAGE_PIXELS


def test_values_of_32_bits_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", np.ones((4, 4), np.float32))
    assert "a.tif holds fractions; save it with 8 or 16 bits" in refused(tmp_path)
    (tmp_path / "a.tif").unlink()
    save(tmp_path / "b.tif", np.full((4, 4), 70_000, np.int32))
    assert "b.tif holds values of 32 bits" in refused(tmp_path)


def damaged(data: bytes) -> bytes:
    """Change a few bytes behind the first ones, and cut the end off now and then."""
    changed = bytearray(data)
    for place in RNG.integers(4, len(data), 4):
        changed[place] = RNG.integers(256)
    return bytes(changed[: RNG.integers(20, 2 * len(data))])


@pytest.mark.parametrize("suffix", ["png", "jpeg", "tiff", "webp", "gif", "bmp"])
def test_damage_is_always_a_data_error(suffix: str) -> None:
    written = io.BytesIO()
    Image.fromarray(noise(12, 12, 3)).save(written, suffix)
    outcomes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about tags that make no sense
        for _ in range(40):
            try:
                picture_decoding.decode(io.BytesIO(damaged(written.getvalue())), PictureForm(8, 8))
                outcomes.add("read")
            except DataError:
                outcomes.add("refused")
    assert "refused" in outcomes


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def png(pixels: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_an_archive_is_like_a_folder(tmp_path: Path) -> None:
    first, second = noise(4, 4), noise(4, 4)
    path = packed(
        tmp_path / "a.zip",
        {
            "in/b.png": png(second),
            "in/a.png": png(first),
            "in/read.me": b"",
            "__MACOSX/in/a.png": b"x",
        },
    )
    found = read_pictures(path)
    assert found.names == ("in/a.png", "in/b.png")
    np.testing.assert_array_equal(found.pixels, [first, second])
    rows = open_data(path)
    assert rows.sample_shape == (4, 4)


def test_archives_that_are_not_to_be_trusted_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    good = png(noise(4, 4))
    for name in ("../up.png", "/etc/a.png", "C:/a.png", "a/../../b.png", "a\\b.png"):
        packed(path, {"good.png": good, name: good})
        assert "leads out of the folder" in refused(path), name
    assert "without pictures" in refused(packed(path, {"a.txt": b"x"}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.png", good)
            archive.writestr("a.png", good)
    assert "holds 'a.png' twice" in refused(path)
    path.write_bytes(path.read_bytes()[:-30])
    assert "is not a whole .zip file" in refused(path)


def test_encrypted_and_inflated_members_are_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a.png": png(noise(4, 4)), "b.bmp": bytes(30_000_000)})
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
    content[place + 8] |= 1  # the flag that says it is encrypted
    path.write_bytes(content)
    tracemalloc.start()
    message = refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a.png is encrypted; unpack the archive and name the folder" in message
    assert "b.bmp is not a PNG" in message
    assert peak < 100_000_000


def test_nothing_to_read_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without Parquet or NumPy files or pictures"):
        open_data(tmp_path)
    save(tmp_path / "a.png", noise(4, 4))
    assert open_data(tmp_path / "a.png").n_rows == 1
    with pytest.raises(DataError, match="there is no column 'x': pictures have no columns"):
        open_data(tmp_path, keep=["x"])
    with pytest.raises(DataError, match="holds pictures, but the model was fitted to a table"):
        open_data(tmp_path, expected_names=["x"])
    with pytest.raises(DataError, match="there is no such file"):
        open_data(tmp_path / "none.png")


def test_the_form_survives_a_header() -> None:
    form = PictureForm(3, 4, colour=True, alpha=True, fit="tile")
    assert PictureForm.from_header(form.header()) == form
    for change in ({"bits": 12}, {"fit": "other"}, {"height": 0}, {"width": None}):
        with pytest.raises(DataError, match="does not fit together"):
            PictureForm.from_header(form.header() | change)
