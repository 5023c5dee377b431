"""The model file: what is written is read back, and anything else is one clear error."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import autoencode.files
from autoencode import tensor_file
from autoencode._version import __version__
from autoencode.errors import DataError, SpecError
from autoencode.model_file import FORMAT_VERSION, read_header, read_model, write_model

HEADER = {"estimator": "Autoencoder", "columns": ["größe", "b"], "error": 0.125, "trained": True}
TENSORS = {
    "encoder.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "encoder.bias": np.array([0.5, -1.0, np.nan], dtype=np.float64),
    "active": np.array([True, False, True]),
    "count": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 5), dtype=np.float32),
    "pixels": np.arange(5, dtype=np.uint8),
    "index": np.array([-1, 2], dtype=np.int32),
}
DTYPES = [np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write the usual model."""
    target = tmp_path / "model.safetensors"
    write_model(target, HEADER, TENSORS)
    return target


# What is written is read back.


def test_round_trip(path: Path) -> None:
    header, tensors = read_model(path)
    assert header == {
        **HEADER,
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
    }
    assert read_header(path) == header
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array, strict=True)
        assert tensors[name].flags.writeable
        assert tensors[name].flags.owndata


# Each example waits for the disk, so time says nothing.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8")).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: st_numpy.arrays(
                dtype, st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
            )
        ),
        max_size=4,
    )
)
def test_round_trip_of_any_tensors(
    tensors: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.getbasetemp() / "any.safetensors"
    write_model(target, {}, tensors)
    _, read = read_model(target)
    library = safetensors.numpy.load_file(target)
    assert read.keys() == tensors.keys() == library.keys()
    for name, array in tensors.items():
        for other in (read[name], library[name]):
            assert other.dtype == array.dtype
            assert other.shape == array.shape
            assert other.tobytes() == array.tobytes()


def test_the_library_sees_our_metadata(path: Path) -> None:
    with safetensors.safe_open(path, framework="numpy") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["autoencode"]) == read_header(path)
    assert len(metadata["checksum"]) == 64


def test_the_same_content_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    write_model(other, dict(reversed(HEADER.items())), dict(reversed(TENSORS.items())))
    assert other.read_bytes() == path.read_bytes()


def test_layout_and_byte_order_of_the_arrays_do_not_show(path: Path, tmp_path: Path) -> None:
    twisted = {
        name: np.asfortranarray(array.astype(array.dtype.newbyteorder(">")))
        if array.ndim
        else array
        for name, array in TENSORS.items()
    }
    twisted["pixels"] = np.repeat(TENSORS["pixels"], 2)[::2]
    other = tmp_path / "other.safetensors"
    write_model(other, HEADER, twisted)
    assert other.read_bytes() == path.read_bytes()


def test_tensors_are_aligned_in_the_file(path: Path) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    entries = json.loads(content[8 : 8 + length])
    del entries["__metadata__"]
    for name, entry in entries.items():
        assert entry["data_offsets"][0] % TENSORS[name].itemsize == 0


def test_versions_in_the_header_are_the_writers(tmp_path: Path) -> None:
    target = tmp_path / "model.safetensors"
    write_model(target, {"format_version": 99, "package_version": "0"}, {})
    header = {"format_version": FORMAT_VERSION, "package_version": __version__}
    assert read_model(target) == (header, {})


# What cannot be written.


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.zeros(1, np.float16)}, "tensor 'a' has dtype float16; allowed: bool, uint8"),
        ({"a": np.array([object()])}, "tensor 'a' has dtype object"),
        ({"a": np.zeros(1, "f4,i4")}, "tensor 'a' has dtype"),
        ({"a": np.array(["text"])}, "tensor 'a' has dtype <U4"),
        ({"a": [1.0]}, "tensor 'a' is a list, not a NumPy array"),
        ({"__metadata__": np.zeros(1)}, "cannot be named '__metadata__'"),
        ({3: np.zeros(1)}, "cannot be named 3"),
        ({"\ud800": np.zeros(1)}, r"cannot be named '\\ud800'"),
    ],
)
def test_tensors_that_the_file_cannot_hold(
    tensors: Any, message: str, path: Path, tmp_path: Path
) -> None:
    before = path.read_bytes()
    with pytest.raises(SpecError, match=message):
        write_model(path, {}, tensors)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_headers_that_the_file_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"header\['error'\] is nan; only finite"):
        write_model(tmp_path / "model.safetensors", {"error": float("nan")}, {})
    assert os.listdir(tmp_path) == []


def test_a_header_too_long_to_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensor_file, "MAX_HEADER_BYTES", 500)
    write_model(tmp_path / "short.safetensors", {"text": "x" * 100}, {})
    with pytest.raises(SpecError, match=r"header takes 7\d\d bytes; at most 500"):
        write_model(tmp_path / "long.safetensors", {"text": "x" * 600}, {})
    assert os.listdir(tmp_path) == ["short.safetensors"]


def test_without_force_an_existing_file_stays(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(DataError, match="exists; pass --force"):
        write_model(path, {}, {}, force=False)
    assert path.read_bytes() == before


def test_unwritable_places(path: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "missing" / "model.safetensors", path / "model.safetensors"):
        with pytest.raises(DataError, match=f"cannot write {place}: "):
            write_model(place, HEADER, TENSORS)
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: Any, *_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(autoencode.files.os, "open", refuse)  # root may write anywhere
    before = path.read_bytes()
    with pytest.raises(DataError, match="Permission denied"):
        write_model(path, {}, {})
    assert path.read_bytes() == before


FULL_DISK = """
import resource, sys
import numpy as np
from autoencode.model_file import write_model
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_model(sys.argv[1], {}, {"weight": np.ones(1_000_000)})
except ValueError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("exists", [True, False])
def test_a_disk_that_fills_up_leaves_what_was_there(path: Path, exists: bool) -> None:
    before = path.read_bytes()
    if not exists:
        path.unlink()
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"cannot write {path}: ")
    assert ran.stderr.count("\n") == 1
    assert os.listdir(path.parent) == ([path.name] if exists else [])
    assert not exists or path.read_bytes() == before


# What reading needs.


def test_reading_imports_no_engine() -> None:
    code = (
        "import sys, autoencode.model_file; "
        "print(*{'torch', 'sklearn', 'safetensors'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")
