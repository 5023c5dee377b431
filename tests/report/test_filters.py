"""The report on pictures shows what the first layer looks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoencode import Autoencoder, ConvolutionalAutoencoder
from autoencode.commands.filter_reporting import filters_of
from autoencode.commands.reporting import report_data
from autoencode.report import write_report

SMALL: dict[str, Any] = {"max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def digits() -> Any:
    return load_digits().images[:400]


def test_convolutions_are_shown_without_what_is_told_beside(digits: Any) -> None:
    model = ConvolutionalAutoencoder(None, **SMALL).fit(digits)
    assert model.gate_
    found = filters_of(model, (8, 8, 1))
    assert found is not None
    assert found.convolves
    assert found.shape == (3, 3, 1)
    first = model._state.networks["final"].encoder.narrowing.first.weight
    assert found.n_filters == len(first)
    assert first.shape[1] > 1
    largest = first[:, 0].flatten(1).square().sum(1).argmax()
    np.testing.assert_allclose(found.weights[0], first[largest, 0].detach().flatten())


def test_units_of_a_dense_network_are_pictures(digits: Any, tmp_path: Path) -> None:
    model = Autoencoder(
        2, hidden_layer_sizes=(40,), nested=False, penalties=(), max_epochs=25, random_state=0
    ).fit(digits)
    assert model.gate_
    data: Any = report_data(model, digits)
    assert filters_of(model, None) is None
    assert data.filters.shape == (8, 8, 1)
    assert data.filters.weights.shape == (32, 64)
    assert data.filters.n_filters == 40
    write_report(tmp_path / "r.html", data)
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "What the first layer looks for" in page
    assert "32 of 40 are shown" in page


def test_pca_has_no_first_layer(digits: Any) -> None:
    model = Autoencoder(4, hidden_layer_sizes=(), random_state=0).fit(digits)
    assert filters_of(model, (8, 8, 1)) is None
