"""Damaged, foreign and hostile files: each is one clear error and never a wrong model."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from autoencode import model_file, tensor_file
from autoencode._version import __version__
from autoencode.errors import ModelFileError
from autoencode.model_file import FORMAT_VERSION, read_header, read_model, write_model

CHECKSUM = slice(8 + len(b'{"__metadata__":{"checksum":"'), 8 + 29 + 64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a small model."""
    target = tmp_path / "model.safetensors"
    tensors = {
        "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
        "bias": np.array([0.5, np.nan]),
        "mask": np.array([True, False]),
        "empty": np.zeros((0, 5), dtype=np.int64),
    }
    write_model(target, {"estimator": "Autoencoder", "columns": ["größe", "b"]}, tensors)
    return target


def sealed(outer: dict[str, Any] | str, data: bytes = b"", *, header: Any = None) -> bytes:
    """Build a file with a correct checksum around hostile contents, as an attacker would."""
    if isinstance(outer, dict):
        if header is None:
            header = {"format_version": FORMAT_VERSION, "package_version": __version__}
        text = header if isinstance(header, str) else json.dumps(header)
        outer = json.dumps(
            {"__metadata__": {"checksum": "0" * 64, "autoencode": text}, **outer},
            separators=(",", ":"),
        )
    packed = outer.encode()
    content = len(packed).to_bytes(8, "little") + packed + data
    digest = hashlib.blake2b(content, digest_size=32).hexdigest().encode()
    return content[: CHECKSUM.start] + digest + content[CHECKSUM.stop :]


def assert_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    for read in (read_model, read_header):
        with pytest.raises(ModelFileError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


# What cannot be read: damage.


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    first = np.arange(8 * CHECKSUM.stop)  # the length, the names, the checksum
    for bit in np.concatenate([first, rng.integers(0, 8 * len(content), size=1000)]):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(flipped)
        with pytest.raises(ModelFileError) as caught:
            read_model(path)
        assert "\n" not in str(caught.value)


def test_every_truncation_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    for size in range(len(content)):
        if size == 0:
            message = "is empty"
        elif size < 9:
            message = "is not a model file"
        elif size < length:
            message = f"is truncated: its header alone takes {length} bytes, the file has {size}$"
        else:
            message = f"is truncated: header declares {len(content)} bytes, the file has {size}$"
        assert_refused(path, content[:size], message)


def test_bytes_after_the_end_are_noticed(path: Path) -> None:
    assert_refused(path, path.read_bytes() + b"x", r"is damaged \(1 bytes follow its end\)")


def test_a_changed_weight_is_noticed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 0xFF
    assert_refused(path, bytes(content), r"is damaged \(checksum does not match\)$")


def test_a_header_longer_than_any_model_has(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", length)
    read_model(path)
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", length - 1)
    message = rf"is damaged \(it declares a header of {length} bytes\)$"
    assert_refused(path, content, message)


def test_a_file_that_shrinks_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(path, {}, {"weight": np.zeros(100_000)})  # more than a read ahead holds
    content = path.read_bytes()

    def shrink(*_: Any) -> None:
        os.truncate(path, len(content) - 1)

    with monkeypatch.context() as patched:
        patched.setattr(model_file, "_verify_checksum", shrink)
        with pytest.raises(ModelFileError, match=r"changed while it was read$"):
            read_model(path)
    full = os.stat_result((0, 0, 0, 0, 0, 0, len(content), 0, 0, 0))
    monkeypatch.setattr(model_file.os, "fstat", lambda _: full)
    assert_refused(path, content[:200], "changed while it was read$")


# What cannot be read: other files.


def _zip_file() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps({"weights": [1.0] * 100}),
        _zip_file(),
        b"a,b,c\n1,2,3\n",
        b"{",
        b'{"a": 1, "b": 2}',
        b"\0" * 1000,
        b"\xff" * 8 + b"{" + b"\xff" * 8,
        (20).to_bytes(8, "little") + b"{" + b"\xff" * 30,
        (2).to_bytes(8, "little") + b"{]",
    ],
    ids=range(9),
)
def test_other_kinds_of_file(content: bytes, path: Path) -> None:
    assert_refused(path, content, "is not a model file$")


