"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from autoencode.errors import DataError

__all__ = ["replacing", "require_absent"]


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
        Where the finished file goes; its folder must exist.

    Yields
    ------
    Path
        The temporary name (same suffix as ``path``) to write to.

    Raises
    ------
    DataError
        If the file cannot be written (missing folder, no permission, full disk).
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot write {target}: {reason}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
