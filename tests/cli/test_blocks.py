"""Folders of pictures are restored and varied a few at a time, as if all were taken at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoencode import DenoisingAutoencoder
from autoencode.commands.augmenting import _parts
from autoencode.commands.denoising import _blocks, _Changes
from autoencode.data.arrays import open_array

LEVEL = 3.0


@pytest.fixture(scope="module")
def clean() -> Any:
    return load_digits().images[:240]


@pytest.fixture(scope="module")
def model(clean: Any) -> Any:
    fitted = DenoisingAutoencoder(
        rows="clean", hidden_layer_sizes=(16,), max_epochs=2, n_threads=1, random_state=0
    ).fit(clean)
    # 16 of these are taken at a time: 32 pictures.
    fitted._piece = lambda: 2
    return fitted


@pytest.fixture(scope="module")
def noisy(clean: Any) -> Any:
    return clean[:100] + np.random.default_rng(0).normal(0, LEVEL, clean[:100].shape)


def test_blocks_are_as_the_whole_and_changes_are_counted(model: Any, noisy: Any) -> None:
    rows = open_array(noisy)
    whole, noise = model.denoise_with_noise(noisy, level=LEVEL)
    parts, once = _Changes(model, rows), _Changes(model, rows)
    blocks = list(_blocks(model, rows, LEVEL, parts))
    assert [len(block) for block in blocks] == [32, 32, 32, 4]
    np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=1e-9, atol=1e-9)
    once.add(rows, whole, noise)
    told, expected = parts.told(), once.told()
    assert told.pop("rms_change") == pytest.approx(expected.pop("rms_change"), rel=1e-9)
    assert told == expected
    assert told["cells"] == noisy.size


def test_what_noise_there_is_is_decided_for_all_blocks(model: Any, noisy: Any, clean: Any) -> None:
    changes = _Changes(model, open_array(noisy))
    found = np.concatenate(list(_blocks(model, open_array(noisy), None, changes)))
    # Four rows alone would be too few to tell the kind.
    assert changes.noise.kind == "gaussian"
    assert changes.noise.level == pytest.approx(LEVEL, rel=0.1)
    assert np.square(found - clean[:100]).mean() < 0.8 * LEVEL**2
    assert np.square(found[-4:] - noisy[-4:]).mean() > 0.3 * LEVEL**2


def test_variants_come_in_parts(model: Any, clean: Any) -> None:
    options = {"kind": "restore", "strength": None, "random_state": 0}
    parts = list(_parts(model, open_array(clean[:70]), 2, None, options))
    assert [len(part) for part in parts] == [32, 32, 6] * 2
    whole = model.augment(clean[:70], 2, **options)
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(whole[:70], whole[70:])
