from __future__ import annotations

import re
import struct
import zipfile

import numpy as np
import pytest
from scipy import sparse

from autoencode.data.reading import open_data
from autoencode.errors import DataError

MATRIX = np.arange(12, dtype=np.float32).reshape(4, 3)


def refused(path):
    with pytest.raises(DataError) as caught:
        open_data(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def npy_bytes(header, content=b"", version=b"\x01\x00"):
    text = header.encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + content


@pytest.mark.parametrize("array", [MATRIX, np.asfortranarray(MATRIX), MATRIX.astype(">f8")])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_files_are_mapped(tmp_path, array, version):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    rows = open_data(path)
    assert not rows.in_memory
    assert rows.names is None
    np.testing.assert_array_equal(rows.dense(), MATRIX)


def test_pictures(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 8, 7), dtype=np.uint8))
    assert open_data(tmp_path / "a.npy").sample_shape == (8, 7)


BAD_NPY = {
    "1-D": ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", 16, "Expected 2D array"),
    "empty": ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 3)}", 0, r"0 sample\(s\)"),
    "too short": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3)}",
        95,
        r"is truncated: its header declares \(4, 3\) float64 = 96 bytes, but only 95 follow",
    ),
    "huge": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
        8,
        "is truncated: its header declares",
    ),
    "negative": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-4, -3)}",
        96,
        "declares an impossible shape",
    ),
    "objects": (
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}",
        8,
        "holds Python objects, which are never loaded",
    ),
    "not a header": ("print('hello')", 8, "is not a whole .npy file"),
    "broken header": ("{'descr': '<f8', 'fort", 8, "is not a whole .npy file"),
    "wrong type": (
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1, 1)}",
        8,
        "is not a whole .npy file",
    ),
}


@pytest.mark.parametrize("case", BAD_NPY)
@pytest.mark.parametrize("version", [b"\x01\x00", b"\x02\x00", b"\x03\x00"])
def test_bad_npy_files(tmp_path, case, version):
    header, n_bytes, pattern = BAD_NPY[case]
    path = tmp_path / "a.npy"
    path.write_bytes(npy_bytes(header, bytes(n_bytes), version))
    assert re.search(pattern, refused(path))


@pytest.mark.parametrize("content", [b"\x93NUM", b"hello, world", b"\x93NUMPY\x09\x00aaaaaaa"])
def test_files_that_are_no_npy(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    assert "is not a whole .npy file" in refused(tmp_path / "a.npy")


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_npz_chooses_the_data(tmp_path, writer):
    path = tmp_path / "a.npz"
    writer(path, MATRIX)
    np.testing.assert_array_equal(open_data(path).dense(), MATRIX)
    for name in ("X", "x", "x_train", "data"):
        writer(path, **{name: MATRIX, "y": np.arange(4), "other": np.ones((2, 2))})
        np.testing.assert_array_equal(open_data(path).dense(), MATRIX)
    writer(path, other=np.ones((2, 2)), train=MATRIX)
    assert refused(path) == "holds several arrays: other, train; choose one as a.npz:other"
    np.testing.assert_array_equal(open_data(f"{path}:train").dense(), MATRIX)
    assert refused(f"{path}:test") == "holds no array 'test'; there are: other, train"


def test_sparse_matrices(tmp_path):
    path = tmp_path / "a.npz"
    for kind in (sparse.csr_array, sparse.csc_matrix):
        sparse.save_npz(path, kind(MATRIX))
        rows = open_data(path)
        assert rows.kind == "sparse"
        np.testing.assert_array_equal(rows.dense(), MATRIX)
    sparse.save_npz(path, sparse.coo_array(MATRIX).todia())
    assert refused(path) == "holds a sparse matrix in format 'dia'; save it as csr or csc"
    good = sparse.csr_array(MATRIX)
    parts = {"shape": (4, 3), "format": b"csr", "data": good.data, "indptr": good.indptr}
    np.savez(path, indices=good.indices + 1_000_000, **parts)
    assert refused(path).startswith("holds a damaged sparse matrix: ")
    np.savez(path, indices=good.indices, **(parts | {"format": b"bsr"}))
    assert refused(path) == "holds a sparse matrix in format 'bsr'; save it as csr or csc"


def test_truncated_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, MATRIX)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert refused(path).startswith("is not a whole .npz file: ")
    path.write_text("hello")
    assert refused(path).startswith("is not a whole .npz file: ")


def test_any_flipped_byte_is_an_error_or_harmless(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, MATRIX)
    whole = path.read_bytes()
    n_errors = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(open_data(path).dense(), MATRIX)
        except DataError:
            n_errors += 1
    assert n_errors > len(whole) // 2


def test_claims_are_checked_before_anything_is_allocated(tmp_path):
    path = tmp_path / "a.npz"
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000)}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", npy_bytes(header, bytes(64)))
    assert refused(path).startswith("is truncated: its header declares (100000, 100000) float64")
    # The archive itself claims as much: 80 GB in a few bytes.
    content = bytearray(path.read_bytes())
    real = struct.pack("<I", len(npy_bytes(header, bytes(64))))
    places = [found.start() for found in re.finditer(re.escape(real), content)]
    for place in places[1::2] or places:
        content[place : place + 4] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(content)
    assert re.match("declares more bytes for X.npy than it can hold|is truncated", refused(path))


def test_npz_without_arrays_or_with_objects(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(path) == "holds no array"
    np.savez(path, np.array([[{}]]))
    assert refused(path).startswith("holds Python objects")
    np.savez(path, np.array([["a"]]))
    assert refused(path).startswith("the array holds text (<U1); in an array only real numbers")
