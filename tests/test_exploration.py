"""Ways between rows, steps along components and maps decode what they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from autoencode import Autoencoder, CodeMap, SparseAutoencoder, load
from autoencode.errors import DataError, SpecError
from autoencode.exploration import code_spread, grid_codes, strongest_components, whole_plane

PICTURES = load_digits().images[:300]


@pytest.fixture(scope="module")
def linear() -> Autoencoder:
    """PCA: what codes mean is known."""
    return Autoencoder(5, hidden_layer_sizes=(), random_state=0).fit(PICTURES)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = rng.normal(5, 1, 150)
    return pd.DataFrame(
        {
            "size": size,
            "weight": 2 * size + rng.normal(0, 0.2, 150),
            "count": rng.poisson(3, 150),
            "kind": pd.Categorical(np.where(size > 5, "big", "small")),
        }
    )


@pytest.fixture(scope="module")
def of_table(frame: pd.DataFrame) -> Autoencoder:
    return Autoencoder(2, hidden_layer_sizes=(8,), max_epochs=2, random_state=0).fit(frame)


def test_ways_are_straight_and_end_at_reconstructions(linear: Autoencoder) -> None:
    found = linear.interpolate(PICTURES[:2], PICTURES[2:4], n_steps=5)
    assert found.shape == (10, 8, 8)
    ends = linear.reconstruct(PICTURES[:4])
    np.testing.assert_allclose(found[[0, 4, 5, 9]], ends[[0, 2, 1, 3]], atol=1e-9)
    np.testing.assert_allclose(found[2], (ends[0] + ends[2]) / 2, atol=1e-9)


def test_a_step_along_a_component_of_pca_is_its_direction(linear: Autoencoder) -> None:
    state = linear._state
    assert state.sampler is not None
    _, deviation = code_spread(state.sampler)
    found = linear.traverse([1, 3], around=PICTURES[7:8], span=1.5, n_steps=3)
    assert found.shape == (6, 8, 8)
    here = linear.reconstruct(PICTURES[7:8])[0]
    np.testing.assert_allclose(found[[1, 4]], [here, here], atol=1e-9)
    for first, component in ((0, 1), (3, 3)):
        step = 1.5 * deviation[component] * state.principal.components[component].reshape(8, 8)
        np.testing.assert_allclose(found[first + 2] - here, step, atol=1e-6)
        np.testing.assert_allclose(here - found[first], step, atol=1e-6)
    mean = linear.traverse(0, n_steps=3)[1]
    np.testing.assert_allclose(mean, PICTURES.mean(0), atol=0.4)


def test_codes_vary_as_they_did_in_the_fit(linear: Autoencoder) -> None:
    sampler = linear._state.sampler
    assert sampler is not None
    codes = linear.transform(PICTURES)
    mean, deviation = code_spread(sampler)
    np.testing.assert_allclose(mean, codes.mean(0), atol=0.1 * codes.std(0).max())
    np.testing.assert_allclose(deviation, codes.std(0), rtol=0.1)
    assert strongest_components(linear._state, sampler, 3) == [0, 1, 2]


def test_a_map_is_pca_of_the_codes(linear: Autoencoder) -> None:
    found = linear.code_map(PICTURES, n_steps=4)
    assert isinstance(found, CodeMap)
    codes = linear.transform(PICTURES)
    known = PCA(2).fit(codes)
    scores = known.transform(codes)
    signs = np.sign((scores * found.positions).sum(0))
    np.testing.assert_allclose(found.positions, signs * scores, atol=1e-8)
    np.testing.assert_allclose(found.explained, known.explained_variance_ratio_.sum())
    assert found.grid.shape == (16, 8, 8)
    assert found.counts.sum() == 300
    # Where a line is far from all rows, the grid stays in the plane.
    plane, positions = whole_plane(codes)
    far = (np.array([1e6, 1.1e6]), np.array([1e6, 1.1e6]))
    grid, counts = grid_codes(codes, plane, positions, far)
    np.testing.assert_allclose(grid, plane.mean + np.array([[1e6, 1e6], [1.1e6, 1e6],
        [1e6, 1.1e6], [1.1e6, 1.1e6]]) @ plane.basis)  # fmt: skip
    assert counts[0, 0] == 300


def test_what_the_plane_does_not_show_is_that_of_rows_near_by() -> None:
    rng = np.random.default_rng(0)
    codes = np.repeat([[-9.0, 0.0, 1.0], [9.0, 0.0, -1.0]], 40, axis=0)
    codes[:, :2] += rng.normal(0, 0.1, (80, 2))
    plane, positions = whole_plane(codes)
    flat, _ = grid_codes(codes, plane, positions, (np.array([-9.0, 9.0]), np.array([-0.1, 0.1])))
    np.testing.assert_allclose(flat[[0, 1], 2], [1, -1], atol=0.1)


def test_two_components_are_the_plane_themselves(of_table: Autoencoder, frame: Any) -> None:
    found = of_table.code_map(frame, n_steps=3)
    np.testing.assert_allclose(found.positions, of_table.transform(frame), rtol=1e-6)
    assert found.explained == 1.0
    corner = np.array([[found.across[0], found.up[2]]])
    expected = of_table.inverse_transform(corner)
    pd.testing.assert_frame_equal(found.grid.iloc[6:7].reset_index(drop=True), expected)


def test_tables_come_back_as_tables(of_table: Autoencoder, frame: Any, tmp_path: Path) -> None:
    way = of_table.interpolate(frame[:1], frame[1:2], 4)
    assert (way.dtypes == frame.dtypes).all()
    assert len(way) == 4
    steps = of_table.traverse(1)
    assert list(steps.columns) == list(frame.columns)
    of_table.save(tmp_path / "m")
    pd.testing.assert_frame_equal(load(tmp_path / "m").traverse(1), steps)


def test_sparse_models_can_be_explored_too() -> None:
    rows = PICTURES[:80].reshape(80, -1)
    model = SparseAutoencoder(6, n_active=2, refine=None, max_epochs=1, random_state=0).fit(rows)
    found = model.interpolate(rows[:1], rows[1:2], 3)
    np.testing.assert_allclose(found[[0, 2]], model.reconstruct(rows[:2]), atol=1e-4)
    assert model.code_map(rows, 3).grid.shape == (9, 64)
    assert model.traverse(0, n_steps=3).shape == (3, 64)


def test_what_cannot_be_done_is_refused(linear: Autoencoder) -> None:
    with pytest.raises(DataError, match="a has 2 rows, b has 1: they should be pairs"):
        linear.interpolate(PICTURES[:2], PICTURES[:1])
    with pytest.raises(SpecError, match="n_steps=1 should be 2 at least"):
        linear.interpolate(PICTURES[:1], PICTURES[:1], 1)
    for given in (5, -1, "x", 1.5, [], [0, 9]):
        with pytest.raises(SpecError, match="should be a whole number from 0 to 4"):
            linear.traverse(given)
    with pytest.raises(DataError, match="around has 2 rows"):
        linear.traverse(0, PICTURES[:2])
    with pytest.raises(SpecError, match="span=0 should be a positive number"):
        linear.traverse(0, span=0)
    shorter = linear.truncate(1)
    with pytest.raises(DataError, match="a map needs codes of two components"):
        shorter.code_map(PICTURES)
    with pytest.raises(DataError, match="call fit_prior with rows"):
        shorter.traverse(0)
