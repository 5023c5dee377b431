"""A model that a compressed file refers to: by its hash, or within it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from autoencode.compression.container import Section
from autoencode.compression.plans import require
from autoencode.compression.shared_model import SharedModel
from autoencode.errors import DataError

__all__ = ["COLUMNS", "NETWORK", "Finder", "ModelFile", "ModelNote", "finder", "open_model"]

SECTION = b"MODL"
# A model of columns, with which blocks are coded; a fitted autoencoder, of whose codes they are.
COLUMNS, NETWORK = "columns", "autoencoder"
_LARGEST_MODEL = 1 << 32


@dataclass(frozen=True)
class ModelNote:
    """What a header says about a model.

    Attributes
    ----------
    kind : {"columns", "autoencoder"}
        What it is.
    name : str
        Of the file that it was, for messages.
    sha256 : str
        Of its bytes.
    embedded : bool
        Whether it follows the header.
    """

    kind: str
    name: str
    sha256: str
    embedded: bool

    def to_json(self) -> dict[str, Any]:
        """Return what the header says."""
        found = {"kind": self.kind, "name": self.name, "sha256": self.sha256}
        return {**found, "embedded": True} if self.embedded else found

    @classmethod
    def from_json(cls, value: Any) -> ModelNote | None:
        """Read what ``to_json`` returned, checked; None if there is no model."""
        if value is None:
            return None
        require(isinstance(value, Mapping), "what its header says of a model is not understood")
        kind, name, sha256 = (value.get(key) for key in ("kind", "name", "sha256"))
        fine = kind in (COLUMNS, NETWORK) and isinstance(name, str) and isinstance(sha256, str)
        require(fine and len(sha256) == 64, "what its header says of a model is not understood")
        return cls(kind, name, sha256, value.get("embedded") is True)


@dataclass(frozen=True)
class ModelFile:
    """A model's bytes.

    Attributes
    ----------
    name : str
        Of the file.
    content : bytes
        All of it.
    """

    name: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """The hash of its bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def columns(self) -> SharedModel:
        """The model of columns that it is.

        Raises
        ------
        DataError
            If it is none.
        """
        try:
            return SharedModel.from_bytes(self.content)
        except DataError as error:
            raise DataError(f"{self.name}: {error}") from error

    def note(self, kind: str, *, embedded: bool) -> ModelNote:
        """Return what a header says of it."""
        return ModelNote(kind, self.name, self.sha256, embedded)


def open_model(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model.

    Raises
    ------
    DataError
        If there is no such file, or it is too large to be one.
    """
    try:
        if os.stat(path).st_size > _LARGEST_MODEL:
            raise DataError(f"{os.fspath(path)}: is too large for a model")
        return ModelFile(Path(path).name, Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror or error}") from error


# Gives the model that a header names, or says why not; None where none is named.
Finder: TypeAlias = Callable[[ModelNote | None], ModelFile | None]


def finder(following: Callable[[], Section], given: ModelFile | None) -> Finder:
    """Return what finds a file's model.

    Parameters
    ----------
    following : callable
        Reads the section after the header.
    given : ModelFile or None
        What the user handed over.

    Returns
    -------
    callable
        Raises DataError with the name and the hash of the model that is wanted, if it is not
        there. Without the network of codes blocks can be read all the same.
    """

    def find(note: ModelNote | None) -> ModelFile | None:
        if note is None:
            return None
        found = given
        if note.embedded:
            section = following()
            require(section.kind == SECTION, "its model is missing")
            found = ModelFile(note.name, section.payload)
            require(found.sha256 == note.sha256, "the model within it is not the one it names")
        elif given is None:
            if note.kind == NETWORK:
                return None
            raise DataError(missing(note))
        elif given.sha256 != note.sha256:
            raise DataError(
                f"needs the model {note.name} with SHA-256 {note.sha256}; "
                f"{given.name} has {given.sha256}"
            )
        return found

    return find


def missing(note: ModelNote) -> str:
    """Return the message about a model that was not given."""
    return f"needs the model {note.name} (SHA-256 {note.sha256}); say where it is with --model"
