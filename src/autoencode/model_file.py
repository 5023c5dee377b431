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

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autoencode._version import __version__
from autoencode.errors import ModelFileError, SpecError
from autoencode.files import replacing, require_absent
from autoencode.strict_json import read_json, write_json

__all__ = ["FORMAT_VERSION", "read_header", "read_model", "write_model"]

FORMAT_VERSION = 2

_Array = npt.NDArray[Any]
_LENGTH_BYTES = 8
# The limit of the safetensors library itself: a longer header is no safetensors file.
_MAX_HEADER_BYTES = 100_000_000
_MAX_DIMENSIONS = 64  # NumPy's own limit
_CHUNK_BYTES = 1 << 20
_PREFIX = b'{"__metadata__":{"checksum":"'
_CHECKSUM_START = _LENGTH_BYTES + len(_PREFIX)
_CHECKSUM_END = _CHECKSUM_START + 64
_ZEROS = "0" * 64
_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class _UnusableError(Exception):
    """Why a file cannot be used, as the words that follow its name."""


class _Span(NamedTuple):
    """The bytes of one tensor, counted from the start of the tensors."""

    begin: int
    end: int
    name: str


class _Tensor(NamedTuple):
    """One tensor as the file declares it, checked."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class _Container(NamedTuple):
    """What a file says about itself, checked; tensors are in the file's order."""

    header: dict[str, Any]
    tensors: list[_Tensor]
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
    arrays = _arrays_in_file_order(tensors)
    head = _head(text, arrays)
    digest = _new_digest()
    digest.update(head)
    for array in arrays.values():
        digest.update(_raw_bytes(array))
    checksum = digest.hexdigest().encode("ascii")
    require_absent(path, force=force)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(head[:_CHECKSUM_START] + checksum + head[_CHECKSUM_END:])
        for array in arrays.values():
            file.write(_raw_bytes(array))


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
    with _opened(path) as file:
        container = _read_container(file)
        file.seek(container.data_start)
        return container.header, {t.name: _read_tensor(file, t) for t in container.tensors}


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
    with _opened(path) as file:
        return _read_container(file).header


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32)


def _raw_bytes(array: _Array) -> memoryview:
    """See a contiguous array of any shape as its bytes, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _arrays_in_file_order(tensors: Mapping[str, _Array]) -> dict[str, _Array]:
    """Check the tensors and bring them into the file's byte order, layout and sequence."""
    arrays = {}
    for name, array in tensors.items():
        if not isinstance(name, str) or name == "__metadata__" or _has_lone_surrogate(name):
            raise SpecError(f"a tensor cannot be named {name!r}")
        if not isinstance(array, np.ndarray):
            raise SpecError(f"tensor {name!r} is a {type(array).__name__}, not a NumPy array")
        dtype = array.dtype.newbyteorder("<")
        if dtype not in _DTYPE_NAMES:
            allowed = ", ".join(allowed_dtype.name for allowed_dtype in _DTYPE_NAMES)
            raise SpecError(f"tensor {name!r} has dtype {array.dtype}; allowed: {allowed}")
        arrays[name] = np.asarray(array, dtype=dtype, order="C")
    # Widest items first keeps every tensor aligned to its own item size.
    return dict(sorted(arrays.items(), key=lambda pair: (-pair[1].itemsize, pair[0])))


def _has_lone_surrogate(text: str) -> bool:
    """Whether the text has no UTF-8 form, which safetensors needs."""
    return text.encode("utf-8", "replace").decode("utf-8") != text


