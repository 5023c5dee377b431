from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from autoencode.data.rows import Rows, row_dtype

EXACT_IN_SINGLE = ["bool", "int8", "uint8", "int16", "uint16", "float16", "float32", ">f4"]
NEED_DOUBLE = ["int32", "uint32", "int64", "uint64", "float64", ">f8", "longdouble"]


@pytest.mark.parametrize("dtype", EXACT_IN_SINGLE)
def test_small_types_are_read_as_single(dtype):
    assert row_dtype(dtype) == np.float32


@pytest.mark.parametrize("dtype", NEED_DOUBLE)
def test_large_types_are_read_as_double(dtype):
    assert row_dtype(dtype) == np.float64


def forms(matrix, folder):
    """One matrix as every kind of source."""
    np.save(folder / "c.npy", matrix)
    np.save(folder / "f.npy", np.asfortranarray(matrix))
    wide = np.zeros((len(matrix), 2 * matrix.shape[1]), dtype=matrix.dtype)
    wide[:, ::2] = matrix
    return {
        "c": Rows(matrix, kind="numpy"),
        "fortran": Rows(np.asfortranarray(matrix), kind="numpy"),
        "strided": Rows(wide[:, ::2], kind="numpy"),
        "swapped": Rows(matrix.astype(matrix.dtype.newbyteorder()), kind="numpy"),
        "map": Rows(np.load(folder / "c.npy", mmap_mode="r"), kind="numpy"),
        "fortran map": Rows(np.load(folder / "f.npy", mmap_mode="r"), kind="numpy"),
        "sparse": Rows(sparse.csr_array(matrix), kind="sparse"),
    }


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64"])
def test_every_source_reads_the_same(tmp_path, dtype):
    matrix = np.random.default_rng(0).integers(0, 9, size=(23, 5)).astype(dtype)
    expected = matrix.astype(row_dtype(dtype))
    indices = [22, 0, 7, 7, -1]
    for name, rows in forms(matrix, tmp_path).items():
        assert (rows.n_rows, rows.n_features, rows.sample_shape) == (23, 5, (5,)), name
        assert len(rows) == 23
        pieces = {
            "block": (rows.block(3, 11), expected[3:11]),
            "take": (rows.take(indices), expected[indices]),
            "none": (rows.take([]), expected[:0]),
            "dense": (rows.dense(), expected),
            "blocks": (np.concatenate([block for _, block in rows.blocks(4)]), expected),
        }
        for piece, (actual, wanted) in pieces.items():
            np.testing.assert_array_equal(actual, wanted, err_msg=f"{name} {piece}")
            assert actual.dtype == rows.dtype == expected.dtype
            assert actual.flags.c_contiguous
            assert type(actual) is np.ndarray
        assert [start for start, _ in rows.blocks(10)] == [0, 10, 20]


def test_pictures_are_flattened_row_by_row():
    pictures = np.arange(2 * 3 * 4 * 2, dtype=np.uint8).reshape(2, 3, 4, 2)
    for source in (pictures, np.asfortranarray(pictures)):
        rows = Rows(source, kind="numpy")
        assert rows.sample_shape == (3, 4, 2)
        assert rows.n_features == 24
        np.testing.assert_array_equal(rows.dense(), pictures.reshape(2, -1))
        np.testing.assert_array_equal(rows.take([1]), pictures.reshape(2, -1)[[1]])


def test_only_memory_is_in_memory(tmp_path):
    rows = forms(np.ones((4, 3)), tmp_path)
    lazy = {name for name, one in rows.items() if not one.in_memory}
    assert lazy == {"map", "fortran map", "sparse"}
    view = np.asarray(np.load(tmp_path / "c.npy", mmap_mode="r"))[1:]
    assert not Rows(view, kind="numpy").in_memory
    assert "read lazily" in repr(rows["map"])


def test_dense_shares_what_has_the_right_form_already():
    matrix = np.ones((5, 3), dtype=np.float32)
    assert np.shares_memory(Rows(matrix, kind="numpy").dense(), matrix)
    assert not np.shares_memory(Rows(matrix, kind="numpy").take([0, 1]), matrix)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_map_is_never_in_memory_whole(tmp_path, order):
    n_rows, n_features = 100_000, 100
    mapped = np.memmap(
        tmp_path / "m", dtype=np.uint8, mode="w+", shape=(n_rows, n_features), order=order
    )
    rows = Rows(mapped, kind="numpy")
    tracemalloc.start()
    total = sum(float(block.sum()) for _, block in rows.blocks())
    rows.take(np.arange(0, n_rows, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 0
    # The whole would be 10 MB as it is and 40 MB cast; two blocks are 8 MB.
    assert peak < 10_000_000


def test_a_sparse_matrix_is_never_dense_whole():
    rows = Rows(sparse.csr_array((20_000, 1_000), dtype=np.float64), kind="sparse")
    tracemalloc.start()
    for _ in rows.blocks():
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000  # of 160 MB


def test_indices_must_be_whole_numbers_inside():
    rows = Rows(np.ones((3, 2)), kind="numpy")
    with pytest.raises(TypeError, match="row indices must be integers, not bool"):
        rows.take([True, False, True])
    with pytest.raises(IndexError):
        rows.take([3])


@pytest.mark.parametrize(
    ("value", "found"),
    [(1.0, (False, False)), (np.nan, (True, False)), (np.inf, (False, True))],
)
def test_missing_and_infinite_values_are_found_in_every_source(value, found, tmp_path):
    matrix = np.zeros((5, 3))
    matrix[3, 1] = value
    for name, rows in forms(matrix, tmp_path).items():
        assert (rows.has_missing, rows.has_infinite) == rows.non_finite == found, name
        assert rows.n_columns == 3


def test_missing_values_are_looked_for_once():
    class Counted(Rows):
        n_blocks = 0

        def block(self, start, stop):
            self.n_blocks += 1
            return super().block(start, stop)

    rows = Counted(np.full((4, 2), np.nan), kind="numpy")
    assert rows.n_blocks == 0
    assert rows.has_missing
    assert not rows.has_infinite
    assert rows.n_blocks == 1
    whole = Counted(np.ones((4, 2), dtype=np.int64), kind="numpy")
    assert not whole.has_missing
    assert whole.n_blocks == 0


@pytest.mark.parametrize("order", [[np.nan, np.inf], [np.inf, -np.inf, np.nan], [np.inf, np.nan]])
def test_one_kind_does_not_hide_the_other(order):
    matrix = np.zeros((1_000_000, 1))
    matrix[:: len(matrix) // len(order)][: len(order), 0] = order
    assert Rows(matrix, kind="numpy").non_finite == (True, True)
    assert Rows(sparse.csr_array(matrix), kind="sparse").non_finite == (True, True)
