from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autoencode.data.arrays import open_array
from autoencode.data.reading import open_data
from autoencode.errors import DataError


class ArrayLike:
    """Nothing but ``__array__``."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


@pytest.mark.parametrize(
    "data",
    [
        np.array([[1, 2], [3, 4]]),
        [[1, 2], [3.0, 4]],
        ((1, 2), (3, 4)),
        ArrayLike(np.array([[1, 2], [3, 4]])),
        np.array([[1, 2], [3, 4]], dtype=object),
        np.array([["1", "2"], [3, 4]], dtype=object),
        np.ma.masked_array([[1, 2], [3, 4]], mask=False),
        sparse.csr_array([[1, 2], [3, 4]]),
        sparse.coo_matrix([[1, 2], [3, 4]]),
        sparse.dia_array(np.array([[1.0, 2], [3, 4]])),
    ],
    ids=lambda data: type(data).__name__,
)
def test_array_likes_open(data):
    rows = open_data(data)
    np.testing.assert_array_equal(rows.dense(), [[1, 2], [3, 4]])
    assert rows.dtype == np.float64
    assert (rows.names, rows.index, rows.kept) == (None, None, None)
    assert rows.kind == ("sparse" if sparse.issparse(data) else "numpy")


def test_a_tensor_opens():
    import torch

    rows = open_data(torch.arange(6, dtype=torch.float32).reshape(2, 3))
    np.testing.assert_array_equal(rows.dense(), [[0, 1, 2], [3, 4, 5]])
    assert rows.dtype == np.float32


REFUSED = {
    "1-D": (
        np.ones(3),
        r"^Expected 2D array, got 1D array instead\. Reshape your data either using "
        r"array\.reshape\(-1, 1\) if your data has a single feature",
    ),
    "scalar": (3.0, r"^Expected 2D array, got scalar array instead\."),
    "5-D": (np.ones((2, 2, 2, 2, 2)), r"^Found array with dim 5 \(shape=\(2, 2, 2, 2, 2\)\)"),
    "no rows": (
        np.empty((0, 3)),
        r"^Found array with 0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required\.$",
    ),
    "no columns": (np.empty((12, 0)), r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum of 1"),
    "complex": (np.ones((2, 2)) * 1j, "^Complex data not supported"),
    "complex sparse": (sparse.csr_array(np.ones((2, 2)) * 1j), "^Complex data not supported"),
    "text": (
        np.array([["a", "b"]]),
        r"holds text \(<U1\); in an array only real numbers .*; pass other columns as a table",
    ),
    "text objects": (
        np.array([["a", 1]], dtype=object),
        "holds text: .*'a'; in an array only real numbers",
    ),
    "dates": (np.array([["2013-01-01"]], dtype="M8[D]"), "holds dates"),
    "records": (np.zeros((2, 2), dtype=[("a", "f4")]), "holds records"),
    "ragged": ([[1, 2], [3]], "not an array of numbers: .*inhomogeneous"),
    "infinity": (np.array([[1.0, np.inf]]), "^Input X contains infinity: column 1"),
    "sparse infinity": (sparse.csr_array([[0.0, 1], [np.inf, 0]]), "column 0 .* in row 1"),
    "sparse empty": (sparse.csr_array((0, 3)), r"0 sample\(s\)"),
    "sparse 1-D": (sparse.coo_array(np.ones(3)), "Expected 2D array, got 1D"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_arrays(case):
    data, pattern = REFUSED[case]
    with pytest.raises(DataError) as caught:
        open_data(data)
    assert re.search(pattern, str(caught.value))
    assert "\n" not in str(caught.value)


MISSING = {
    "NaN": np.array([[1, np.nan], [3, 4]]),
    "masked": np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]),
    "masked text": np.ma.masked_array([[1, "a"], [3, 4]], mask=[[0, 1], [0, 0]], dtype=object),
    "None": np.array([[1, None], [3, 4]], dtype=object),
    "None in lists": [[1, None], [3, 4.0]],
    "pandas.NA": np.array([[1, pd.NA], [3, 4]], dtype=object),
    "NaT": np.array([[1, pd.NaT], [3, 4]], dtype=object),
    "sparse": sparse.coo_array([[1, np.nan], [3, 4]]),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_values_are_nan(case):
    rows = open_data(MISSING[case])
    np.testing.assert_array_equal(rows.dense(), [[1, np.nan], [3, 4]])
    assert rows.has_missing


def test_masks_make_floats_of_the_precision_that_the_values_need():
    mask = [[True, False]]
    assert open_data(np.ma.masked_array([[1, 2]], mask, np.int16)).dtype == np.float32
    assert open_data(np.ma.masked_array([[1, 2]], mask, np.int32)).dtype == np.float64
    unmasked = np.ma.masked_array([[1, 2]], mask=False, dtype=np.int64)
    assert not open_data(unmasked).has_missing


def test_infinity_is_found_beside_missing_values():
    with pytest.raises(DataError, match="contains infinity: column 1 has 1 infinite value"):
        open_data(np.array([[np.nan, np.inf], [np.nan, 1]]))
    assert open_array(np.array([[np.nan, np.inf]]), checked=False).n_rows == 1


def test_objects_that_are_no_numbers_raise_as_in_scikit_learn():
    array = np.ones((3, 2)).astype(object)
    array[0, 0] = {"foo": "bar"}
    with pytest.raises(TypeError, match=r"argument must be .* string.* number"):
        open_data(array)


def test_long_numbers_beyond_double_are_infinite():
    huge = np.array([[np.finfo(np.longdouble).max]])
    assert np.isfinite(huge).all()
    with pytest.raises(DataError, match="contains infinity"):
        open_data(huge)


def test_sparse_large_values_pass():
    rows = open_data(sparse.csr_array(np.full((2, 2), np.finfo(np.float64).max)))
    assert np.isfinite(rows.dense()).all()


def test_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((5, 2), dtype=np.float32))
    rows = open_data(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert not rows.in_memory


def test_columns_of_an_array_cannot_be_named():
    for options in ({"drop": ["age"]}, {"keep": ["age"]}):
        with pytest.raises(DataError, match="no column 'age': an array has no column names"):
            open_data(np.ones((2, 2)), **options)


def test_expected_names_let_bare_arrays_pass():
    assert open_data(np.ones((2, 2)), expected_names=("a", "b")).names is None