def test_a_safetensors_file_of_somebody_else(path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        content = safetensors.numpy.save({"a": np.zeros(3)}, metadata)
        assert_refused(path, content, "is a safetensors file but not an autoencode model$")


def test_a_model_rewritten_by_another_program(path: Path) -> None:
    content = safetensors.numpy.save({"a": np.zeros(3)}, {"autoencode": "{}"})
    assert_refused(path, content, r"is damaged \(its checksum is not in its place\)$")


def test_missing_folder_pipe_and_loop(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_bytes(b"")
    for name, message in [
        ("missing.safetensors", "missing.safetensors: no such file$"),
        ("", " is a folder$"),
        ("pipe", "pipe is not a regular file$"),
        ("loop", "loop cannot be read: "),
        ("file/model.safetensors", "model.safetensors cannot be read: Not a directory$"),
    ]:
        for read in (read_model, read_header):
            with pytest.raises(ModelFileError, match=message):
                read(tmp_path / name)


def test_a_newer_format_names_its_writer(path: Path) -> None:
    header = {"format_version": FORMAT_VERSION + 1, "package_version": "9.8.7"}
    content = sealed(
        {"a": {"dtype": "F4_NEW", "shape": [2], "data_offsets": [0, 1]}}, b"x", header=header
    )
    assert_refused(
        path,
        content,
        f"was written by autoencode 9.8.7 in file format {FORMAT_VERSION + 1}; this is autoencode "
        f"{__version__}, which reads format {FORMAT_VERSION}: upgrade autoencode$",
    )
    damaged = content[:-1] + b"y"
    assert_refused(path, damaged, "checksum does not match")


# What cannot be read: files made to hurt, with a correct checksum.


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_sealed_file_is_read(path: Path) -> None:
    """Make sure that the refusals below have no other reason than the hostile part."""
    path.write_bytes(sealed({"a": entry()}, bytes(8)))
    np.testing.assert_array_equal(read_model(path)[1]["a"], np.zeros(2, np.float32))


HUGE = 2**62
MISMATCH = "has a shape that does not match its bytes"
HOSTILE = [
    ({"a": entry(shape=[HUGE])}, "too large for any machine"),
    ({"a": entry(shape=[2**31, 2**33])}, "too large for any machine"),
    ({"a": entry(shape=[2**32, 2**32])}, "too large for any machine"),
    ({"a": entry(shape=[10**12])}, MISMATCH),
    ({"a": entry(shape=[0, HUGE], offsets=[0, 0]), "b": entry()}, "too large for any machine"),
    ({"a": entry(shape=[1] * 65)}, "has no valid shape"),
    ({"a": entry(shape=[-2])}, "has no valid shape"),
    ({"a": entry(shape=[-1, -2])}, "has no valid shape"),
    ({"a": entry(shape=[2.0])}, "has no valid shape"),
    ({"a": entry(shape=[True, 2])}, "has no valid shape"),
    ({"a": entry(shape=["2"])}, "has no valid shape"),
    ({"a": entry(shape=[10**4000])}, "has no valid shape"),
    ({"a": entry(shape=2)}, "has no valid shape"),
    ({"a": entry(shape=None)}, "has no valid shape"),
    ({"a": entry(shape=[3])}, MISMATCH),
    ({"a": entry(dtype="F64")}, MISMATCH),
    ({"a": entry(dtype="F16")}, "has an unknown dtype"),
    ({"a": entry(dtype=["F32"])}, "has an unknown dtype"),
    ({"a": entry(offsets=[0, 2**70])}, "has no valid offsets"),
    ({"a": entry(offsets=[0, 10**4299])}, "has no valid offsets"),
    ({"a": entry(offsets=[8, 0])}, "has no valid offsets"),
    ({"a": entry(offsets=[-8, 0])}, "has no valid offsets"),
    ({"a": entry(offsets=[0, 8, 16])}, "has no valid offsets"),
    ({"a": entry(offsets=[False, 8])}, "has no valid offsets"),
    ({"a": entry(offsets="08")}, "has no valid offsets"),
    ({"a": {}}, "has no valid offsets"),
    ({"a": 3}, "has no valid offsets"),
    ({"a": [1]}, "has no valid offsets"),
    ({"a": {"data_offsets": [0, 8]}}, "is not described by dtype, shape and data_offsets"),
    ({"a": {**entry(), "more": 1}}, "is not described by dtype, shape and data_offsets"),
    ({"a": entry(), "b": entry()}, "does not start where byte 8 ends the last"),
    ({"a": entry(shape=[1], offsets=[0, 4]), "b": entry(shape=[0], offsets=[6, 8])}, "byte 4"),
    ({"a": entry(shape=[1], offsets=[4, 8])}, "does not start where byte 0"),
    ({"a": entry(dtype="F64", shape=[2], offsets=[0, 16])}, "is truncated"),
    ({"a": entry(shape=[1], offsets=[0, 4])}, "4 bytes follow its end"),
    ({"a": entry(dtype="BOOL", shape=[8])}, "has booleans other than 0 and 1"),
]


@pytest.mark.parametrize(("entries", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_tensors(entries: dict[str, Any], message: str, path: Path) -> None:
    path.write_bytes(sealed(entries, b"\x02" * 8))
    with pytest.raises(ModelFileError, match=message) as caught:
        read_model(path)
    assert "\n" not in str(caught.value)


START = '{"__metadata__":{"checksum":"' + "0" * 64 + '","autoencode":"{}"}'
NOT_JSON = r"is damaged \(its header is not valid JSON\)$"
OUTER = [
    (START, NOT_JSON),
    (START + ',"a":1,"a":1}', NOT_JSON),
    (START + ',"__metadata__":{}}', NOT_JSON),
    (START + ',"a":' + "[" * 200_000 + "]" * 200_000 + "}", NOT_JSON),
    (START + ',"a":NaN}', NOT_JSON),
    (START + ',"a":1e999}', NOT_JSON),
    (START + ',"a":' + "9" * 5000 + "}", NOT_JSON),
    (START + "}}", NOT_JSON),
    (START.replace('"{}"', "7") + "}", "is a safetensors file but not an autoencode model$"),
]


@pytest.mark.parametrize(("outer", "message"), OUTER, ids=range(len(OUTER)))
def test_hostile_containers(outer: str, message: str, path: Path) -> None:
    assert_refused(path, sealed(outer), message)


MODEL_HEADERS = [
    ("{", "model header is not valid JSON"),
    ('{"a":1,"a":2}', "model header is not valid JSON"),
    ("[" * 200_000 + "]" * 200_000, "model header is not valid JSON"),
    ("[]", "model header is not a mapping"),
    ("{}", "does not say which version wrote it"),
    ({"format_version": 1}, "does not say which version wrote it"),
    ({"format_version": 2, "package_version": "1\nrm"}, "does not say which version wrote it"),
    ({"package_version": "1"}, "format version is not a number from 1 up"),
    ({"format_version": "1", "package_version": "1"}, "format version is not a number"),
    ({"format_version": 0, "package_version": "1"}, "format version is not a number"),
    ({"format_version": True, "package_version": "1"}, "format version is not a number"),
    ({"format_version": 10**4000, "package_version": "1"}, "format version is not a number"),
]


@pytest.mark.parametrize(("header", "message"), MODEL_HEADERS, ids=range(len(MODEL_HEADERS)))
def test_hostile_model_headers(header: Any, message: str, path: Path) -> None:
    assert_refused(path, sealed({}, header=header), message)


def test_a_model_larger_than_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(tensor_file.np, "empty", refuse)
    with pytest.raises(ModelFileError, match=r"needs more memory than there is$"):
        read_model(path)
