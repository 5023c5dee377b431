"""The errors that a user meets; each is a ``ValueError`` with one clear line."""

from __future__ import annotations

__all__ = ["AutoencodeError", "DataError", "ModelFileError", "SpecError"]


class AutoencodeError(ValueError):
    """Base of every error this package raises on purpose."""


class DataError(AutoencodeError):
    """The data, a column or a file of data cannot be used as given."""


class SpecError(AutoencodeError):
    """An option, or the name of a part, is not one of the allowed values."""


class ModelFileError(AutoencodeError):
    """A model file is missing, damaged, from another version or not trusted."""