def _head(text: str, arrays: Mapping[str, _Array]) -> bytes:
    """Build everything before the tensors' bytes, with zeros as the checksum."""
    outer: dict[str, Any] = {"__metadata__": {"checksum": _ZEROS, "autoencode": text}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        outer[name] = {
            "dtype": _DTYPE_NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    packed = json.dumps(outer, separators=(",", ":")).encode("ascii")
    packed += b" " * (-len(packed) % _LENGTH_BYTES)
    if len(packed) > _MAX_HEADER_BYTES:
        raise SpecError(
            f"the model's header takes {len(packed)} bytes; at most {_MAX_HEADER_BYTES} are allowed"
        )
    return len(packed).to_bytes(_LENGTH_BYTES, "little") + packed


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a file to read, and turn whatever goes wrong into one line that names it."""
    name = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for a writer
            raise _UnusableError(f"is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelFileError(f"{name}: no such file") from error
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise ModelFileError(f"{name} needs more memory than there is") from error
    except _UnusableError as error:
        raise ModelFileError(f"{name} {error}") from error


def _read_container(file: BufferedReader) -> _Container:
    """Read and check everything but the tensors' values, in memory that the header bounds."""
    size = os.fstat(file.fileno()).st_size
    head = _read_head(file, size)
    outer = _parse_head(head)
    metadata = outer.pop("__metadata__")
    spans = _spans(outer)
    declared = len(head) + (spans[-1].end if spans else 0)
    if size < declared:
        raise _UnusableError(f"is truncated: header declares {declared} bytes, the file has {size}")
    if size > declared:
        raise _UnusableError(f"is damaged ({size - declared} bytes follow its end)")
    _verify_checksum(file, head)
    header = _parse_header(metadata["autoencode"])
    tensors = [_declared_tensor(span, outer[span.name]) for span in spans]
    return _Container(header, tensors, len(head))


def _read_head(file: BufferedReader, size: int) -> bytes:
    """Read the length and the JSON text that it declares."""
    if size == 0:
        raise _UnusableError("is empty")
    start = file.read(_CHECKSUM_START)
    if start[_LENGTH_BYTES : _LENGTH_BYTES + 1] != _PREFIX[:1]:
        raise _UnusableError("is not a model file")
    length = int.from_bytes(start[:_LENGTH_BYTES], "little")
    if length > min(size - _LENGTH_BYTES, _MAX_HEADER_BYTES):
        if not _PREFIX.startswith(start[_LENGTH_BYTES:]):
            raise _UnusableError("is not a model file")
        if length > _MAX_HEADER_BYTES:
            raise _UnusableError(f"is damaged (it declares a header of {length} bytes)")
        raise _UnusableError(
            f"is truncated: its header alone takes {_LENGTH_BYTES + length} bytes, "
            f"the file has {size}"
        )
    file.seek(0)
    head = file.read(_LENGTH_BYTES + length)
    if len(head) != _LENGTH_BYTES + length:
        raise _UnusableError("changed while it was read")
    return head


def _parse_head(head: bytes) -> dict[str, Any]:
    """Parse the safetensors header and make sure that it is one of ours."""
    ours = head.startswith(_PREFIX, _LENGTH_BYTES)
    try:
        outer: dict[str, Any] = read_json(head[_LENGTH_BYTES:].decode("utf-8"))
    except ValueError as error:
        reason = "is damaged (its header is not valid JSON)" if ours else "is not a model file"
        raise _UnusableError(reason) from error
    metadata = outer.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("autoencode"), str):
        raise _UnusableError("is a safetensors file but not an autoencode model")
    if not ours:
        raise _UnusableError("is damaged (its checksum is not in its place)")
    return outer


def _spans(entries: Mapping[str, Any]) -> list[_Span]:
    """Return where each tensor stands, in order; they must follow each other without gaps."""
    spans = []
    for name, entry in entries.items():
        match entry:
            case {"data_offsets": [begin, end]} if _are_sizes(begin, end) and begin <= end:
                spans.append(_Span(begin, end, name))
            case _:
                raise _damaged_tensor(name, "has no valid offsets")
    spans.sort()
    position = 0
    for span in spans:
        if span.begin != position:
            raise _damaged_tensor(span.name, f"does not start where byte {position} ends the last")
        position = span.end
    return spans


def _verify_checksum(file: BufferedReader, head: bytes) -> None:
    """Compare the stored digest with that of the file; ``file`` stands after the head."""
    digest = _new_digest()
    digest.update(head[:_CHECKSUM_START] + _ZEROS.encode("ascii") + head[_CHECKSUM_END:])
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    while count := file.readinto(buffer):
        digest.update(buffer[:count])
    if digest.hexdigest().encode("ascii") != head[_CHECKSUM_START:_CHECKSUM_END]:
        raise _UnusableError("is damaged (checksum does not match)")


def _parse_header(text: str) -> dict[str, Any]:
    """Parse the model's own header and refuse another format."""
    try:
        header = read_json(text)
    except ValueError as error:
        raise _UnusableError("is damaged (its model header is not valid JSON)") from error
    if not isinstance(header, dict):
        raise _UnusableError("is damaged (its model header is not a mapping)")
    version, package = header.get("format_version"), header.get("package_version")
    if not isinstance(package, str) or not re.fullmatch(r"[\w.+!-]{1,64}", package, re.ASCII):
        raise _UnusableError("is damaged (it does not say which version wrote it)")
    if type(version) is not int or not 1 <= version <= sys.maxsize:
        raise _UnusableError("is damaged (its format version is not a number from 1 up)")
    if version != FORMAT_VERSION:
        advice = "upgrade autoencode" if version > FORMAT_VERSION else "fit again"
        ours = f"this is autoencode {__version__}, which reads format {FORMAT_VERSION}: {advice}"
        theirs = f"was written by autoencode {package} in file format {version}"
        raise _UnusableError(f"{theirs}; {ours}")
    return header


def _declared_tensor(span: _Span, entry: Mapping[str, Any]) -> _Tensor:
    """Check one tensor's type and shape against the bytes that it takes."""
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged_tensor(span.name, "is not described by dtype, shape and data_offsets")
    dtype_name, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype_name, str) or dtype_name not in _DTYPES:
        raise _damaged_tensor(span.name, "has an unknown dtype")
    dtype = _DTYPES[dtype_name]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not _are_sizes(*shape):
        raise _damaged_tensor(span.name, "has no valid shape")
    # NumPy counts a zero as one when it looks for overflow, so an empty shape has a limit too.
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > sys.maxsize:
        raise _damaged_tensor(span.name, "has a shape too large for any machine")
    if math.prod(shape) * dtype.itemsize != span.end - span.begin:
        raise _damaged_tensor(span.name, "has a shape that does not match its bytes")
    return _Tensor(span.name, dtype, tuple(shape))


def _read_tensor(file: BufferedReader, tensor: _Tensor) -> _Array:
    """Read the next tensor of the file."""
    array = np.empty(tensor.shape, tensor.dtype)
    if file.readinto(_raw_bytes(array)) != array.nbytes:
        raise _UnusableError("changed while it was read")
    if tensor.dtype == np.bool_ and (array.view(np.uint8) > 1).any():
        raise _damaged_tensor(tensor.name, "has booleans other than 0 and 1")
    return array


def _damaged_tensor(name: str, reason: str) -> _UnusableError:
    return _UnusableError(f"is damaged (tensor {name[:80]!r} {reason})")


def _are_sizes(*values: Any) -> bool:
    """Whether parsed JSON values are integers that can count bytes; ``true`` is not."""
    return all(type(value) is int and 0 <= value <= sys.maxsize for value in values)
