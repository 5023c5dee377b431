"""Bare arrays, memory maps, sparse matrices and anything array-like -> rows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from autoencode.data.finite import require_no_infinity
from autoencode.data.rows import Rows, row_dtype
from autoencode.errors import DataError

__all__ = ["is_sparse", "open_array", "open_sparse", "require_real_dtype", "require_shape"]

RESHAPE_ADVICE = (
    "Reshape your data either using array.reshape(-1, 1) if your data has a single feature "
    "or array.reshape(1, -1) if it contains a single sample."
)
FRAME_ADVICE = (
    "in an array only real numbers can be used; pass other columns as a table (pandas, "
    "polars, pyarrow)"
)


def is_sparse(data: Any) -> bool:
    """Tell whether ``data`` is a SciPy sparse matrix or array, without importing SciPy."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(data))


def open_array(data: Any, *, checked: bool = True) -> Rows:
    """Open a matrix, or an array of pictures, of real numbers.

    Parameters
    ----------
    data : array-like of shape (n, n_features), (n, height, width) or (n, h, w, channels)
        Any real dtype and memory order; a memory map stays one. Objects and nested
        lists are converted to float64 where that is possible.
    checked : bool
        Whether to refuse infinite values. False leaves that to the caller, who reads all
        rows anyway.

    Returns
    -------
    Rows
        Without names. Missing values are NaN: also what is masked, None or
        ``pandas.NA``. No value is infinite, if checked.

    Raises
    ------
    DataError
        If the shape or the values cannot be used; scikit-learn's wording where its
        estimator checks look for one.
    TypeError
        If an object array holds something that is neither text nor a number.
    """
    try:
        array = np.asanyarray(data)
    except ValueError as error:
        raise DataError(f"the data is not an array of numbers: {error}") from error
    array = _real(array)
    require_shape(array.shape)
    rows = Rows(array, kind="numpy")
    if checked:
        require_no_infinity(rows)
    return rows


def open_sparse(data: Any) -> Rows:
    """Open a SciPy sparse matrix or array; rows are densified as they are read.

    Parameters
    ----------
    data : scipy.sparse matrix or array of shape (n, n_features)
        Any format; converted once to CSR.

    Returns
    -------
    Rows
        Without names; stored NaN are missing values, none is infinite.

    Raises
    ------
    DataError
        If the shape or the values cannot be used.
    """
    require_real_dtype(data.dtype)
    require_shape(data.shape)
    rows = Rows(data.tocsr(), kind="sparse")
    require_no_infinity(rows)
    return rows


def require_shape(shape: tuple[int, ...]) -> None:
    """Refuse shapes that are not at least one row of at least one feature.

    Parameters
    ----------
    shape : tuple of int
        Shape of the whole data: two dimensions, or three or four for pictures.

    Raises
    ------
    DataError
        In scikit-learn's wording.
    """
    if len(shape) < 2:
        given = "1D" if len(shape) == 1 else "scalar"
        raise DataError(f"Expected 2D array, got {given} array instead. {RESHAPE_ADVICE}")
    if len(shape) > 4:
        raise DataError(
            f"Found array with dim {len(shape)} (shape={shape}) while a matrix (n, features) or "
            "pictures (n, height, width) or (n, height, width, channels) are expected."
        )
    if shape[0] == 0:
        raise DataError(
            f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required."
        )
    if 0 in shape:
        raise DataError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )


def _real(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert objects to float64, refuse what has no real values, pass the rest as it is."""
    if isinstance(array, np.ma.MaskedArray):
        return _unmasked(array)
    if array.dtype.kind == "O":
        return _object_values(array)
    require_real_dtype(array.dtype)
    return array


def _unmasked(array: np.ma.MaskedArray[Any, Any]) -> np.ndarray[Any, Any]:
    """Put NaN where values are masked; no copy if none is."""
    mask = np.ma.getmaskarray(array)
    # What stands under the mask may be anything.
    plain = np.asarray(array)
    values = _real(np.where(mask, np.nan, plain) if plain.dtype.kind == "O" else plain)
    if not mask.any():
        return values
    return np.where(mask, row_dtype(values.dtype).type(np.nan), values)


def _object_values(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert objects to float64: None, and what pandas has for it, becomes NaN."""
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        # ``float(pandas.NA)`` is an error.
        holes = pandas.isna(array)
        array = np.where(holes, np.nan, array) if holes.any() else array
    try:
        # A TypeError (a dictionary, say) passes as it is: scikit-learn raises it too.
        return array.astype(np.float64)
    except ValueError as error:
        raise DataError(f"the array holds text: {error}; {FRAME_ADVICE}") from error


def require_real_dtype(dtype: np.dtype[Any]) -> None:
    """Refuse values that are not real numbers: complex ones, dates, text, records.

    Parameters
    ----------
    dtype : dtype
        Of an array.

    Raises
    ------
    DataError
        Saying what it holds, and what to do.
    """
    if dtype.kind in "biuf":
        return
    if dtype.kind == "c":
        raise DataError(f"Complex data not supported: the data is {dtype}")
    words = {
        "M": "dates",
        "m": "time differences",
        "U": "text",
        "S": "text",
        "T": "text",
        "V": "records",
    }
    what = words.get(dtype.kind, "objects")
    raise DataError(f"the array holds {what} ({dtype}); {FRAME_ADVICE}")
