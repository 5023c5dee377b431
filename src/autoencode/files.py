"""Writing files and folders so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from autoencode.errors import DataError

__all__ = ["replacing", "replacing_folder", "require_absent"]

_MOST_SYNCED = 16


def require_absent(path: str | os.PathLike[str], *, force: bool) -> None:
    """Refuse to overwrite an existing file unless told to.

    Parameters
    ----------
    path : path
        The file about to be written.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    DataError
        If the file exists and ``force`` is false.
    """
    if os.path.exists(path) and not force:
        raise DataError(f"{os.fspath(path)} exists; pass --force to replace it")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it over ``path`` at the end.

    Nothing appears under ``path`` unless the body finished and the bytes reached
    the disk; on any error the temporary file is removed.

    Parameters
    ----------
    path : path
        Where the finished file goes; its folder must exist. A link stays: what it points to is
        replaced.

    Yields
    ------
    Path
        The temporary name (same suffix as ``path``) to write to.

    Raises
    ------
    DataError
        If the file cannot be written (missing folder, no permission, full disk).
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise DataError(f"cannot write {path}: it is no regular file")
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {path}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: str | os.PathLike[str], names: Collection[str], *, force: bool
) -> Iterator[Path]:
    """Yield a temporary folder beside ``path`` and rename it to ``path`` at the end.

    Nothing appears under ``path`` unless the body finished and the bytes reached
    the disk; on any error the temporary folder is removed. A folder that is replaced
    is gone for a moment: no system call that every system has swaps two of them.

    Parameters
    ----------
    path : path
        Where the finished folder goes; its own folder must exist.
    names : collection of str
        The files that the body writes, those in subfolders with ``/``. Only a folder that
        holds nothing else is ever replaced.
    force : bool
        Whether an existing folder may be replaced.

    Yields
    ------
    Path
        The temporary folder, empty.

    Raises
    ------
    DataError
        If something stands under ``path`` that may not be replaced, or the folder
        cannot be written (missing folder, no permission, full disk).
    """
    target = Path(os.path.abspath(path))
    temporary = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    retired = temporary.with_name(f"{temporary.name}-old")
    replaces = os.path.lexists(target)
    if replaces:
        require_absent(path, force=force)
        _require_only(target, names)
    try:
        temporary.mkdir()
        yield temporary
        _sync(temporary, names)
        if replaces:
            os.rename(target, retired)
        try:
            os.rename(temporary, target)
        except OSError:
            if replaces:
                os.rename(retired, target)
            raise
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        for folder in (temporary, retired):
            _remove(folder, names)


def _require_only(folder: Path, names: Collection[str]) -> None:
    """Refuse to replace anything but a folder of these files."""
    if folder.is_symlink() or not folder.is_dir():
        raise DataError(f"{folder} is not a folder; choose another name")
    known = set(names) | _subfolders(names)
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    if others := sorted(set(found) - known):
        raise DataError(f"{folder} also holds {others[0]!r}; choose a folder that may be replaced")


def _subfolders(names: Collection[str]) -> set[str]:
    above = {parent.as_posix() for name in names for parent in PurePosixPath(name).parents}
    return above - {"."}


def _sync(folder: Path, names: Collection[str]) -> None:
    if len(names) > _MOST_SYNCED and hasattr(os, "sync"):
        # One by one they would take milliseconds each.
        os.sync()
        return
    for name in names:
        with open(folder / name, "rb+") as written:
            os.fsync(written.fileno())


def _remove(folder: Path, names: Collection[str]) -> None:
    """Remove these files, their subfolders and the folder, if that leaves them empty."""
    with contextlib.suppress(OSError):
        for name in names:
            (folder / name).unlink(missing_ok=True)
        for subfolder in sorted(_subfolders(names), reverse=True):
            if (folder / subfolder).is_dir():
                (folder / subfolder).rmdir()
        folder.rmdir()
