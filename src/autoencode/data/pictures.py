"""Files of pictures -> one array of pictures of one form, with their names."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from autoencode.data.picture_decoding import DAMAGE, decode, look_at
from autoencode.data.picture_files import PictureFile, PictureSource
from autoencode.data.picture_form import DEPTH, Look, PictureForm, choose_form
from autoencode.data.rows import Rows
from autoencode.errors import DataError

__all__ = ["PictureRows", "Pictures", "read_pictures"]

Pixels: TypeAlias = npt.NDArray[Any]
Found = TypeVar("Found")

IN_MEMORY_BYTES = 1 << 30
"""Decoded pictures of more bytes than this go to a temporary file that is mapped."""

_MOST_THREADS = 8
_AT_A_TIME = 1024
_LARGE_PIXELS, _LARGE_BYTES = 1 << 24, 1 << 26
"""Pictures that are larger are decoded one at a time, so that memory stays bounded."""
_NAMED = 20


@dataclass(frozen=True)
class Pictures:
    """Pictures of one form.

    Attributes
    ----------
    pixels : ndarray of shape (n, height, width) or (n, height, width, n_channels)
        uint8 or uint16; mapped from a temporary file if they are more than 1 GiB. With
        ``fit="tile"`` there may be several rows of one picture, one after the other.
    form : PictureForm
        Size, channels and type.
    names : tuple of str
        The picture of each row: its path below the folder or in the archive.
    places : ndarray of shape (n, 2)
        Where each row begins in its picture, as (top, left).
    sizes : dict of str to tuple of int
        Height and width of each picture as it was, EXIF rotation applied.
    summary : str
        What was done, in one line.
    bad : dict of str to str
        Names of the pictures that were left out, and why.
    """

    pixels: Pixels
    form: PictureForm
    names: tuple[str, ...]
    places: npt.NDArray[np.intp]
    sizes: dict[str, tuple[int, int]]
    summary: str
    bad: dict[str, str]


class PictureRows(Rows):
    """Pictures as rows; their names, and places of tiles, are kept beside them.

    Parameters
    ----------
    pictures : Pictures
        The pictures.
    """

    def __init__(self, pictures: Pictures) -> None:
        import pyarrow as pa

        from autoencode.data.tables import column_array, text_array

        columns = {"picture": text_array(pictures.names)}
        if pictures.form.fit == "tile":
            columns["top"] = column_array(pictures.places[:, 0])
            columns["left"] = column_array(pictures.places[:, 1])
        super().__init__(pictures.pixels, kind="numpy", kept=pa.table(columns))
        self.pictures = pictures


def read_pictures(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    fit: str | None = None,
    skip_bad: bool = False,
    form: PictureForm | None = None,
) -> Pictures:
    """Read a folder, a ``.zip`` file or one file of pictures.

    PNG, JPEG, TIFF, WebP, GIF and BMP, in the order of their names, decoded in parallel.
    All get one form, which is chosen by their headers: see `choose_form`. Channels of
    colour stay if any picture has colours, alpha if any pixel lets through, 16 bits if all
    pictures are grey and any has them.

    Parameters
    ----------
    path : path
        Where the pictures are.
    size : tuple of int, optional
        Height and width; if not given, the commonest.
    fit : {"resize", "crop", "tile"}, optional
        How pictures of other sizes get it: stretched (if not given), cut at the longer
        sides, or cut into tiles, of which the last two may overlap.
    skip_bad : bool, default=False
        Whether to leave out pictures that cannot be read.
    form : PictureForm, optional
        The form of a fitted model; then ``size`` and ``fit`` say nothing.

    Returns
    -------
    Pictures
        Memory is bounded: a few decoded pictures, and 1 GiB of finished ones at most.

    Raises
    ------
    DataError
        If there are no pictures, or some cannot be read; all of these are looked for.
    SpecError
        If size or fit are not allowed.
    """
    with PictureSource.of(Path(path)) as source, _Workers(source) as workers:
        found = workers.each(lambda _, stream: look_at(stream), source.files)
        looks, bad = _parted(source.files, found)
        _require_some(looks, bad, skip_bad=True)
        chosen = form or choose_form(list(looks.values()), size, fit)
        reading = _Reading(source.files, looks, chosen)
        done, damaged = reading.run(workers)
        bad |= damaged
        _require_some(done, bad, skip_bad=skip_bad)
        said = _passed_over(source.unread)
    pixels = _compacted(reading.pixels, [reading.rows[name] for name in done])
    if form is None:
        grey, opaque = (all(flags) for flags in zip(*(done[n][1:] for n in done), strict=True))
        chosen, pixels = _narrowed(pixels, chosen, grey=grey, opaque=opaque)
    elif form.n_channels == 1:
        pixels = pixels[..., 0]
    changes = Counter(change for name in done for change in set(done[name].changes))
    if form is None and size is None and changes["resized"] + changes["cropped"]:
        said = ["--size HxW chooses another size", *said]
    return Pictures(
        pixels,
        chosen,
        tuple(name for name in done for _ in reading.tiles[name]),
        np.array([place for name in done for place in reading.tiles[name]], dtype=np.intp),
        {name: (looks[name].height, looks[name].width) for name in done},
        _summary(len(done), len(pixels), chosen, changes, [*_left_out(bad), *said]),
        bad,
    )


def _parted(
    files: Sequence[PictureFile], found: Iterable[Found | DataError]
) -> tuple[dict[str, Found], dict[str, str]]:
    """Part what was found, by name, from what was wrong."""
    good: dict[str, Found] = {}
    bad: dict[str, str] = {}
    for file, result in zip(files, found, strict=True):
        if isinstance(result, DataError):
            bad[file.name] = str(result)
        else:
            good[file.name] = result
    return good, bad


def _require_some(good: Mapping[str, Any], bad: Mapping[str, str], *, skip_bad: bool) -> None:
    """Refuse pictures of which none can be read, or not all if none may be skipped."""
    if good and (skip_bad or not bad):
        return
    named = [f"{name} {reason}" for name, reason in sorted(bad.items())]
    more = f"; and {len(named) - _NAMED:,} more" if len(named) > _NAMED else ""
    shown = "; ".join(named[:_NAMED]) + more
    if not good:
        raise DataError(f"no picture can be read: {shown}")
    raise DataError(
        f"{len(bad):,} of {len(bad) + len(good):,} pictures cannot be read (mend or remove them; "
        f"--skip-bad, where a command has it, leaves them out): {shown}"
    )


class _Workers:
    """Threads that open and read pictures; Pillow decodes without holding up the others."""

    def __init__(self, source: PictureSource) -> None:
        self.source = source
        self.pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def each(
        self, read: Callable[[PictureFile, IO[bytes]], Found], files: Sequence[PictureFile]
    ) -> Iterator[Found | DataError]:
        """Yield what is read of each file, in order, or what is wrong with it."""

        def one(file: PictureFile) -> Found | DataError:
            try:
                with self.source.opened(file) as stream:
                    return read(file, stream)
            except DataError as error:
                return error
            except DAMAGE as error:
                return DataError(f"cannot be read: {error}")

        for start in range(0, len(files), _AT_A_TIME):
            yield from self.pool.map(one, files[start : start + _AT_A_TIME])


class _Done(NamedTuple):
    """What happened to a picture."""

    changes: tuple[str, ...]
    grey: bool
    opaque: bool


class _Reading:
    """Decodes pictures into their places of one array.

    Parameters
    ----------
    files : sequence of PictureFile
        Where pictures are.
    looks : mapping of str to Look
        Headers by name, of those that can be read.
    form : PictureForm
        What they are brought to.
    """

    def __init__(
        self, files: Sequence[PictureFile], looks: Mapping[str, Look], form: PictureForm
    ) -> None:
        self.files = [file for file in files if file.name in looks]
        self.looks, self.form = looks, form
        self.tiles = {name: form.tiles(look.height, look.width) for name, look in looks.items()}
        edges = np.cumsum([0, *(len(places) for places in self.tiles.values())]).tolist()
        self.rows = dict(zip(self.tiles, pairwise(edges), strict=True))
        shape = (edges[-1], form.height, form.width, form.n_channels)
        self.pixels = _space(shape, form.dtype)
        self.alone = threading.Lock()

    def run(self, workers: _Workers) -> tuple[dict[str, _Done], dict[str, str]]:
        """Decode all; return what was done by name, and what was wrong."""
        return _parted(self.files, workers.each(self._place, self.files))

    def _place(self, file: PictureFile, stream: IO[bytes]) -> _Done:
        look = self.looks[file.name]
        large = look.height * look.width > _LARGE_PIXELS or file.n_bytes() > _LARGE_BYTES
        with self.alone if large else contextlib.nullcontext():
            found = decode(stream, self.form)
            start, stop = self.rows[file.name]
            if len(found.pixels) != stop - start:
                raise DataError("was changed while it was read")
            self.pixels[start:stop] = found.pixels
        return _Done(found.changes, found.grey, found.opaque)


def _space(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Pixels:
    """Return an empty array: in memory, or mapped from a temporary file if it is large."""
    needed = math.prod(shape) * dtype.itemsize
    if needed <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="autoencode-") as file:
            if hasattr(os, "posix_fallocate"):
                # A full disk is said now: a write to the map could only kill the process.
                os.posix_fallocate(file.fileno(), 0, needed)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise DataError(
            f"the decoded pictures need {needed / 2**30:.1f} GiB of temporary space in "
            f"{tempfile.gettempdir()}: {error.strerror or error}; choose a smaller --size, or "
            "another place (TMPDIR)"
        ) from error


def _compacted(pixels: Pixels, spans: Sequence[tuple[int, int]]) -> Pixels:
    """Move the rows of some spans to the front, and return these."""
    filled = 0
    for start, stop in spans:
        if start != filled:
            for row in range(start, stop):
                pixels[filled + row - start] = pixels[row]
        filled += stop - start
    return pixels[:filled]


def _narrowed(
    pixels: Pixels, form: PictureForm, *, grey: bool, opaque: bool
) -> tuple[PictureForm, Pixels]:
    """Leave out channels that say nothing, and bits that cannot be written."""
    colour, alpha = form.colour and not grey, form.alpha and not opaque
    if form.alpha and not alpha:
        pixels = pixels[..., :-1]
    if form.colour and not colour:
        pixels = pixels[..., ::3]
    bits = 8 if colour or alpha else form.bits
    if bits < form.bits:
        shallow = _space(pixels.shape, np.dtype(np.uint8))
        for row, picture in enumerate(pixels):
            shallow[row] = np.rint(picture / DEPTH)
        pixels = shallow
    form = replace(form, colour=colour, alpha=alpha, bits=bits)
    if form.n_channels == 1:
        pixels = pixels[..., 0]
    return form, pixels if isinstance(pixels, np.memmap) else np.ascontiguousarray(pixels)


def _summary(
    n_pictures: int,
    n_rows: int,
    form: PictureForm,
    changes: Mapping[str, int],
    more: Sequence[str],
) -> str:
    count = f"{n_pictures:,} picture{'' if n_pictures == 1 else 's'}"
    if form.fit == "tile":
        count += f" as {n_rows:,} tile{'' if n_rows == 1 else 's'} of"
    else:
        count += " as"
    said = [f"{times:,} {change}" for change, times in sorted(changes.items())]
    return "; ".join([f"{count} {form.describe()}", *said, *more])


def _left_out(bad: Mapping[str, str]) -> list[str]:
    return [f"{len(bad):,} left out"] if bad else []


def _passed_over(unread: Mapping[str, int]) -> list[str]:
    """Say which pictures are of formats that are not read."""
    return [f"{times:,} {suffix} passed over" for suffix, times in sorted(unread.items())]
