"""safetensors files: the container that models and other projects' dictionaries share.

8 bytes with the length of a JSON text, that text, then the tensors' bytes one after
another. Reading executes nothing from the file, and allocates nothing before the
declared sizes were found equal to the file's own.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from autoencode.errors import ModelFileError, SpecError
from autoencode.strict_json import read_json

__all__ = [
    "DTYPES",
    "LENGTH_BYTES",
    "MAX_HEADER_BYTES",
    "Span",
    "Tensor",
    "UnusableError",
    "arrays_in_file_order",
    "checked_spans",
    "declared_tensor",
    "opened",
    "packed_head",
    "raw_bytes",
    "read_head",
    "read_tensor",
    "read_tensors",
    "write_tensors",
]

LENGTH_BYTES = 8
# The limit of the safetensors library itself: a longer header is no safetensors file.
MAX_HEADER_BYTES = 100_000_000
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}

_Array = npt.NDArray[Any]
_MAX_DIMENSIONS = 64  # NumPy's own limit
_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_BFLOAT16 = "BF16"
# NumPy has no bfloat16: it is read as the upper halves of float32.
_FOREIGN_DTYPES = {**DTYPES, "F16": np.dtype("<f2"), _BFLOAT16: np.dtype("<u2")}


class UnusableError(Exception):
    """Why a file cannot be used, as the words that follow its name."""


class Span(NamedTuple):
    """The bytes of one tensor, counted from the start of the tensors."""

    begin: int
    end: int
    name: str


class Tensor(NamedTuple):
    """One tensor as the file declares it, checked."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def read_tensors(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Read the tensors of any safetensors file, whoever wrote it.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict of str to array
        Arrays in C order that own their memory. float16 and bfloat16 come as float32,
        which holds them exactly.

    Raises
    ------
    ModelFileError
        If the file is missing, unreadable, not of this format, truncated or damaged, or
        holds another type than bool, uint8, int32, int64, float16, bfloat16, float32
        and float64.
    """
    with opened(path) as file:
        head = read_head(file, b"{", "a safetensors file")
        try:
            outer = read_json(head[LENGTH_BYTES:].decode("utf-8"))
        except ValueError as error:
            raise UnusableError("is damaged (its header is not valid JSON)") from error
        outer.pop("__metadata__", None)
        tensors = {}
        for span in checked_spans(outer, file, len(head)):
            entry = outer[span.name]
            array = read_tensor(file, declared_tensor(span, entry, _FOREIGN_DTYPES))
            if entry["dtype"] == _BFLOAT16:
                array = (array.astype("<u4") << 16).view("<f4")
            tensors[span.name] = array.astype(np.float32) if array.dtype == "<f2" else array
        return tensors


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write tensors as a safetensors file without metadata.

    Parameters
    ----------
    path : path
        A name that nobody else knows yet: whoever reads it meanwhile sees half a file.
    tensors : mapping of str to array
        Arrays of bool, uint8, int32, int64, float32 or float64.

    Raises
    ------
    SpecError
        If a tensor has another type or a name that the format cannot hold.
    OSError
        If the file cannot be written.
    """
    arrays = arrays_in_file_order(tensors)
    with open(path, "wb") as file:
        file.write(packed_head({}, arrays))
        for array in arrays.values():
            file.write(raw_bytes(array))


