"""Where pictures are: a folder, a ``.zip`` file, or one picture by itself."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from autoencode.errors import DataError

__all__ = [
    "KNOWN_PICTURES",
    "PictureFile",
    "PictureSource",
    "holds_pictures",
    "is_picture_name",
    "require_inside",
]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp")
UNREAD_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".ico", ".ppm", ".pgm", ".pbm"),
    *(".dng", ".cr2", ".nef", ".arw", ".exr"),
)
"""Pictures of other formats: they are passed over, but not in silence."""
KNOWN_PICTURES = "PNG, JPEG, TIFF, WebP, GIF or BMP"
MOST_FILE_BYTES = 1 << 29
UNPACKED_BYTES = 1 << 26
"""A packed file of more bytes is unpacked while it is decoded, not before."""


@dataclass(frozen=True)
class PictureFile:
    """One picture that was not opened yet.

    Attributes
    ----------
    name : str
        Its path below the folder or inside the archive, with ``/``.
    path : Path or None
        Where it is; None inside an archive.
    member : zipfile.ZipInfo or None
        Inside an archive: which member it is.
    """

    name: str
    path: Path | None = None
    member: zipfile.ZipInfo | None = None

    def n_bytes(self) -> int:
        """Return its size, unpacked."""
        if self.member is not None:
            return self.member.file_size
        assert self.path is not None
        return self.path.stat().st_size


@dataclass
class PictureSource:
    """The pictures of a folder or an archive, by their names in order; close it after use.

    Attributes
    ----------
    files : list of PictureFile
        At least one.
    unread : Counter of str
        How many files there are of each picture format that cannot be read, by suffix.
    """

    files: list[PictureFile]
    unread: Counter[str] = field(default_factory=Counter)
    archive: zipfile.ZipFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.archive is not None:
            self.archive.close()

    @contextlib.contextmanager
    def opened(self, file: PictureFile) -> Iterator[IO[bytes]]:
        """Open a picture's bytes, from any thread.

        Raises
        ------
        DataError
            If it is empty, too large or encrypted.
        """
        size = file.n_bytes()
        if not size:
            raise DataError("is empty")
        if size > MOST_FILE_BYTES:
            raise DataError(f"has {size:,} bytes; a picture may have {MOST_FILE_BYTES:,}")
        if file.path is not None:
            with file.path.open("rb") as stream:
                yield stream
            return
        assert self.archive is not None
        assert file.member is not None
        if file.member.flag_bits & 1:
            raise DataError("is encrypted; unpack the archive and name the folder")
        with self.archive.open(file.member) as packed:
            # Some formats are read back and forth, which a packed file bears badly.
            yield io.BytesIO(packed.read()) if size <= UNPACKED_BYTES else packed

    @classmethod
    def of(cls, path: Path) -> PictureSource:
        """Find the pictures that a path leads to.

        Parameters
        ----------
        path : Path
            A folder (subfolders included; what begins with ``.`` is passed over), a
            ``.zip`` file, or a picture.

        Raises
        ------
        DataError
            If there are none, or an archive is damaged or not to be trusted.
        """
        if path.is_dir():
            return _of_folder(path)
        if path.suffix.lower() == ".zip":
            return _of_archive(path)
        return cls([PictureFile(path.name, path)])


def is_picture_name(name: str) -> bool:
    """Tell whether a name ends as that of a picture that can be read."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def holds_pictures(path: Path) -> bool:
    """Tell whether a path is that of a picture, a ``.zip`` file, or a folder with pictures."""
    if path.is_dir():
        return any(
            is_picture_name(file.name) and _seen(file.relative_to(path).as_posix())
            for file in path.rglob("*")
        )
    return is_picture_name(path.name) or path.suffix.lower() == ".zip"


def _of_folder(folder: Path) -> PictureSource:
    names = {
        name: path
        for path in folder.rglob("*")
        if _seen(name := path.relative_to(folder).as_posix()) and path.is_file()
    }
    files = [PictureFile(name, names[name]) for name in sorted(names) if is_picture_name(name)]
    return PictureSource(_some(files, "folder"), _unread(list(names)))


def _of_archive(path: Path) -> PictureSource:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise DataError(f"is not a whole .zip file: {error}") from error
    try:
        members = [member for member in archive.infolist() if not member.is_dir()]
        for member in members:
            require_inside(member.filename)
        seen = [member for member in members if _seen(member.filename)]
        pictures = sorted(
            (member for member in seen if is_picture_name(member.filename)),
            key=lambda member: member.filename,
        )
        twice = [name for name, n in Counter(m.filename for m in pictures).items() if n > 1]
        if twice:
            raise DataError(f"holds {twice[0]!r} twice; pack it again")
        files = [PictureFile(member.filename, None, member) for member in pictures]
        names = [member.filename for member in seen]
        return PictureSource(_some(files, "archive"), _unread(names), archive)
    except DataError:
        archive.close()
        raise


def require_inside(name: str) -> None:
    """Refuse a name that leads out of a folder: pictures are written under their names.

    Parameters
    ----------
    name : str
        A path with ``/``, as archives and tables of codes hold it.

    Raises
    ------
    DataError
        If it is absolute, goes up, or is not plain.
    """
    parts = name.replace("\\", "/").split("/")
    bad = not name or "\0" in name or "\\" in name or {"", ".", ".."} & set(parts)
    if bad or ":" in parts[0]:
        raise DataError(
            f"holds {name!r}, which leads out of the folder that pictures are written to; name "
            "them relative to it"
        )


def _seen(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _unread(names: list[str]) -> Counter[str]:
    suffixes = (Path(name).suffix.lower() for name in names)
    return Counter(suffix for suffix in suffixes if suffix in UNREAD_SUFFIXES)


def _some(files: list[PictureFile], what: str) -> list[PictureFile]:
    if not files:
        raise DataError(
            f"is {'an' if what == 'archive' else 'a'} {what} without pictures "
            f"({', '.join('*' + suffix for suffix in PICTURE_SUFFIXES)})"
        )
    return files
