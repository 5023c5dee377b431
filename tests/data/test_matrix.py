from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest

from autoencode.data.matrix import (
    TILE_COLUMNS,
    TILE_ROWS,
    column_values,
    is_number,
    numpy_column,
    table_matrix,
)


def test_dictionaries_and_decimals():
    table = pa.table(
        {
            "numbers": pa.array([5, 6, 5]).dictionary_encode(),
            "money": pa.array([decimal.Decimal("1.25"), decimal.Decimal("-3.50"), None]),
        }
    )
    np.testing.assert_array_equal(table_matrix(table), [[5, 1.25], [6, -3.5], [5, np.nan]])
    np.testing.assert_array_equal(table_matrix(table.slice(1, 1)), [[6, -3.5]])


def test_small_types_make_single_precision():
    table = pa.table(
        {
            "a": pa.array([1, 2], pa.int16()),
            "b": pa.array([0.5, 1.5], pa.float32()),
            "c": pa.array([True, False]),
            "d": pa.array(np.array([0.5, 2], dtype=np.float16)),
        }
    )
    matrix = table_matrix(table)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, 0.5, 1, 0.5], [2, 1.5, 0, 2]])
    assert table_matrix(table.append_column("e", [[1, 2]])).dtype == np.float64


def test_every_tile_is_filled():
    n_rows, n_columns = 2 * TILE_ROWS + 3, TILE_COLUMNS + 5
    matrix = np.random.default_rng(0).normal(size=(n_rows, n_columns))
    whole = pa.table({f"c{j}": matrix[:, j] for j in range(n_columns)})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])
    np.testing.assert_array_equal(table_matrix(chunked), matrix)
    np.testing.assert_array_equal(table_matrix(whole.slice(7, 1500)), matrix[7:1507])


def test_columns_keep_their_type_unless_values_are_missing():
    column = pa.chunked_array([[1, 2], [3, None]], pa.int64())
    assert column_values(column.slice(0, 3)).tolist() == [1, 2, 3]
    assert column_values(column.slice(0, 3)).dtype == np.int64
    np.testing.assert_array_equal(column_values(column), [1, 2, 3, np.nan])
    assert column_values(pa.chunked_array([], pa.int32())).shape == (0,)
    bits = pa.array([True, False, None, True]).slice(1, 3)
    np.testing.assert_array_equal(numpy_column(bits), [0, np.nan, 1])


@pytest.mark.parametrize("values", [[1], [1.5], [True], [None], [decimal.Decimal(1)]])
def test_numbers(values):
    assert is_number(pa.array(values).type)
    assert is_number(pa.array(values).dictionary_encode().type)


@pytest.mark.parametrize("values", [["1"], [b"1"], [[1]]])
def test_no_numbers(values):
    assert not is_number(pa.array(values).type)