def raw_bytes(array: npt.NDArray[Any]) -> memoryview:
    """See a contiguous array of any shape as its bytes, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def arrays_in_file_order(tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
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


def packed_head(metadata: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Build everything before the tensors' bytes; ``metadata`` comes first, if there is any."""
    outer: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        outer[name] = {
            "dtype": _DTYPE_NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    packed = json.dumps(outer, separators=(",", ":")).encode("ascii")
    packed += b" " * (-len(packed) % LENGTH_BYTES)
    if len(packed) > MAX_HEADER_BYTES:
        raise SpecError(
            f"the file's header takes {len(packed)} bytes; at most {MAX_HEADER_BYTES} are allowed"
        )
    return len(packed).to_bytes(LENGTH_BYTES, "little") + packed


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """Open a file to read, and turn whatever goes wrong into one line that names it.

    Parameters
    ----------
    path : path
        The file.

    Yields
    ------
    BufferedReader
        The open file; an `UnusableError` of the body becomes a `ModelFileError`.

    Raises
    ------
    ModelFileError
        If the file is missing, not a regular file, or cannot be read or used.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for a writer
            raise UnusableError(f"is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ModelFileError(f"{name}: no such file") from error
    except OSError as error:
        raise ModelFileError(f"{name} cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise ModelFileError(f"{name} needs more memory than there is") from error
    except UnusableError as error:
        raise ModelFileError(f"{name} {error}") from error


def read_head(file: BufferedReader, prefix: bytes, what: str) -> bytes:
    """Read the length and the JSON text that it declares, if the text may begin with ``prefix``.

    ``what`` names the kind of file in an error message: ``a model file``.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise UnusableError("is empty")
    start = file.read(LENGTH_BYTES + len(prefix))
    if start[LENGTH_BYTES : LENGTH_BYTES + 1] != prefix[:1]:
        raise UnusableError(f"is not {what}")
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if length > min(size - LENGTH_BYTES, MAX_HEADER_BYTES):
        if not prefix.startswith(start[LENGTH_BYTES:]):
            raise UnusableError(f"is not {what}")
        if length > MAX_HEADER_BYTES:
            raise UnusableError(f"is damaged (it declares a header of {length} bytes)")
        raise UnusableError(
            f"is truncated: its header alone takes {LENGTH_BYTES + length} bytes, "
            f"the file has {size}"
        )
    file.seek(0)
    head = file.read(LENGTH_BYTES + length)
    if len(head) != LENGTH_BYTES + length:
        raise UnusableError("changed while it was read")
    return head


def checked_spans(entries: Mapping[str, Any], file: BufferedReader, data_start: int) -> list[Span]:
    """Return where each tensor stands, in order: without gaps, up to the file's very end."""
    spans = []
    for name, entry in entries.items():
        match entry:
            case {"data_offsets": [begin, end]} if _are_sizes(begin, end) and begin <= end:
                spans.append(Span(begin, end, name))
            case _:
                raise _damaged_tensor(name, "has no valid offsets")
    spans.sort()
    position = 0
    for span in spans:
        if span.begin != position:
            raise _damaged_tensor(span.name, f"does not start where byte {position} ends the last")
        position = span.end
    declared, size = data_start + position, os.fstat(file.fileno()).st_size
    if size < declared:
        raise UnusableError(f"is truncated: header declares {declared} bytes, the file has {size}")
    if size > declared:
        raise UnusableError(f"is damaged ({size - declared} bytes follow its end)")
    return spans


def declared_tensor(
    span: Span, entry: Mapping[str, Any], dtypes: Mapping[str, np.dtype[Any]] = DTYPES
) -> Tensor:
    """Check one tensor's type and shape against the bytes that it takes."""
    if entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged_tensor(span.name, "is not described by dtype, shape and data_offsets")
    dtype_name, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype_name, str) or dtype_name not in dtypes:
        raise _damaged_tensor(span.name, "has an unknown dtype")
    dtype = dtypes[dtype_name]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMENSIONS or not _are_sizes(*shape):
        raise _damaged_tensor(span.name, "has no valid shape")
    # NumPy counts a zero as one when it looks for overflow, so an empty shape has a limit too.
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > sys.maxsize:
        raise _damaged_tensor(span.name, "has a shape too large for any machine")
    if math.prod(shape) * dtype.itemsize != span.end - span.begin:
        raise _damaged_tensor(span.name, "has a shape that does not match its bytes")
    return Tensor(span.name, dtype, tuple(shape))


def read_tensor(file: BufferedReader, tensor: Tensor) -> npt.NDArray[Any]:
    """Read the next tensor of the file."""
    array: _Array = np.empty(tensor.shape, tensor.dtype)
    if file.readinto(raw_bytes(array)) != array.nbytes:
        raise UnusableError("changed while it was read")
    if tensor.dtype == np.bool_ and (array.view(np.uint8) > 1).any():
        raise _damaged_tensor(tensor.name, "has booleans other than 0 and 1")
    return array


def _has_lone_surrogate(text: str) -> bool:
    """Whether the text has no UTF-8 form, which safetensors needs."""
    return text.encode("utf-8", "replace").decode("utf-8") != text


def _damaged_tensor(name: str, reason: str) -> UnusableError:
    return UnusableError(f"is damaged (tensor {name[:80]!r} {reason})")


def _are_sizes(*values: Any) -> bool:
    """Whether parsed JSON values are integers that can count bytes; ``true`` is not."""
    return all(type(value) is int and 0 <= value <= sys.maxsize for value in values)
