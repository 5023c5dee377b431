"""The model file: one safetensors file that holds the weights and a JSON header.

The layout is that of safetensors: 8 bytes with the length of a JSON text, that
text, then the tensors' bytes one after another. Its ``__metadata__`` has two
entries. ``autoencode`` is the model's header as JSON text. ``checksum`` comes
first in the file, so that its place is fixed, and is the BLAKE2b-256 digest (64
lower-case hex digits) of the whole file with these digits replaced by zeros; its
place and kind stay the same in every later format version. Reading executes
nothing from the file, and allocates nothing before the declared sizes were found
equal to the file's own.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from io import BufferedReader
from typing import Any, NamedTuple

import numpy.typing as npt

from autoencode._version import __version__
from autoencode.files import replacing, require_absent
from autoencode.strict_json import read_json, write_json
from autoencode.tensor_file import (
    LENGTH_BYTES,
    Tensor,
    UnusableError,
    arrays_in_file_order,
    checked_spans,
    declared_tensor,
    opened,
    packed_head,
    raw_bytes,
    read_head,
    read_tensor,
)

__all__ = ["FORMAT_VERSION", "read_header", "read_model", "write_model"]

FORMAT_VERSION = 2

_CHUNK_BYTES = 1 << 20
_PREFIX = b'{"__metadata__":{"checksum":"'
_CHECKSUM_START = LENGTH_BYTES + len(_PREFIX)
_CHECKSUM_END = _CHECKSUM_START + 64
_ZEROS = "0" * 64


class _Container(NamedTuple):
    """What a file says about itself, checked; tensors are in the file's order."""

    header: dict[str, Any]
    tensors: list[Tensor]
    data_start: int


def write_model(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    force: bool = True,
) -> None:
    """Write a header and tensors as one model file, whole or not at all.

    The same content always gives the same bytes, whatever the order of the keys.

    Parameters
    ----------
    path : path
        The file to write; its folder must exist.
    header : mapping
        Text, finite numbers, booleans, None, lists and mappings with text keys,
        nested as needed. NumPy scalars become plain numbers and tuples lists.
        ``format_version`` and ``package_version`` are set to this package's own.
    tensors : mapping of str to array
        Arrays of bool, uint8, int32, int64, float32 or float64, of any shape,
        byte order and memory layout.
    force : bool, default=True
        Whether an existing file may be replaced.

    Raises
    ------
    SpecError
        If the header or a tensor holds something that the file cannot.
    DataError
        If the file exists and ``force`` is false, or cannot be written.
    """
    versions = {"format_version": FORMAT_VERSION, "package_version": __version__}
    text = write_json({**header, **versions}, "the model's header")
    arrays = arrays_in_file_order(tensors)
    head = packed_head({"checksum": _ZEROS, "autoencode": text}, arrays)
    digest = _new_digest()
    digest.update(head)
    for array in arrays.values():
        digest.update(raw_bytes(array))
    checksum = digest.hexdigest().encode("ascii")
    require_absent(path, force=force)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(head[:_CHECKSUM_START] + checksum + head[_CHECKSUM_END:])
        for array in arrays.values():
            file.write(raw_bytes(array))


def read_model(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a model file after checking every byte of it.

    Parameters
    ----------
    path : path
        A file written by `write_model`.

    Returns
    -------
    header : dict
        The header, with ``format_version`` and ``package_version``.
    tensors : dict of str to array
        Arrays in C order that own their memory.

    Raises
    ------
    ModelFileError
        If the file is missing, unreadable, not a model, truncated, damaged or
        written in a newer format.
    """
    with opened(path) as file:
        container = _read_container(file)
        file.seek(container.data_start)
        return container.header, {t.name: read_tensor(file, t) for t in container.tensors}


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a model file's header, checking the whole file but keeping no tensor.

    Parameters
    ----------
    path : path
        A file written by `write_model`.

    Returns
    -------
    dict
        The header, with ``format_version`` and ``package_version``.

    Raises
    ------
    ModelFileError
        As `read_model`.
    """
    with opened(path) as file:
        return _read_container(file).header


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32)


def _read_container(file: BufferedReader) -> _Container:
    """Read and check everything but the tensors' values, in memory that the header bounds."""
    head = read_head(file, _PREFIX, "a model file")
    outer = _parse_head(head)
    metadata = outer.pop("__metadata__")
    spans = checked_spans(outer, file, len(head))
    _verify_checksum(file, head)
    header = _parse_header(metadata["autoencode"])
    tensors = [declared_tensor(span, outer[span.name]) for span in spans]
    return _Container(header, tensors, len(head))


def _parse_head(head: bytes) -> dict[str, Any]:
    """Parse the safetensors header and make sure that it is one of ours."""
    ours = head.startswith(_PREFIX, LENGTH_BYTES)
    try:
        outer: dict[str, Any] = read_json(head[LENGTH_BYTES:].decode("utf-8"))
    except ValueError as error:
        reason = "is damaged (its header is not valid JSON)" if ours else "is not a model file"
        raise UnusableError(reason) from error
    metadata = outer.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("autoencode"), str):
        raise UnusableError("is a safetensors file but not an autoencode model")
    if not ours:
        raise UnusableError("is damaged (its checksum is not in its place)")
    return outer


def _verify_checksum(file: BufferedReader, head: bytes) -> None:
    """Compare the stored digest with that of the file; ``file`` stands after the head."""
    digest = _new_digest()
    digest.update(head[:_CHECKSUM_START] + _ZEROS.encode("ascii") + head[_CHECKSUM_END:])
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    if digest.hexdigest().encode("ascii") != head[_CHECKSUM_START:_CHECKSUM_END]:
        raise UnusableError("is damaged (checksum does not match)")


def _parse_header(text: str) -> dict[str, Any]:
    """Parse the model's own header and refuse another format."""
    try:
        header = read_json(text)
    except ValueError as error:
        raise UnusableError("is damaged (its model header is not valid JSON)") from error
    if not isinstance(header, dict):
        raise UnusableError("is damaged (its model header is not a mapping)")
    version, package = header.get("format_version"), header.get("package_version")
    if not isinstance(package, str) or not re.fullmatch(r"[\w.+!-]{1,64}", package, re.ASCII):
        raise UnusableError("is damaged (it does not say which version wrote it)")
    if type(version) is not int or not 1 <= version <= sys.maxsize:
        raise UnusableError("is damaged (its format version is not a number from 1 up)")
    if version != FORMAT_VERSION:
        advice = "upgrade autoencode" if version > FORMAT_VERSION else "fit again"
        ours = f"this is autoencode {__version__}, which reads format {FORMAT_VERSION}: {advice}"
        theirs = f"was written by autoencode {package} in file format {version}"
        raise UnusableError(f"{theirs}; {ours}")
    return header
