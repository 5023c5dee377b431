"""scikit-learn's own checks of an estimator, in full, with no expected failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from autoencode import (
    AnomalyDetector,
    Autoencoder,
    ConvolutionalAutoencoder,
    DenoisingAutoencoder,
    Imputer,
    SparseAutoencoder,
    VariationalAutoencoder,
)

ESTIMATORS = [
    Autoencoder(1, hidden_layer_sizes=(8,), max_epochs=2),
    Autoencoder(hidden_layer_sizes=()),
    Autoencoder(max_epochs=10),
    ConvolutionalAutoencoder(1, hidden_layer_sizes=(4,), max_epochs=1),
    Imputer(),
    Imputer(missing="informative"),
    DenoisingAutoencoder(max_epochs=2),
    DenoisingAutoencoder(2, hidden_layer_sizes=(8,), max_epochs=2),
    # Codes as arrays: many checks compare outputs by NumPy's functions, or put them in frames.
    SparseAutoencoder(3, n_active=1, refine=None, max_epochs=1, sparse_output=False),
    SparseAutoencoder(max_epochs=1, sparse_output=False),
    VariationalAutoencoder(1, hidden_layer_sizes=(8,), max_epochs=2),
]
ONE_OF_EACH = [ESTIMATORS[place] for place in (0, 3, 4, 7, 8, 10)]

DETECTORS = [
    AnomalyDetector(max_epochs=2),
    AnomalyDetector(novelty=True, calibration="split", max_epochs=1),
]

# What scikit-learn asks of its own estimators beyond the list that it gives to others.
FURTHER = [
    "check_dataframe_column_names_consistency",
    "check_get_feature_names_out_error",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_n_features_in_after_fitting",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
]


@pytest.fixture(autouse=True)
def array_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the check of other array types run: without this it is skipped."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.fixture(autouse=True)
def brief(few_epochs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train little where no parameter says so: what is checked is not how good a model is."""
    # Steps of the networks from which a search for parts starts.
    monkeypatch.setattr("autoencode.dictionary_search._EFFORTS", ((3, 1.0),))


@parametrize_with_checks([*ESTIMATORS, *DETECTORS])
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


# Some fit a frame and transform an array, or the reverse, of which scikit-learn warns rightly.
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.parametrize("name", FURTHER)
@pytest.mark.parametrize("estimator", ONE_OF_EACH, ids=str)
def test_checks_that_scikit_learn_keeps_for_itself(estimator: Any, name: str) -> None:
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)
