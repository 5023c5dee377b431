"""Measures of dictionaries and sparse codes: known answers, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import f1_score, r2_score

from autoencode.dictionary_metrics import (
    active_units,
    agreement,
    dead_units,
    dense_units,
    detection_f1,
    firing_frequency,
    match,
    mean_max_cosine,
    nearest_cosine,
    stability,
    uniqueness,
)
from autoencode.errors import DataError
from autoencode.metrics import variance_explained

CODES = np.array([[1.0, 0.0, 0.0, -2.0], [0.5, 0.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0]])


def stored_zero() -> Any:
    """Return the codes as CSR with a zero that is stored."""
    data = np.array([1.0, -2.0, 0.5, 0.0, 3.0, 2.0])
    return sparse.csr_matrix((data, np.array([0, 3, 0, 1, 2, 0]), np.array([0, 2, 5, 6])))


FORMS = {
    "dense": CODES,
    "csr_matrix": sparse.csr_matrix(CODES),
    "csr_array": sparse.csr_array(CODES),
    "coo_matrix": sparse.coo_matrix(CODES),
    "stored zero": stored_zero(),
}


@pytest.mark.parametrize("codes", FORMS.values(), ids=FORMS)
def test_activity_of_every_form_of_codes(codes: Any) -> None:
    assert active_units(codes).tolist() == [2, 2, 1]
    assert firing_frequency(codes).tolist() == [1.0, 0.0, 1 / 3, 1 / 3]
    assert dead_units(codes).tolist() == [False, True, False, False]
    assert dense_units(codes).tolist() == [True, False, True, True]
    assert dense_units(codes, threshold=1 / 3).tolist() == [True, False, False, False]


def test_codes_are_left_as_they_were() -> None:
    codes = stored_zero()
    detection_f1(codes, np.eye(4), codes, np.eye(4))
    assert codes.nnz == 6
    assert codes.data.tolist() == [1.0, -2.0, 0.5, 0.0, 3.0, 2.0]


def test_duplicates_are_seen_whatever_their_length_and_sign() -> None:
    parts = np.array([[1.0, 0.0], [-3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert nearest_cosine(parts).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert uniqueness(parts) == 0.5
    assert nearest_cosine(np.ones((1, 3))).tolist() == [0.0]


def test_blocks_give_what_one_product_gives() -> None:
    rng = np.random.default_rng(0)
    parts, others = rng.normal(size=(2500, 3)), rng.normal(size=(7, 3))
    unit = parts / np.linalg.norm(parts, axis=1, keepdims=True)
    other = others / np.linalg.norm(others, axis=1, keepdims=True)
    np.testing.assert_allclose(stability(parts, others), np.abs(unit @ other.T).max(1))
    cosines = np.abs(unit @ unit.T)
    np.fill_diagonal(cosines, 0)
    np.testing.assert_allclose(nearest_cosine(parts), cosines.max(1))


def test_stability_names_the_unit_that_the_other_seed_did_not_find() -> None:
    others = np.eye(4)[[2, 0, 3]]
    assert stability(np.eye(4), others).tolist() == [1.0, 0.0, 1.0, 1.0]


def test_pairs_are_the_best_of_all_and_no_unit_is_used_twice() -> None:
    # Both true parts are nearest to the first unit: the greedy choice is not the best.
    truth = np.array([[1.0, 0.0], [0.96, 0.28]])
    parts = np.array([[0.99, np.sqrt(1 - 0.99**2)], [0.8, -0.6]])
    first, second, cosines = match(parts, truth)
    assert dict(zip(first.tolist(), second.tolist(), strict=True)) == {0: 1, 1: 0}
    expected = [0.96 * 0.99 + 0.28 * np.sqrt(1 - 0.99**2), 0.8]
    np.testing.assert_allclose(cosines, expected)
    assert agreement(parts, truth) == pytest.approx(np.mean(expected))
    assert mean_max_cosine(parts, truth) == pytest.approx((0.99 + expected[0]) / 2)


def test_shuffled_negated_and_scaled_parts_are_the_same_dictionary() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(20, 10))
    order = rng.permutation(20)
    assert agreement(-3 * truth[order], truth) == pytest.approx(1)
    first, second, _ = match(truth[order], truth)
    assert (order[first] == second).all()


def test_true_parts_without_a_partner_count_zero_and_surplus_units_do_not_count() -> None:
    assert agreement(np.eye(4)[:3], np.eye(4)) == pytest.approx(0.75)
    assert agreement(np.eye(4), np.eye(4)[:3]) == pytest.approx(1)
    codes = np.ones((5, 4))
    assert detection_f1(codes[:, :3], np.eye(4)[:3], codes, np.eye(4)) == pytest.approx(0.75)


@pytest.mark.parametrize("as_sparse", [False, True])
def test_detection_is_sklearns_f1_of_every_pair(as_sparse: bool) -> None:
    rng = np.random.default_rng(2)
    true_codes = (rng.random((200, 6)) < 0.3) * rng.normal(size=(200, 6))
    codes = true_codes * (rng.random((200, 6)) < 0.8) + (rng.random((200, 6)) < 0.1)
    truth, order = np.eye(6), rng.permutation(6)
    units = zip(true_codes.T, codes.T, strict=True)
    expected = np.mean([f1_score(t != 0, c != 0) for t, c in units])
    form = sparse.csr_matrix if as_sparse else np.asarray
    found = detection_f1(form(codes[:, order]), truth[order], form(true_codes), truth)
    assert found == pytest.approx(expected)
    assert 0.5 < found < 0.95


def test_units_that_are_silent_on_both_sides_were_not_found() -> None:
    codes = np.array([[1.0, 0.0]])
    assert detection_f1(codes, np.eye(2), codes, np.eye(2)) == 0.5


def test_variance_explained_is_sklearns() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(50, 4)) * [1, 2, 3, 10] + [0, 5, 0, 100]
    done = rows + rng.normal(size=rows.shape)
    expected = r2_score(rows, done, multioutput="variance_weighted")
    assert variance_explained(rows, done) == pytest.approx(expected, rel=1e-12)
    assert variance_explained(np.ones((3, 2)), np.ones((3, 2))) == 1.0
    assert variance_explained(np.ones((3, 2)), np.zeros((3, 2))) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: active_units(np.ones(3)), "codes have 1 dimensions"),
        (lambda: firing_frequency(np.ones((0, 3))), "codes have no rows"),
        (lambda: dense_units(CODES, threshold=1.5), r"threshold is 1\.5"),
        (lambda: nearest_cosine(np.ones(3)), r"parts have shape \(3,\)"),
        (lambda: stability(np.ones((2, 3)), np.ones((2, 4))), "over 3 and over 4 features"),
        (
            lambda: detection_f1(CODES, np.eye(4), CODES[:2], np.eye(4)),
            "codes of 3 and of 2 rows",
        ),
        (
            lambda: detection_f1(CODES, np.eye(3), CODES, np.eye(4)),
            "codes of 4 units for 3 parts",
        ),
        (lambda: variance_explained(CODES, CODES[:2]), "both must be"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()
