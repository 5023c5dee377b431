"""Pictures of a folder one by one, each at its own size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from autoencode.data.picture_decoding import decode, look_at
from autoencode.data.picture_files import PictureSource
from autoencode.data.picture_form import Look, PictureForm
from autoencode.errors import DataError

__all__ = ["PictureReader"]

_NAMED = 20


class PictureReader:
    """Reads pictures at their own sizes; close it after use.

    Only headers are read until a picture is asked for, and nothing is kept of it.

    Parameters
    ----------
    path : str
        A folder, a ``.zip`` file or one picture.

    Attributes
    ----------
    looks : dict of str to Look
        What headers say, by name, in order.
    bad : dict of str to str
        Names of pictures that cannot be read, and why.

    Raises
    ------
    DataError
        If there are none.
    """

    def __init__(self, path: str) -> None:
        self.source = PictureSource.of(Path(path))
        self.files = {file.name: file for file in self.source.files}
        self.looks: dict[str, Look] = {}
        self.bad: dict[str, str] = {}
        for name, file in self.files.items():
            try:
                with self.source.opened(file) as stream:
                    self.looks[name] = look_at(stream)
            except DataError as error:
                self.bad[name] = str(error)

    def require(self, *, skip_bad: bool) -> None:
        """Refuse pictures that cannot be read, or decode all of them to leave these out.

        Raises
        ------
        DataError
            If a header cannot be read; with ``skip_bad`` if no picture can be.
        """
        if skip_bad:
            for name in list(self.looks):
                try:
                    self.read(name, colour=False)
                except DataError as error:
                    self.bad[name] = str(error).removeprefix(f"{name} ")
                    del self.looks[name]
        if self.bad and not (skip_bad and self.looks):
            self._refuse()

    def _refuse(self) -> None:
        shown = "; ".join(f"{name} {reason}" for name, reason in list(self.bad.items())[:_NAMED])
        if not self.looks:
            raise DataError(f"no picture can be read: {shown}")
        raise DataError(
            f"{len(self.bad):,} of {len(self.files):,} pictures cannot be read (mend or remove "
            f"them; --skip-bad, where a command has it, leaves them out): {shown}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.source.__exit__(kind, error, traceback)

    @property
    def colour(self) -> bool:
        """Whether any picture has channels of colour."""
        return any(look.colour for look in self.looks.values())

    @property
    def deep(self) -> bool:
        """Whether all pictures are grey, and any has 16 bits."""
        return not self.colour and any(look.deep for look in self.looks.values())

    def sides(self) -> Sequence[int]:
        """Return the shorter side of each picture."""
        return [min(look.height, look.width) for look in self.looks.values()]

    def read(self, name: str, *, colour: bool, deep: bool = False, alpha: bool = False) -> Any:
        """Read one picture.

        Parameters
        ----------
        name : str
            One of those in `looks`.
        colour, alpha : bool
            Which channels it is to have.
        deep : bool
            16 bits instead of 8.

        Returns
        -------
        ndarray of shape (height, width), or (height, width, n_channels)
            uint8 or uint16.

        Raises
        ------
        DataError
            If it is damaged.
        """
        look = self.looks[name]
        bits = 16 if deep and not (colour or alpha) else 8
        form = PictureForm(look.height, look.width, colour=colour, alpha=alpha, bits=bits)
        try:
            with self.source.opened(self.files[name]) as stream:
                pixels: npt.NDArray[Any] = decode(stream, form).pixels[0]
        except DataError as error:
            raise DataError(f"{name} {error}") from error
        return np.ascontiguousarray(pixels[..., 0]) if form.n_channels == 1 else pixels
